"""What of a history of order books was not collected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.gaps import Gap, GapKind, Span, merge, subtract_all
from chandlery.database.book_history import uncollected

BEFORE = "no order book is stored before 1970-01-01T00:00:00.000100Z"
AFTER = "no order book is stored after 1970-01-01T00:00:00.000200Z"
STORED = Span(100, 200)


def gap(start, end, evidence):
    return Gap(start, end, GapKind.NOT_COLLECTED, evidence)


@pytest.mark.parametrize(
    ("span", "stored", "recorded", "now", "awaited", "expected"),
    [
        (Span(100, 200), STORED, [], 900, 0, []),
        (Span(50, 150), STORED, [], 900, 0, [gap(50, 100, BEFORE)]),
        (Span(150, 400), STORED, [], 900, 0, [gap(200, 400, AFTER)]),
        (Span(0, 1000), STORED, [], 300, 0, [gap(0, 100, BEFORE), gap(200, 300, AFTER)]),
        (Span(150, 1000), STORED, [], 220, 20, []),
        (Span(150, 1000), STORED, [], 221, 20, [gap(200, 221, AFTER)]),
        (Span(150, 1000), STORED, [], 199, 20, []),
        (Span(10, 90), None, [], 900, 0, [gap(10, 90, "no order book is stored")]),
        (Span(10, 990), None, [gap(20, 30, "it was full")], 40, 20, [
            gap(10, 20, "no order book is stored"), gap(20, 30, "it was full"), gap(30, 40, "no order book is stored"),
        ]),
        (Span(150, 300), STORED, [gap(200, 250, "held up")], 900, 0, [gap(200, 250, "held up"), gap(250, 300, AFTER)]),
        (Span(500, 600), STORED, [], 400, 0, []),
    ],
)  # fmt: skip
def test_before_after_and_never(span, stored, recorded, now, awaited, expected):
    """What is recorded comes as it is; the rest up to now is named with its reason, but for what is on its way."""
    assert expected == uncollected(span, stored, recorded, now, awaited)


@given(
    st.tuples(st.integers(0, 100), st.integers(0, 100)).map(sorted),
    st.none() | st.tuples(st.integers(0, 100), st.integers(0, 100)).map(sorted),
    st.integers(0, 120),
)
def test_every_moment_is_stored_or_in_a_gap(span, stored, now):
    """And no gap lies among the stored ones, beyond now, or beyond the span."""
    whole, held = Span(*span), None if stored is None else Span(*stored)
    gaps = merge(each.span for each in uncollected(whole, held, [], now, 0))

    expected = subtract_all([Span(whole.start, min(whole.end, now))], [] if held is None else [held])
    assert merge(expected) == gaps
