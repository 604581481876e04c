"""One series as it can be had: its clients, what they are able to do, its place in the cache."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from chandlery.core.errors import ExchangeError, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.query import DataSource
from chandlery.core.time import DAY, MINUTE, Clock, Micros
from chandlery.history.assemble import Assembled, restrict, with_closed
from chandlery.history.execute import Execution, Keep
from chandlery.history.interfaces import DataClientInterface, Resources
from chandlery.history.native import NativeClient
from chandlery.history.plan import Abilities
from chandlery.history.rest import RestDataClient
from chandlery.history.unknown import load_proved
from chandlery.history.vision import VisionDataClient
from chandlery.storage.arrow_cache import UnifiedCacheManager
from chandlery.storage.frame import empty_table
from chandlery.storage.reading import Cached
from chandlery.storage.series import SeriesKey

_SETTLE: Micros = MINUTE
"""For clients that declare nothing: how long after its close a row is not kept yet."""


class Series:
    """The clients of one series and what follows from what they declare."""

    def __init__(
        self,
        key: SeriesKey,
        rest: DataClientInterface | None,
        archive: VisionDataClient | None,
        abilities: Abilities,
        resources: Resources,
    ) -> None:
        """``key.interval`` is the interval on whose grid the rows lie, or under which they are filed."""
        self.key = key
        self.rest = rest
        self.archive = archive
        self.abilities = abilities
        self.resources = resources
        client = rest or archive
        self.settle = client.adapter.settle if isinstance(client, NativeClient) else _SETTLE

    @property
    def grid(self) -> Interval:
        """The interval of its rows."""
        return self.key.interval

    async def load(self, cache: UnifiedCacheManager | None, wanted: Span, source: DataSource) -> Cached:
        """What the cache holds of ``wanted`` that ``source`` allows."""
        if cache is None or not wanted:
            return Cached(empty_table(self.key.chart_type), [], [], [], [])
        cached = await load_proved(cache, self.key, self.archive, wanted)
        return cached if source is DataSource.AUTO else restrict(cached, source.value)

    def execution(
        self, source: DataSource, now: Micros, keep: Keep | None, report: Callable[[Span, str], None]
    ) -> Execution:
        """Something that carries out a plan of this series."""
        return Execution(
            chart_type=self.key.chart_type,
            interval=self.grid,
            source=source,
            abilities=self.abilities,
            rest=self.rest,
            archive=self.archive,
            max_concurrent=self.resources.max_concurrent,
            final_before=self.grid.floor(now - self.settle)
            if self.key.chart_type.interval is None
            else now - self.settle,
            keep=keep,
            report=report,
        )

    async def with_running(self, done: Assembled, span: Span, now: Micros) -> Assembled:
        """``done`` with the column ``closed``, and with the running candle where it opens in ``span``."""
        if not isinstance(self.rest, RestDataClient):
            raise UnsupportedRequest("include_open is not possible: this client of a third party gives final rows only")
        running = empty_table(self.key.chart_type)
        opened = self.grid.floor(now)
        if span.holds(opened):
            running = await self.rest.running_candle(now)
        table = with_closed(done.table, running)
        return structs.replace(done, table=table, open_candle=opened if len(running) else None)


class AgreedClock:
    """The exchange's clock: ours, set right by what the exchange said a short while ago."""

    def __init__(self, clock: Clock) -> None:
        """``clock`` is ours."""
        self._clock = clock
        self._offset: Micros = 0
        self._asked_at: Micros | None = None

    async def now(self, rest: DataClientInterface | None, end: Micros) -> Micros:
        """
        The exchange's time, where it matters: for a range that ends about now.

        Where the exchange cannot be asked, ours: what can still change is then asked for by
        REST all the same, and that failure is the one that is reported.
        """
        here = self._clock()
        if not isinstance(rest, RestDataClient) or end < here - DAY:
            return here
        if self._asked_at is None or here - self._asked_at > 10 * MINUTE or here < self._asked_at:
            try:
                there = await rest.server_time()
            except ExchangeError:
                return here
            self._offset, self._asked_at = there - self._clock(), here
        return here + self._offset
