"""What is sent and what comes back, as values: adapters make them, ``net`` carries them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field


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


class Response(Struct, frozen=True):
    """One HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
