"""The candles of a feed since a moment, then its live updates, against an offline exchange."""

from __future__ import annotations

import asyncio

import pytest

from chandlery.core.candle import CandleData
from chandlery.core.errors import ExchangeUnavailable, InvalidRange
from chandlery.core.gaps import GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.time import SECOND
from chandlery.feed.conflating_queue import ConflatingQueue
from chandlery.feed.events import Backfilled, Connected, Missing, Restated
from chandlery.feed.updates import merged, updates_since
from chandlery.sim.faults import Fault, FaultKind
from fixtures.candle_feed import truth


async def closed_until(updates, count):
    """What comes until so many closed candles are among it."""
    found = []
    async for update in updates:
        found.append(update)
        count -= isinstance(update, CandleData) and update.closed
        if count <= 0:
            return found
    return found


def opens(updates):
    return [each.open_time for each in updates if isinstance(each, CandleData) and each.closed]


def in_a_row(found, begin):
    return list(range(begin, begin + len(found) * SECOND, SECOND)) == found


@pytest.mark.parametrize("back", [5, 40, 2500])
async def test_since_a_moment(sim_of, feed_of, market, back):
    """Candles that the feed stores and older ones, then those that close: each once, in order, the exchange's."""
    sim = await sim_of()
    feed, _ = feed_of(sim, max_records=20)
    async with feed:
        begin = feed.last_timestamp - back
        found = opens(await closed_until(feed.updates(begin), back + 5))

        assert in_a_row(found, begin * SECOND)
        requested = any(f"startTime={begin * 1000}" in path for _, path, _ in sim.log)
        assert requested or back < 20, "those that are stored are not, unless for a second read"
    candles = truth(market, "BTCUSDT", Interval.SECOND_1, Span(found[0], found[-1] + 1))
    assert [each.open_time for each in candles] == found


async def test_a_reader_before_the_start_gets_the_history_once(sim_of, feed_of):
    """Since a moment before it, with the events of the start behind what was missed."""
    feed, _ = feed_of(await sim_of(), max_records=20)
    begin = feed.group.network.clock() // SECOND - 60
    reading = asyncio.create_task(closed_until(feed.updates(begin), 70))
    await asyncio.sleep(0)
    async with feed:
        found = await reading

    assert in_a_row(opens(found), begin * SECOND)
    assert {Connected, Backfilled} == {type(each) for each in found if not isinstance(each, CandleData)}


async def test_without_a_moment_it_goes_on_from_now(sim_of, feed_of):
    """The first is the one after the latest closed one, though the reader was there before the history was."""
    feed, _ = feed_of(await sim_of(), max_records=20)
    early = feed.updates()
    async with feed:
        late = feed.updates()
        closed = [each.open_time for each in feed.get_candles() if each.closed]
        found = await closed_until(early, 3)
        assert in_a_row(opens(found), closed[-1] + SECOND)
        found = await closed_until(late, 5)

    assert in_a_row(opens(found), closed[-1] + SECOND), "though it was read only later"


async def test_through_a_lost_connection(sim_of, feed_of):
    """Backfilled candles come before those that were live meanwhile."""
    sim = await sim_of(Fault(FaultKind.DROP, "kline", 3, after=30))
    feed, heard = feed_of(sim, max_records=50)
    async with feed:
        begin = feed.first_timestamp
        found = opens(await closed_until(feed.updates(begin), 120))

    assert len(heard.of(Backfilled)) > 1
    assert in_a_row(found, begin * SECOND)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_hole_that_the_feed_does_not_fill(sim_of, feed_of, http_of, fails):
    """After an outage longer than what it stores the rest is requested, or named if that fails."""
    sim = await sim_of()
    feed, _ = feed_of(sim, max_records=20, http=http_of(retry_count=0))
    begin = sim.clock() // SECOND - 100
    rows = await feed.fetch_candles(begin, begin + 70)
    backfilled = Backfilled(Span(rows[60].open_time, rows[-1].open_time))
    queue = ConflatingQueue(100)
    queue.put_all([rows[0], rows[68], backfilled, *rows[60:]])
    queue.close()
    sim.faults.extend([Fault(FaultKind.SERVER_ERROR, "klines")] * fails)
    found = [each async for each in updates_since(feed.stream, queue, None)]

    if fails:
        assert [rows[0], backfilled, *rows[60:]] == [each for each in found if not isinstance(each, Missing)]
        (gap,) = [each.gap for each in found if isinstance(each, Missing)]
        assert (Span(rows[1].open_time, rows[60].open_time), GapKind.FETCH_FAILED) == (gap.span, gap.kind)
        assert "503" in gap.evidence
    else:
        assert [rows[0], backfilled, *rows[1:]] == found


async def test_what_the_exchange_does_not_have_is_named(sim_of, feed_of):
    """At its place between the others."""
    feed, _ = feed_of(await sim_of(), max_records=20)
    async with feed:
        stream = feed.stream
        gone = stream.processor.first + 3 * SECOND
        del stream.processor._held[gone]
        stream.processor._order.remove(gone)
        stream.processor.absent([gone])
        found = await closed_until(feed.updates(stream.processor.first // SECOND), 19)
    (missing,) = [each for each in found if isinstance(each, Missing)]

    assert Span(gone, gone + SECOND) == missing.gap.span
    assert GapKind.HALT is missing.gap.kind
    place = found.index(missing)
    assert (gone - SECOND, gone + SECOND) == (found[place - 1].open_time, found[place + 1].open_time)


async def test_later_changes_follow(sim_of, feed_of):
    """A candle that changes after it was yielded is yielded as restated; one that changed before, only as it is now."""
    feed, _ = feed_of(await sim_of(), max_records=20)
    updates = feed.updates()
    async with feed:
        candle = feed.get_candles()[3]
        since = feed.updates(candle.timestamp)
        first = await anext(since)
        feed._readers.publish(Restated(candle, candle))
        found = await closed_until(since, 18)
        others = await closed_until(updates, 1)

    assert candle == first
    assert [Restated(candle, candle)] == [each for each in found if isinstance(each, Restated)]
    assert others


async def test_a_moment_is_exact(feed_of, sim_of):
    """Seconds, or a datetime with a time zone."""
    feed, _ = feed_of(await sim_of())
    with pytest.raises(InvalidRange, match="since"):
        feed.updates(1.5)


async def test_of_a_group(sim_of, group_of):
    """Each update with its feed, in order for each; it ends with the group."""
    group = group_of(await sim_of())
    feeds = [group.add(f"{base}-USDT", "1s", 20) for base in ("AAA", "BBB")]
    found = {feed: [] for feed in feeds}
    async with group:
        begin = feeds[0].first_timestamp - 10
        async for feed, update in group.updates(begin):
            found[feed] += opens([update])
            if min(map(len, found.values())) > 40:
                break
        ended = group.updates()
    for each in found.values():
        assert in_a_row(each, begin * SECOND)
    assert [] == [each async for each in ended]


async def test_merging_raises_the_first_error():
    """And ends the others."""

    async def failing():
        yield 1
        raise ExchangeUnavailable("x")

    async def endless():
        await asyncio.Event().wait()
        yield 2

    with pytest.raises(ExchangeUnavailable):
        [each async for each in merged([("a", failing()), ("b", endless())])]
