"""Rows of a range with their provenance."""

from __future__ import annotations

import pyarrow as pa

from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.provenance import Event, EventKind, SourceSpan
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
