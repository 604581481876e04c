"""Reading ahead."""

from __future__ import annotations

import asyncio

import pytest

from chandlery.core.errors import StorageError
from chandlery.service.historical.ahead import read_ahead


async def numbers(read, *, until=5, fails=False):
    """Numbers, each noted when it is read."""
    for number in range(until):
        read.append(number)
        yield number
    if fails:
        raise StorageError("no more")


async def test_the_next_one_is_read_meanwhile():
    """All come in order, and one more than was asked for is read, not two."""
    read, got = [], []
    async for number in read_ahead(numbers(read)):
        await asyncio.sleep(0.01)
        got.append(number)
        assert list(range(min(number + 2, 5))) == read

    assert [0, 1, 2, 3, 4] == got


async def test_a_failure_comes_in_its_place():
    """After what was read before it; nothing is lost."""
    items = read_ahead(numbers([], until=2, fails=True))

    assert [0, 1] == [await anext(items), await anext(items)]
    with pytest.raises(StorageError, match="no more"):
        await anext(items)


async def test_who_stops_early_leaves_nothing_running():
    """What was read ahead is let go, a failure as well."""
    items = read_ahead(numbers([], until=1, fails=True))
    assert 0 == await anext(items)
    await asyncio.sleep(0.01)
    await items.aclose()

    assert {asyncio.current_task()} == asyncio.all_tasks()
