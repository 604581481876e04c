"""Merge of stored data with a client's answers for the rest: pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
from msgspec import structs

from chandlery.core.gaps import Gap, Span, joined_gaps
from chandlery.core.interval import Interval
from chandlery.core.provenance import SourceSpan
from chandlery.core.query import ChartType
from chandlery.tables.candle_rows import SCHEMA
from chandlery.tables.frame import empty_of, open_times
from chandlery.tables.part import Part, in_order

_NEAR = 500
"""Holes with fewer candles between them are requested together, since small requests cost as much as large ones."""

_Stretch = TypeVar("_Stretch", Gap, SourceSpan)


def hulls(holes: Iterable[Span], interval: Interval) -> list[Span]:
    """Return the spans to request for ``holes``, which are in order and disjoint."""
    found: list[Span] = []
    for hole in holes:
        if found and interval.count(found[-1].end, hole.start) < _NEAR:
            found[-1] = Span(found[-1].start, hole.end)
        else:
            found.append(hole)
    return found


def joined(stored: Part, left: Sequence[Span], answers: Sequence[Part]) -> Part:
    """
    Merge the rows, sources and gaps of a span.

    ``left`` is what neither the rows nor the gaps of ``stored`` cover; the sources of ``stored`` lie around it. Of
    ``answers``, only the parts within ``left`` are used.
    """
    tables = [each for each in (stored.table, *(rows_within(each.table, left) for each in answers)) if each.num_rows]
    table = in_order(tables, ChartType.KLINES) if tables else empty_of(SCHEMA)
    spans = [*stored.spans, *within([each for answer in answers for each in answer.spans], left)]
    gaps = within([gap for answer in answers for gap in answer.gaps], left)
    return Part(table, sorted(spans, key=lambda each: each.start), joined_gaps([*stored.gaps, *gaps]))


def within(stretches: Iterable[_Stretch], spans: Sequence[Span]) -> list[_Stretch]:
    """Return the parts of ``stretches`` within ``spans``, which are in order and disjoint."""
    ends = [each.end for each in spans]
    found = []
    for each in stretches:
        for index in range(bisect_right(ends, each.start), len(spans)):
            part = Span(each.start, each.end).clip(spans[index])
            if not part:
                break
            found.append(structs.replace(each, start=part.start, end=part.end))
    return found


def rows_within(table: pa.Table, spans: Sequence[Span]) -> pa.Table:
    """Return the rows that open within ``spans``, which are in order and disjoint."""
    times = open_times(table)
    if len(spans) == 1:
        inside = (times >= spans[0].start) & (times < spans[0].end)
    else:
        bounds = np.array([(each.start, each.end) for each in spans], np.int64).reshape(-1)
        inside = np.searchsorted(bounds, times, side="right") % 2 == 1
    return table if inside.all() else table.filter(pa.array(inside))
