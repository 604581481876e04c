"""Every exchange as a user meets it, over real sockets: past candles, live candles, order books, and what goes wrong."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.candle import CandleData
from chandlery.core.errors import UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import SECOND, to_datetime
from chandlery.feed.book_feed import LiveBook, OrderBookFeed
from chandlery.feed.candles_feed import CandlesFeed, FeedGroup
from chandlery.feed.events import Backfilled, Connected, Reconnecting
from chandlery.history.async_manager import AsyncDataSourceManager
from chandlery.sim import Fault, FaultKind, SimServer
from chandlery.sim.view import MarketView
from chandlery.sim.wires import wires
from fixtures.offline_adapter import DATED, EXPIRING, MARKET, OfflineAdapter, first_example, offline, signed_in
from fixtures.support import micros

EACH = pytest.mark.parametrize("exchange", offline())
BEGAN = micros(2025, 3, 12, 10, 20)


class Fast:
    """A clock that runs ``speed`` times as fast as time."""

    def __init__(self, speed: float) -> None:
        self._began = time.monotonic()
        self._speed = speed

    def __call__(self) -> int:
        return BEGAN + round((time.monotonic() - self._began) * self._speed * SECOND)


def fast(exchange, speed, *faults):
    """The exchange, offline, with a clock that runs fast."""
    return SimServer(MARKET, exchanges=[exchange], clock=Fast(speed), tick_s=0.05, faults=faults)


def expected(exchange, interval, opens):
    """What the market has for those opens, as the adapter declares to give it."""
    facing = OfflineAdapter(exchange, BEGAN + 3600 * SECOND)
    found = facing.expected(interval, Span(min(opens), interval.step(max(opens))))
    return {opened: found[opened][:5] for opened in opens}


def values(candle):
    return (candle.open, candle.high, candle.low, candle.close, candle.volume)


@EACH
async def test_past_candles(exchange, tmp_path):
    """A range of several hours through cache and REST, cold and warm: the market's."""
    adapter = ExchangeRegistry.get(exchange)
    async with SimServer(MARKET, exchanges=[exchange], clock=lambda: BEGAN, tick_s=None) as sim:
        manager = AsyncDataSourceManager(
            adapter.market_type,
            adapter.provider,
            endpoints=sim.endpoints,
            credentials=signed_in(exchange),
            cache_dir=tmp_path,
            clock=lambda: BEGAN,
        )
        async with manager:
            end = to_datetime(BEGAN - 300 * SECOND)
            for _ in range(2):
                frame = await manager.get_data(first_example(adapter), end - timedelta(minutes=690), end, "1m")
                assert 690 == len(frame)
                opens = [int(each) for each in frame.index.as_unit("us").asi8]
                columns = frame[["open", "high", "low", "close", "volume"]]
                rows = dict(zip(opens, map(tuple, columns.itertuples(index=False)), strict=True))
                assert expected(exchange, Interval.MINUTE_1, opens) == rows
                assert [] == list(frame.attrs["chandlery"].gaps)


@EACH
async def test_live_candles_through_a_cut(exchange):
    """History, live candles, a lost connection and what it cost: at the end all closed candles are the market's."""
    adapter = ExchangeRegistry.get(exchange)
    interval = next((each for each in adapter.live_intervals if each is not Interval.SECOND_1), Interval.MINUTE_1)
    fault = Fault(FaultKind.DROP, path=exchange, after=25, times=1)
    # The feed fetches what the cut cost after it has connected again, and may be slow to do so.
    awaited = {Connected, Reconnecting, Backfilled} if interval in adapter.live_intervals else set()
    events, closed = [], {}
    speed = interval.longest / SECOND

    async def sleep(wait_s):
        # The exchange's clock runs fast, and what is polled waits by it; nothing else has to.
        await asyncio.sleep(wait_s if awaited else wait_s / speed)

    async with fast(exchange, speed, fault) as sim:
        group = FeedGroup(
            exchange, endpoints=sim.endpoints, credentials=signed_in(exchange), clock=sim.clock, sleep=sleep
        )
        feed = CandlesFeed(exchange, first_example(adapter), interval, max_records=20, group=group)
        async with feed, asyncio.timeout(30):
            assert 20 == len(feed.get_candles())
            history = feed.get_candles()
            async for update in feed:
                if not isinstance(update, CandleData):
                    events.append(update)
                elif update.closed:
                    assert closed.setdefault(update.open_time, update) == update, "closed once, and for good"
                kinds = {type(event) for event in events}
                # What had to be fetched is told later than what came after it.
                if (
                    awaited <= kinds
                    and len(closed) >= 4
                    and max(closed) - min(closed) == (len(closed) - 1) * interval.longest
                ):
                    break
            kept = {each.open_time: each for each in feed.get_candles() if each.closed}
    everything = {each.open_time: each for each in history if each.closed} | kept | closed
    opens = sorted(everything)

    assert opens == list(range(opens[0], opens[-1] + 1, interval.longest))
    assert expected(exchange, interval, opens) == {opened: values(each) for opened, each in everything.items()}


@pytest.mark.parametrize(("exchange", "symbol", "known"), DATED)
async def test_contracts_that_expire(exchange, symbol, known, tmp_path):
    """An hour of the past, and what closes live after it: the market's."""
    adapter = ExchangeRegistry.get(exchange)
    interval = next((each for each in adapter.live_intervals if each is not Interval.SECOND_1), Interval.MINUTE_1)
    facing = OfflineAdapter(exchange, BEGAN + 10**5 * SECOND, EXPIRING)
    facing.native, facing.symbol = symbol, known
    closed = {}
    speed = interval.longest / SECOND
    polled = not facing.adapter.is_streamed(symbol)

    async def sleep(wait_s):
        # The exchange's clock runs fast, and what is polled waits by it.
        await asyncio.sleep(wait_s / speed if polled else wait_s)

    async with SimServer(EXPIRING, exchanges=[exchange], clock=Fast(speed), tick_s=0.05, weight_limit=10**9) as sim:
        options = {"endpoints": sim.endpoints, "clock": sim.clock}
        async with AsyncDataSourceManager(
            adapter.market_type, adapter.provider, cache_dir=tmp_path, **options
        ) as manager:
            end = to_datetime(BEGAN - 300 * SECOND)
            for _ in range(2):
                frame = await manager.get_data(symbol, end - timedelta(minutes=60), end, "1m", enforce_source="rest")
                assert 60 == len(frame)
        group = FeedGroup(exchange, **options, sleep=sleep)
        feed = CandlesFeed(exchange, symbol, interval, max_records=20, group=group)
        async with feed, asyncio.timeout(30):
            async for update in feed:
                if isinstance(update, CandleData) and update.closed:
                    closed[update.open_time] = values(update)
                if len(closed) >= 2:
                    break
    found = facing.expected(interval, Span(min(closed), interval.step(max(closed))))
    assert closed == {opened: found[opened][:5] for opened in closed}


@pytest.mark.parametrize(
    ("exchange", "symbol"), [each[:2] for each in DATED if not ExchangeRegistry.create(each[0]).is_streamed(each[1])]
)
async def test_contracts_that_expire_and_are_not_streamed(exchange, symbol):
    """Their books, and candles by socket only, are refused before anything is sent; perpetuals are streamed."""
    adapter = ExchangeRegistry.create(exchange)

    assert adapter.is_streamed(first_example(adapter))
    with pytest.raises(UnsupportedRequest, match=f"no live order books of {symbol}, which expires"):
        OrderBookFeed(exchange, symbol)
    with pytest.raises(UnsupportedRequest, match=f"no candles of {symbol}, which expires; use auto or polling"):
        await CandlesFeed(exchange, symbol, "1m").start("websocket")


@pytest.mark.parametrize("exchange", offline(lambda each: each.book_rule))
async def test_order_books_through_faults(exchange):
    """Updates lost, doubled, swapped, a cut connection: every book that is served is one that the market had."""
    adapter = ExchangeRegistry.get(exchange)
    faults = [
        Fault(kind, path=exchange, after=after, times=1)
        for after, kind in (
            (15, FaultKind.SKIPPED_UPDATE),
            (30, FaultKind.DUPLICATE),
            (45, FaultKind.OUT_OF_ORDER),
            (60, FaultKind.DROP),
        )
    ]
    view = MarketView(MARKET, wires()[exchange].market_type, lambda: 0)
    symbol = OfflineAdapter(exchange, BEGAN).symbol
    seen = 0
    async with SimServer(
        MARKET,
        exchanges=[exchange],
        tick_s=0.02,
        faults=faults,
        clock=Fast(10),
    ) as sim:
        feed = OrderBookFeed(exchange, first_example(adapter), endpoints=sim.endpoints, clock=sim.clock)
        async with feed, asyncio.timeout(30):
            async for update in feed:
                if not isinstance(update, LiveBook):
                    continue
                now = sim.clock() // 100_000
                tops = {
                    tuple(float(side[0][0]) for side in (state.bids, state.asks))
                    for state in (view.book(symbol, 1, tick) for tick in range(now - 60, now + 2))
                }
                assert (update.best_bid, update.best_ask) in tops
                seen += 1
                if seen > 70 and feed.audit.disconnects and feed.ready:
                    break
    assert feed.audit.disconnects >= 1
    assert feed.audit.resyncs >= 1
