"""What a cache file holds after more of its rows have come: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Struct

from chandlery.core.gaps import Gap, Span, merge, subtract
from chandlery.core.provenance import SourceSpan
from chandlery.storage.frame import open_times, slice_span

_Piece = TypeVar("_Piece", SourceSpan, Gap)


class Content(Struct, frozen=True):
    """The rows of a stretch of a series, what they cover and whence, and its gaps; all oldest first."""

    table: pa.Table
    spans: tuple[SourceSpan, ...] = ()
    gaps: tuple[Gap, ...] = ()


def part(content: Content, span: Span) -> Content:
    """What of ``content`` lies in ``span``, only rows that a span of it covers."""
    spans = clipped(content.spans, span)
    return Content(_covered_rows(content.table, spans), tuple(spans), tuple(clipped(content.gaps, span)))


def overlay(old: Content, new: Content) -> Content:
    """Both; where both cover a moment, ``new`` alone counts, its gaps and missing rows included."""
    taken = [each.span for each in new.spans]
    kept_spans = _without(old.spans, taken)
    kept_rows = _covered_rows(old.table, kept_spans)
    rows = [table for table in (kept_rows, new.table) if table.num_rows]
    table = rows[0] if len(rows) == 1 else pa.concat_tables([kept_rows, new.table])
    if len(rows) > 1:
        table = table.take(pa.array(np.argsort(open_times(table), kind="stable")))
    return Content(
        table,
        tuple(joined([*kept_spans, *new.spans])),
        tuple(joined([*_without(old.gaps, taken), *new.gaps])),
    )


def joined(pieces: Iterable[_Piece]) -> list[_Piece]:
    """The same spans or gaps, neighbours that differ in nothing else made one; oldest first."""
    result: list[_Piece] = []
    for piece in sorted(pieces):
        if result and result[-1].end == piece.start and _at(result[-1], piece.span) == piece:
            result[-1] = _at(piece, Span(result[-1].start, piece.end))
        else:
            result.append(piece)
    return result


def clipped(pieces: Iterable[_Piece], span: Span) -> list[_Piece]:
    """What of the spans or gaps lies in ``span``."""
    touching = (piece for piece in pieces if piece.start < span.end and piece.end > span.start)
    return [
        piece if span.start <= piece.start and piece.end <= span.end else _at(piece, piece.span.clip(span))
        for piece in touching
    ]


def fresh(spans: Iterable[SourceSpan]) -> list[SourceSpan]:
    """The same spans without the mark that they came from the cache."""
    return [msgspec.structs.replace(span, cached=False) if span.cached else span for span in spans]


def disjoint(spans: Sequence[SourceSpan], never: Sequence[Span]) -> list[SourceSpan]:
    """The same moments, oldest first, without those in ``never``; where spans overlap, the later one in order counts."""
    if not never and all(each.end <= later.start for each, later in pairwise(spans)):
        return list(spans)
    result: list[SourceSpan] = []
    for each in spans:
        result = [*_without(result, [each.span]), each]
    return sorted(_without(result, never))


def _at(piece: _Piece, span: Span) -> _Piece:
    return msgspec.structs.replace(piece, start=span.start, end=span.end)


def _without(pieces: Iterable[_Piece], taken: Sequence[Span]) -> list[_Piece]:
    return [_at(piece, left) for piece in pieces for left in subtract(piece.span, taken)]


def _covered_rows(table: pa.Table, spans: Iterable[SourceSpan]) -> pa.Table:
    slices = [slice_span(table, span) for span in merge(each.span for each in spans)]
    return slices[0] if len(slices) == 1 else pa.concat_tables([table.slice(0, 0), *slices])
