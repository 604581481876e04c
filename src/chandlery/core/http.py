"""What is sent and what comes back, as values: adapters make them, ``net`` carries them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct, field

Shortcut: TypeAlias = Callable[[Sequence[bytes]], Iterator[int]]
"""
Takes the messages of a socket that are as nearly all are, in order, and faster than the general way.

It gives the places of those that it leaves alone, each before it looks at the next. It raises nothing
of its own, and whoever asks it may stop.
"""


class RateLimit(Struct, frozen=True):
    """``weight`` units may be used within any ``seconds``."""

    weight: int
    seconds: float


class Request(Struct, frozen=True):
    """
    One HTTP request.

    ``url`` has no query; ``params`` become one, in order. ``weight`` is what the request costs of
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
        """Without query, headers and body, which may hold secrets."""
        return f"Request({self.method} {self.url})"


class Response(Struct, frozen=True):
    """One HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class AccessToken(Struct, frozen=True):
    """
    What lets requests in for ``lifetime_s``.

    ``renewed`` are credentials that take the place of those that it was fetched with.
    """

    text: str
    lifetime_s: float
    renewed: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Nothing of the token itself."""
        return f"AccessToken(for {self.lifetime_s:g} s)"
