"""
Candles, funding rates and order books of crypto exchanges, past and live.

Every public name imports from here and is loaded at its first use, so that ``import chandlery``
costs next to nothing. ``docs/names.md`` lists them; errors live in ``chandlery.core.errors``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chandlery.adapter.base import ExchangeAdapter as BaseAdapter
    from chandlery.adapter.capabilities import Capabilities
    from chandlery.adapter.registry import ExchangeRegistry
    from chandlery.cache.arrow_cache import UnifiedCacheManager
    from chandlery.ccxt_bridge.client import CCXTExchangeClient
    from chandlery.ccxt_bridge.connection_factory import ExchangeConnectionFactory
    from chandlery.ccxt_bridge.facade import ExchangeManager
    from chandlery.ccxt_bridge.manager import AuthenticatedExchangeManager, PublicExchangeManager
    from chandlery.ccxt_bridge.wrapper import ExchangeWrapper
    from chandlery.clients.interfaces import IDataSourceConnector, IExchangeAPIClient
    from chandlery.clients.native import NativeExchangeClient
    from chandlery.clients.plugins import PluginRegistry
    from chandlery.clients.settings import CCXTConfig, Credentials, Settings
    from chandlery.clients.sources import ExchangeSpan, FallbackResult
    from chandlery.clients.streaming import RealtimeStream
    from chandlery.connector import DataSourceConnectorImpl
    from chandlery.core.book import BookUpdate
    from chandlery.core.candle import CandleData
    from chandlery.core.errors import ChandleryError, IncompleteData
    from chandlery.core.gaps import Gap, GapKind, Span
    from chandlery.core.instrument import Instrument, Listing, ListingStatus, MarketType
    from chandlery.core.interval import Interval
    from chandlery.core.provenance import Event, EventKind, Provenance, SourceSpan
    from chandlery.core.query import (
        FUNDING_RATE_DTYPES,
        OUTPUT_DTYPES,
        CandleQuery,
        ChartType,
        DataProvider,
        DataSource,
    )
    from chandlery.feed.audit import BookAudit
    from chandlery.feed.book_feed import BookGroup, OrderBookFeed
    from chandlery.feed.book_stream import LiveBook as OrderBook
    from chandlery.feed.candles_feed import CandlesFeed, FeedGroup
    from chandlery.feed.events import (
        Backfilled,
        Connected,
        Dropped,
        Failed,
        Missing,
        Outdated,
        Reconnecting,
        Rejected,
        Restated,
        Resynced,
        Resyncing,
        Switched,
        Unsettled,
    )
    from chandlery.feed.network import NetworkClient
    from chandlery.feed.series import DataProcessor
    from chandlery.feed.strategies import NetworkStrategy, RESTPollingStrategy, WebSocketStrategy
    from chandlery.history.async_manager import AsyncDataSourceManager
    from chandlery.history.factory import DataClientFactory
    from chandlery.history.funding import BinanceFundingRateClient
    from chandlery.history.interfaces import DataClientInterface, FetchResult
    from chandlery.history.manager import DataSourceManager
    from chandlery.history.rest import RestDataClient
    from chandlery.history.vision import VisionDataClient

    __version__: str

__all__ = [
    "FUNDING_RATE_DTYPES",
    "OUTPUT_DTYPES",
    "AsyncDataSourceManager",
    "AuthenticatedExchangeManager",
    "Backfilled",
    "BaseAdapter",
    "BinanceFundingRateClient",
    "BookAudit",
    "BookGroup",
    "BookUpdate",
    "CCXTConfig",
    "CCXTExchangeClient",
    "CandleData",
    "CandleQuery",
    "CandlesFeed",
    "Capabilities",
    "ChandleryError",
    "ChartType",
    "Connected",
    "Credentials",
    "DataClientFactory",
    "DataClientInterface",
    "DataProcessor",
    "DataProvider",
    "DataSource",
    "DataSourceConnectorImpl",
    "DataSourceManager",
    "Dropped",
    "Event",
    "EventKind",
    "ExchangeConnectionFactory",
    "ExchangeManager",
    "ExchangeRegistry",
    "ExchangeSpan",
    "ExchangeWrapper",
    "Failed",
    "FallbackResult",
    "FeedGroup",
    "FetchResult",
    "Gap",
    "GapKind",
    "IDataSourceConnector",
    "IExchangeAPIClient",
    "IncompleteData",
    "Instrument",
    "Interval",
    "Listing",
    "ListingStatus",
    "MarketType",
    "Missing",
    "NativeExchangeClient",
    "NetworkClient",
    "NetworkStrategy",
    "OrderBook",
    "OrderBookFeed",
    "Outdated",
    "PluginRegistry",
    "Provenance",
    "PublicExchangeManager",
    "RESTPollingStrategy",
    "RealtimeStream",
    "Reconnecting",
    "Rejected",
    "RestDataClient",
    "Restated",
    "Resynced",
    "Resyncing",
    "Settings",
    "SourceSpan",
    "Span",
    "Switched",
    "UnifiedCacheManager",
    "Unsettled",
    "VisionDataClient",
    "WebSocketStrategy",
]

_MODULES = {
    "adapter.base": ("BaseAdapter",),
    "adapter.capabilities": ("Capabilities",),
    "adapter.registry": ("ExchangeRegistry",),
    "ccxt_bridge.client": ("CCXTExchangeClient",),
    "ccxt_bridge.connection_factory": ("ExchangeConnectionFactory",),
    "connector": ("DataSourceConnectorImpl",),
    "ccxt_bridge.facade": ("ExchangeManager",),
    "clients.sources": ("ExchangeSpan", "FallbackResult"),
    "clients.interfaces": ("IDataSourceConnector", "IExchangeAPIClient"),
    "ccxt_bridge.manager": ("AuthenticatedExchangeManager", "PublicExchangeManager"),
    "clients.native": ("NativeExchangeClient",),
    "clients.plugins": ("PluginRegistry",),
    "clients.settings": ("CCXTConfig", "Credentials", "Settings"),
    "clients.streaming": ("RealtimeStream",),
    "ccxt_bridge.wrapper": ("ExchangeWrapper",),
    "core.book": ("BookUpdate",),
    "core.candle": ("CandleData",),
    "core.errors": ("ChandleryError", "IncompleteData"),
    "core.gaps": ("Gap", "GapKind", "Span"),
    "core.instrument": ("Instrument", "Listing", "ListingStatus", "MarketType"),
    "core.interval": ("Interval",),
    "core.provenance": ("Event", "EventKind", "Provenance", "SourceSpan"),
    "core.query": ("FUNDING_RATE_DTYPES", "OUTPUT_DTYPES", "CandleQuery", "ChartType", "DataProvider", "DataSource"),
    "feed.audit": ("BookAudit",),
    "feed.book_feed": ("BookGroup", "OrderBookFeed"),
    "feed.book_stream": ("OrderBook",),
    "feed.candles_feed": ("CandlesFeed", "FeedGroup"),
    "feed.events": (
        "Backfilled",
        "Connected",
        "Dropped",
        "Failed",
        "Missing",
        "Outdated",
        "Reconnecting",
        "Rejected",
        "Restated",
        "Resynced",
        "Resyncing",
        "Switched",
        "Unsettled",
    ),
    "feed.network": ("NetworkClient",),
    "feed.series": ("DataProcessor",),
    "feed.strategies": ("NetworkStrategy", "RESTPollingStrategy", "WebSocketStrategy"),
    "history.async_manager": ("AsyncDataSourceManager",),
    "history.factory": ("DataClientFactory",),
    "history.funding": ("BinanceFundingRateClient",),
    "history.interfaces": ("DataClientInterface", "FetchResult"),
    "history.manager": ("DataSourceManager",),
    "history.rest": ("RestDataClient",),
    "history.vision": ("VisionDataClient",),
    "cache.arrow_cache": ("UnifiedCacheManager",),
}
_HOME = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
_OWN_NAME = {"BaseAdapter": "ExchangeAdapter", "OrderBook": "LiveBook"}
"""Names that the module spells differently."""
_KNOWN_BY = {"DataProvider": "adapter.registry"}
"""Names that are whole only once another module is loaded."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415  # it costs more than all the rest of this module

        value: Any = version("chandlery")
    elif name in _HOME:
        if name in _KNOWN_BY:
            importlib.import_module(f"{__name__}.{_KNOWN_BY[name]}")
        value = getattr(importlib.import_module(_HOME[name]), _OWN_NAME.get(name, name))
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
