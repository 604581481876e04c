"""One live series, against a plain model."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import structs

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, MINUTE
from chandlery.feed.events import Restated
from chandlery.feed.series import DataProcessor, Verdict
from fixtures.support import micros

START = micros(2025, 3, 12)
numbers = st.floats(allow_nan=True, allow_infinity=True)


def candle(place, volume=1.0, *, closed=False, close=2.0):
    return CandleData(START + place * MINUTE, 1.0, 3.0, 1.0, close, volume, closed=closed)


good = st.builds(
    candle,
    st.integers(-3, 8),
    st.sampled_from([0.0, 1.0, 2.0]),
    closed=st.booleans(),
    close=st.sampled_from([1.0, 2.0]),
)
garbage = st.builds(CandleData, st.integers(START - 9, START + 9 * MINUTE), *[numbers] * 5, closed=st.booleans())


class Against(RuleBasedStateMachine):
    """A dictionary, the rules in plain words, and nothing kept twice."""

    @initialize(most=st.integers(1, 6), next_closes=st.booleans())
    def begin(self, most, next_closes):
        self.refused = []
        self.made = DataProcessor(
            Interval.MINUTE_1, most, next_closes=next_closes, on_refused=lambda *each: self.refused.append(each)
        )
        self.most, self.next_closes = most, next_closes
        self.model = {}
        self.provisional = {}
        self.live = None
        self.count = 0

    @rule(given=st.one_of(good, garbage), fetched=st.booleans(), settled=st.booleans())
    def process(self, given, fetched, settled):
        self.count += 1
        before, final = dict(self.model), given.closed and (settled or not fetched)
        verdict = self.expected(given, fetched=fetched, final=final)
        provisional = self.provisional.get(given.open_time)
        if verdict is Verdict.TAKEN:
            self.take(given, fetched=fetched)
        elif verdict is Verdict.REPEATED and not fetched and given.open_time == max(self.model, default=None):
            self.live = given.open_time  # the same state, now also received live
        self.mark(verdict, given, final=final)
        changed = self.made.process(given, fetched=fetched, final=settled)

        expected = [each for opened, each in sorted(self.model.items()) if before.get(opened) != each]
        if verdict is Verdict.CORRECTED:
            assert [Restated(provisional, structs.replace(given, closed=True))] == list(changed)
        elif verdict is Verdict.TAKEN:
            told = {each.open_time: each for each in changed}
            assert expected == [each for each in changed if each.open_time in self.model]
            assert given == told[given.open_time]
        else:
            assert [] == list(changed)
            assert (verdict, repr(given)) == (self.refused[-1][0], repr(self.refused[-1][1]))

    def take(self, given, *, fetched):
        latest, opened = max(self.model, default=None), given.open_time
        newest = latest is None or opened > latest
        last = self.model.get(latest)
        if newest and self.next_closes and not fetched and self.live == latest and last and not last.closed:
            self.model[latest] = self.provisional[latest] = structs.replace(last, closed=True)
        self.model[opened] = given
        if not fetched and (newest or opened == latest):
            self.live = opened
        self.model = {each: self.model[each] for each in sorted(self.model)[-self.most :]}

    def mark(self, verdict, given, *, final):
        opened = given.open_time
        if verdict is Verdict.CORRECTED:
            self.provisional[opened] = structs.replace(given, closed=True)
            if opened in self.model:
                self.model[opened] = self.provisional[opened]
        elif verdict is Verdict.CONTRADICTED:
            self.provisional[opened] = self.model[opened]
        elif verdict is Verdict.TAKEN and given.closed:
            self.provisional[opened] = given
        if final and verdict is not Verdict.CONTRADICTED:
            self.provisional.pop(opened, None)

    @rule()
    def interrupted(self):
        self.live = None
        self.made.interrupted()

    def expected(self, given, *, fetched, final):
        prices = (given.open, given.high, given.low, given.close)
        if not all(map(math.isfinite, (*prices, given.volume))) or given.volume < 0:
            return (
                Verdict.IMPOSSIBLE
                if all(map(math.isfinite, prices)) and not self.in_order(given)
                else Verdict.NOT_FINITE
            )
        if not self.in_order(given):
            return Verdict.IMPOSSIBLE
        if given.open_time % MINUTE:
            return Verdict.OFF_GRID
        if given.open_time in self.provisional:
            return self.expected_of_provisional(given, final=final)
        held = self.model.get(given.open_time)
        kept = not fetched or len(self.model) == self.most
        too_old = held is None and kept and bool(self.model) and given.open_time < min(self.model)
        if held is None:
            return Verdict.OUTDATED if too_old else Verdict.TAKEN
        return self.expected_of_two(held, given)

    def expected_of_provisional(self, given, *, final):
        provisional = self.provisional[given.open_time]
        if structs.replace(given, closed=True) == provisional:
            return Verdict.REPEATED
        return Verdict.CORRECTED if final or given.volume > provisional.volume else Verdict.OUTDATED

    @staticmethod
    def expected_of_two(held, given):
        if held == given:
            return Verdict.REPEATED
        if held.closed:
            return Verdict.CONTRADICTED if given.closed else Verdict.OUTDATED
        return Verdict.TAKEN if given.closed or given.volume >= held.volume else Verdict.OUTDATED

    @staticmethod
    def in_order(given):
        return given.low <= min(given.open, given.close, given.high) and given.high >= max(given.open, given.close)

    @invariant()
    def same(self):
        held = [each for _, each in sorted(self.model.items())]
        assert held == self.made.candles
        assert len(held) == len(self.made)
        assert self.provisional == {each: self.made.provisional.get(each) for each in self.provisional}
        assert len(self.provisional) == len(self.made.provisional)
        assert self.count == self.made.taken + self.made.counts.total()
        assert min(self.model, default=None) == self.made.first
        assert max(self.model, default=None) == self.made.last
        until = START + 9 * MINUTE
        grid = range(max(min(self.model, default=until), until - self.most * MINUTE), until, MINUTE)
        lacking = [each for each in grid if each not in self.model or not self.model[each].closed]
        assert lacking == self.made.missing(until) or not self.model


TestAgainst = Against.TestCase
TestAgainst.settings = settings(max_examples=120, stateful_step_count=25, deadline=None)


updates = st.builds(
    candle,
    st.sampled_from([0, 0, 0, 0, 1, 0.5]),
    st.one_of(st.sampled_from([0.0, math.nan, math.inf]), st.integers(0, 9).map(float)),
    closed=st.sampled_from([False] * 9 + [True]),
    close=st.sampled_from([1.0, 2.0, 2.0, 2.0, 4.0, math.inf, math.nan]),
)


@given(
    st.lists(st.one_of(st.tuples(st.sampled_from(["live", "live", "live", "fetched"]), updates), st.none())),
    st.integers(1, 3),
    st.booleans(),
)
def test_to_follow_is_to_process(steps, most, next_closes):
    """What follows a running candle becomes what ``process`` would have made of it, after whatever came before."""
    told, refused = ([], []), ([], [])
    made = [
        DataProcessor(
            Interval.MINUTE_1,
            most,
            next_closes=next_closes,
            on_refused=lambda *each, to=refused[place]: to.append(repr(each)),
        )
        for place in range(2)
    ]
    made[1].on_followed = told[1].append
    for step in steps:
        for place, each in enumerate(made):
            if step is None:
                each.interrupted()
            elif not (place and step[0] == "live" and each.follow(step[1])):
                told[place].extend(each.process(step[1], fetched=step[0] == "fetched"))

    straight, short = made
    assert told[0] == told[1]
    assert refused[0] == refused[1]
    assert straight.candles == short.candles
    assert [straight.held(each.open_time) for each in straight.candles] == short.candles
    assert (straight.taken, straight.counts) == (short.taken, short.counts)
    until = START + 3 * MINUTE
    assert straight.missing(until) == short.missing(until)
    assert straight.resume(until) == short.resume(until)


@given(
    st.lists(st.one_of(st.tuples(st.booleans(), good), st.none()), max_size=6),
    st.integers(1, 12),
    st.integers(-4, 8),
    st.lists(st.one_of(st.just(1.0), st.just(1.0), st.just(math.nan)), min_size=1, max_size=6),
    st.integers(0, 6),
    st.sets(st.integers(-4, 12)),
)
def test_to_load_is_to_process(steps, most, begin, volumes, final, absent):
    """A block becomes what ``process`` would have made of it one by one, after whatever came before; else nothing changes."""
    made = [DataProcessor(Interval.MINUTE_1, most, next_closes=True) for _ in range(2)]
    for each in made:
        each.absent(START + place * MINUTE for place in absent)
        for step in steps:
            if step is None:
                each.interrupted()
            else:
                each.process(step[1], fetched=step[0])
    block = [candle(begin + place, volume, closed=True) for place, volume in enumerate(volumes)]

    one_by_one, at_once = made
    before = (at_once.candles, at_once.taken, at_once.provisional.opens)
    if not at_once.load(block, final):
        assert before == (at_once.candles, at_once.taken, at_once.provisional.opens)
        return
    for place, each in enumerate(block):
        assert [each] == list(one_by_one.process(each, fetched=True, final=place < final))
    for each in (candle(begin + len(block)), candle(begin + len(block) + 1)):
        for one in made:
            one.process(each)
    one, other = ((each.candles, each.taken, each.heard, {*each.provisional.opens}) for each in made)

    assert one == other
    until = START + 20 * MINUTE
    assert one_by_one.missing(until, since=START - 5 * MINUTE) == at_once.missing(until, since=START - 5 * MINUTE)
    assert one_by_one.missing(until) == at_once.missing(until)


def test_a_block_of_new_candles_is_loaded():
    """Before, after and around those that are there; what is known, or wrong, is not, and neither is too much."""
    made = DataProcessor(Interval.MINUTE_1, 10)
    made.process(candle(5))
    blocks = {name: [candle(place, closed=True) for place in places] for name, places in {
        "before": (1, 2), "after": (7, 8, 9), "around": (3, 6, 10), "known": (8, 11), "much": range(-5, 0)}.items()}  # fmt: skip

    assert [True, True, True, False, False] == [made.load(each, 1) for each in blocks.values()]
    assert not made.load([candle(11)], 1), "it runs"
    assert not made.load([structs.replace(candle(11, closed=True), open_time=START + 11 * MINUTE + 1)], 1)
    assert [1, 2, 3, 5, 6, 7, 8, 9, 10] == [(each.open_time - START) // MINUTE for each in made.candles]
    assert {START + place * MINUTE for place in (2, 6, 8, 9, 10)} == {*made.provisional.opens}
    assert [] == made.absences(START)
    made.absent([START + 11 * MINUTE, START + 12 * MINUTE, START + 14 * MINUTE])
    assert [
        Span(START + 12 * MINUTE, START + 13 * MINUTE),
        Span(START + 14 * MINUTE, START + 15 * MINUTE),
    ] == made.absences(START + 12 * MINUTE)
    assert START + 11 * MINUTE == made.following


@given(
    st.permutations([candle(place, volume, closed=volume == 2.0) for place in range(4) for volume in (0.0, 1.0, 2.0)])
)
def test_any_order_ends_the_same(candles):
    """Closed beats running, more beats less, and order says nothing."""
    made = DataProcessor(Interval.MINUTE_1, 10)
    for each in candles:
        made.process(each, fetched=True)

    assert [candle(place, 2.0, closed=True) for place in range(4)] == made.candles


@given(st.lists(st.one_of(good, garbage)))
def test_a_candle_that_the_exchange_has_closed_never_changes(candles):
    """Whatever comes by socket after it, unless another closed one has contradicted it: then it is to be read again."""
    made, closed = DataProcessor(Interval.MINUTE_1, 50), {}
    for each in candles:
        was_final = each.open_time in closed and each.open_time not in made.provisional
        for changed in made.process(each):
            assert not was_final
            if isinstance(changed, Restated):
                closed[each.open_time] = changed.after
            elif changed.closed:
                closed[each.open_time] = changed
    held = {each.open_time: each for each in made.candles if each.closed}

    assert closed == held


def test_the_next_closes_only_what_was_heard_to_its_end():
    """A fetched candle may have traded until its end; so may one before an interruption."""
    made = DataProcessor(Interval.MINUTE_1, next_closes=True)
    made.process(candle(0), fetched=True)
    assert [candle(1)] == list(made.process(candle(1)))
    assert [candle(1, closed=True), candle(2)] == list(made.process(candle(2)))
    made.interrupted()
    assert [candle(3)] == list(made.process(candle(3)))

    assert [START, START + 2 * MINUTE] == made.missing(START + 3 * MINUTE)


def test_what_the_next_one_has_closed_gives_way():
    """To a later update that has traded more, and to any that is final; each tells what it replaced."""
    made = DataProcessor(Interval.MINUTE_1, next_closes=True)
    for each in (candle(0, 6.0), candle(1, 1.0)):
        made.process(each)
    first, second, last = candle(0, 6.0, closed=True), candle(0, 7.0, closed=True), candle(0, 6.5, closed=True)

    assert [Restated(first, second)] == list(made.process(candle(0, 7.0)))
    assert START in made.provisional
    assert () == made.process(candle(0, 6.5), fetched=True)
    assert [Restated(second, last)] == list(made.process(last, fetched=True, final=True))
    assert START not in made.provisional
    assert () == made.process(second)
    assert 1 == made.counts[Verdict.CONTRADICTED]
    assert START in made.provisional  # it is read again, and that decides


def test_what_a_clock_has_closed_is_proved_by_the_same_again():
    """By a socket's closed candle or a late read, also when it is not among the latest any more."""
    made = DataProcessor(Interval.MINUTE_1, 2)
    for place in range(3):
        made.process(candle(place, closed=True), fetched=True)
    assert [START + MINUTE, START + 2 * MINUTE] == [each.open_time for each in made.candles]
    better = candle(0, 9.0, closed=True)

    assert () == made.process(candle(1, closed=True))
    assert [Restated(candle(0, closed=True), better)] == list(made.process(better, fetched=True, final=True))
    assert [False, False, True] == [START + place * MINUTE in made.provisional for place in range(3)]
    assert 2 == len(made)


def test_what_is_missing():
    """Holes and unfinished candles, until what the exchange lacks was noted; nothing before the oldest."""
    made = DataProcessor(Interval.MINUTE_1, 10)
    assert [] == made.missing(START)
    for place in (2, 3, 6):
        made.process(candle(place, closed=place != 3))
    opens = [START + place * MINUTE for place in (3, 4, 5)]

    assert opens == made.missing(START + 7 * MINUTE) == made.missing(START + 6 * MINUTE)
    assert opens[:2] == made.missing(START + 5 * MINUTE)
    made.absent(opens[1:])
    assert opens[:1] == made.missing(START + 7 * MINUTE)
    made.process(candle(3, closed=True))
    assert [] == made.missing(START + 7 * MINUTE)
    made.process(candle(0, closed=True), fetched=True)
    assert [START + MINUTE] == made.missing(START + 7 * MINUTE)


def test_a_long_absence_costs_nothing():
    """After ten years, not more is missed than would be kept."""
    made = DataProcessor(Interval.MINUTE_1, 5)
    made.process(candle(0, closed=True))
    later = START + 3650 * DAY

    assert [later - left * MINUTE for left in (5, 4, 3, 2, 1)] == made.missing(later)
    assert Span(later - 4 * MINUTE, later + MINUTE) == made.resume(later + 1)


def test_where_to_resume():
    """As many as are kept; then from the first that is not final, or else the last."""
    made = DataProcessor(Interval.MINUTE_1, 4)
    now = START + 5 * MINUTE + 1
    assert Span(START + 2 * MINUTE, START + 6 * MINUTE) == made.resume(now)
    for place in (2, 3, 4):
        made.process(candle(place, closed=True))
    assert Span(START + 4 * MINUTE, START + 6 * MINUTE) == made.resume(now)
    made.process(candle(5))
    assert Span(START + 5 * MINUTE, START + 6 * MINUTE) == made.resume(now)
    assert Span(START + 5 * MINUTE, START + 8 * MINUTE) == made.resume(now + 2 * MINUTE)


def test_where_to_begin_with_a_short_history():
    """As many as are wanted at first; later no fewer than are kept."""
    made = DataProcessor(Interval.MINUTE_1, 4, history=2)
    now = START + 5 * MINUTE + 1
    assert Span(START + 4 * MINUTE, START + 6 * MINUTE) == made.resume(now)
    made.process(candle(0, closed=True))

    assert Span(START + 2 * MINUTE, START + 6 * MINUTE) == made.resume(now)
    assert Span(START + 4 * MINUTE, START + 6 * MINUTE) == made.resume(now, anew=True)


@pytest.mark.parametrize("interval", [Interval.MONTH_1, Interval.WEEK_1])
def test_months_and_weeks_are_on_their_grid(interval):
    """They open on the first, and on Mondays."""
    made = DataProcessor(interval)
    opened = interval.floor(START)

    assert Verdict.TAKEN is made.verdict(structs.replace(candle(0), open_time=opened))
    assert Verdict.OFF_GRID is made.verdict(candle(0))


def test_columns_that_one_of_two_lacks():
    """They are no contradiction, and no restatement."""
    made = DataProcessor(Interval.MINUTE_1)
    made.process(candle(0, closed=True))
    other = structs.replace(candle(0, closed=True), quote_asset_volume=7.0)

    assert Verdict.REPEATED is made.verdict(other)
    assert () == made.process(other, fetched=True, final=True)
    assert [candle(0, closed=True)] == made.candles


def test_times_that_cannot_be():
    """A live candle is not older than the history, and not of next week; else one mistake would spoil the series."""
    made = DataProcessor(Interval.MINUTE_1, clock=lambda: START)
    made.process(candle(0, closed=True), fetched=True)
    day = DAY // MINUTE

    assert Verdict.OUTDATED is made.verdict(candle(-1))
    assert Verdict.TAKEN is made.verdict(candle(-1), fetched=True)
    assert Verdict.TAKEN is made.verdict(candle(day))
    assert Verdict.EARLY is made.verdict(candle(day + 1))


def test_which_verdicts_are_rejects():
    """Those that say that something is wrong with the candle."""
    rejects = {each for each in Verdict if each.is_reject}

    assert rejects == {Verdict.CONTRADICTED, Verdict.NOT_FINITE, Verdict.IMPOSSIBLE, Verdict.OFF_GRID, Verdict.EARLY}


def timed(place, volume=1.0, *, at, closed=False):
    return structs.replace(candle(place, volume, closed=closed), at=at, received_at=at + 1)


def times(of):
    return of.at, of.received_at


def test_a_clock_closes_a_candle_with_the_times_of_its_last_update():
    """And what comes again later, unchanged, is no restatement."""
    made = DataProcessor(Interval.MINUTE_1, next_closes=True)
    made.process(timed(0, at=10))
    made.follow(timed(0, 2.0, at=20))
    closed, running = made.process(timed(1, at=30))

    assert (True, (20, 21)) == (closed.closed, times(closed))
    assert (False, (30, 31)) == (running.closed, times(running))
    assert () == made.process(timed(0, 2.0, at=40, closed=True), fetched=True, final=True)
    assert () == made.process(timed(0, 2.0, at=50, closed=True), fetched=True, final=True)
    assert ({Verdict.REPEATED: 2}, 0, (20, 21)) == (
        made.counts, made.provisional.restated, times(made.candles[0]),
    )  # fmt: skip


def test_a_restated_candle_has_the_times_of_what_restates_it():
    """Before and after have each their own."""
    made = DataProcessor(Interval.MINUTE_1, next_closes=True)
    made.process(timed(0, at=10))
    made.process(timed(1, at=20))
    (change,) = made.process(timed(0, 3.0, at=30, closed=True), fetched=True, final=True)

    assert ((10, 11), (30, 31), (30, 31)) == (times(change.before), times(change.after), times(made.candles[0]))


def test_a_running_candle_that_comes_again_is_heard_of_once_more():
    """It has the times of the last message; one that was fetched is none."""
    made = DataProcessor(Interval.MINUTE_1)
    made.process(timed(0, at=10))

    assert () == made.process(timed(0, at=20))
    assert () == made.process(timed(0, at=30), fetched=True)
    assert (20, 21) == times(made.candles[0])
    assert made.follow(timed(0, 2.0, at=40))
    assert (40, 41) == times(made.candles[0])
