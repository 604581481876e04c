"""Accounts, keys and revoked tokens in the database."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from chandlery.core.errors import StorageError
from chandlery.core.time import DAY
from chandlery.database.principals import OURS, Principal, PrincipalRepository, SigningKey
from chandlery.database.sqlite import SqliteDatabase

CLIENT = Principal("client-1", "client", "bot", "hash-of-it", ("read", "collect"), 5)
USER = Principal("user-1", "user", "ada", "hash-of-hers", ("read",), 6)


@pytest.fixture
async def accounts(tmp_path):
    """Empty tables."""
    async with SqliteDatabase(tmp_path / "d.sqlite3") as database:
        yield PrincipalRepository(database)


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


async def test_a_name_is_one_users_at_a_time(accounts):
    """Also where two are made at once; clients may share one, and who is revoked leaves it."""
    users = [structs.replace(USER, id=f"user-{number}") for number in range(5)]
    assert [False] * 4 + [True] == sorted(await asyncio.gather(*map(accounts.add, users)))
    (added,) = await accounts.all()
    assert all([await accounts.add(structs.replace(CLIENT, id=each, name="ada")) for each in ("c1", "c2")])
    await accounts.revoke(added.id, 9)
    assert await accounts.add(structs.replace(USER, id="another"))


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
    """A day later, so that the table does not grow for ever, and a clock that is set back brings none of them back."""
    await accounts.revoke_token(OURS, "a", 10, 1)
    await accounts.revoke_token(OURS, "b", 20, 11 + DAY)
    await accounts.revoke_token("https://x", "b", 30, 11)

    assert {(OURS, "b"), ("https://x", "b")} == await accounts.revoked_tokens(0)
    assert {("https://x", "b")} == await accounts.revoked_tokens(21)


async def test_the_stamp_differs_after_every_revocation(accounts):
    """Also where the last row has taken the number of one that is gone."""
    await accounts.add(USER)
    await accounts.add(CLIENT)
    stamps = [await accounts.revocations_stamp()]
    for work in (
        lambda: accounts.revoke("user-1", 9),
        lambda: accounts.revoke_token(OURS, "a", 30, 1),
        lambda: accounts.revoke_token(OURS, "b", 20, 1),
        lambda: accounts.revoke_token(OURS, "c", 40, 21 + DAY),
        lambda: accounts.revoke("client-1", 10),
        lambda: accounts.revoke_token(OURS, "d", 40, 41 + DAY),
    ):
        await work()
        stamps.append(await accounts.revocations_stamp())
        assert stamps[-1] == await accounts.revocations_stamp()

    assert len(stamps) == len(set(stamps))


async def test_keys(accounts):
    """Those that were saved last, in the order in which they sign."""
    first, second = SigningKey("a", "pem-a", 5, 9), SigningKey("b", "pem-b", 3)
    await accounts.save_keys([], [first])
    await accounts.save_keys([first], [first, second])
    assert [second, first] == await accounts.keys()
    later = structs.replace(second, retires_at=7)
    await accounts.save_keys([second, first], [later])

    assert [later] == await accounts.keys()


async def test_keys_that_others_have_changed_stay(accounts):
    """Who was second changes nothing."""
    first, second = SigningKey("a", "pem-a", 5), SigningKey("b", "pem-b", 5)
    await accounts.save_keys([], [first])
    await accounts.save_keys([], [second])
    await accounts.save_keys([structs.replace(first, retires_at=9)], [first, second])

    assert [first] == await accounts.keys()


def test_nothing_secret_is_printed():
    """Neither hashes nor private keys."""
    assert "hash" not in repr(CLIENT)
    assert "pem" not in repr(SigningKey("a", "pem-a", 5))
