"""Ranges of candles: validated, summarized and paged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Generic, Protocol, TypeAlias, TypeVar
from urllib.parse import quote

import pyarrow as pa
from msgspec import Struct, structs

from chandlery.clients.interfaces import ResolvedSeries
from chandlery.core.errors import InvalidRange
from chandlery.core.gaps import Gap, Span
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Clock, Micros, iso
from chandlery.core.volume import require_volume_unit
from chandlery.service.historical.interfaces import IHistoricalDataManager, Piece, Source
from chandlery.service.historical.pages import cursor_of
from chandlery.service.historical.report import AnswerReport
from chandlery.service.historical.schemas import GapSpan, SourceSpan
from chandlery.service.historical.volume import in_unit, volumes_in
from chandlery.service.mcp.budget import clipped
from chandlery.service.parameters import span_of
from chandlery.tables.frame import open_times

SCHEME = "chandlery"
MOST_CANDLES = 5_000_000
"""Maximum number of candles in a range, so that a call ends in time."""
_PIECE_ROWS = 20_000
_MOST_NAMED = 10
"""Maximum number of sources and gaps that an answer lists."""

Progress: TypeAlias = Callable[[float, float, str], Awaitable[None]]
"""Callback for progress: done, total, message."""
PageRow: TypeAlias = tuple[str, float, float, float, float, float]
_RowT = TypeVar("_RowT")


class Sums(Protocol):
    """Accumulator of candles."""

    def add(self, table: pa.Table) -> None:
        """Add candles."""


class Asked(Struct, frozen=True):
    """Range of closed candles, from the first to the last."""

    source: ResolvedSeries
    span: Span
    volume_unit: str = "exchange"

    @property
    def series(self) -> SeriesId:
        """Series of the candles."""
        return self.source.id

    @property
    def uri(self) -> str:
        """URI of the resource with its candles."""
        parts = (
            self.series.exchange,
            self.series.symbol,
            self.series.length.value,
            iso(self.span.start),
            iso(self.span.end),
        )
        return f"{SCHEME}://candles/" + "/".join(quote(part, safe=":") for part in parts)

    @property
    def count(self) -> int:
        """Number of candles if none is missing."""
        return self.series.length.count(self.span.start, self.span.end)


class Page(Struct, Generic[_RowT]):
    """Consecutive rows, and the start of the next page."""

    at: Micros
    end: Micros
    rows: list[_RowT]
    times: list[Micros]
    sources: list[Source]
    gaps: list[Gap]

    def first(self, count: int) -> Page[_RowT]:
        """Return the first rows, at most ``count``."""
        if count >= len(self.rows):
            return self
        end = self.times[count]
        times = self.times[:count]
        sources = [
            structs.replace(each, end=min(each.end, end), rows=sum(each.start <= time < each.end for time in times))
            for each in self.sources
            if each.start < end
        ]
        return Page(self.at, end, self.rows[:count], times, sources, [gap for gap in self.gaps if gap.start < end])

    def next(self, asked: Asked) -> str | None:
        """Return the cursor of the next page; ``None`` on the last page."""
        return cursor_of(self.end) if self.end < asked.span.end else None


class CandleRanges:
    """Reader of ranges; missing candles are fetched and stored."""

    def __init__(
        self, resolve: Callable[[SeriesId], ResolvedSeries], historical: IHistoricalDataManager, clock: Clock
    ) -> None:
        self._resolve = resolve
        self._historical = historical
        self._clock = clock

    def asked(
        self,
        exchange: str,
        symbol: str,
        interval: str,
        start: str | int,
        end: str | int | None,
        volume_unit: str = "exchange",
    ) -> Asked:
        """
        Validate a range.

        Raises:
            InvalidInput: The exchange, symbol or interval is unknown, or the range is invalid, empty or too long.
        """
        now = self._clock()
        span = span_of(start, end, now)
        series = self._resolve(SeriesId.parse(exchange, symbol, "candles", interval))
        length = series.id.length
        closed = Span(length.ceil(span.start), min(length.ceil(span.end), length.floor(now)))
        if not closed:
            raise InvalidRange(f"no candle of {interval} that opens in {span} has closed by now, {iso(now)}")
        asked = Asked(series, closed, require_volume_unit(volume_unit))
        if asked.count > MOST_CANDLES:
            raise InvalidRange(
                f"the range has {asked.count:,} candles of {interval}, more than {MOST_CANDLES:,}; take a shorter range or a longer interval"
            )
        return asked

    async def sum_up(
        self, asked: Asked, sums: Sums, progress: Progress, rows: int = 0
    ) -> tuple[AnswerReport, Page[PageRow]]:
        """Add all candles to ``sums``; return the report, and a page of the first ``rows`` candles."""
        report = AnswerReport()
        kept: list[pa.Table] = []
        await progress(0, asked.count, f"reading {asked.count:,} candles")
        async with aclosing(self._pieces(asked, asked.span.start, _PIECE_ROWS)) as pieces:
            async for piece in pieces:
                room = rows + 1 - sum(table.num_rows for table in kept)
                report.add(piece)
                await asyncio.to_thread(sums.add, piece.table)
                if room > 0:
                    kept.append(piece.table.slice(0, room))
                if piece.table.num_rows:
                    passed = asked.series.length.count(asked.span.start, int(open_times(piece.table)[-1]) + 1)
                    await progress(passed, asked.count, f"{report.rows:,} candles")
        return report, _page(asked, asked.span.start, kept, report).first(rows)

    async def page(self, asked: Asked, at: Micros, rows: int) -> Page[PageRow]:
        """Return the first ``rows`` candles from ``at`` on; no more than that is read."""
        report = AnswerReport()
        kept: list[pa.Table] = []
        async with aclosing(self._pieces(asked, at, rows + 1)) as pieces:
            async for piece in pieces:
                report.add(piece)
                kept.append(piece.table)
                if report.rows > rows:
                    break
        return _page(asked, at, kept, report).first(rows)

    async def _pieces(self, asked: Asked, at: Micros, rows: int) -> AsyncGenerator[Piece, None]:
        convert = await volumes_in(asked.volume_unit, asked.source)
        found = self._historical.pieces(asked.source, Span(at, asked.span.end), rows=rows)
        async with aclosing(found if convert is None else in_unit(found, convert)) as pieces:
            async for piece in pieces:
                yield piece


def _page(asked: Asked, at: Micros, tables: list[pa.Table], report: AnswerReport) -> Page[PageRow]:
    rows: list[PageRow] = []
    times: list[Micros] = []
    for table in tables:
        opened = [int(each) for each in open_times(table)]
        times += opened
        columns = (table.column(name).to_pylist() for name in ("open", "high", "low", "close", "volume"))
        rows += zip((iso(each) for each in opened), *columns, strict=True)
    return Page(at, asked.span.end, rows, times, report.sources, report.gaps)


def told(sources: Sequence[Source], gaps: Sequence[Gap]) -> dict[str, Any]:
    """Return the fields for the sources and gaps of an answer."""
    return {
        "sources": [SourceSpan(**each.plain()) for each in sources[:_MOST_NAMED]],
        "omitted_sources": max(len(sources) - _MOST_NAMED, 0),
        **told_gaps(gaps),
    }


def told_gaps(gaps: Sequence[Gap]) -> dict[str, Any]:
    """Return the fields for the gaps of an answer."""
    named = [
        GapSpan(start=iso(gap.start), end=iso(gap.end), kind=gap.kind.value, evidence=clipped(gap.evidence))
        for gap in gaps[:_MOST_NAMED]
    ]
    return {"gaps": named, "omitted_gaps": max(len(gaps) - _MOST_NAMED, 0)}
