"""Past candles and funding rates over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Annotated, Any, TypeAlias

import pyarrow as pa
from fastapi import APIRouter, Depends, Query, Request
from msgspec import structs
from pydantic import BaseModel
from starlette.responses import Response

from chandlery.clients.interfaces import ResolvedSeries
from chandlery.core.gaps import Span
from chandlery.core.moment import TIME_HELP
from chandlery.core.query import ChartType
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Clock, Micros
from chandlery.core.volume import VOLUME_UNITS
from chandlery.history.interfaces import incomplete
from chandlery.service.auth.guard import Reader
from chandlery.service.auth.interfaces import Subject
from chandlery.service.caller import caller_of
from chandlery.service.collection.endpoints import Exchange, Symbol
from chandlery.service.errors import refusals
from chandlery.service.frames import Part
from chandlery.service.historical.download import Download
from chandlery.service.historical.encode import FORMATS, encoded, require_format
from chandlery.service.historical.interfaces import IHistoricalDataManager, Piece
from chandlery.service.historical.pages import (
    cache_headers,
    candle_page,
    is_immutable,
    moment_of_cursor,
    tag_of,
)
from chandlery.service.historical.prefetch import prefetch
from chandlery.service.historical.response_cache import ResponseCache
from chandlery.service.historical.schemas import Page
from chandlery.service.historical.volume import in_unit, volumes_in
from chandlery.service.known import known_parameters
from chandlery.service.parameters import span_of
from chandlery.service.workload import Workload
from chandlery.tables.candle_rows import SCHEMA
from chandlery.tables.frame import empty_table
from chandlery.tables.funding import table_with_nominal_time

routes = APIRouter(
    prefix="/v1",
    tags=["data"],
    dependencies=[Depends(known_parameters)],
    responses=refusals(401, 403, 404, 422, 429, 502, 503, 504),
)

PAGE, LARGEST_PAGE = 1_000, 50_000
BOOK_PAGE, LARGEST_BOOK_PAGE = 20, 200
STREAM_ROWS = 50_000

Start: TypeAlias = Annotated[
    str, Query(examples=["2024-01-01"], description=f"Start of the range, inclusive: {TIME_HELP}")
]
End: TypeAlias = Annotated[str | None, Query(description="End of the range, exclusive; defaults to now.")]
Cursor: TypeAlias = Annotated[str | None, Query(max_length=64, description="next of the previous page.")]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="Number of rows of a JSON page.")]
VolumeUnit: TypeAlias = Annotated[
    str,
    Query(
        description=f"Unit of the volumes: {', '.join(VOLUME_UNITS)}; exchange leaves them as the exchange sends them."
    ),
]
Form: TypeAlias = Annotated[str, Query(alias="format", examples=["json"], description=", ".join(FORMATS))]


def files_of(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of responses with a model as JSON, or a file."""
    media = {
        each.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
        for name, each in FORMATS.items()
        if name != "json"
    }
    return {
        200: {"model": model, "content": media},
        304: {"description": "Not modified since the response with this ETag."},
    }


class PartsOfApplication:
    """The parts of the application that the endpoints use."""

    def __init__(self, request: Request) -> None:
        state = request.app.state
        self.historical: IHistoricalDataManager = state.historical
        self.answers: ResponseCache = state.answers
        self.clock: Clock = state.clock
        self.resolve: Callable[[SeriesId], ResolvedSeries] = state.resolve
        self.request = request

    async def take_turn(self, subject: Subject) -> None:
        """
        Wait for a slot for a heavy request of the caller, and hold it until the response is complete.

        Raises:
            TooMuchAtOnce: That is not soon.
        """
        workload: Workload = self.request.app.state.workload
        await caller_of(self.request.scope).held.enter_async_context(workload.turn(subject))


async def _parts(request: Request) -> PartsOfApplication:
    return PartsOfApplication(request)


Parts: TypeAlias = Annotated[PartsOfApplication, Depends(_parts)]


@routes.get("/candles", responses=files_of(Page))
async def candles(
    subject: Reader,
    parts: Parts,
    exchange: Exchange,
    symbol: Symbol,
    start: Start,
    end: End = None,
    interval: Annotated[str, Query(examples=["1m"])] = "1m",
    volume_unit: VolumeUnit = "exchange",
    form: Form = "json",
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """
    Return closed candles with start <= open < end, oldest first, from the database, the cache, the archive or REST.

    JSON is returned in pages, each with its sources and gaps; other formats as one file, in bounded memory.
    """
    require_format(form, list(FORMATS))
    now = parts.clock()
    span = span_of(start, end, now)
    series = parts.resolve(SeriesId.parse(exchange, symbol, "candles", interval))
    at = span.start if cursor is None else moment_of_cursor(cursor, span)

    def pieces(rows: int) -> AsyncGenerator[Piece, None]:
        found = parts.historical.pieces(series, Span(at, span.end), rows=rows)
        return found if convert is None else in_unit(found, convert)

    convert = await volumes_in(volume_unit, series)
    return await _answer(parts, subject, SCHEMA, series, span, now, at, limit, form, pieces, variant=volume_unit)


@routes.get("/funding", responses=files_of(Page))
async def funding(
    subject: Reader,
    parts: Parts,
    exchange: Exchange,
    symbol: Symbol,
    start: Start,
    end: End = None,
    form: Form = "json",
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """
    Return the funding rates of a perpetual with start <= time < end, oldest first, from the cache or REST.

    nominal_time is the full hour that a funding was meant for, which is the open time of a candle.
    """
    require_format(form, list(FORMATS))
    now = parts.clock()
    span = span_of(start, end, now)
    series = parts.resolve(SeriesId.of_funding(exchange, symbol))
    at = span.start if cursor is None else moment_of_cursor(cursor, span)

    def pieces(rows: int) -> AsyncGenerator[Piece, None]:
        return nominal(parts.historical.pieces(series, Span(at, span.end), rows=rows))

    schema = table_with_nominal_time(empty_table(ChartType.FUNDING_RATE)).schema
    return await _answer(parts, subject, schema, series, span, now, at, limit, form, pieces)


async def _answer(
    parts: PartsOfApplication,
    subject: Subject,
    schema: pa.Schema,
    series: ResolvedSeries,
    span: Span,
    now: Micros,
    at: Micros,
    limit: int,
    form: str,
    pieces: Callable[[int], AsyncGenerator[Piece, None]],
    variant: str = "",
) -> Response:
    """Return a JSON page or a whole file; 304 if the caller already has it."""
    request = parts.request
    immutable = is_immutable(span, now)
    asked = f"{form} {series.id} {schema.names} {at} {span.start} {span.end} {limit if form == 'json' else ''}{series.origin or ''} {variant}"
    tag = tag_of(asked.encode())
    if immutable and tag in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=cache_headers(tag, immutable=True))
    if form == "json":
        await parts.take_turn(subject)
        content, whole = await candle_page(pieces(limit + 1), schema, series.id, span, at, limit, origin=series.origin)
        if not whole:
            return Response(content, media_type=FORMATS["json"], headers={"Cache-Control": "no-store"})
        if not immutable:
            tag = tag_of(content)
            if tag in request.headers.get("If-None-Match", ""):
                return Response(status_code=304, headers=cache_headers(tag, immutable=False))
        return Response(content, media_type=FORMATS["json"], headers=cache_headers(tag, immutable=immutable))
    if immutable:
        kept = parts.answers.get(tag)
        if kept is not None:
            headers = file_headers(series, form) | cache_headers(tag, immutable=True)
            headers["Content-Length"] = str(sum(map(len, kept)))
            return Download(_in_turns(kept), media_type=FORMATS[form], headers=headers)
    return await file_answer(parts, subject, series, schema, form, pieces(STREAM_ROWS), tag=tag if immutable else None)


async def file_answer(
    parts: PartsOfApplication,
    subject: Subject,
    series: ResolvedSeries,
    schema: pa.Schema,
    form: str,
    pieces: AsyncGenerator[Piece, None],
    *,
    tag: str | None = None,
) -> Response:
    """Return the pieces as one file, encoded as they are sent; with the ``tag`` of an immutable answer, cached."""
    await parts.take_turn(subject)
    headers = file_headers(series, form)
    body = encoded(prefetch(_complete(pieces)), schema, form)
    if tag is not None:
        headers |= cache_headers(tag, immutable=True)
        body = parts.answers.caching(tag, body)
    # What fails at once is an error with its status; later, the connection is cut and nobody takes half for all.
    first = await anext(body, b"")
    return Download(_chained(first, body), media_type=FORMATS[form], headers=headers)


def file_headers(series: ResolvedSeries, form: str) -> dict[str, str]:
    """Return the header with the name of a file."""
    name = f"{series.id.exchange}-{series.id.symbol}-{series.id.channel_text}.{form}".replace("/", "-").replace(
        ":", "-"
    )
    return {"Content-Disposition": f'attachment; filename="{name}"'}


async def nominal(pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    """Yield the pieces of funding rates with their nominal times; closes them."""
    async with aclosing(pieces):
        async for piece in pieces:
            yield structs.replace(piece, table=table_with_nominal_time(piece.table))


async def _complete(pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    """
    Yield the pieces. A file cannot report gaps, so a failed one is an error.

    Raises:
        IncompleteData: A part could not be fetched.
    """
    async with aclosing(pieces):
        async for piece in pieces:
            missing = [gap for gap in piece.gaps if gap.kind.is_failure]
            if missing:
                raise incomplete(piece.table, missing, missing[0].span, "; format=json gives the rest, with its gaps")
            yield piece


async def _chained(first: Part, rest: AsyncGenerator[Part, None]) -> AsyncGenerator[Part, None]:
    """Yield all parts, and let other tasks run in between, because a client that reads fast never makes the writer wait."""
    async with aclosing(rest):
        yield first
        async for each in rest:
            await asyncio.sleep(0)
            yield each


async def _in_turns(parts: Iterable[Part]) -> AsyncGenerator[Part, None]:
    """Yield the parts, and let other tasks run after each."""
    for each in parts:
        yield each
        await asyncio.sleep(0)
