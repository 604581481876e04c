"""What is done for a caller that has left is cancelled, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from chandlery.core.errors import Closed
from chandlery.service.caller import Caller, caller_of


async def work(caller, ends):
    """Serve until it is cancelled."""
    try:
        async with caller.served():
            await asyncio.Event().wait()
    finally:
        ends.append(asyncio.current_task().cancelling())


async def test_what_is_served_to_one_that_leaves_is_cancelled():
    """In each task, once; it is an error of ours, and the task goes on uncancelled."""
    scope, ends = {}, []
    caller = Caller(scope)
    assert caller is caller_of(scope)
    tasks = [asyncio.create_task(work(caller, ends)) for _ in range(2)]
    await asyncio.sleep(0)
    caller.leave()
    caller.leave()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert caller.left
    assert [Closed, Closed] == [type(each) for each in results]
    assert [0, 0] == ends
    with pytest.raises(Closed, match="the client has disconnected"):
        await work(caller, ends)


async def test_a_cancellation_by_others_stays_one():
    """Also where the caller leaves at the same moment."""
    caller, ends = Caller({}), []
    for leaves in (False, True):
        task = asyncio.create_task(work(caller, ends))
        await asyncio.sleep(0)
        task.cancel()
        if leaves:
            caller.leave()
        await asyncio.wait({task})
        assert task.cancelled()


async def test_who_leaves_when_all_is_done_cancels_nothing():
    """As at the end of every connection."""
    caller = Caller({})
    async with caller.served():
        pass
    caller.leave()
    await asyncio.sleep(0)

    assert 0 == asyncio.current_task().cancelling()
