"""Bybit: what is its own, and what it really sent."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow as pa
import pytest

from chandlery.adapter.books import BookSync, Outcome
from chandlery.adapter.live import Channel
from chandlery.core.errors import (
    AddressBanned,
    ExchangeUnavailable,
    InvalidSymbol,
    MalformedResponse,
    RateLimited,
    RequestRejected,
)
from chandlery.core.gaps import Span
from chandlery.core.http import Response
from chandlery.core.instrument import ListingStatus
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND
from chandlery.exchanges.bybit import BybitInverse, BybitPerpetual, BybitSpot
from fixtures.support import micros

SPOT, PERPETUAL, INVERSE = BybitSpot(), BybitPerpetual(), BybitInverse()
MARKETS = [SPOT, PERPETUAL, INVERSE]


def test_a_page_is_asked_for_on_the_grid():
    """The exchange takes a start within a candle down to its open, so the first open of the span is sent."""
    noon = micros(2024, 1, 1, 12)
    params = INVERSE.candles_request("BTCUSD", Interval.MINUTE_1, Span(noon - 1, noon + 2 * MINUTE)).params

    expected = {
        "category": "inverse",
        "symbol": "BTCUSD",
        "interval": "1",
        "start": noon // 1000,
        "end": (noon + 2 * MINUTE) // 1000 - 1,
        "limit": 2,
    }
    assert expected == params


def test_a_span_without_an_open_is_still_a_request():
    """The end is never sent before the start; the one row that comes lies beyond the span."""
    noon = micros(2024, 1, 1, 12)
    params = SPOT.candles_request("BTCUSDT", Interval.HOUR_1, Span(noon + SECOND, noon + MINUTE)).params

    assert (params["start"], 1) == (params["end"], params["limit"])


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, '{"retCode":0,"retMsg":"OK","result":{}}', type(None)),
        (200, '{"retCode":10006,"retMsg":"Too many visits!"}', RateLimited),
        (200, '{"retCode":10018,"retMsg":"Exceeded the IP Rate Limit."}', RateLimited),
        (200, '{"retCode":10016,"retMsg":"Internal server error."}', ExchangeUnavailable),
        (200, '{"retCode":10001,"retMsg":"Not supported symbols"}', InvalidSymbol),
        (200, '{"retCode":10001,"retMsg":"params error: limit invalid"}', RequestRejected),
        (403, "<html>access too frequent</html>", AddressBanned),
        (404, "nothing here", type(None)),
    ],
)
def test_refusals_come_with_status_200(status, body, error):
    """The code says what they are; a 403 is a ban, and bans last ten minutes."""
    said = PERPETUAL.error(Response(status, {}, body.encode()))

    assert error is type(said)
    assert not isinstance(said, AddressBanned) or said.retry_after_s == 600


@pytest.mark.parametrize(
    ("adapter", "text", "native"),
    [
        (SPOT, "eth/usdc", "ETHUSDC"),
        (PERPETUAL, "BTC/USDC:USDC", "BTCPERP"),
        (PERPETUAL, "btcusdt-14aug26", "BTCUSDT-14AUG26"),
        (PERPETUAL, "BTC/USDT:USDT-260814", "BTCUSDT-14AUG26"),
        (PERPETUAL, "BTC/USDC:USDC-260206", "BTC-6FEB26"),
        (PERPETUAL, "BTC-6FEB26", "BTC-6FEB26"),
        (INVERSE, "BTC/USD:BTC-260327", "BTCUSDH26"),
        (PERPETUAL, "1000PEPE-USDT", "1000PEPEUSDT"),
        (INVERSE, "BTC/USD", "BTCUSD"),
        (INVERSE, "BTCUSDZ26", "BTCUSDZ26"),
    ],
)
def test_symbols(adapter, text, native):
    """What settles in USDC is a PERP; contracts that expire are known by their own spelling."""
    assert native == adapter.symbol(text)


@pytest.mark.parametrize(("adapter", "text"), [(INVERSE, "BTCUSDT"), (PERPETUAL, "BTCUSD"), (SPOT, "BTC/USD:BTC")])
def test_symbols_of_another_market(adapter, text):
    """They are refused."""
    with pytest.raises(InvalidSymbol):
        adapter.symbol(text)


def test_what_does_not_trade_yet_is_listed_last():
    """After the pages of what trades, whose cursors come quoted, the exchange is asked for pre-launch contracts."""
    steps = '"priceFilter":{"tickSize":"0.1"},"lotSizeFilter":{"qtyStep":"0.001"}'

    def page(status: str, cursor: str) -> bytes:
        row = f'{{"symbol":"AUSDT","contractType":"LinearPerpetual","status":"{status}","baseCoin":"A","quoteCoin":"USDT",{steps}}}'
        return f'{{"retCode":0,"result":{{"list":[{row}],"nextPageCursor":"{cursor}"}}}}'.encode()

    _, second = PERPETUAL.instruments(page("Trading", "a%3D1%26b"))
    _, third = PERPETUAL.instruments(page("Trading", ""))
    listings, last = PERPETUAL.instruments(page("PreLaunch", ""))

    assert "a=1&b" == PERPETUAL.instruments_request(second).params["cursor"]
    assert "PreLaunch" == PERPETUAL.instruments_request(third).params["status"]
    assert ([ListingStatus.UPCOMING], None) == ([each.status for each in listings], last)


def test_a_refused_topic_is_an_error_and_a_strange_one_malformed():
    """The exchange's words are kept."""
    with pytest.raises(InvalidSymbol, match=r"bybit_spot .*handler not found"):
        SPOT.live_rows(b'{"success":false,"ret_msg":"error:handler not found,topic:kline.1.X","op":"subscribe"}')
    for topic in ("kline.7.BTCUSDT", "kline.1", "tickers.BTCUSDT"):
        with pytest.raises(MalformedResponse):
            SPOT.live_rows(json.dumps({"topic": topic, "data": []}).encode())


def test_a_restart_of_the_service_replaces_the_book():
    """An update with the id 1 is a whole book."""
    message = b'{"topic":"orderbook.50.X","type":"delta","ts":2,"data":{"s":"X","b":[["1","2"]],"a":[],"u":1,"seq":9}}'
    (update,) = SPOT.book_updates(message)

    assert update.is_snapshot
    assert (2000, 1) == (update.at, update.last)


# --- evidence --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def capture(recorded):
    """Half a minute of 2026-08-09, raw: six books, their candles, and the lists of instruments."""
    raw = pa.input_stream(recorded / "cryptofeed/v3/BYBIT.jsonl.zst", compression="zstd").read()
    return [json.loads(line) for line in raw.splitlines()]


def messages(capture, adapter, topic):
    """What the adapter's market sent of a topic, and the answers to its subscriptions."""
    (connection,) = (
        each["conn"] for each in capture if each["t"] == "connect" and each["addr"] == adapter.socket_url(Channel.BOOK)
    )
    frames = [each["data"] for each in capture if each["t"] == "recv" and each["conn"] == connection]
    return [each.encode() for each in frames if f'"topic":"{topic}.' in each or '"op":"subscribe"' in each]


def test_recorded_candles(capture):
    """A hundred, on the grid, of which those that closed say so and are followed by the next."""
    sent = [(adapter, each) for adapter in (SPOT, PERPETUAL) for each in messages(capture, adapter, "kline")]
    rows = [(adapter.id, row) for adapter, message in sent for row in adapter.live_rows(message)]
    pushes = [push for push in (json.loads(message) for _, message in sent) if "topic" in push]

    assert 100 == len(rows)
    assert {Interval.MINUTE_1} == {row.interval for _, row in rows}
    assert 6 == len({(market, row.symbol) for market, row in rows})
    assert {0} == {row.candle.open_time % MINUTE for _, row in rows}
    assert all(row.candle.low <= row.candle.close <= row.candle.high for _, row in rows)
    assert {False, True} == {row.candle.closed for _, row in rows}
    assert [push["ts"] * 1000 for push in pushes for _ in push["data"]] == [row.candle.at for _, row in rows]


def test_recorded_books_have_no_gap(capture):
    """2148 updates of six books of 200 levels: each follows, none is crossed, none grows beyond its depth."""
    outcomes: Counter[Outcome] = Counter()
    books: dict[tuple[str, str], BookSync] = {}
    for adapter in (SPOT, PERPETUAL):
        for message in messages(capture, adapter, "orderbook.200"):
            for update in adapter.book_updates(message):
                key = adapter.id, update.symbol
                sync = books.setdefault(key, BookSync(update.symbol, adapter.book_rule, depth=200))
                outcomes[sync.feed(update)] += 1
                assert sync.book is not None
                assert max(len(sync.book.bids(300)), len(sync.book.asks(300))) <= 200

    assert {Outcome.APPLIED: 2148} == outcomes
    assert 6 == len(books)


def test_a_lost_message_of_the_recording_is_noticed(capture):
    """Without one update in the middle the book is given up, and only that one."""
    lost = messages(capture, SPOT, "orderbook.200")
    del lost[len(lost) // 2]
    books = {symbol: BookSync(symbol, SPOT.book_rule, depth=200) for symbol in ("BTCUSDT", "ETHUSDT")}
    for message in lost:
        for update in SPOT.book_updates(message):
            books[update.symbol].feed(update)

    assert [1, 0] == sorted((sync.counts[Outcome.GAP] for sync in books.values()), reverse=True)


def test_recorded_instruments(capture):
    """760 linear perpetuals, 40 dated contracts and 557 spot pairs; each is spelled as the adapter would spell it."""
    lists = {each["url"].split("category=")[1].split("&")[0]: each for each in capture if each["t"] == "http"}
    found = {}
    for adapter in (SPOT, PERPETUAL):
        listings, _ = adapter.instruments(lists[adapter.category]["data"].encode())
        found[adapter.id] = len(listings)

        assert {ListingStatus.LISTED} == {each.status for each in listings}
        assert all(each.tick_size and each.lot_size for each in listings)
        rules = type(adapter)()
        assert [each.symbol for each in listings] == [rules.symbol(str(each.instrument)) for each in listings]
        assert [each.symbol for each in listings] == [rules.symbol(each.symbol) for each in listings]
        dated = sum(each.instrument.expiry is not None for each in listings)
        assert (40 if adapter is PERPETUAL else 0) == dated

    assert {"bybit_spot": 557, "bybit_perpetual": 800} == found


def test_recorded_books_equal_what_another_parser_made_of_them(recorded):
    """The books of version 5; what is older than 2023 is of versions that are gone, options are no market of ours."""
    lines = (recorded / "tardis-node/derived/dev.jsonl").read_text().splitlines()
    read = 0
    for pair in map(json.loads, lines):
        if pair["exchange"] not in {"bybit", "bybit-spot"}:
            continue
        if not str(pair["message"].get("topic", "")).startswith("orderbook.") or not pair["expected"]:
            continue
        adapter = SPOT if pair["exchange"] == "bybit-spot" else PERPETUAL
        (update,) = adapter.book_updates(json.dumps(pair["message"]).encode())
        (expected,) = pair["expected"]
        read += 1

        assert expected["symbol"] == update.symbol
        if expected["type"] == "book_change":
            bids, asks = ([(each["price"], each["amount"]) for each in expected[side]] for side in ("bids", "asks"))
            assert (bids, asks) == (update.bids, update.asks)
            assert expected["isSnapshot"] is update.is_snapshot
        else:
            assert (expected["bidPrice"], expected["bidAmount"]) in update.bids
            assert (expected["askPrice"], expected["askAmount"]) in update.asks

    assert 5 == read


def test_candles_equal_what_another_feed_made_of_them(recorded):
    """A page by REST, oldest first, and the same rows as another project reads them."""
    lines = (recorded / "hummingbot/derived/dev.jsonl").read_text().splitlines()
    fixtures = {
        each["fixture"]: each["value"] for each in map(json.loads, lines) if each["feed"] == "bybit_spot_candles"
    }
    rows = SPOT.candle_rows(json.dumps(fixtures["get_candles_rest_data_mock"]).encode())
    theirs = [[float(value) for value in row] for row in fixtures["get_fetch_candles_data_mock"]]

    ours = zip(rows.open_time, rows.open, rows.high, rows.low, rows.close, rows.volume, strict=True)
    assert [[row[0] * SECOND, *row[1:6]] for row in theirs] == [list(row) for row in ours]
