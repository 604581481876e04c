"""Authentication interface of the HTTP, WebSocket and MCP endpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod

from msgspec import Struct

from chandlery.core.errors import InsufficientScope, TokenExpired
from chandlery.core.time import Micros
from chandlery.net.clock import system_clock

READ, COLLECT, ADMIN = "read", "collect", "admin"
"""Scopes of a token: read data; start and stop collecting data; everything."""

LOOK_AGAIN_S = 0.3
"""Interval in seconds at which open connections check that their token is still trusted."""

SCOPES = {
    READ: "Read candles, funding rates, order books and the list of collected coins",
    COLLECT: "Start and stop collecting coins",
    ADMIN: "Everything",
}


class Subject(Struct, frozen=True):
    """Owner and scopes of a token; ``expires_at`` is ``None`` if it never expires."""

    id: str
    client_id: str = ""
    scopes: frozenset[str] = frozenset({READ})
    issuer: str = ""
    expires_at: Micros | None = None
    token_id: str | None = None

    def require(self, scope: str) -> None:
        """
        Check that the token allows ``scope``.

        Raises:
            InsufficientScope: The token lacks it.
        """
        if scope not in self.scopes and ADMIN not in self.scopes:
            has = " ".join(sorted(self.scopes)) or "nothing"
            raise InsufficientScope(f"this needs the scope {scope}; the token allows {has}", scope=scope)

    def still_valid(self, now: Micros) -> None:
        """
        Check that the token has not expired.

        Raises:
            TokenExpired: The token has expired.
        """
        if self.expires_at is not None and now >= self.expires_at:
            raise TokenExpired("the token has expired; get a new one")


class IAuthenticationModule(ABC):
    """Validator of tokens."""

    @abstractmethod
    async def validate_token(self, token: str | None) -> Subject:
        """
        Return the owner and scopes of a token.

        Raises:
            InvalidToken: The token is missing or invalid; ``TokenExpired`` if it has expired.
        """

    async def still_trusted(self, subject: Subject) -> None:
        """
        Check that a validated token is still trusted; for open connections. Costs next to nothing.

        By default, it is until it expires.

        Raises:
            InvalidToken: The token was revoked; ``TokenExpired`` if it has expired.
        """
        subject.still_valid(system_clock())


class EverybodyMay(IAuthenticationModule):
    """Module without authentication, only for a service that listens on the loopback address."""

    async def validate_token(self, token: str | None) -> Subject:
        """Return a subject with all scopes, whatever the token is."""
        return Subject("anonymous", "anonymous", frozenset(SCOPES), "nobody")

    async def still_trusted(self, subject: Subject) -> None:
        """Accept every subject."""
