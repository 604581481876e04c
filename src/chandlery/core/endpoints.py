"""Base URLs in place of an exchange's own, and whose data come from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from chandlery.core.errors import InvalidInput, UnsupportedRequest

Endpoint: TypeAlias = Mapping[str, str | bool]
"""Base URLs of one exchange by what they are for, and ``origin`` or ``mirror``."""

Endpoints: TypeAlias = Mapping[str, Endpoint]
"""By exchange id."""

ROLES = ("rest", "ws", "archive")
"""What the base URLs of market data are for."""

UNKNOWN_ORIGIN = "unknown"
"""The origin of what was stored before origins were: used by nobody until somebody vouches for it."""
EXCHANGE = "exchange"
"""How an exchange's own address is called where an origin must be named."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_RESERVED = {UNKNOWN_ORIGIN, EXCHANGE}


class Origin(Struct, frozen=True):
    """
    A server that answers in place of the exchange.

    Data of different origins are different markets and never meet. A ``mirror`` hands on the
    exchange's own data: these share the exchange's place in cache and database.
    """

    name: str
    mirror: bool = False

    @property
    def key(self) -> str | None:
        """What sets its data apart in cache and database; ``None`` for the exchange's own data."""
        return None if self.mirror else self.name

    def __str__(self) -> str:
        """As provenance names it."""
        return f"mirror {self.name}" if self.mirror else self.name


def key_of(origin: Origin | None) -> str | None:
    """The key of an origin; ``None`` for the exchange itself, and for its mirrors."""
    return None if origin is None else origin.key


def checked(exchange_id: str, given: Endpoint, own: Mapping[str, str | None]) -> dict[str, str]:
    """
    The base URLs in effect: those given, else the ``own`` ones; without a slash at the end.

    Raises:
        UnsupportedRequest: A name is none that the exchange knows.
        InvalidInput: A URL is no text, an origin is no name, or it is said to be a mirror and another market.
    """
    unknown = [name for name in given if name not in own and name not in {"origin", "mirror"}]
    if unknown:
        known = "rest, ws and archive" if "auth" not in own else "auth, rest, ws and archive"
        raise UnsupportedRequest(
            f"endpoints of {exchange_id} are {known}, not {', '.join(unknown)}; origin or mirror say whose data they give"
        )
    urls: dict[str, str | bool] = {name: given.get(name, url or "") or "" for name, url in own.items()}
    wrong = [name for name, url in urls.items() if not isinstance(url, str)]
    if wrong:
        raise InvalidInput(f"the endpoint {wrong[0]} of {exchange_id} is {urls[wrong[0]]!r}, which is not a URL")
    name, mirror = given.get("origin"), given.get("mirror", False)
    if not isinstance(mirror, bool):
        raise InvalidInput(f"mirror of {exchange_id} is {mirror!r}; it is true or false")
    if name is not None and (not isinstance(name, str) or not _NAME.fullmatch(name) or name in _RESERVED):
        raise InvalidInput(
            f"the origin of {exchange_id} is {name!r}; it is 1 to 64 of a-z 0-9 . _ - and not {' or '.join(_RESERVED)}"
        )
    if name is not None and mirror:
        raise InvalidInput(f"endpoints of {exchange_id} name an origin, {name}, and say mirror; a mirror has none")
    return {name: str(url).rstrip("/") for name, url in urls.items()}


def origin_of(exchange_id: str, given: Endpoint, own: Mapping[str, str | None], *roles: str) -> Origin | None:
    """
    Whose data the URLs of ``roles`` give, e.g. ``"rest"`` and ``"archive"``; ``None`` for the exchange itself.

    Raises:
        InvalidInput: They lead to different markets, which one series must not mix.
    """
    used = [role for role in roles if given.get(role) or (role not in given and own.get(role))]
    return one_of(exchange_id, {role: _of_role(given, own, role) for role in used})


def one_of(exchange_id: str, origins: Mapping[str, Origin | None]) -> Origin | None:
    """
    The origin of a series that is made of several sources; ``origins`` are by what they are for.

    Raises:
        InvalidInput: They are different markets, which one series must not mix.
    """
    if len({key_of(origin) for origin in origins.values()}) > 1:
        said = ", ".join(f"{role} is {origin or EXCHANGE}" for role, origin in origins.items())
        raise InvalidInput(
            f"endpoints of {exchange_id} lead to different markets, which must not be mixed: {said}. Give all of them; "
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
