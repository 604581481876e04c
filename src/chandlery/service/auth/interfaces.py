"""What the doors of the service ask of whoever lets callers in."""

from __future__ import annotations

from abc import ABC, abstractmethod

from msgspec import Struct

from chandlery.core.errors import InsufficientScope, TokenExpired
from chandlery.core.time import Micros

READ, COLLECT, ADMIN = "read", "collect", "admin"
"""What a token may allow: to read data; to have data collected; everything."""

LOOK_AGAIN_S = 0.3
"""How often what stays open asks if its token is still trusted."""

SCOPES = {
    READ: "Read candles, funding rates, order books and what is collected",
    COLLECT: "Begin and end to collect coins",
    ADMIN: "Everything",
}


class Subject(Struct, frozen=True):
    """Who a token was given to, and what it allows; ``expires_at`` is ``None`` where it never ends."""

    id: str
    client_id: str
    scopes: frozenset[str]
    issuer: str
    expires_at: Micros | None = None
    token_id: str | None = None

    def require(self, scope: str) -> None:
        """
        Pass where the token allows ``scope``.

        Raises:
            InsufficientScope: It does not.
        """
        if scope not in self.scopes and ADMIN not in self.scopes:
            has = " ".join(sorted(self.scopes)) or "nothing"
            raise InsufficientScope(f"this needs the scope {scope}; the token allows {has}", scope=scope)

    def still_valid(self, now: Micros) -> None:
        """
        Pass while the token is valid.

        Raises:
            TokenExpired: It is not any more.
        """
        if self.expires_at is not None and now >= self.expires_at:
            raise TokenExpired("the token has expired; get a new one")


class IAuthenticationModule(ABC):
    """Judges tokens."""

    @abstractmethod
    async def validate_token(self, token: str | None) -> Subject:
        """
        Who the token was given to, and what it allows.

        Raises:
            InvalidToken: There is none, or it is not to be trusted; ``TokenExpired`` where it is too old.
        """

    @abstractmethod
    async def still_trusted(self, subject: Subject) -> None:
        """
        Pass while a token that was judged before is trusted; for what stays open. It costs next to nothing.

        Raises:
            InvalidToken: It was revoked since; ``TokenExpired`` where it has ended.
        """


class EverybodyMay(IAuthenticationModule):
    """Lets everybody do everything, which only a service that nobody else can reach may use."""

    async def validate_token(self, token: str | None) -> Subject:
        """Anybody, whatever the token is."""
        return Subject("anonymous", "anonymous", frozenset(SCOPES), "nobody")

    async def still_trusted(self, subject: Subject) -> None:
        """Everybody is."""
