"""Composition root: the only place where the parts of the service are created."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Self

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.cache.files import alone_in, private_folder
from chandlery.clients.interfaces import IDataSourceConnector, ResolvedSeries
from chandlery.clients.markets import markets_of
from chandlery.clients.native import NativeExchangeClient
from chandlery.clients.plugins import PluginRegistry, offered
from chandlery.clients.settings import Settings, StorageConfig
from chandlery.connector import DataSourceConnectorImpl
from chandlery.core.endpoints import ROLES, Endpoints, key_of
from chandlery.core.errors import InvalidInput, MissingDependency, StorageUnavailable
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Clock
from chandlery.database.adoption import unknown
from chandlery.database.books import RawDataRepositoryImpl, StorageManagerImpl
from chandlery.database.candles import CandleRepository
from chandlery.database.coins import CoinRepository
from chandlery.database.gaps import GapRepository
from chandlery.database.interfaces import IDatabaseConnection, IRawDataRepository, IStorageManager
from chandlery.database.listings import ListingRepository
from chandlery.database.series_ids import EXCHANGE_OWN, SeriesIds
from chandlery.database.sqlite import FILE_NAME, SqliteDatabase, watched
from chandlery.history.factory import DataClientFactory
from chandlery.net.clock import system_clock
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.service.auth.hashing import Secrets
from chandlery.service.auth.interfaces import EverybodyMay, IAuthenticationModule
from chandlery.service.auth.issuers import key_client
from chandlery.service.auth.monotonic_clock import MonotonicClock
from chandlery.service.auth.service import AuthenticationModuleImpl
from chandlery.service.auth.wiring import authentication as accounts_of
from chandlery.service.collection.broadcaster import Broadcaster
from chandlery.service.collection.coins import CoinCollectionList
from chandlery.service.collection.interfaces import IDataCollectionManager
from chandlery.service.collection.processor import RealTimeProcessor
from chandlery.service.collection.service import DataCollectionManagerImpl
from chandlery.service.historical.current import CurrentDataFetcher
from chandlery.service.historical.fetcher import HistoricalFetcher
from chandlery.service.historical.interfaces import IHistoricalDataManager
from chandlery.service.instruments import InstrumentSearch
from chandlery.service.listing_reader import ListingReader
from chandlery.service.readiness import Readiness
from chandlery.service.retention import Retention
from chandlery.service.settings import ServiceSettings
from chandlery.service.supervision import Supervisor
from chandlery.service.workload import Workload

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_CACHE_FOLDER = "cache"


class Service:
    """
    All parts of the service, open inside ``async with``.

    ``url`` is the public URL. ``library`` holds the library's settings; its cache defaults to the data folder.
    ``endpoints`` maps exchange ids to base URLs and replaces those of ``library``. ``sleep`` waits on ``clock``.

    Each of the seven last arguments replaces a part by another implementation of its interface, which is used in its
    place by all others. The service opens and closes the connector, the database and the collection. ``repository`` stores
    the order books of the service's own storage, and has no effect with ``storage`` but for the retention.

    Raises:
        InvalidInput: The settings contradict each other, or the authentication module.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        url: str,
        *,
        library: Settings | None = None,
        endpoints: Endpoints | None = None,
        clock: Clock = system_clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        limiter: RateLimiter | None = None,
        hashes: Secrets | None = None,
        connector: IDataSourceConnector | None = None,
        database: IDatabaseConnection | None = None,
        repository: IRawDataRepository | None = None,
        storage: IStorageManager | None = None,
        authentication: IAuthenticationModule | None = None,
        collection: IDataCollectionManager | None = None,
        historical: IHistoricalDataManager | None = None,
    ) -> None:
        if authentication is not None and settings.no_auth:
            raise InvalidInput("no_auth accepts every caller; leave it out to use an authentication module")
        settings.check()
        self.settings = settings
        self.url = url
        self.clock = clock
        self.limiter = limiter = limiter or RateLimiter()
        self.library = _library(library or Settings(), settings, endpoints)
        self.origins = _origins(self.library.endpoints)
        """Origin of the data per exchange id, where a replacement endpoint serves it."""
        self.database: IDatabaseConnection = database or SqliteDatabase(settings.data_dir / FILE_NAME)
        self.http = HttpClient(limiter=limiter, proxies=self.library.proxies)
        self.connector: IDataSourceConnector = connector or DataSourceConnectorImpl(
            PluginRegistry(),
            self.library,
            limiter=limiter,
            families=(NativeExchangeClient.family,) if settings.offline else None,  # others reach the real exchange
        )
        self.broadcaster = Broadcaster()
        self.supervisor = Supervisor()
        self.workload = Workload(settings.heavy_requests)
        ids = SeriesIds(self.database, self._origin_of)
        books = repository or RawDataRepositoryImpl(ids)
        self.storage: IStorageManager = storage or StorageManagerImpl(books)
        self.candles = CandleRepository(ids)
        self.gaps = GapRepository(ids)
        self.token_clock = MonotonicClock(clock)
        """Clock for the validity of tokens."""
        self._issuers_http = key_client(limiter, self.library.proxies)
        self.accounts: AuthenticationModuleImpl = accounts_of(self.database, self.token_clock, issuer=url, issuers=settings.issuers, http=self._issuers_http, hashes=hashes)  # fmt: skip
        self.authentication: IAuthenticationModule = authentication or (
            EverybodyMay() if settings.no_auth else self.accounts
        )
        self.collection: IDataCollectionManager = collection or self._collector(sleep)
        self.instruments = InstrumentSearch(self.connector, ListingRepository(self.database, self.origins), clock)
        self.historical: IHistoricalDataManager = historical or self._history()
        self.readiness = Readiness(self.database, self.supervisor, self.collection, settings.data_dir)
        self._watch = partial(watched, self.database, sleep)
        self.listing_reader = ListingReader(self.instruments, self._listed(), settings.instruments_every, sleep)
        self._retention = Retention(books, self.candles, settings.retention, clock)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """
        Open the database and resume collecting.

        Raises:
            StorageBusy: Another service uses the same folder.
            StorageError: The database cannot be opened.
        """
        try:
            private_folder(self.settings.data_dir)
        except OSError as error:
            raise StorageUnavailable(f"cannot create the folder {self.settings.data_dir}: {error.strerror}") from error
        async with AsyncExitStack() as stack:
            stack.enter_context(alone_in(self.settings.data_dir, "service"))
            await stack.enter_async_context(self.database)
            ignored = await unknown(self.database)
            if ignored:
                log.warning("%s", ignored)
            stack.push_async_callback(self.http.close)
            stack.push_async_callback(self._issuers_http.close)
            await stack.enter_async_context(self.connector)
            stack.push_async_callback(self.supervisor.end)
            self.supervisor.start("watch of the database", self._watch)
            stack.push_async_callback(self.collection.stop)
            await self.collection.start()
            if self.settings.retention:
                self.supervisor.start("retention", self._retention.run)
            if self.settings.instruments_every:
                self.supervisor.start("lists of instruments", self.listing_reader.run)
            await asyncio.to_thread(_load)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the streams, commit queued writes and close everything."""
        await self._open.aclose()

    def _collector(self, sleep: Callable[[float], Awaitable[None]]) -> DataCollectionManagerImpl:
        settings, clock = self.settings, self.clock
        return DataCollectionManagerImpl(
            self.connector,
            CoinCollectionList(CoinRepository(self.database, self._origin_of), clock),
            RealTimeProcessor(self.broadcaster, self.storage, self.candles, self.gaps, clock),
            self.candles,
            self.storage,
            self.broadcaster,
            clock,
            self.supervisor,
            snapshot_every=settings.snapshot_interval,
            book_levels=settings.book_levels,
            sleep=sleep,
        )

    def _history(self) -> HistoricalFetcher:
        current = CurrentDataFetcher(self.broadcaster, self.candles, self.storage, self.clock)
        awaited = self.collection.book_awaited
        return HistoricalFetcher(self.candles, self.storage, self.gaps, current, self.clock, awaited, self._find)

    def _find(self, coin: str, exchange: str | None, channel: str, interval: Interval) -> ResolvedSeries:
        name = exchange or self.collection.exchange_of(coin)
        return self.connector.resolve(SeriesId.parse(name, coin, channel, interval.value))

    def _listed(self) -> list[type[ExchangeAdapter]]:
        """Return the markets whose lists are read periodically; offline, those that the offline exchange has."""
        markets = ExchangeRegistry.adapters()
        if self.settings.instruments_of:
            markets = [each for name in self.settings.instruments_of for each in markets_of(name)]
        return [each for each in markets if not self.settings.offline or each.id in self.library.endpoints]

    def _origin_of(self, exchange: str, symbol: str) -> str:
        """Return the origin of stored data; offline, an exchange that is unavailable gets that of the others."""
        try:
            return key_of(self.connector.origin(exchange, symbol)) or EXCHANGE_OWN
        except (InvalidInput, MissingDependency):
            return next(iter(self.origins.values()), EXCHANGE_OWN) if self.settings.offline else EXCHANGE_OWN


def _origins(endpoints: Endpoints) -> dict[str, str]:
    found = {name: ExchangeRegistry.create(name, endpoints).origin(*ROLES) for name in endpoints}
    return {name: str(origin) for name, origin in found.items() if origin is not None}


def _library(library: Settings, settings: ServiceSettings, endpoints: Endpoints | None) -> Settings:
    changes: dict[str, object] = {}
    if library.storage.cache_dir is None:
        cache = settings.data_dir / _CACHE_FOLDER
        changes["storage"] = StorageConfig(_env_file=None, cache_dir=cache, use_cache=library.storage.use_cache)
    if endpoints is not None:
        changes["endpoints"] = {name: dict(urls) for name, urls in endpoints.items()}
    if settings.proxy is not None:
        changes["proxy"] = settings.proxy
    return library.model_copy(update=changes)


def _load() -> None:
    """
    Import what the first requests would otherwise import, blocking all others for 0.3 s.

    Most functions of pyarrow import pandas if it is installed, even those that do not need it.
    """
    import pandas as pd  # noqa: F401, PLC0415  # not as early as this module, which has much else
    import polars as pl  # noqa: F401, PLC0415  # the same

    from chandlery.net import transport  # noqa: F401, PLC0415  # aiohttp, which reads all certificates

    DataClientFactory.discover()
    offered()
