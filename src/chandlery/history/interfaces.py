"""What a source of past data must answer, and what it gives."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
from msgspec import Struct, field

from chandlery.adapter.base import ExchangeAdapter
from chandlery.core.endpoints import Endpoints, Origin
from chandlery.core.errors import IncompleteData
from chandlery.core.gaps import Gap, Span
from chandlery.core.holes import Life
from chandlery.core.instrument import MarketType, require_symbol
from chandlery.core.interval import Grid, Interval
from chandlery.core.provenance import Event, SourceSpan
from chandlery.core.query import ChartType, DataProvider
from chandlery.core.time import Clock, Micros, to_datetime
from chandlery.net.clock import system_clock
from chandlery.net.exchange_client import ExchangeClient
from chandlery.net.http import HttpClient
from chandlery.net.tokens import Account, Accounts, TokenIssuer
from chandlery.tables.frame import empty_table, from_pandas, open_times, slice_span

if TYPE_CHECKING:
    import pandas as pd


Earlier: TypeAlias = Callable[[Micros, Micros], Awaitable[Micros | None]]
"""Of a moment and of what the exchange shows as the first candle: a moment before both at which another source has some."""


class FetchResult(Struct, frozen=True):
    """
    What a source gave of a span.

    ``table`` holds the rows in order, in the schema of the chart type; ``None`` stands for no rows. ``spans`` say for which
    moments the source has answered, ``gaps`` which of them have no row and why; a moment in
    neither was not answered and must be had elsewhere.
    """

    table: pa.Table | None
    spans: Sequence[SourceSpan] = ()
    gaps: Sequence[Gap] = ()
    events: Sequence[Event] = ()
    final_before: Micros | None = None
    """Rows from here on may still change and are not stored; ``None`` where the source does not say."""


MOST_SERIES = 4096
"""Of how many series it is remembered what rows have shown; what is forgotten is found out again."""


class Seen(Struct, frozen=True):
    """The first and the last candle that other sources have of the series."""

    first: Micros | None = None
    last: Micros | None = None
    earlier: Earlier | None = None
    """Looks for older ones."""

    async def looked(self, start: Micros, first: Micros) -> Seen:
        """The same with what is older than ``start``, where nothing is known that is older than the exchange's ``first``."""
        if self.earlier is None or (self.first is not None and self.first < first):
            return self
        found = await self.earlier(start, first)
        return Seen(self.first if found is None else found, self.last)


class SeriesFacts(Struct):
    """What rows have shown of a series, valid while the manager lives."""

    grid: Grid | None = None
    """The grid on which its candles open, where it is not the declared one."""
    life: Life | None = None
    """Its first candle."""
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Resources(Struct, frozen=True):
    """
    What clients share: connections, the clock, base URLs by exchange id, and how much may go on at once.

    ``accounts`` are needed for exchanges that answer only to who has signed in.
    """

    http: HttpClient
    clock: Clock
    endpoints: Endpoints = {}
    max_concurrent: int = 50
    max_concurrent_downloads: int = 16
    accounts: Accounts | None = None
    exchanges: dict[str, ExchangeClient] = field(default_factory=dict)
    """The clients made so far by exchange id, so that each asks for the exchange's time and list once for all series."""
    series: dict[tuple[str, str, Interval], SeriesFacts] = field(default_factory=dict)
    """What rows have shown of each series, the one that was used last at the end."""

    def exchange(self, adapter: ExchangeAdapter) -> ExchangeClient:
        """The client of an exchange."""
        known = self.exchanges.get(adapter.id)
        if known is None:
            known = self.exchanges[adapter.id] = ExchangeClient(adapter, self.client(adapter), clock=self.clock)
        return known

    def facts(self, adapter: ExchangeAdapter, symbol: str, interval: Interval) -> SeriesFacts:
        """What rows have shown of a series so far, unless ``MOST_SERIES`` others were used since."""
        key = (adapter.id, symbol, interval)
        known = self.series[key] = self.series.pop(key) if key in self.series else SeriesFacts()
        if len(self.series) > MOST_SERIES:
            del self.series[next(iter(self.series))]
        return known

    def client(self, exchange: TokenIssuer) -> HttpClient | Account:
        """What requests to an exchange are sent with."""
        return (self.accounts or Accounts(self.http)).client(exchange)


class DataClientInterface(ABC):
    """
    A source of one series.

    A third party implements the three properties and ``fetch``, and registers the class with
    ``DataClientFactory``. ``source`` is the word that provenance uses for it; ``page_size`` how
    many rows one call of ``fetch`` may be asked for, ``None`` for any number.
    """

    source: str = "rest"
    page_size: int | None = None
    origin: Origin | None = None
    """Whose data they are, where not the exchange's own."""

    def __init__(
        self,
        *,
        symbol: str,
        interval: Interval,
        market_type: MarketType = MarketType.SPOT,
        provider: DataProvider | None = None,
        resources: Resources | None = None,
    ) -> None:
        """
        A client of one series.

        ``market_type`` and ``provider`` are those under which it was asked for; a class that serves
        several tells by them which. ``resources`` are shared with other clients where given.
        """
        del market_type, provider
        self.symbol = require_symbol(symbol)
        self.interval = interval
        self.resources = resources

    @property
    @abstractmethod
    def provider(self) -> DataProvider:
        """Who provides the data."""

    @property
    @abstractmethod
    def market_type(self) -> MarketType:
        """The market that it serves."""

    @property
    @abstractmethod
    def chart_type(self) -> ChartType:
        """The kind of data."""

    @abstractmethod
    def fetch(self, start_time: datetime, end_time: datetime, **kwargs: Any) -> pd.DataFrame:
        """
        The rows that open in ``[start_time, end_time)``, final ones only, oldest first.

        Both are aware datetimes. The frame has a UTC ``DatetimeIndex`` and the chart type's
        columns and dtypes.
        """

    async def fetch_span(self, span: Span) -> FetchResult:
        """``fetch`` in a thread, as Arrow; clients that are asynchronous inside override it."""
        frame = await asyncio.to_thread(self.fetch, to_datetime(span.start), to_datetime(span.end))
        table = slice_span(from_pandas(self.chart_type, frame), span)
        return FetchResult(table, [self.answered(span, self._now())])

    def answered(self, span: Span, at: Micros, file: str | None = None, sha256: str | None = None) -> SourceSpan:
        """The record that this source answered for ``span`` at a moment, from a file where it is an archive."""
        origin = None if self.origin is None else str(self.origin)
        return SourceSpan(span.start, span.end, self.source, at, file, sha256, origin=origin)

    def _now(self) -> Micros:
        return (system_clock if self.resources is None else self.resources.clock)()

    async def close(self) -> None:  # noqa: B027  # most clients open nothing of their own
        """Release what the client itself has opened."""


def joined(chart_type: ChartType, parts: Sequence[FetchResult]) -> FetchResult:
    """Several results, given in the order of their rows, as one."""
    tables = [part.table for part in parts if part.table is not None and part.table.num_rows]
    return FetchResult(
        pa.concat_tables(tables) if tables else empty_table(chart_type),
        [each for part in parts for each in part.spans],
        [each for part in parts for each in part.gaps],
        [each for part in parts for each in part.events],
    )


def in_order(tables: Sequence[pa.Table | None], chart_type: ChartType) -> pa.Table:
    """The rows of tables that come in any order, each of which is oldest first; a row that is there twice, once."""
    filled = [table for table in tables if table is not None and len(table)]
    if not filled:
        return empty_table(chart_type)
    filled.sort(key=lambda table: int(open_times(table.slice(0, 1))[0]))
    table = pa.concat_tables(filled)
    if len(filled) == 1:
        return table
    times = open_times(table)
    if np.all(times[1:] > times[:-1]):
        return table
    table = table.sort_by("open_time")
    times = open_times(table)
    return table.filter(pa.array(np.concatenate(([True], times[1:] > times[:-1]))))


def incomplete(data: Any, missing: Sequence[Gap], wanted: Span, advice: str = "") -> IncompleteData:
    """The error for a result that lacks ``missing``, of which there is at least one."""
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    message = f"{missing[0].span}{more} of {wanted} could not be had: {missing[0].evidence}"
    return IncompleteData(f"{message}. The error's .data is the rest{advice}", data=data, missing=missing)


async def in_body(tasks: Collection[asyncio.Task[None]]) -> None:
    """
    Wait for tasks of a group before the end of its block.

    Of one that fails when the block has ended, CPython before 3.13 leaves the task around it marked as cancelled.
    """
    if tasks:
        await asyncio.wait(tasks)


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first single error in a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
