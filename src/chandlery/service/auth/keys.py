"""
The keys that the service signs with.

There are always two or more: the one that signs, the next one, which is published long before it signs, and
former ones for as long as tokens signed with them are valid. So whoever keeps a copy of the published keys
can judge every token at any time.
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
"""How long a key signs."""
LEEWAY: Micros = 30 * SECOND
"""By how much the clocks of two machines may differ."""
_READ_AGAIN: Micros = 30 * SECOND
"""How old the copy of the keys may be; another process may have rotated them."""
_READ_AGAIN_FOR: Micros = SECOND
"""How old it may be for a key that it does not hold, whatever tokens strangers send."""
_TRIES = 5


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
    """
    The keys of the database, brought up to date as time goes by. ``kids`` gives names to new ones.

    All processes and tasks on one database have the same keys: who comes second takes those of who was first.
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
        """The id and the private key to sign with now."""
        await self._refresh()
        key = self._signing()
        return key.kid, _loaded(key)

    async def public(self, kid: str) -> ec.EllipticCurvePublicKey | None:
        """The public key of an id; ``None`` where there is none that is trusted now."""
        await self._refresh()
        if kid not in self._public:
            await self._refresh(_READ_AGAIN_FOR)
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
        async with self._turn:
            await self._read()
            await self._bring(advanced)  # so that no two keys sign from the same moment on
            await self._bring(rotated)
            return self._signing().kid

    def _signing(self) -> SigningKey:
        now = self._clock()
        return [each for each in self._keys if each.signs_from <= now][-1]

    async def _refresh(self, older_than: Micros = _READ_AGAIN) -> None:
        if self._is_current(older_than):  # nearly always; then nobody waits for a turn
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
        Have the keys that ``change`` makes of those that there are; of those of another process where it was first.

        Raises:
            StorageBusy: Others change them all the time.
        """
        for _ in range(_TRIES):
            due = change(self._keys, self._clock(), self._make)
            if due == self._keys:
                return
            await self._accounts.save_keys(self._keys, due)
            await self._read()
            if {*self._keys} == {*due}:
                return
        raise StorageBusy("other processes change the keys all the time; try again later")

    async def _read(self) -> None:
        self._take(await self._accounts.keys())
        self._read_at = self._clock()

    def _take(self, keys: list[SigningKey]) -> None:
        self._keys = keys
        self._public = {key.kid: self._public.get(key.kid) or _loaded(key).public_key() for key in keys}

    def _make(self, signs_from: Micros) -> SigningKey:
        return new_key(self._kids(), signs_from)

    @staticmethod
    def _make_none(signs_from: Micros) -> SigningKey:
        """In the place of a key that is not needed yet; to make one takes time."""
        return SigningKey("", "", signs_from)


def _loaded(key: SigningKey) -> ec.EllipticCurvePrivateKey:
    loaded = serialization.load_pem_private_key(key.private_pem.encode(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)  # noqa: S101  # we have made it
    return loaded
