"""Who sent a request: the address of the connection, or the one that a trusted proxy names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from starlette.datastructures import Headers
from starlette.types import Scope

Network: TypeAlias = IPv4Network | IPv6Network
_Address: TypeAlias = IPv4Address | IPv6Address

_MOST_HOPS = 32
_SHARED_BITS = 64
"""The bits of an IPv6 address that one subscriber has in common; the rest is free to choose for each request."""


def networks(text: str) -> tuple[Network, ...]:
    """
    The networks of a text such as ``10.0.0.0/8, 127.0.0.1``; a single address is a network of one.

    Raises:
        ValueError: One of them is no network.
    """
    return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())


def client_address(peer: str, forwarded: Iterable[str], trusted: Sequence[Network]) -> str:
    """
    The address that a request is counted under.

    ``peer`` is the other end of the connection, ``forwarded`` the values of ``X-Forwarded-For`` in order. They are
    read from the last one backwards, and only as far as trusted proxies have written them: each proxy appends who
    it was called by, and whatever stands before that the client may have made up. Of an IPv6 address it is the network of
    64 bits, which is what one subscriber has. A peer that is no address, such as that of a Unix socket, is its own name.
    """
    found = _parsed(peer)
    if found is None:
        return peer
    hops = [each for value in forwarded for each in value.split(",")]
    for hop in reversed(hops[-_MOST_HOPS:]):
        if not _is_in(found, trusted):
            break
        before = _parsed(hop)
        if before is None:
            break
        found = before
    return str(found) if isinstance(found, IPv4Address) else str(IPv6Network((found, _SHARED_BITS), strict=False))


def address_of(scope: Scope, trusted: Sequence[Network]) -> str:
    """The address that the request or connection of an ASGI scope is counted under."""
    client = scope.get("client")
    return client_address(client[0] if client else "", Headers(scope=scope).getlist("X-Forwarded-For"), trusted)


def is_proxy(peer: str, trusted: Sequence[Network]) -> bool:
    """Whether the other end of a connection is a proxy, which many callers share."""
    found = _parsed(peer)
    return found is not None and _is_in(found, trusted)


def _is_in(address: _Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)


def _parsed(text: str) -> _Address | None:
    """An address as proxies write it, with or without a port; one of IPv4 that is written as IPv6 is IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
