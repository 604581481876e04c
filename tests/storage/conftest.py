"""Series and rows that the tests of the storage share."""

from __future__ import annotations

import numpy as np
import pytest

from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.provenance import SourceSpan
from chandlery.core.query import ChartType, DataProvider
from chandlery.core.time import DAY, HOUR
from chandlery.storage import day_file
from chandlery.storage.arrow_cache import UnifiedCacheManager
from chandlery.storage.frame import table_of
from chandlery.storage.series import SeriesKey

START = 19_723 * DAY
"""2024-01-01."""


def rows(open_times, value=1.0, chart_type=ChartType.KLINES):
    """A table with a row at each of ``open_times``, whose numbers are ``value``."""
    count = len(open_times)
    columns = {"open_time": np.array(open_times, np.int64), "close_time": np.array(open_times, np.int64)}
    for name, dtype in chart_type.dtypes.items():
        if dtype == "string":
            columns[name] = ["8h"] * count
        elif not dtype.startswith("datetime"):
            columns[name] = np.full(count, value).astype(dtype)
    return table_of(chart_type, columns)


def source(start, end, fetched_at=1, name="rest"):
    """A stretch that came from ``name``."""
    return SourceSpan(start, end, name, fetched_at)


def series(symbol="BTCUSDT", interval=Interval.HOUR_1, chart_type=ChartType.KLINES, market=MarketType.SPOT):
    """One series of Binance."""
    return SeriesKey(DataProvider.BINANCE, market, chart_type, symbol, interval)


def day_rows(day=0, value=1.0):
    """The hourly rows of one day."""
    return rows([START + day * DAY + hour * HOUR for hour in range(24)], value)


@pytest.fixture
def cache(tmp_path):
    """An empty cache."""
    return UnifiedCacheManager(tmp_path / "cache")


@pytest.fixture(scope="session")
def make():
    """The builders of this file; test folders are no packages."""

    class Make:
        start = START
        rows = staticmethod(rows)
        source = staticmethod(source)
        series = staticmethod(series)
        day_rows = staticmethod(day_rows)

    return Make


@pytest.fixture(scope="session")
def content():
    """The bytes of the file of a day of BTCUSDT."""
    spans = [source(START, START + DAY)]
    return bytes(day_file.render(day_rows(), series().folder.as_posix(), spans, []))


@pytest.fixture
def filled(cache):
    """A cache with the hourly rows of three days of BTCUSDT."""
    for day in range(3):
        at = START + day * DAY
        cache.store(series(), day_rows(day, day + 1.0), [source(at, at + DAY)])
    return cache
