"""``get_data`` against the offline exchange: complete, correct, and honest about what is not."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from chandlery.core.errors import (
    Closed,
    IncompleteData,
    InvalidInput,
    InvalidRange,
    InvalidSymbol,
    UnknownInterval,
    UnknownName,
    UnsupportedRequest,
)
from chandlery.core.gaps import GapKind, Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.provenance import EventKind, Provenance
from chandlery.core.query import FUNDING_RATE_DTYPES, OUTPUT_DTYPES, ChartType, DataProvider, DataSource
from chandlery.core.time import to_datetime
from chandlery.history.async_manager import AsyncDataSourceManager
from chandlery.history.manager import DataSourceManager
from chandlery.sim.faults import Fault, FaultKind
from fixtures.support import at, grid_of

NOBODY = DataProvider.register("NOBODY")
"""A provider without a client."""


def account(frame):
    """The provenance of a frame."""
    return frame.attrs["chandlery"]


def kinds(frame):
    return {event.kind for event in account(frame).events}


def failing(path, kind=FaultKind.SERVER_ERROR, times=None, **more):
    return Fault(kind, path=path, times=times, **more)


# What comes back


def test_the_form_of_the_result(exchange):
    """A UTC index named open_time, monotonic and unique, and exactly the documented columns and dtypes."""
    frame = exchange.manager().get_data("BTCUSDT", at(2024, 12, 30), at(2025, 1, 3), Interval.HOUR_1)

    assert "open_time" == frame.index.name
    assert "datetime64[ns, UTC]" == str(frame.index.dtype)
    assert frame.index.is_monotonic_increasing
    assert frame.index.is_unique
    assert dict(OUTPUT_DTYPES) == {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert list(OUTPUT_DTYPES) == list(frame.columns)
    exchange.assert_same(frame, Interval.HOUR_1, at(2024, 12, 30), at(2025, 1, 3))


def test_the_range_is_half_open(exchange):
    """The candle that opens at the start is in, the one that opens at the end is not."""
    frame = exchange.manager().get_data("BTCUSDT", at(2024, 5, 1, 1), at(2024, 5, 1, 3), "1h")

    assert [at(2024, 5, 1, 1), at(2024, 5, 1, 2)] == list(frame.index)


def test_a_range_off_the_grid_holds_the_candles_that_open_in_it(exchange):
    """From 00:30 to 02:30 two hours open: 01:00 and 02:00. An aware datetime of any zone will do."""
    zone = timezone(timedelta(hours=2))
    start, end = datetime(2024, 5, 1, 2, 30, tzinfo=zone), datetime(2024, 5, 1, 4, 30, tzinfo=zone)

    frame = exchange.manager().get_data("BTCUSDT", start, end, "1h")

    assert [at(2024, 5, 1, 1), at(2024, 5, 1, 2)] == list(frame.index)


def test_a_range_in_which_nothing_opens_is_an_empty_frame_of_the_same_form(exchange):
    """No request is needed to know it."""
    frame = exchange.manager().get_data("BTCUSDT", at(2024, 5, 1, 1, 10), at(2024, 5, 1, 1, 20), "1h")

    assert 0 == len(frame)
    assert dict(OUTPUT_DTYPES) == {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert "datetime64[ns, UTC]" == str(frame.index.dtype)


@pytest.mark.parametrize("interval", list(Interval))
def test_every_interval(exchange, interval):
    """From a second to a month, over a change of year, the archive's monthly and daily files and REST."""
    end = at(2024, 12, 1, 0, 30) if interval is Interval.SECOND_1 else at(2025, 3, 20, 12)
    start = at(2024, 11, 30, 23) if interval is Interval.SECOND_1 else at(2024, 12, 29, 7)

    frame = exchange.manager().get_data("BTCUSDT", start, end, interval)

    closed = datetime.fromtimestamp(grid_of(interval).floor(to_micros(end)) / 1e6, UTC)
    exchange.assert_same(frame, interval, start, closed)
    assert () == account(frame).gaps


@pytest.mark.parametrize(
    ("market_type", "symbol", "other_spelling"),
    [
        (MarketType.SPOT, "ETHUSDT", "ETH/USDT"),
        (MarketType.FUTURES_USDT, "ETHUSDT", "ETH/USDT:USDT"),
        (MarketType.FUTURES_COIN, "ETHUSD_PERP", "ETH/USD:ETH"),
    ],
)
def test_the_three_markets_do_not_meet_in_the_cache(exchange, tmp_path, market_type, symbol, other_spelling):
    """Spot, linear and inverse of one symbol have prices of their own, and the cache keeps them apart."""
    for each in MarketType:
        native = "ETHUSD_PERP" if each is MarketType.FUTURES_COIN else "ETHUSDT"
        exchange.manager(tmp_path, each).get_data(native, at(2024, 5, 1), at(2024, 5, 3), "1h")
    exchange.forget()

    frame = exchange.manager(tmp_path, market_type).get_data(other_spelling, at(2024, 5, 1), at(2024, 5, 3), "1h")

    exchange.assert_same(frame, Interval.HOUR_1, at(2024, 5, 1), at(2024, 5, 3), symbol=symbol, market_type=market_type)
    assert [] == exchange.asked()


def test_a_minute_is_never_a_month(exchange, tmp_path):
    """1m and 1M of one symbol live in folders that differ on a case-insensitive disk too."""
    manager = exchange.manager(tmp_path)

    minutes = manager.get_data("BTCUSDT", at(2024, 5, 1), at(2024, 6, 1), "1m")
    months = manager.get_data("BTCUSDT", at(2024, 5, 1), at(2024, 6, 1), "1M")

    assert (31 * 1440, 1) == (len(minutes), len(months))
    folders = [path.name for path in tmp_path.glob("*/BINANCE/SPOT/KLINES/BTCUSDT/*")]
    assert ["1m", "1mo"] == sorted(folders)


def test_arrow_and_polars_have_the_same_rows(exchange):
    """open_time comes first; Arrow carries the provenance in its schema."""
    manager = exchange.manager()
    span = ("BTCUSDT", at(2024, 5, 1), at(2024, 5, 2), "1h")

    frame = manager.get_data(*span)
    table = manager.get_data(*span, output="arrow")
    polars = manager.get_data(*span, output="polars")

    assert isinstance(table, pa.Table)
    assert isinstance(polars, pl.DataFrame)
    assert ["open_time", *OUTPUT_DTYPES] == table.column_names == polars.columns
    np.testing.assert_array_equal(frame["close"], table["close"].to_numpy())
    np.testing.assert_array_equal(frame["close"], polars["close"].to_numpy())
    said = Provenance.from_json(table.schema.metadata[b"chandlery"])
    assert ["vision"] == [span.source for span in said.spans]


def test_a_frame_can_be_written_to_parquet_and_still_knows_its_sources(exchange, tmp_path):
    """What ``attrs`` holds survives the file."""
    frame = exchange.manager().get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 2), "1h")

    frame.to_parquet(tmp_path / "a.parquet")
    again = pd.read_parquet(tmp_path / "a.parquet")

    assert account(frame).spans == Provenance.carried_by(again.attrs).spans


# Where it comes from


def test_the_archive_serves_what_is_old_and_rest_what_is_new(exchange):
    """Provenance names the files with their SHA-256, and where REST begins."""
    frame = exchange.manager().get_data("BTCUSDT", at(2025, 3, 15), at(2025, 3, 20, 12), "1h")

    spans = account(frame).spans
    assert ["vision"] * 3 + ["rest"] == [span.source for span in spans]
    assert ["BTCUSDT-1h-2025-03-15", "BTCUSDT-1h-2025-03-16", "BTCUSDT-1h-2025-03-17", None] == [s.file for s in spans]
    assert all(len(span.sha256) == 64 for span in spans[:3])
    assert to_micros(at(2025, 3, 18)) == spans[3].start


def test_whole_months_come_in_monthly_files(exchange):
    """A quarter is three files, not ninety."""
    exchange.manager().get_data("BTCUSDT", at(2024, 4, 1), at(2024, 7, 1), "1h")

    assert 3 == len([path for path in exchange.asked("/monthly/") if path.endswith(".zip")])
    assert [] == exchange.asked("/daily/")


def test_the_second_time_nothing_is_asked(exchange, tmp_path):
    """The cache holds what was fetched, and says from where it once came."""
    span = ("BTCUSDT", at(2024, 4, 20), at(2024, 5, 3), "1h")
    first = exchange.manager(tmp_path).get_data(*span)
    exchange.forget()

    second = exchange.manager(tmp_path).get_data(*span)

    assert [] == exchange.asked()
    pd.testing.assert_frame_equal(first, second)
    assert {True} == {each.cached for each in account(second).spans}
    assert [each.sha256 for each in account(first).spans] == [each.sha256 for each in account(second).spans]


def test_without_the_cache_nothing_is_read_or_written(exchange, tmp_path):
    """``use_cache=False`` holds for one call as for a whole manager."""
    manager = exchange.manager(tmp_path)

    manager.get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 2), "1h", use_cache=False)
    manager.get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 2), "1h", use_cache=False)

    assert [] == list(tmp_path.rglob("*.arrow"))
    assert 4 == len(exchange.asked("2024-05-01"))


def test_a_forced_source_is_the_only_one(exchange, tmp_path):
    """REST alone, the archive alone; of the cache only what came from there."""
    manager = exchange.manager(tmp_path)
    span = ("BTCUSDT", at(2024, 5, 1), at(2024, 5, 4), "1h")

    rest = manager.get_data(*span, enforce_source=DataSource.REST)
    assert [] == exchange.asked(".zip")
    exchange.forget()
    vision = manager.get_data(*span, enforce_source="vision")

    assert [] == exchange.asked("/klines?")
    assert {"rest"} == {each.source for each in account(rest).spans}
    assert {"vision"} == {each.source for each in account(vision).spans}
    pd.testing.assert_frame_equal(rest, vision)


@pytest.mark.parametrize("year", [2024, 2025])
def test_a_candle_is_the_same_from_archive_and_rest(exchange, year):
    """To the close_time: the spot archive went over to microseconds in 2025, REST did not."""
    manager = exchange.manager()
    span = ("BTCUSDT", at(year, 2, 1), at(year, 2, 2), "1h")

    frames = [manager.get_data(*span, enforce_source=source) for source in (DataSource.REST, DataSource.VISION)]

    pd.testing.assert_frame_equal(*frames)
    assert (999_999_000 if year == 2025 else 999_000_000) == frames[0]["close_time"].iloc[0].value % 1_000_000_000


def test_a_long_range_by_rest_is_never_cut_short(exchange):
    """More than REST_CHUNK_SIZE times REST_MAX_CHUNKS candles, where REST alone is allowed, with progress."""
    told = []
    start, end = at(2024, 5, 1), at(2024, 5, 6)

    frame = exchange.manager().get_data(
        "BTCUSDT", start, end, "1m", enforce_source=DataSource.REST, progress=told.append
    )

    exchange.assert_same(frame, Interval.MINUTE_1, start, end)
    assert len(frame) > DataSourceManager.REST_CHUNK_SIZE * DataSourceManager.REST_MAX_CHUNKS
    assert 8 == len(exchange.asked("/klines?"))
    assert sorted(each.done for each in told) == [each.done for each in told]
    assert (7200, 7200, "rest") == (told[-1].done, told[-1].total, told[-1].source)


def test_the_inverse_market_keeps_the_newest_rows_of_a_span_of_200_days(exchange):
    """Years of days come complete all the same: each request names both ends and at most 200 days."""
    manager = exchange.manager(market_type=MarketType.FUTURES_COIN)

    frame = manager.get_data("BTCUSD_PERP", at(2023, 1, 1), at(2025, 1, 1), "1d", enforce_source=DataSource.REST)

    exchange.assert_same(
        frame, Interval.DAY_1, at(2023, 1, 1), at(2025, 1, 1), symbol="BTCUSD_PERP", market_type=MarketType.FUTURES_COIN
    )
    assert 4 == len(exchange.asked("/klines?"))


def test_days_that_may_be_published_already_are_tried_in_the_archive(exchange):
    """Two days of seconds are too many requests: the day before yesterday is asked of the archive first."""
    frame = exchange.manager().get_data("BTCUSDT", at(2025, 3, 18, 23, 30), at(2025, 3, 19, 0, 30), "1s")
    assert [] == exchange.asked("2025-03-18.zip")
    exchange.forget()

    longer = exchange.manager().get_data("BTCUSDT", at(2025, 3, 18, 20), at(2025, 3, 19, 0, 30), "1s")

    assert 2 == len(exchange.asked("1s-2025-03-18.zip"))
    exchange.assert_same(frame, Interval.SECOND_1, at(2025, 3, 18, 23, 30), at(2025, 3, 19, 0, 30))
    exchange.assert_same(longer, Interval.SECOND_1, at(2025, 3, 18, 20), at(2025, 3, 19, 0, 30))


# The running candle


def test_the_running_candle_is_left_out(exchange, tmp_path):
    """At 12:00:30 the last closed hour opened at 11:00, the last closed minute at 11:59."""
    manager = exchange.manager(tmp_path)

    hours = manager.get_data("BTCUSDT", at(2025, 3, 20, 9), at(2025, 3, 21), "1h")
    minutes = manager.get_data("BTCUSDT", at(2025, 3, 20, 11, 57), at(2025, 3, 21), "1m")

    assert at(2025, 3, 20, 11) == hours.index[-1]
    assert at(2025, 3, 20, 11, 59) == minutes.index[-1]
    assert () == account(hours).gaps


def test_the_exchanges_clock_decides_what_is_closed(exchange):
    """A clock of ours that runs five minutes ahead does not close candles early."""
    fast = exchange.manager(clock=lambda: to_micros(at(2025, 3, 20, 12, 5, 30)))

    frame = fast.get_data("BTCUSDT", at(2025, 3, 20, 11, 55), at(2025, 3, 20, 13), "1m")

    assert at(2025, 3, 20, 11, 59) == frame.index[-1]


@pytest.mark.parametrize("interval", ["1h", "1d", "3d", "1w", "1M"])
@pytest.mark.parametrize("include_open", [False, True])
def test_a_range_to_the_end_of_the_calendar_is_one_to_now(exchange, interval, include_open):
    """It says up to when it answers; no number on the way is too small for the year 9999."""
    begin, last, now = at(2025, 1, 1), datetime.max.replace(tzinfo=UTC), to_micros(at(2025, 3, 20, 12, 0, 30))

    frame = exchange.manager().get_data("BTCUSDT", begin, last, interval, include_open=include_open)

    grid = grid_of(Interval(interval))
    closed = exchange.expected(Interval(interval), begin, to_datetime(grid.floor(now)))["open_time"].tolist()
    assert [*closed, grid.floor(now)][: len(closed) + include_open] == (frame.index.asi8 // 1000).tolist()
    assert [now] == [each.start for each in account(frame).events if each.kind is EventKind.ENDS_IN_FUTURE]


def test_an_exchange_that_does_not_tell_the_time_is_taken_to_share_ours(exchange):
    """What is asked for by REST may still succeed; where it does not, that failure is the one reported."""
    exchange.faults.append(failing("api/v3/time"))

    frame = exchange.manager(retry_count=0).get_data("BTCUSDT", at(2025, 3, 20, 11, 50), at(2025, 3, 20, 13), "1m")

    exchange.assert_same(frame, Interval.MINUTE_1, at(2025, 3, 20, 11, 50), at(2025, 3, 20, 12))


def test_a_candle_that_may_still_change_is_not_kept(exchange, tmp_path):
    """It is asked for again: final is what closed a declared while ago."""
    manager = exchange.manager(tmp_path)
    span = ("BTCUSDT", at(2025, 3, 20, 11, 50), at(2025, 3, 20, 12), "1m")
    manager.get_data(*span)
    exchange.forget()

    manager.get_data(*span)

    (asked,) = exchange.asked("/klines?")
    assert f"startTime={to_micros(at(2025, 3, 20, 11, 58)) // 1000}&" in asked, "with the candle before"


def test_the_running_candle_comes_marked_where_it_is_asked_for(exchange, tmp_path):
    """A column ``closed`` marks it; it is not cached."""
    manager = exchange.manager(tmp_path)
    span = ("BTCUSDT", at(2025, 3, 20, 9), at(2025, 3, 21), "1h")

    frame = manager.get_data(*span, include_open=True)

    assert [*OUTPUT_DTYPES, "closed"] == list(frame.columns)
    assert [True, True, True, False] == frame["closed"].tolist()
    assert at(2025, 3, 20, 12) == frame.index[-1]
    assert to_micros(at(2025, 3, 20, 12)) == account(frame).open_candle
    again = manager.get_data(*span)
    assert at(2025, 3, 20, 11) == again.index[-1]
    assert list(OUTPUT_DTYPES) == list(again.columns)


# Faults that are survived


@pytest.mark.parametrize(
    ("kind", "noticed"),
    [
        (FaultKind.MISSING_DAY, EventKind.MISSING_ARCHIVE_FILE),
        (FaultKind.BAD_CHECKSUM, EventKind.BAD_CHECKSUM),
        (FaultKind.CORRUPT_ZIP, EventKind.BAD_ARCHIVE),
        (FaultKind.MISSING_ROW, EventKind.MISSING_ROWS),
        (FaultKind.DOUBLED_ROW, EventKind.DOUBLED_ROWS),
        (FaultKind.CONFLICTING_ROW, EventKind.CONFLICTING_ROWS),
        (FaultKind.WRONG_ORDER, EventKind.UNORDERED_ROWS),
        (FaultKind.SERVER_ERROR, EventKind.BAD_ARCHIVE),
    ],
)
def test_what_the_archive_gets_wrong_is_noticed_and_repaired_from_rest(exchange, tmp_path, kind, noticed):
    """The result equals the market, the event is recorded, and the cache keeps the repaired rows."""
    exchange.faults.append(failing(r"1h-2024-05-02\.zip", kind))
    manager = exchange.manager(tmp_path)
    span = ("BTCUSDT", at(2024, 5, 1), at(2024, 5, 4), "1h")

    frame = manager.get_data(*span)

    exchange.assert_same(frame, Interval.HOUR_1, at(2024, 5, 1), at(2024, 5, 4))
    assert noticed in kinds(frame)
    assert () == account(frame).gaps
    exchange.forget()
    pd.testing.assert_frame_equal(frame, manager.get_data(*span))
    assert [] == exchange.asked()


def test_a_bad_checksum_is_tried_once_more_and_never_used(exchange):
    """Wrong once: the second reading is used. Wrong twice: that day comes from REST."""
    exchange.faults.append(failing(r"1h-2024-05-02\.zip\.CHECKSUM", FaultKind.BAD_CHECKSUM, times=1))
    span = ("BTCUSDT", at(2024, 5, 1), at(2024, 5, 4), "1h")

    once = exchange.manager().get_data(*span)
    assert 2 == len(exchange.asked("1h-2024-05-02.zip.CHECKSUM"))
    exchange.forget()
    exchange.faults.append(failing(r"1h-2024-05-02\.zip\.CHECKSUM", FaultKind.BAD_CHECKSUM))
    twice = exchange.manager().get_data(*span)

    assert ["vision"] * 3 == [each.source for each in account(once).spans]
    assert ["vision", "rest", "vision"] == [each.source for each in account(twice).spans]
    assert {EventKind.BAD_CHECKSUM} == kinds(twice)
    assert 2 == len(exchange.asked("1h-2024-05-02.zip.CHECKSUM"))


def test_a_month_that_is_missing_comes_by_the_day(exchange):
    """Where the monthly file is not to be had, daily files are asked before REST."""
    exchange.faults.append(failing(r"1h-2024-04\.zip", FaultKind.MISSING_DAY))

    frame = exchange.manager().get_data("BTCUSDT", at(2024, 4, 1), at(2024, 5, 1), "1h")

    exchange.assert_same(frame, Interval.HOUR_1, at(2024, 4, 1), at(2024, 5, 1))
    assert {"vision"} == {each.source for each in account(frame).spans}
    assert 30 == len([path for path in exchange.asked("/daily/") if path.endswith(".zip")])


@pytest.mark.parametrize("kind", [FaultKind.CORRUPT_ZIP, FaultKind.BAD_CHECKSUM])
@pytest.mark.parametrize("source", ["auto", "vision"])
def test_a_month_that_is_broken_comes_by_the_day(exchange, kind, source):
    """As one that is missing: its days are good, and no candle is asked of REST; the event says what was wrong."""
    exchange.faults.append(failing(r"1h-2024-04\.zip", kind))

    frame = exchange.manager().get_data("BTCUSDT", at(2024, 4, 1), at(2024, 5, 1), "1h", enforce_source=source)

    exchange.assert_same(frame, Interval.HOUR_1, at(2024, 4, 1), at(2024, 5, 1))
    assert {"vision"} == {each.source for each in account(frame).spans}
    assert 30 == len([path for path in exchange.asked("/daily/") if path.endswith(".zip")])
    assert kinds(frame) <= {EventKind.BAD_ARCHIVE, EventKind.BAD_CHECKSUM}
    assert kinds(frame)


def test_several_missing_months_all_come_by_the_day(exchange):
    """Neighbours that are both missing are one hole, and yet each is asked for by its days."""
    exchange.faults.append(failing(r"1h-2024-0[45]\.zip", FaultKind.MISSING_DAY))

    frame = exchange.manager().get_data("BTCUSDT", at(2024, 3, 1), at(2024, 6, 1), "1h")

    exchange.assert_same(frame, Interval.HOUR_1, at(2024, 3, 1), at(2024, 6, 1))
    assert {"vision"} == {each.source for each in account(frame).spans}
    assert 61 == len([path for path in exchange.asked("/daily/") if path.endswith(".zip")])


def test_an_archive_that_is_down_is_not_asked_for_every_file(exchange):
    """One file fails after its retries; the others are not waited for, and REST serves the range."""
    exchange.faults.append(failing("/vision/"))

    frame = exchange.manager(retry_count=1, max_concurrent_downloads=1).get_data(
        "BTCUSDT", at(2024, 5, 1), at(2024, 5, 20), "1h"
    )

    exchange.assert_same(frame, Interval.HOUR_1, at(2024, 5, 1), at(2024, 5, 20))
    assert len(exchange.asked("/vision/")) <= 4


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.TOO_MANY_REQUESTS,
        FaultKind.BANNED,
        FaultKind.SERVER_ERROR,
        FaultKind.CUT_BODY,
        FaultKind.RESET,
        FaultKind.BAD_JSON,
        FaultKind.STALL,
        FaultKind.SLOW,
    ],
)
@pytest.mark.parametrize("path", ["api/v3/klines", r"\.zip"])
def test_passing_faults_leave_no_trace_in_the_data(exchange, kind, path):
    """Requests that fail twice for a passing reason are repeated, by REST as in the archive."""
    if kind is FaultKind.BAD_JSON:
        path = "api/v3/klines"
    exchange.faults.append(failing(path, kind, times=2, seconds=0.05, retry_after=0))

    frame = exchange.manager().get_data("BTCUSDT", at(2025, 3, 16), at(2025, 3, 20, 12), "1h")

    exchange.assert_same(frame, Interval.HOUR_1, at(2025, 3, 16), at(2025, 3, 20, 12))
    assert exchange.faults[0].used >= 1


# Faults that are not


def test_a_chunk_that_fails_is_an_error_that_carries_the_rest(exchange, tmp_path):
    """``data`` is what was got, ``missing`` what was not; what was got is cached all the same."""
    lost = to_micros(at(2024, 5, 1, 16, 38))
    exchange.faults.append(failing(f"startTime={lost // 1000 - 60_000}"))
    manager = exchange.manager(tmp_path, retry_count=1)
    span = ("BTCUSDT", at(2024, 5, 1), at(2024, 5, 3), "1m")

    with pytest.raises(
        IncompleteData, match=r"2024-05-01T16:38:00Z, 2024-05-02T09:16:00Z.*on_missing='report'"
    ) as caught:
        manager.get_data(*span, enforce_source=DataSource.REST)

    (gap,) = caught.value.missing
    assert Span(lost, to_micros(at(2024, 5, 2, 9, 16))) == gap.span
    assert GapKind.FETCH_FAILED is gap.kind
    assert 1882 == len(caught.value.data)
    assert not caught.value.data.index.isin(
        pd.date_range(at(2024, 5, 1, 16, 38), at(2024, 5, 2, 9, 15), freq="1min")
    ).any()
    exchange.forget()
    whole = manager.get_data(*span, enforce_source=DataSource.REST)
    exchange.assert_same(whole, Interval.MINUTE_1, at(2024, 5, 1), at(2024, 5, 3))
    assert 1 == len(exchange.asked("/klines"))


def test_the_part_can_be_had_with_the_gap_marked(exchange):
    """``on_missing="report"`` returns what there is; the provenance says what is not."""
    exchange.faults.append(failing("api/v3/klines"))

    frame = exchange.manager(retry_count=0).get_data(
        "BTCUSDT", at(2025, 3, 16), at(2025, 3, 20, 12), "1h", on_missing="report"
    )

    exchange.assert_same(frame, Interval.HOUR_1, at(2025, 3, 16), at(2025, 3, 18))
    (gap,) = account(frame).gaps
    assert Span(to_micros(at(2025, 3, 18)), to_micros(at(2025, 3, 20, 12))) == gap.span
    assert GapKind.FETCH_FAILED is gap.kind
    assert "status 503" in gap.evidence


def test_the_archive_alone_may_lack_a_day(exchange):
    """Whether the exchange has it was not asked, so the result counts as incomplete."""
    exchange.faults.append(failing(r"1h-2024-05-02\.zip", FaultKind.MISSING_DAY))

    with pytest.raises(IncompleteData) as caught:
        exchange.manager().get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 4), "1h", enforce_source=DataSource.VISION)

    assert [GapKind.NOT_IN_ARCHIVE] == [gap.kind for gap in caught.value.missing]
    assert 48 == len(caught.value.data)


def test_a_halt_of_the_exchange_is_told_from_a_failed_fetch(exchange, tmp_path):
    """Archive and REST, asked twice, agree that there are no candles: a gap with evidence, and no error."""
    manager = exchange.manager(tmp_path)
    span = ("BTCUSDT", at(2024, 11, 4), at(2024, 11, 7), "1m")

    frame = manager.get_data(*span)

    exchange.assert_same(frame, Interval.MINUTE_1, at(2024, 11, 4), at(2024, 11, 7))
    (gap,) = account(frame).gaps
    assert (to_micros(at(2024, 11, 5, 2)), to_micros(at(2024, 11, 5, 3, 30))) == (gap.start, gap.end)
    assert GapKind.HALT is gap.kind
    exchange.forget()
    assert (gap,) == account(manager.get_data(*span)).gaps
    assert [] == exchange.asked(), "the cache remembers that there is nothing"


def test_before_the_first_candle_there_is_nothing_and_it_costs_few_requests(exchange, tmp_path):
    """Years before the listing are not requested file by file; that no month is older is requested twice."""
    manager = exchange.manager(tmp_path)
    span = ("BTCUSDT", at(2016, 1, 1), at(2017, 9, 1), "1d")

    frame = manager.get_data(*span)

    exchange.assert_same(frame, Interval.DAY_1, at(2016, 1, 1), at(2017, 9, 1))
    assert {GapKind.NOT_LISTED} == {gap.kind for gap in account(frame).gaps}
    assert ["1d"] == [path.partition("interval=")[2][:2] for path in exchange.asked("startTime=0&")]
    assert 2 == len(exchange.asked("interval=1M&"))
    assert len(exchange.asked()) < 60


def test_the_first_candle_of_the_inverse_market_is_searched_for(exchange):
    """Its pages count back from their end, so a request from the beginning of time does not find it."""
    manager = exchange.manager(market_type=MarketType.FUTURES_COIN)

    frame = manager.get_data("BTCUSD_PERP", at(2020, 1, 1), at(2020, 9, 1), "1h")

    exchange.assert_same(
        frame,
        Interval.HOUR_1,
        at(2020, 1, 1),
        at(2020, 9, 1),
        symbol="BTCUSD_PERP",
        market_type=MarketType.FUTURES_COIN,
    )
    assert {GapKind.NOT_LISTED} == {gap.kind for gap in account(frame).gaps}
    assert len(exchange.asked()) < 40


def test_a_full_disk_does_not_cost_the_data(exchange):
    """The rows are returned, and an event says that they were not kept."""
    frame = exchange.manager("/proc/nothing-can-be-made-here").get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 2), "1h")

    exchange.assert_same(frame, Interval.HOUR_1, at(2024, 5, 1), at(2024, 5, 2))
    assert EventKind.CACHE_NOT_WRITTEN in kinds(frame)


def test_a_damaged_cache_file_is_set_aside_and_fetched_again(exchange, tmp_path):
    """The result is whole, and says that it happened."""
    manager = exchange.manager(tmp_path)
    span = ("BTCUSDT", at(2024, 5, 1), at(2024, 5, 4), "1h")
    manager.get_data(*span)
    (file,) = tmp_path.rglob("2024-05-02.arrow")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    frame = manager.get_data(*span)

    exchange.assert_same(frame, Interval.HOUR_1, at(2024, 5, 1), at(2024, 5, 4))
    assert EventKind.DAMAGED_CACHE_FILE in kinds(frame)


def test_topping_up_a_day_keeps_what_it_has(exchange, tmp_path):
    """Twenty rows and then four more are twenty-four, not four."""
    manager = exchange.manager(tmp_path)
    manager.get_data("BTCUSDT", at(2025, 3, 19), at(2025, 3, 19, 20), "1h")
    manager.get_data("BTCUSDT", at(2025, 3, 19, 20), at(2025, 3, 20), "1h")
    exchange.forget()

    frame = manager.get_data("BTCUSDT", at(2025, 3, 19), at(2025, 3, 20), "1h")

    exchange.assert_same(frame, Interval.HOUR_1, at(2025, 3, 19), at(2025, 3, 20))
    assert [] == exchange.asked("/klines")


# Funding


@pytest.mark.parametrize(
    ("market_type", "symbol"), [(MarketType.FUTURES_USDT, "BTCUSDT"), (MarketType.FUTURES_COIN, "BTCUSD_PERP")]
)
def test_funding_rates(exchange, tmp_path, market_type, symbol):
    """At the moments at which they were due, some milliseconds past the hour included, over several pages."""
    manager = exchange.manager(tmp_path, market_type, chart_type=ChartType.FUNDING_RATE)
    start, end = at(2023, 1, 1), at(2024, 3, 1)

    frame = manager.get_data(symbol, start, end, Interval.HOUR_8)

    expected = exchange.market.funding(market_type, symbol, Span(to_micros(start), to_micros(end)))
    np.testing.assert_array_equal(expected["open_time"] * 1000, frame.index.asi8)
    np.testing.assert_array_equal(expected["funding_rate"], frame["funding_rate"])
    assert dict(FUNDING_RATE_DTYPES) == {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert {symbol} == set(frame["contracts"])
    assert {"8h"} == set(frame["funding_interval"])
    exchange.forget()
    pd.testing.assert_frame_equal(frame, manager.get_data(symbol, start, end, Interval.HOUR_8))
    assert [] == exchange.asked("/fundingRate")


@pytest.mark.parametrize(
    ("start", "end", "unit"),
    [
        ("2024-05-01", "2024-05-03T00:00Z", "ms"),
        (date(2024, 5, 1), pd.Timestamp("2024-05-03"), "ms"),
        (np.datetime64("2024-05-01"), np.datetime64("2024-05-03T00:00:00"), "ms"),
        (1_714_521_600_000, 1_714_694_400_000, "ms"),
        (1_714_521_600, np.int64(1_714_694_400), "s"),
    ],
)
def test_times_in_every_form(exchange, start, end, unit):
    """The same two days."""
    frame = exchange.manager().get_data("BTCUSDT", start, end, "1h", unit=unit)

    assert (48, at(2024, 5, 1)) == (len(frame), frame.index[0])


def test_a_range_until_now(exchange):
    """Relative times are those of the manager's clock; ``end_time`` left out is now."""
    manager = exchange.manager()
    expected = manager.get_data("BTCUSDT", at(2025, 3, 20, 8), at(2025, 3, 20, 12), "1h")

    pd.testing.assert_frame_equal(expected, manager.get_data("BTCUSDT", "5h", interval="1h"))
    pd.testing.assert_frame_equal(expected, manager.get_data("BTCUSDT", "5h", "now", "1h"))


def test_one_manager_serves_both_kinds(exchange):
    """``chart_type`` in the call takes the place of the manager's."""
    manager = exchange.manager(market_type=MarketType.FUTURES_USDT)

    klines = manager.get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 3), "1h", chart_type=ChartType.KLINES)
    funding = manager.get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 3), "8h", chart_type=ChartType.FUNDING_RATE)

    assert (48, 6) == (len(klines), len(funding))


# Questions that cannot be answered


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"start_time": datetime(2024, 5, 1)}, InvalidRange, r"start_time.*no time zone.*2024-05-01 00:00:00\+00:00"),  # noqa: DTZ001  # the naive one is the point
        ({"end_time": datetime(2024, 5, 2)}, InvalidRange, "end_time.*no time zone"),  # noqa: DTZ001  # the same
        ({"start_time": "1 May 2024"}, InvalidRange, "start_time '1 May 2024' is not a time; write 2024-01-01"),
        ({"start_time": 1_714_521_600}, InvalidRange, "start_time 1714521600 is not in milliseconds"),
        ({"end_time": at(2024, 5, 1)}, InvalidRange, "not after its start"),
        ({"start_time": at(2030, 1, 1), "end_time": at(2030, 1, 2)}, InvalidRange, "in the future"),
        ({"start_time": at(1960, 1, 1)}, InvalidRange, "before 1970"),
        ({"interval": "7m"}, UnknownInterval, "1m is a minute, 1M a month"),
        ({"symbol": ""}, InvalidSymbol, "give e.g. BTC/USDT"),
        ({"symbol": "../../etc"}, InvalidSymbol, "write BTC/USDT for spot"),
        ({"symbol": "BTCUSD_PERP"}, InvalidSymbol, "is not a symbol of binance_spot"),
        ({"symbol": "BTC/USDT:USDT"}, InvalidSymbol, "not of SPOT"),
        ({"enforce_source": "rets"}, InvalidInput, "one of auto, rest, vision"),
        ({"output": "numpy"}, InvalidInput, "one of pandas, polars, arrow"),
        ({"on_missing": "ignore"}, InvalidInput, "one of raise, report"),
        ({"provider": "NASDAQ"}, UnknownName, "is not a DataProvider; use one of BINANCE, "),
        ({"chart_type": "trades"}, UnknownName, "one of klines, fundingRate"),
        ({"chart_type": ChartType.FUNDING_RATE}, UnknownName, "nothing serves BINANCE SPOT FUNDING_RATE"),
        ({"provider": NOBODY}, UnknownName, "nothing serves NOBODY"),
    ],
)
def test_a_bad_question_is_refused_before_anything_is_sent(exchange, change, error, says):
    """The error is ours, says what was wrong and what would be right. Only what the future is, the exchange says."""
    question = {"symbol": "BTCUSDT", "start_time": at(2024, 5, 1), "end_time": at(2024, 5, 2), "interval": "1h"}

    with pytest.raises(error, match=says):
        exchange.manager().get_data(**question | change)

    assert exchange.asked("/time") == exchange.asked()


def test_an_interval_that_a_market_lacks_is_refused_with_what_it_has(exchange):
    """Futures have no seconds; nothing is sent to find out."""
    with pytest.raises(UnsupportedRequest, match="binance_perpetual has no 1s candles; it has 1m 3m"):
        exchange.manager(market_type=MarketType.FUTURES_USDT).get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 2))

    assert [] == exchange.asked()


def test_funding_has_no_archive(exchange):
    """The archive alone was demanded, and the error says what to use."""
    manager = exchange.manager(market_type=MarketType.FUTURES_USDT, chart_type=ChartType.FUNDING_RATE)

    with pytest.raises(UnsupportedRequest, match=r"use DataSource\.AUTO"):
        manager.get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 2), "8h", enforce_source=DataSource.VISION)


def test_a_symbol_that_the_exchange_does_not_know(exchange):
    """Its own answer becomes our error, not a hole."""
    exchange.faults.append(failing("/vision/", FaultKind.MISSING_DAY))

    with pytest.raises(InvalidSymbol, match="binance_spot does not know the symbol"):
        exchange.manager().get_data("NOSUCHSYMBOL", at(2024, 5, 1), at(2024, 5, 2), "1h")


@pytest.mark.parametrize("option", [{"max_concurrent": 0}, {"max_concurrent_downloads": 0}, {"retry_count": -1}])
def test_numbers_that_make_no_sense_are_refused(exchange, option):
    """As early as it can be known."""
    with pytest.raises(InvalidInput, match=next(iter(option))):
        exchange.manager(**option)


@pytest.mark.parametrize("more", [{"enforce_source": "vision"}, {"chart_type": ChartType.FUNDING_RATE}])
def test_there_is_no_running_candle_in_an_archive_nor_among_events(exchange, more):
    """Refused before anything is sent."""
    manager = exchange.manager(market_type=MarketType.FUTURES_USDT)

    with pytest.raises(UnsupportedRequest, match="include_open needs candles and REST"):
        manager.get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 2), "1h", include_open=True, **more)

    assert [] == exchange.asked()


def test_a_closed_manager_says_so(exchange):
    """It is an error of its own, not missing data."""
    manager = exchange.manager()
    manager.close()

    with pytest.raises(Closed, match="make a new one"):
        manager.get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 2), "1h")


@pytest.mark.parametrize(
    ("option", "error", "says"),
    [
        ({"market_type": "fx"}, InvalidInput, "market_type is 'fx'; use one of spot, futures_usdt, futures_coin"),
        (
            {"endpoints": {"binance_sopt": {}}},
            UnknownName,
            "binance_sopt, which is not an exchange; use one of .*binance_spot",
        ),
        ({"provider": "BINNACE"}, UnknownName, "one of BINANCE"),
    ],
)
def test_a_mistyped_name_never_reaches_the_real_exchange(exchange, option, error, says):
    """Least of all a mistyped endpoint, which would leave the real one in place."""
    with pytest.raises(error, match=says):
        exchange.manager(**option)


# Ways to call it


def test_the_documented_constants_can_be_set_by_a_subclass(exchange):
    """A delay of five days, pages of a hundred."""

    class Patient(DataSourceManager):
        VISION_DATA_DELAY_HOURS = 5 * 24
        REST_CHUNK_SIZE = 100

    assert (48, 1000, 5) == (
        DataSourceManager.VISION_DATA_DELAY_HOURS,
        DataSourceManager.REST_CHUNK_SIZE,
        DataSourceManager.REST_MAX_CHUNKS,
    )
    with Patient(use_cache=False, endpoints=exchange.endpoints, clock=exchange.server.clock) as manager:
        frame = manager.get_data("BTCUSDT", at(2025, 3, 14), at(2025, 3, 20), "1h")

    assert to_micros(at(2025, 3, 15)) == next(each.start for each in account(frame).spans if each.source == "rest")
    assert 2 == len(exchange.asked("/klines?"))


def test_several_threads_share_one_manager(exchange, tmp_path):
    """Each gets its own answer."""
    manager = exchange.manager(tmp_path)
    days = [at(2024, 5, day) for day in range(1, 9)]
    got = {}

    def fetch(day):
        got[day] = manager.get_data("BTCUSDT", day, day + timedelta(days=1), "1h")

    threads = [threading.Thread(target=fetch, args=(day,)) for day in days]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    for day in days:
        exchange.assert_same(got[day], Interval.HOUR_1, day, day + timedelta(days=1))


async def test_the_synchronous_face_works_inside_a_running_loop(exchange):
    """As in a notebook."""
    frame = exchange.manager().get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 2), "1h")

    exchange.assert_same(frame, Interval.HOUR_1, at(2024, 5, 1), at(2024, 5, 2))


async def test_the_asynchronous_twin(exchange, tmp_path):
    """The same arguments and results; several calls at once."""
    options = {"endpoints": exchange.endpoints, "cache_dir": tmp_path, "clock": lambda: to_micros(at(2025, 3, 20))}
    async with AsyncDataSourceManager(**options) as manager:
        frames = await asyncio.gather(
            *(manager.get_data("BTCUSDT", at(2024, 5, day), at(2024, 5, day + 1), "1h") for day in (1, 2, 3))
        )

    for day, frame in enumerate(frames, 1):
        exchange.assert_same(frame, Interval.HOUR_1, at(2024, 5, day), at(2024, 5, day + 1))
