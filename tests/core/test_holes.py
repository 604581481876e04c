"""From holes to gaps, and how long a gap is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chandlery.core.gaps import Gap, GapKind, Span, merge, subtract
from chandlery.core.holes import UNCONFIRMED, Life, explain, storable
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, MINUTE

GRID = Interval.MINUTE_1
NOW = 20_000 * DAY
HOLE = Span(NOW - 10 * DAY, NOW - 9 * DAY)


def explained(hole=HOLE, life=None, *, proof="proved", sends_empty=True, followed=True):
    """Kind and span of each gap of a hole."""
    more = {"sends_empty": sends_empty, "followed": followed, "now": NOW, "settle": MINUTE}
    gaps = explain(hole, GRID, life or Life(), proof=proof, doubt="no", **more)
    return [(gap.kind, gap.span) for gap in gaps]


def test_a_proved_hole_is_a_halt_or_without_trades():
    """By whether the exchange sends candles without trades; without proof it is a failure."""
    assert [(GapKind.HALT, HOLE)] == explained()
    assert [(GapKind.NO_TRADES, HOLE)] == explained(sends_empty=False)
    assert [(GapKind.FETCH_FAILED, HOLE)] == explained(proof=None)


def test_the_ends_of_the_series_explain_what_lies_beyond():
    """Before the first candle, before the exchange's memory, after the last of a delisted instrument, between two."""
    middle = NOW - 9 * DAY - 12 * HOUR
    before, after = Span(HOLE.start, middle), Span(middle, HOLE.end)

    assert [(GapKind.NOT_LISTED, before), (GapKind.HALT, after)] == explained(life=Life(first=middle))
    served = explained(life=Life(served_from=middle), proof=None)
    assert [(GapKind.NO_LONGER_SERVED, before), (GapKind.FETCH_FAILED, after)] == served
    assert [(GapKind.HALT, before), (GapKind.DELISTED, after)] == explained(life=Life(first=0, ended=middle))
    assert [(GapKind.DELISTED, before), (GapKind.HALT, after)] == explained(life=Life(first=0, again=middle))


def test_what_closed_a_short_while_ago_may_still_come():
    """Within an hour, since exchanges publish minutes late; unless a later candle was seen."""
    hole = Span(NOW - 3 * HOUR, NOW)
    halt, recent = Span(hole.start, NOW - HOUR), Span(NOW - HOUR, NOW)

    assert [(GapKind.HALT, halt), (GapKind.NOT_YET, recent)] == explained(hole, followed=False)
    assert [(GapKind.HALT, hole)] == explained(hole)


@given(start=st.integers(0, 5000), length=st.integers(1, 5000), kind=st.sampled_from([GapKind.HALT, GapKind.DELISTED]))
def test_a_gap_is_stored_as_long_as_it_is_believed(start, length, kind):
    """Never below an hour; until its age has doubled below two days; for good above."""
    gap = Gap(NOW - start * MINUTE - length * MINUTE, NOW - start * MINUTE, kind)

    stored, never = storable([gap], GRID, NOW)

    assert [gap.span] == merge([*never, *(each.span for each in stored)])
    assert all([] == subtract(span, [Span(NOW - HOUR, NOW)]) for span in never)
    for each in stored:
        age = NOW - each.end
        assert age >= HOUR
        assert each.recheck_at == (None if age >= 2 * DAY else NOW + age)


def test_a_first_candle_that_nothing_confirms_is_not_stored():
    """An exchange may just have forgotten what was before: it is requested again each time."""
    more = {"proof": None, "sends_empty": True, "followed": True, "now": NOW, "settle": MINUTE}
    for life, kind in (
        (Life(first=HOLE.end, sure=False), GapKind.FETCH_FAILED),
        (Life(first=0, again=HOLE.end, sure=False), GapKind.DELISTED),
    ):
        (gap,) = explain(HOLE, GRID, life, **more)

        assert kind is gap.kind
        assert UNCONFIRMED in gap.evidence
        assert ([], [HOLE]) == storable([gap], GRID, NOW)
        (sure,) = explain(HOLE, GRID, structs.replace(life, sure=True), **more)
        assert UNCONFIRMED not in sure.evidence


@pytest.mark.parametrize("kind", [GapKind.FETCH_FAILED, GapKind.NOT_YET, GapKind.NO_LONGER_SERVED])
def test_a_failure_is_never_stored(kind):
    """However old it is."""
    assert ([], [HOLE]) == storable([Gap(HOLE.start, HOLE.end, kind)], GRID, NOW)
