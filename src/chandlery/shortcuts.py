"""One call for past candles, live candles and instruments, with the settings of the environment and a shared cache."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import msgspec

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.names import Names
from chandlery.clients.instruments import listing_status, select
from chandlery.clients.markets import Candidate, candidates, in_its_market, market_of, market_type, markets_of
from chandlery.clients.native import NativeExchangeClient
from chandlery.clients.settings import Settings, StorageConfig
from chandlery.core.candle import CandleData
from chandlery.core.endpoints import Endpoints
from chandlery.core.errors import ExchangeError, InvalidSymbol, UnsupportedRequest, WrongMarket, suggest, suggests
from chandlery.core.instrument import Listing, ListingStatus, MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import TimeLike, range_of
from chandlery.core.nearest import may_be_meant
from chandlery.core.query import ChartType
from chandlery.feed.candles_feed import CandlesFeed
from chandlery.history.arguments import Symbols, labelled
from chandlery.history.manager import DataSourceManager
from chandlery.history.many import finished, read_groups
from chandlery.net.clock import system_clock
from chandlery.net.exchange_client import SUGGESTED_WITHIN_S
from chandlery.net.portal import shared_portal
from chandlery.tables.frame import Output

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

_OnMissing = Literal["raise", "report"]


@overload
def get_data(
    symbol: str | Symbols,
    interval: Interval | str = "1m",
    *,
    start: TimeLike,
    end: TimeLike | None = None,
    exchange: str = "binance",
    market: MarketType | str | None = None,
    chart_type: ChartType | str = ChartType.KLINES,
    output: Literal["pandas"] = "pandas",
    on_missing: _OnMissing = "raise",
    include_open: bool = False,
    unit: str = "ms",
    volume_unit: str = "exchange",
    cache_dir: Path | str | None = None,
    endpoints: Endpoints | None = None,
    with_report: Literal[False] = False,
) -> pd.DataFrame: ...


@overload
def get_data(
    symbol: str | Symbols,
    interval: Interval | str = "1m",
    *,
    start: TimeLike,
    end: TimeLike | None = None,
    exchange: str = "binance",
    market: MarketType | str | None = None,
    chart_type: ChartType | str = ChartType.KLINES,
    output: Literal["polars"],
    on_missing: _OnMissing = "raise",
    include_open: bool = False,
    unit: str = "ms",
    volume_unit: str = "exchange",
    cache_dir: Path | str | None = None,
    endpoints: Endpoints | None = None,
    with_report: Literal[False] = False,
) -> pl.DataFrame: ...


@overload
def get_data(
    symbol: str | Symbols,
    interval: Interval | str = "1m",
    *,
    start: TimeLike,
    end: TimeLike | None = None,
    exchange: str = "binance",
    market: MarketType | str | None = None,
    chart_type: ChartType | str = ChartType.KLINES,
    output: Literal["arrow"],
    on_missing: _OnMissing = "raise",
    include_open: bool = False,
    unit: str = "ms",
    volume_unit: str = "exchange",
    cache_dir: Path | str | None = None,
    endpoints: Endpoints | None = None,
    with_report: Literal[False] = False,
) -> pa.Table: ...


@overload
def get_data(
    symbol: str | Symbols,
    interval: Interval | str = "1m",
    *,
    start: TimeLike,
    end: TimeLike | None = None,
    exchange: str = "binance",
    market: MarketType | str | None = None,
    chart_type: ChartType | str = ChartType.KLINES,
    output: Output = "pandas",
    on_missing: _OnMissing = "raise",
    include_open: bool = False,
    unit: str = "ms",
    volume_unit: str = "exchange",
    cache_dir: Path | str | None = None,
    endpoints: Endpoints | None = None,
    with_report: Literal[True],
) -> tuple[Any, Any]: ...


def get_data(
    symbol: str | Symbols,
    interval: Interval | str = "1m",
    *,
    start: TimeLike,
    end: TimeLike | None = None,
    exchange: str = "binance",
    market: MarketType | str | None = None,
    chart_type: ChartType | str = ChartType.KLINES,
    output: Output = "pandas",
    on_missing: _OnMissing = "raise",
    include_open: bool = False,
    unit: str = "ms",
    volume_unit: str = "exchange",
    cache_dir: Path | str | None = None,
    endpoints: Endpoints | None = None,
    with_report: bool = False,
) -> Any:
    """
    Return the closed candles that open in ``[start, end)``, oldest first, like ``DataSourceManager.get_data``.

    Connections and settings are shared by all calls of the process. The settings are those of the environment,
    ``CHANDLERY_CACHE_DIR`` and so on, and of ``.env``.

    Args:
        symbol: In any spelling: ``BTCUSDT``, ``BTC/USDT``, ``BTC-USDT``, ``BTC/USDT:USDT``. A list of symbols, or a
            mapping of labels to symbols, gives one frame, as in ``DataSourceManager.get_data``.
        interval: ``"1m"``, ``"1h"`` and so on; ignored for funding rates.
        start: Inclusive, a ``TimeLike``: ``"2024-01-01"``, ``"7d"``, a date, a datetime, milliseconds.
        end: Exclusive, in the same forms; now by default.
        exchange: In any case, with or without a market: ``"binance"``, ``"okx_perpetual"``.
        market: ``"spot"``, ``"linear"`` (``"perpetual"``, ``"um"``), ``"inverse"`` (``"cm"``). By default spot if it
            has the symbol, otherwise the only market that lists it.
        chart_type: ``"klines"`` or ``"funding"``.
        output: ``"pandas"``, ``"polars"`` or ``"arrow"``.
        on_missing: ``"report"`` returns the available rows if some could not be fetched.
        include_open: Adds the running candle, and a column ``closed`` that marks it.
        unit: The unit of integers as times: ``"s"``, ``"ms"`` or ``"us"``.
        volume_unit: ``"base"``, ``"quote"`` or ``"contracts"`` converts the volumes, as in ``DataSourceManager.get_data``.
        cache_dir: The folder of the day files; by default that of the settings.
        endpoints: Base URLs in place of an exchange's own; by default those of the settings.
        with_report: Returns the rows and their ``Provenance``, of several symbols a dict of them.

    Raises:
        InvalidInput: The request is invalid, e.g. an unknown exchange or symbol, or a symbol of several markets.
        IncompleteData: Part of the range could not be fetched; it carries the rest.
    """
    kind = ChartType(chart_type)
    length = kind.interval or interval
    settings = _settings(endpoints, cache_dir)
    options: dict[str, Any] = {
        "interval": length,
        "chart_type": kind,
        "include_open": include_open,
        "volume_unit": volume_unit,
    }
    if isinstance(symbol, Iterable) and not isinstance(symbol, str | bytes):
        span = range_of(start, end, system_clock(), unit=unit)
        funding = kind is ChartType.FUNDING_RATE
        chosen = by_market(settings, labelled(symbol), exchange, market, funding=funding)
        groups = [(symbols, partial(_manager(each, settings).get_data, **options)) for each, symbols in chosen.items()]
        found = read_groups(groups, span)
        return finished(*found, output=output, raises=on_missing == "raise", with_report=with_report)

    def fetch(found: Candidate) -> Any:
        options.update(output=output, on_missing=on_missing, unit=unit, with_report=with_report)
        return _manager(found.adapter, settings).get_data(found.symbol, start, end, **options)

    with suggestions(settings, exchange, symbol, market):
        markets = candidates(exchange, symbol, market, funding=kind is ChartType.FUNDING_RATE)
        return in_its_market(markets, fetch, partial(lists, settings))


def instruments(
    exchange: str = "binance",
    *,
    market: MarketType | str | None = None,
    status: ListingStatus | str | None = None,
    search: str = "",
    endpoints: Endpoints | None = None,
) -> list[Listing]:
    """
    Return the instruments that an exchange lists, of all its markets or one.

    Args:
        exchange: In any case, with or without a market: ``"binance"``, ``"okx_perpetual"``.
        market: ``"spot"``, ``"linear"``, ``"inverse"`` or another name of one.
        status: ``"listed"``, ``"upcoming"``, ``"halted"`` or ``"delisted"``.
        search: Words that must all match, e.g. ``"btc perp"``; the most likely comes first.
        endpoints: Base URLs in place of an exchange's own; by default those of the settings.

    Raises:
        InvalidInput: Exchange, market or status is unknown.
        UnsupportedRequest: The exchange publishes no list.
        ExchangeError: The exchange, or the connection to it, failed.
    """
    wanted = None if status is None else listing_status(status)
    return select(listings_of(_settings(endpoints, None), exchange, market), status=wanted, search=search)


async def candles(
    symbol: str,
    interval: Interval | str = "1m",
    *,
    exchange: str = "binance",
    market: MarketType | str | None = None,
    endpoints: Endpoints | None = None,
) -> AsyncIterator[CandleData]:
    """
    Yield live candles: each closed one once and in order, and states of the running one between them.

    Use it as ``async for candle in candles("BTCUSDT", "1m"):``. It reconnects, and fetches the candles that it missed.
    Symbol, exchange and market are as in ``get_data``.
    ``CandlesFeed`` also has the history, the events and the choice of the transport.

    Raises:
        InvalidInput: Exchange, market, symbol or interval is unknown.
        ExchangeError: The exchange refuses the subscription.
    """
    settings = _settings(endpoints, None)

    markets = await asyncio.to_thread(by_market, settings, {"": symbol}, exchange, market, funding=False)
    ((adapter, named),) = markets.items()
    (spelled,) = named.values()
    async with CandlesFeed(
        adapter.id,
        spelled,
        interval,
        endpoints=settings.endpoints,
        proxy=settings.proxy_url,
        credentials=settings.sign_in([adapter]),
    ) as feed:
        async for update in feed.updates():
            if isinstance(update, CandleData):
                yield update


def listings_of(settings: Settings, exchange: str, market: MarketType | str | None) -> list[Listing]:
    """Return the instruments of an exchange, of all its markets or one."""
    chosen = None if market is None else market_type(market)
    return [each for adapter in markets_of(exchange, chosen) for each in _listings(adapter, settings)]


def lists(settings: Settings, market: Candidate) -> bool:
    """
    Return whether a market lists the symbol.

    Raises:
        ExchangeError: The list could not be fetched.
    """
    return any(each.symbol == market.symbol for each in _listings(market.adapter, settings))


@contextmanager
def suggestions(settings: Settings, exchange: str, symbol: str, market: MarketType | str | None) -> Iterator[None]:
    """Add the nearest symbol that the exchange lists to an ``InvalidSymbol`` of the block."""
    try:
        yield
    except WrongMarket:
        raise
    except InvalidSymbol as error:
        for adapter in markets_of(exchange, market) if may_be_meant(symbol) and not suggests(error) else ():
            names = Names()
            # The error of the symbol is the one that matters.
            with suppress(UnsupportedRequest, ExchangeError, TimeoutError):
                names.learn(_listings(adapter, settings, within_s=SUGGESTED_WITHIN_S))
            near = names.nearest(symbol)
            if near is not None:
                suggest(error, near)
                break
        raise


def by_market(
    settings: Settings, symbols: dict[str, str], exchange: str, market: MarketType | str | None, *, funding: bool
) -> dict[type[ExchangeAdapter], dict[str, str]]:
    """Return several symbols by their market, each with its label and in the spelling of the exchange."""

    @cache
    def listed(adapter: type[ExchangeAdapter]) -> frozenset[str] | None:
        try:
            return frozenset(each.symbol for each in _listings(adapter, settings))
        except (UnsupportedRequest, ExchangeError):
            return None

    found: dict[type[ExchangeAdapter], dict[str, str]] = {}
    for label, symbol in symbols.items():
        with suggestions(settings, exchange, symbol, market):
            adapter, spelled = market_of(candidates(exchange, symbol, market, funding=funding), listed)
        found.setdefault(adapter, {})[label] = spelled
    return found


def _listings(adapter: type[ExchangeAdapter], settings: Settings, *, within_s: float | None = None) -> list[Listing]:
    async def read() -> list[Listing]:
        async with asyncio.timeout(within_s), NativeExchangeClient(adapter.id, settings) as client:
            return [listing for _, listing in await client.instruments()]

    return shared_portal().run(read())


def _settings(endpoints: Endpoints | None, cache_dir: Path | str | None) -> Settings:
    settings = Settings()
    if endpoints is not None:
        settings = settings.model_copy(update={"endpoints": endpoints})
    if cache_dir is not None:
        storage = StorageConfig(**{**settings.storage.model_dump(), "cache_dir": cache_dir})
        settings = settings.model_copy(update={"storage": storage})
    return settings


def _manager(adapter: type[ExchangeAdapter], settings: Settings) -> DataSourceManager:
    """Return the manager that calls with the same settings share; a child process has its own."""
    storage = settings.storage
    return _shared_manager(
        os.getpid(),
        adapter,
        storage.cache_dir,
        storage.use_cache,
        msgspec.json.encode(settings.endpoints),
        settings.proxy_url,
        msgspec.json.encode(settings.sign_in([adapter])),
    )


@cache
def _shared_manager(
    process: int,
    adapter: type[ExchangeAdapter],
    cache_dir: Path | None,
    use_cache: bool,  # noqa: FBT001  # part of the key
    endpoints: bytes,
    proxy: str | None,
    credentials: bytes,
) -> DataSourceManager:
    del process
    return DataSourceManager(
        adapter.market_type,
        adapter.provider,
        cache_dir=cache_dir,
        use_cache=use_cache,
        endpoints=msgspec.json.decode(endpoints),
        proxy=proxy,
        credentials=msgspec.json.decode(credentials),
    )
