"""What the database holds of a stretch, and what a client has answered for the rest, as one piece."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.gaps import Gap, GapKind, Span, merge, subtract, subtract_all
from chandlery.core.interval import Interval
from chandlery.core.provenance import SourceSpan
from chandlery.core.query import ChartType
from chandlery.core.time import DAY, MINUTE
from chandlery.history.checks import holes_of
from chandlery.service.historical.interfaces import sources_of
from chandlery.service.historical.joining import hulls, joined, rows_within, within
from chandlery.tables.candle_rows import SCHEMA, timed
from chandlery.tables.frame import open_times, table_of
from chandlery.tables.part import Part

START = 19_723 * DAY
M = Interval.MINUTE_1
COUNT = 60
WINDOW = Span(START, START + COUNT * MINUTE)


def table(minutes):
    """Candles of some minutes."""
    opens = START + np.array(sorted(minutes), np.int64) * MINUTE
    columns = {name: np.ones(len(opens)) for name in ChartType.KLINES.dtypes}
    ends = {"open_time": opens, "close_time": opens + MINUTE - 1, "count": np.ones(len(opens), np.int64)}
    return timed(table_of(ChartType.KLINES, columns | ends))


def span(minute, count=1):
    """Some minutes."""
    return Span(START + minute * MINUTE, START + (minute + count) * MINUTE)


@pytest.mark.parametrize(
    ("holes", "expected"),
    [
        ([], []),
        ([span(3)], [span(3)]),
        ([span(3), span(10), span(400, 50)], [span(3, 447)]),
        ([span(3), span(503), span(1004, 2)], [span(3, 501), span(1004, 2)]),
    ],
)
def test_near_holes_are_requested_together(holes, expected):
    """As long as fewer than 500 candles lie between them."""
    assert expected == hulls(holes, M)


@given(st.sets(st.integers(0, COUNT - 1)), st.sets(st.integers(0, COUNT - 1)), st.sets(st.integers(0, COUNT - 1)))
def test_every_moment_comes_once(collected, known, answered):
    """A row, or one gap; rows, gaps and sources of an answer count only where the database accounts for nothing."""
    stored = table(collected)
    holes = holes_of(stored, M, WINDOW)
    believed = within([Gap(*_ends(minute), GapKind.HALT, "known") for minute in sorted(known)], holes)
    left = subtract_all(holes, [gap.span for gap in believed])
    lacking = subtract(WINDOW, [span(minute) for minute in answered])
    answer = Part(
        table(answered),
        [SourceSpan(WINDOW.start, WINDOW.end, "rest", 0)],
        [Gap(each.start, each.end, GapKind.NO_TRADES, "asked") for each in lacking],
    )
    around = [SourceSpan(each.start, each.end, "database", 0, origin="elsewhere") for each in subtract(WINDOW, left)]
    part = joined(Part(stored, around, believed), left, [answer])

    rest = set(range(COUNT)) - collected - known
    assert sorted(collected | (answered & rest)) == [(at - START) // MINUTE for at in open_times(part.table).tolist()]
    silent = [at for gap in part.gaps for at in range((gap.start - START) // MINUTE, (gap.end - START) // MINUTE)]
    assert sorted((known - collected) | (rest - answered)) == silent
    sources = sources_of(part)
    assert [WINDOW] == merge(each.span for each in part.spans) == merge(Span(each.start, each.end) for each in sources)
    assert part.table.num_rows == sum(each.rows for each in sources)
    assert {None if each.source == "rest" else "elsewhere" for each in sources} == {each.origin for each in sources}
    assert left == [Span(each.start, each.end) for each in sources if each.source == "rest"]
    assert sorted(answered & rest) == [
        (at - START) // MINUTE for at in open_times(rows_within(table(answered), left)).tolist()
    ]


def _ends(minute):
    return span(minute).start, span(minute).end


def test_a_stretch_without_rows_has_the_columns_of_the_others():
    """Or what lies around it could not be put together with it."""
    nothing = joined(Part(table([])), [WINDOW], [Part(table([]))])

    assert (0, SCHEMA) == (nothing.table.num_rows, nothing.table.schema)
