"""
The keys that the service signs with.

There are always two or more: the one that signs, the next one, which is published long before it signs, and
former ones for as long as tokens signed with them are valid. So whoever keeps a copy of the published keys
can judge every token at any time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from msgspec import structs

from chandlery.core.time import DAY, MINUTE, SECOND, Clock, Micros
from chandlery.storage.accounts import AccountRepository, SigningKey

ALGORITHM = "ES256"
TOKEN_LIFETIME: Micros = 15 * MINUTE
ROTATION: Micros = 30 * DAY
"""How long a key signs."""
LEEWAY: Micros = 30 * SECOND
"""By how much the clocks of two machines may differ."""
_READ_AGAIN: Micros = 30 * SECOND
"""How old the copy of the keys may be; another process may have rotated them."""


def new_key(kid: str, signs_from: Micros) -> SigningKey:
    """A new private key."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return SigningKey(kid, pem.decode(), signs_from)


def advanced(keys: Sequence[SigningKey], now: Micros, make: Callable[[Micros], SigningKey]) -> list[SigningKey]:
    """
    What the keys should be now: one that signs, one that will, and former ones that are still trusted.

    ``make`` gives a new key that signs from a moment on.
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
    """The keys where the next one signs from now on."""
    current = advanced(keys, now, make)
    at = next(index for index, key in enumerate(current) if key.signs_from > now)
    signing = structs.replace(current[at], signs_from=now)
    return advanced([*current[:at], signing, *current[at + 1 :]], now, make)


class KeyRing:
    """The keys of the database, brought up to date as time goes by. ``kids`` gives names to new ones."""

    def __init__(self, accounts: AccountRepository, clock: Clock, kids: Callable[[], str]) -> None:
        self._accounts = accounts
        self._clock = clock
        self._kids = kids
        self._keys: list[SigningKey] = []
        self._read_at: Micros | None = None
        self._public: dict[str, ec.EllipticCurvePublicKey] = {}

    async def signing(self) -> tuple[str, ec.EllipticCurvePrivateKey]:
        """The id and the private key to sign with now."""
        await self._refresh()
        now = self._clock()
        key = [each for each in self._keys if each.signs_from <= now][-1]
        return key.kid, _loaded(key)

    async def public(self, kid: str) -> ec.EllipticCurvePublicKey | None:
        """The public key of an id; ``None`` where there is none that is trusted now."""
        await self._refresh()
        if kid not in self._public:
            await self._refresh(again=self._read_at != self._clock())
        now = self._clock()
        trusted = any(each.kid == kid and (each.retires_at is None or each.retires_at > now) for each in self._keys)
        return self._public.get(kid) if trusted else None

    async def published(self) -> dict[str, Any]:
        """The public keys as a JSON Web Key Set."""
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
        """Sign with the next key from now on; its id."""
        await self._refresh(again=True)
        await self._save(rotated(self._keys, self._clock(), self._make))
        return (await self.signing())[0]

    async def _refresh(self, *, again: bool = False) -> None:
        now = self._clock()
        if again or self._read_at is None or now - self._read_at >= _READ_AGAIN:
            self._take(await self._accounts.keys())
            self._read_at = now
        due = advanced(self._keys, now, self._make)
        if due != self._keys:
            await self._save(due)

    async def _save(self, keys: list[SigningKey]) -> None:
        await self._accounts.save_keys(keys)
        self._take(keys)

    def _take(self, keys: list[SigningKey]) -> None:
        self._keys = keys
        self._public = {key.kid: self._public.get(key.kid) or _loaded(key).public_key() for key in keys}

    def _make(self, signs_from: Micros) -> SigningKey:
        return new_key(self._kids(), signs_from)


def _loaded(key: SigningKey) -> ec.EllipticCurvePrivateKey:
    loaded = serialization.load_pem_private_key(key.private_pem.encode(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)  # noqa: S101  # we have made it
    return loaded
