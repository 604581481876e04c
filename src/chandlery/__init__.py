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
    from chandlery.adapter.registry import ExchangeRegistry
    from chandlery.core.candle import CandleData
    from chandlery.core.errors import ChandleryError, IncompleteData
    from chandlery.core.gaps import Gap, GapKind, Span
    from chandlery.core.instrument import Instrument, MarketType
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
    from chandlery.history.async_manager import AsyncDataSourceManager
    from chandlery.history.factory import DataClientFactory
    from chandlery.history.funding import BinanceFundingRateClient
    from chandlery.history.interfaces import DataClientInterface, FetchResult
    from chandlery.history.manager import DataSourceManager
    from chandlery.history.rest import RestDataClient
    from chandlery.history.vision import VisionDataClient
    from chandlery.storage.arrow_cache import UnifiedCacheManager

    __version__: str

__all__ = [
    "FUNDING_RATE_DTYPES",
    "OUTPUT_DTYPES",
    "AsyncDataSourceManager",
    "BaseAdapter",
    "BinanceFundingRateClient",
    "CandleData",
    "CandleQuery",
    "ChandleryError",
    "ChartType",
    "DataClientFactory",
    "DataClientInterface",
    "DataProvider",
    "DataSource",
    "DataSourceManager",
    "Event",
    "EventKind",
    "ExchangeRegistry",
    "FetchResult",
    "Gap",
    "GapKind",
    "IncompleteData",
    "Instrument",
    "Interval",
    "MarketType",
    "Provenance",
    "RestDataClient",
    "SourceSpan",
    "Span",
    "UnifiedCacheManager",
    "VisionDataClient",
]

_MODULES = {
    "adapter.base": ("BaseAdapter",),
    "adapter.registry": ("ExchangeRegistry",),
    "core.candle": ("CandleData",),
    "core.errors": ("ChandleryError", "IncompleteData"),
    "core.gaps": ("Gap", "GapKind", "Span"),
    "core.instrument": ("Instrument", "MarketType"),
    "core.interval": ("Interval",),
    "core.provenance": ("Event", "EventKind", "Provenance", "SourceSpan"),
    "core.query": ("FUNDING_RATE_DTYPES", "OUTPUT_DTYPES", "CandleQuery", "ChartType", "DataProvider", "DataSource"),
    "history.async_manager": ("AsyncDataSourceManager",),
    "history.factory": ("DataClientFactory",),
    "history.funding": ("BinanceFundingRateClient",),
    "history.interfaces": ("DataClientInterface", "FetchResult"),
    "history.manager": ("DataSourceManager",),
    "history.rest": ("RestDataClient",),
    "history.vision": ("VisionDataClient",),
    "storage.arrow_cache": ("UnifiedCacheManager",),
}
_HOME = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
_OWN_NAME = {"BaseAdapter": "ExchangeAdapter"}
"""Names that the module spells differently."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415  # it costs more than all the rest of this module

        value: Any = version("chandlery")
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), _OWN_NAME.get(name, name))
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
