"""The plan covers exactly what is wanted, disjoint, in order, from the right source."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import UnsupportedRequest
from chandlery.core.gaps import Span, merge, subtract
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.query import DataSource
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND, add_months
from chandlery.history.plan import (
    Abilities,
    ArchiveFile,
    ArchiveStep,
    BeyondStep,
    CacheStep,
    RestStep,
    archive_files,
    plan,
    require_served,
)

JAN = to_micros(datetime(2024, 1, 1, tzinfo=UTC))
NOW = to_micros(datetime(2024, 6, 20, 12, tzinfo=UTC))
BOTH = Abilities(rest=True, archive=True)

moments = st.integers(JAN, NOW)
intervals = st.sampled_from(Interval)


@st.composite
def spans(draw: st.DrawFn, interval: Interval) -> Span:
    """A span on the grid, as the manager asks for it."""
    first, last = sorted((draw(moments), draw(moments)))
    return Span(interval.ceil(first), max(interval.ceil(first), interval.floor(last)))


def laid_out(wanted, interval, covered, source=DataSource.AUTO, abilities=BOTH, now=NOW):
    return plan(wanted, interval, covered=covered, now=now, source=source, abilities=abilities)


@given(data=st.data(), interval=intervals, source=st.sampled_from(DataSource), delay=st.integers(0, 5))
def test_a_plan_covers_exactly_what_is_wanted_disjoint_and_in_order(data, interval, source, delay):
    """Steps touch, none overlaps another, and together they are the wanted span."""
    if interval is Interval.SECOND_1:
        interval = Interval.MINUTE_1
    wanted = data.draw(spans(interval))
    covered = data.draw(st.lists(spans(interval), max_size=6))
    abilities = Abilities(rest=True, archive=True, delay=delay * DAY, chunk=data.draw(st.integers(100, 2000)))

    steps = laid_out(wanted, interval, covered, source, abilities)

    assert all(step.span for step in steps)
    at = wanted.start
    for step in steps:
        assert at == step.span.start
        at = step.span.end
    assert at == (wanted.end if wanted else wanted.start)


@given(data=st.data(), interval=st.sampled_from([Interval.MINUTE_1, Interval.HOUR_1, Interval.DAY_1]))
def test_the_cache_is_used_exactly_where_it_covers(data, interval):
    """What the cache holds is never fetched, and what it lacks is never expected of it."""
    wanted = data.draw(spans(interval))
    covered = data.draw(st.lists(spans(interval), max_size=6))

    steps = laid_out(wanted, interval, covered)

    cached = merge(step.span for step in steps if isinstance(step, CacheStep))
    assert merge(part for each in covered if (part := each.clip(wanted))) == cached


@given(data=st.data(), interval=intervals)
def test_a_file_holds_all_that_its_step_wants_of_it(data, interval):
    """No step asks a file for a moment outside of its day or month."""
    if interval is Interval.SECOND_1:
        interval = Interval.MINUTE_1
    wanted = data.draw(spans(interval))

    for step in laid_out(wanted, interval, [], DataSource.VISION):
        assert isinstance(step, ArchiveStep)
        assert step.span == step.span.clip(step.file.span)


def test_a_whole_month_comes_in_a_monthly_file_and_other_days_in_daily_ones():
    """From 31 January to 2 March: one day, the whole of February, one day."""
    wanted = Span(JAN + 30 * DAY, JAN + 61 * DAY)

    steps = laid_out(wanted, Interval.MINUTE_1, [])

    assert ["2024-01-31", "2024-02", "2024-03-01"] == [str(step.file) for step in steps]


def test_a_month_of_which_a_day_is_cached_comes_by_the_day():
    """Twenty-eight days of February are fetched where the first is there already."""
    wanted = Span(add_months(JAN, 1), add_months(JAN, 2))

    steps = laid_out(wanted, Interval.MINUTE_1, [Span(wanted.start, wanted.start + DAY)])

    assert [CacheStep, *[ArchiveStep] * 28] == [type(step) for step in steps]
    assert not any(step.file.monthly for step in steps[1:])


def test_what_is_younger_than_the_delay_comes_by_rest():
    """Forty-eight hours are the documented delay; whole days before that come from the archive."""
    wanted = Span(NOW - 5 * DAY, NOW)

    steps = laid_out(wanted, Interval.HOUR_1, [])

    cut = NOW - 12 * HOUR - 2 * DAY
    assert Span(wanted.start, cut) == Span(
        steps[0].span.start, max(s.span.end for s in steps if isinstance(s, ArchiveStep))
    )
    assert [Span(cut, NOW)] == [step.span for step in steps if isinstance(step, RestStep)]


def test_rest_that_would_need_too_many_requests_gives_way_to_the_archive():
    """Two days of seconds are 173 requests: a day that may be published already is tried in the archive."""
    wanted = Span(NOW - 60 * HOUR, NOW)

    steps = laid_out(wanted, Interval.SECOND_1, [])

    tried = [str(step.file) for step in steps if isinstance(step, ArchiveStep)]
    assert ["2024-06-18"] == tried
    by_rest = [step for step in steps if isinstance(step, RestStep)]
    assert Span(by_rest[0].span.start, by_rest[-1].span.end) == Span(NOW - 36 * HOUR, NOW)
    assert len(by_rest) > BOTH.max_chunks, "where the archive cannot serve, REST goes on and nothing is cut short"


def test_intervals_over_a_day_come_by_rest_where_no_whole_month_is_wanted():
    """Three weeks inside a month have no file of their own."""
    wanted = Span(Interval.WEEK_1.ceil(JAN), Interval.WEEK_1.ceil(JAN + 21 * DAY))

    assert [RestStep] == [type(step) for step in laid_out(wanted, Interval.WEEK_1, [])]


def test_a_forced_source_that_does_not_exist_is_refused():
    """The error says which source was demanded and what to use instead."""
    with pytest.raises(UnsupportedRequest, match=r"the archive was requested.*DataSource\.AUTO"):
        laid_out(Span(JAN, JAN + DAY), Interval.MINUTE_1, [], DataSource.VISION, Abilities(archive=False))


def test_what_only_an_archive_serves_comes_from_it_however_new():
    """Its files may not be there yet; nothing else could be asked."""
    wanted = Span(NOW - 3 * DAY, NOW)

    steps = laid_out(wanted, Interval.HOUR_1, [], abilities=Abilities(rest=False, archive=True))

    assert {ArchiveStep} == {type(step) for step in steps}
    assert [] == subtract(wanted, [step.span for step in steps])


def test_what_an_exchange_no_longer_serves_is_a_step_of_its_own():
    """The rest is planned as ever; a range of which nothing can be had is refused, and the error names the oldest moment."""
    oldest = NOW - DAY
    abilities = Abilities(oldest=oldest)
    steps = laid_out(Span(NOW - 7 * DAY, NOW), Interval.MINUTE_1, [], abilities=abilities)

    assert BeyondStep(Span(NOW - 7 * DAY, oldest), oldest) == steps[0]
    assert oldest == steps[1].span.start
    require_served(steps)
    with pytest.raises(UnsupportedRequest, match="2024-06-19T12:00:00Z, the oldest candle"):
        require_served(laid_out(Span(NOW - 7 * DAY, NOW - 2 * DAY), Interval.MINUTE_1, [], abilities=abilities))
    cached = [Span(NOW - 7 * DAY, NOW - 6 * DAY)]
    kept = laid_out(Span(NOW - 7 * DAY, NOW - 2 * DAY), Interval.MINUTE_1, cached, abilities=abilities)
    assert [CacheStep(cached[0]), BeyondStep(Span(NOW - 6 * DAY, NOW - 2 * DAY), oldest)] == kept
    require_served(kept)


def test_archive_files_are_named_as_their_period():
    """A month is YYYY-MM, a day YYYY-MM-DD."""
    files = archive_files(Span(JAN, add_months(JAN, 1) + MINUTE), Interval.MINUTE_1)

    assert [ArchiveFile(JAN, monthly=True), ArchiveFile(add_months(JAN, 1), monthly=False)] == files
    assert ["2024-01", "2024-02-01"] == [str(file) for file in files]
    assert files[0].span.end - files[0].span.start == 31 * DAY
    assert SECOND * 86_400 == files[1].span.end - files[1].span.start
