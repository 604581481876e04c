"""Token validator shared by HTTP, WebSocket and MCP."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import jwt

from chandlery.core.errors import InvalidInput, InvalidToken, StorageError, TokenExpired
from chandlery.core.time import SECOND, Clock, Micros
from chandlery.database.principals import OURS, PrincipalRepository
from chandlery.service.auth.interfaces import SCOPES, Subject
from chandlery.service.auth.issuers import IssuerKeys
from chandlery.service.auth.keys import ALGORITHM, LEEWAY, KeyRing

TOKEN_TYPE = "at+jwt"  # noqa: S105  # the type's name
_LONGEST_TOKEN = 8_192
_REQUIRED = ("exp", "iat", "iss", "aud", "sub")
_LATEST_S = 253_402_300_800
"""The year 10000 in Unix seconds; a later time is an error."""
_REVOKED_FRESH: Micros = 3 * SECOND // 10
"""Maximum delay until a token revoked by another process is refused, plus the time of one read."""


class Revoked:
    """Revoked accounts and tokens: a copy of the database table, at most a third of a second old."""

    def __init__(self, accounts: PrincipalRepository, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock
        self._names: frozenset[str] = frozenset()
        self._tokens: frozenset[tuple[str, str]] = frozenset()
        self._stamp: object = None
        self._read_at: Micros | None = None
        self._reading = asyncio.Lock()

    async def holds_token(self, issuer: str, token: str) -> bool:
        """Return whether a token of an issuer was revoked; ``OURS`` is this service."""
        await self._follow()
        return (issuer, token) in self._tokens

    async def holds(self, *names: str) -> bool:
        """Return whether one of our accounts with those ids was revoked."""
        await self._follow()
        return not self._names.isdisjoint(names)

    def forget(self) -> None:
        """Discard the copy, so that the next check reads the database."""
        self._read_at = None

    async def _follow(self) -> None:
        """Refresh the copy at most every 0.3 s, whatever the number of requests."""
        if self._is_fresh():
            return
        async with self._reading:
            if self._is_fresh():
                return
            asked_at = self._clock()
            stamp = await self._accounts.revocations_stamp()
            if stamp != self._stamp:
                self._names = await self._accounts.revoked()
                self._tokens = await self._accounts.revoked_tokens(asked_at - LEEWAY)
            self._stamp, self._read_at = stamp, asked_at

    def _is_fresh(self) -> bool:
        return self._read_at is not None and 0 <= self._clock() - self._read_at < _REVOKED_FRESH


class TokenValidator:
    """
    Validator of our tokens, and those of trusted issuers.

    ``audiences`` are the URLs of this service; a token is for one of them. Our tokens are JSON Web Tokens of the type
    ``at+jwt`` (RFC 9068), signed with ES256.
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
        if issuer in self._others or len(self._others) != len(others):
            raise InvalidInput("other issuers must be distinct, and must not include this service")

    async def validate_token(self, token: str | None) -> Subject:
        """
        Return the owner and scopes of a token.

        Raises:
            InvalidToken: The token is missing or invalid; ``TokenExpired`` if it has expired.
        """
        if not token:
            raise InvalidToken("a token is needed: Authorization: Bearer ...")
        head, unjudged = parsed(token)
        said = unjudged.get("iss")
        other = self._others.get(said) if isinstance(said, str) else None
        content = await (self._ours(token, head) if other is None else _theirs(token, head, other))
        now = self._clock()
        ends = end_of(content)
        if now >= ends + LEEWAY:
            raise TokenExpired("the token has expired; get a new one")
        if max(_moment(content, "iat"), _moment(content, "nbf", 0)) * SECOND > now + LEEWAY:
            raise InvalidToken("the token is not valid yet")
        scopes = _text(content.get("scope", content.get("scp", "")))
        subject = Subject(
            id=_text(content["sub"]),
            client_id=_text(content.get("client_id", content.get("azp", content["sub"]))),
            scopes=frozenset(scopes.split()) & SCOPES.keys() if other is None else other.issuer.ours(scopes),
            issuer=_text(content["iss"]),
            expires_at=ends,
            token_id=id_of(token, content),
        )
        await self._refuse_revoked(subject)
        return subject

    async def still_trusted(self, subject: Subject) -> None:
        """
        Check that a validated token is still trusted.

        Raises:
            InvalidToken: The token was revoked; ``TokenExpired`` if it has expired.
        """
        subject.still_valid(self._clock())
        with suppress(StorageError):  # it is checked again soon; closing every open connection would not help
            await self._refuse_revoked(subject)

    def issuer_key(self, subject: Subject) -> str:
        """Return the storage key of a token's issuer, which survives a change of this service's URL."""
        return OURS if subject.issuer == self.issuer else subject.issuer

    async def _refuse_revoked(self, subject: Subject) -> None:
        issuer = self.issuer_key(subject)
        revoked = await self._revoked.holds_token(issuer, subject.token_id or "")
        if revoked or (issuer == OURS and await self._revoked.holds(subject.id, subject.client_id)):
            raise InvalidToken("the token, or its owner, was revoked")

    async def _ours(self, token: str, head: dict[str, Any]) -> dict[str, Any]:
        if str(head.get("typ", "")).lower().removeprefix("application/") != TOKEN_TYPE:
            raise InvalidToken(f"the token is not of the type {TOKEN_TYPE}")
        if head.get("alg") != ALGORITHM:
            raise InvalidToken(f"the token is not signed with {ALGORITHM}")
        key = await self._keys.public(_text(head.get("kid", "")))
        if key is None:
            raise InvalidToken("the token is signed with a key that is not, or no longer, trusted")
        return _decoded(token, key, [ALGORITHM], self.issuer, list(self.audiences))


def parsed(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    Return the header and claims of a token, without verifying it.

    Raises:
        InvalidToken: The text is not a token.
    """
    if len(token) > _LONGEST_TOKEN:
        raise InvalidToken("the token is too long")
    with _judging():
        both = jwt.decode_complete(token, options={"verify_signature": False})
    return both["header"], both["payload"]


def id_of(token: str, content: dict[str, Any]) -> str:
    """
    Return the id by which a token is revoked: its ``jti``, else its signed part, since signatures of it can differ.

    Raises:
        InvalidToken: The id is not a text.
    """
    if "jti" in content:
        return _text(content["jti"])
    return "sha256:" + hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()


def end_of(content: dict[str, Any]) -> Micros:
    """
    Return the expiry time of a token.

    Raises:
        InvalidToken: The token has none.
    """
    return int(_moment(content, "exp")) * SECOND


async def _theirs(token: str, head: dict[str, Any], keys: IssuerKeys) -> dict[str, Any]:
    issuer, algorithm = keys.issuer, head.get("alg")
    if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
        raise InvalidToken(f"the token is not signed with one of {', '.join(issuer.algorithms)}")
    key = await keys.key(_text(head.get("kid", "")), algorithm)
    return _decoded(token, key, [algorithm], issuer.issuer, [issuer.audience])


def _decoded(token: str, key: Any, algorithms: list[str], issuer: str, audiences: list[str]) -> dict[str, Any]:
    # The times are checked afterwards, with our clock.
    options: Any = {"require": list(_REQUIRED), "verify_exp": False, "verify_nbf": False, "verify_iat": False}
    with _judging():
        content: dict[str, Any] = jwt.decode(
            token, key, algorithms=algorithms, issuer=issuer, audience=audiences, options=options
        )
    return content


@contextmanager
def _judging() -> Iterator[None]:
    """Convert any parser error on untrusted input to ``InvalidToken``."""
    try:
        yield
    except (jwt.PyJWTError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        said = str(error).encode("ascii", "backslashreplace").decode()  # it may contain untrusted input
        raise InvalidToken(f"the token is invalid: {said[:200]}") from None


def _moment(content: dict[str, Any], name: str, missing: float | None = None) -> float:
    value = content.get(name, missing)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST_S:
        raise InvalidToken(f"the token's {name} is not a time")
    return value


def _text(value: object) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return " ".join(value)
    if not isinstance(value, str):
        raise InvalidToken("the token contains a value of the wrong type")
    if not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
        raise InvalidToken("the token contains text that is not Unicode")
    return value
