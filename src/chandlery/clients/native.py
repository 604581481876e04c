"""Exchanges with adapters of our own: historical data by ``history``, live data by ``feed``."""

from __future__ import annotations

import asyncio
import contextlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.clients.documented import respelled
from chandlery.clients.interfaces import EventCallback, IExchangeAPIClient, StreamChannel
from chandlery.clients.live import LiveFeeds
from chandlery.clients.markets import known_market, separated
from chandlery.clients.names import canonical
from chandlery.clients.rows import Row, rows_of_table
from chandlery.clients.settings import Settings
from chandlery.clients.streaming import Callback, RealtimeStream
from chandlery.core.endpoints import ROLES, Origin
from chandlery.core.errors import (
    Closed,
    ExchangeError,
    IncompleteData,
    InvalidSymbol,
    UnknownName,
    UnsupportedRequest,
    WrongMarket,
    suggest,
)
from chandlery.core.gaps import Span
from chandlery.core.instrument import Instrument, Listing, MarketType, require_symbol
from chandlery.core.interval import Interval
from chandlery.core.moment import TimeLike
from chandlery.core.query import ChartType
from chandlery.core.time import Clock, Micros
from chandlery.core.volume import VolumeFacts
from chandlery.history.async_manager import AsyncDataSourceManager
from chandlery.net.clock import system_clock
from chandlery.net.exchange_client import ExchangeClient
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.net.tokens import Accounts
from chandlery.tables.part import Part

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_COINS = 5_000
"""Maximum number of texts of coins that are cached, of which callers may write any number."""


def native_markets(exchange: str) -> list[type[ExchangeAdapter]]:
    """Return the adapters of an exchange, e.g. ``binance``, or of one market, e.g. ``binance_spot``; empty if unknown."""
    name = canonical(exchange)
    of_exchange = [each for each in ExchangeRegistry.adapters() if each.provider.value.lower() == name]
    if of_exchange:
        return of_exchange
    try:
        return [ExchangeRegistry.get(exchange.strip().lower())]
    except UnknownName:
        return []


class _Coin(Struct, frozen=True):
    """
    A coin: its market, and its symbol there in the exchange's spelling.

    ``text`` is as entries name it: in ccxt's notation, or the exchange's own spelling if the coin was named so.
    """

    adapter: ExchangeAdapter
    symbol: str
    text: str


class NativeExchangeClient(IExchangeAPIClient):
    """
    Client of an exchange with adapters of our own: all its markets, ``binance``, or one of them, ``binance_spot``.

    With several markets, the coin selects the market. The client belongs to one event loop. Endpoints, the cache
    folder, and the sign-in of some exchanges come from ``settings``.

    Raises:
        UnknownName: There is no adapter for the exchange.
    """

    family = "native"

    def __init__(
        self,
        exchange: str,
        settings: Settings | None = None,
        *,
        limiter: RateLimiter | None = None,
        clock: Clock = system_clock,
    ) -> None:
        markets = native_markets(exchange)
        if not markets:
            known = sorted({each.provider.value.lower() for each in ExchangeRegistry.adapters()})
            raise UnknownName(
                f"{exchange!r} is not an exchange that chandlery has an adapter for; use one of {', '.join(known)}, or one of their markets, e.g. binance_spot"
            )
        self._settings = settings or Settings()
        provider = markets[0].provider.value.lower()
        self._name = provider if provider == canonical(exchange) else markets[0].id
        endpoints = self._settings.endpoints
        self._adapters = {each.market_type: ExchangeRegistry.create(each.id, endpoints) for each in markets}
        self._limiter = limiter or RateLimiter()
        self._clock = clock
        self._http = HttpClient(limiter=self._limiter, proxies=self._settings.proxies)
        self._credentials = self._settings.sign_in(markets)
        accounts = Accounts(self._http, self._credentials)
        self._exchanges = {
            each.id: ExchangeClient(each, accounts.client(each), clock=clock) for each in self._adapters.values()
        }
        self._managers: dict[MarketType, AsyncDataSourceManager] = {}
        self._live = LiveFeeds(self._name, endpoints, self._credentials, self._http, clock)
        self._closed = False
        self._coins: dict[str, _Coin] = {}
        """Coins by the text that named them, as of ``_version`` of the names; at most ``_MOST_COINS``."""
        self._version = 0

    def get_exchange_name(self) -> str:
        """Return the exchange, or the id of its market."""
        return self._name

    @respelled(coin_symbol="coin", start_time="start", end_time="end")
    async def fetch_historical_data(
        self, coin: str, start: TimeLike, end: TimeLike | None, interval: Interval | str = "1m"
    ) -> list[Row]:
        """Return the closed candles, from cache, archive or REST."""
        try:
            table = await self.fetch_candles(coin, start, end, interval)
        except IncompleteData as error:
            rows = self._rows(error.data, coin, interval)
            raise IncompleteData(str(error), data=rows, missing=error.missing) from error.__cause__
        return self._rows(table, coin, interval)

    async def fetch_candles(
        self, coin: str, start: TimeLike, end: TimeLike | None, interval: Interval | str = "1m"
    ) -> pa.Table:
        """Return the same candles as a table, with the provenance of each part."""
        found = await self._listed(coin)
        table: pa.Table = await self._manager(found.adapter).get_data(
            found.symbol, start, end, interval, output="arrow"
        )
        return table

    async def fetch_part(self, coin: str, span: Span, interval: Interval) -> Part:
        """Return the candles with the provenance of cache, archive and REST."""
        found = await self._listed(coin)
        return await self._manager(found.adapter).fetch_part(found.symbol, span, interval)

    async def fetch_funding(self, coin: str, start: TimeLike, end: TimeLike | None) -> pa.Table:
        """Return funding rates from cache or REST."""
        found = await self._listed(coin)
        if not found.adapter.funding_page_size:
            raise UnsupportedRequest(f"{found.adapter.id} has no funding rates; perpetuals have, e.g. BTC/USDT:USDT")
        manager = self._manager(found.adapter)
        table: pa.Table = await manager.get_data(
            found.symbol, start, end, Interval.HOUR_8, chart_type=ChartType.FUNDING_RATE, output="arrow"
        )
        return table

    async def exchange_time(self, coin: str) -> Micros | None:
        """Return the exchange's time, from its clock as read within the last hour."""
        found = await self._listed(coin)
        try:
            return await self._exchanges[found.adapter.id].now()
        except ExchangeError:
            return None

    @property
    def keeps_candles(self) -> bool:
        """True unless the cache is disabled."""
        return self._settings.storage.use_cache

    def require_interval(self, coin: str, interval: Interval) -> None:
        """Check the interval against the market's declaration."""
        self._coin(coin).adapter.interval_name(interval)

    def require_books(self, coin: str) -> None:
        """Check the coin against the market's declaration."""
        found = self._coin(coin)
        found.adapter.require_books(found.symbol)

    def spelled(self, coin: str) -> str:
        """Return the coin with its market; in the exchange's own spelling if there is no other."""
        return self._coin(coin).text

    @respelled(coin_symbol="coin")
    async def check_coin_availability(self, coin: str) -> bool:
        """
        Return whether the exchange lists the coin as trading; without a list, whether it has candles.

        Raises:
            InvalidSymbol: Also if the list gives the coin's name to several symbols.
        """
        found = await self._listed(coin)
        trades = await self._exchanges[found.adapter.id].trades(found.symbol)
        self._coin(coin)
        return trades

    @respelled(coin_symbol="coin")
    async def start_realtime_stream(
        self,
        coin: str,
        callback: Callback,
        *,
        channel: StreamChannel = "candles",
        interval: Interval | str = "1m",
        depth: int | None = None,
        on_event: EventCallback | None = None,
    ) -> RealtimeStream:
        """Start a stream from the feed of the coin; coins of a market share connections."""
        found = await self._listed(coin)
        return await self._live.start(
            found.adapter,
            found.symbol,
            coin,
            found.text,
            callback,
            channel=channel,
            interval=interval,
            depth=depth,
            on_event=on_event,
        )

    async def instruments(self, market: MarketType | None = None) -> list[tuple[str, Listing]]:
        """Return the lists of its markets, or of one."""
        names = [each.id for each in self._adapters.values() if market in {None, each.market_type}]
        lists = await asyncio.gather(*(self._exchanges[name].listings() for name in names))
        return [(name, each) for name, found in zip(names, lists, strict=True) for each in found.values()]

    def listed_at(self, market: MarketType | None = None) -> Micros | None:
        """Return when the oldest of these lists was read."""
        of = [each.id for each in self._adapters.values() if market in {None, each.market_type}]
        times = [self._exchanges[each].listed_at for each in of]
        return None if None in times else min((each for each in times if each is not None), default=None)

    def origin(self, coin: str) -> Origin | None:
        """Return the origin of its market's endpoints, which must all have the same one."""
        origins = self._origins
        try:
            market = self._coin(coin).adapter.market_type
        except InvalidSymbol:
            # Stored data has an origin, also of a coin that only the exchange's list, not read yet, can resolve.
            if len(set(origins.values())) == 1:
                return next(iter(origins.values()))
            instrument = _parsed(coin)
            if instrument is None or instrument.market not in origins:
                raise
            market = instrument.market
        return origins[market]

    @cached_property
    def _origins(self) -> dict[MarketType, Origin | None]:
        return {market: adapter.origin(*ROLES) for market, adapter in self._adapters.items()}

    def volume_unit(self, coin: str) -> str | None:
        """Return the unit that the market declares."""
        return self._coin(coin).adapter.volume_unit

    async def volume_facts(self, coin: str) -> VolumeFacts:
        """Return what the market declares, and the contract size of its list."""
        found = await self._listed(coin)
        return await self._exchanges[found.adapter.id].volume_facts(found.symbol)

    async def close(self) -> None:
        """Stop the streams and close the connections."""
        self._closed = True
        managers, self._managers = self._managers, {}
        try:
            await self._live.close()
        finally:
            await asyncio.gather(*(each.close() for each in managers.values()))
            await self._http.close()

    def _coin(self, coin: str) -> _Coin:
        """Resolve a coin; cached until the exchange's list changes, errors are not."""
        if self._closed:
            raise Closed(f"the client of {self._name} is closed; make a new one")
        version = sum([each.names.version for each in self._adapters.values()])
        if version != self._version or len(self._coins) >= _MOST_COINS:
            self._coins.clear()
            self._version = version
        found = self._coins.get(coin) if isinstance(coin, str) else None
        if found is None:
            adapter, symbol, instrument = self._market_of(require_symbol(coin))
            found = self._coins[coin] = _Coin(adapter, symbol, coin if instrument is None else str(instrument))
        return found

    def _market_of(self, coin: str) -> tuple[ExchangeAdapter, str, Instrument | None]:
        """Return the adapter of a coin, the coin in its spelling, and its instrument if the coin is not spelled so."""
        instrument = _parsed(coin)
        fitting = [each for each in self._adapters.values() if each.native.fullmatch(each.folded(coin))]
        if len(self._adapters) == 1:
            (adapter,) = self._adapters.values()
        elif instrument is not None:
            adapter = self._of_instrument(instrument, coin)
        elif len(fitting) == 1:
            (adapter,) = fitting
        else:
            found = known_market(self._adapters.values(), coin)
            if found is None:
                raise self._unknown(coin)
            return found
        try:
            return adapter, adapter.symbol(coin), adapter.instrument(coin)
        except WrongMarket:
            raise
        except InvalidSymbol:
            text = separated(coin)
            if text is None:
                raise
            return adapter, adapter.symbol(text), adapter.instrument(text)

    def _unknown(self, coin: str) -> InvalidSymbol:
        unknown = InvalidSymbol(f"{coin!r} is not a symbol of {self._name}; write e.g. BTC/USDT or BTC/USDT:USDT")
        suggest(unknown, next(filter(None, (each.names.nearest(coin) for each in self._adapters.values())), None))
        return unknown

    async def _listed(self, coin: str) -> _Coin:
        """Resolve a coin; for irregular spellings, look them up in the exchange's list."""
        if len(self._adapters) > 1 and _parsed(require_symbol(coin)) is None and separated(coin) is not None:
            await self._read_lists()
        try:
            return self._coin(coin)
        except WrongMarket:
            raise
        except InvalidSymbol:
            instrument = _parsed(coin)
            (only, *more) = self._adapters.values()
            adapter = self._adapters.get(instrument.market) if more and instrument else only
            if instrument is None or adapter is None:
                raise
            with contextlib.suppress(UnsupportedRequest):
                await self._exchanges[adapter.id].listings()
            return self._coin(coin)

    async def _read_lists(self) -> None:
        """Read the lists of all markets, which tell where a symbol without a separator is listed, unless they are fresh."""
        for each in self._exchanges.values():
            with contextlib.suppress(UnsupportedRequest, ExchangeError):  # without a list, the first market is taken
                await each.listings()

    def _of_instrument(self, instrument: Instrument, coin: str) -> ExchangeAdapter:
        adapter = self._adapters.get(instrument.market)
        if adapter is None:
            has = ", ".join(each.id for each in self._adapters.values())
            raise WrongMarket(
                f"{coin!r} belongs to {instrument.market.name}, which chandlery does not support on {self._name}; it supports {has}"
            )
        return adapter

    def _manager(self, adapter: ExchangeAdapter) -> AsyncDataSourceManager:
        market = adapter.market_type
        if market not in self._managers:
            storage = self._settings.storage
            self._managers[market] = AsyncDataSourceManager(
                market,
                adapter.provider,
                cache_dir=storage.cache_dir,
                use_cache=storage.use_cache,
                endpoints=self._settings.endpoints,
                proxy=self._settings.proxy_url,
                credentials=self._credentials,
                clock=self._clock,
                limiter=self._limiter,
            )
        return self._managers[market]

    def _rows(self, table: Any, coin: str, interval: Interval | str) -> list[Row]:
        found = self._coin(coin)
        length = interval if isinstance(interval, Interval) else Interval(interval)
        counts = found.adapter.rest_row.count is not None
        return rows_of_table(table, self._name, found.text, length, counts=counts)


def _parsed(coin: str) -> Instrument | None:
    """Parse the instrument of a text with a separator; ``None`` for other text."""
    try:
        return Instrument.parse(coin)
    except InvalidSymbol:
        return None
