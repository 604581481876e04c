"""Answers that are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.service.historical.response_cache import ResponseCache


async def parts(*contents):
    """Contents one by one; an error in place of ``None``."""
    for each in contents:
        if each is None:
            raise RuntimeError("cut off")
        yield each


async def passed(answers, tag, *contents):
    """What comes out when an answer is passed through."""
    return [part async for part in answers.caching(tag, parts(*contents))]


def cached_of(answers, tag):
    """A kept answer as a whole."""
    found = answers.get(tag)
    return None if found is None else b"".join(found)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.binary(max_size=6)), max_size=20))
async def test_the_latest_that_fit(asked):
    """What is kept is what came, and never more than there is room for; the last one that fits is there."""
    answers = ResponseCache(10)
    for tag, content in asked:
        assert [content[:2], content[2:]] == await passed(answers, tag, content[:2], content[2:])
        assert content == cached_of(answers, tag)
        kept = {name: cached_of(answers, name) for name in "abcd"}
        assert sum(len(each or b"") for each in kept.values()) <= 10


async def test_blocks():
    """Parts of any size become blocks of one size, of memory of their own."""
    answers = ResponseCache()
    small, large = bytearray(b"a" * 1_000), bytearray(b"b" * (5 << 21))
    await passed(answers, "a", small, memoryview(large), b"c")
    expected = bytes(small + large + b"c")
    small[:], large[:] = b"", b""

    assert [1 << 22, 1 << 22, (1 << 21) + 1_001] == [len(each) for each in answers.get("a")]
    assert expected == cached_of(answers, "a")


async def test_too_large_ones_pass_and_are_not_kept():
    """Nor do they drive others out."""
    answers = ResponseCache(10)
    await passed(answers, "a", b"small")

    assert [b"x" * 8, b"y" * 8, b"z"] == await passed(answers, "b", b"x" * 8, b"y" * 8, b"z")
    assert (b"small", None) == (cached_of(answers, "a"), cached_of(answers, "b"))


async def test_many_at_once_share_the_room():
    """Those for which there is none pass and are not kept; who ends, however, makes room again."""
    answers = ResponseCache(10)
    first, second = (answers.caching(tag, parts(b"123456", b"78")) for tag in "ab")
    await anext(first)
    await anext(second)
    assert [b"78"] == [each async for each in second]
    assert [b"78"] == [each async for each in first]
    assert (b"12345678", None) == (cached_of(answers, "a"), cached_of(answers, "b"))
    left = answers.caching("c", parts(b"123456", b"78"))
    await anext(left)
    await left.aclose()
    await passed(answers, "d", b"1234567890")

    assert (None, b"1234567890") == (cached_of(answers, "c"), cached_of(answers, "d"))


async def test_what_was_asked_for_longest_ago_goes_first():
    """Looking at one counts as asking."""
    answers = ResponseCache(10)
    await passed(answers, "a", b"12345")
    await passed(answers, "b", b"12345")
    answers.get("a")
    await passed(answers, "c", b"12345")

    assert [True, False, True] == [answers.get(tag) is not None for tag in "abc"]


async def test_half_an_answer_is_none():
    """One that fails, or that nobody reads to its end, is not kept."""
    answers = ResponseCache(10)
    with pytest.raises(RuntimeError):
        await passed(answers, "a", b"1", None)
    half = answers.caching("b", parts(b"1", b"2"))
    await anext(half)
    await half.aclose()

    assert [None, None] == [answers.get(tag) for tag in "ab"]
