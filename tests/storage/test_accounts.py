"""Accounts, keys and revoked tokens in the database."""

from __future__ import annotations

import pytest
from msgspec import structs

from chandlery.core.errors import StorageError
from chandlery.storage.accounts import AccountRepository, Principal, SigningKey
from chandlery.storage.sqlite import SqliteDatabase

CLIENT = Principal("client-1", "client", "bot", "hash-of-it", ("read", "collect"), 5)
USER = Principal("user-1", "user", "ada", "hash-of-hers", ("read",), 6)


@pytest.fixture
async def accounts(tmp_path):
    """Empty tables."""
    async with SqliteDatabase(tmp_path / "d.sqlite3") as database:
        yield AccountRepository(database)


async def test_principals(accounts):
    """Found by id, users by name too, and told in the order of their making."""
    for each in (USER, CLIENT):
        await accounts.add(each)

    assert [CLIENT, USER] == await accounts.all()
    assert CLIENT == await accounts.find("client-1")
    assert USER == await accounts.find_user("ada")
    assert None is await accounts.find_user("bot")
    assert None is await accounts.find("client-2")
    with pytest.raises(StorageError):
        await accounts.add(CLIENT)


async def test_revoking(accounts):
    """Once; the name may be given anew."""
    await accounts.add(USER)

    assert await accounts.revoke("user-1", 9)
    assert not await accounts.revoke("user-1", 10)
    assert not await accounts.revoke("user-2", 10)
    assert {"user-1"} == await accounts.revoked()
    assert structs.replace(USER, revoked_at=9) == await accounts.find("user-1")
    assert None is await accounts.find_user("ada")


async def test_revoked_tokens_are_forgotten_once_they_have_expired(accounts):
    """So that the table does not grow for ever."""
    await accounts.revoke_token("a", 10, 1)
    await accounts.revoke_token("b", 20, 11)

    assert {"b"} == await accounts.revoked_tokens(11)
    assert frozenset() == await accounts.revoked_tokens(21)
    assert {"b"} == await accounts.revoked_tokens(0)


async def test_keys(accounts):
    """Those that were saved last, in the order in which they sign."""
    first, second = SigningKey("a", "pem-a", 5, 9), SigningKey("b", "pem-b", 3)
    await accounts.save_keys([first])
    await accounts.save_keys([first, second])

    assert [second, first] == await accounts.keys()


def test_nothing_secret_is_printed():
    """Neither hashes nor private keys."""
    assert "hash" not in repr(CLIENT)
    assert "pem" not in repr(SigningKey("a", "pem-a", 5))
