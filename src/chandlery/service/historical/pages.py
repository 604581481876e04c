"""Pages of a response, and their cursors."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from time import monotonic

import msgspec
import pyarrow as pa
from msgspec import structs

from chandlery.core.errors import InvalidInput
from chandlery.core.gaps import Span
from chandlery.core.series_id import SeriesId
from chandlery.core.time import DAY, HOUR, Micros, iso
from chandlery.service.historical.encode import FEW_ROWS, json_rows
from chandlery.service.historical.interfaces import Piece, Source
from chandlery.service.historical.report import AnswerReport
from chandlery.service.label import labelled
from chandlery.tables.frame import empty_of, slice_span

LONGEST_PAGE_S = 3.0
"""Seconds for gathering the rows of a page; the first byte of an answer must not wait for a long range without rows."""
_FEW_STRETCHES = 100
"""Maximum number of sources and gaps that are encoded without a thread; each takes as long as several rows."""
IMMUTABLE_AFTER: Micros = 2 * DAY + HOUR
"""Age from which answers no longer change, unless the exchange restates candles."""


def cursor_of(moment: Micros) -> str:
    """Return the cursor of a page that begins at ``moment``."""
    return base64.urlsafe_b64encode(str(moment).encode()).decode().rstrip("=")


def moment_of_cursor(cursor: str, span: Span) -> Micros:
    """
    Return the time at which the page of a cursor begins.

    Raises:
        InvalidInput: The cursor does not belong to this range.
    """
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode("ascii")
        moment = int(text) if text.isdigit() else -1
    except (binascii.Error, ValueError):
        moment = -1
    if not span.start <= moment < span.end:
        raise InvalidInput(f"cursor {cursor[:40]!r} does not belong to this range; use next of the previous page")
    return moment


async def candle_page(
    pieces: AsyncGenerator[Piece, None],
    schema: pa.Schema,
    series: SeriesId,
    span: Span,
    at: Micros,
    limit: int,
    *,
    origin: str | None = None,
    ticks: Callable[[], float] = monotonic,
) -> tuple[bytes, bool]:
    """
    Encode the first ``limit`` rows of the pieces; also return true if no part of them failed.

    No more pieces are read than this needs, and ``pieces`` is closed. After ``LONGEST_PAGE_S`` of ``ticks`` the page ends
    with the last piece received, even if it has no rows, as for times long before a listing.
    """
    report = AnswerReport()
    tables: list[pa.Table] = []
    following: Micros | None = None
    over = ticks() + LONGEST_PAGE_S
    async with aclosing(pieces):
        async for piece in pieces:
            room = limit - report.rows
            if piece.table.num_rows > room:
                following = piece.table.column("open_time")[room].value // 1000
                piece = Piece(piece.table.slice(0, room), piece.sources, piece.gaps)  # noqa: PLW2901  # the part that has room
            tables.append(piece.table)
            report.add(piece)
            if following is None and ticks() >= over:
                ends = [each.end for each in report.sources] + [each.end for each in report.gaps]
                reached = max(ends, default=span.end)
                following = reached if reached < span.end else None
            if following is not None:
                break
    until = span.end if following is None else following
    page = Span(at, until)
    work = partial(_encoded, report, tables, schema, series, page, following, origin)
    few = report.rows <= FEW_ROWS and len(report.sources) + len(report.gaps) <= _FEW_STRETCHES
    return work() if few else await asyncio.to_thread(work)


def _encoded(
    report: AnswerReport,
    tables: list[pa.Table],
    schema: pa.Schema,
    series: SeriesId,
    page: Span,
    following: Micros | None,
    origin: str | None,
) -> tuple[bytes, bool]:
    """Encode the page as JSON; also return true if no part of it failed. ``report`` is clipped to the page."""
    table = pa.concat_tables(tables).combine_chunks() if tables else empty_of(schema)
    report.sources = [_of_page(each, table, page) for each in report.sources if each.start < page.end]
    report.gaps = [each for each in report.gaps if each.start < page.end]
    content = {
        "exchange": series.exchange,
        "symbol": series.symbol,
        "interval": None if series.interval is None else series.interval.value,
        **labelled(origin),
        "start": iso(page.start),
        "end": iso(page.end),
        "columns": schema.names,
        **(report.plain() | {"rows": json_rows(table)}),
        "next": None if following is None else cursor_of(following),
    }
    return msgspec.json.encode(content), not any(gap.kind.is_failure for gap in report.gaps)


def _of_page(source: Source, table: pa.Table, page: Span) -> Source:
    """Return the part of a source that lies in a page; its rows are counted again unless that is all of it."""
    if page.start <= source.start and source.end <= page.end:
        return source
    span = Span(source.start, source.end).clip(page)
    return structs.replace(source, start=span.start, end=span.end, rows=slice_span(table, span).num_rows)


def is_immutable(span: Span, now: Micros) -> bool:
    """Return true if the answer for a range no longer changes."""
    return span.end <= now - IMMUTABLE_AFTER


def cache_headers(tag: str, *, immutable: bool) -> dict[str, str]:
    """Return the headers for HTTP caches; ``private``, since a token was needed."""
    kept = "private, max-age=86400, immutable" if immutable else "private, no-cache"
    return {"ETag": tag, "Cache-Control": kept}


def tag_of(content: bytes) -> str:
    """Return the ETag of a response, or of its request if the response never changes."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'
