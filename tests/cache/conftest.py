"""A cache, empty and filled, and a file of it."""

from __future__ import annotations

import pytest

from chandlery.cache import day_file
from chandlery.cache.arrow_cache import UnifiedCacheManager
from chandlery.core.time import DAY
from fixtures.day_rows import START, day_rows, make, series, source

__all__ = ["cache", "content", "filled", "make"]


@pytest.fixture
def cache(tmp_path):
    """An empty cache."""
    return UnifiedCacheManager(tmp_path / "cache")


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
