"""MCP tools for funding rates and order books of the past."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Annotated, TypeAlias

import pyarrow as pa
from pydantic import BaseModel, Field

from chandlery.clients.interfaces import ResolvedSeries
from chandlery.core.gaps import Gap, Span
from chandlery.core.moment import TIME_HELP
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Clock, Micros, iso
from chandlery.database.raw import RawOrderBookEntry
from chandlery.service.auth.interfaces import READ
from chandlery.service.historical.interfaces import IHistoricalDataManager
from chandlery.service.historical.pages import cursor_of, moment_of_cursor
from chandlery.service.historical.report import AnswerReport
from chandlery.service.historical.schemas import GapSpan
from chandlery.service.label import Label
from chandlery.service.mcp.budget import longest_answer
from chandlery.service.mcp.ranges import Page, Progress, told, told_gaps
from chandlery.service.mcp.schemas import CoinName, CursorText, Next, Sourced, TimeText
from chandlery.service.mcp.tool import Tool
from chandlery.service.parameters import span_of
from chandlery.tables.frame import open_times
from chandlery.tables.funding import NOMINAL_TIME, table_with_nominal_time

_MOST_RATES, _RATES = 500, 100
_MOST_BOOKS, _BOOKS = 50, 10
_MOST_LEVELS, _LEVELS = 50, 5

RateRow: TypeAlias = tuple[str, str, str, float]


class PastAsked(CoinName):
    """Range of the past."""

    start: str | int = Field(examples=["2024-01-01"], description=f"Start of the range: {TIME_HELP}")
    end: str | int | None = Field(None, description="End of the range, exclusive; defaults to now.")
    cursor: CursorText = None


class FundingAsked(PastAsked):
    """Range of funding rates."""

    limit: int = Field(_RATES, ge=1, le=_MOST_RATES, description="Maximum number of rates; the budget may allow fewer.")


class BooksAsked(PastAsked):
    """Range of stored order books."""

    levels: int = Field(_LEVELS, ge=1, le=_MOST_LEVELS, description="Number of levels per side.")
    limit: int = Field(_BOOKS, ge=1, le=_MOST_BOOKS, description="Maximum number of books; the budget may allow fewer.")


class FundingTable(BaseModel):
    """Funding rates, oldest first; nominal_time is the full hour of open_time, the exact time; 1 is 100 %."""

    columns: list[str] = ["nominal_time", "open_time", "funding_interval", "funding_rate"]
    rows: list[RateRow]


class FundingAnswer(Sourced):
    """Funding rates of a perpetual."""

    exchange: str
    symbol: str
    rates: FundingTable
    next: Next


class PastBook(BaseModel):
    """A stored order book; levels are price and size, best first."""

    timestamp: TimeText
    received_at: TimeText
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


class PastBooksAnswer(BaseModel):
    """Stored order books, oldest first."""

    exchange: str
    symbol: str
    books: list[PastBook]
    next: Next
    origin: Label = None
    gaps: Annotated[list[GapSpan], Field(description="Spans of this page without books, and their causes.")]
    omitted_gaps: int = 0
    source: str = "the order books that this service stored"


class PastTools:
    """The tools, over the historical data of a service."""

    def __init__(
        self, resolve: Callable[[SeriesId], ResolvedSeries], historical: IHistoricalDataManager, clock: Clock
    ) -> None:
        self._resolve = resolve
        self._historical = historical
        self._clock = clock

    def tools(self) -> tuple[Tool, ...]:
        """Return the tools."""
        return (
            Tool("get_funding_rates", READ, FundingAsked, FundingAnswer, self._funding, heavy=True),
            Tool("get_past_order_books", READ, BooksAsked, PastBooksAnswer, self._books, heavy=True),
        )

    async def _funding(self, asked: FundingAsked, _: Progress) -> FundingAnswer:
        """Return the past funding rates of a perpetual, e.g. BTC/USDT:USDT; with the cursor of an answer, those that follow."""
        series = self._resolve(SeriesId.of_funding(asked.exchange, asked.symbol))
        span, at = self._range(asked)
        report, tables = AnswerReport(), []
        async with aclosing(self._historical.pieces(series, Span(at, span.end), rows=asked.limit + 1)) as pieces:
            async for piece in pieces:
                report.add(piece)
                tables.append(piece.table)
                if report.rows > asked.limit:
                    break
        rows, times = await asyncio.to_thread(_rates, tables)
        page = Page(at, span.end, rows, times, report.sources, report.gaps).first(asked.limit)

        def answer(count: int) -> FundingAnswer:
            part = page.first(count)
            return FundingAnswer(
                exchange=series.id.exchange,
                symbol=series.id.symbol,
                rates=FundingTable(rows=part.rows),
                next=cursor_of(part.end) if part.end < span.end else None,
                origin=series.origin,
                **told(part.sources, part.gaps),
            )

        return await asyncio.to_thread(longest_answer, len(page.rows), answer)

    async def _books(self, asked: BooksAsked, _: Progress) -> PastBooksAnswer:
        """
        Return the stored order books of a range, and the spans without them; with the cursor of an answer, those that
        follow. Only order books of collected coins are stored.
        """
        series = self._resolve(SeriesId.of_book(asked.exchange, asked.symbol))
        span, at = self._range(asked)
        page = await self._historical.get_books(series, Span(at, span.end), asked.limit)
        until = span.end if page.following is None else page.following
        gaps = sorted([*await self._historical.get_gaps(series.id, Span(at, until)), *page.damaged])

        times = [entry.timestamp for entry in page.entries]
        books = await asyncio.to_thread(_books, page.entries, asked.levels)

        def answer(count: int) -> PastBooksAnswer:
            following = times[count] if count < len(times) else page.following
            return PastBooksAnswer(
                exchange=series.id.exchange,
                symbol=series.id.symbol,
                books=books[:count],
                next=None if following is None else cursor_of(following),
                origin=series.origin,
                **told_gaps(_before(gaps, following)),
            )

        return await asyncio.to_thread(longest_answer, len(books), answer)

    def _range(self, asked: PastAsked) -> tuple[Span, Micros]:
        """Return the whole range, and where the page begins."""
        span = span_of(asked.start, asked.end, self._clock())
        return span, span.start if asked.cursor is None else moment_of_cursor(asked.cursor, span)


def _rates(tables: Sequence[pa.Table]) -> tuple[list[RateRow], list[Micros]]:
    rows: list[RateRow] = []
    times: list[Micros] = []
    for table in map(table_with_nominal_time, tables):
        exact = [int(each) for each in open_times(table)]
        nominal = [int(each) // 1_000 for each in table.column(NOMINAL_TIME).cast(pa.int64()).to_pylist()]
        others = (table.column(name).to_pylist() for name in ("funding_interval", "funding_rate"))
        rows += zip(map(iso, nominal), map(iso, exact), *others, strict=True)
        times += exact
    return rows, times


def _books(entries: list[RawOrderBookEntry], levels: int) -> list[PastBook]:
    """Convert and remove the entries: to release many levels takes the time of a callback, which a thread may take."""
    books = [
        PastBook(
            timestamp=iso(entry.timestamp),
            received_at=iso(entry.data.received_at),
            bids=list(entry.data.bids[:levels]),
            asks=list(entry.data.asks[:levels]),
        )
        for entry in entries
    ]
    entries.clear()
    return books


def _before(gaps: Sequence[Gap], end: Micros | None) -> list[Gap]:
    return [each for each in gaps if end is None or each.start < end]
