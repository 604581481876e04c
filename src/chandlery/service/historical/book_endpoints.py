"""Order books over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Annotated, Any

import msgspec
import pyarrow as pa
from fastapi import APIRouter, Depends, Query
from msgspec import structs
from starlette.responses import Response

from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.gaps import Gap, Span
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Unit, iso
from chandlery.database.book_rows import SCHEMA, best_levels, wide_schema, wide_table
from chandlery.database.raw import BookPage, RawOrderBookEntry
from chandlery.service.auth.guard import Reader
from chandlery.service.collection.broadcaster import gap_content
from chandlery.service.collection.endpoints import Exchange, Symbol
from chandlery.service.errors import refusals
from chandlery.service.historical.encode import FORMATS, require_format
from chandlery.service.historical.endpoints import Cursor, End, Form, Parts, Start, file_answer, files_of
from chandlery.service.historical.interfaces import Piece
from chandlery.service.historical.pages import cursor_of, moment_of_cursor
from chandlery.service.historical.schemas import Book, Books
from chandlery.service.known import known_parameters
from chandlery.service.label import labelled
from chandlery.service.parameters import span_of

routes = APIRouter(
    prefix="/v1",
    tags=["data"],
    dependencies=[Depends(known_parameters)],
    responses=refusals(401, 403, 404, 422, 429, 502, 503, 504),
)

BOOK_PAGE, LARGEST_BOOK_PAGE = 20, 200
MOST_LEVELS, MOST_WIDE = 100_000, 200
FILE_BOOKS = 1_000
"""Maximum number of order books of one piece of a file; their levels usually allow fewer."""


@routes.get("/books", response_model=Books, responses=files_of(Books))
async def books(
    subject: Reader,
    parts: Parts,
    exchange: Exchange,
    symbol: Symbol,
    start: Start,
    end: End = None,
    form: Form = "json",
    levels: Annotated[
        int | None, Query(ge=1, le=MOST_LEVELS, description="Number of best levels per side; all by default.")
    ] = None,
    layout: Annotated[
        str, Query(description="Of files: long has a row per level; wide a row per book, with levels up to 200.")
    ] = "long",
    limit: Annotated[int, Query(ge=1, le=LARGEST_BOOK_PAGE, description="Number of books of a JSON page.")] = BOOK_PAGE,
    cursor: Cursor = None,
) -> Response:
    """
    Return the stored order books with start <= timestamp < end, oldest first.

    JSON is returned in pages, each with the gaps between its books; other formats as one file, in bounded memory.
    """
    require_format(form, list(FORMATS))
    if layout not in {"long", "wide"}:
        raise InvalidInput(f"layout is {layout!r}; use long or wide")
    if layout == "wide" and (form == "json" or levels is None or levels > MOST_WIDE):
        raise InvalidInput(f"layout=wide needs format=csv, arrow or parquet, and levels from 1 to {MOST_WIDE}")
    span = span_of(start, end, parts.clock())
    series = parts.resolve(SeriesId.of_book(exchange, symbol))
    at = span.start if cursor is None else moment_of_cursor(cursor, span)
    if form != "json":
        pieces = parts.historical.pieces(series, Span(at, span.end), rows=FILE_BOOKS, snapshots=FILE_BOOKS)
        schema = SCHEMA
        if levels is not None:
            wide = layout == "wide"
            schema = wide_schema(levels) if wide else SCHEMA
            pieces = _converted(pieces, lambda table: (wide_table if wide else best_levels)(table, levels))
        return await file_answer(parts, subject, series, schema, form, pieces)
    await parts.take_turn(subject)
    page = await parts.historical.get_books(series, Span(at, span.end), limit)
    gaps = await parts.historical.get_gaps(series.id, Span(at, span.end if page.following is None else page.following))
    # In a thread: books have thousands of levels.
    content = await asyncio.to_thread(_encoded, page, gaps, levels, series.origin)
    return Response(content, media_type=FORMATS["json"])


@routes.get("/books/latest")
async def latest_book(subject: Reader, parts: Parts, exchange: Exchange, symbol: Symbol) -> Book:
    """Return the live order book if it is collected, otherwise the last stored one."""
    series = parts.resolve(SeriesId.of_book(exchange, symbol))
    row = await parts.historical.latest(series)
    if row is None:
        raise UnknownName(f"there is no order book of {symbol} at {exchange}; collect it with POST /v1/coins")
    told, received = (
        None if row.get(name) is None else iso(Unit.MILLIS.micros(row[name])) for name in ("timestamp", "received_at")
    )
    return Book(
        exchange=row["exchange"],
        symbol=row["symbol"],
        timestamp=told,
        received_at=received,
        at=told,
        sequence=row["sequence"],
        bids=list(map(list, row["bids"])),
        asks=list(map(list, row["asks"])),
        origin=series.origin,
    )


async def _converted(
    pieces: AsyncGenerator[Piece, None], convert: Callable[[pa.Table], pa.Table]
) -> AsyncGenerator[Piece, None]:
    """Yield the pieces with converted tables; closes them."""
    async with aclosing(pieces):
        async for piece in pieces:
            yield structs.replace(piece, table=await asyncio.to_thread(convert, piece.table))


def _encoded(page: BookPage, gaps: Sequence[Gap], levels: int | None, origin: str | None) -> bytes:
    """Encode a page as ``Books``, and remove its entries: to release their levels takes the time of a callback."""
    content: dict[str, Any] = {
        "books": [_book(entry, levels) for entry in page.entries],
        "gaps": [gap_content(gap) for gap in sorted([*gaps, *page.damaged])],
        "next": None if page.following is None else cursor_of(page.following),
    }
    encoded = msgspec.json.encode(content | labelled(origin))
    content.clear()
    page.entries.clear()
    return encoded


def _book(entry: RawOrderBookEntry, levels: int | None) -> dict[str, Any]:
    return {
        "exchange": entry.exchange,
        "symbol": entry.coin_symbol,
        "timestamp": iso(entry.timestamp),
        "received_at": iso(entry.data.received_at),
        "at": None if entry.data.at is None else iso(entry.data.at),
        "sequence": entry.data.sequence,
        "bids": entry.data.bids[:levels],
        "asks": entry.data.asks[:levels],
    }
