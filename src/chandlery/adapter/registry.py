"""Registry of exchange adapters."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import ClassVar, TypeVar

from chandlery.adapter.base import ExchangeAdapter
from chandlery.core.endpoints import Endpoints
from chandlery.core.entry_points import loaded
from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.instrument import MarketType
from chandlery.core.query import DataProvider

_Adapter = TypeVar("_Adapter", bound=type[ExchangeAdapter])


class ExchangeRegistry:
    """
    The adapters by id.

    An adapter registers itself with ``@ExchangeRegistry.register("<exchange>_<market>")``. The
    modules and folders of ``chandlery.exchanges`` are discovered automatically, those of third parties by the
    entry point group ``chandlery.exchanges``; both are imported at the first lookup.
    """

    _adapters: ClassVar[dict[str, type[ExchangeAdapter]]] = {}
    _aliases: ClassVar[dict[str, str]] = {}
    _found: ClassVar[bool] = False

    @classmethod
    def register(cls, exchange_id: str, *, aliases: Sequence[str] = ()) -> Callable[[_Adapter], _Adapter]:
        """Register an adapter under an id, and optional other spellings of it."""

        def add(adapter: _Adapter) -> _Adapter:
            known = cls._adapters.get(exchange_id)
            if known is not None and known.__qualname__ != adapter.__qualname__:
                raise InvalidInput(f"{exchange_id} is registered already, as {known.__module__}.{known.__qualname__}")
            adapter.id = exchange_id
            cls._aliases |= dict.fromkeys(aliases, exchange_id)
            cls._adapters[exchange_id] = adapter
            return adapter

        return add

    @classmethod
    def names(cls) -> list[str]:
        """Return the ids, sorted."""
        cls._find()
        return sorted(cls._adapters)

    @classmethod
    def aliases(cls, exchange_id: str) -> tuple[str, ...]:
        """Return the other spellings of an id, sorted."""
        cls._find()
        return tuple(sorted(alias for alias, known in cls._aliases.items() if known == exchange_id))

    @classmethod
    def get(cls, exchange_id: str) -> type[ExchangeAdapter]:
        """Return the adapter of that id, or of another spelling of it."""
        cls._find()
        try:
            return cls._adapters[cls._aliases.get(exchange_id, exchange_id)]
        except KeyError:
            raise UnknownName(f"{exchange_id!r} is not an exchange; use one of {', '.join(cls.names())}") from None

    @classmethod
    def of_market(cls, provider: DataProvider, market_type: MarketType) -> type[ExchangeAdapter]:
        """Return the adapter of a provider's market."""
        for adapter in cls.adapters():
            if adapter.provider is provider and adapter.market_type is market_type:
                return adapter
        raise UnknownName(f"{provider!r} has no adapter for {market_type.name}; available: {', '.join(cls.names())}")

    @classmethod
    def adapters(cls) -> list[type[ExchangeAdapter]]:
        """Return all adapters."""
        cls._find()
        return list(cls._adapters.values())

    @classmethod
    def create(cls, exchange_id: str, endpoints: Endpoints | None = None) -> ExchangeAdapter:
        """Create the adapter of that id, with the base URLs in ``endpoints`` under it, or under the spelling given."""
        adapter = cls.get(exchange_id)
        given = endpoints or {}
        return adapter(given.get(adapter.id, given.get(exchange_id)))

    @classmethod
    def get_adapter_class(cls, exchange_id: str) -> type[ExchangeAdapter]:
        """Return what ``get`` returns; the name in published code."""
        return cls.get(exchange_id)

    @classmethod
    def get_adapter(cls, exchange_id: str, endpoints: Endpoints | None = None) -> ExchangeAdapter:
        """Return what ``create`` returns; the name in published code, as ``get_adapter_instance``."""
        return cls.create(exchange_id, endpoints)

    get_adapter_instance = get_adapter

    @classmethod
    def list_available_adapters(cls) -> list[str]:
        """Return what ``names`` returns; the name in published code, as ``get_registered_exchanges``."""
        return cls.names()

    get_registered_exchanges = list_available_adapters

    @classmethod
    def discover_adapters(cls) -> None:
        """Import all adapters, which happens at the first lookup in any case."""
        cls._find()

    @classmethod
    def _find(cls) -> None:
        if cls._found:
            return
        package = importlib.import_module("chandlery.exchanges")
        for module in pkgutil.walk_packages(package.__path__, "chandlery.exchanges."):
            importlib.import_module(module.name)
        for entry in entry_points(group="chandlery.exchanges"):
            loaded(entry)
        cls._found = True


# Exchange modules register their providers, so an unknown provider may be one of theirs.
DataProvider.finder = ExchangeRegistry.names
