"""One live series: what comes by socket and what is fetched, made into one."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chandlery.adapter.live import CandleStream
from chandlery.core.candle import CandleData
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND
from chandlery.feed.events import Backfilled, Missing, Rejected, Restated, Unsettled
from chandlery.feed.resample import consists, live_stream
from chandlery.feed.stream import LiveStream
from chandlery.sim import SyntheticMarket
from chandlery.sim.faults import Fault, FaultKind
from fixtures.candle_feed import SPOT, Heard, Stopped, truth
from fixtures.support import micros

START = micros(2025, 3, 12)
SYMBOL = "BTCUSDT"


@pytest.fixture
def stream_of(network_of):
    """Makes streams of minutes, and what hears them."""

    def make(sim, interval=Interval.MINUTE_1, *, max_records=5, adapter=None):
        heard = Heard()
        network = network_of(sim, adapter)
        begun = []
        stream = LiveStream(
            network, SYMBOL, interval, max_records=max_records, publish=heard, on_begun=lambda: begun.append(True)
        )
        return stream, heard

    return make


def minute(market, place, *, closed=True, part=1.0):
    (candle,) = truth(market, SYMBOL, Interval.MINUTE_1, Span(START + place * MINUTE, START + place * MINUTE + 1))
    return structs.replace(candle, closed=closed, volume=candle.volume * part)


async def test_what_closes_early_waits(sim_of, stream_of, market):
    """Until the history is there; then it follows without a seam, and once. What runs is published at once."""
    clock = Stopped(START + 30 * SECOND)
    stream, heard = stream_of(await sim_of(clock=clock))
    stream.up()
    for each in (minute(market, 0), minute(market, 1, closed=False, part=0.5), minute(market, 0, closed=False)):
        stream.take(each)
    assert [minute(market, 1, closed=False, part=0.5)] == heard.updates
    assert not stream.began
    await stream.fill()

    opens = [each.open_time for each in heard.of(CandleData)]
    assert [START + place * MINUTE for place in (1, -4, -3, -2, -1, 0)] == opens
    assert isinstance(heard.updates[5], Backfilled)
    assert minute(market, 0) == heard.updates[6]
    assert 3 == stream.heard
    assert stream.filled
    assert stream.began


@pytest.mark.parametrize("waited_s", [1, 6])
async def test_what_rest_closes_late(sim_of, stream_of, market, waited_s):
    """REST shows the last candle before the first live one as running: those after it wait, but not for long."""
    clock = Stopped(START + 30 * SECOND)
    stream, heard = stream_of(await sim_of(clock=clock))
    stream.up()
    stream.take(minute(market, 1, closed=False, part=0.5))
    await stream.fill()
    heard.updates.clear()
    stream.take(minute(market, 1))
    stream.take(minute(market, 2, closed=False, part=0.5))
    assert [] == heard.closed
    clock.now = START + (30 + waited_s) * SECOND
    stream.take(minute(market, 2))
    early = [] if waited_s < 5 else [minute(market, place) for place in (1, 2)]
    assert early == heard.closed
    clock.now = START + 3 * MINUTE + 30 * SECOND
    await stream.refresh()
    stream.take(minute(market, 3))

    assert {minute(market, place) for place in range(4)} == {*heard.closed}
    assert 4 == len(heard.closed)
    if not early:
        assert [minute(market, place) for place in range(4)] == heard.closed


async def test_filled_without_a_socket(sim_of, stream_of, market):
    """What closes by the next one waits again, since there may be a hole before it."""
    clock = Stopped(START + 30 * SECOND)
    stream, heard = stream_of(await sim_of(clock=clock))
    await stream.fill()
    assert stream.began
    assert not stream.filled
    told = len(heard.updates)
    stream.take(minute(market, 1))
    assert told == len(heard.updates)
    clock.now += 2 * MINUTE
    stream.up()
    await stream.fill()
    assert [START, START + MINUTE] == [each.open_time for each in heard.closed[-2:]]


async def test_what_waits_is_bounded(sim_of, stream_of, market):
    """As many as are kept; those before them are published, and that something before them is lost is published too."""
    clock = Stopped(START + 30 * SECOND)
    stream, heard = stream_of(await sim_of(clock=clock), max_records=3)
    await stream.fill()
    heard.updates.clear()
    clock.now = START + 40 * MINUTE
    stream.up()
    for place in range(2, 20):
        stream.take(minute(market, place))
    assert [START + place * MINUTE for place in range(2, 17)] == [each.open_time for each in heard.closed]
    await stream.fill()

    assert [minute(market, place) for place in range(2, 20)] == heard.closed
    assert [START + 2 * MINUTE] == [event.span.start for event in heard.of(Backfilled)]


async def test_nothing_is_requested_where_nothing_was_missed(sim_of, stream_of, market):
    """After a cut within a candle the next update goes on with it, though it says nothing new."""
    clock = Stopped(START + 30 * SECOND)
    sim = await sim_of(clock=clock)
    stream, heard = stream_of(sim)
    stream.up()
    await stream.fill()
    stream.take(minute(market, 0, closed=False, part=0.9))
    before = len(sim.log)
    stream.lost()
    stream.up()
    assert not await stream.join()
    stream.take(minute(market, 0, closed=False, part=0.9))

    assert await stream.join()
    assert stream.filled
    assert before == len(sim.log)
    assert isinstance(heard.updates[-1], Backfilled)


async def test_only_the_hole_is_requested(sim_of, stream_of, market):
    """From the first candle that is not closed to the one that came live, which proves the one before it."""
    clock = Stopped(START + 30 * SECOND)
    sim = await sim_of(clock=clock)
    stream, heard = stream_of(sim, max_records=50)
    stream.up()
    await stream.fill()
    stream.lost()
    clock.now = START + 3 * MINUTE + 30 * SECOND
    stream.up()
    for place in (3, 4, 5):
        stream.take(minute(market, place, closed=place < 5))
    assert [START - MINUTE, START + 5 * MINUTE] == [each.open_time for each in (heard.closed[-1], heard.updates[-1])]
    assert not await stream.join()
    await stream.fill()

    asked = parse_qs(sim.log[-1][1].partition("?")[2])
    assert [START, START + 4 * MINUTE - 1000] == [int(asked[name][0]) * 1000 for name in ("startTime", "endTime")]
    assert truth(market, SYMBOL, Interval.MINUTE_1, Span(START - 49 * MINUTE, START + 5 * MINUTE)) == heard.closed
    assert stream.filled


@pytest.mark.parametrize("sent", [5, 3])
async def test_what_a_socket_sends_of_the_past(sim_of, stream_of, adapter_of, market, sent):
    """It is used as if it had been fetched, and only what it lacks is requested, once the clock is known."""
    clock = Stopped(START + 30 * SECOND)
    sim = await sim_of(clock=clock)
    stream, heard = stream_of(sim, adapter=adapter_of(live_closes=False))
    stream.up()
    for place in range(1 - sent, 0):
        stream.take_past(minute(market, place, closed=False))
    stream.take(minute(market, 0, closed=False, part=0.5))
    assert [START] == [each.open_time for each in heard.of(CandleData)]

    assert (sent == 5) == await stream.join()
    if sent < 5:
        await stream.fill()
    requests = [path for _, path, _ in sim.log if "klines" in path]
    assert (sent < 5) == len(requests)
    assert truth(market, SYMBOL, Interval.MINUTE_1, Span(START - 4 * MINUTE, START)) == heard.closed
    assert [START - MINUTE] == [each for each in range(START - 4 * MINUTE, START, MINUTE) if each in stream.provisional]
    assert stream.filled


async def test_a_second_cut_before_the_hole_is_filled(sim_of, stream_of, market):
    """What closed between the two waits on; all of it is published in order, once."""
    clock = Stopped(START + 30 * SECOND)
    stream, heard = stream_of(await sim_of(clock=clock), max_records=20)
    stream.up()
    await stream.fill()
    for place in (2, 4):
        stream.lost()
        stream.up()
        clock.now = START + place * MINUTE + 30 * SECOND
        stream.take(minute(market, place))
    await stream.fill()

    assert truth(market, SYMBOL, Interval.MINUTE_1, Span(START - 19 * MINUTE, START + 5 * MINUTE)) == heard.closed


async def test_what_is_corrected_while_it_waits(sim_of, stream_of, adapter_of, market):
    """It is published once, as it is then."""
    stream, heard = stream_of(await sim_of(clock=Stopped(START + 30 * SECOND)), adapter=adapter_of(live_closes=False))
    stream.up()
    for place, part in ((0, 0.9), (1, 0.1), (0, 1.0)):
        stream.take(minute(market, place, closed=False, part=part))
    await stream.fill()

    assert minute(market, 0) == heard.closed[-1]
    assert [] == heard.of(Restated)


async def test_the_rest_is_fetched(sim_of, stream_of, market):
    """What should be final and is not, and the running candle."""
    clock = Stopped(START + 30 * SECOND)
    stream, _ = stream_of(await sim_of(clock=clock))
    await stream.fill()
    assert not stream.overdue(clock.now)
    clock.now += 2 * MINUTE
    assert stream.overdue(clock.now)
    await stream.refresh()
    assert not stream.overdue(clock.now)
    assert (
        truth(market, SYMBOL, Interval.MINUTE_1, Span(START - 2 * MINUTE, START + 2 * MINUTE))
        == (stream.processor.candles[:4])
    )


@pytest.mark.parametrize("empty", [True, False])
async def test_what_the_exchange_lacks(sim_of, stream_of, adapter_of, empty):
    """It is given up when asked twice: at once if others follow and that may be, else when it cannot be late any more."""
    halt = Span(START + MINUTE, START + 3 * MINUTE)
    clock = Stopped(START + 30 * SECOND)
    sim = await sim_of(clock=clock, market=SyntheticMarket(halts=[halt]))
    stream, heard = stream_of(sim, adapter=adapter_of(sends_empty_candles=empty, settle=MINUTE))
    await stream.fill()
    clock.now = START + 3 * MINUTE + 30 * SECOND
    for _ in range(2):
        await stream.refresh()
    kind = GapKind.HALT if empty else GapKind.NO_TRADES
    gaps = [each.gap for each in heard.of(Missing)]
    both = [
        Gap(START + place * MINUTE, START + (place + 1) * MINUTE, kind, "requested twice, the exchange sent no candle")
        for place in (1, 2)
    ]
    assert (both[:1] if empty else both) == gaps
    clock.now += MINUTE // 2
    await stream.refresh()
    assert both == [each.gap for each in heard.of(Missing)]
    assert not stream.overdue(clock.now - SECOND)


async def test_a_candle_that_was_overtaken(sim_of, stream_of, adapter_of, market):
    """Closed by the next one before its last trades had come, it is restated as soon as they come, and told once."""
    clock = Stopped(START + 30 * SECOND)
    stream, heard = stream_of(await sim_of(clock=clock), adapter=adapter_of(live_closes=False))
    stream.up()
    await stream.fill()
    clock.now = START + MINUTE + SECOND // 20
    stream.take(minute(market, 0, closed=False, part=0.9))
    stream.take(minute(market, 1, closed=False, part=0.1))
    wrong = heard.closed[-1]
    assert (START, minute(market, 0).volume * 0.9) == (wrong.open_time, wrong.volume)
    stream.take(minute(market, 0, closed=False))
    assert [Restated(wrong, minute(market, 0))] == heard.of(Restated)
    assert minute(market, 0) == stream.processor.held(START)
    assert 1 == sum(each.open_time == START for each in heard.closed)


@pytest.mark.parametrize("part", [0.9, 1.0])
async def test_a_second_read(sim_of, stream_of, adapter_of, market, part):
    """What the next candle has closed is read again after ``settle``, in one request with all that are due."""
    clock = Stopped(START + 30 * SECOND)
    sim = await sim_of(clock=clock)
    stream, heard = stream_of(sim, adapter=adapter_of(live_closes=False, settle=10 * SECOND))
    stream.up()
    await stream.fill()
    stream.take(minute(market, 0, closed=False, part=part))
    stream.take(minute(market, 1, closed=False))
    stream.take(minute(market, 2, closed=False, part=part))
    wrong = {each.open_time: each for each in heard.closed}
    clock.now = START + 2 * MINUTE + 15 * SECOND - 1
    assert [START - MINUTE, START] == stream.provisional.due(clock.now, 100)
    clock.now = START + 2 * MINUTE + 15 * SECOND
    asked = ["klines" in path for _, path, _ in sim.log].count(True)
    await stream.read_again()
    changed = [Restated(wrong[START], minute(market, 0))] if part < 1 else []
    assert changed == heard.of(Restated)
    assert 1 == ["klines" in path for _, path, _ in sim.log].count(True) - asked
    assert minute(market, 0) == stream.processor.held(START)
    # Of the second minute it is not certain yet that REST was that far: its answer has the next one only.
    assert [False, True] == [START + place * MINUTE in stream.provisional for place in (0, 1)]


async def test_a_second_read_of_a_series_that_is_polled(sim_of, stream_of, adapter_of, market):
    """What it brings besides, which no poll has brought yet, is published at once."""
    clock = Stopped(START + 30 * SECOND)
    stream, heard = stream_of(await sim_of(clock=clock), adapter=adapter_of(live_closes=False, settle=10 * SECOND))
    await stream.fill()
    clock.now = START + MINUTE + 10 * SECOND
    await stream.read_again()

    assert minute(market, 0) == heard.closed[-1]


async def test_a_second_read_that_comes_too_early_is_repeated(sim_of, stream_of, adapter_of, market):
    """Where REST is further behind than the exchange declares: what it had before the end of a candle proves nothing."""
    clock = Stopped(START + 30 * SECOND)
    sim = await sim_of(clock=clock, unlike={SPOT: {"behind_s": 150}})
    stream, heard = stream_of(sim, adapter=adapter_of(live_closes=False, settle=MINUTE), max_records=8)
    stream.up()
    await stream.fill()
    for place in range(5):
        stream.take(minute(market, place, closed=False, part=0.9))
    for seconds in (65, 130):
        clock.now = START + MINUTE + seconds * SECOND
        await stream.read_again()
        assert START in stream.provisional
    assert [] == heard.of(Restated)
    clock.now = START + MINUTE + 215 * SECOND
    await stream.read_again()

    assert minute(market, 0) == heard.of(Restated)[0].after == stream.processor.held(START)
    assert START not in stream.provisional
    assert START + MINUTE in stream.provisional
    assert stream.provisional.repeated >= 4


async def test_a_socket_corrects_what_a_clock_has_closed(sim_of, stream_of, adapter_of, market):
    """REST had it too early; the socket's closed candle replaces it, and is not read again."""
    clock = Stopped(START + 30 * SECOND)
    sim = await sim_of(clock=clock, unlike={SPOT: {"late_update_ms": 4000}})
    stream, heard = stream_of(sim, adapter=adapter_of())
    stream.up()
    await stream.fill()
    clock.now = START + MINUTE + 3 * SECOND
    await stream.refresh()
    early = heard.closed[-1]
    assert (START, True) == (early.open_time, early.volume < minute(market, 0).volume)
    stream.take(minute(market, 0))

    assert [Restated(early, minute(market, 0))] == heard.of(Restated)
    assert [] == heard.of(Rejected)
    assert START not in stream.provisional


async def test_rest_that_has_not_passed_a_candle_does_not_close_it(sim_of, stream_of, adapter_of, market):
    """By the clock it is over, but the answer is from before its end: it is not closed before a later one is there."""
    clock = Stopped(START + 30 * SECOND)
    sim = await sim_of(clock=clock, unlike={SPOT: {"behind_s": 20}})
    stream, heard = stream_of(sim, adapter=adapter_of(live_closes=False))
    await stream.fill()
    for seconds in (61, 70, 79):
        clock.now = START + seconds * SECOND
        await stream.refresh()
        assert stream.overdue(clock.now)
        assert START not in {each.open_time for each in heard.closed}
    clock.now = START + 80 * SECOND
    await stream.refresh()

    assert minute(market, 0) == heard.closed[-1]
    assert [] == heard.of(Restated)
    assert not stream.overdue(clock.now)


async def test_how_far_second_reads_are_behind(sim_of, stream_of, adapter_of, market):
    """An event when a candle has been due for a minute, when that has doubled, and when nothing is due any more."""
    clock = Stopped(START + 30 * SECOND)
    stream, heard = stream_of(await sim_of(clock=clock), adapter=adapter_of(live_closes=False))
    stream.up()
    await stream.fill()
    stream.take(minute(market, 0, closed=False, part=0.9))
    stream.take(minute(market, 1, closed=False, part=0.1))
    for seconds in range(0, 300, 5):
        stream.report(START + 2 * MINUTE + seconds * SECOND)
    clock.now = START + 8 * MINUTE
    await stream.read_again()
    stream.report(clock.now)

    assert [Unsettled(2, 60.0), Unsettled(2, 120.0), Unsettled(2, 240.0), Unsettled(0, 0.0)] == heard.of(Unsettled)


async def test_trade_that_the_socket_did_not_tell(sim_of, stream_of, market):
    """Only what was fetched after the filling counts, and only until the socket is heard."""
    clock = Stopped(START + 10 * SECOND)
    stream, _ = stream_of(await sim_of(clock=clock))
    stream.up()
    await stream.fill()
    await stream.refresh()
    assert not stream.is_unheard
    clock.now += 30 * SECOND
    await stream.refresh()
    assert stream.is_unheard
    stream.take(minute(market, 0, closed=False))
    assert not stream.is_unheard
    stream.lost()
    assert not stream.is_unheard


async def test_what_is_wrong_is_told(sim_of, stream_of, market, caplog):
    """With its reason, and the beginning of what it was; the first one is logged, and the next within a minute is not."""
    stream, heard = stream_of(await sim_of(clock=Stopped(START + 30 * SECOND)))
    stream.up()
    await stream.fill()
    stream.take(structs.replace(minute(market, 0), high=0.0))
    stream.take(structs.replace(minute(market, -3), volume=1e9))
    stream.reject("why", "x" * 1000)

    assert ["impossible", "contradicted", "why"] == [each.reason for each in heard.of(Rejected)]
    assert "x" * 200 == heard.of(Rejected)[-1].payload
    assert minute(market, -3) == stream.processor.held(START - 3 * MINUTE)
    (line,) = [each.getMessage() for each in caplog.records if "rejected" in each.getMessage()]
    assert ": rejected: BTCUSDT: impossible: CandleData(open_time=" in line
    assert line.endswith("; rejections since the last such line: 1")


async def test_a_hole_in_the_finer_ones(sim_of, stream_of, adapter_of, market):
    """The running candle is made of the finer ones that were fetched, and goes on from there."""
    clock = Stopped(START + 7 * MINUTE + 30 * SECOND)
    adapter = adapter_of(live_intervals={Interval.MINUTE_1: "1m"})
    sim = await sim_of(Fault(FaultKind.DUPLICATE, "nothing"), clock=clock)
    stream, heard = stream_of(sim, Interval.HOUR_1, max_records=3, adapter=adapter)
    assert CandleStream(SYMBOL, Interval.MINUTE_1) == stream.live
    stream.up()
    await stream.fill()
    stream.take(minute(market, 7))
    parts = truth(market, SYMBOL, Interval.MINUTE_1, Span(START, START + 8 * MINUTE))
    running = heard.of(CandleData)[-1]

    assert pytest.approx(sum(each.volume for each in parts)) == running.volume
    assert (START, parts[0].open, parts[-1].close, False) == (
        running.open_time,
        running.open,
        running.close,
        running.closed,
    )


def test_which_stream_feeds_an_interval(adapter_of):
    """Its own, or else the longest of which it consists; none where there is none."""
    sent = [Interval.MINUTE_1, Interval.MINUTE_5, Interval.DAY_1, Interval.HOUR_4]
    adapter = adapter_of(live_intervals=dict.fromkeys(sent, ""))()
    found = {each: live_stream(adapter, SYMBOL, each) for each in Interval}

    assert CandleStream(SYMBOL, Interval.MINUTE_5) == found[Interval.MINUTE_5] == found[Interval.MINUTE_15]
    assert CandleStream(SYMBOL, Interval.HOUR_4) == found[Interval.HOUR_8]
    assert CandleStream(SYMBOL, Interval.DAY_1) == found[Interval.WEEK_1] == found[Interval.MONTH_1]
    assert found[Interval.SECOND_1] is None
    assert live_stream(adapter_of(live_intervals={})(), SYMBOL, Interval.DAY_1) is None


@given(st.sampled_from(list(Interval)), st.sampled_from(list(Interval)), st.integers(0, 4_000_000_000))
def test_consists_of_whole_ones(interval, finer, second):
    """Where it says so, the longer one begins and ends with a finer one, at any time."""
    opened = interval.floor(second * SECOND)
    if consists(interval, finer):
        assert opened == finer.floor(opened)
        assert interval.step(opened) == finer.floor(interval.step(opened))
        assert finer is not interval
