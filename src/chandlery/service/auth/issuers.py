"""Other issuers whose tokens are trusted, and their keys."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import jwt
import msgspec
from msgspec import Struct

from chandlery.core.errors import ChandleryError, InvalidInput, InvalidToken, MalformedResponse
from chandlery.core.time import MINUTE, SECOND, Clock, Micros
from chandlery.core.wire import Request
from chandlery.net.http import HttpClient
from chandlery.service.auth.interfaces import SCOPES

ASYMMETRIC = frozenset({"ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "EdDSA"})
"""What a foreign token may be signed with; never with a secret that both sides share, never with nothing."""
_KEPT: Micros = 10 * MINUTE
_PAUSE: Micros = 30 * SECOND
"""How soon after asking an issuer for its keys it is asked again, whatever tokens come."""


class Issuer(Struct, frozen=True, forbid_unknown_fields=True):
    """
    An OpenID Connect provider whose tokens are trusted.

    ``scopes`` says which of ours each of its scopes means. Its keys are at ``jwks_url``. ``audience`` is
    what its tokens for us are for.
    """

    issuer: str
    jwks_url: str
    audience: str
    scopes: Mapping[str, Sequence[str]]
    algorithms: tuple[str, ...] = ("RS256", "ES256")

    def __post_init__(self) -> None:
        """Refuse what would let the wrong ones in."""
        weak = set(self.algorithms) - ASYMMETRIC
        if weak or not self.algorithms:
            raise InvalidInput(
                f"{self.issuer}: algorithms {sorted(weak)} are not among {', '.join(sorted(ASYMMETRIC))}"
            )
        unknown = {scope for ours in self.scopes.values() for scope in ours} - set(SCOPES)
        if unknown:
            raise InvalidInput(f"{self.issuer}: {', '.join(sorted(unknown))} is no scope; one of {', '.join(SCOPES)}")

    def ours(self, theirs: str) -> frozenset[str]:
        """Our scopes for a text of theirs."""
        return frozenset(scope for each in theirs.split() for scope in self.scopes.get(each, ()))


class IssuerKeys:
    """The keys of one issuer, fetched when they are needed and kept for a while."""

    def __init__(self, issuer: Issuer, http: HttpClient, clock: Clock) -> None:
        self.issuer = issuer
        self._http = http
        self._clock = clock
        self._keys: dict[str, Any] = {}
        self._asked_at: Micros | None = None
        self._asking = asyncio.Lock()

    async def key(self, kid: str) -> Any:
        """
        The public key of an id.

        Raises:
            InvalidToken: There is none, or the issuer cannot be asked.
        """
        async with self._asking:
            age = None if self._asked_at is None else self._clock() - self._asked_at
            if age is None or age >= _KEPT or (kid not in self._keys and age >= _PAUSE):
                await self._ask()
        if kid not in self._keys:
            raise InvalidToken(f"the issuer {self.issuer.issuer} has no key {kid!r}")
        return self._keys[kid]

    async def _ask(self) -> None:
        self._asked_at = self._clock()
        try:
            self._keys = await self._http.fetch(Request(self.issuer.jwks_url), _keys)
        except ChandleryError as error:
            if not self._keys:
                raise InvalidToken(f"the keys of {self.issuer.issuer} cannot be had now: {error}") from error


def _keys(body: bytes) -> dict[str, Any]:
    try:
        found = jwt.PyJWKSet.from_dict(msgspec.json.decode(body, type=dict[str, Any]))
    except (jwt.PyJWTError, msgspec.MsgspecError) as error:
        raise MalformedResponse(f"not a JSON Web Key Set: {error}") from error
    return {key.key_id: key.key for key in found.keys if key.key_id is not None}
