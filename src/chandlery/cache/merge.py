"""Merge new rows into the content of a cache file; pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import pairwise
from typing import TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from chandlery.core.gaps import Gap, Span, clipped, merge, without
from chandlery.core.provenance import SourceSpan
from chandlery.core.time import Micros
from chandlery.tables.frame import open_times, slice_span
from chandlery.tables.part import Part

_Piece = TypeVar("_Piece", SourceSpan, Gap)


def parts(content: Part, spans: Sequence[Span]) -> Iterator[Part]:
    """Yield the part of ``content`` in each of ``spans``, which are in order and disjoint; only rows that a source covers."""
    sources, gaps = _clipped_each(content.spans, spans), _clipped_each(content.gaps, spans)
    for covered, missing in zip(sources, gaps, strict=True):
        yield Part(_covered_rows(content.table, covered), tuple(covered), tuple(missing))


def overlay(old: Part, new: Part) -> Part:
    """Combine both; where both cover a time, ``new`` wins, including its gaps and missing rows."""
    taken = [each.span for each in new.spans]
    kept_spans = without(old.spans, taken)
    kept_rows = _covered_rows(old.table, kept_spans)
    rows = [table for table in (kept_rows, new.table) if table.num_rows]
    table = rows[0] if len(rows) == 1 else pa.concat_tables([kept_rows, new.table])
    if len(rows) > 1:
        table = table.take(pa.array(np.argsort(open_times(table), kind="stable")))
    return Part(
        table,
        tuple(joined([*kept_spans, *new.spans])),
        tuple(joined([*without(old.gaps, taken), *new.gaps])),
    )


def joined(pieces: Iterable[_Piece]) -> list[_Piece]:
    """Merge adjacent spans or gaps that differ in nothing else; oldest first."""
    result: list[_Piece] = []
    for piece in sorted(pieces):
        if result and result[-1].end == piece.start and result[-1].at(piece.span) == piece:
            result[-1] = piece.at(Span(result[-1].start, piece.end))
        else:
            result.append(piece)
    return result


def settled(content: Part, whole: Span) -> Part:
    """
    Merge adjacent spans of one source if all of ``whole`` is known.

    ``fetched_at`` of a merged span is the latest of its parts. While a day is being
    filled, its parts are not merged. Without merging, a day that was filled every minute would have 1,440 sources.
    """
    if merge(each.span for each in content.spans) != [whole]:
        return content
    spans: list[SourceSpan] = []
    for each in content.spans:
        last = spans[-1] if spans else None
        if last is not None and last.end == each.start:
            at = max(last.fetched_at, each.fetched_at)
            both = msgspec.structs.replace(last, end=each.end, fetched_at=at)
            if both == msgspec.structs.replace(each, start=last.start, fetched_at=at):
                spans[-1] = both
                continue
        spans.append(each)
    return msgspec.structs.replace(content, spans=tuple(spans))


def _clipped_each(pieces: Iterable[_Piece], spans: Iterable[Span]) -> Iterator[list[_Piece]]:
    """Yield the spans or gaps clipped to each of ``spans``, which are in order and disjoint, in a single pass."""
    waiting = sorted(pieces)
    at = 0
    begun: list[_Piece] = []
    for span in spans:
        until = bisect_left(waiting, span.end, at, key=_start)
        begun = [each for each in begun if each.end > span.start] + waiting[at:until]
        at = until
        yield clipped(begun, span)


def fresh(spans: Iterable[SourceSpan]) -> list[SourceSpan]:
    """Clear the flag that spans came from the cache."""
    return [msgspec.structs.replace(span, cached=False) if span.cached else span for span in spans]


def disjoint(spans: Sequence[SourceSpan], never: Sequence[Span]) -> list[SourceSpan]:
    """Make spans disjoint, oldest first, without ``never``; of overlapping spans, the later one in the sequence wins."""
    known = sorted((each for each in spans if each.span), key=_start)
    if any(each.end > later.start for each, later in pairwise(known)):
        known = _latest(spans)
    return without(known, never) if never else known


def _latest(spans: Sequence[SourceSpan]) -> list[SourceSpan]:
    """Return for each time the last span in the sequence that contains it; oldest first."""
    waiting = deque(sorted(range(len(spans)), key=lambda index: spans[index].start))
    begun: list[int] = []  # negative, so that the last in order comes first from the heap
    found: list[tuple[int, Span]] = []
    # Both lists consist of a few ascending runs, which sorting merges in one pass; a set would lose their order.
    for start, end in pairwise(sorted([each.start for each in spans] + [each.end for each in spans])):
        if start == end:
            continue
        while waiting and spans[waiting[0]].start <= start:
            heappush(begun, -waiting.popleft())
        while begun and spans[-begun[0]].end <= start:
            heappop(begun)
        if not begun:
            continue
        if found and found[-1][0] == -begun[0] and found[-1][1].end == start:
            start = found.pop()[1].start  # noqa: PLW2901  # extend the previous span
        found.append((-begun[0], Span(start, end)))
    return [spans[index].at(span) for index, span in found]


def _start(piece: SourceSpan | Gap) -> Micros:
    return piece.start


def _covered_rows(table: pa.Table, spans: Iterable[SourceSpan]) -> pa.Table:
    slices = [slice_span(table, span) for span in merge(each.span for each in spans)]
    return slices[0] if len(slices) == 1 else pa.concat_tables([table.slice(0, 0), *slices])
