"""Processes that fill one cache at once, and processes that are killed while they do."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from datetime import UTC, datetime
from textwrap import dedent

import pytest

from chandlery.cache.arrow_cache import UnifiedCacheManager
from chandlery.core.interval import Interval

FILL = dedent(
    """
    import sys
    from datetime import datetime, timezone
    from chandlery import DataSourceManager
    base, cache, now, origin = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    urls = {"rest": base + "/binance_spot", "archive": base + "/vision", "origin": origin}
    endpoints = {"binance_spot": urls}
    with DataSourceManager(cache_dir=cache, endpoints=endpoints, clock=lambda: now) as manager:
        print("ready", flush=True)
        for month in range(1, 7):
            start = datetime(2024, month, 3, tzinfo=timezone.utc)
            manager.get_data("BTCUSDT", start, start.replace(day=23, hour=7), "1m")
            source = "rest" if month % 2 else "auto"
            manager.get_data("BTCUSDT", start.replace(day=20), start.replace(day=25), "15m", enforce_source=source)
        print("done", flush=True)
    """
)
START, END = datetime(2024, 3, 3, tzinfo=UTC), datetime(2024, 3, 23, 7, tzinfo=UTC)


def filling(exchange, cache):
    """A process that fills the cache."""
    base = exchange.endpoints["binance_spot"]["rest"].removesuffix("/binance_spot")
    command = [sys.executable, "-c", FILL, base, str(cache), str(exchange.server.clock()), exchange.market.origin]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def assert_clean_and_right(exchange, cache):
    """Every file is whole, none was set aside, and what is read from it is the market."""
    checked = UnifiedCacheManager(cache).verify()
    assert checked.ok, checked.damaged
    assert 0 == checked.set_aside
    frame = exchange.manager(cache).get_data("BTCUSDT", START, END, "1m")
    exchange.assert_same(frame, Interval.MINUTE_1, START, END)
    assert () == frame.attrs["chandlery"].events


def test_two_processes_fill_one_cache_at_once(exchange, tmp_path):
    """The same series, the same days: both succeed, and the cache verifies clean."""
    processes = [filling(exchange, tmp_path) for _ in range(2)]

    ended = [process.communicate(timeout=90) for process in processes]

    assert [("ready\ndone\n", "")] * 2 == ended
    exchange.forget()
    assert_clean_and_right(exchange, tmp_path)
    assert [] == exchange.asked("2024-03"), "all of it came from the cache"


@pytest.mark.parametrize(
    "rounds", [8, pytest.param(150, marks=[pytest.mark.soak, pytest.mark.timeout(600)])], ids=["a few times", "often"]
)
def test_kill_9_in_the_middle_of_a_fill_leaves_a_clean_cache(exchange, tmp_path, rounds):
    """Each time at a random moment: what is there verifies, and the rest is fetched again."""
    chance = random.Random(11)
    killed = 0
    for number in range(rounds):
        cache = tmp_path / str(number // 8)  # a new one now and then, lest all be there already
        process = filling(exchange, cache)
        assert "ready\n" == process.stdout.readline()
        try:
            process.wait(chance.uniform(0.02, 0.5))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.communicate(timeout=30)
        checked = UnifiedCacheManager(cache).verify()
        assert checked.ok, checked.damaged
        assert 0 == checked.set_aside

    assert killed >= rounds // 2
    assert_clean_and_right(exchange, cache)
    assert [] == [path for path in tmp_path.rglob("*") if path.suffix in {".tmp", ".damaged"}]
