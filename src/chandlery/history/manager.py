"""``DataSourceManager``: past data of a range, from cache, archive or REST, complete and correct."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chandlery.cache.arrow_cache import UnifiedCacheManager
from chandlery.core.endpoints import Endpoints
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import ChartType, DataProvider, DataSource
from chandlery.core.time import Clock
from chandlery.history.async_manager import (
    AsyncDataSourceManager,
    OnMissing,
    OnProgress,
    SourceLimits,
)
from chandlery.history.rest import RestDataClient
from chandlery.history.verify import Comparison, Restatement
from chandlery.net.clock import system_clock
from chandlery.net.limiter import RateLimiter
from chandlery.net.portal import shared_portal
from chandlery.net.tokens import Credentials
from chandlery.tables.frame import Output


class DataSourceManager(SourceLimits):
    """
    Past candles and funding rates of a market: from the cache, the archive or REST, whichever has them.

    Args:
        market_type: The market; it decides which exchange interface is used.
        provider: The default for ``get_data``.
        chart_type: The default for ``get_data``.
        rest_client: A client whose connections and settings are used for REST.
        cache_dir: Where day files are kept; ``None`` for the user's cache folder.
        use_cache: ``False`` neither reads nor writes the cache.
        max_concurrent: The most requests under way at once.
        retry_count: How often a request that failed for a passing reason is repeated.
        max_concurrent_downloads: The most archive files under way at once, each with its checksum; by default 16.
        endpoints: Base URLs in place of an exchange's own, e.g. ``{"binance_spot": {"rest": "http://127.0.0.1:8080"}}``.
        proxy: The address of a proxy, e.g. ``http://user:password@127.0.0.1:3128`` or, with ``chandlery[socks]``,
            ``socks5://127.0.0.1:1080``; by default those of ``HTTPS_PROXY`` and so on, ``""`` for none.
            ``NO_PROXY`` holds for both.
        credentials: For exchanges that answer only to who has signed in, by id, e.g.
            ``{"tradestation": {"client_id": "…", "client_secret": "…", "refresh_token": "…"}}``.
        clock: What time it is, in microseconds UTC.
        limiter: The budget of requests; by default the one that all processes of this user share.

    It may be used from several threads at once, inside a running event loop, and in notebooks.
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
        """Check the arguments; nothing is opened before the first fetch."""
        core = AsyncDataSourceManager(
            market_type,
            provider,
            chart_type,
            rest_client,
            cache_dir,
            use_cache,
            max_concurrent,
            retry_count,
            max_concurrent_downloads,
            endpoints,
            proxy=proxy,
            credentials=credentials,
            clock=clock,
            limiter=limiter,
        )
        for name in ("VISION_DATA_DELAY_HOURS", "REST_CHUNK_SIZE", "REST_MAX_CHUNKS"):
            setattr(core, name, getattr(self, name))
        self._core = core

    @property
    def cache(self) -> UnifiedCacheManager | None:
        """The cache, or ``None`` where none is used."""
        return self._core.cache

    def __enter__(self) -> Self:
        """Nothing to open; connections are made when they are needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections; the manager cannot fetch any more."""
        shared_portal().run(self._core.close())

    def get_data(
        self,
        symbol: str,
        start_time: datetime,
        end_time: datetime,
        interval: Interval | str = Interval.SECOND_1,
        use_cache: bool = True,  # noqa: FBT001, FBT002  # the documented signature
        enforce_source: DataSource | str = DataSource.AUTO,
        provider: DataProvider | str | None = None,
        chart_type: ChartType | str | None = None,
        output: Output = "pandas",
        progress: OnProgress | None = None,
        *,
        on_missing: OnMissing = "raise",
        include_open: bool = False,
    ) -> Any:
        """
        The rows that open in ``[start_time, end_time)``, oldest first, each once, closed ones only.

        Args:
            symbol: ``BTCUSDT``, ``BTC/USDT`` or ``BTC-USDT``.
            start_time: Inclusive; an aware datetime.
            end_time: Exclusive; an aware datetime. What is not closed yet is left out.
            interval: ``Interval.MINUTE_1`` or ``"1m"``; funding rates have moments of their own and ignore it.
            use_cache: ``False`` neither reads nor writes the cache.
            enforce_source: ``REST`` or ``VISION`` (the archive) allow that source alone, in the cache too.
            provider: In place of the manager's.
            chart_type: In place of the manager's.
            output: ``"pandas"``: a frame with the UTC index ``open_time``, the columns and dtypes of
                ``OUTPUT_DTYPES`` or ``FUNDING_RATE_DTYPES``, and a ``Provenance`` in ``attrs["chandlery"]``.
                ``"arrow"``: the same with ``open_time`` first and the provenance in the schema's metadata.
                ``"polars"``: the same columns, without it.
            progress: Called with a ``Progress`` from another thread, as parts are settled.
            on_missing: ``"report"`` returns what there is, with the gap in the provenance.
            include_open: Adds the running candle, and a column ``closed`` that marks it.

        Raises:
            InvalidInput: For a question that cannot be answered as asked; nothing was sent for it.
            IncompleteData: Where part of the range could not be had; it carries the rest.
        """
        return shared_portal().run(
            self._core.get_data(
                symbol,
                start_time,
                end_time,
                interval,
                use_cache,
                enforce_source,
                provider,
                chart_type,
                output,
                progress,
                on_missing=on_missing,
                include_open=include_open,
            )
        )

    def compare(self, symbol: str, start_time: datetime, end_time: datetime, interval: Interval | str) -> Comparison:
        """
        Monthly files, daily files, REST, and candles built from minutes, side by side.

        The cache is neither read nor written. Says on which values of which candles of
        ``[start_time, end_time)`` the exchange disagrees with itself, and what each source lacks.
        """
        return shared_portal().run(self._core.compare(symbol, start_time, end_time, interval))

    def recheck(
        self,
        symbol: str,
        start_time: datetime,
        end_time: datetime,
        interval: Interval | str,
        *,
        gaps_only: bool = False,
    ) -> list[Restatement]:
        """
        Check again what is cached of the range: archive files that were replaced, and gaps.

        A file that was replaced is fetched, proved and cached in place of the old rows. Cached gaps are requested
        again by REST, those too that were stored for good. What that changed is returned, and stays in the cache's
        ledger, ``cache.restatements()``. ``gaps_only`` leaves the archive out.
        """
        return shared_portal().run(self._core.recheck(symbol, start_time, end_time, interval, gaps_only=gaps_only))
