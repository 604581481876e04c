"""Assemble the parts of a result, and account for every candle: present or in a gap."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from msgspec import structs

from chandlery.cache.reading import Cached
from chandlery.core.gaps import (
    Gap,
    GapKind,
    Span,
    clipped,
    joined_gaps,
    merge,
    subtract,
    subtract_all,
    subtract_each,
    without,
)
from chandlery.core.interval import Grid
from chandlery.core.provenance import Event
from chandlery.core.query import ChartType
from chandlery.core.time import Micros
from chandlery.history.checks import holes_of
from chandlery.tables.frame import slice_span
from chandlery.tables.part import Part


def assemble(chart_type: ChartType, interval: Grid, wanted: Span, parts: Sequence[Part]) -> Part:
    """
    Assemble the rows of ``wanted`` from ``parts``, which are in any order.

    Time that no part covers, and a candle that is neither present nor in a gap, become
    gaps of their own: no hole is silent.
    """
    whole = parts[0] if len(parts) == 1 else Part.joined(parts, chart_type)
    spans, gaps = clipped(whole.spans, wanted), clipped(whole.gaps, wanted)
    accounted = [*(each.span for each in spans), *(gap.span for gap in gaps)]
    silent = subtract(wanted, accounted)
    if chart_type.interval is None:
        # One pass over holes and gaps together: there may be very many of both.
        absent = holes_of(whole.table, interval, wanted)
        silent += subtract_all(absent, [*silent, *(gap.span for gap in gaps)]) if absent else []
    gaps += [
        Gap(each.start, each.end, GapKind.FETCH_FAILED, "no source returned data for it") for each in merge(silent)
    ]
    return Part(whole.table, sorted(spans), joined_gaps(gaps), sorted(set(whole.events), key=_by_place))


def restrict(cached: Cached, source: str) -> Cached:
    """Return the part of the cached data that came from ``source``."""
    spans = [each for each in cached.spans if each.source == source]
    covered = merge(each.span for each in spans)
    tables = [slice_span(cached.table, span) for span in covered]
    outside = subtract_each([gap.span for gap in cached.gaps], covered)
    gaps = [gap for gap, left in zip(cached.gaps, outside, strict=True) if not left]
    table = pa.concat_tables(tables) if tables else cached.table.slice(0, 0)
    return structs.replace(cached, table=table, spans=spans, gaps=gaps)


def without_due(cached: Cached, now: Micros) -> Cached:
    """Drop gaps that are due to be requested again, so that their time is no longer covered."""
    due = [gap.span for gap in cached.gaps if gap.recheck_at is not None and gap.recheck_at <= now]
    if not due:
        return cached
    gaps = [gap for gap in cached.gaps if gap.recheck_at is None or gap.recheck_at > now]
    return structs.replace(cached, spans=without(cached.spans, due), gaps=gaps)


def _by_place(event: Event) -> tuple[Micros, Micros, str, str]:
    return event.start, event.end, event.kind.value, event.detail
