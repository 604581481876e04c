"""Registry of data clients by provider, market, kind of data and source."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any, ClassVar

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import ChartType, DataProvider, DataSource
from chandlery.history.funding import BinanceFundingRateClient
from chandlery.history.interfaces import DataClientInterface
from chandlery.history.native import NativeClient
from chandlery.history.rest import RestDataClient
from chandlery.history.vision import VisionDataClient

_Key = tuple[DataProvider, MarketType, ChartType, DataSource]


_NATIVE: tuple[type[NativeClient], ...] = (RestDataClient, VisionDataClient, BinanceFundingRateClient)
"""The clients of every exchange that has an adapter and supports them."""


class DataClientFactory:
    """
    The client classes: those for the exchanges in ``ExchangeRegistry``, and those of third parties.

    Third parties call ``register_client``, in a module that the entry point group
    ``chandlery.data_clients`` names; those modules are imported at the first lookup.
    """

    _clients: ClassVar[dict[_Key, type[DataClientInterface]]] = {}
    _found: ClassVar[bool] = False

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
        if source is DataSource.VISION and not issubclass(client_class, VisionDataClient):
            raise InvalidInput(f"{client_class.__qualname__} reads no files; only a VisionDataClient serves an archive")
        key = (provider, market_type, chart_type, source)
        known = cls._serving(key)
        if known is not None and known.__qualname__ != client_class.__qualname__:
            raise InvalidInput(f"{_text(key)} is served by {known.__qualname__} already")
        cls._clients[key] = client_class

    @classmethod
    def client_class(
        cls,
        provider: DataProvider,
        market_type: MarketType,
        chart_type: ChartType,
        source: DataSource = DataSource.REST,
    ) -> type[DataClientInterface] | None:
        """Return the registered class, or ``None``."""
        cls.discover()
        return cls._serving((provider, market_type, chart_type, source))

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
        Create a client of one series; ``options`` are passed to the class.

        Raises:
            UnknownName: No class is registered; the message lists those that are.
        """
        client_class = cls.client_class(provider, market_type, chart_type, source)
        if client_class is None:
            served = "; ".join(sorted(map(_text, cls._served())))
            raise UnknownName(f"nothing serves {_text((provider, market_type, chart_type, source))}; there is {served}")
        return client_class(symbol=symbol, interval=interval, market_type=market_type, provider=provider, **options)

    @classmethod
    def discover(cls) -> None:
        """Import the modules of third parties, once, so that their names are registered."""
        if not cls._found:
            for entry in entry_points(group="chandlery.data_clients"):
                entry.load()
            cls._found = True

    @classmethod
    def _serving(cls, key: _Key) -> type[DataClientInterface] | None:
        """Return the class for ``key`` at present; exchanges may be registered at any time."""
        return cls._clients.get(key) or next(
            (
                client
                for adapter in ExchangeRegistry.adapters()
                if (adapter.provider, adapter.market_type) == key[:2]
                for client in _NATIVE
                if (client.kind, client.data_source) == key[2:] and client.serves(adapter)
            ),
            None,
        )

    @classmethod
    def _served(cls) -> dict[_Key, type[DataClientInterface]]:
        """Return all registered classes at present."""
        native: dict[_Key, type[DataClientInterface]] = {
            (adapter.provider, adapter.market_type, client.kind, client.data_source): client
            for adapter in ExchangeRegistry.adapters()
            for client in _NATIVE
            if client.serves(adapter)
        }
        return native | cls._clients


def _text(key: _Key) -> str:
    provider, market_type, chart_type, source = key
    return f"{provider.name} {market_type.name} {chart_type.name} by {source.name}"
