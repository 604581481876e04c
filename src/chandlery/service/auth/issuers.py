"""External token issuers, and their keys."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from msgspec import Struct

from chandlery.core.errors import ChandleryError, InvalidInput, InvalidToken, MalformedResponse, RequestTimeout
from chandlery.core.http import Request
from chandlery.core.time import DAY, MINUTE, SECOND, Clock, Micros
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.net.proxy import Proxies
from chandlery.service.auth.interfaces import SCOPES

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

_CURVES = {"ES256": "secp256r1", "ES384": "secp384r1"}
_RSA_BITS = range(2048, 8193)
ASYMMETRIC = frozenset({*_CURVES, "RS256", "RS384", "RS512", "PS256", "EdDSA"})
"""Signature algorithms accepted from external issuers; never a shared secret, never none."""
_FRESH: Micros = 10 * MINUTE
_PAUSE: Micros = 30 * SECOND
"""Minimum time between requests for the keys of an issuer, whatever tokens arrive."""
_TRUSTED: Micros = DAY
"""Maximum time that keys are trusted without being fetched again."""
_TIMEOUT_S = 5.0
_MOST_BYTES = 256 << 10
_MOST_KEYS = 100
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def key_client(limiter: RateLimiter | None = None, proxies: Proxies | None = None) -> HttpClient:
    """Return the HTTP client for keys: bounded in time and size, without redirects."""
    return HttpClient(
        limiter=limiter,
        proxies=proxies,
        max_concurrent=4,
        retry_count=0,
        timeout_s=_TIMEOUT_S,
        connect_timeout_s=_TIMEOUT_S,
        read_timeout_s=_TIMEOUT_S,
        max_bytes=_MOST_BYTES,
        max_redirects=0,
        max_wait_s=0.0,
    )


class Issuer(Struct, frozen=True, forbid_unknown_fields=True):
    """
    OpenID Connect provider whose tokens are trusted.

    ``scopes`` maps the provider's scopes to ours. ``jwks_url`` is the URL of its keys, https or on this machine.
    ``audience`` is the audience of its tokens for this service.
    """

    issuer: str
    jwks_url: str
    audience: str
    scopes: Mapping[str, Sequence[str]]
    algorithms: tuple[str, ...] = ("RS256", "ES256")

    def __post_init__(self) -> None:
        """Reject insecure settings."""
        if not self.issuer or not _is_safe(self.jwks_url):
            raise InvalidInput(f"{self.issuer!r}: jwks_url must be https, or http on this machine, not {self.jwks_url}")
        weak = set(self.algorithms) - ASYMMETRIC
        if weak or not self.algorithms:
            raise InvalidInput(
                f"{self.issuer}: algorithms {sorted(weak)} are not among {', '.join(sorted(ASYMMETRIC))}"
            )
        unknown = {scope for ours in self.scopes.values() for scope in ours} - set(SCOPES)
        if unknown:
            raise InvalidInput(f"{self.issuer}: {', '.join(sorted(unknown))} is not a scope; use {', '.join(SCOPES)}")

    def ours(self, theirs: str) -> frozenset[str]:
        """Map a text of the issuer's scopes to ours."""
        return frozenset(scope for each in theirs.split() for scope in self.scopes.get(each, ()))


class IssuerKeys:
    """Keys of one issuer, fetched on demand by one request at a time, and cached."""

    def __init__(self, issuer: Issuer, http: HttpClient, clock: Clock) -> None:
        self.issuer = issuer
        self._http = http
        self._clock = clock
        self._keys: dict[str, PublicKey] = {}
        self._asked_at: Micros | None = None
        self._named_at: Micros = 0
        self._failure: ChandleryError | None = None
        self._asking: asyncio.Task[None] | None = None

    async def key(self, kid: str, algorithm: str) -> PublicKey:
        """
        Return the public key of an id, which fits ``algorithm``.

        A known key is returned without waiting for a running fetch. No call waits longer than five seconds.

        Raises:
            InvalidToken: There is no such key, or the issuer cannot be reached.
        """
        if self._is_due(kid):
            self._asked_at = self._clock()
            self._asking = asyncio.create_task(self._ask(), name=f"chandlery keys of {self.issuer.issuer}")
            await asyncio.shield(self._asking)
        elif self._asking is not None and kid not in self._keys:
            await asyncio.shield(self._asking)
        found = self._keys.get(kid)
        if found is None and self._failure is not None:
            raise InvalidToken(f"the keys of {self.issuer.issuer} cannot be fetched now")
        if found is None:
            raise InvalidToken(f"the issuer {self.issuer.issuer} has no key {kid[:64]!r}")
        if not _fits(found, algorithm):
            raise InvalidToken(f"the key {kid[:64]!r} of {self.issuer.issuer} is not one for {algorithm[:64]!r}")
        return found

    def _is_due(self, kid: str) -> bool:
        if self._asking is not None:
            return False
        if self._asked_at is None:
            return True
        unsettled = kid not in self._keys or self._failure is not None
        return self._clock() - self._asked_at >= (_PAUSE if unsettled else _FRESH)

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                self._keys = await self._http.fetch(Request(self.issuer.jwks_url), public_keys)
        except TimeoutError:
            self._fail(RequestTimeout(f"no answer within {_TIMEOUT_S:g} s"))
        except ChandleryError as error:
            self._fail(error)
        else:
            self._named_at, self._failure = self._clock(), None
        finally:
            self._asking = None
            if self._clock() - self._named_at >= _TRUSTED:
                self._keys = {}

    def _fail(self, error: ChandleryError) -> None:
        """Record a failed fetch in the log only; the sender of a token must not see the issuer's response."""
        self._failure = error
        log.warning("the keys of %s cannot be fetched now: %s", self.issuer.issuer, error)


def public_keys(body: bytes) -> dict[str, PublicKey]:
    """
    Return the usable public keys of a JSON Web Key Set, by id.

    Raises:
        MalformedResponse: The document is not a key set, or has too many keys.
    """
    try:
        listed = msgspec.json.decode(body, type=dict[str, Any]).get("keys")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedResponse(f"not a JSON Web Key Set: {error}") from error
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise MalformedResponse(f"not a JSON Web Key Set of at most {_MOST_KEYS} keys")
    found = {}
    for each in listed:
        key = _public_key(each)
        if key is not None:
            found[each["kid"]] = key
    return found


def _public_key(given: Any) -> PublicKey | None:
    """Return the key if it can verify signatures, else ``None``; sets hold other keys, too."""
    if not isinstance(given, dict) or not isinstance(given.get("kid"), str) or given.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK.from_dict(given).key
    except (jwt.PyJWTError, ValueError, TypeError, LookupError, ArithmeticError):
        return None
    return key if isinstance(key, PublicKey) else None


def _fits(key: PublicKey, algorithm: str) -> bool:
    if algorithm in _CURVES:
        return isinstance(key, EllipticCurvePublicKey) and key.curve.name == _CURVES[algorithm]
    if algorithm == "EdDSA":
        return isinstance(key, Ed25519PublicKey | Ed448PublicKey)
    return algorithm in ASYMMETRIC and isinstance(key, RSAPublicKey) and key.key_size in _RSA_BITS


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    )
