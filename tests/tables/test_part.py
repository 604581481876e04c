"""Rows of a range with their provenance."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.provenance import Event, EventKind, SourceSpan
from chandlery.core.query import ChartType
from chandlery.tables.frame import open_times, table_of
from chandlery.tables.part import Part

MICRO = pa.timestamp("ns", "UTC")
ROWS = pa.table({"open_time": pa.array([0, 1_000, 2_000], MICRO), "close": [1.0, 2.0, 3.0]})
GAP = Gap(3, 4, GapKind.FETCH_FAILED, "no answer")
PART = Part(
    ROWS,
    (SourceSpan(0, 3, "rest", 9), SourceSpan(4, 5, "vision", 9)),
    (GAP,),
    (Event(0, 5, EventKind.SHORT_PAGE),),
)


def test_an_output_of_arrow_becomes_the_same_again():
    """Its provenance is that of the metadata, which the table does not carry any more."""
    again = Part.of_output(PART.output("arrow"))

    assert again == PART
    assert again.table.schema.metadata is None


def test_a_table_without_provenance():
    """There are no spans; what could not be had is a gap."""
    assert Part(ROWS, gaps=[GAP]) == Part.of_output(ROWS, [GAP])
    assert [GAP] == Part.of_output(ROWS, [GAP]).failures


def test_rows_outside_are_left_out():
    """The provenance stays."""
    cut = PART.cut(Span(1, 3))

    assert [2.0, 3.0] == cut.table.column("close").to_pylist()
    assert (PART.spans, PART.gaps, PART.events) == (cut.spans, cut.gaps, cut.events)


def test_a_clipped_part_has_the_rows_and_what_is_known_of_a_span():
    """Its events stay, since they explain what was done."""
    part = PART.clip(Span(2, 5))

    assert [3.0] == part.table.column("close").to_pylist()
    assert [SourceSpan(2, 3, "rest", 9), SourceSpan(4, 5, "vision", 9)] == part.spans
    assert ([GAP], PART.events) == (part.gaps, part.events)
    assert [Span(2, 3), Span(4, 5)] == part.covered


@given(st.lists(st.sets(st.integers(0, 9)), max_size=4))
def test_joined_parts_have_each_row_once_in_order(opens):
    """Whatever the order of the parts, and if several have a row of one time; without any there are no rows."""
    parts = [_rates(each, number) for number, each in enumerate(opens)]
    whole = Part.joined(parts, ChartType.FUNDING_RATE)

    assert sorted(set().union(*opens)) == open_times(whole.table).tolist()
    assert [each for part in parts for each in part.spans] == whole.spans


def test_a_joined_part_is_final_as_far_as_all_parts_are():
    """One that does not state it says nothing."""
    parts = [Part(None), Part(None, final_before=5), Part(None, final_before=3)]

    assert 3 == Part.joined(parts, ChartType.KLINES).final_before
    assert Part.joined(parts[:1], ChartType.KLINES).final_before is None


def test_a_part_without_a_table_has_no_rows():
    """As a source returns it that only has gaps."""
    part = Part(None, gaps=[GAP])

    assert 0 == len(part.table) == len(part.clip(Span(0, 5)).table)


def _rates(opens, rate):
    columns = {
        "open_time": sorted(opens),
        "contracts": ["a"] * len(opens),
        "funding_interval": ["8h"] * len(opens),
        "funding_rate": [float(rate)] * len(opens),
    }
    return Part(table_of(ChartType.FUNDING_RATE, columns), [SourceSpan(0, 10, "rest", rate)])
