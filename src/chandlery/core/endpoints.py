"""Custom base URLs of exchanges, and the origin of their data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from chandlery.core.errors import InvalidInput, UnsupportedRequest

Endpoint: TypeAlias = Mapping[str, str | bool]
"""Base URLs of one exchange by role, and ``origin`` or ``mirror``."""

Endpoints: TypeAlias = Mapping[str, Endpoint]
"""Endpoints by exchange id."""

ROLES = ("rest", "ws", "archive")
"""The roles of the base URLs for market data."""

UNKNOWN_ORIGIN = "unknown"
"""The origin of data stored before origins were recorded; not used until the user assigns one."""
EXCHANGE = "exchange"
"""Name of the exchange's own address where an origin must be named."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_RESERVED = {UNKNOWN_ORIGIN, EXCHANGE}


class Origin(Struct, frozen=True):
    """
    A server that answers in place of the exchange.

    Data of different origins are different markets and are never mixed. A ``mirror`` passes on the
    exchange's own data, and shares the exchange's place in cache and database.
    """

    name: str
    mirror: bool = False

    @property
    def key(self) -> str | None:
        """The key of its data in cache and database; ``None`` for the exchange's own data."""
        return None if self.mirror else self.name

    def __str__(self) -> str:
        """Format as in provenance."""
        return f"mirror {self.name}" if self.mirror else self.name


def key_of(origin: Origin | None) -> str | None:
    """Return the key of an origin; ``None`` for the exchange itself, and for its mirrors."""
    return None if origin is None else origin.key


def checked(exchange_id: str, given: Endpoint, own: Mapping[str, str | None]) -> dict[str, str]:
    """
    Return the effective base URLs: those ``given``, else the ``own`` ones; without a slash at the end.

    Raises:
        UnsupportedRequest: The exchange has no such role.
        InvalidInput: A URL is not text, an origin is not a valid name, or both origin and mirror are given.
    """
    unknown = [name for name in given if name not in own and name not in {"origin", "mirror"}]
    if unknown:
        known = "rest, ws and archive" if "auth" not in own else "auth, rest, ws and archive"
        raise UnsupportedRequest(
            f"endpoints of {exchange_id} contain {', '.join(unknown)}; use {known}, and origin or mirror to declare the source of the data"
        )
    urls: dict[str, str | bool] = {name: given.get(name, url or "") or "" for name, url in own.items()}
    wrong = [name for name, url in urls.items() if not isinstance(url, str)]
    if wrong:
        raise InvalidInput(f"the endpoint {wrong[0]} of {exchange_id} is {urls[wrong[0]]!r}, which is not a URL")
    name, mirror = given.get("origin"), given.get("mirror", False)
    if not isinstance(mirror, bool):
        raise InvalidInput(f"mirror of {exchange_id} is {mirror!r}; use true or false")
    if name is not None and (not isinstance(name, str) or not _NAME.fullmatch(name) or name in _RESERVED):
        raise InvalidInput(
            f"the origin of {exchange_id} is {name!r}; use 1 to 64 of the characters a-z 0-9 . _ - and not {' or '.join(_RESERVED)}"
        )
    if name is not None and mirror:
        raise InvalidInput(f"endpoints of {exchange_id} have both origin {name} and mirror; use one of them")
    return {name: str(url).rstrip("/") for name, url in urls.items()}


def origin_of(exchange_id: str, given: Endpoint, own: Mapping[str, str | None], *roles: str) -> Origin | None:
    """
    Return the origin of the data at the URLs of ``roles``, e.g. ``"rest"`` and ``"archive"``; ``None`` for the exchange itself.

    Raises:
        InvalidInput: They lead to different markets, which one series must not mix.
    """
    used = [role for role in roles if given.get(role) or (role not in given and own.get(role))]
    return one_of(exchange_id, {role: _of_role(given, own, role) for role in used})


def one_of(exchange_id: str, origins: Mapping[str, Origin | None]) -> Origin | None:
    """
    Return the origin of a series with several sources; ``origins`` are by role.

    Raises:
        InvalidInput: They are different markets, which one series must not mix.
    """
    if len({key_of(origin) for origin in origins.values()}) > 1:
        listed = ", ".join(f"{role} is {origin or EXCHANGE}" for role, origin in origins.items())
        raise InvalidInput(
            f"endpoints of {exchange_id} lead to different markets, which must not be mixed: {listed}. Give all of them; "
            'say "mirror": true where they are the exchange\'s own data, or "origin": "name" where they are one other market'
        )
    return next((origin for origin in origins.values() if origin is not None), None)


def _of_role(given: Endpoint, own: Mapping[str, str | None], role: str) -> Origin | None:
    url = str(given.get(role) or "").rstrip("/")
    if not url or (url == own.get(role) and "origin" not in given):
        return None
    host = urlsplit(url).netloc.rpartition("@")[2].lower() or url
    if given.get("mirror"):
        return Origin(host, mirror=True)
    return Origin(str(given.get("origin", host)))
