"""Client addresses: the peer of the connection, or the address that a trusted proxy forwards."""

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
"""Prefix length in bits that identifies one IPv6 subscriber; the subscriber chooses the remaining bits freely."""


def networks(text: str) -> tuple[Network, ...]:
    """
    Parse a comma-separated list of networks such as ``10.0.0.0/8, 127.0.0.1``; a single address is a network of one.

    Raises:
        ValueError: An entry is not a network.
    """
    return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())


def client_address(peer: str, forwarded: Iterable[str], trusted: Sequence[Network]) -> str:
    """
    Return the address under which a request is counted.

    ``peer`` is the other end of the connection, ``forwarded`` the values of ``X-Forwarded-For`` in order. The values
    are read backwards from the last one, and only as far as trusted proxies wrote them: each proxy appends its own
    peer, and the client may have forged everything before that. IPv6 addresses are reduced to their /64 network, which
    belongs to one subscriber. A peer that is not an IP address, such as a Unix socket, is returned unchanged.
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
    """Return the address under which the request or connection of an ASGI scope is counted."""
    client = scope.get("client")
    return client_address(client[0] if client else "", Headers(scope=scope).getlist("X-Forwarded-For"), trusted)


def is_proxy(peer: str, trusted: Sequence[Network]) -> bool:
    """Return true if the peer is a trusted proxy, which many clients share."""
    found = _parsed(peer)
    return found is not None and _is_in(found, trusted)


def _is_in(address: _Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)


def _parsed(text: str) -> _Address | None:
    """Parse an address as proxies write it, with or without a port; IPv4-mapped IPv6 becomes IPv4."""
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
