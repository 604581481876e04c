"""The implementation behind ``DataSourceManager``: plan, execute, assemble."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar

import pyarrow as pa
from msgspec import structs

from chandlery.cache.arrow_cache import UnifiedCacheManager
from chandlery.cache.reading import Cached
from chandlery.cache.series import SeriesKey
from chandlery.core.endpoints import Endpoints, key_of, one_of
from chandlery.core.errors import (
    ChandleryError,
    Closed,
    InvalidInput,
    MalformedResponse,
    UnsupportedRequest,
)
from chandlery.core.gaps import Gap, Span
from chandlery.core.instrument import MarketType, require_symbol
from chandlery.core.interval import Interval
from chandlery.core.moment import TimeLike, range_of, require_begun
from chandlery.core.query import CandleQuery, ChartType, DataProvider, DataSource
from chandlery.core.recent import Recent
from chandlery.core.time import Clock
from chandlery.history.arguments import LEFT_OUT, Symbols, length_of, member, require_exchanges, require_one_of
from chandlery.history.assemble import assemble
from chandlery.history.checks import GridDiffers
from chandlery.history.execute import Execution, Progress, reporter
from chandlery.history.factory import DataClientFactory, Served
from chandlery.history.interfaces import DataClientInterface, Resources, incomplete
from chandlery.history.many import get_many
from chandlery.history.plan import ArchiveStep, CacheStep, RestStep, SourceLimits
from chandlery.history.resampling import available
from chandlery.history.rest import RestDataClient
from chandlery.history.series import Series
from chandlery.history.suggestions import suggestions
from chandlery.history.verify import Comparison, Restatement, compare, recheck, recheck_gaps
from chandlery.history.vision import VisionDataClient
from chandlery.history.volume import volumes_in
from chandlery.net.clock import system_clock
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.net.proxy import Proxies
from chandlery.net.tokens import Accounts, Credentials
from chandlery.tables.frame import Output
from chandlery.tables.part import Part, in_order

OnMissing: TypeAlias = Literal["raise", "report"]
_Result = TypeVar("_Result")

OnProgress: TypeAlias = Callable[[Progress], None]

_LONGEST_WAIT_S = 300.0
"""A long range by REST waits for the rate limit rather than fail; a longer ban is an error at once."""
_FEW = 2_000
"""Number of cached rows and gaps up to which a result is assembled without a thread."""
_MOST_SERIES = 1_024
"""Number of series whose clients are reused; those of others are created anew."""


class AsyncDataSourceManager(SourceLimits):
    """
    The asynchronous form of ``DataSourceManager``, with the same arguments; ``async with``, ``await get_data(…)``.

    One instance belongs to one event loop.
    """

    def __init__(
        self,
        market_type: MarketType = MarketType.SPOT,
        provider: DataProvider = DataProvider.BINANCE,
        chart_type: ChartType = ChartType.KLINES,
        rest_client: RestDataClient | None = None,
        cache_dir: Path | str | None = None,
        use_cache: bool = True,  # noqa: FBT001, FBT002  # the documented signature
        max_concurrent: int = 50,
        retry_count: int = 5,
        max_concurrent_downloads: int | None = None,
        endpoints: Endpoints | None = None,
        *,
        proxy: str | None = None,
        credentials: Credentials | None = None,
        clock: Clock = system_clock,
        limiter: RateLimiter | None = None,
    ) -> None:
        """Check the arguments without opening anything; see ``DataSourceManager``."""
        for name, value in {
            "max_concurrent": max_concurrent,
            "max_concurrent_downloads": max_concurrent_downloads,
        }.items():
            if value is not None and value < 1:
                raise InvalidInput(f"{name} is {value}; use at least 1")
        if retry_count < 0:
            raise InvalidInput(f"retry_count is {retry_count}; use 0 or more")
        require_exchanges(endpoints=endpoints, credentials=credentials)
        DataClientFactory.discover()
        self.market_type = member(MarketType, market_type, "market_type")
        self.provider = DataProvider(provider)
        self.chart_type = ChartType(chart_type)
        self.cache = UnifiedCacheManager(cache_dir) if use_cache else None
        self._rest_client = rest_client
        self._http = HttpClient(
            limiter=limiter,
            max_concurrent=max_concurrent,
            retry_count=retry_count,
            max_wait_s=_LONGEST_WAIT_S,
            proxies=Proxies(proxy, endpoints=endpoints),
        )
        self._resources = Resources(
            self._http,
            clock,
            endpoints or {},
            max_concurrent,
            min(max_concurrent, 16) if max_concurrent_downloads is None else max_concurrent_downloads,
            Accounts(self._http, credentials),
        )
        self._clock = clock
        self._known: Recent[Hashable, Series] = Recent(_MOST_SERIES)
        """The series of earlier calls with their clients."""
        self._closed = False

    async def __aenter__(self) -> Self:
        """Return itself; connections are opened on demand."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections; the manager cannot fetch any more."""
        self._closed = True
        await self._http.close()

    async def get_data(
        self,
        symbol: str | Symbols,
        start_time: TimeLike,
        end_time: TimeLike | None = None,
        interval: Interval | str = LEFT_OUT,
        use_cache: bool = True,  # noqa: FBT001, FBT002  # the documented signature
        enforce_source: DataSource | str = DataSource.AUTO,
        provider: DataProvider | str | None = None,
        chart_type: ChartType | str | None = None,
        output: Output = "pandas",
        progress: OnProgress | None = None,
        *,
        on_missing: OnMissing = "raise",
        include_open: bool = False,
        unit: str = "ms",
        volume_unit: str = "exchange",
        with_report: bool = False,
    ) -> Any:
        """Return rows; see ``DataSourceManager.get_data``."""
        require_one_of("output", output, ("pandas", "polars", "arrow"))
        require_one_of("on_missing", on_missing, ("raise", "report"))
        require_one_of("use_cache", use_cache, (True, False))
        source = member(DataSource, enforce_source, "enforce_source")
        span = range_of(start_time, end_time, self._clock(), unit=unit)
        if isinstance(symbol, Iterable) and not isinstance(symbol, str | bytes):
            read = partial(
                self.get_data,
                interval=length_of(interval, span, chart_type or self.chart_type),
                use_cache=use_cache,
                enforce_source=source,
                provider=provider,
                chart_type=chart_type,
                include_open=include_open,
                volume_unit=volume_unit,
            )
            return await get_many(read, symbol, span, progress, output, on_missing, with_report=with_report)
        query = self._query(symbol, span, interval, provider or self.provider, chart_type or self.chart_type)
        query, longer = available(query, include_open=include_open)
        if include_open and (query.chart_type.interval is not None or source is DataSource.VISION):
            raise UnsupportedRequest(
                "include_open needs candles and REST; funding rates and the archive have no running candle"
            )

        def finish(part: Part) -> tuple[Any, list[Gap]]:
            part = longer(convert(part))
            frame = part.output(output)
            return (frame, part.provenance) if with_report else frame, part.failures

        options = {"use_cache": use_cache, "include_open": include_open}
        async with suggestions(self._resources, query):
            convert = await volumes_in(volume_unit, self._series(query, source).client)
            (frame, missing), wanted, failure = await self._answered(query, source, finish, progress, **options)
        if not missing or on_missing == "report":
            return frame
        raise incomplete(
            frame[0] if with_report else frame, missing, wanted, "; on_missing='report' returns it with the gap marked"
        ) from failure

    async def fetch_part(self, symbol: str, span: Span, interval: Interval) -> Part:
        """
        Fetch the closed candles that open in ``span``, like ``get_data``, with their provenance.

        Candles that could not be fetched are gaps of it, even all of them. Otherwise raises what ``get_data`` raises.
        """
        async with suggestions(self._resources, query := self._query(symbol, span, interval)):
            return (await self._answered(query, DataSource.AUTO, lambda part: part, refuses=False))[0]

    async def _answered(
        self,
        query: CandleQuery,
        source: DataSource,
        finish: Callable[[Part], _Result],
        progress: OnProgress | None = None,
        *,
        use_cache: bool = True,
        include_open: bool = False,
        refuses: bool = True,
    ) -> tuple[_Result, Span, ChandleryError | None]:
        """Return the result of ``finish`` on the answer, run in a thread, the answered span, and the first failure."""
        series = self._series(query, source)
        for _ in range(2):
            try:
                return await self._answer(series, query.span, finish, progress, use_cache, include_open, refuses)
            except GridDiffers as found:
                # The rows decide; evaluate everything again on their grid.
                series.adopt(found.grid)
        raise MalformedResponse(
            f"the {query.interval.value} candles of {query.symbol} have no common alignment of their open times; request a shorter interval"
        )

    async def _answer(
        self,
        series: Series,
        span: Span,
        finish: Callable[[Part], _Result],
        progress: OnProgress | None,
        use_cache: bool,  # noqa: FBT001  # passed on as it was given
        include_open: bool,  # noqa: FBT001  # the same
        refuses: bool,  # noqa: FBT001  # the same
    ) -> tuple[_Result, Span, ChandleryError | None]:
        """Answer one call, on the currently known grid of the series."""
        cache = self.cache if use_cache else None
        grid = series.grid
        now = await series.now(span.end, fetches=False)
        wanted = series.closed_part(span, now)
        cached = await series.load(cache, wanted)
        steps = series.plan(wanted, cached.covered, now, self, refuses=refuses)
        if any(isinstance(step, RestStep | ArchiveStep) for step in steps):
            there = await series.now(span.end, fetches=series.source is not DataSource.VISION)
            if there != now:
                now, wanted = there, series.closed_part(span, there)
                steps = series.plan(wanted, cached.covered, now, self, refuses=refuses)
        require_begun(span, now)
        report = None if progress is None else reporter(progress, grid, wanted)
        if report is not None:
            for step in steps:
                if isinstance(step, CacheStep):
                    report(step.span, "cache")
        parts: list[Part] = []
        failure: ChandleryError | None = None
        if any(not isinstance(step, CacheStep) for step in steps):
            execution = Execution(series, cached=cached, cache=cache, now=now, most=self.REST_CHUNK_SIZE, report=report)
            await execution.run(steps)
            parts, failure = execution.parts, execution.failure
        running = await series.client.running_row(span, now) if include_open else None

        def finished() -> _Result:
            done = assemble(series.key.chart_type, grid, wanted, [cached, *parts])
            if span.end > now:
                done = done.until(now, span.end)
            if running is not None:
                done = done.with_running(running, grid.floor(now))
            return finish(done.cut(span))

        # In a thread, unless there are so few rows and gaps that the thread costs more.
        few = len(cached.table) + len(cached.gaps) <= _FEW and not parts
        return finished() if few else await asyncio.to_thread(finished), wanted, failure

    async def compare(
        self, symbol: str, start_time: TimeLike, end_time: TimeLike | None, interval: Interval | str
    ) -> Comparison:
        """Compare sources; see ``DataSourceManager.compare``."""
        query = self._query(symbol, range_of(start_time, end_time, self._clock()), interval)
        served = DataClientFactory.served(query.provider, query.market_type, query.chart_type)
        rest, archive = self._clients(query, served)
        _, minutes = self._clients(structs.replace(query, interval=Interval.MINUTE_1), served)
        wanted = Span(query.interval.ceil(query.span.start), query.interval.ceil(query.span.end))
        return await compare(rest, archive, minutes, wanted, self.REST_CHUNK_SIZE)

    async def recheck(
        self,
        symbol: str,
        start_time: TimeLike,
        end_time: TimeLike | None,
        interval: Interval | str,
        *,
        gaps_only: bool = False,
    ) -> list[Restatement]:
        """Check cached data again; see ``DataSourceManager.recheck``."""
        if self.cache is None:
            raise UnsupportedRequest("this manager has no cache, so there is nothing to check again")
        query = self._query(symbol, range_of(start_time, end_time, self._clock()), interval)
        series = self._series(query, DataSource.AUTO)
        found = [] if series.archive is None or gaps_only else await recheck(series.archive, self.cache, query.span)
        if series.rest is not None:
            fetch = partial(self._fetch_again, series, self.cache)
            found += await recheck_gaps(self.cache, series.key, query.span, fetch, self._clock)
        return found

    async def _fetch_again(
        self, series: Series, cache: UnifiedCacheManager, spans: Sequence[Span], cached: Cached
    ) -> pa.Table:
        """Read spans by REST again and store final rows. Return the rows."""
        now = await series.now(spans[-1].end, fetches=True)
        execution = Execution(
            series,
            cached=cached,
            cache=cache,
            now=now,
            most=self.REST_CHUNK_SIZE,
            report=None,
            source=DataSource.REST,
        )
        await execution.run([RestStep(span) for span in spans])
        if execution.failure is not None:
            raise execution.failure
        return in_order([part.table for part in execution.parts], series.key.chart_type)

    def _query(
        self,
        symbol: str,
        span: Span,
        interval: Interval | str,
        provider: DataProvider | str | None = None,
        chart_type: ChartType | str = ChartType.KLINES,
    ) -> CandleQuery:
        """Build the query and check each part of it; that the market has the symbol, the client checks."""
        self._http.require_own()
        if self._closed:
            raise Closed("this manager is closed; make a new one")
        return CandleQuery(
            require_symbol(symbol),
            length_of(interval, span, chart_type),
            span,
            self.market_type,
            DataProvider(provider or self.provider),
            ChartType(chart_type),
        )

    def _series(self, query: CandleQuery, source: DataSource) -> Series:
        """Return a series with its clients, which are created once; refuse unsupported requests before anything is sent."""
        kind = (query.provider, query.market_type, query.chart_type)
        # By their classes too: another one may be registered for the series at any time.
        served = DataClientFactory.served(*kind)
        key = (*kind, query.symbol, query.interval, source, served)
        return self._known.get(key, lambda: self._opened(query, source, served))

    def _opened(self, query: CandleQuery, source: DataSource, served: Served) -> Series:
        rest, archive = self._clients(query, served)
        client = rest or archive
        if client is None:
            # Raises, and lists what is supported.
            client = DataClientFactory.create_data_client(
                query.provider, query.market_type, query.chart_type, query.symbol, query.interval
            )
        sources = {DataSource.REST: rest, DataSource.VISION: archive}
        used = {
            each.value: client.origin
            for each, client in sources.items()
            if client is not None and source in {DataSource.AUTO, each}
        }
        origin = one_of(f"{query.provider.value} {query.market_type.value}", used)
        key = SeriesKey.of(structs.replace(query, symbol=client.symbol), key_of(origin))
        return Series(key, source, client, rest, archive, self._resources)

    def _clients(
        self, query: CandleQuery, served: Served
    ) -> tuple[DataClientInterface | None, VisionDataClient | None]:
        """Create the clients of a series by REST and by archive, as far as there are any."""
        options: dict[str, Any] = {
            "symbol": query.symbol,
            "interval": query.interval,
            "market_type": query.market_type,
            "provider": query.provider,
            "resources": self._resources,
        }
        given = self._rest_client
        rest: DataClientInterface | None = None
        if given is not None and query.chart_type is given.chart_type:
            rest = given.for_series(query.symbol, query.interval)
        elif served.rest is not None:
            rest = served.rest(**options)
        archive = None if served.archive is None else served.archive(**options)
        # Not every regional site has the archive of its exchange.
        return rest, None if archive is None or archive.adapter.archive_url is None else archive
