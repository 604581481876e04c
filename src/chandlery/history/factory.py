"""Registry of data clients by provider, market, kind of data and source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.entry_points import DATA_CLIENTS, import_group
from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import ChartType, DataProvider, DataSource
from chandlery.history.funding import BinanceFundingRateClient
from chandlery.history.interfaces import DataClientInterface
from chandlery.history.native import NativeClient
from chandlery.history.rest import RestDataClient
from chandlery.history.vision import VisionDataClient

_Kind = tuple[DataProvider, MarketType, ChartType]

_NATIVE_REST: Mapping[ChartType, type[NativeClient]] = {
    client.kind: client for client in (RestDataClient, BinanceFundingRateClient)
}
_NATIVE_ARCHIVE: Mapping[ChartType, type[VisionDataClient]] = {VisionDataClient.kind: VisionDataClient}
"""Like those by REST, the clients of every exchange that has an adapter and supports them."""


class Served(NamedTuple):
    """The client classes of one kind of data by source; ``None`` for a source that does not have it."""

    rest: type[DataClientInterface] | None
    archive: type[VisionDataClient] | None


class DataClientFactory:
    """
    The client classes: those for the exchanges in ``ExchangeRegistry``, and those of third parties.

    Third parties call ``register_client``, in a module that the entry point group
    ``chandlery.data_clients`` names; those modules are imported at the first lookup.
    """

    _rest: ClassVar[dict[_Kind, type[DataClientInterface]]] = {}
    _archives: ClassVar[dict[_Kind, type[VisionDataClient]]] = {}

    @classmethod
    def register_client(
        cls,
        provider: DataProvider,
        market_type: MarketType,
        chart_type: ChartType,
        client_class: type[DataClientInterface],
        *,
        source: DataSource = DataSource.REST,
    ) -> None:
        """
        Register ``client_class`` for that kind of data; ``source`` is REST or the archive.

        Raises:
            InvalidInput: Another class is registered for it already, or the class is not a client.
        """
        if not (isinstance(client_class, type) and issubclass(client_class, DataClientInterface)):
            raise InvalidInput(f"{client_class!r} is not a subclass of DataClientInterface")
        missing = ", ".join(sorted(getattr(client_class, "__abstractmethods__", ())))
        if missing:
            raise InvalidInput(f"{client_class.__qualname__} lacks {missing}; define what it lacks")
        if source is DataSource.AUTO:
            raise InvalidInput("a client reads one source; use DataSource.REST, or DataSource.VISION for an archive")
        if not isinstance(market_type, MarketType):
            raise InvalidInput(f"{market_type!r} is not a MarketType; use one of {', '.join(map(str, MarketType))}")
        kind = (DataProvider(provider), market_type, ChartType(chart_type))
        served = cls._serving(kind)
        known = served.archive if source is DataSource.VISION else served.rest
        if source is DataSource.VISION and not issubclass(client_class, VisionDataClient):
            raise InvalidInput(f"{client_class.__qualname__} reads no files; only a VisionDataClient serves an archive")
        if known is not None and known.__qualname__ != client_class.__qualname__:
            raise InvalidInput(f"{_text(kind, source)} is served by {known.__qualname__} already")
        if issubclass(client_class, VisionDataClient) and source is DataSource.VISION:
            cls._archives[kind] = client_class
        else:
            cls._rest[kind] = client_class

    @classmethod
    def served(cls, provider: DataProvider, market_type: MarketType, chart_type: ChartType) -> Served:
        """Return the registered classes of all sources."""
        cls.discover()
        return cls._serving((provider, market_type, chart_type))

    @classmethod
    def client_class(
        cls,
        provider: DataProvider,
        market_type: MarketType,
        chart_type: ChartType,
        source: DataSource = DataSource.REST,
    ) -> type[DataClientInterface] | None:
        """Return the registered class, or ``None``."""
        served = cls.served(provider, market_type, chart_type)
        return served.archive if source is DataSource.VISION else served.rest

    @classmethod
    def create_data_client(
        cls,
        provider: DataProvider,
        market_type: MarketType,
        chart_type: ChartType,
        symbol: str,
        interval: Interval,
        *,
        source: DataSource = DataSource.REST,
        **options: Any,
    ) -> DataClientInterface:
        """
        Create a client of one series, which is a context manager; ``options`` are passed to the class, e.g. ``endpoints``
        to the clients of chandlery's own exchanges.

        Raises:
            UnknownName: No class is registered; the message lists those that are.
        """
        client_class = cls.client_class(provider, market_type, chart_type, source)
        if client_class is None:
            served = "; ".join(cls._all())
            asked = _text((provider, market_type, chart_type), source)
            raise UnknownName(f"nothing serves {asked}; available: {served}")
        return client_class(symbol=symbol, interval=interval, market_type=market_type, provider=provider, **options)

    @classmethod
    def discover(cls) -> None:
        """Import the modules of third parties, once, so that their names are registered."""
        import_group(DATA_CLIENTS)

    @classmethod
    def _serving(cls, kind: _Kind) -> Served:
        """Return the classes for ``kind`` at present; exchanges may be registered at any time."""
        provider, market_type, chart_type = kind
        rest, archive = cls._rest.get(kind), cls._archives.get(kind)
        for adapter in ExchangeRegistry.adapters():
            if adapter.provider is provider and adapter.market_type is market_type:
                native, files = _NATIVE_REST.get(chart_type), _NATIVE_ARCHIVE.get(chart_type)
                rest = rest or (native if native is not None and native.serves(adapter) else None)
                archive = archive or (files if files is not None and files.serves(adapter) else None)
        return Served(rest, archive)

    @classmethod
    def _all(cls) -> list[str]:
        """Describe all that is served at present."""
        markets = [(each.provider, each.market_type) for each in ExchangeRegistry.adapters()]
        kinds = {(*market, chart_type) for market in markets for chart_type in _NATIVE_REST}
        served = {kind: cls._serving(kind) for kind in kinds | cls._rest.keys() | cls._archives.keys()}
        by_rest = [_text(kind, DataSource.REST) for kind, each in served.items() if each.rest is not None]
        by_archive = [_text(kind, DataSource.VISION) for kind, each in served.items() if each.archive is not None]
        return sorted(by_rest + by_archive)


def _text(kind: _Kind, source: DataSource) -> str:
    provider, market_type, chart_type = kind
    return f"{provider.name} {market_type.name} {chart_type.name} by {source.name}"
