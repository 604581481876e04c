"""What users of such software report, by the number under which it is listed, and what happens here instead."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import timedelta
from textwrap import dedent

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from chandlery.cache.series import SeriesKey
from chandlery.core.errors import IncompleteData, InvalidSymbol, UnsupportedRequest
from chandlery.core.gaps import GapKind, Span
from chandlery.core.instrument import Instrument, MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.provenance import EventKind
from chandlery.core.query import ChartType, DataProvider, DataSource
from chandlery.core.time import DAY, SECOND
from chandlery.history.async_manager import AsyncDataSourceManager
from chandlery.history.manager import DataSourceManager
from chandlery.sim.faults import Fault, FaultKind
from chandlery.sim.recorded import RecordedMarket
from chandlery.sim.server import running
from fixtures.support import at


def account(frame):
    """The provenance of a frame."""
    return frame.attrs["chandlery"]


def kinds(frame):
    """What was noticed."""
    return {event.kind for event in account(frame).events}


def write_day(folder, day, *, micros, header, shift=0, rows=24):
    """An archive file of hours, as one day of the archive may be."""
    with (folder / f"BTCUSDT-1h-{day:%Y-%m-%d}.csv").open("w") as target:
        if header:
            target.write(
                "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"
            )
        scale = 1 if micros else 1000
        for hour in range(rows):
            opened = (to_micros(day) + hour * 3600 * SECOND + shift) // scale
            closed = (to_micros(day) + (hour + 1) * 3600 * SECOND) // scale - 1
            target.write(f"{opened},5,7,3,6,{hour},{closed},2,3,4,5,0\n")


def from_files(folder, start, end, now=None, **options):
    """What ``get_data`` makes of a folder of archive files."""
    market = RecordedMarket(folders={MarketType.SPOT: folder})
    clock = lambda: to_micros(now or at(2025, 6, 1))  # noqa: E731  # a clock is a function
    with (
        running(market, clock=clock, tick_s=None) as sim,
        DataSourceManager(use_cache=False, endpoints=sim.endpoints, clock=clock) as manager,
    ):
        return manager.get_data("BTCUSDT", start, end, "1h", **options)


def test_pitfall_01_the_unit_of_times_is_told_for_each_file(tmp_path):
    """Two days in milliseconds, two in microseconds, asked for at once: four days in a row."""
    for day in (30, 31):
        write_day(tmp_path, at(2024, 12, day), micros=False, header=False)
    for day in (1, 2):
        write_day(tmp_path, at(2025, 1, day), micros=True, header=False)

    frame = from_files(tmp_path, at(2024, 12, 30), at(2025, 1, 3))

    assert list(pd.date_range(at(2024, 12, 30), periods=96, freq="1h")) == list(frame.index)
    assert {at(2024, 12, 31, 23, 59, 59, 999000), at(2025, 1, 1, 0, 59, 59, 999999)} <= set(frame["close_time"])


def test_pitfall_02_a_header_line_is_not_a_candle(tmp_path):
    """Files with and without one stand side by side."""
    for day in range(1, 5):
        write_day(tmp_path, at(2024, 5, day), micros=False, header=day % 2 == 0)

    frame = from_files(tmp_path, at(2024, 5, 1), at(2024, 5, 5))

    assert list(range(24)) * 4 == frame["volume"].astype(int).tolist()
    assert () == account(frame).gaps


def test_pitfall_03_a_file_that_was_cut_short_and_replaced_later_is_found_out(tmp_path):
    """The SHA-256 that was used is kept; checked again, the restatement is recorded with both values."""
    files, cache = tmp_path / "files", tmp_path / "cache"
    files.mkdir()
    span = ("BTCUSDT", at(2024, 5, 1), at(2024, 5, 2), "1h")
    clock = lambda: to_micros(at(2024, 6, 20))  # noqa: E731  # a clock is a function
    found = []
    for rows in (20, 24):
        write_day(files, at(2024, 5, 1), micros=False, header=False, rows=rows)
        with (
            running(RecordedMarket(folders={MarketType.SPOT: files}), clock=clock, tick_s=None) as sim,
            DataSourceManager(cache_dir=cache, endpoints=sim.endpoints, clock=clock) as manager,
        ):
            restated = manager.recheck(*span)
            found.append((len(manager.get_data(*span)), restated, manager.cache.restatements()))

    assert [20, 24] == [rows for rows, _, _ in found]
    assert [0, 1] == [len(restated) for _, restated, _ in found]
    assert [0, 1] == [len(ledger) for _, _, ledger in found]
    assert 4 == len({change.open_time for change in found[1][1][0].changes})


def test_pitfall_04_a_day_that_the_archive_lacks_comes_from_rest(exchange):
    """It is noticed, repaired, and the span's source says so."""
    exchange.faults.append(Fault(FaultKind.MISSING_DAY, path=r"1h-2024-05-02\.zip", times=None))

    frame = exchange.manager().get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 4), "1h")

    exchange.assert_same(frame, Interval.HOUR_1, at(2024, 5, 1), at(2024, 5, 4))
    assert ["vision", "rest", "vision"] == [each.source for each in account(frame).spans]
    assert {EventKind.MISSING_ARCHIVE_FILE} == kinds(frame)


def test_pitfall_05_sources_that_disagree_are_found_out(exchange):
    """The monthly file lacks a row, the minutes of a day another: ``compare`` names source and candle."""
    exchange.faults.append(Fault(FaultKind.MISSING_ROW, path=r"monthly/.*1h-2024-05\.zip", times=None))
    exchange.faults.append(Fault(FaultKind.MISSING_ROW, path=r"1m-2024-05-02\.zip", times=None))

    found = exchange.manager().compare("BTCUSDT", at(2024, 5, 1), at(2024, 6, 1), "1h")

    assert {"monthly", "daily", "rest", "minutes"} == set(found.sources)
    assert 1 == len(found.missing["monthly"])
    assert [] == list(found.missing["rest"]) == list(found.missing["daily"])
    assert not found.agrees


@pytest.mark.parametrize(
    ("kind", "noticed"),
    [
        (FaultKind.MISSING_ROW, EventKind.MISSING_ROWS),
        (FaultKind.DOUBLED_ROW, EventKind.DOUBLED_ROWS),
        (FaultKind.CONFLICTING_ROW, EventKind.CONFLICTING_ROWS),
    ],
)
def test_pitfall_06_a_right_checksum_does_not_make_the_content_right(exchange, kind, noticed):
    """Rows that are missing, doubled or contradictory are noticed and put right from REST."""
    exchange.faults.append(Fault(kind, path=r"1m-2024-05-02\.zip", times=None, rows=7))

    frame = exchange.manager().get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 4), "1m")

    exchange.assert_same(frame, Interval.MINUTE_1, at(2024, 5, 1), at(2024, 5, 4))
    assert {noticed} <= kinds(frame)
    assert EventKind.BAD_CHECKSUM not in kinds(frame)


def test_pitfall_07_a_halt_is_told_from_a_failed_fetch(exchange):
    """A maintenance window is a gap with evidence; a failure is an error that carries the rest."""
    halted = exchange.manager().get_data("BTCUSDT", at(2024, 11, 5), at(2024, 11, 6), "1m")
    exchange.faults.append(Fault(FaultKind.SERVER_ERROR, path="klines", times=None))
    with pytest.raises(IncompleteData) as failed:
        exchange.manager(retry_count=0).get_data("BTCUSDT", at(2024, 11, 5), at(2024, 11, 6), "1m")

    assert [(GapKind.HALT, "two responses contain candles before and after, and none here")] == [
        (g.kind, g.evidence) for g in account(halted).gaps
    ]
    assert {GapKind.FETCH_FAILED} == {gap.kind for gap in failed.value.missing}


def test_pitfall_08_candles_off_the_grid_are_kept_and_flagged(tmp_path):
    """Early 2018 opened fourteen seconds late: the moments stay as they are."""
    write_day(tmp_path, at(2018, 1, 4), micros=False, header=False, shift=14 * SECOND)

    frame = from_files(tmp_path, at(2018, 1, 4), at(2018, 1, 5))

    assert [at(2018, 1, 4, hour, 0, 14) for hour in range(24)] == list(frame.index)
    assert EventKind.OFF_GRID in kinds(frame)
    assert () == account(frame).gaps


@pytest.mark.parametrize("ahead", [-90, 0, 90])
def test_pitfall_09_the_exchanges_clock_says_which_candle_is_the_last(exchange, ahead):
    """Ours may run a minute and a half wrong either way: no unfinished candle, and none dropped."""
    now = exchange.server.clock() + ahead * SECOND

    frame = exchange.manager(clock=lambda: now).get_data("BTCUSDT", at(2025, 3, 20, 11, 50), at(2025, 3, 20, 13), "1m")

    exchange.assert_same(frame, Interval.MINUTE_1, at(2025, 3, 20, 11, 50), at(2025, 3, 20, 12))


@pytest.mark.parametrize("market_type", MarketType)
@pytest.mark.parametrize(("late", "early"), [(0, 0), (1, 0), (0, 1), (30, 30)])
def test_pitfall_12_a_range_is_half_open_whatever_the_exchanges_bounds(exchange, market_type, late, early):
    """Both bounds of these markets are inclusive, and one of them counts its pages from the end."""
    symbol = "BTCUSD_PERP" if market_type is MarketType.FUTURES_COIN else "BTCUSDT"
    start, end = at(2024, 5, 1) + timedelta(seconds=late), at(2024, 5, 2) - timedelta(seconds=early)

    frame = exchange.manager(market_type=market_type).get_data(symbol, start, end, "1m", enforce_source=DataSource.REST)

    exchange.assert_same(frame, Interval.MINUTE_1, start, end, symbol=symbol, market_type=market_type)
    assert 1440 - (late > 0) == len(frame)


def test_pitfall_15_spot_linear_and_inverse_never_meet():
    """Not as instruments, not as symbols, not as cache folders; nor do 1m and 1M on a disk that ignores case."""
    texts = ["BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"]
    instruments = [Instrument.parse(text) for text in texts]

    assert texts == [str(each) for each in instruments]
    assert list(MarketType) == [each.market for each in instruments]
    folders = {
        SeriesKey(DataProvider.BINANCE, market, ChartType.KLINES, "BTCUSDT", interval).folder.as_posix().lower()
        for market in MarketType
        for interval in (Interval.MINUTE_1, Interval.MONTH_1)
    }
    assert 6 == len(folders)
    with pytest.raises(InvalidSymbol, match="is an instrument of FUTURES_USDT, not of SPOT"):
        Instrument.parse("BTC/USDT:USDT", MarketType.SPOT)


def test_pitfall_16_what_an_exchange_cannot_answer_is_refused_before_it_is_sent(exchange):
    """The error names what it can answer."""
    with pytest.raises(UnsupportedRequest, match="binance_inverse has no 1s candles; it has 1m 3m 5m"):
        exchange.manager(market_type=MarketType.FUTURES_COIN).get_data(
            "BTCUSD_PERP", at(2024, 5, 1), at(2024, 5, 2), "1s"
        )

    assert [] == exchange.asked()


def test_pitfall_17_a_pause_that_one_process_is_told_holds_for_all(exchange):
    """Of two processes one is refused with Retry-After: 2; the other, which knows nothing of it, waits as well."""
    code = """
        import logging, sys, time
        from datetime import datetime, timezone
        from chandlery import DataSourceManager, MarketType
        logging.basicConfig()
        endpoints = {"binance_spot": {"rest": sys.argv[1], "archive": sys.argv[1]}}
        with DataSourceManager(use_cache=False, endpoints=endpoints) as manager:
            day = datetime(2024, 5, 1, tzinfo=timezone.utc)
            print("ready", flush=True)
            sys.stdin.readline()
            began = time.monotonic()
            manager.get_data("BTCUSDT", day, day.replace(day=2), "1h", enforce_source="rest")
            print(time.monotonic() - began, flush=True)
    """
    exchange.faults.append(Fault(FaultKind.TOO_MANY_REQUESTS, path="klines", times=1, retry_after=2))
    command = [sys.executable, "-c", dedent(code), exchange.endpoints["binance_spot"]["rest"]]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | {"text": True}
    with subprocess.Popen(command, **pipes) as first, subprocess.Popen(command, **pipes) as second:
        assert ["ready\n", "ready\n"] == [each.stdout.readline() for each in (first, second)]
        first.stdin.write("go\n")
        first.stdin.flush()
        while "; attempt 1 of" not in (line := first.stderr.readline()):
            assert line, "it has ended"
        second.stdin.write("go\n")
        second.stdin.flush()
        waited = [float(each.stdout.readline()) for each in (first, second)]

    assert 2.0 <= waited[0]
    assert 1.5 <= waited[1]
    assert 2 + 1 == len(exchange.asked("klines"))


# What the published data source manager gets wrong


@pytest.mark.parametrize("interval", ["1d", "12h"])
def test_published_daily_files_of_one_or_two_rows(exchange, interval):
    """1d and 12h archive files are read like any other."""
    frame = exchange.manager().get_data("BTCUSDT", at(2024, 5, 3), at(2024, 5, 20), interval, enforce_source="vision")

    exchange.assert_same(frame, Interval(interval), at(2024, 5, 3), at(2024, 5, 20))


def test_published_data_with_a_bad_checksum_is_never_used(exchange, tmp_path):
    """The file's own rows are wrong here, and none of them comes back or is cached."""
    exchange.faults.append(Fault(FaultKind.BAD_CHECKSUM, path=r"1h-2024-05-02\.zip", times=None))
    manager = exchange.manager(tmp_path)

    frame = manager.get_data("BTCUSDT", at(2024, 5, 2), at(2024, 5, 3), "1h")

    assert ["rest"] == [each.source for each in account(frame).spans]
    assert EventKind.BAD_CHECKSUM in kinds(frame)
    exchange.forget()
    assert ["rest"] == [
        each.source for each in account(manager.get_data("BTCUSDT", at(2024, 5, 2), at(2024, 5, 3), "1h")).spans
    ]


@pytest.mark.parametrize("hour", [0, 23])
def test_published_a_missing_first_or_last_candle_is_reported(tmp_path, hour):
    """At 00:00 and at 23:00, where day files meet."""
    for day in (1, 2, 3):
        write_day(tmp_path, at(2024, 5, day), micros=False, header=False)
    file = tmp_path / "BTCUSDT-1h-2024-05-02.csv"
    rows = file.read_text().splitlines(keepends=True)
    file.write_text("".join(rows[:hour] + rows[hour + 1 :]))

    frame = from_files(tmp_path, at(2024, 5, 1), at(2024, 5, 4))

    assert 71 == len(frame)
    (gap,) = account(frame).gaps
    lost = to_micros(at(2024, 5, 2, hour))
    assert Span(lost, lost + 3600 * SECOND) == gap.span
    assert EventKind.MISSING_ROWS in kinds(frame)


def test_published_topping_up_a_cached_day_merges(exchange, tmp_path):
    """Twenty rows and four more are twenty-four."""
    manager = exchange.manager(tmp_path)
    manager.get_data("BTCUSDT", at(2025, 3, 19), at(2025, 3, 19, 20), "1h")
    manager.get_data("BTCUSDT", at(2025, 3, 19, 20), at(2025, 3, 20), "1h")

    (file,) = tmp_path.rglob("2025-03-19.arrow")
    with pa.memory_map(str(file)) as source:
        assert 24 == pa.ipc.open_file(source).read_all().num_rows


def test_published_the_cache_key_has_provider_and_market(exchange, tmp_path):
    """One symbol of two markets is two folders."""
    for market in (MarketType.SPOT, MarketType.FUTURES_USDT):
        exchange.manager(tmp_path, market).get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 2), "1h")

    origin = f"@{exchange.market.origin}"
    folders = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*/*"))
    assert [f"{origin}/BINANCE/FUTURES_USDT", f"{origin}/BINANCE/SPOT"] == folders


def test_published_a_chunk_that_fails_is_never_a_silent_hole(exchange):
    """It is an error by default, and a marked gap on request."""
    lost = to_micros(at(2024, 5, 1, 16, 37)) // 1000
    exchange.faults.append(Fault(FaultKind.SERVER_ERROR, path=f"startTime={lost}", times=None))
    question = {
        "symbol": "BTCUSDT",
        "start_time": at(2024, 5, 1),
        "end_time": at(2024, 5, 3),
        "interval": "1m",
        "enforce_source": "rest",
    }

    with pytest.raises(IncompleteData):
        exchange.manager(retry_count=0).get_data(**question)
    frame = exchange.manager(retry_count=0).get_data(**question, on_missing="report")

    holes = np.flatnonzero(np.diff(frame.index.asi8) != 60 * 10**9)
    (gap,) = account(frame).gaps
    assert [(gap.start * 1000, gap.end * 1000)] == [
        (frame.index.asi8[i] + 60 * 10**9, frame.index.asi8[i + 1]) for i in holes
    ]


def test_published_a_month_is_a_calendar_month(exchange):
    """February is not thirty days."""
    frame = exchange.manager().get_data("BTCUSDT", at(2024, 1, 1), at(2024, 7, 1), "1M")

    assert [at(2024, month, 1) for month in range(1, 7)] == list(frame.index)
    exchange.assert_same(frame, Interval.MONTH_1, at(2024, 1, 1), at(2024, 7, 1))


def test_published_a_zip_with_something_else_in_it_is_not_data(exchange):
    """Checksum right, content no candles: noticed, and the day comes from REST."""
    exchange.faults.append(Fault(FaultKind.CORRUPT_ZIP, path=r"1h-2024-05-02\.zip", times=None))

    frame = exchange.manager().get_data("BTCUSDT", at(2024, 5, 1), at(2024, 5, 4), "1h")

    exchange.assert_same(frame, Interval.HOUR_1, at(2024, 5, 1), at(2024, 5, 4))
    assert EventKind.BAD_ARCHIVE in kinds(frame)
    assert DAY == account(frame).spans[1].end - account(frame).spans[1].start


@pytest.mark.parametrize("source", ["auto", "rest"])
async def test_a_call_that_fails_leaves_its_task_as_it_was(exchange, source):
    """Not marked as cancelled, which would end somebody else's group or time-out in that task."""
    async with AsyncDataSourceManager(use_cache=False, endpoints=exchange.endpoints, retry_count=0) as manager:
        with pytest.raises(InvalidSymbol):
            await manager.get_data("NOPEUSDT", at(2024, 1, 1), at(2024, 1, 2), "1h", enforce_source=source)

    assert 0 == asyncio.current_task().cancelling()
