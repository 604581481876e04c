"""Many series of an exchange whose REST is slow, when they start and after a cut."""

from __future__ import annotations

import asyncio
import time

import pytest
from msgspec import structs

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND
from chandlery.feed.events import Backfilled, Connected, Reconnecting
from chandlery.net.clock import system_clock
from fixtures.candle_feed import FAST, Heard, everywhere, truth

PATIENT = structs.replace(FAST, grace_s=5.0)
"""The offline exchange tells live candles five times a second, or later where the machine is busy."""


class Leaping:
    """A clock that begins early in a minute, so that none ends meanwhile, and can be set forward."""

    def __init__(self):
        self.off = 5 * SECOND - system_clock() % MINUTE

    def __call__(self):
        """What time it is."""
        return system_clock() + self.off


class Series:
    """So many series of one exchange, and what was heard of each."""

    def __init__(self, sim, group, count, quote):
        self.sim, self.group = sim, group
        self.heard = [Heard() for _ in range(count)]
        self.feeds = [
            group.add(f"C{number:03}-{quote}", "1m", 5, on_update=each) for number, each in enumerate(self.heard)
        ]

    def requests(self):
        """How many requests for candles there were so far."""
        return sum("/OHLC?" in path or "candle" in path for _, path, _ in self.sim.log)

    async def cut(self, minutes):
        """Lose every connection; before the next it is early in the minute that begins so many minutes later, if any."""
        for each in self.heard:
            each.updates.clear()
        for bundle in self.group.sockets.bundles:
            bundle.connection.kick("cut by the test")
        await asyncio.gather(*(each.until_event(Reconnecting) for each in self.heard))
        clock = self.sim.clock
        clock.off += minutes and (minutes * MINUTE - clock() % MINUTE + 5 * SECOND)
        return time.monotonic()

    async def running_s(self, since):
        """When a running candle had come of all, in seconds."""
        await asyncio.gather(*(each.until(lambda each=each: running(each)) for each in self.heard))
        return time.monotonic() - since

    async def whole_s(self, since, **options):
        """When nothing was missing in any, in seconds."""
        await asyncio.gather(*(each.until_event(Backfilled, **options) for each in self.heard))
        return time.monotonic() - since


def running(heard):
    """Running candles that came by the present connection."""
    up = [place for place, each in enumerate(heard.updates) if isinstance(each, Connected)]
    after = heard.updates[up[-1] :] if up else []
    return [each for each in after if isinstance(each, CandleData) and not each.closed]


def core(candle):
    """What every exchange sends."""
    return candle.open_time, candle.open, candle.high, candle.low, candle.close, candle.volume


def check(series, market, closed):
    """All series are there, and the latest so many candles of each were published when they had closed, once and in order."""
    for feed, heard in zip(series.feeds, series.heard, strict=True):
        *before, last = feed.get_candles()
        symbol = feed.trading_pair.replace("-", "")
        right = truth(market, symbol, Interval.MINUTE_1, Span(last.open_time - 4 * MINUTE, last.open_time))
        assert [True] * 4 + [False] == [each.closed for each in (*before, last)]
        assert [core(each) for each in right] == [core(each) for each in before]
        assert [core(each) for each in right[4 - closed :]] == [core(each) for each in heard.closed]


@pytest.fixture
def series_of(sim_of, group_of, adapter_of):
    """Makes series of an exchange with the limits of the exchange, or others."""

    async def make(exchange, count, *, quote="USDT", **declared):
        market = everywhere(count)
        sim = await sim_of(exchanges=(exchange,), clock=Leaping(), market=market, tick_s=0.2)
        adapter = adapter_of(exchange, **declared)
        return Series(
            sim, group_of(sim, base=exchange, adapter=adapter, clock=sim.clock, pace=PATIENT), count, quote
        ), market

    return make


async def test_what_runs_is_published_before_the_history(series_of):
    """While ``ready`` is false and no candles can be had; then all of it is there, each closed candle once, in order."""
    series, market = await series_of("okx_spot", 4, limits=(RateLimit(1, 1),))
    start = asyncio.create_task(series.group.start())
    await series.running_s(time.monotonic())
    waiting = [feed for feed in series.feeds if not feed.ready]
    assert len(waiting) >= 2
    assert [[]] * len(waiting) == [feed.get_candles() for feed in waiting]
    await start

    assert all(feed.ready for feed in series.feeds)
    check(series, market, closed=4)


async def test_live_at_once_after_a_cut(series_of):
    """Of all series, while the holes of most are still to be fetched; only the holes are requested, one request each."""
    series, market = await series_of("okx_spot", 5, limits=(RateLimit(2, 1),))
    await series.group.start()
    requests = series.requests()
    since = await series.cut(2)
    await series.running_s(since)
    assert sum(not feed.stream.filled for feed in series.feeds) >= 3
    assert not any(each.closed for each in series.heard if not each.of(Backfilled))
    await series.whole_s(since)

    assert 5 == series.requests() - requests
    check(series, market, closed=2)


async def test_a_cut_without_a_hole_costs_no_request(series_of):
    """Where the connection comes back within the same candle."""
    series, market = await series_of("okx_spot", 5, limits=(RateLimit(5, 1),))
    await series.group.start()
    requests = series.requests()
    await series.whole_s(await series.cut(0))

    assert requests == series.requests()
    check(series, market, closed=0)


@pytest.mark.parametrize(("exchange", "quote"), [("kraken_spot", "USD"), ("cryptocom_spot", "USDT")])
async def test_what_sockets_send_of_the_past_is_not_requested(series_of, exchange, quote):
    """Neither at the start nor after a cut; each closed candle is published once, in order."""
    series, market = await series_of(exchange, 6, quote=quote, limits=(RateLimit(1, 1),))
    await series.group.start()
    await series.whole_s(await series.cut(3))

    assert 0 == series.requests()
    check(series, market, closed=3)


async def test_what_the_exchange_does_not_keep_is_not_requested(series_of):
    """Its socket has sent all that there is, though that is less than is wanted."""
    series, _ = await series_of("kraken_spot", 1, quote="USD", retained_candles=20)
    feed = series.group.add("C000-USD", "1m", 50)
    await series.group.start()

    assert 20 == len(feed.get_candles())
    assert 0 == series.requests()


async def test_the_patience_of_a_start_grows_with_the_series(series_of):
    """A minute, and three times what the limits demand: 90 requests of Kraken take 90 seconds at least."""
    series, _ = await series_of("kraken_spot", 90, quote="USD", limits=(RateLimit(1, 1),))
    assert 60 + 3 * 90 == series.group.patience_s
    for feed in series.feeds[1:]:
        series.group.remove(feed)
    assert 63 == series.group.patience_s
    series.group.add("C001-USD", "1m", 1000)  # Kraken has 720, which are one request
    assert 66 == series.group.patience_s


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("exchange", "count", "quote", "limit", "running_s", "whole_s"),
    [("kraken_spot", 90, "USD", RateLimit(1, 1), 10, 10), ("okx_spot", 320, "USDT", RateLimit(40, 2), 5, 60)],
)
async def test_hundreds_of_series(series_of, capsys, exchange, count, quote, limit, running_s, whole_s):
    """How soon all are live and whole after a cut of two minutes, and how many requests that takes."""
    series, market = await series_of(exchange, count, quote=quote, limits=(limit,))
    began = time.monotonic()
    await series.group.start()
    found = {"started_s": time.monotonic() - began, "requests_at_start": series.requests()}
    since = await series.cut(2)
    found["running_s"] = await series.running_s(since)
    found["whole_s"] = await series.whole_s(since, within_s=200)
    found["requests_after_the_cut"] = series.requests() - found["requests_at_start"]
    with capsys.disabled():
        print(f"\n{count} series of {exchange}: " + ", ".join(f"{name} {each:.1f}" for name, each in found.items()))  # noqa: T201

    assert found["running_s"] < running_s
    assert found["whole_s"] < whole_s
    check(series, market, closed=2)
