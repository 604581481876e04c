"""The clients that are open, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from chandlery.clients.interfaces import IExchangeAPIClient
from chandlery.clients.names import canonical
from chandlery.clients.settings import Settings
from chandlery.core.errors import CloseFailed, InvalidInput, RequestTimeout, UnknownName

GROUP = "chandlery.plugins"
"""
The entry point group of third parties' clients.

An entry's name is the exchange, its value a subclass of ``IExchangeAPIClient`` that is made with the
``Settings``.
"""

CLOSE_TIMEOUT_S = 10.0
"""How long one client may take to close."""


class PluginRegistry:
    """
    Open clients by the exchange that they reach, and by family and exchange: ``binance``, ``ccxt.binance``.

    It belongs to one event loop.
    """

    def __init__(self) -> None:
        self._plugins: dict[str, IExchangeAPIClient] = {}

    def add_plugin(self, plugin: IExchangeAPIClient) -> None:
        """
        Take an open client in; from now on ``close_all`` closes it.

        Raises:
            InvalidInput: Another of that family for that exchange is open.
        """
        name = qualified(plugin.family, plugin.get_exchange_name())
        known = self._plugins.setdefault(name, plugin)
        if known is not plugin:
            raise InvalidInput(f"a plugin for {name} is open already; use that one, or close it first")

    def get_plugin(self, name: str) -> IExchangeAPIClient:
        """
        The client of that name.

        Raises:
            UnknownName: None is open.
            InvalidInput: The exchange is reached by several; the message names them.
        """
        found = self.names_of(name)
        if len(found) == 1:
            return self._plugins[found[0]]
        if found:
            raise ambiguous(name, found)
        raise UnknownName(f"no plugin for {name!r} is open; there is {', '.join(self.list_plugins()) or 'none'}")

    def names_of(self, name: str) -> list[str]:
        """The full names of the open clients that a name, with or without a family, may mean."""
        family, exchange = split(name)
        # A full name is a family and a canonical exchange, which has no dot.
        wanted = f"{family}.{exchange}"
        return [each for each in self._plugins if each == wanted or (not family and each.endswith(wanted))]

    def list_plugins(self) -> list[str]:
        """The open clients, sorted: by exchange, or by family and exchange where there are several."""
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
        answers = await asyncio.gather(*(_closed(each, timeout_s) for each in plugins.values()))
        failures = {name: answer for name, answer in zip(plugins, answers, strict=True) if answer is not None}
        if failures:
            said = "; ".join(f"{name}: {error!r}" for name, error in failures.items())
            raise CloseFailed(f"of {len(plugins)} plugins {len(failures)} did not close: {said}", failures=failures)


def qualified(family: str, exchange: str) -> str:
    """The full name of a client."""
    return f"{family}.{canonical(exchange)}"


def split(name: str) -> tuple[str, str]:
    """Family, empty where none is named, and exchange."""
    family, _, exchange = name.strip().lower().rpartition(".")
    return family, canonical(exchange)


def ambiguous(name: str, found: list[str]) -> InvalidInput:
    """The error for a name that may mean several."""
    return InvalidInput(f"{name!r} is reached by {' and '.join(sorted(found))}; name the one that you mean")


@cache
def offered() -> tuple[EntryPoint, ...]:
    """The clients of third parties, not loaded yet; found once, which takes milliseconds."""
    return tuple(entry_points(group=GROUP))


def third_parties(exchange: str) -> dict[str, Callable[[Settings], IExchangeAPIClient]]:
    """
    What makes the clients of third parties for an exchange, by their full names.

    Raises:
        InvalidInput: What an entry point offers is no such class.
    """
    found = [_class_of(each) for each in offered() if canonical(each.name) == exchange]
    return {qualified(each.family, exchange): each for each in found}


def _class_of(entry: EntryPoint) -> Any:
    found = entry.load()
    if not (isinstance(found, type) and issubclass(found, IExchangeAPIClient)):
        raise InvalidInput(
            f"the entry point {entry.name} = {entry.value} of {GROUP} is no subclass of IExchangeAPIClient"
        )
    return found


async def _closed(plugin: IExchangeAPIClient, timeout_s: float) -> Exception | None:
    """Close a client; what went wrong, which whoever closes several reports together."""
    try:
        async with asyncio.timeout(timeout_s):
            await plugin.close()
    except TimeoutError:
        return RequestTimeout(f"not closed within {timeout_s:g} s")
    except Exception as error:  # noqa: BLE001  # a third party's close may raise anything
        return error
    return None
