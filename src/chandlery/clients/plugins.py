"""Registry of open clients by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from chandlery.clients.interfaces import IExchangeAPIClient
from chandlery.clients.names import canonical
from chandlery.clients.settings import Settings
from chandlery.core.entry_points import loaded
from chandlery.core.errors import CloseFailed, InvalidInput, RequestTimeout, UnknownName

GROUP = "chandlery.plugins"
"""
Entry point group of third-party clients.

An entry's name is the exchange; its value is a subclass of ``IExchangeAPIClient``, constructed with the ``Settings``.
"""

CLOSE_TIMEOUT_S = 10.0
"""Maximum time in seconds for a client to close."""


class PluginRegistry:
    """
    Open clients by exchange, and by family and exchange: ``binance``, ``ccxt.binance``.

    A registry belongs to one event loop.
    """

    def __init__(self) -> None:
        self._plugins: dict[str, IExchangeAPIClient] = {}
        self.version = 0
        """Grows with every client that is added or removed; a name may mean another client then."""

    def add_plugin(self, plugin: IExchangeAPIClient) -> None:
        """
        Add an open client, which ``close_all`` will close.

        Raises:
            InvalidInput: Another client of that family for that exchange is open.
        """
        name = qualified(plugin.family, plugin.get_exchange_name())
        known = self._plugins.setdefault(name, plugin)
        if known is not plugin:
            raise InvalidInput(f"a plugin for {name} is open already; use that one, or close it first")
        self.version += 1

    def get_plugin(self, name: str) -> IExchangeAPIClient:
        """
        Return the client of a name.

        Raises:
            UnknownName: None is open.
            InvalidInput: The exchange has several clients; the message names them.
        """
        found = self.names_of(name)
        if len(found) == 1:
            return self._plugins[found[0]]
        if found:
            raise ambiguous(name, found)
        raise UnknownName(f"no plugin for {name!r} is open; open: {', '.join(self.list_plugins()) or 'none'}")

    def names_of(self, name: str) -> list[str]:
        """Return the full names of the open clients that match a name, with or without a family."""
        family, exchange = split(name)
        # A full name is a family and a canonical exchange, which contains no dot.
        wanted = f"{family}.{exchange}"
        return [each for each in self._plugins if each == wanted or (not family and each.endswith(wanted))]

    def list_plugins(self) -> list[str]:
        """Return the sorted names of open clients: the exchange, or family and exchange if there are several."""
        exchanges = [split(each)[1] for each in self._plugins]
        return sorted(
            name if exchanges.count(exchange) > 1 else exchange
            for name, exchange in zip(self._plugins, exchanges, strict=True)
        )

    async def close_all(self, *, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """
        Close every client; the registry is empty afterwards.

        Raises:
            CloseFailed: Some failed, or took longer than ``timeout_s``; all others are closed.
        """
        plugins, self._plugins = self._plugins, {}
        self.version += 1
        answers = await asyncio.gather(*(_closed(each, timeout_s) for each in plugins.values()))
        failures = {name: answer for name, answer in zip(plugins, answers, strict=True) if answer is not None}
        if failures:
            said = "; ".join(f"{name}: {error!r}" for name, error in failures.items())
            raise CloseFailed(f"of {len(plugins)} plugins {len(failures)} did not close: {said}", failures=failures)


def qualified(family: str, exchange: str) -> str:
    """Return the full name of a client."""
    return f"{family}.{canonical(exchange)}"


def split(name: str) -> tuple[str, str]:
    """Split a name into family, empty if absent, and exchange."""
    family, _, exchange = name.strip().lower().rpartition(".")
    return family, canonical(exchange)


def ambiguous(name: str, found: list[str]) -> InvalidInput:
    """Return the error for an ambiguous name."""
    return InvalidInput(f"{name!r} is ambiguous: {' and '.join(sorted(found))}; use one of these names")


@cache
def offered() -> tuple[EntryPoint, ...]:
    """Return the entry points of third-party clients, not loaded; cached, since the search takes milliseconds."""
    return tuple(entry_points(group=GROUP))


def third_parties(exchange: str) -> dict[str, Callable[[Settings], IExchangeAPIClient]]:
    """
    Return factories of third-party clients for an exchange, by full name.

    Raises:
        InvalidInput: An entry point cannot be imported, or is not a subclass of ``IExchangeAPIClient``.
    """
    found = [_class_of(each) for each in offered() if canonical(each.name) == exchange]
    return {qualified(each.family, exchange): each for each in found}


def _class_of(entry: EntryPoint) -> Any:
    found = loaded(entry)
    if not (isinstance(found, type) and issubclass(found, IExchangeAPIClient)):
        raise InvalidInput(
            f"the entry point {entry.name} = {entry.value} of {GROUP} is not a subclass of IExchangeAPIClient"
        )
    return found


async def _closed(plugin: IExchangeAPIClient, timeout_s: float) -> Exception | None:
    """Close a client; return its error, which the caller reports with others."""
    try:
        async with asyncio.timeout(timeout_s):
            await plugin.close()
    except TimeoutError:
        return RequestTimeout(f"not closed within {timeout_s:g} s")
    except Exception as error:  # noqa: BLE001  # a third party's close may raise anything
        return error
    return None
