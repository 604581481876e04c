"""What hears a feed, and what its series is to be."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from chandlery.adapter.live import CandleStream
from chandlery.core.candle import CandleData
from chandlery.core.errors import ChandleryError
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.feed.backoff import Pace
from chandlery.feed.events import Restated
from chandlery.sim.market import SyntheticMarket

SPOT = "binance_spot"
FAST = Pace(
    first_delay_s=0.02,
    longest_delay_s=0.1,
    stable_s=0.4,
    watch_every_s=0.05,
    grace_s=0.15,
    quiet_s=0.5,
    overlap_s=0.5,
    verdict_s=0.3,
    refused_s=0.5,
    rotate_again_s=0.2,
)
"""What suits an exchange on this machine."""


QUICK = Pace(
    first_delay_s=0.2,
    longest_delay_s=1.0,
    stable_s=0.4,
    watch_every_s=0.2,
    grace_s=0.3,
    quiet_s=0.3,
    overlap_s=0.5,
    verdict_s=0.3,
    refused_s=10.0,
    rotate_again_s=0.2,
)
"""The same for one whose clock is ``Quick``."""


class Quick:
    """A clock that runs twenty times as fast, and may be wrong by ``off`` microseconds."""

    def __init__(self, off=0, *, speed=20):
        self.off, self.speed = off, speed
        self._began, self._ticks = time.time_ns() // 1000, time.monotonic()

    def __call__(self):
        """What time it is."""
        return self._began + round((time.monotonic() - self._ticks) * self.speed * 1e6) + self.off

    def wrong(self, off):
        """The same clock, off by so much."""
        other = Quick(off, speed=self.speed)
        other._began, other._ticks = self._began, self._ticks
        return other

    async def sleep(self, seconds):
        """Wait, by this clock."""
        await asyncio.sleep(seconds / self.speed)


class Heard:
    """All updates of a feed, in order."""

    def __init__(self):
        self.updates = []
        self._news = asyncio.Event()

    def __call__(self, update):
        """Take one."""
        self.updates.append(update)
        self._news.set()

    def of(self, kind):
        """Those of a kind."""
        return [each for each in self.updates if isinstance(each, kind)]

    @property
    def closed(self):
        """The closed candles."""
        return [each for each in self.of(CandleData) if each.closed]

    async def until(self, condition, *, within_s=40.0):
        """Wait until it holds."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_closed(self, count, **options):
        """Wait for so many closed candles from now on."""
        wanted = len(self.closed) + count
        await self.until(lambda: len(self.closed) >= wanted, **options)

    async def until_event(self, kind, count=1, **options):
        """Wait until there were so many events of a kind."""
        await self.until(lambda: len(self.of(kind)) >= count, **options)


class Ear:
    """Subscribes to a pair, and hears."""

    def __init__(self, adapter, count=1):
        self.adapter, self.count = adapter, count
        self.candles, self.short, self.ups, self.downs, self.rejected = 0, 0, [], [], []
        self.failed, self.hindered = [], []
        self.aside, self.refused, self.taken = [], [], []
        self.of = Counter()
        self.news = asyncio.Event()

    def subscriptions(self):
        return [CandleStream(f"C{each:03}USDT", Interval.SECOND_1) for each in range(self.count)]

    def wants(self, item):
        return item in self.subscriptions()

    def messages(self, items, *, leave=False):
        return self.adapter.subscribe(items, leave=leave)

    def symbol_of(self, item):
        return item.symbol

    def heard(self, item):
        return self.of[item.symbol]

    def on_up(self, attempt):
        self.ups.append(attempt)
        self.news.set()

    def on_down(self, error):
        self.downs.append(str(error))
        self.news.set()

    def on_message(self, message):
        rows = self.adapter.live_rows(message)
        self.candles += len(rows)
        self.of.update(row.symbol for row in rows)
        self.news.set()
        return bool(rows)

    def shortcut(self):
        def take(messages):
            for place, message in enumerate(messages):
                try:
                    rows = self.adapter.live_rows(message)
                except ChandleryError:
                    rows = ()
                self.short += len(rows)
                self.candles += len(rows)
                self.of.update(row.symbol for row in rows)
                self.news.set()
                if not rows:
                    yield place

        return take

    def on_rejected(self, error, message):
        self.rejected.append(error)

    def found(self, message):
        return [CandleStream(row.symbol, row.interval) for row in self.adapter.live_rows(message)]

    def on_aside(self, item, error):
        self.aside.append(item.symbol)

    def on_refused(self, item, error):
        self.refused.append((item.symbol, error))
        self.news.set()

    def on_taken(self, item):
        self.taken.append(item.symbol)
        self.news.set()

    def on_hindered(self, error):
        self.hindered.append(error)

    def on_failed(self, error, message):
        self.failed.append(error)
        self.news.set()

    async def until(self, condition):
        async with asyncio.timeout(40):
            while not condition():
                self.news.clear()
                await self.news.wait()


class Tenth:
    """Remembers how long was to be waited, and waits a tenth of it."""

    def __init__(self):
        self.all = []

    async def __call__(self, seconds):
        self.all.append(seconds)
        await asyncio.sleep(seconds / 10)


class Stopped:
    """A clock that is set."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        """What it was set to."""
        return self.now


def truth(market, symbol, interval, span, market_type=MarketType.SPOT):
    """The candles of the market, closed."""
    columns = market.candles(market_type, symbol, interval, span)
    names = CandleData.__struct_fields__[: CandleData.__struct_fields__.index("closed")]
    return [CandleData(*row) for row in zip(*(columns[name].tolist() for name in names), strict=True)]


def everywhere(count):
    """Make a market that lists so many coins more than usual, in each quote, at every exchange."""
    usual = SyntheticMarket()
    more = [f"C{number:03}{quote}" for number in range(count) for quote in ("USDT", "USDC", "USD", "USD_PERP")]
    return SyntheticMarket(symbols={each: [*usual.symbols(each), *more] for each in MarketType})


def check_whole(feed, market, heard=None, *, market_type=MarketType.SPOT):
    """A feed's series is the market's: no gap, no double, nothing that differs; each closed candle told once."""
    candles = feed.get_candles()
    opens = [each.open_time for each in candles]
    first, end = opens[0], feed.interval.step(opens[-1])
    closed = [each for each in candles if each.closed]

    assert list(range(first, end, feed.interval.micros)) == opens
    assert {
        each.open_time: each for each in truth(market, feed.symbol, feed.interval, Span(first, end), market_type)
    } | {each.open_time: each for each in candles if not each.closed} == {each.open_time: each for each in candles}
    assert all(each.closed for each in candles[:-10])
    if heard is not None:
        told = Counter(each.open_time for each in heard.closed)
        restated = {event.after.open_time for event in heard.of(Restated)}
        assert {1} == set(told.values())
        assert {each.open_time for each in closed} <= set(told)
        assert {each.open_time: each for each in heard.closed if each.open_time not in restated}.items() <= {
            each.open_time: each
            for each in truth(market, feed.symbol, feed.interval, Span(min(told), max(told) + 1), market_type)
        }.items()


def tasks_left():
    """Tasks besides that of the test and those of the offline exchange."""
    ours = ("chandlery/feed", "chandlery/net")
    return [
        task
        for task in asyncio.all_tasks()
        if task is not asyncio.current_task() and any(each in repr(task.get_coro().cr_code) for each in ours)
    ]
