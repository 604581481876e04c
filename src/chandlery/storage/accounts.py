"""Who may use the service, the keys that it signs with, and the tokens that are not valid any more."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from chandlery.core.time import Micros
from chandlery.storage.interfaces import IDatabaseConnection

_PRINCIPAL = "id, kind, name, secret_hash, scopes, created_at, revoked_at"


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
        """Without the hash."""
        return f"Principal({self.kind} {self.id} {self.name!r})"


class SigningKey(Struct, frozen=True):
    """A private key: it signs from ``signs_from`` until the next one does, and is trusted until ``retires_at``."""

    kid: str
    private_pem: str
    signs_from: Micros
    retires_at: Micros | None = None

    def __repr__(self) -> str:
        """Without the key."""
        return f"SigningKey({self.kid})"


class AccountRepository:
    """The tables ``principals``, ``signing_keys`` and ``revoked_tokens``."""

    def __init__(self, database: IDatabaseConnection) -> None:
        self._database = database

    async def add(self, principal: Principal) -> None:
        """
        Keep a new one.

        Raises:
            StorageError: There is one of that id.
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
        await self._database.write((f"INSERT INTO principals ({_PRINCIPAL}) VALUES (?, ?, ?, ?, ?, ?, ?)", [row]))

    async def find(self, identifier: str) -> Principal | None:
        """The one of that id."""
        rows = await self._database.read(f"SELECT {_PRINCIPAL} FROM principals WHERE id = ?", (identifier,))
        return _principal(rows[0]) if rows else None

    async def find_user(self, name: str) -> Principal | None:
        """The user of that name who is not revoked."""
        sql = f"SELECT {_PRINCIPAL} FROM principals WHERE kind = 'user' AND name = ? AND revoked_at IS NULL"
        rows = await self._database.read(sql, (name,))
        return _principal(rows[0]) if rows else None

    async def all(self) -> list[Principal]:
        """All of them, oldest first."""
        rows = await self._database.read(f"SELECT {_PRINCIPAL} FROM principals ORDER BY created_at, id")
        return [_principal(row) for row in rows]

    async def revoke(self, identifier: str, at: Micros) -> bool:
        """Let it in no more; whether there was one to revoke."""
        found = await self.find(identifier)
        if found is None or found.revoked_at is not None:
            return False
        await self._database.write(("UPDATE principals SET revoked_at = ? WHERE id = ?", [(at, identifier)]))
        return True

    async def revoked(self) -> frozenset[str]:
        """The ids of those who are let in no more."""
        rows: list[Any] = await self._database.read("SELECT id FROM principals WHERE revoked_at IS NOT NULL")
        return frozenset(row[0] for row in rows)

    async def revoke_token(self, jti: str, expires_at: Micros, now: Micros) -> None:
        """Trust a token no more; those that have expired anyhow are forgotten."""
        await self._database.write(
            ("DELETE FROM revoked_tokens WHERE expires_at < ?", [(now,)]),
            ("INSERT OR REPLACE INTO revoked_tokens VALUES (?, ?)", [(jti, expires_at)]),
        )

    async def revoked_tokens(self, now: Micros) -> frozenset[str]:
        """The ids of tokens that are trusted no more."""
        rows: list[Any] = await self._database.read("SELECT jti FROM revoked_tokens WHERE expires_at >= ?", (now,))
        return frozenset(row[0] for row in rows)

    async def keys(self) -> list[SigningKey]:
        """All keys, in the order in which they sign."""
        rows: list[Any] = await self._database.read(
            "SELECT kid, private_pem, signs_from, retires_at FROM signing_keys ORDER BY signs_from, kid"
        )
        return [SigningKey(*row) for row in rows]

    async def save_keys(self, keys: list[SigningKey]) -> None:
        """Have these keys and no others."""
        rows = [(each.kid, each.private_pem, each.signs_from, each.retires_at) for each in keys]
        await self._database.write(
            ("DELETE FROM signing_keys WHERE ?", [(1,)]), ("INSERT INTO signing_keys VALUES (?, ?, ?, ?)", rows)
        )


def _principal(row: tuple[Any, ...]) -> Principal:
    identifier, kind, name, secret_hash, scopes, created_at, revoked_at = row
    return Principal(identifier, kind, name, secret_hash, tuple(scopes.split()), created_at, revoked_at)
