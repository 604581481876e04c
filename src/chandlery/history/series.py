"""One series with its sources: the clients, their abilities, its place in the cache."""

from __future__ import annotations

from collections.abc import Sequence

from chandlery.cache.arrow_cache import UnifiedCacheManager
from chandlery.cache.reading import Cached
from chandlery.cache.series import SeriesKey
from chandlery.core.gaps import Span
from chandlery.core.interval import Grid
from chandlery.core.query import DataSource
from chandlery.core.time import DAY, HOUR, Micros
from chandlery.history.assemble import restrict, without_due
from chandlery.history.checks import require_grid
from chandlery.history.interfaces import DataClientInterface, Resources
from chandlery.history.plan import Abilities, CacheStep, SourceLimits, Step, plan, require_served
from chandlery.history.unknown import load_proved
from chandlery.history.vision import VisionDataClient
from chandlery.tables.frame import empty_table, open_times


class Series:
    """
    The clients of one series by the allowed sources, at least one of them, and the values derived from their declarations.

    ``key.interval`` is the interval of the rows' grid, or under which they are stored.
    """

    def __init__(
        self,
        key: SeriesKey,
        source: DataSource,
        client: DataClientInterface,
        rest: DataClientInterface | None,
        archive: VisionDataClient | None,
        resources: Resources,
    ) -> None:
        self.key = key
        self.source = source
        self.rest = rest
        self.archive = archive
        self.resources = resources
        self.client = client
        """The one by REST if there is one."""

    @property
    def grid(self) -> Grid:
        """The grid of its open times, as far as it is known; for events, the interval under which they are stored."""
        return self.client.grid

    def adopt(self, grid: Grid) -> None:
        """Use the grid that rows have shown, for this and for later calls."""
        for client in (self.rest, self.archive):
            if client is not None:
                client.adopt(grid)

    async def now(self, end: Micros, *, fetches: bool) -> Micros:
        """
        Return the exchange's time if it matters: if rows are fetched, or the range ends about now.

        If the exchange does not answer, return the local time; then nothing is stored that depends on it.
        """
        here = self.resources.clock()
        if self.rest is None or not (fetches or end >= here - DAY):
            return here
        there = await self.rest.source_time()
        return here if there is None else there

    def closed_part(self, span: Span, now: Micros) -> Span:
        """Return the span from the first open time in ``span`` to the end of the last candle closed by ``now``."""
        if self.key.chart_type.interval is not None:
            return Span(span.start, max(span.start, min(span.end, now)))
        grid = self.grid
        start = grid.ceil(span.start)
        return Span(start, max(start, min(grid.ceil(span.end), grid.floor(now))))

    def plan(
        self, wanted: Span, covered: Sequence[Span], now: Micros, limits: SourceLimits, *, refuses: bool
    ) -> list[Step]:
        """
        Plan the sources of ``wanted``, of which ``covered`` is in the cache.

        Raises:
            UnsupportedRequest: The allowed sources cannot serve the range, or, if ``refuses``, the exchange serves no
                part of it any more.
        """
        if [wanted] == covered:
            return [CacheStep(wanted)]
        abilities = Abilities(
            rest=self.rest is not None,
            archive=self.archive is not None,
            delay=limits.VISION_DATA_DELAY_HOURS * HOUR,
            chunk=self.client.chunk_size(limits.REST_CHUNK_SIZE),
            longest=self.client.longest_request,
            max_chunks=limits.REST_MAX_CHUNKS,
            oldest=self.client.oldest_served(now),
        )
        steps = plan(wanted, self.grid, covered=covered, now=now, source=self.source, abilities=abilities)
        if refuses:
            require_served(steps)
        return steps

    async def load(self, cache: UnifiedCacheManager | None, wanted: Span) -> Cached:
        """Return the cached data of ``wanted`` from the allowed sources."""
        if cache is None or not wanted:
            return Cached(empty_table(self.key.chart_type))
        return await load_proved(cache, self.key, self.archive, lambda: self._allowed(cache.load(self.key, wanted)))

    def _allowed(self, cached: Cached) -> Cached:
        """Return the usable part of cached data, on the known grid of the series."""
        if not cached.spans:
            return cached
        if self.key.chart_type.interval is None:
            require_grid(open_times(cached.table), self.key.interval, self.grid)
        cached = without_due(cached, self.resources.clock())
        return cached if self.source is DataSource.AUTO else restrict(cached, self.source.value)
