"""Principals of the service, signing keys, and revoked tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from chandlery.core.time import DAY, Micros
from chandlery.database.interfaces import IDatabaseConnection

OURS = ""
"""The issuer of this service's own tokens, independent of its URL."""
_FORGOTTEN: Micros = DAY
"""Time after its expiry at which a token's revocation is deleted, so that a clock that is set back does not undo it."""
_STAMP = """
    SELECT (SELECT count(revoked_at) FROM principals), id, issuer, token FROM revoked_tokens
    WHERE id = (SELECT max(id) FROM revoked_tokens) UNION ALL SELECT count(revoked_at), 0, '', '' FROM principals
"""
_SAVE_KEYS = """
    INSERT OR REPLACE INTO signing_keys
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?1)
    WHERE (SELECT json_group_array(json_array(kid, signs_from, retires_at))
           FROM (SELECT * FROM signing_keys ORDER BY signs_from, kid)) = ?2
"""
_PRINCIPAL = "id, kind, name, secret_hash, scopes, created_at, revoked_at"
_ADD = f"""
    INSERT INTO principals ({_PRINCIPAL}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
    WHERE NOT EXISTS (SELECT 1 FROM principals WHERE ?2 = 'user' AND kind = ?2 AND name = ?3 AND revoked_at IS NULL)
"""


class Principal(Struct, frozen=True):
    """
    A client, which is a program, or a user, who is a person.

    Users log in by ``name``, clients by ``id``.
    """

    id: str
    kind: str
    """``client`` or ``user``."""
    name: str
    secret_hash: str
    scopes: tuple[str, ...]
    created_at: Micros
    revoked_at: Micros | None = None

    def __repr__(self) -> str:
        """Omit the hash."""
        return f"Principal({self.kind} {self.id} {self.name!r})"


class SigningKey(Struct, frozen=True):
    """A private key: it signs from ``signs_from`` until the next one does, and is trusted until ``retires_at``."""

    kid: str
    private_pem: str
    signs_from: Micros
    retires_at: Micros | None = None

    def __repr__(self) -> str:
        """Omit the key."""
        return f"SigningKey({self.kid})"


class PrincipalRepository:
    """The tables ``principals``, ``signing_keys`` and ``revoked_tokens``."""

    def __init__(self, database: IDatabaseConnection) -> None:
        self._database = database

    async def add(self, principal: Principal) -> bool:
        """
        Store a new principal, unless an active user has the same name. Return whether it was stored.

        Raises:
            StorageError: There is one with that id.
        """
        row = (
            principal.id,
            principal.kind,
            principal.name,
            principal.secret_hash,
            " ".join(principal.scopes),
            principal.created_at,
            principal.revoked_at,
        )
        await self._database.write((_ADD, [row]))
        return await self.find(principal.id) is not None

    async def find(self, identifier: str) -> Principal | None:
        """Return the principal with that id."""
        rows = await self._database.read(f"SELECT {_PRINCIPAL} FROM principals WHERE id = ?", (identifier,))
        return _principal(rows[0]) if rows else None

    async def find_user(self, name: str) -> Principal | None:
        """Return the active user with that name."""
        sql = f"SELECT {_PRINCIPAL} FROM principals WHERE kind = 'user' AND name = ? AND revoked_at IS NULL"
        rows = await self._database.read(sql, (name,))
        return _principal(rows[0]) if rows else None

    async def all(self) -> list[Principal]:
        """Return all principals, oldest first."""
        rows = await self._database.read(f"SELECT {_PRINCIPAL} FROM principals ORDER BY created_at, id")
        return [_principal(row) for row in rows]

    async def revoke(self, identifier: str, at: Micros) -> bool:
        """Revoke a principal. Return whether there was an active one."""
        found = await self.find(identifier)
        if found is None or found.revoked_at is not None:
            return False
        await self._database.write(("UPDATE principals SET revoked_at = ? WHERE id = ?", [(at, identifier)]))
        return True

    async def revoke_token(self, issuer: str, token: str, expires_at: Micros, now: Micros) -> None:
        """Revoke a token of an issuer; revocations of tokens that expired a day ago are deleted."""
        sql = "INSERT INTO revoked_tokens (issuer, token, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        await self._database.write(
            ("DELETE FROM revoked_tokens WHERE expires_at < ?", [(now - _FORGOTTEN,)]),
            (sql, [(issuer, token, expires_at)]),
        )

    async def revocations_stamp(self) -> object:
        """Return a value that changes whenever an account or a token is revoked."""
        return (await self._database.read(_STAMP))[0]

    async def revoked(self) -> frozenset[str]:
        """Return the ids of the revoked principals."""
        rows: list[Any] = await self._database.read("SELECT id FROM principals WHERE revoked_at IS NOT NULL")
        return frozenset(row[0] for row in rows)

    async def revoked_tokens(self, since: Micros) -> frozenset[tuple[str, str]]:
        """Return the revoked tokens that expire at ``since`` or later, by issuer and id."""
        sql = "SELECT issuer, token FROM revoked_tokens WHERE expires_at >= ?"
        rows: list[Any] = await self._database.read(sql, (since,))
        return frozenset((issuer, token) for issuer, token in rows)

    async def keys(self) -> list[SigningKey]:
        """Return all keys, in the order in which they sign."""
        rows: list[Any] = await self._database.read(
            "SELECT kid, private_pem, signs_from, retires_at FROM signing_keys ORDER BY signs_from, kid"
        )
        return [SigningKey(*row) for row in rows]

    async def save_keys(self, before: Sequence[SigningKey], keys: Sequence[SigningKey]) -> None:
        """Replace the keys ``before`` by ``keys``; no effect if another process has changed them."""
        known = msgspec.json.encode([(each.kid, each.signs_from, each.retires_at) for each in before]).decode()
        rows = [(each.kid, each.private_pem, each.signs_from, each.retires_at) for each in keys]
        gone = [(each.kid,) for each in before if each.kid not in {key.kid for key in keys}]
        await self._database.write(
            (_SAVE_KEYS, [(msgspec.json.encode(rows).decode(), known)]),
            ("DELETE FROM signing_keys WHERE kid = ?", gone),
        )


def _principal(row: tuple[Any, ...]) -> Principal:
    identifier, kind, name, secret_hash, scopes, created_at, revoked_at = row
    return Principal(identifier, kind, name, secret_hash, tuple(scopes.split()), created_at, revoked_at)
