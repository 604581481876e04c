"""Addresses of ccxt's exchanges: replaced by those of the settings, with ``{hostname}`` filled in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from chandlery.clients.names import canonical
from chandlery.core.errors import InvalidInput

_FOR_READERS = frozenset({"logo", "www", "doc", "fees", "referral", "api_management", "hostnames"})
"""Entries of ccxt's ``urls`` to which no request is sent."""
_HOSTNAME = "{hostname}"
_SHOWN = 6

_T = TypeVar("_T")


def of_exchange(values: Mapping[str, Mapping[str, _T]], name: str) -> dict[str, _T]:
    """Return the values for one exchange, whose key in the settings may be any spelling of its name."""
    return {
        key: value
        for exchange, pairs in values.items()
        if canonical(exchange) == canonical(name)
        for key, value in pairs.items()
    }


def replace_addresses(exchange: Any, pairs: Mapping[str, str]) -> None:
    """
    Replace the beginnings of an exchange's addresses; of several that fit, the longest counts.

    A beginning is written as the exchange's own address, or as ccxt has it, with ``{hostname}``. It ends where a part of
    the address ends, so that ``https://api.binance.co`` is no beginning of ``https://api.binance.com``.

    Raises:
        InvalidInput: A beginning fits no address, so that its requests would go to the exchange itself.
    """
    found: list[str] = []
    used: set[str] = set()

    def replaced(name: str, url: str) -> str:
        full = filled(exchange, name, url)
        found.append(full)
        for address in (url, full):
            fitting = [old for old in pairs if _begins(address, old)]
            used.update(fitting)
            if fitting:
                longest = max(fitting, key=len)
                return pairs[longest] + address.removeprefix(longest)
        return url

    urls = exchange.urls
    exchange.urls = {key: urls[key] if key in _FOR_READERS else _mapped(urls[key], replaced) for key in urls}
    has_sockets = any(_is_socket(each) for each in found)
    for old in pairs:
        # ccxt's classes without WebSockets lack their addresses, and never connect to them.
        if old not in used and (has_sockets or not _is_socket(old)):
            raise _unmatched(exchange.id, old, found)


def leaves(urls: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the addresses, each with its name: ``spot.public``."""
    if isinstance(urls, dict):
        for key, value in urls.items():
            yield from leaves(value, f"{name}.{key}" if name else str(key))
    elif isinstance(urls, str):
        yield name, urls


def filled(exchange: Any, name: str, url: str) -> str:
    """Return an address with the host that the exchange uses; HTX has one for each kind of market."""
    host = exchange.urls.get("hostnames", {}).get(name.rpartition(".")[2])
    return url.replace(_HOSTNAME, host if isinstance(host, str) else exchange.hostname or _HOSTNAME)


def _mapped(urls: Any, change: Callable[[str, str], str], name: str = "") -> Any:
    if isinstance(urls, dict):
        return {key: _mapped(value, change, f"{name}.{key}") for key, value in urls.items()}
    if isinstance(urls, list):
        return [_mapped(value, change, name) for value in urls]
    return change(name, urls) if isinstance(urls, str) else urls


def _begins(address: str, beginning: str) -> bool:
    rest = address.removeprefix(beginning)
    return address.startswith(beginning) and (not rest or rest[0] in "/?" or beginning.endswith("/"))


def _is_socket(address: str) -> bool:
    return address.startswith("ws")


def _unmatched(name: str, old: str, found: list[str]) -> InvalidInput:
    hosts = sorted({"/".join(each.split("/")[:3]) for each in found if _is_socket(each) == _is_socket(old)})
    more = f" and {len(hosts) - _SHOWN} more" if len(hosts) > _SHOWN else ""
    return InvalidInput(
        f"endpoints of {name}: no address begins with {old!r}; the addresses are at {', '.join(hosts[:_SHOWN])}{more}"
    )
