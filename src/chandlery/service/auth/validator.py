"""The one judge of tokens, behind HTTP, WebSocket and MCP alike."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import isfinite
from typing import Any

import jwt

from chandlery.core.errors import InvalidToken, TokenExpired
from chandlery.core.time import SECOND, Clock, Micros
from chandlery.service.auth.interfaces import SCOPES, Subject
from chandlery.service.auth.issuers import IssuerKeys
from chandlery.service.auth.keys import ALGORITHM, LEEWAY, KeyRing
from chandlery.storage.accounts import AccountRepository

TOKEN_TYPE = "at+jwt"  # noqa: S105  # the type's name
_LONGEST_TOKEN = 8_192
_REQUIRED = ("exp", "iat", "iss", "aud", "sub")
_REVOKED_KEPT: Micros = 5 * SECOND
"""How long it takes at most until a token that was revoked elsewhere is refused."""


class Revoked:
    """Who, and which tokens, are let in no more: a copy of the database that is renewed every few seconds."""

    def __init__(self, accounts: AccountRepository, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock
        self._names: frozenset[str] = frozenset()
        self._read_at: Micros | None = None
        self._reading = asyncio.Lock()

    async def holds(self, *names: str) -> bool:
        """Whether one of the ids was revoked."""
        async with self._reading:
            now = self._clock()
            if self._read_at is None or now - self._read_at >= _REVOKED_KEPT:
                self._names = await self._accounts.revoked() | await self._accounts.revoked_tokens(now)
                self._read_at = now
        return not self._names.isdisjoint(names)

    def forget(self) -> None:
        """Read anew at the next question."""
        self._read_at = None


class TokenValidator:
    """
    Judges tokens: ours, and those of the issuers that are trusted.

    ``audiences`` are the names of this service; a token is for one of them. Ours are JSON Web Tokens of the
    type ``at+jwt`` (RFC 9068), signed with ES256.
    """

    def __init__(
        self,
        keys: KeyRing,
        revoked: Revoked,
        clock: Clock,
        *,
        issuer: str,
        audiences: Sequence[str],
        others: Sequence[IssuerKeys] = (),
    ) -> None:
        self.issuer = issuer
        self.audiences = tuple(audiences)
        self._keys = keys
        self._revoked = revoked
        self._clock = clock
        self._others = {each.issuer.issuer: each for each in others}

    async def validate_token(self, token: str | None) -> Subject:
        """
        Who the token was given to, and what it allows.

        Raises:
            InvalidToken: There is none, or it is not to be trusted; ``TokenExpired`` where it is too old.
        """
        if not token:
            raise InvalidToken("a token is needed: Authorization: Bearer ...")
        if len(token) > _LONGEST_TOKEN:
            raise InvalidToken("the token is too long to be one")
        try:
            head = jwt.get_unverified_header(token)
            said = jwt.decode(token, options={"verify_signature": False}).get("iss")
            other = self._others.get(said) if isinstance(said, str) else None
            content = await (self._ours(token, head) if other is None else _theirs(token, head, other))
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise InvalidToken(f"the token is not to be trusted: {error}") from None
        self._check_times(content)
        scopes = _text(content.get("scope", content.get("scp", "")))
        subject = Subject(
            id=_text(content["sub"]),
            client_id=_text(content.get("client_id", content.get("azp", content["sub"]))),
            scopes=frozenset(scopes.split()) & SCOPES.keys() if other is None else other.issuer.ours(scopes),
            issuer=_text(content["iss"]),
            expires_at=int(content["exp"]) * SECOND,
            token_id=_text(content["jti"]) if "jti" in content else None,
        )
        if other is None and await self._revoked.holds(subject.id, subject.client_id, subject.token_id or ""):
            raise InvalidToken("the token, or whom it was given to, was revoked")
        return subject

    async def _ours(self, token: str, head: dict[str, Any]) -> dict[str, Any]:
        if str(head.get("typ", "")).lower().removeprefix("application/") != TOKEN_TYPE:
            raise InvalidToken(f"the token is not of the type {TOKEN_TYPE}")
        if head.get("alg") != ALGORITHM:
            raise InvalidToken(f"the token is not signed with {ALGORITHM}")
        key = await self._keys.public(_text(head.get("kid", "")))
        if key is None:
            raise InvalidToken("the token is signed with a key that is not, or no longer, trusted")
        return _decoded(token, key, [ALGORITHM], self.issuer, list(self.audiences))

    def _check_times(self, content: dict[str, Any]) -> None:
        now = self._clock()
        for name in ("exp", "iat", "nbf"):
            if name in content and (isinstance(content[name], bool) or not isinstance(content[name], int | float)):
                raise InvalidToken(f"the token's {name} is not a number")
            if name in content and not isfinite(content[name]):
                raise InvalidToken(f"the token's {name} is no moment")
        if now >= content["exp"] * SECOND + LEEWAY:
            raise TokenExpired("the token has expired; get a new one")
        if max(content["iat"], content.get("nbf", 0)) * SECOND > now + LEEWAY:
            raise InvalidToken("the token is not valid yet")


async def _theirs(token: str, head: dict[str, Any], keys: IssuerKeys) -> dict[str, Any]:
    issuer = keys.issuer
    if head.get("alg") not in issuer.algorithms:
        raise InvalidToken(f"the token is not signed with one of {', '.join(issuer.algorithms)}")
    key = await keys.key(_text(head.get("kid", "")))
    return _decoded(token, key, list(issuer.algorithms), issuer.issuer, [issuer.audience])


def _decoded(token: str, key: Any, algorithms: list[str], issuer: str, audiences: list[str]) -> dict[str, Any]:
    # The times are judged by our clock, afterwards.
    options: Any = {"require": list(_REQUIRED), "verify_exp": False, "verify_nbf": False, "verify_iat": False}
    content: dict[str, Any] = jwt.decode(
        token, key, algorithms=algorithms, issuer=issuer, audience=audiences, options=options
    )
    return content


def _text(value: object) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return " ".join(value)
    if not isinstance(value, str):
        raise InvalidToken("the token holds a value of the wrong type")
    return value
