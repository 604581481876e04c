"""The past over HTTP."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec import structs
from pyarrow import csv

from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.series_id import SeriesId
from chandlery.core.time import HOUR, MINUTE, SECOND, iso
from chandlery.net.clock import system_clock
from chandlery.sim.faults import Fault, FaultKind
from chandlery.tables.candle_rows import TIMES, times_of
from chandlery.testing import no_waiting
from chandlery.testing.repositories import book_entry as entry
from fixtures.candle_feed import truth
from fixtures.service import MARKET, connected, offline, served

ASKED = {"exchange": "binance", "symbol": "BTC/USDT", "interval": "1m", "start": "2026-11-01", "end": "2026-11-02"}
START = 1_793_491_200_000_000
DAY = Span(START, START + 86_400 * SECOND)


async def get(session, path, headers=None, **query):
    """Status, body and headers."""
    headers = {"Accept-Encoding": "identity"} | (headers or {})
    async with session.get(path, params=query, headers=headers, auto_decompress=False) as answer:
        return answer.status, await answer.read(), answer.headers


async def test_volumes_in_another_unit(running):
    """Converted in every format, each with a tag of its own; an unknown volume is refused with its reason."""
    _, session = running
    asked = ASKED | {"interval": "1h"}
    sent, quote, table, refused = [
        await get(session, "/v1/candles", **asked, **more)
        for more in (
            {},
            {"volume_unit": "quote"},
            {"volume_unit": "quote", "format": "csv"},
            {"volume_unit": "contracts"},
        )
    ]
    page = json.loads(quote[1])
    volume, turnover = (page["columns"].index(name) for name in ("volume", "quote_asset_volume"))

    assert [row[turnover] for row in json.loads(sent[1])["rows"]] == [row[volume] for row in page["rows"]]
    assert [row[volume] for row in page["rows"]] == csv.read_csv(pa.py_buffer(table[1])).column("volume").to_pylist()
    assert sent[2]["ETag"] != quote[2]["ETag"]
    assert (422, True) == (refused[0], "sends it in base and quote" in json.loads(refused[1])["detail"])


async def test_pages(running):
    """Page after page each candle once, as the exchange has it; each page names its sources and gaps."""
    _, session = running
    rows, cursor, pages = [], None, 0
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        status, body, _ = await get(session, "/v1/candles", **ASKED, limit=500, **more)
        page = json.loads(body)
        assert 200 == status
        assert [] == page["gaps"]
        assert page["sources"]
        rows += page["rows"]
        pages += 1
        cursor = page["next"]
        if cursor is None:
            break
    expected = truth(MARKET, "BTCUSDT", Interval.MINUTE_1, DAY)

    assert 3 == pages
    assert [[each.open_time // 1000, each.open, each.high, each.low, each.close, each.volume] for each in expected] == [
        row[:6] for row in rows
    ]


async def test_when_a_candle_came(tmp_path):
    """Of what was collected, in every format; of what comes from the archive it is not known."""
    hour = {**ASKED, "end": "2026-11-01T01:00:00Z"}
    (collected,) = truth(MARKET, "BTCUSDT", Interval.MINUTE_1, Span(START + 5 * MINUTE, START + 6 * MINUTE))
    collected = structs.replace(collected, at=START + 6 * MINUTE + 3_000, received_at=START + 6 * MINUTE + 7_000)
    series = SeriesId.of_candles("binance", "BTC/USDT", Interval.MINUTE_1)
    async with offline() as sim, served(sim, tmp_path) as (service, session):
        await service.candles.save(series, [collected])
        page = json.loads((await get(session, "/v1/candles", **hour))[1])
        files = {
            form: (await get(session, "/v1/candles", **hour, format=form))[1] for form in ("csv", "arrow", "parquet")
        }
    tables = [pa.ipc.open_stream(files["arrow"]).read_all(), pq.read_table(io.BytesIO(files["parquet"]))]
    lines = [line.split(",")[-2:] for line in files["csv"].decode().splitlines()]
    rows = [row[-2:] for row in page["rows"]]
    sent_ms = START // 1000 + 6 * 60_000 + 3

    assert ["received_at", "at"] == page["columns"][-2:] == lines[0]
    assert ([sent_ms + 4, sent_ms], [str(sent_ms + 4), str(sent_ms)]) == (rows.pop(5), lines.pop(6))
    assert ([[None, None]] * 59, [["", ""]] * 59) == (rows, lines[1:])
    for table in tables:
        assert [collected.received_at, collected.at] == [times_of(table, name)[5] for name in TIMES]
        assert [59, 59] == [table.column(name).null_count for name in TIMES]


@pytest.mark.parametrize("form", ["csv", "arrow", "parquet"])
async def test_files(running, form):
    """The whole range in each format, under a name of its own."""
    status, body, headers = await get(running[1], "/v1/candles", **ASKED, format=form)
    assert body == (await get(running[1], "/v1/candles", **ASKED, format=form))[1]
    reads = {
        "csv": lambda: csv.read_csv(io.BytesIO(body)),
        "arrow": lambda: pa.ipc.open_stream(body).read_all(),
        "parquet": lambda: pq.read_table(io.BytesIO(body)),
    }
    expected = [each.close for each in truth(MARKET, "BTCUSDT", Interval.MINUTE_1, DAY)]

    assert 200 == status
    assert f"binance-BTC-USDT-candles-1m.{form}" in headers["Content-Disposition"]
    assert expected == reads[form]().column("close").to_pylist()


async def test_what_does_not_change_is_not_sent_twice(running):
    """With its tag it is answered at once; what is new is told from what was."""
    _, session = running
    for more in ({}, {"format": "arrow"}):
        _, _, headers = await get(session, "/v1/candles", **ASKED, **more)
        assert "immutable" in headers["Cache-Control"]
        status, body, _ = await get(session, "/v1/candles", {"If-None-Match": headers["ETag"]}, **ASKED, **more)
        assert (304, b"") == (status, body)
    recent = {**ASKED, "start": "2026-11-20"}
    del recent["end"]
    _, _, headers = await get(session, "/v1/candles", **recent)
    assert "no-cache" in headers["Cache-Control"]


async def test_what_cannot_be_had_is_never_a_silent_hole(tmp_path):
    """In a page it is a gap, and nobody keeps that page; a file, which cannot say so, is an error."""
    faults = [Fault(FaultKind.SERVER_ERROR, "klines|/data/", times=100_000)]
    async with offline(faults=faults) as sim, served(sim, tmp_path) as (_, session):
        with no_waiting():
            status, body, headers = await get(session, "/v1/candles", **ASKED)
            assert (200, "no-store") == (status, headers["Cache-Control"])
            assert {"fetch_failed"} == {gap["kind"] for gap in json.loads(body)["gaps"]}
            for form in ("csv", "arrow", "parquet"):
                status, body, _ = await get(session, "/v1/candles", **ASKED, format=form)
                assert (502, "incomplete_data") == (status, json.loads(body)["code"])


async def test_a_broken_exchange_is_logged_once_a_minute(tmp_path, caplog):
    """However many requests of however many clients fail; the line gives the exchange, the reason and the number."""
    faults = [Fault(FaultKind.SERVER_ERROR, "klines|/data/", times=100_000)]
    asked = ASKED | {"start": "2024-01-01", "end": "2024-03-01"}
    async with offline(faults=faults) as sim, served(sim, tmp_path) as (_, session):
        sim.log.clear()
        with no_waiting(), caplog.at_level(logging.WARNING):
            for _ in range(3):
                await get(session, "/v1/candles", **asked, format="csv")
        failed = len(sim.log)
    lines = [each.getMessage() for each in caplog.records if "since the last such line" in each.getMessage()]

    assert failed > 100
    assert [] == [each.getMessage() for each in caplog.records if each.name == "chandlery.net"]
    assert 1 == len(lines)
    assert lines[0].startswith("binance: GET 127.0.0.1")
    assert lines[0].endswith("; delayed requests since the last such line: 1")


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_compressed(running, encoding):
    """For those who take it; the content is the same."""
    _, plain, _ = await get(running[1], "/v1/candles", {"Accept-Encoding": "identity"}, **ASKED)
    _, packed, headers = await get(running[1], "/v1/candles", {"Accept-Encoding": encoding}, **ASKED)
    unpacked = (
        gzip.decompress(packed)
        if encoding == "gzip"
        else pa.input_stream(pa.py_buffer(packed), compression="zstd").read()
    )

    assert encoding == headers["Content-Encoding"]
    assert len(packed) < len(plain) / 2
    assert json.loads(plain)["rows"] == json.loads(unpacked)["rows"]


async def test_funding(running):
    """Of a perpetual, like candles; of spot it is said that there is none."""
    query = {"exchange": "binance", "symbol": "BTC/USDT:USDT", "start": "2026-11-01", "end": "2026-11-02"}
    _, body, _ = await get(running[1], "/v1/funding", **query)
    page = json.loads(body)

    assert 3 == len(page["rows"])
    assert "funding_rate" in page["columns"]
    hours = [page["columns"].index(name) for name in ("open_time", "nominal_time")]
    assert all(row[hours[1]] % 28_800_000 == 0 <= row[hours[0]] - row[hours[1]] < 1_000 for row in page["rows"])
    status, body, _ = await get(running[1], "/v1/funding", **query | {"symbol": "BTC/USDT"})
    assert (422, "unsupported_request") == (status, json.loads(body)["code"])


async def test_order_books(running):
    """Those that were kept, page after page, and the gaps among them; the latest is live."""
    service, session = running
    for at in range(1, 6):
        each = entry(START + at * SECOND, at=START + at * SECOND + 3)
        await service.storage.store_raw_data("BTC/USDT", each.data, exchange="binance", timestamp=each.timestamp)
    gap = Gap(START, START + SECOND, GapKind.NOT_COLLECTED, "x")
    await service.gaps.record(SeriesId.of_book("binance", "BTC/USDT"), gap)
    query = {"exchange": "binance", "symbol": "BTC-USDT", "start": "2026-11-01", "end": "2026-11-02", "limit": 3}
    first = json.loads((await get(session, "/v1/books", **query))[1])
    second = json.loads((await get(session, "/v1/books", **query, cursor=first["next"]))[1])

    assert [3, 2] == [len(page["books"]) for page in (first, second)]
    assert [["x"], ["no order book is stored after 2026-11-01T00:00:05Z"]] == [
        [each["evidence"] for each in page["gaps"]] for page in (first, second)
    ]
    assert [[100.0, 1.0], [99.5, 2.0]] == first["books"][0]["bids"]
    assert None is second["next"]
    asked = {"exchange": "binance", "symbol": "BTC/USDT"}
    kept = json.loads((await get(session, "/v1/books/latest", **asked))[1])
    await service.collection.add_coin("BTC/USDT", "binance", ["book"])
    live = json.loads((await get(session, "/v1/books/latest", **asked))[1])
    assert (2, 25) == (len(kept["bids"]), len(live["bids"]))
    moment = "2026-11-01T00:00:0{}Z".format
    assert [moment("1.000007"), moment("1.000003")] == [first["books"][0][name] for name in ("received_at", "at")]
    assert [moment(5)] * 2 == [kept[name] for name in ("received_at", "at")]
    assert all(abs(to_micros(live[name]) - system_clock()) < 20 * SECOND for name in ("received_at", "at"))


async def test_order_books_as_files(running):
    """A row a level or a row a book, the best levels alone or all, in every format."""
    service, session = running
    for at in range(70):
        each = entry(START + at * SECOND, at=None if at else 3)
        await service.storage.store_raw_data("BTC/USDT", each.data, exchange="binance", timestamp=each.timestamp)
    query = {"exchange": "binance", "symbol": "BTC-USDT", "start": "2026-11-01", "end": "2026-11-02"}
    wide = {"layout": "wide", "levels": 3}
    status, text, headers = await get(session, "/v1/books", **query, format="csv")
    best = csv.read_csv(pa.py_buffer((await get(session, "/v1/books", **query, format="csv", levels=1))[1]))
    table = pq.read_table(io.BytesIO((await get(session, "/v1/books", **query, **wide, format="parquet"))[1]))
    refused = [
        await get(session, "/v1/books", **query, **wrong)
        for wrong in (wide, {"format": "csv", "layout": "wide"}, {"format": "csv", "layout": "tall"}, {"format": "xml"})
    ]
    page = json.loads((await get(session, "/v1/books", **query, levels=1, limit=1))[1])
    bids, asks = page["books"][0]["bids"], page["books"][0]["asks"]
    rows = csv.read_csv(pa.py_buffer(text))

    assert (200, 'attachment; filename="binance-BTC-USDT-book.csv"') == (status, headers["Content-Disposition"])
    assert [3 * 70, 2 * 70, 70] == [each.num_rows for each in (rows, best, table)]
    assert [*bids[0], *asks[0]] == [table.column(4 + place)[0].as_py() for place in range(4)]
    assert [1, 1] == [len(bids), len(asks)]
    assert [None] * 70 == table.column("bid_price_2").to_pylist()
    assert rows.column("price").to_pylist()[:3] == [
        table.column(each)[0].as_py() for each in ("bid_price_0", "bid_price_1", "ask_price_0")
    ]
    assert [START // 1000 + at * 1000 for at in range(70)] == best.column("timestamp").to_pylist()[::2]
    assert ([422] * 4, 69) == ([each[0] for each in refused], table.column("at").null_count)


async def a_day(service):
    """Order books of a day at the full five minutes, with every kind of gap; what each gap should be."""
    gaps = [
        ("00:00", "06:00", "no order book is stored before 2026-11-01T06:00:00Z"),
        ("12:00", "12:30", "there was no valid order book"),
        ("15:00", "16:02", "it was not collected"),
        ("17:00", "17:20", "the service was delayed"),
        ("20:00", "24:00", "no order book is stored after 2026-11-01T20:00:00Z"),
    ]
    spans = [Span(*(START + int(hour) * HOUR + int(minute) * MINUTE for hour, minute in (start.split(":"), end.split(":")))) for start, end, _ in gaps]  # fmt: skip
    for span, (_, _, evidence) in list(zip(spans, gaps, strict=True))[1:-1]:
        await service.gaps.record(
            SeriesId.of_book("binance", "BTC/USDT:USDT"), Gap(span.start, span.end, GapKind.NOT_COLLECTED, evidence)
        )
    for at in range(spans[0].end, spans[-1].start + 1, 5 * MINUTE):
        if not any(span.start < at < span.end for span in spans):
            each = entry(at)
            await service.storage.store_raw_data("BTC/USDT:USDT", each.data, exchange="binance", timestamp=at)
    return [
        {"start": iso(span.start), "end": iso(span.end), "kind": "not_collected", "evidence": evidence}
        for span, (_, _, evidence) in zip(spans, gaps, strict=True)
    ]


async def test_a_damaged_order_book_is_a_gap_of_its_moment(running):
    """By HTTP, by WebSocket and as the latest; the others of its page are there."""
    service, session = running
    for at in range(START, START + 6 * SECOND, SECOND):
        each = entry(at)
        await service.storage.store_raw_data("BTC/USDT:USDT", each.data, exchange="binance", timestamp=at)
    damaged = [START + 2 * SECOND, START + 5 * SECOND]
    await service.database.write(("UPDATE books SET entry = x'00' WHERE at = ?", [(at,) for at in damaged]))
    query = {"exchange": "binance", "symbol": "BTC/USDT:USDT"}
    span = {"start": iso(START), "end": iso(START + 6 * SECOND)}
    pages, cursor = [], {}
    while cursor is not None:
        pages.append(json.loads((await get(session, "/v1/books", **query, **span, limit=2, **cursor))[1]))
        cursor = {"cursor": pages[-1]["next"]} if pages[-1]["next"] else None
    latest = json.loads((await get(session, "/v1/books/latest", **query))[1])
    async with connected(session) as client:
        await client.say("request_historical", channel="book", **query, **span)
        done = await client.until("historical_data_complete")

    assert [2, 1, 1] == [len(page["books"]) for page in pages]
    for gaps in ([gap for page in pages for gap in page["gaps"]], done["gaps"]):
        assert [iso(at) for at in damaged] == [gap["start"] for gap in gaps if "is damaged" in gap["evidence"]]
    assert iso(START + 4 * SECOND) == latest["received_at"]
    assert 4 * 3 == done["rows"]


async def test_a_day_of_order_books_names_every_gap(running):
    """Before, among and after the stored ones, by HTTP over several pages and by WebSocket, whose source begins with the data."""
    service, session = running
    expected = await a_day(service)
    query = {"exchange": "binance", "symbol": "BTC/USDT:USDT", "start": "2026-11-01", "end": "2026-11-02", "limit": 100}
    books, gaps, more = [], [], {}
    while True:
        page = json.loads((await get(session, "/v1/books", **query, **more))[1])
        books += page["books"]
        gaps += page["gaps"]
        if page["next"] is None:
            break
        more = {"cursor": page["next"]}
    async with connected(session) as client:
        await client.say("request_historical", channel="book", exchange="binance", symbol="BTC/USDT:USDT", start="2026-11-01", end="2026-11-02")  # fmt: skip
        done = await client.until("historical_data_complete")

    assert expected == gaps
    assert expected[:-1] == done["gaps"][:-1]
    assert [(expected[-1]["start"], "the service did not collect it")] == [
        (each["start"], each["evidence"]) for each in done["gaps"][-1:]
    ], "by now it is collected, as what is requested there is"
    assert "2026-11-01T06:00:00Z" == books[0]["timestamp"] == done["sources"][0]["start"]
    assert "2026-11-01T20:00:00Z" == books[-1]["timestamp"]
    assert "2026-11-01T20:00:00.000001Z" == done["sources"][-1]["end"]


async def test_order_books_that_were_never_collected(running):
    """A coin that trades has a gap for the whole time; one that does not is an error, by HTTP and WebSocket."""
    _, session = running
    query = {"exchange": "binance", "start": "2026-11-01", "end": "2026-11-02"}
    page = json.loads((await get(session, "/v1/books", **query, symbol="ETH/USDT"))[1])
    status, body, _ = await get(session, "/v1/books", **query, symbol="NOSUCH/USDT")
    async with connected(session) as client:
        await client.say("request_historical", channel="book", symbol="NOSUCH/USDT", **query)
        refused = await client.until("error")
        await client.say("request_historical", channel="book", symbol="ETH/USDT", **query)
        done = await client.until("historical_data_complete")

    expected = {"kind": "not_collected", "evidence": "no order book is stored"}
    gap = {"start": "2026-11-01T00:00:00Z", "end": "2026-11-02T00:00:00Z"} | expected
    assert ([], [gap]) == (page["books"], page["gaps"])
    assert ([], [gap]) == (done["sources"], done["gaps"])
    assert (422, "invalid_symbol") == (status, json.loads(body)["code"])
    assert "invalid_symbol" == refused["code"], refused


async def test_after_a_coin_was_removed_its_order_books_have_a_gap(running):
    """While it is collected the next book is on its way; afterwards there is none, and that is a gap up to now."""
    service, session = running
    query = {"exchange": "binance", "symbol": "ETH/USDT:USDT", "limit": 200}
    await service.collection.add_coin("ETH/USDT:USDT", "binance", ["book"])
    async with asyncio.timeout(20):
        while len(await service.storage.get_raw_data_range("ETH/USDT:USDT", 0, 2**60)) < 2:
            await asyncio.sleep(0.05)  # it is in a file
    (first, *_) = await service.storage.get_raw_data_range("ETH/USDT:USDT", 0, 2**60)
    start = str(first.timestamp // 1000)
    assert [] == json.loads((await get(session, "/v1/books", **query, start=start))[1])["gaps"]
    await service.collection.remove_coin("ETH/USDT:USDT", "binance")
    page = json.loads((await get(session, "/v1/books", **query, start=start))[1])

    last = page["books"][-1]["timestamp"]
    assert [(last, f"no order book is stored after {last}")] == [
        (each["start"], each["evidence"]) for each in page["gaps"]
    ]


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"exchange": "nowhere"}, 404, "unknown_name"),
        ({"symbol": "?"}, 422, "invalid_symbol"),
        ({"interval": "7m"}, 422, "unknown_interval"),
        ({"start": "soon"}, 422, "invalid_range"),
        ({"start": "2026-11-03"}, 422, "invalid_range"),
        ({"end": "2026-02-30"}, 422, "invalid_range"),
        ({"format": "xml"}, 422, "invalid_input"),
        ({"cursor": "x"}, 422, "invalid_input"),
        ({"limit": "0"}, 422, "invalid_input"),
        ({"limit": "many"}, 422, "invalid_input"),
    ],
)
async def test_asked_wrongly(running, changed, status, code):
    """A problem document that says what is wrong."""
    found, body, headers = await get(running[1], "/v1/candles", **ASKED | changed)
    content = json.loads(body)

    assert (status, code, status) == (found, content["code"], content["status"])
    assert headers["Content-Type"].startswith("application/problem+json")
    assert content["detail"]


async def test_each_invalid_parameter_is_listed(running):
    """``errors`` has the place of each, and what is wrong there."""
    query = {name: value for name, value in ASKED.items() if name != "start"}
    _, body, _ = await get(running[1], "/v1/candles", **query | {"limit": "0"})
    errors = {each["location"]: each["detail"] for each in json.loads(body)["errors"]}

    assert {"query.limit", "query.start"} == set(errors)
    assert all(errors.values())
