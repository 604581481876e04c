"""The past, from storage first."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

from chandlery.core.candle import CandleData
from chandlery.core.errors import UnsupportedRequest
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import DAY, MINUTE, SECOND
from chandlery.net.clock import system_clock
from chandlery.service.historical.fetcher import FETCHED_AT_ONCE
from chandlery.service.historical.report import AnswerReport
from chandlery.sim.faults import Fault, FaultKind
from chandlery.tables.frame import open_times
from chandlery.testing.repositories import book_entry as entry
from fixtures.candle_feed import truth
from fixtures.service import MARKET, offline, service_of

MINUTES = SeriesId.parse("binance", "BTC/USDT", "candles:1m")
BOOK = SeriesId.of_book("binance", "BTC/USDT")
MARK = 123.456


@pytest.fixture
async def service(sim, tmp_path):
    """An open one."""
    async with service_of(sim, tmp_path) as opened:
        yield opened


def last(count, interval=Interval.MINUTE_1, *, back=10):
    """So many candles' span, which ended a while ago."""
    end = interval.step(interval.floor(system_clock()), -back)
    return Span(interval.step(end, -count), end)


async def past(service, series, span, rows=1000):
    """All rows as one table, the account, and the sizes of the pieces."""
    report, tables = AnswerReport(), []
    resolved = service.collection.resolve(series)
    async for piece in service.historical.pieces(resolved, span, rows=rows):
        report.add(piece)
        tables.append(piece.table)
    return pa.concat_tables(tables) if tables else None, report, [table.num_rows for table in tables]


async def test_the_exchange_has_what_storage_lacks(service, sim):
    """Every candle as the exchange has it; asked again, it comes from the cache and nobody is asked."""
    span = last(2500)
    table, report, sizes = await past(service, MINUTES, span)
    expected = [each.close for each in truth(MARKET, "BTCUSDT", Interval.MINUTE_1, span)]

    assert expected == table.column("close").to_pylist()
    assert [1000, 1000, 500] == sizes
    assert (2500, []) == (report.rows, report.gaps)
    assert {"rest"} == {each.source for each in report.sources}
    sim.log.clear()
    again, report, _ = await past(service, MINUTES, span)
    assert again.equals(table)
    assert {"cache (rest)"} == {each.source for each in report.sources}
    assert not [path for _, path, _ in sim.log if "klines" in path]


async def test_what_was_collected_comes_from_the_database(service, sim):
    """Before anybody else is asked; only the rest is fetched, and all of it is in order."""
    span = last(100)
    own = [CandleData(span.start + at * MINUTE, MARK, MARK, MARK, MARK, 1.0) for at in range(40, 60)]
    await service.candles.save(MINUTES, own)
    table, report, sizes = await past(service, MINUTES, span, rows=15)

    opens = open_times(table).tolist()
    assert [span.start + at * MINUTE for at in range(100)] == opens
    assert [at in range(40, 60) for at in range(100)] == [each == MARK for each in table.column("close").to_pylist()]
    assert ["rest", "database", "rest"] == [each.source for each in report.sources]
    assert [40, 20, 40] == [each.rows for each in report.sources]
    assert max(sizes) <= 15


async def test_a_range_of_more_than_is_counted_at_once(service):
    """Across the border each candle comes once, in order, and what the database has there is one source."""
    series = SeriesId.parse("binance", "BTC/USDT", "candles:1s")
    span = last(FETCHED_AT_ONCE + 20, Interval.SECOND_1)
    border = range(FETCHED_AT_ONCE - 10, FETCHED_AT_ONCE + 10)
    own = [CandleData(span.start + at * SECOND, MARK, MARK, MARK, MARK, 1.0) for at in border]
    await service.candles.save(series, own)
    table, report, _ = await past(service, series, span, rows=20_000)

    assert [*range(span.start, span.end, SECOND)] == open_times(table).tolist()
    assert [*border] == [at for at, each in enumerate(table.column("close").to_pylist()) if each == MARK]
    assert [20] == [each.rows for each in report.sources if each.source == "database"]
    assert [] == report.gaps


async def test_a_part_that_cannot_be_had_is_a_gap(tmp_path):
    """The rest comes all the same, and what is missing is said."""
    faults = [Fault(FaultKind.SERVER_ERROR, "klines.*startTime=1|/data/", times=10_000)]
    async with offline(faults=faults) as sim, service_of(sim, tmp_path) as service:
        from chandlery.testing import no_waiting

        span = last(10)
        own = [CandleData(span.start + at * MINUTE, MARK, MARK, MARK, MARK, 1.0) for at in range(5)]
        await service.candles.save(MINUTES, own)
        with no_waiting():
            table, report, _ = await past(service, MINUTES, span)

    assert 5 == table.num_rows
    assert [GapKind.FETCH_FAILED] == [gap.kind for gap in report.gaps]
    assert Span(span.start + 5 * MINUTE, span.end) == report.gaps[0].span


async def test_only_closed_candles(service):
    """The running one is none, and a range that ends later ends there."""
    now = system_clock()
    table, _, _ = await past(service, MINUTES, Span(now - 5 * MINUTE, now + DAY))

    assert open_times(table)[-1] + MINUTE <= system_clock()


@pytest.mark.parametrize("span", [Span(10, 10), Span(20, 10), Span(2**51, 2**52)])
async def test_what_is_no_range_has_no_candles(service, sim, span):
    """The endpoints refuse it before; nobody is asked for it."""
    sim.log.clear()

    assert (None, []) == (await past(service, MINUTES, span))[::2]
    assert not sim.log


async def test_order_books_and_their_gaps(service):
    """Page after page, a row a level; each gap once."""
    entries = [entry(at * SECOND) for at in range(1, 8)]
    for each in entries:
        await service.storage.store_raw_data("BTC/USDT", each.data, exchange="binance", timestamp=each.timestamp)
    gap = Gap(3 * SECOND, 5 * SECOND, GapKind.NOT_COLLECTED, "x")
    await service.gaps.record(BOOK, gap)
    pieces = [
        piece
        async for piece in service.historical.pieces(
            service.collection.resolve(BOOK), Span(2 * SECOND, 7 * SECOND), rows=5, snapshots=2
        )
    ]

    assert 5 * 3 == sum(piece.table.num_rows for piece in pieces)
    assert [gap] == [each for piece in pieces for each in piece.gaps]
    assert max(piece.table.num_rows for piece in pieces) == 2 * 3


async def test_funding(service):
    """Of a perpetual; of spot there is none, and that is said."""
    end = Interval.DAY_1.floor(system_clock())
    series = service.collection.resolve(SeriesId.of_funding("binance", "BTC/USDT:USDT"))
    spot = service.collection.resolve(SeriesId.of_funding("binance", "BTC/USDT"))
    pieces = [piece async for piece in service.historical.pieces(series, Span(end - 3 * DAY, end), rows=4)]

    assert [4, 4, 1] == [piece.table.num_rows for piece in pieces]
    assert not any(math.isnan(each) for piece in pieces for each in piece.table.column("funding_rate").to_pylist())
    with pytest.raises(UnsupportedRequest):
        _ = [piece async for piece in service.historical.pieces(spot, Span(end - DAY, end), rows=4)]


async def test_the_latest(service):
    """What is live, else what was kept, else what the exchange has; of a book that nobody collects, nothing."""
    resolve = service.collection.resolve

    async def current(series):
        return await service.historical.get_most_current_data(resolve(series))

    fetched = await current(MINUTES)
    assert fetched["closed"]
    assert Interval.MINUTE_1.floor(system_clock()) // 1000 - fetched["timestamp"] <= 120_000
    kept = CandleData(Interval.MINUTE_1.floor(system_clock()), MARK, MARK, MARK, MARK, 1.0, closed=False)
    await service.candles.save(MINUTES, [kept])
    assert MARK == (await current(MINUTES))["close"]
    assert None is await current(BOOK)
    await service.storage.store_raw_data("BTC/USDT", entry(SECOND).data, exchange="binance", timestamp=SECOND)
    assert [(100.0, 1.0), (99.5, 2.0)] == (await current(BOOK))["bids"]
    await service.collection.add_coin("BTC/USDT", "binance", ["book"])
    assert 25 == len((await current(BOOK))["bids"])


async def test_a_client_without_a_cache_is_asked_once(sim, tmp_path):
    """What it fetched is kept in the database on the way."""
    async with service_of(sim, tmp_path) as service:
        client = service.connector.get_client("binance")
        client._settings = client._settings.model_copy(
            update={"storage": client._settings.storage.model_copy(update={"use_cache": False})}
        )
        span = last(50)
        first, _, _ = await past(service, MINUTES, span)
        again, report, _ = await past(service, MINUTES, span)

    assert ["database"] == [each.source for each in report.sources]
    assert first.column("close").equals(again.column("close"))
