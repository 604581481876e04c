"""``DataSourceManager``: past data of a range, from cache, archive or REST, complete and correct."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chandlery.cache.arrow_cache import UnifiedCacheManager
from chandlery.core.endpoints import Endpoints
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import TimeLike
from chandlery.core.query import ChartType, DataProvider, DataSource
from chandlery.core.time import Clock
from chandlery.history.arguments import LEFT_OUT, Symbols
from chandlery.history.async_manager import (
    AsyncDataSourceManager,
    OnMissing,
    OnProgress,
)
from chandlery.history.plan import SourceLimits
from chandlery.history.rest import RestDataClient
from chandlery.history.verify import Comparison, Restatement
from chandlery.net.clock import system_clock
from chandlery.net.limiter import RateLimiter
from chandlery.net.portal import shared_portal
from chandlery.net.tokens import Credentials
from chandlery.tables.frame import Output


class DataSourceManager(SourceLimits):
    """
    Past candles and funding rates of a market, from the cache, the archive or REST, whichever has them.

    Args:
        market_type: The market; it determines the exchange interface.
        provider: The default for ``get_data``.
        chart_type: The default for ``get_data``.
        rest_client: A client whose connections and settings are used for REST.
        cache_dir: The folder of the day files; ``None`` for the user's cache folder.
        use_cache: ``False`` neither reads nor writes the cache.
        max_concurrent: Limit on concurrent requests.
        retry_count: Number of retries of a request that failed for a transient reason.
        max_concurrent_downloads: Limit on concurrent archive files, each with its checksum; by default 16.
        endpoints: Base URLs in place of an exchange's own, e.g. ``{"binance_spot": {"rest": "http://127.0.0.1:8080"}}``.
        proxy: The address of a proxy, e.g. ``http://user:password@127.0.0.1:3128`` or, with ``chandlery[socks]``,
            ``socks5://127.0.0.1:1080``; by default those of ``HTTPS_PROXY`` and so on, ``""`` for none.
            ``NO_PROXY`` applies to both.
        credentials: For exchanges that require authentication, by id, e.g.
            ``{"tradestation": {"client_id": "…", "client_secret": "…", "refresh_token": "…"}}``.
        clock: Returns the current time in microseconds UTC.
        limiter: The rate limiter; by default the one that all processes of this user share.

    It may be used from several threads concurrently, inside a running event loop, and in notebooks.
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
        """Check the arguments; no connection is opened before the first fetch."""
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

    @classmethod
    def create(
        cls,
        provider: DataProvider | str = DataProvider.BINANCE,
        market_type: MarketType = MarketType.SPOT,
        **options: Any,
    ) -> Self:
        """Create a manager, provider first, as published code does; ``options`` are those of the constructor."""
        return cls(market_type, DataProvider(provider), **options)

    @property
    def cache(self) -> UnifiedCacheManager | None:
        """The cache, or ``None`` if none is used."""
        return self._core.cache

    def __repr__(self) -> str:
        """Show the market and the folder of the cache."""
        core = self._core
        folder = "no cache" if core.cache is None else f"cache {core.cache.root}"
        return f"<DataSourceManager {core.provider.value} {core.market_type.name} {core.chart_type.value}, {folder}>"

    def __enter__(self) -> Self:
        """Return itself; connections are opened on demand."""
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
        """
        Return the rows that open in ``[start_time, end_time)``, oldest first, without duplicates, closed ones only.

        Args:
            symbol: ``BTCUSDT``, ``BTC/USDT`` or ``BTC-USDT``. A list of symbols, or a mapping of labels to symbols,
                gives one frame with the levels ``symbol`` and ``open_time`` (a column ``symbol`` with Arrow and polars),
                read concurrently within the limits of the manager. ``attrs["chandlery"]`` is then a dict of a
                ``Provenance`` for each symbol; one that fails as a whole is a gap there.
            start_time: Inclusive: ``"2024-01-01"``, ``"7d"`` for seven days ago, a ``date``, an aware ``datetime``, a
                ``pandas.Timestamp``, a ``numpy.datetime64``, or milliseconds since 1970. UTC without a time zone; a
                naive ``datetime`` is refused.
            end_time: Exclusive, in the same forms; now by default. Candles that are not closed yet are left out.
            interval: ``Interval.MINUTE_1`` or ``"1m"``; ignored for funding rates, which have times of their own.
            use_cache: ``False`` neither reads nor writes the cache.
            enforce_source: ``REST`` or ``VISION`` (the archive) allow that source alone, in the cache too.
            provider: Overrides the manager's.
            chart_type: Overrides the manager's.
            output: ``"pandas"``: a frame with the UTC index ``open_time``, the columns and dtypes of
                ``OUTPUT_DTYPES`` or ``FUNDING_RATE_DTYPES``, and a ``Provenance`` in ``attrs["chandlery"]``.
                ``"arrow"``: a table with ``open_time`` first and the provenance in the schema's metadata.
                ``"polars"``: a frame with the same columns, without the provenance.
            progress: Called with a ``Progress`` from another thread, as parts are settled.
            on_missing: ``"report"`` returns the available rows, with the gaps in the provenance.
            include_open: Adds the running candle, and a column ``closed`` that marks it.
            unit: The unit of integers as times: ``"s"``, ``"ms"`` or ``"us"``.
            volume_unit: ``"base"``, ``"quote"`` or ``"contracts"`` converts the volumes of candles, and
                ``quote_asset_volume`` is then in the quote currency on every market, NaN if unknown. ``"exchange"``
                leaves both in the units of the exchange, where ``quote_asset_volume`` of inverse markets is in base.
            with_report: Returns the rows and their ``Provenance`` (of several symbols a dict of them), in every output.

        Raises:
            InvalidInput: The request is invalid; no request was sent.
            UnsupportedRequest: The volume is not known in ``volume_unit``, with the reason.
            IncompleteData: Part of the range could not be fetched; it carries the rest.
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
                unit=unit,
                volume_unit=volume_unit,
                with_report=with_report,
            )
        )

    def compare(
        self, symbol: str, start_time: TimeLike, end_time: TimeLike | None, interval: Interval | str
    ) -> Comparison:
        """
        Compare monthly files, daily files, REST, and candles built from minutes.

        The cache is neither read nor written. The result lists the values of candles in
        ``[start_time, end_time)`` on which the sources disagree, and what each source lacks.
        """
        return shared_portal().run(self._core.compare(symbol, start_time, end_time, interval))

    def recheck(
        self,
        symbol: str,
        start_time: TimeLike,
        end_time: TimeLike | None,
        interval: Interval | str,
        *,
        gaps_only: bool = False,
    ) -> list[Restatement]:
        """
        Check cached data of the range again: archive files that were replaced, and gaps.

        A file that was replaced is fetched, verified and cached in place of the old rows. Cached gaps are requested
        again by REST, including those stored for good. The changes are returned, and stay in the cache's
        ledger, ``cache.restatements()``. ``gaps_only`` leaves the archive out.
        """
        return shared_portal().run(self._core.recheck(symbol, start_time, end_time, interval, gaps_only=gaps_only))
