"""Reading ahead."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing

import anyio
import pytest

from chandlery.core.errors import StorageError
from chandlery.service.historical.prefetch import prefetch
from fixtures.waiting import until


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
    async for number in prefetch(numbers(read)):
        ahead = [*range(min(number + 2, 5))]
        await until(lambda ahead=ahead: len(read) >= len(ahead), 5)
        got.append(number)
        assert ahead == read

    assert [0, 1, 2, 3, 4] == got


async def test_a_failure_comes_in_its_place():
    """After what was read before it; nothing is lost."""
    items = prefetch(numbers([], until=2, fails=True))

    assert [0, 1] == [await anext(items), await anext(items)]
    with pytest.raises(StorageError, match="no more"):
        await anext(items)


async def test_who_stops_early_leaves_nothing_running():
    """What was read ahead is let go, a failure as well."""
    failed = asyncio.Event()

    async def fails():
        yield 0
        failed.set()
        raise StorageError("no more")

    items = prefetch(fails())
    assert 0 == await anext(items)
    await asyncio.wait_for(failed.wait(), 5)
    await items.aclose()

    assert {asyncio.current_task()} == asyncio.all_tasks()


async def test_a_scope_that_is_cancelled_ends_it_while_it_reads():
    """As that of an answer whose client goes: such a scope cancels each wait anew, also those that tidy up."""
    reading, tidied = asyncio.Event(), asyncio.Event()

    async def slow():
        try:
            yield 0
            reading.set()
            await asyncio.to_thread(threading.Event().wait, 0.05)
            yield 1
        finally:
            await asyncio.sleep(0.01)  # tidying up takes a while
            tidied.set()

    async with anyio.create_task_group() as tasks:

        async def use():
            async with aclosing(prefetch(slow())) as items:
                async for _ in items:
                    await asyncio.wait_for(reading.wait(), 5)
                    tasks.cancel_scope.cancel()
                    await asyncio.sleep(0)

        tasks.start_soon(use)

    assert tidied.is_set()
