"""Tests that a repository of principals, tokens and signing keys inherits; they need pytest and pytest-asyncio."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

import pytest
from msgspec import structs

from chandlery.core.errors import StorageError
from chandlery.core.time import DAY
from chandlery.database.principals import OURS, Principal, PrincipalRepository, SigningKey

_CLIENT = Principal("client-1", "client", "bot", "hash-of-it", ("read", "collect"), 5)
_USER = Principal("user-1", "user", "ada", "hash-of-hers", ("read",), 6)


@pytest.mark.asyncio
class PrincipalRepositoryTests(ABC):
    """Tests of a ``PrincipalRepository``; override the fixture ``principals``."""

    @pytest.fixture
    @abstractmethod
    def principals(self) -> PrincipalRepository:
        """Return an open repository without principals, tokens and keys."""

    async def test_principals_are_found(self, principals: PrincipalRepository) -> None:
        """They are found by id, users by name too, and listed oldest first; an id is used once."""
        for each in (_USER, _CLIENT):
            await principals.add(each)

        assert await principals.all() == [_CLIENT, _USER]
        assert await principals.find("client-1") == _CLIENT
        assert await principals.find_user("ada") == _USER
        assert await principals.find_user("bot") is None
        assert await principals.find("client-2") is None
        with pytest.raises(StorageError):
            await principals.add(_CLIENT)

    async def test_a_name_is_that_of_one_active_user(self, principals: PrincipalRepository) -> None:
        """Of concurrent ones a single one is stored; clients may share a name, and a revoked user releases it."""
        users = [structs.replace(_USER, id=f"user-{number}") for number in range(5)]
        assert sorted(await asyncio.gather(*map(principals.add, users))) == [False] * 4 + [True]
        (added,) = await principals.all()
        for each in ("c1", "c2"):
            assert await principals.add(structs.replace(_CLIENT, id=each, name="ada"))
        await principals.revoke(added.id, 9)
        assert await principals.add(structs.replace(_USER, id="another"))

    async def test_a_principal_is_revoked_once(self, principals: PrincipalRepository) -> None:
        """Its name is free afterwards."""
        await principals.add(_USER)

        assert await principals.revoke("user-1", 9)
        assert not await principals.revoke("user-1", 10)
        assert not await principals.revoke("user-2", 10)
        assert await principals.revoked() == {"user-1"}
        assert await principals.find("user-1") == structs.replace(_USER, revoked_at=9)
        assert await principals.find_user("ada") is None

    async def test_revoked_tokens_are_deleted_a_day_after_they_expired(self, principals: PrincipalRepository) -> None:
        """The table does not grow without bound, and a clock that is set back validates none of them."""
        await principals.revoke_token(OURS, "a", 10, 1)
        await principals.revoke_token(OURS, "b", 20, 11 + DAY)
        await principals.revoke_token("https://x", "b", 30, 11)

        assert await principals.revoked_tokens(0) == {(OURS, "b"), ("https://x", "b")}
        assert await principals.revoked_tokens(21) == {("https://x", "b")}

    async def test_the_stamp_differs_after_every_revocation(self, principals: PrincipalRepository) -> None:
        """It does so as well if the last row has the number of a deleted one."""
        await principals.add(_USER)
        await principals.add(_CLIENT)
        stamps = [await principals.revocations_stamp()]
        for work in (
            lambda: principals.revoke("user-1", 9),
            lambda: principals.revoke_token(OURS, "a", 30, 1),
            lambda: principals.revoke_token(OURS, "b", 20, 1),
            lambda: principals.revoke_token(OURS, "c", 40, 21 + DAY),
            lambda: principals.revoke("client-1", 10),
            lambda: principals.revoke_token(OURS, "d", 40, 41 + DAY),
        ):
            await work()
            stamps.append(await principals.revocations_stamp())
            assert await principals.revocations_stamp() == stamps[-1]

        assert len(set(stamps)) == len(stamps)

    async def test_signing_keys(self, principals: PrincipalRepository) -> None:
        """The keys that were saved last are returned, in the order in which they sign."""
        first, second = SigningKey("a", "pem-a", 5, 9), SigningKey("b", "pem-b", 3)
        await principals.save_keys([], [first])
        await principals.save_keys([first], [first, second])
        assert await principals.keys() == [second, first]
        later = structs.replace(second, retires_at=7)
        await principals.save_keys([second, first], [later])

        assert await principals.keys() == [later]

    async def test_signing_keys_that_others_have_changed(self, principals: PrincipalRepository) -> None:
        """They stay: the second of two writers changes none."""
        first, second = SigningKey("a", "pem-a", 5), SigningKey("b", "pem-b", 5)
        await principals.save_keys([], [first])
        await principals.save_keys([], [second])
        await principals.save_keys([structs.replace(first, retires_at=9)], [first, second])

        assert await principals.keys() == [first]
