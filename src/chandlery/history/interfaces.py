"""The interface of a source of past data, and its results."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import pyarrow as pa
from msgspec import Struct, field, structs

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.pages import rest_chunks
from chandlery.core.endpoints import Endpoints, Origin
from chandlery.core.errors import ChandleryError, Closed, IncompleteData, InvalidInput, UnsupportedRequest
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.holes import Life
from chandlery.core.instrument import MarketType, require_symbol
from chandlery.core.interval import Grid, Interval
from chandlery.core.provenance import SourceSpan
from chandlery.core.query import ChartType, DataProvider
from chandlery.core.recent import Recent
from chandlery.core.time import MINUTE, Clock, Micros, to_datetime
from chandlery.net.clock import system_clock
from chandlery.net.exchange_client import ExchangeClient
from chandlery.net.http import HttpClient
from chandlery.net.tokens import Accounts
from chandlery.tables.frame import from_pandas, slice_span
from chandlery.tables.part import Part

if TYPE_CHECKING:
    import pandas as pd


Earlier: TypeAlias = Callable[[Micros, Micros], Awaitable[Micros | None]]
"""Given a time and the exchange's first candle, return an earlier time at which another source has candles."""


FetchResult = Part
"""The public name of what a source returns for a span. Time in no span and no gap must come from another source."""

Deliver: TypeAlias = Callable[[Part], Awaitable[None]]
"""Takes a part of an answer."""


class Parts(list[Part]):
    """Parts in the order in which they are delivered."""

    async def take(self, part: Part) -> None:
        """Add a part."""
        self.append(part)


MOST_SERIES = 4096
"""Number of series whose facts are cached; evicted ones are found again when needed."""


class Seen(Struct, frozen=True):
    """The first and the last candle that other sources have of the series."""

    first: Micros | None = None
    last: Micros | None = None
    earlier: Earlier | None = None
    """Looks for older ones."""

    async def looked(self, start: Micros, first: Micros) -> Seen:
        """Look for candles older than ``start``, unless one older than the exchange's ``first`` is known."""
        if self.earlier is None or (self.first is not None and self.first < first):
            return self
        found = await self.earlier(start, first)
        return Seen(self.first if found is None else found, self.last)


class SeriesFacts(Struct):
    """Facts about a series that rows have shown, valid while the manager lives."""

    grid: Grid
    """The grid of its open times: as declared, until rows show another."""
    life: Life | None = None
    """Its first candle."""
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Resources(Struct, frozen=True):
    """
    The resources that clients share: connections, the clock, base URLs by exchange id, and concurrency limits.

    ``accounts`` are needed for exchanges that require authentication.
    """

    http: HttpClient
    clock: Clock
    endpoints: Endpoints = {}
    max_concurrent: int = 50
    max_concurrent_downloads: int = 16
    accounts: Accounts | None = None
    adapters: dict[str, ExchangeAdapter] = field(default_factory=dict)
    """Adapters by exchange id, which read the symbols of all series by rules: they learn no list."""
    exchanges: dict[str, ExchangeClient] = field(default_factory=dict)
    """Clients by exchange id, so that the exchange's time and list are requested once for all series."""
    series: Recent[tuple[str, str, Interval], SeriesFacts] = field(default_factory=lambda: Recent(MOST_SERIES))
    """Facts about each series."""

    def adapter(self, kind: type[ExchangeAdapter]) -> ExchangeAdapter:
        """Return the adapter of an exchange, with the base URLs in ``endpoints``."""
        known = self.adapters.get(kind.id)
        if known is None:
            known = self.adapters[kind.id] = kind(self.endpoints.get(kind.id))
        return known

    def exchange(self, kind: type[ExchangeAdapter]) -> ExchangeClient:
        """Return the client of an exchange, with its account if it has one."""
        known = self.exchanges.get(kind.id)
        if known is None:
            adapter = kind(self.endpoints.get(kind.id))
            http = (self.accounts or Accounts(self.http)).client(adapter)
            known = self.exchanges[kind.id] = ExchangeClient(adapter, http, clock=self.clock)
        return known

    def facts(self, adapter: ExchangeAdapter, symbol: str, interval: Interval) -> SeriesFacts:
        """Return the facts about a series, those declared if it is new or was evicted after ``MOST_SERIES`` others."""
        return self.series.get((adapter.id, symbol, interval), lambda: SeriesFacts(adapter.grid(interval)))


class DataClientInterface(ABC):
    """
    A source of one series.

    A third party implements the three properties and ``fetch``, and registers the class with
    ``DataClientFactory``. ``source`` is its name in provenance; ``page_size`` the largest number of
    rows that one call of ``fetch`` may ask for, ``None`` for any number. All else has a default that fits any source.

    A manager creates one client for each series and source, and uses it for all calls, which may run in several
    threads at once.
    """

    source: str = "rest"
    page_size: int | None = None
    origin: Origin | None = None
    """The server that the data come from, if not the exchange's own."""
    settle: Micros = MINUTE
    """Time after its close within which a row may change and is not cached."""
    longest_request: Micros | None = None
    """The longest span of one request."""

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
        Create a client of one series.

        ``market_type`` and ``provider`` are those of the request; a class that serves
        several uses them to tell which. ``resources`` are shared with other clients if given.
        """
        del market_type, provider
        self.symbol = require_symbol(symbol)
        self.interval = interval
        self.resources = resources

    @property
    @abstractmethod
    def provider(self) -> DataProvider:
        """The provider of the data."""

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
        Fetch the rows that open in ``[start_time, end_time)``, final ones only, oldest first.

        Both are aware datetimes. The frame has a UTC ``DatetimeIndex`` and the chart type's
        columns and dtypes.
        """

    @property
    def grid(self) -> Grid:
        """The grid of its open times; for events, the interval under which they are stored."""
        return self.chart_type.interval or self.interval

    def adopt(self, grid: Grid) -> None:  # noqa: B027  # most clients know their grid
        """Use the grid that rows have shown; a client without such knowledge stays with its own."""

    async def source_time(self) -> Micros | None:
        """Return the time at the source; ``None`` if it does not tell, then the local clock decides what is closed."""
        return None

    def oldest_served(self, now: Micros) -> Micros | None:
        """Return the oldest open time that it serves at ``now``; ``None`` for no limit."""
        return None

    def chunk_size(self, most: int) -> int | None:
        """Return the number of rows to plan one request for, at most ``most``; ``None`` for any number."""
        return None if self.page_size is None else max(1, min(self.page_size, most))

    async def read_spans(
        self,
        spans: Sequence[Span],
        deliver: Deliver,
        *,
        concurrent: int = 1,
        seen: Seen | None = None,
        most: int | None = None,
    ) -> ChandleryError | None:
        """
        Read the rows that open in ``spans``, and ``deliver`` them in parts, in any order. Return the first failure.

        Here each chunk is requested once, by ``fetch_span``; one that fails becomes a gap, and the others continue.
        ``seen`` are rows of the series that other sources have; ``most`` limits the rows of one request.

        Raises:
            InvalidInput: The source rejects the query itself.
        """
        chunk = self.page_size if most is None else self.chunk_size(most)
        parts = [rest_chunks(span, self.grid, chunk=chunk, longest=self.longest_request) for span in spans]
        waiting = deque(part for each in parts for part in each)
        failure: ChandleryError | None = None

        async def work() -> None:
            nonlocal failure
            while waiting:
                span = waiting.popleft()
                try:
                    part = await self.fetch_span(span)
                except (InvalidInput, Closed):
                    raise
                except ChandleryError as error:
                    failure = failure or error
                    part = Part(None, gaps=[Gap(span.start, span.end, GapKind.FETCH_FAILED, str(error))])
                await deliver(part)

        try:
            async with asyncio.TaskGroup() as group:
                await in_body([group.create_task(work()) for _ in range(min(concurrent, len(waiting)))])
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None
        return failure

    async def trim_spans(self, spans: Sequence[Span], deliver: Deliver, seen: Seen) -> Sequence[Span]:
        """
        Drop from ``spans`` what lies before the first row or after the last, and deliver that as gaps.

        Here nothing is known of the ends.
        """
        return spans

    async def running_row(self, span: Span, now: Micros) -> pa.Table:
        """
        Return the row that is running at ``now`` if it opens in ``span``; otherwise an empty table.

        Raises:
            UnsupportedRequest: It returns final rows only.
        """
        raise UnsupportedRequest("include_open is not supported: this client returns final rows only")

    async def fetch_span(self, span: Span) -> Part:
        """Run ``fetch`` in a thread and convert to Arrow; asynchronous clients override it."""
        frame = await asyncio.to_thread(self.fetch, to_datetime(span.start), to_datetime(span.end))
        table = slice_span(from_pandas(self.chart_type, frame), span)
        return Part(table, [self.answered(span, self._now())])

    def answered(self, span: Span, at: Micros, file: str | None = None, sha256: str | None = None) -> SourceSpan:
        """Record that this source answered for ``span`` at a time, from a file if it is an archive."""
        origin = None if self.origin is None else str(self.origin)
        return SourceSpan(span.start, span.end, self.source, at, file, sha256, origin=origin)

    def _now(self) -> Micros:
        return (system_clock if self.resources is None else self.resources.clock)()

    async def close(self) -> None:  # noqa: B027  # most clients open nothing of their own
        """Release the resources that the client opened itself."""

    def close_sync(self) -> None:  # noqa: B027  # the same
        """``close`` for synchronous users."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close_sync()


def incomplete(data: Any, missing: Sequence[Gap], wanted: Span, advice: str = "") -> IncompleteData:
    """Create the error for a result that lacks ``missing``, of which there is at least one."""
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    message = f"{missing[0].span}{more} of {wanted} could not be fetched: {missing[0].evidence}"
    return IncompleteData(f"{message}. The error's .data has the available rows{advice}", data=data, missing=missing)


def incomplete_of_many(data: Any, missing: Mapping[str, Sequence[Gap]]) -> IncompleteData:
    """Create the error for a result of several symbols, of which some lack data."""
    named = [
        structs.replace(gap, evidence=f"{label}: {gap.evidence}") for label, gaps in missing.items() for gap in gaps
    ]
    message = (
        f"{sum(map(bool, missing.values()))} of {len(missing)} symbols lack data that could not be fetched; "
        f"{named[0].evidence}; the error's .data has the available rows; "
        "on_missing='report' returns them with the gaps of each symbol"
    )
    return IncompleteData(message, data=data, missing=named)


async def in_body(tasks: Collection[asyncio.Task[None]]) -> None:
    """
    Wait for tasks of a group before the end of its block.

    If one fails after the block has ended, CPython before 3.13 leaves the enclosing task marked as cancelled.
    """
    if tasks:
        await asyncio.wait(tasks)


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first single error in nested groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
