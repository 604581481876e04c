"""HTTP requests and responses as values: adapters build them, ``net`` transmits them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct, field

Shortcut: TypeAlias = Callable[[Sequence[bytes]], Iterator[int]]
"""
Processes the common socket messages, in order, on a fast path.

It yields the index of each message that it does not process, before it looks at the next. It raises nothing
of its own, and the caller may stop early.
"""


class RateLimit(Struct, frozen=True):
    """``weight`` units are allowed within any ``seconds``."""

    weight: int
    seconds: float


class Request(Struct, frozen=True):
    """
    One HTTP request.

    ``url`` has no query; ``params`` become one, in order. ``weight`` is the cost of the request against
    the host's ``limits``.
    """

    url: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    body: bytes | None = None
    weight: int = 1
    limits: tuple[RateLimit, ...] = ()

    def __repr__(self) -> str:
        """Omit query, headers and body, which may hold secrets."""
        return f"Request({self.method} {self.url})"


class Response(Struct, frozen=True):
    """One HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class AccessToken(Struct, frozen=True):
    """
    An access token, valid for ``lifetime_s``.

    ``renewed`` are credentials that replace those that it was fetched with.
    """

    text: str
    lifetime_s: float
    renewed: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Omit the token itself."""
        return f"AccessToken(for {self.lifetime_s:g} s)"
