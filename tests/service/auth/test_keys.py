"""The keys that tokens are signed with."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.time import DAY, SECOND
from chandlery.database.principals import PrincipalRepository, SigningKey
from chandlery.database.sqlite import SqliteDatabase
from chandlery.net.clock import system_clock
from chandlery.service.auth.keys import LEEWAY, ROTATION, TOKEN_LIFETIME, KeyRing, advanced, rotated


def numbered():
    """Makes keys that need no arithmetic."""
    made = []

    def make(signs_from):
        made.append(signs_from)
        return SigningKey(f"k{len(made)}", "", signs_from)

    return make


STEPS = st.lists(st.tuples(st.sampled_from(["wait", "rotate"]), st.integers(0, 3 * ROTATION)), max_size=12)


@given(STEPS)
def test_there_is_always_one_that_signs_one_that_will_and_no_token_without_its_key(steps):
    """Whatever time goes by, and whenever they are rotated."""
    make, now, keys = numbered(), 1000, []
    signed = []  # kid, and until when a token that it has signed is valid
    for name, wait in steps:
        now += wait
        keys = (rotated if name == "rotate" else advanced)(keys, now, make)
        begun = [key for key in keys if key.signs_from <= now]
        coming = [key for key in keys if key.signs_from > now]

        assert begun
        assert coming
        assert [key.signs_from for key in keys] == sorted(key.signs_from for key in keys)
        assert all(key.retires_at is None or key.retires_at > now for key in keys)
        assert None is begun[-1].retires_at
        trusted = {key.kid for key in keys}
        assert {kid for kid, until in signed if until > now} <= trusted
        signed.append((begun[-1].kid, now + TOKEN_LIFETIME + LEEWAY))
        assert keys == advanced(keys, now, make)


def test_the_next_key_is_known_before_it_signs():
    """It was published a rotation earlier."""
    make = numbered()
    keys = advanced([], 0, make)
    later = advanced(keys, ROTATION + 1, make)

    assert ["k1", "k2"] == [key.kid for key in keys]
    assert ["k1", "k2", "k3"] == [key.kid for key in later]
    assert ["k2", "k3"] == [key.kid for key in advanced(later, 2 * ROTATION - DAY, make)]


async def test_a_ring_signs_and_publishes(database, clock):
    """What the signing key signs, the published key of its id verifies, also in another process's ring."""
    numbers = iter(range(100))
    rings = [KeyRing(PrincipalRepository(database), clock, lambda: f"k{next(numbers)}") for _ in range(2)]
    kid, key = await rings[0].signing()
    token = jwt.encode({"a": 1}, key, "ES256", headers={"kid": kid})
    published = jwt.PyJWKSet.from_dict(await rings[1].published())

    assert [kid, "k1"] == [each.key_id for each in published.keys]
    assert {"a": 1} == jwt.decode(token, published[kid].key, algorithms=["ES256"])
    assert {"kty", "crv", "x", "y", "kid", "alg", "use"} == set((await rings[0].published())["keys"][0])


async def test_rotation_overlaps(database, clock):
    """The next key signs at once, and the former one is trusted until the last of its tokens has expired."""
    numbers = iter(range(100))
    rings = [KeyRing(PrincipalRepository(database), clock, lambda: f"k{next(numbers)}") for _ in range(2)]
    assert ("k0", "k0") == ((await rings[0].signing())[0], (await rings[1].signing())[0])
    assert "k1" == await rings[0].rotate()
    assert None is not await rings[1].public("k1")
    clock.later(31)
    assert "k1" == (await rings[1].signing())[0]
    assert ["k0", "k1", "k2"] == [key["kid"] for key in (await rings[1].published())["keys"]]
    clock.later((TOKEN_LIFETIME + LEEWAY) / SECOND)
    for ring in rings:
        assert None is await ring.public("k0")
        assert ["k1", "k2"] == [key["kid"] for key in (await ring.published())["keys"]]


async def test_there_is_one_set_of_keys_from_the_first_second(tmp_path, clock):
    """Of processes and requests that begin at once on an empty folder: what each signs, all judge."""
    async with AsyncExitStack() as stack:
        databases = [await stack.enter_async_context(SqliteDatabase(tmp_path / "d")) for _ in range(4)]
        rings = [KeyRing(PrincipalRepository(each), clock, lambda: secrets.token_hex(8)) for each in databases]
        signed = await asyncio.gather(*(ring.signing() for ring in rings for _ in range(5)))

        assert 1 == len({kid for kid, _ in signed})
        assert 1 == len({key.private_numbers().private_value for _, key in signed})
        assert 1 == len({str(await ring.published()) for ring in rings})
        assert 2 == len(await PrincipalRepository(databases[0]).keys())


@pytest.mark.parametrize("number", range(8))
async def test_a_rotation_on_an_empty_folder(tmp_path, number):
    """The next key signs, whatever the keys are called, and the first one is a former one."""
    async with SqliteDatabase(tmp_path / "d") as database:
        kid = await KeyRing(PrincipalRepository(database), system_clock, lambda: secrets.token_hex(8)).rotate()
        first, signing, coming = await PrincipalRepository(database).keys()

    assert first.signs_from < signing.signs_from < coming.signs_from
    assert (kid, None, None) == (signing.kid, signing.retires_at, coming.retires_at)
    assert None is not first.retires_at


async def test_rotations_at_once(tmp_path, clock):
    """Each has its way, one after the other, and no key that has signed is lost."""
    async with AsyncExitStack() as stack:
        databases = [await stack.enter_async_context(SqliteDatabase(tmp_path / "d")) for _ in range(2)]
        rings = [KeyRing(PrincipalRepository(each), clock, lambda: secrets.token_hex(8)) for each in databases]
        before = (await rings[0].signing())[0]
        clock.later(1)
        rotated = await asyncio.gather(rings[0].rotate(), rings[1].rotate())
        clock.later(31)
        known = {key["kid"] for key in (await rings[0].published())["keys"]}

    assert {before, *rotated} <= known
