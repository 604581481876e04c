"""
The data service: it collects, keeps and serves market data over HTTP, WebSocket and MCP.

Its public names import from here and are loaded at their first use; ``docs/names.md`` lists them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chandlery.database.interfaces import IDatabaseConnection, IRawDataRepository, IStorageManager
    from chandlery.database.raw import RawOrderBookEntry
    from chandlery.service.app import Service
    from chandlery.service.auth.guard import get_current_user
    from chandlery.service.auth.interfaces import IAuthenticationModule
    from chandlery.service.auth.validator import TokenValidator
    from chandlery.service.collection.availability import AvailabilityChecker
    from chandlery.service.collection.coins import CoinCollectionList
    from chandlery.service.collection.interfaces import IDataCollectionManager
    from chandlery.service.collection.processor import RealTimeProcessor
    from chandlery.service.historical.current import CurrentDataFetcher
    from chandlery.service.historical.fetcher import HistoricalFetcher
    from chandlery.service.historical.interfaces import IHistoricalDataManager
    from chandlery.service.mcp.service import MCPRouter
    from chandlery.service.settings import ServiceSettings
    from chandlery.service.web.history import StreamingHandler

__all__ = [
    "AvailabilityChecker",
    "CoinCollectionList",
    "CurrentDataFetcher",
    "HistoricalFetcher",
    "IAuthenticationModule",
    "IDataCollectionManager",
    "IDatabaseConnection",
    "IHistoricalDataManager",
    "IRawDataRepository",
    "IStorageManager",
    "MCPRouter",
    "RawOrderBookEntry",
    "RealTimeProcessor",
    "Service",
    "ServiceSettings",
    "StreamingHandler",
    "TokenValidator",
    "get_current_user",
]

_MODULES = {
    "service.app": ("Service",),
    "service.auth.guard": ("get_current_user",),
    "service.auth.interfaces": ("IAuthenticationModule",),
    "service.auth.validator": ("TokenValidator",),
    "service.collection.availability": ("AvailabilityChecker",),
    "service.collection.coins": ("CoinCollectionList",),
    "service.collection.interfaces": ("IDataCollectionManager",),
    "service.collection.processor": ("RealTimeProcessor",),
    "service.historical.current": ("CurrentDataFetcher",),
    "service.historical.fetcher": ("HistoricalFetcher",),
    "service.historical.interfaces": ("IHistoricalDataManager",),
    "service.mcp.service": ("MCPRouter",),
    "service.settings": ("ServiceSettings",),
    "service.web.history": ("StreamingHandler",),
    "database.interfaces": ("IDatabaseConnection", "IRawDataRepository", "IStorageManager"),
    "database.raw": ("RawOrderBookEntry",),
}
_HOME = {name: f"chandlery.{module}" for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
