"""Live candles in SQLite."""

from __future__ import annotations

import pytest
from msgspec import structs

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import DAY, MINUTE
from chandlery.database.candles import CandleRepository
from chandlery.database.sqlite import SqliteDatabase
from chandlery.tables.candle_rows import SCHEMA, TIMES, timed, times_of
from chandlery.tables.frame import open_times

START = 19_723 * DAY
"""2024-01-01."""
SERIES = SeriesId.of_candles("binance", "BTC/USDT", Interval.MINUTE_1)
EVER = Span(0, 2**62)


@pytest.fixture
async def candles(tmp_path):
    """An empty table."""
    async with SqliteDatabase(tmp_path / "d.sqlite3") as database:
        yield CandleRepository(database)


def candle(minute, close=1.5, *, closed=True, **more):
    """A candle of a minute."""
    return CandleData(START + minute * MINUTE, 1.0, 2.0, 0.5, close, 9.0, closed=closed, **more)


async def test_what_was_saved_comes_as_the_library_gives_it(candles, make):
    """Columns and types of past candles, oldest first, closed ones only; what was not sent is NaN."""
    full = candle(0, quote_asset_volume=7.0, count=3, taker_buy_volume=4.0, taker_buy_quote_volume=5.0)
    await candles.save(SERIES, [candle(2), full, candle(3, closed=False)])
    table = await candles.table(SERIES, Interval.MINUTE_1, EVER, 100)

    assert SCHEMA == table.schema
    assert make.rows([0]).schema.names == table.column_names[: -len(TIMES)]
    assert [full.open_time, candle(2).open_time] == open_times(table).tolist()
    assert [7.0, 3, 4.0, 5.0] == [table.column(name)[0].as_py() for name in table.column_names[7:11]]
    assert table.column("quote_asset_volume")[1].as_py() != table.column("quote_asset_volume")[1].as_py()
    assert full.open_time + MINUTE - 1 == table.column("close_time")[0].value // 1000
    assert candle(3, closed=False) == await candles.latest(SERIES)
    assert candle(2).open_time == await candles.last_closed(SERIES)


async def test_a_running_candle_never_replaces_a_closed_one(candles):
    """A closed one replaces what was told before, also another closed one."""
    for each in (candle(0, 1.0, closed=False), candle(0, 1.1, closed=False)):
        await candles.save(SERIES, [each])
        assert each == await candles.latest(SERIES)
    for closed in (candle(0, 1.2), candle(0, 1.3)):
        await candles.save(SERIES, [closed, candle(0, 1.9, closed=False)])
        assert closed == await candles.latest(SERIES)


async def test_a_table_is_saved_as_its_rows(candles, make):
    """By column, and found again value for value."""
    table = make.rows([START, START + MINUTE], 3.25)
    await candles.save_table(SERIES, table)
    found = await candles.table(SERIES, Interval.MINUTE_1, EVER, 10)

    assert timed(table).drop_columns(["close_time"]).equals(found.drop_columns(["close_time"]))


async def test_a_candle_is_stored_with_when_it_came(candles):
    """Both times, to the microsecond, or none; one that takes the place of another brings its own."""
    both, early, none = (
        candle(minute, **times) for minute, times in enumerate(({"at": 5, "received_at": 7}, {"received_at": 9}, {}))
    )
    await candles.save(SERIES, [candle(0, closed=False, at=1, received_at=2), both, early, none])
    table = await candles.table(SERIES, Interval.MINUTE_1, EVER, 100)
    latest = await candles.latest(SERIES)

    assert [[7, 9, None], [5, None, None]] == [times_of(table, name) for name in TIMES]
    assert (None, None) == (latest.at, latest.received_at)
    await candles.save_table(SERIES, timed(table.select(range(11)), {"received_at": [11, 12, None], "at": [None] * 3}))
    again = await candles.table(SERIES, Interval.MINUTE_1, EVER, 100)
    assert [[11, 12, None], [None] * 3] == [times_of(again, name) for name in TIMES]
    await candles.save(SERIES, [candle(3, closed=False, at=3, received_at=4)])
    running = await candles.latest(SERIES)
    assert (3, 4) == (running.at, running.received_at)


async def test_nothing_is_known_of_another_series(candles):
    """Neither of another interval, nor of another market of the coin."""
    await candles.save(SERIES, [candle(0)])
    for other in (structs.replace(SERIES, symbol="BTC/USDT:USDT"), structs.replace(SERIES, channel="candles:1M")):
        assert 0 == (await candles.table(other, Interval.MINUTE_1, EVER, 10)).num_rows
        assert None is await candles.latest(other)
        assert None is await candles.last_closed(other)


async def test_pages_and_pruning(candles):
    """The first so many of a range; older ones go, of every series."""
    await candles.save(SERIES, [candle(minute) for minute in range(10)])
    await candles.save(structs.replace(SERIES, symbol="ETH/USDT"), [candle(0)])
    page = await candles.table(SERIES, Interval.MINUTE_1, Span(START + 2 * MINUTE, START + DAY), 3)

    assert [2, 3, 4] == [(each - START) // MINUTE for each in open_times(page).tolist()]
    assert 5 == await candles.prune(START + 4 * MINUTE)
    left = await candles.table(SERIES, Interval.MINUTE_1, EVER, 100)
    assert [START + minute * MINUTE for minute in range(4, 10)] == open_times(left).tolist()
