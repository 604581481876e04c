"""Live candles, from an offline exchange over real sockets, while things go wrong."""

from __future__ import annotations

import asyncio
import gc
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from msgspec import structs

from chandlery.adapter.live import SocketRules
from chandlery.core.candle import CandleData
from chandlery.core.errors import (
    Closed,
    InvalidInput,
    InvalidRange,
    InvalidSymbol,
    RequestTimeout,
    UnknownInterval,
    UnknownName,
    UnsupportedRequest,
)
from chandlery.core.gaps import GapKind, Span
from chandlery.core.http import RateLimit
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND
from chandlery.feed.candles_feed import CandlesFeed
from chandlery.feed.events import (
    Backfilled,
    Connected,
    Dropped,
    Failed,
    Missing,
    Reconnecting,
    Rejected,
    Restated,
    Switched,
)
from chandlery.feed.readers import MAX_UNREAD
from chandlery.net.clock import system_clock
from chandlery.sim import SyntheticMarket
from chandlery.sim.faults import Fault, FaultKind
from fixtures.candle_feed import SPOT, Heard, Quick, check_whole, tasks_left, truth
from fixtures.waiting import until


def connects(sim):
    """How many sockets were asked for so far; the log has those that have ended."""
    return sum("/ws" in path for _, path, _ in sim.log) + len(sim._streams[SPOT]._connections)


def asked(sim):
    """How many times candles were asked for."""
    return sum("klines" in path for _, path, _ in sim.log)


async def test_history_comes_first(sim_of, feed_of, market):
    """When it has started, the last candles are there, and those that are live follow without a seam."""
    sim = await sim_of()
    feed, heard = feed_of(sim, max_records=30)
    assert not feed.ready
    assert feed.first_timestamp is feed.last_timestamp is None
    await feed.start()
    history = len(feed.get_candles())

    assert feed.ready
    assert 30 == history
    assert isinstance(heard.updates[0], Connected)
    await heard.until_closed(15)
    check_whole(feed, market, heard)
    opens = [each.open_time for each in heard.closed[:29]]
    assert sorted(opens) == opens
    assert 1 == len(heard.of(Backfilled))
    assert 1 == connects(sim)
    candles = feed.get_candles()
    assert (candles[0].timestamp, candles[-1].timestamp) == (feed.first_timestamp, feed.last_timestamp)


@pytest.mark.parametrize("strategy", ["websocket", "polling"])
async def test_a_short_history(sim_of, group_of, market, strategy):
    """It begins with as many candles as are wanted, and has more as time goes on."""
    sim = await sim_of()
    heard = Heard()
    feed = group_of(sim).add("BTC-USDT", "1s", 50, history=5, on_update=heard)
    await feed.start(strategy)
    filled = heard.of(Backfilled)[0].span  # a second may have passed since then
    assert (5, filled.start) == (Interval.SECOND_1.count(filled.start, filled.end), feed.get_candles()[0].open_time)
    await heard.until_closed(10)
    candles = feed.get_candles()

    assert 5 < len(candles) < 50
    check_whole(feed, market, heard)
    with pytest.raises(InvalidInput, match="history is 0"):
        CandlesFeed(SPOT, "BTC-USDT", history=0)


@pytest.mark.parametrize("pair", ["BTC-USDT", "BTC/USDT", "btcusdt"])
async def test_all_spellings(sim_of, feed_of, pair):
    """They name the same pair."""
    feed, _ = feed_of(await sim_of(), pair, max_records=2)
    async with feed:
        assert "BTCUSDT" == feed.symbol
        assert 2 == len(feed.get_candles())


@pytest.mark.parametrize(
    ("kind", "times", "cuts"),
    [
        (FaultKind.DROP, 2, True),
        (FaultKind.POLICY_CLOSE, 2, True),
        (FaultKind.TOKEN_EXPIRED, 2, True),
        (FaultKind.STALLED_SOCKET, 1, True),
        (FaultKind.NO_DATA, 1, True),
        (FaultKind.DUPLICATE, 20, False),
        (FaultKind.OUT_OF_ORDER, 20, False),
        (FaultKind.GARBAGE, 20, False),
    ],
)
@pytest.mark.parametrize("closes", [True, False])
async def test_whole_under_every_fault_of_a_socket(sim_of, feed_of, adapter_of, market, kind, times, cuts, closes):
    """Whatever happens on the way, and whether the exchange says that a candle is closed or not."""
    sim = await sim_of(Fault(kind, "kline", times, probability=0.4, after=6))
    adapter = adapter_of() if closes else adapter_of(live_closes=False, live_rows=_unclosed)
    feed, heard = feed_of(sim, max_records=60, adapter=adapter)
    await feed.start("websocket")
    if cuts:
        await heard.until_event(Connected, 1 + times)
    await heard.until_closed(8)
    sim.faults.clear()
    await heard.until_closed(6)
    check_whole(feed, market, heard)
    assert bool(heard.of(Reconnecting)) == cuts
    if cuts:
        assert len(heard.of(Backfilled)) >= times
    if kind is FaultKind.GARBAGE:
        assert heard.of(Rejected)


def _unclosed(self, message):
    """The candles of an exchange that does not say when they are closed."""
    rows = super(type(self), self).live_rows(message)
    return [structs.replace(row, candle=structs.replace(row.candle, closed=False)) for row in rows]


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.SERVER_ERROR,
        FaultKind.TOO_MANY_REQUESTS,
        FaultKind.BAD_JSON,
        FaultKind.CUT_BODY,
        FaultKind.RESET,
        FaultKind.SLOW,
    ],
)
async def test_whole_under_faults_of_rest(sim_of, feed_of, http_of, market, kind):
    """The history is had in a later try, and what came meanwhile waits for it."""
    sim = await sim_of(Fault(kind, "klines", 3, retry_after=0, seconds=0.2))
    feed, heard = feed_of(sim, http=http_of(retry_count=0))
    await feed.start()
    await heard.until_closed(5)
    check_whole(feed, market, heard)
    assert (kind is FaultKind.SLOW) != bool(heard.of(Rejected))


async def test_the_hole_is_filled_before_live_goes_on(sim_of, feed_of, market):
    """After a cut, the closed candles of the time without a connection come in order, before those that closed since."""
    refused = Fault(FaultKind.SERVER_ERROR, r"/ws", 2, after=1)
    sim = await sim_of(Fault(FaultKind.DROP, "kline", 1, after=20), refused)
    feed, heard = feed_of(sim, max_records=40)
    await feed.start("websocket")
    await heard.until_event(Connected, 2)
    await heard.until_closed(4)
    check_whole(feed, market, heard)
    after = heard.updates[max(at for at, each in enumerate(heard.updates) if isinstance(each, Connected)) :]
    filled = next(at for at, each in enumerate(after) if isinstance(each, Backfilled))
    fetched = [each.open_time for each in after[:filled] if isinstance(each, CandleData) and each.closed]
    live = [each.open_time for each in after[filled:] if isinstance(each, CandleData) and each.closed]
    assert fetched
    assert sorted(fetched + live) == fetched + live
    assert [1, 4] == [each.attempt for each in heard.of(Connected)]
    assert 3 == len(heard.of(Reconnecting))
    assert isinstance(after[0], Connected)


async def test_an_exchange_that_revises(sim_of, feed_of, adapter_of):
    """A candle is read a second time when it has settled; its change is an event, and it is not told twice."""

    class Revising(SyntheticMarket):
        """Of each candle that closed less than three seconds ago, the last trade is missing."""

        def lines(self, market_type, symbol, interval, span, *, now=None):
            found = super().lines(market_type, symbol, interval, span, now=now)
            return [_lessened(line) if now and 0 <= now - _end(line) < 3 * SECOND else line for line in found]

    market = Revising()
    sim = await sim_of(market=market)
    adapter = adapter_of(live_closes=False, live_rows=_unclosed, settle=3 * SECOND)
    feed, heard = feed_of(sim, max_records=200, adapter=adapter)
    await feed.start()
    await heard.until(lambda: feed.group.second_reads["proved"] >= 100)
    changes = heard.of(Restated)

    assert changes
    assert all(each.before.open_time == each.after.open_time for each in changes)
    assert all(each.before.volume < each.after.volume for each in changes)
    told = [each.open_time for each in heard.closed]
    assert len(set(told)) == len(told)
    final = [each for each in feed.get_candles() if each.closed and each.open_time not in feed.stream.provisional]
    assert len(final) >= 80
    for each in final:
        assert [each] == truth(market, "BTCUSDT", Interval.SECOND_1, Span(each.open_time, each.open_time + 1))
    # Of a candle that waits for one before it, nobody has seen what it was: it is published once, as it is then.
    await heard.until(lambda: 0 <= feed.counts["restated"] - len(heard.of(Restated)) <= 10)
    assert feed.group.second_reads["requests"] <= 4


def _end(line):
    return (int(line.split(b",")[6]) + 1) // 1000 * 1000


def _lessened(line):
    fields = line.split(b",")
    fields[5] = b"%.5f" % (float(fields[5]) / 2)
    return b",".join(fields)


async def test_acknowledged_without_data(sim_of, feed_of, market):
    """A subscription that is acknowledged and silent is noticed by REST, given up, and in the end polled."""
    sim = await sim_of(Fault(FaultKind.NO_DATA, "kline", None))
    feed, heard = feed_of(sim, max_records=100)
    await feed.start()
    await heard.until_event(Switched, within_s=20)
    await heard.until_closed(3)
    check_whole(feed, market, heard)
    assert all("although REST has updates" in each.reason for each in heard.of(Reconnecting))
    assert 3 <= len(heard.of(Reconnecting)) <= 4


async def test_a_quiet_market_is_not_a_dead_socket(sim_of, feed_of, adapter_of):
    """Where nobody trades and no empty candles are sent, the connection stays, and in the end the holes are told."""
    now = system_clock()
    market = SyntheticMarket(halts=[Span(now - 11 * MINUTE, now + HOUR)])
    sim = await sim_of(market=market)
    adapter = adapter_of(sends_empty_candles=False, settle=2 * SECOND)
    feed, heard = feed_of(sim, max_records=900, adapter=adapter)
    await feed.start()
    await heard.until_event(Missing, 20)
    await asyncio.sleep(1.5)  # three times as long as what ends a silent connection

    assert 1 == connects(sim)
    assert [] == heard.of(Reconnecting)
    assert {GapKind.NO_TRADES} == {each.gap.kind for each in heard.of(Missing)}
    gaps = [each.gap.start for each in heard.of(Missing)]
    assert len(set(gaps)) == len(gaps)


async def test_falls_back_to_polling_and_returns(sim_of, feed_of, market):
    """After three connects that failed it polls; as soon as data come by socket again, it listens."""
    sim = await sim_of(Fault(FaultKind.SERVER_ERROR, r"/ws", 8))
    feed, heard = feed_of(sim, max_records=60)
    await feed.start()
    assert feed.ready
    await heard.until_event(Switched)
    before = asked(sim)
    assert Switched("polling") == heard.of(Switched)[0]
    assert 3 <= len(heard.of(Reconnecting)) <= 4
    await heard.until_event(Switched, 2)
    assert Switched("websocket") == heard.of(Switched)[1]
    assert asked(sim) > before
    await heard.until_closed(3)
    check_whole(feed, market, heard)


async def test_history_without_a_socket(sim_of, feed_of, market):
    """Nobody waits for a connection to see the history, with any strategy."""
    sim = await sim_of(Fault(FaultKind.SERVER_ERROR, r"/ws", None))
    feed, heard = feed_of(sim)
    async with asyncio.timeout(5):
        await feed.start("websocket")

    assert 20 == len(feed.get_candles())
    await heard.until_event(Reconnecting, 6)
    assert [] == heard.of(Switched)


async def until_left(sim):
    """Wait until the exchange knows that nobody is subscribed to anything."""
    async with asyncio.timeout(5):
        while sim.subscriptions[SPOT]:
            await asyncio.sleep(0.01)  # it notices on its own


async def test_an_unknown_symbol(sim_of, group_of):
    """To start raises our error, and where nothing else is in the group leaves nothing running."""
    sim = await sim_of(market=SyntheticMarket(symbols={MarketType.SPOT: ["BTCUSDT"]}))
    group = group_of(sim)
    group.add("NONE-USDT")
    group.add("NULL-USDT")
    with pytest.raises(InvalidSymbol):
        await group.start(timeout_s=5)

    assert [] == tasks_left()
    await until_left(sim)
    with pytest.raises(Closed):
        await group.start()


async def test_no_history_in_time(sim_of, feed_of):
    """An exchange that does not answer is given up after the time-out."""
    sim = await sim_of(Fault(FaultKind.STALL, "klines", None, seconds=0.5))
    feed, _ = feed_of(sim)
    with pytest.raises(RequestTimeout, match="no history within"):
        await feed.start(timeout_s=0.3)

    assert [] == tasks_left()


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("strategy", ["websocket", "polling"])
async def test_start_can_be_cancelled(sim_of, feed_of, after_s, strategy):
    """At any time, and nothing is left of it."""
    sim = await sim_of(Fault(FaultKind.SLOW, "klines|/ws", None, seconds=0.4))
    feed, _ = feed_of(sim)
    starting = asyncio.create_task(feed.start(strategy))
    await asyncio.sleep(after_s)  # the moment is what is tested
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert [] == tasks_left()


async def test_stop(sim_of, feed_of):
    """Twice, at the same time, during the filling, and before the start: always the same."""
    slow = Fault(FaultKind.SLOW, "klines", None, seconds=0.3)
    sim = await sim_of(slow)
    feed, _ = feed_of(sim)
    starting = asyncio.create_task(feed.start())
    await until(lambda: slow.used)
    await asyncio.gather(feed.stop(), feed.stop())
    with pytest.raises(Closed):
        await starting
    await feed.stop()
    assert [] == tasks_left()
    other, _ = feed_of(sim)
    await other.stop()
    with pytest.raises(Closed):
        await other.start()


async def test_a_callback_that_raises(sim_of, group_of):
    """It is counted and told to readers; neither its own series nor that of another feed loses a candle."""
    sim = await sim_of()
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    group, other = group_of(sim), Heard()

    def fail(update):
        raise ZeroDivisionError

    feed = group.add("BTC-USDT", "1s", 5, on_update=fail)
    group.add("ETH-USDT", "1s", 5, on_update=other)
    reader = aiter(feed)
    await feed.start()
    await other.until_closed(3)
    closed = 0
    async with asyncio.timeout(10):
        while closed < 3:
            update = await anext(reader)
            if isinstance(update, Failed):
                assert Failed("on_update: ZeroDivisionError: ", update.count) == update
            closed += isinstance(update, CandleData) and update.closed

    assert feed.failures > 3
    assert [] == other.of(Failed)
    await feed.stop()
    assert [] == tasks_left()


async def test_readers(sim_of, feed_of):
    """Each has all from where it began; one that leaves is forgotten, and after the end there is nothing to wait for."""
    sim = await sim_of()
    feed, heard = feed_of(sim, max_records=3)
    first, second = aiter(feed), aiter(feed)
    await feed.start()
    await heard.until_closed(3)
    async for update in second:
        assert isinstance(update, Connected)
        break
    del second
    gc.collect()
    await feed.stop()
    assert 1 == len(feed._readers)
    seen = [each async for each in first]
    running = [each for each in heard.updates if not isinstance(each, CandleData) or each.closed]

    assert running == [each for each in seen if not isinstance(each, CandleData) or each.closed]
    assert [] == [each async for each in feed]
    assert 0 == feed.dropped


async def test_two_intervals_and_another_pair_share_a_connection(sim_of, group_of, market):
    """Each has its own candles."""
    sim = await sim_of()
    group = group_of(sim)
    parts = [("BTC-USDT", "1s"), ("BTC-USDT", "1m"), ("ETH-USDT", "1s"), ("BTC-USDT", "1s")]
    heard = [Heard() for _ in parts]
    feeds = [group.add(*part, 10, on_update=each) for part, each in zip(parts, heard, strict=True)]
    async with group:
        await heard[2].until_closed(12)
        assert ["btcusdt@kline_1m", "btcusdt@kline_1s", "ethusdt@kline_1s"] == sim.subscriptions[SPOT]
        for feed, each in zip(feeds, heard, strict=True):
            check_whole(feed, market, each)
    assert 1 == connects(sim)
    # They begin and end one after the other, perhaps with a candle in between.
    first, second = ({each.open_time: each for each in heard[place].closed} for place in (0, 3))
    both = first.keys() & second.keys()
    assert len(both) >= 10
    assert [first[opened] for opened in both] == [second[opened] for opened in both]


async def test_add_and_remove(sim_of, group_of, market):
    """In a group that runs, only the new one is subscribed to, and only what nobody needs is left."""
    sim = await sim_of()
    group = group_of(sim)
    heard, later = Heard(), Heard()
    first = group.add("BTC-USDT", "1s", 10, on_update=heard)
    await group.start()
    await heard.until_closed(2)
    second = group.add("ETH-USDT", "1s", 10, on_update=later)
    double = group.add("ETH-USDT", "1s", 10)
    await asyncio.gather(second.start(), double.start())
    await later.until_closed(4)
    check_whole(second, market, later)
    assert [] == later.of(Connected)
    group.remove(second)
    told = len(later.updates)
    await heard.until_closed(4)
    assert told == len(later.updates)
    assert ["btcusdt@kline_1s", "ethusdt@kline_1s"] == sim.subscriptions[SPOT]
    check_whole(double, market)
    group.remove(double)
    await heard.until_closed(4)
    assert ["btcusdt@kline_1s"] == sim.subscriptions[SPOT]
    check_whole(first, market, heard)
    with pytest.raises(Closed):
        await second.start()
    group.remove(first)
    await until_left(sim)
    assert 1 == connects(sim)
    third = group.add("SOL-USDT", "1s", 10)
    await third.start()
    assert 2 == connects(sim)


async def test_one_that_fails_leaves_a_running_group_alone(sim_of, group_of):
    """An unknown symbol that is added later is refused, and only that."""
    sim = await sim_of(market=SyntheticMarket(symbols={MarketType.SPOT: ["BTCUSDT"]}))
    group = group_of(sim)
    heard = Heard()
    group.add("BTC-USDT", "1s", on_update=heard)
    await group.start()
    wrong = group.add("NONE-USDT", "1s")
    with pytest.raises(InvalidSymbol):
        await wrong.start()

    assert 1 == len(group.feeds)
    await heard.until_closed(2)
    # The exchange takes the refused one off its list in its own time.
    await heard.until(lambda: ["btcusdt@kline_1s"] == sim.subscriptions[SPOT])


async def test_added_while_there_is_no_connection(sim_of, group_of):
    """Its history is there all the same, and the next connection sends it."""
    sim = await sim_of()
    group = group_of(sim)
    heard, later = Heard(), Heard()
    group.add("BTC-USDT", "1s", on_update=heard)
    await group.start("websocket")
    sim.faults.append(Fault(FaultKind.SERVER_ERROR, "/ws", None))
    group.sockets.bundles[0].connection.kick("test")
    await heard.until_event(Reconnecting, 2)
    feed = group.add("ETH-USDT", "1s", on_update=later)
    await feed.start()
    assert feed.ready
    sim.faults.clear()
    await later.until_closed(3)
    assert ["btcusdt@kline_1s", "ethusdt@kline_1s"] == sim.subscriptions[SPOT]


async def test_a_callback_may_remove_its_feed(sim_of, group_of):
    """In the middle of anything; it hears no more, and the others go on."""
    sim = await sim_of()
    group = group_of(sim)
    heard, told = Heard(), []

    def leave(update):
        told.append(update)
        if group.sockets.bundles[0].connection.connected and isinstance(update, CandleData) and not update.closed:
            group.remove(leaving)

    leaving = group.add("BTC-USDT", "1s", on_update=leave)
    group.add("BTC-USDT", "1s", on_update=heard)
    await group.start()
    await heard.until_closed(4)
    count = len(told)
    await heard.until_closed(3)

    assert count == len(told)
    assert 1 == len(group.feeds)
    assert [] == heard.of(Reconnecting)


async def test_two_hundred_on_one_connection(sim_of, group_of):
    """As many as the exchange allows; one more has a connection of its own."""
    sim = await sim_of(tick_s=None)
    group = group_of(sim, adapter=None)
    rules = group.network.adapter
    type(rules).socket = SocketRules(streams=200, per_message=60, messages=RateLimit(5, 1))
    for number in range(201):
        group.add(f"C{number:03}-USDT", "1m", 2)
    await group.start()

    assert 2 == connects(sim)
    assert 201 == len(sim.subscriptions[SPOT])
    assert [200, 1] == [len(each.streams) for each in group.sockets.bundles]


async def test_an_interval_that_is_not_sent(sim_of, feed_of, adapter_of, market):
    """It is built from a finer one, and closed by the exchange's own candle."""
    sim = await sim_of(clock=Quick(speed=120))
    adapter = adapter_of(live_intervals={Interval.SECOND_1: "1s"})
    feed, heard = feed_of(sim, interval="1m", max_records=5, adapter=adapter)
    await feed.start("websocket")
    assert ["btcusdt@kline_1s"] == sim.subscriptions[SPOT]
    await heard.until_closed(3)
    check_whole(feed, market, heard)
    running = [each for each in heard.of(CandleData) if not each.closed]
    assert len({each.open_time for each in running}) >= 3
    assert len(running) > 20
    for each in running:
        span = Span(each.open_time, each.open_time + MINUTE)
        (whole,) = truth(market, "BTCUSDT", Interval.MINUTE_1, span)
        assert (whole.open, True) == (each.open, each.volume <= whole.volume)


async def test_an_interval_that_cannot_be_had(sim_of, feed_of, adapter_of, market):
    """``auto`` polls where no socket sends it; ``websocket`` says what is sent."""
    sim = await sim_of()
    adapter = adapter_of(live_intervals={Interval.MINUTE_5: "5m"})
    feed, heard = feed_of(sim, adapter=adapter)
    with pytest.raises(UnsupportedRequest, match="sends no candles for 1s; it sends 5m"):
        await feed.start("websocket")
    feed, heard = feed_of(sim, adapter=adapter)
    await feed.start()
    await heard.until_closed(3)
    check_whole(feed, market, heard)
    assert 0 == connects(sim)


@pytest.mark.parametrize("off", [-7 * MINUTE, 7 * MINUTE])
@pytest.mark.parametrize("strategy", ["websocket", "polling"])
async def test_the_exchanges_clock_counts(sim_of, feed_of, market, off, strategy):
    """This machine's may be wrong by minutes."""
    sim = await sim_of()
    feed, heard = feed_of(sim, clock=sim.clock.wrong(off))
    await feed.start(strategy)
    await heard.until_closed(5)
    check_whole(feed, market, heard)


async def test_rotation(sim_of, feed_of, adapter_of, market):
    """A connection is replaced before the exchange cuts it, and nobody notices."""
    sim = await sim_of()
    feed, heard = feed_of(sim, max_records=100, adapter=adapter_of(socket=SocketRules(lifetime_s=0.5)))
    await feed.start("websocket")
    await heard.until_event(Connected, 4)
    await heard.until_closed(2)
    check_whole(feed, market, heard)
    assert [] == heard.of(Reconnecting)
    assert 1 == len(sim.subscriptions[SPOT])


async def test_frame(sim_of, feed_of):
    """The same candles under their opens, with a column that says whether they are closed."""
    feed, _ = feed_of(await sim_of(), max_records=5)
    async with feed:
        frame, candles = feed.get_candles_df(), feed.get_candles()

    assert [each.close for each in candles] == frame["close"].tolist()
    assert [each.closed for each in candles] == frame["closed"].tolist()
    assert candles[0].timestamp == frame.index[0].timestamp()


async def test_fetch_candles(sim_of, feed_of, market):
    """Any range by REST, in datetimes or seconds, whether the feed runs or not."""
    feed, _ = feed_of(await sim_of(), interval="1m")
    start, end = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 3, 1, 2, tzinfo=UTC)
    found = await feed.fetch_candles(start, end)
    seconds = round(start.timestamp())

    assert 120 == len(found)
    assert truth(market, "BTCUSDT", Interval.MINUTE_1, Span(seconds * SECOND, seconds * SECOND + 120 * MINUTE)) == found
    assert found == await feed.fetch_candles(seconds, seconds + 7200)
    for wrong in ((end, start), (datetime(2025, 3, 1), end), (True, end), (start, 1.5)):  # noqa: DTZ001
        with pytest.raises(InvalidRange):
            await feed.fetch_candles(*wrong)


async def test_fetch_candles_in_the_words_of_published_code(sim_of, feed_of):
    """Other names of the range, a limit, and none at all: as many as the feed stores, up to now. ``rest`` is polling."""
    feed, _ = feed_of(await sim_of(), interval="1m")
    start, end = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 3, 1, 2, tzinfo=UTC)
    found = await feed.fetch_candles(start, end)

    assert found == await feed.fetch_candles(start_time=start, end_time=end)
    assert found[:10] == await feed.fetch_candles(start, end, limit=10)
    assert found[-10:] == await feed.fetch_candles(end=end, limit=10)
    assert feed.max_records == len(await feed.fetch_candles(end=end))
    latest = await feed.fetch_candles(limit=3)
    assert [60, 60] == [later.timestamp - earlier.timestamp for earlier, later in pairwise(latest)]
    with pytest.raises(InvalidInput, match="limit is 0"):
        await feed.fetch_candles(limit=0)
    await feed.start("rest")
    assert feed.stream in feed.group.polling.streams


async def test_what_is_refused_at_once():
    """No such exchange, pair, interval, strategy or number of candles."""
    for kind, arguments in (
        (UnknownName, ("nowhere", "BTC-USDT")),
        (InvalidSymbol, (SPOT, "?")),
        (UnknownInterval, (SPOT, "BTC-USDT", "7m")),
        (UnsupportedRequest, ("binance_perpetual", "BTC-USDT", "1s")),
        (InvalidInput, (SPOT, "BTC-USDT", "1m", 0)),
    ):
        with pytest.raises(kind):
            CandlesFeed(*arguments)
    feed = CandlesFeed(SPOT, "BTC-USDT")
    with pytest.raises(InvalidInput, match="strategy"):
        await feed.start("telepathy")
    await feed.stop()


async def test_counts(sim_of, feed_of):
    """What became of all that came."""
    sim = await sim_of(Fault(FaultKind.DUPLICATE, "kline", 3, after=3))
    feed, heard = feed_of(sim)
    async with feed:
        await heard.until_closed(4)
        assert feed.counts["taken"] >= 24
        assert feed.counts["repeated"] >= 3


async def test_a_reader_that_is_too_slow(sim_of, feed_of):
    """It is told how many updates it has missed; running candles give way without a word."""
    feed, _ = feed_of(await sim_of())
    reader = aiter(feed)
    for number in range(MAX_UNREAD + 7):
        feed._readers.publish(Connected(number))
    for volume in range(9):
        feed._readers.publish(CandleData(0, 1.0, 1.0, 1.0, 1.0, float(volume), closed=False))
    found = [await anext(reader) for _ in range(3)]

    assert 8 == feed.dropped
    assert [Dropped(8), Connected(8), Connected(9)] == found
    feed.end()
    assert CandleData(0, 1.0, 1.0, 1.0, 1.0, 8.0, closed=False) == [each async for each in reader][-1]


async def test_started_twice(sim_of, feed_of):
    """Both wait for the history, and there is one connection."""
    sim = await sim_of()
    feed, _ = feed_of(sim)
    await asyncio.gather(feed.start(), feed.start())
    await feed.start()

    assert 20 == len(feed.get_candles())
    assert 1 == connects(sim)


async def test_three_days_open_where_the_exchange_opens_them(sim_of, feed_of):
    """Binance's on 2024-01-01 and every third day from there: past and live candles alike are taken."""
    feed, heard = feed_of(await sim_of(), interval="3d")
    async with feed:
        await heard.until(lambda: len(heard.of(CandleData)) > 3)

    assert {to_micros(datetime(2024, 1, 1, tzinfo=UTC)) // DAY % 3} == {
        each.open_time // DAY % 3 for each in feed.get_candles()
    }
    assert [] == heard.of(Rejected)
