"""Secrets and their hashes."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from pwdlib.hashers.argon2 import Argon2Hasher

from chandlery.core.errors import Overloaded
from chandlery.service.auth.hashing import Secrets
from fixtures.service_accounts import quick_hashes


async def test_hashing_is_bounded():
    """Two at a time, some wait, and the others are asked to try again; nobody is called wrong for that."""
    hashes = quick_hashes()
    answers = await asyncio.gather(*(hashes.match("x", None) for _ in range(80)), return_exceptions=True)

    busy = [each for each in answers if isinstance(each, Overloaded)]
    assert 46 == len(busy)
    assert {1} == {each.retry_after_s for each in busy}
    assert [False] * 34 == [each for each in answers if each not in busy]


async def test_who_is_known_comes_first():
    """However many strangers wait; until those who are known are too many themselves."""
    hashes = Secrets(Argon2Hasher(time_cost=2, memory_cost=4096, parallelism=1))
    hashed = await hashes.hash("secret")
    ended = []

    async def one(*, known):
        answer = await hashes.match("secret", hashed, known=known)
        ended.append(known)
        return answer

    strangers = [asyncio.ensure_future(one(known=False)) for _ in range(40)]
    regulars = [asyncio.ensure_future(one(known=True)) for _ in range(40)]
    answers = await asyncio.gather(*strangers, *regulars, return_exceptions=True)

    assert [34, 32] == [sum(each is True for each in part) for part in (answers[:40], answers[40:])]
    assert 14 == sum(isinstance(each, Overloaded) for each in answers)
    # Two strangers were in it already, and one may end beside the last of those who are known.
    assert 32 == sum(ended[:36])


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=30))
@settings(max_examples=25, deadline=None)
async def test_no_turn_is_lost(steps):
    """Whoever goes away, while it waits or while it is computed, the next one's turn comes."""
    hashes = Secrets(Argon2Hasher(time_cost=1, memory_cost=1024, parallelism=1), most_waiting=30)
    tasks = []
    for known, rounds in steps:
        tasks.append(asyncio.ensure_future(hashes.match("x", None, known=known)))
        for _ in range(rounds):
            await asyncio.sleep(0)
        if rounds % 2:
            tasks[len(tasks) // 2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(5):
        while hashes._free < 2:
            await asyncio.sleep(0.001)
    assert [False] * 10 == await asyncio.gather(*(hashes.match("x", None) for _ in range(10)))


async def test_secrets_are_hashed_with_argon2(module):
    """Each differently, with the library's own recommended work."""
    hashes = Secrets()
    first, second = await asyncio.gather(hashes.hash("same"), hashes.hash("same"))

    assert first.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert first != second
    assert await hashes.match("same", first)
    assert not await hashes.match("other", first)
    assert not await hashes.match("same", None)
    client, secret = await module.create_client("bot", ["read"])
    assert secret not in client.secret_hash
    assert client.secret_hash.startswith("$argon2id$")
