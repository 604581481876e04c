"""Rows of a range, with their sources, gaps and anomalies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa
from msgspec import Struct, structs

from chandlery.core.gaps import Gap, Span, clipped, merge
from chandlery.core.provenance import Event, EventKind, Provenance, SourceSpan
from chandlery.core.query import ChartType
from chandlery.core.time import Micros, iso
from chandlery.tables.frame import PROVENANCE_KEY, Output, empty_of, empty_table, open_times, slice_span, to_output

_NO_ROWS = empty_of(pa.schema([]))


class Part(Struct, frozen=True):
    """
    A part of a series: rows in order, without duplicates, and their provenance, ``spans``, ``gaps`` and ``events``.

    ``table`` has the schema of the chart type; ``None`` stands for no rows. ``spans`` are the times that a source has
    answered for; without them, the sources of the rows are unknown. ``gaps`` are those of them without a row, and
    why. Time in neither was not answered. All are oldest first in a result.
    """

    table: pa.Table
    spans: Sequence[SourceSpan] = ()
    gaps: Sequence[Gap] = ()
    events: Sequence[Event] = ()
    final_before: Micros | None = None
    """Time from which rows may still change and are not stored; ``None`` if the source does not state it."""
    open_candle: Micros | None = None
    """The open time of the running candle, if it was requested and is the last row."""
    volume_unit: str | None = None
    turnover_unit: str | None = None
    """The units of ``volume`` and ``quote_asset_volume``; ``None`` if unknown."""

    def __post_init__(self) -> None:
        """Replace ``None`` by a table without rows."""
        if self.table is None:
            structs.force_setattr(self, "table", _NO_ROWS)

    @classmethod
    def joined(cls, parts: Sequence[Part], chart_type: ChartType) -> Self:
        """Join parts in any order. Of rows at one time, the first one stays."""
        final = [part.final_before for part in parts if part.final_before is not None]
        return cls(
            in_order([part.table for part in parts], chart_type),
            [each for part in parts for each in part.spans],
            [each for part in parts for each in part.gaps],
            [each for part in parts for each in part.events],
            min(final, default=None),
        )

    @classmethod
    def of_output(cls, table: pa.Table, failed: Sequence[Gap] = ()) -> Self:
        """Make a part from Arrow ``output``, or from a table without provenance whose fetch left the gaps ``failed``."""
        plain = table.replace_schema_metadata(None)
        text = (table.schema.metadata or {}).get(PROVENANCE_KEY.encode())
        if text is None:
            return cls(plain, gaps=failed)
        provenance = Provenance.from_json(text)
        return cls(
            plain,
            provenance.spans,
            provenance.gaps,
            provenance.events,
            open_candle=provenance.open_candle,
            volume_unit=provenance.volume_unit,
            turnover_unit=provenance.turnover_unit,
        )

    @property
    def provenance(self) -> Provenance:
        """The provenance as plain values."""
        units = self.volume_unit, self.turnover_unit
        return Provenance.of(self.spans, self.gaps, self.events, self.open_candle, *units)

    @property
    def covered(self) -> list[Span]:
        """The times of which every row is known; merged."""
        return merge(each.span for each in self.spans)

    @property
    def failures(self) -> list[Gap]:
        """The gaps that make it incomplete."""
        return [gap for gap in self.gaps if gap.kind.is_failure]

    def until(self, now: Micros, end: Micros) -> Self:
        """Add the event that the range ended at ``end``, later than ``now``."""
        detail = f"the range ends in the future; it is served up to {iso(now)}"
        return structs.replace(self, events=[*self.events, Event(now, end, EventKind.ENDS_IN_FUTURE, detail)])

    def with_running(self, running: pa.Table, opened: Micros) -> Self:
        """Add a column ``closed``, and the running candle that ``opened``, if there is one."""
        table = _with_closed(self.table, running)
        return structs.replace(self, table=table, open_candle=opened if len(running) else None)

    def clip(self, span: Span) -> Self:
        """Return the rows, spans and gaps of ``span``, and all events."""
        table = slice_span(self.table, span)
        return structs.replace(self, table=table, spans=clipped(self.spans, span), gaps=clipped(self.gaps, span))

    def cut(self, span: Span) -> Self:
        """Drop the rows that open outside of ``span``; the provenance stays."""
        return structs.replace(self, table=slice_span(self.table, span))

    def output(self, form: Output) -> Any:
        """Convert the rows to the requested form, with their provenance."""
        return to_output(self.table, form, self.provenance)


def _with_closed(table: pa.Table, running: pa.Table) -> pa.Table:
    """Concatenate both, with a column ``closed`` that is true for the rows of ``table`` only."""
    marked = [
        part.append_column(pa.field("closed", pa.bool_(), nullable=False), pa.array(np.full(len(part), flag)))
        for part, flag in ((table, True), (running, False))
    ]
    return pa.concat_tables(marked)


def in_order(tables: Sequence[pa.Table], chart_type: ChartType) -> pa.Table:
    """Concatenate tables in any order, each of which is oldest first; of rows at one time, the first one stays."""
    filled = [table for table in tables if len(table)]
    if not filled:
        return empty_table(chart_type)
    if len(filled) == 1:
        return filled[0]
    filled.sort(key=lambda table: int(open_times(table.slice(0, 1))[0]))
    table = pa.concat_tables(filled)
    times = open_times(table)
    if np.all(times[1:] > times[:-1]):
        return table
    table = table.sort_by("open_time")
    times = open_times(table)
    return table.filter(pa.array(np.concatenate(([True], times[1:] > times[:-1]))))
