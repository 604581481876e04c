"""Spans behave as the sets of moments that they stand for."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.gaps import Gap, GapKind, Span, clipped, common, merge, subtract, subtract_each, without
from chandlery.core.time import HOUR

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


@given(MANY, MANY)
def test_what_is_taken_is_subtracted_from_each(spans, taken):
    """From spans in any order, which may overlap, as from each alone."""
    assert list(subtract_each(spans, taken)) == [subtract(each, taken) for each in spans]


@given(SPANS, SPANS)
def test_clip_is_what_both_hold(one, other):
    """The intersection; empty where they do not meet."""
    assert moments(one) & moments(other) == moments(one.clip(other))
    assert bool(one.clip(other)) == bool(moments(one) & moments(other))


@given(SPANS, st.integers(-1, 41))
def test_holds_is_half_open(span, moment):
    """The start lies in a span, its end does not."""
    assert (moment in moments(span)) == span.holds(moment)


def test_only_what_may_exist_all_the_same_is_a_failure():
    """A halt, or a time before the listing, does not make a result incomplete."""
    failures = {kind for kind in GapKind if kind.is_failure}

    assert {GapKind.FETCH_FAILED, GapKind.NOT_IN_ARCHIVE, GapKind.NO_LONGER_SERVED} == failures


def test_text_and_span_of_a_gap():
    """A span prints as a half-open range, and a gap has one."""
    assert "[1970-01-01T00:00:00Z, 1970-01-01T01:00:00Z)" == str(Gap(0, HOUR, GapKind.HALT).span)


def test_gaps_are_ordered_by_place_whatever_else_they_say():
    """Also two that are alike, and two of one place that differ in kind."""
    halt, failed = Gap(5, 6, GapKind.HALT, recheck_at=7), Gap(5, 6, GapKind.FETCH_FAILED)
    first = Gap(1, 2, GapKind.NO_TRADES)

    assert [first, failed, halt, halt] == sorted([halt, first, halt, failed])


@given(MANY, SPANS)
def test_clipped_gaps_are_what_lies_in_a_span(spans, span):
    """Each stays the same gap, about less time."""
    gaps = [Gap(each.start, each.end, GapKind.HALT, str(number)) for number, each in enumerate(spans)]

    parts = [(gap.evidence, part) for gap in gaps if (part := gap.span.clip(span))]
    assert parts == [(gap.evidence, gap.span) for gap in clipped(gaps, span)]


@given(MANY, MANY)
def test_gaps_without_what_is_taken(spans, taken):
    """What is left of each, still the same gap."""
    gaps = [Gap(each.start, each.end, GapKind.HALT, str(number)) for number, each in enumerate(spans)]

    parts = [(gap.evidence, part) for gap in gaps for part in subtract(gap.span, taken)]
    assert parts == [(gap.evidence, gap.span) for gap in without(gaps, taken)]


@given(MANY, MANY)
def test_common_time_is_what_lies_in_both(spans, others):
    """In order and merged."""
    found = common(spans, others)

    assert_tidy(found)
    assert moments(*spans) & moments(*others) == moments(*found)
