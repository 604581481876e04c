"""Clients and users: creation, login and revocation."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence

import jwt
from msgspec import Struct

from chandlery.core.errors import InvalidInput, InvalidToken, LoginFailed
from chandlery.core.time import SECOND, Clock, Micros
from chandlery.database.principals import OURS, Principal, PrincipalRepository
from chandlery.service.auth.hashing import Secrets
from chandlery.service.auth.interfaces import SCOPES, IAuthenticationModule, Subject
from chandlery.service.auth.keys import ALGORITHM, TOKEN_LIFETIME, KeyRing
from chandlery.service.auth.logins import LoginGuard
from chandlery.service.auth.validator import TOKEN_TYPE, Revoked, TokenValidator, end_of, id_of, parsed

_SHORTEST_PASSWORD = 12
_LONGEST_SECRET = 1_024
_LONGEST_NAME = 256


class Token(Struct, frozen=True):
    """Access token, and its scopes."""

    text: str
    scopes: tuple[str, ...]
    lifetime: Micros

    def __repr__(self) -> str:
        """Return a text without the token itself."""
        return f"Token({' '.join(self.scopes)})"


class AuthenticationModuleImpl(IAuthenticationModule):
    """
    The service's own accounts: identities, scopes, and tokens.

    ``audiences`` are the URLs of this service; the first is the default audience of tokens. ``ids`` generates ids,
    ``make_secret`` secrets. ``sleep`` waits for seconds.
    """

    def __init__(
        self,
        accounts: PrincipalRepository,
        keys: KeyRing,
        validator: TokenValidator,
        revoked: Revoked,
        clock: Clock,
        *,
        hashes: Secrets | None = None,
        ids: Callable[[], str] = lambda: secrets.token_hex(8),
        make_secret: Callable[[], str] = lambda: secrets.token_urlsafe(32),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.keys = keys
        self.validator = validator
        self._accounts = accounts
        self._revoked = revoked
        self._clock = clock
        self._logins = LoginGuard(clock, sleep=sleep)
        self._secrets = hashes or Secrets()
        self._ids = ids
        self._make_secret = make_secret

    async def validate_token(self, token: str | None) -> Subject:
        """Validate a token."""
        return await self.validator.validate_token(token)

    async def still_trusted(self, subject: Subject) -> None:
        """Check that a validated token is still trusted."""
        await self.validator.still_trusted(subject)

    async def create_client(self, name: str, scopes: Sequence[str]) -> tuple[Principal, str]:
        """
        Create a client and return it with its secret, which cannot be read again.

        Raises:
            InvalidInput: The name is empty, or a scope is unknown.
        """
        secret = self._make_secret()
        return await self._create("client", f"client-{self._ids()}", name, secret, scopes), secret

    async def create_user(self, name: str, password: str, scopes: Sequence[str]) -> Principal:
        """
        Create a user.

        Raises:
            InvalidInput: The name is empty or taken, the password too short, or a scope unknown.
        """
        if not _SHORTEST_PASSWORD <= len(password) <= _LONGEST_SECRET:
            raise InvalidInput(f"a password has {_SHORTEST_PASSWORD} to {_LONGEST_SECRET} characters")
        return await self._create("user", f"user-{self._ids()}", name, password, scopes)

    async def revoke(self, identifier: str) -> None:
        """
        Revoke a client or user and all of its tokens.

        Raises:
            InvalidInput: The id is unknown.
        """
        if not await self._accounts.revoke(identifier, self._clock()):
            raise InvalidInput(f"unknown or revoked client or user {identifier!r}; chandlery auth list shows them")
        self._revoked.forget()

    async def revoke_token(self, subject: Subject) -> None:
        """Revoke a validated token."""
        if subject.token_id is not None and subject.expires_at is not None:
            issuer = self.validator.issuer_key(subject)
            await self._accounts.revoke_token(issuer, subject.token_id, subject.expires_at, self._clock())
            self._revoked.forget()

    async def revoke_unjudged(self, token: str) -> str:
        """
        Revoke a token without validating it, whoever signed it, and return its id; needs neither URL nor issuer keys.

        Raises:
            InvalidToken: The text is not a token.
        """
        head, content = parsed(token)
        ours = isinstance(head.get("kid"), str) and await self.keys.public(head["kid"]) is not None
        issuer = OURS if ours else content.get("iss")
        if not isinstance(issuer, str):
            raise InvalidToken("the token has no subject")
        name = id_of(token, content)
        await self._accounts.revoke_token(issuer, name, end_of(content), self._clock())
        self._revoked.forget()
        return name

    async def login(
        self, kind: str, name: str, secret: str, *, scope: str = "", resource: str | None = None, address: str = ""
    ) -> Token:
        """
        Return a token for a client by id, or a user by name, with all its scopes or the requested subset.

        ``address`` is the caller's address, by which failures are counted.

        Raises:
            TooManyLogins: Too many logins failed; the error holds the delay.
            LoginFailed: The name or the secret is wrong.
            Overloaded: Too many logins are running.
            InvalidInput: A scope is unknown or not granted, or ``resource`` is not this service.
        """
        if len(name) > _LONGEST_NAME or len(secret) > _LONGEST_SECRET:
            raise LoginFailed(f"no {kind} of that name has that secret")
        found = await (self._accounts.find(name) if kind == "client" else self._accounts.find_user(name))
        if found is not None and (found.kind != kind or found.revoked_at is not None):
            found = None
        account, hashed = (None, None) if found is None else (found.id, found.secret_hash)
        async with self._logins.one_try(account, f"{kind} {name}", address) as known:
            matched = await self._secrets.match(secret, hashed, known=known)
            if found is None or not matched:
                raise LoginFailed(f"no {kind} of that name has that secret")
        return await self._issue(found, scope, resource)

    async def _issue(self, principal: Principal, scope: str, resource: str | None) -> Token:
        audiences = self.validator.audiences
        if resource is not None and resource.rstrip("/") not in audiences:
            raise InvalidInput(f"invalid_target: {resource!r} is not this service; it is {', '.join(audiences)}")
        asked = tuple(dict.fromkeys(scope.split())) or principal.scopes
        # Clients request all scopes of the metadata; as RFC 6749 (3.3) allows, they get those that they have.
        given = tuple(each for each in asked if each in principal.scopes)
        if not given or not set(asked) <= SCOPES.keys():
            more = " ".join(sorted(set(asked) - set(principal.scopes)))
            raise InvalidInput(f"invalid_scope: {more}; allowed are {' '.join(principal.scopes)}")
        kid, key = await self.keys.signing()
        now = self._clock()
        content = {
            "iss": self.validator.issuer,
            "aud": audiences[0] if resource is None else resource.rstrip("/"),
            "sub": principal.id,
            "client_id": principal.id,
            "iat": now // SECOND,
            "exp": (now + TOKEN_LIFETIME) // SECOND,
            "jti": self._ids() + self._ids(),
            "scope": " ".join(given),
        }
        text = jwt.encode(content, key, ALGORITHM, headers={"typ": TOKEN_TYPE, "kid": kid})
        return Token(text, given, TOKEN_LIFETIME)

    async def _create(self, kind: str, identifier: str, name: str, secret: str, scopes: Sequence[str]) -> Principal:
        if not name.strip() or len(name) > _LONGEST_NAME:
            raise InvalidInput(f"a {kind} needs a name of at most {_LONGEST_NAME} characters")
        unknown = set(scopes) - set(SCOPES)
        if unknown or not scopes:
            raise InvalidInput(f"scopes {sorted(unknown)} are unknown; use {', '.join(SCOPES)}")
        hashed = await self._secrets.hash(secret)
        principal = Principal(identifier, kind, name, hashed, tuple(dict.fromkeys(scopes)), self._clock())
        if not await self._accounts.add(principal):
            raise InvalidInput(f"there is a user {name!r} already")
        return principal
