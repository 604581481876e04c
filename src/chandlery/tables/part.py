"""Rows of a range, with their sources, gaps and anomalies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa
from msgspec import Struct, structs

from chandlery.core.gaps import Gap, Span
from chandlery.core.provenance import Event, EventKind, Provenance, SourceSpan
from chandlery.core.time import Micros, iso
from chandlery.tables.frame import PROVENANCE_KEY, Output, slice_span, to_output


class Part(Struct, frozen=True):
    """
    Rows in order, without duplicates, and their provenance: ``spans``, ``gaps`` and ``events``, all oldest first.

    Without ``spans``, the sources of the rows are unknown.
    """

    table: pa.Table
    spans: Sequence[SourceSpan] = ()
    gaps: Sequence[Gap] = ()
    events: Sequence[Event] = ()
    open_candle: Micros | None = None

    @classmethod
    def of_output(cls, table: pa.Table, failed: Sequence[Gap] = ()) -> Self:
        """Make a part from Arrow ``output``, or from a table without provenance whose fetch left the gaps ``failed``."""
        plain = table.replace_schema_metadata(None)
        text = (table.schema.metadata or {}).get(PROVENANCE_KEY.encode())
        if text is None:
            return cls(plain, gaps=failed)
        provenance = Provenance.from_json(text)
        return cls(plain, provenance.spans, provenance.gaps, provenance.events, provenance.open_candle)

    @property
    def provenance(self) -> Provenance:
        """The provenance as plain values."""
        return Provenance.of(self.spans, self.gaps, self.events, self.open_candle)

    @property
    def failures(self) -> list[Gap]:
        """The gaps that make it incomplete."""
        return [gap for gap in self.gaps if gap.kind.is_failure]

    def until(self, now: Micros, end: Micros) -> Part:
        """Add the event that the range ended at ``end``, later than ``now``."""
        detail = f"the range ends in the future; it is answered up to {iso(now)}"
        return structs.replace(self, events=[*self.events, Event(now, end, EventKind.ENDS_IN_FUTURE, detail)])

    def with_running(self, running: pa.Table, opened: Micros) -> Part:
        """Add a column ``closed``, and the running candle that ``opened``, if there is one."""
        table = _with_closed(self.table, running)
        return structs.replace(self, table=table, open_candle=opened if len(running) else None)

    def cut(self, span: Span) -> Part:
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
