"""One series with its sources: the clients, their abilities, its place in the cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pyarrow as pa

from chandlery.cache.arrow_cache import UnifiedCacheManager
from chandlery.cache.reading import Cached
from chandlery.cache.series import SeriesKey
from chandlery.core.errors import ExchangeError, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.interval import Grid
from chandlery.core.query import DataSource
from chandlery.core.time import DAY, MINUTE, Micros
from chandlery.history.assemble import restrict, without_due
from chandlery.history.checks import require_grid
from chandlery.history.execute import Execution, Progress
from chandlery.history.interfaces import DataClientInterface, Resources, Seen
from chandlery.history.native import NativeClient
from chandlery.history.plan import Abilities
from chandlery.history.rest import RestDataClient
from chandlery.history.unknown import load_proved
from chandlery.history.vision import VisionDataClient
from chandlery.tables.frame import empty_table, open_times

_SETTLE: Micros = MINUTE
"""For clients that declare nothing: time after its close within which a row is not cached."""


class Series:
    """The clients of one series, and the values derived from their declarations."""

    def __init__(
        self,
        key: SeriesKey,
        rest: DataClientInterface | None,
        archive: VisionDataClient | None,
        abilities: Abilities,
        resources: Resources,
    ) -> None:
        """``key.interval`` is the interval of the rows' grid, or under which they are stored."""
        self.key = key
        self.rest = rest
        self.archive = archive
        self.abilities = abilities
        self.resources = resources
        client = rest or archive
        self.settle = client.adapter.settle if isinstance(client, NativeClient) else _SETTLE

    @property
    def grid(self) -> Grid:
        """The grid of its open times; for events, the interval under which they are stored."""
        client = self.rest or self.archive
        if self.key.chart_type.interval is None and isinstance(client, NativeClient):
            return client.grid
        return self.key.interval

    def adopt(self, grid: Grid) -> None:
        """Use the grid that rows have shown, for this and for later calls."""
        for client in (self.rest, self.archive):
            if isinstance(client, NativeClient):
                client.adopt(grid)

    async def now(self, end: Micros, *, fetches: bool) -> Micros:
        """
        Return the exchange's time if it matters: if rows are fetched, or the range ends about now.

        If the exchange does not answer, return the local time; then nothing is stored that depends on it.
        """
        here = self.resources.clock()
        if not isinstance(self.rest, RestDataClient) or not (fetches or end >= here - DAY):
            return here
        try:
            return await self.rest.exchange.now()
        except ExchangeError:
            return self.rest.exchange.guess()

    def closed_part(self, span: Span, now: Micros) -> Span:
        """Return the span from the first open time in ``span`` to the end of the last candle closed by ``now``."""
        if self.key.chart_type.interval is not None:
            return Span(span.start, max(span.start, min(span.end, now)))
        grid = self.grid
        start = grid.ceil(span.start)
        return Span(start, max(start, min(grid.ceil(span.end), grid.floor(now))))

    async def load(self, cache: UnifiedCacheManager | None, wanted: Span, source: DataSource) -> Cached:
        """Return the cached data of ``wanted`` from sources that ``source`` allows."""
        if cache is None or not wanted:
            return Cached(empty_table(self.key.chart_type), [], [], [], [])
        return await load_proved(
            cache, self.key, self.archive, lambda: self._allowed(cache.load(self.key, wanted), source)
        )

    def _allowed(self, cached: Cached, source: DataSource) -> Cached:
        """Return the usable part of cached data, on the known grid of the series."""
        if self.key.chart_type.interval is None:
            require_grid(open_times(cached.table), self.key.interval, self.grid)
        cached = without_due(cached, self.resources.clock())
        return cached if source is DataSource.AUTO else restrict(cached, source.value)

    def execution(
        self,
        source: DataSource,
        now: Micros,
        cached: Cached,
        most: int,
        cache: UnifiedCacheManager | None,
        report: Callable[[Span, str], None],
    ) -> Execution:
        """Create the execution of a plan of this series."""
        return Execution(
            chart_type=self.key.chart_type,
            interval=self.grid,
            source=source,
            abilities=self.abilities,
            rest=self.rest,
            archive=self.archive,
            seen=_seen(cached),
            max_concurrent=self.resources.max_concurrent,
            most=most,
            now=now,
            final_before=self.grid.floor(now - self.settle)
            if self.key.chart_type.interval is None
            else now - self.settle,
            keep=None if cache is None else partial(cache.store, self.key),
            report=report,
        )

    async def running(self, span: Span, now: Micros) -> pa.Table:
        """Return the running candle if it opens in ``span``; otherwise an empty table."""
        if not isinstance(self.rest, RestDataClient):
            raise UnsupportedRequest("include_open is not supported: this third-party client returns final rows only")
        if span.holds(self.grid.floor(now)):
            return await self.rest.running_candle(now)
        return empty_table(self.key.chart_type)


def reporter(progress: Callable[[Progress], None] | None, grid: Grid, wanted: Span) -> Callable[[Span, str], None]:
    """Return a function that reports to ``progress`` each span that is settled, and its source."""
    total = grid.count(wanted.start, wanted.end)
    done = 0

    def report(span: Span, source: str) -> None:
        nonlocal done
        if progress is not None:
            part = span.clip(wanted)
            done = min(total, done + (grid.count(part.start, part.end) if part else 0))
            progress(Progress(done, total, source))

    return report


def _seen(cached: Cached) -> Seen:
    times = open_times(cached.table)
    return Seen(int(times[0]), int(times[-1])) if len(times) else Seen()
