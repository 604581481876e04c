"""
Signing keys of the service.

There are always at least two: the signing key, and the next one, which is published long before it signs. Former keys
stay as long as tokens signed with them are valid. A client with a cached copy of the published keys can therefore
verify every token at any time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from msgspec import structs

from chandlery.core.errors import StorageBusy
from chandlery.core.time import DAY, MINUTE, SECOND, Clock, Micros
from chandlery.database.principals import PrincipalRepository, SigningKey

ALGORITHM = "ES256"
TOKEN_LIFETIME: Micros = 15 * MINUTE
ROTATION: Micros = 30 * DAY
"""Time that a key signs before rotation."""
LEEWAY: Micros = 30 * SECOND
"""Tolerated clock difference between two machines."""
_READ_AGAIN: Micros = 30 * SECOND
"""Maximum age of the cached keys; another process may have rotated them."""
_READ_AGAIN_FOR: Micros = SECOND
"""Minimum time between reloads for unknown key ids, whatever tokens arrive."""
_TRIES = 5


def _new_key(kid: str, signs_from: Micros) -> SigningKey:
    """Create a private key."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return SigningKey(kid, pem.decode(), signs_from)


def advanced(keys: Sequence[SigningKey], now: Micros, make: Callable[[Micros], SigningKey]) -> list[SigningKey]:
    """
    Return the keys due now: one that signs, one that will sign, and former ones that are still trusted.

    ``make`` creates a key that signs from a given time on.
    """
    kept = [key for key in keys if key.retires_at is None or key.retires_at > now]
    begun = [key for key in kept if key.signs_from <= now]
    coming = [key for key in kept if key.signs_from > now]
    if not begun:
        begun = [make(now)]
    if not coming:
        coming = [make(begun[-1].signs_from + ROTATION if begun[-1].signs_from + ROTATION > now else now + ROTATION)]
    former = [
        key
        if key.retires_at is not None
        else structs.replace(key, retires_at=after.signs_from + TOKEN_LIFETIME + LEEWAY)
        for key, after in pairwise(begun)
    ]
    return [*(key for key in former if key.retires_at is None or key.retires_at > now), begun[-1], *coming]


def rotated(keys: Sequence[SigningKey], now: Micros, make: Callable[[Micros], SigningKey]) -> list[SigningKey]:
    """Return the keys after the next one starts signing now."""
    current = advanced(keys, now, make)
    at = next(index for index, key in enumerate(current) if key.signs_from > now)
    signing = structs.replace(current[at], signs_from=now)
    return advanced([*current[:at], signing, *current[at + 1 :]], now, make)


class KeyRing:
    """
    Keys in the database, rotated on schedule. ``kids`` generates ids of new keys.

    All processes and tasks on one database share the same keys: the first writer wins, the others read its keys.
    """

    def __init__(self, accounts: PrincipalRepository, clock: Clock, kids: Callable[[], str]) -> None:
        self._accounts = accounts
        self._clock = clock
        self._kids = kids
        self._keys: list[SigningKey] = []
        self._read_at: Micros | None = None
        self._public: dict[str, ec.EllipticCurvePublicKey] = {}
        self._turn = asyncio.Lock()

    async def signing(self) -> tuple[str, ec.EllipticCurvePrivateKey]:
        """Return the id and private key of the current signing key."""
        await self._refresh()
        key = self._signing()
        return key.kid, _loaded(key)

    async def public(self, kid: str) -> ec.EllipticCurvePublicKey | None:
        """Return the public key of an id; ``None`` if none is trusted now."""
        await self._refresh()
        if kid not in self._public:
            await self._refresh(_READ_AGAIN_FOR)
        now = self._clock()
        trusted = any(each.kid == kid and (each.retires_at is None or each.retires_at > now) for each in self._keys)
        return self._public.get(kid) if trusted else None

    async def published(self) -> dict[str, Any]:
        """Return the public keys as a JSON Web Key Set."""
        await self._refresh()
        return {
            "keys": [
                {
                    **json.loads(ECAlgorithm.to_jwk(self._public[key.kid])),
                    "kid": key.kid,
                    "alg": ALGORITHM,
                    "use": "sig",
                }
                for key in self._keys
            ]
        }

    async def rotate(self) -> str:
        """Start signing with the next key now; return its id."""
        async with self._turn:
            await self._read()
            await self._bring(advanced)  # so that no two keys start signing at the same time
            await self._bring(rotated)
            return self._signing().kid

    def _signing(self) -> SigningKey:
        now = self._clock()
        return [each for each in self._keys if each.signs_from <= now][-1]

    async def _refresh(self, older_than: Micros = _READ_AGAIN) -> None:
        if self._is_current(older_than):  # the usual case, without waiting for the lock
            return
        async with self._turn:
            if self._is_current(older_than):
                return
            await self._read()
            await self._bring(advanced)

    def _is_current(self, older_than: Micros) -> bool:
        now = self._clock()
        read_lately = self._read_at is not None and now - self._read_at < older_than
        return read_lately and advanced(self._keys, now, self._make_none) == self._keys

    async def _bring(self, change: Callable[..., list[SigningKey]]) -> None:
        """
        Store the keys that ``change`` returns for the current ones; apply it again if another process wrote first.

        Raises:
            StorageBusy: Other processes keep changing the keys.
        """
        for _ in range(_TRIES):
            due = change(self._keys, self._clock(), self._make)
            if due == self._keys:
                return
            await self._accounts.save_keys(self._keys, due)
            await self._read()
            if {*self._keys} == {*due}:
                return
        raise StorageBusy("other processes keep changing the keys; try again later")

    async def _read(self) -> None:
        self._take(await self._accounts.keys())
        self._read_at = self._clock()

    def _take(self, keys: list[SigningKey]) -> None:
        self._keys = keys
        self._public = {key.kid: self._public.get(key.kid) or _loaded(key).public_key() for key in keys}

    def _make(self, signs_from: Micros) -> SigningKey:
        return _new_key(self._kids(), signs_from)

    @staticmethod
    def _make_none(signs_from: Micros) -> SigningKey:
        """Return a placeholder for a key that is not needed yet, since generating one takes time."""
        return SigningKey("", "", signs_from)


def _loaded(key: SigningKey) -> ec.EllipticCurvePrivateKey:
    loaded = serialization.load_pem_private_key(key.private_pem.encode(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)  # noqa: S101  # we have made it
    return loaded
