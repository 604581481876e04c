"""Spans behave as the sets of moments that they stand for."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.gaps import Gap, GapKind, Span, merge, missing_spans, subtract
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR

SPANS = st.builds(Span, st.integers(0, 40), st.integers(0, 40))
MANY = st.lists(SPANS, max_size=8)


def moments(*spans: Span) -> set[int]:
    """Each moment in any of them."""
    return {moment for span in spans for moment in range(span.start, span.end)}


def assert_tidy(spans: list[Span]) -> None:
    """In order, none empty, no two touching."""
    assert all(spans)
    assert all(one.end < other.start for one, other in pairwise(spans))


@given(MANY)
def test_merge_keeps_the_moments_in_the_fewest_spans(spans):
    """Same moments, in order, nothing empty or touching."""
    merged = merge(spans)

    assert moments(*spans) == moments(*merged)
    assert_tidy(merged)


@given(SPANS, MANY)
def test_subtract_leaves_what_is_in_none_of_the_others(whole, taken):
    """The difference of the sets, in order."""
    left = subtract(whole, taken)

    assert moments(whole) - moments(*taken) == moments(*left)
    assert_tidy(left)


@given(SPANS, SPANS)
def test_clip_is_what_both_hold(one, other):
    """The intersection; empty where they do not meet."""
    assert moments(one) & moments(other) == moments(one.clip(other))
    assert bool(one.clip(other)) == bool(moments(one) & moments(other))


@given(SPANS, st.integers(-1, 41))
def test_holds_is_half_open(span, moment):
    """The start lies in a span, its end does not."""
    assert (moment in moments(span)) == span.holds(moment)


@given(
    st.sampled_from([Interval.HOUR_1, Interval.DAY_1, Interval.WEEK_1, Interval.MONTH_1]),
    st.integers(0, 400 * DAY),
    st.integers(-2, 30),
    st.data(),
)
def test_missing_spans_are_the_opens_without_a_candle(interval, start, count, data):
    """Every open in the span is either among the candles or in exactly one missing span; off-grid candles fill theirs."""
    span = Span(start, interval.step(interval.floor(start), count) + data.draw(st.integers(0, HOUR)))
    expected = []
    opened = interval.ceil(span.start)
    while opened < span.end:
        expected.append(opened)
        opened = interval.step(opened)
    kept = data.draw(st.sets(st.sampled_from(expected))) if expected else set()
    candles = sorted(opened + data.draw(st.integers(0, HOUR - 1)) for opened in kept)

    before, after = interval.step(interval.ceil(span.start), -1), interval.step(interval.ceil(span.end), 2)
    outside = data.draw(st.booleans())

    missing = missing_spans([before, *candles, after] if outside and before < after else candles, interval, span)

    assert sorted(set(expected) - kept) == [opened for opened in expected if any(gap.holds(opened) for gap in missing)]
    assert_tidy(missing)
    assert all(gap.start == interval.floor(gap.start) and gap.end == interval.floor(gap.end) for gap in missing)


def test_the_last_hour_and_the_first_are_not_forgotten():
    """Candles that are missing at 23:00 and 00:00 are reported."""
    span = Span(0, 2 * DAY)
    candles = [hour * HOUR for hour in range(48) if hour not in {0, 23, 24, 47}]

    expected = [Span(0, HOUR), Span(23 * HOUR, 25 * HOUR), Span(47 * HOUR, 48 * HOUR)]
    assert expected == missing_spans(candles, Interval.HOUR_1, span)


def test_only_what_may_exist_all_the_same_is_a_failure():
    """A halt, or a time before the listing, does not make a result incomplete."""
    failures = {kind for kind in GapKind if kind.is_failure}

    assert {GapKind.FETCH_FAILED, GapKind.NOT_IN_ARCHIVE} == failures


def test_text_and_span_of_a_gap():
    """A span prints as a half-open range, and a gap has one."""
    assert "[1970-01-01T00:00:00Z, 1970-01-01T01:00:00Z)" == str(Gap(0, HOUR, GapKind.HALT).span)
