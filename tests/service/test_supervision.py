"""Long-lived tasks: whatever ends one is noticed, and it is started again."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from chandlery.feed.backoff import Pace
from chandlery.service.supervision import Supervisor
from fixtures.waiting import until

QUICK = Pace(first_delay_s=0.4, longest_delay_s=0.4)
"""Long enough for a fault to be seen while the task does not run."""


async def fails():
    """End by a mistake."""
    raise ZeroDivisionError("a mistake")


async def is_cancelled():
    """End as if somebody else had cancelled it."""
    task = asyncio.current_task()
    task.cancel()
    await asyncio.sleep(60)


async def returns():
    """End by itself, as no long-lived task should."""


@pytest.mark.parametrize(
    ("ending", "why"),
    [(fails, "ZeroDivisionError: a mistake"), (is_cancelled, "it was cancelled"), (returns, "it returned")],
)
async def test_a_task_that_ends_is_a_fault_until_it_runs_again(ending, why):
    """However it ends; the second time it goes on."""
    begun = asyncio.Event()
    runs = []

    async def run():
        runs.append(1)
        if len(runs) == 1:
            await ending()
        else:
            begun.set()
            await asyncio.sleep(60)

    supervisor = Supervisor(QUICK, random=lambda: 1.0)
    supervised = supervisor.start("job", run)
    assert [] == supervisor.faults
    await until(lambda: supervisor.faults)
    assert [f"the task 'job' has ended: {why}"] == supervisor.faults
    async with asyncio.timeout(5):
        await begun.wait()
    assert [] == supervisor.faults
    assert {"job": 1} == supervisor.restarts
    await supervised.end()


async def test_what_is_ended_is_not_started_again():
    """Neither where it runs, nor where it waits to be started again; it is no fault."""
    runs = []

    async def run():
        runs.append(1)
        await (fails() if len(runs) == 1 else asyncio.sleep(60))

    supervisor = Supervisor(QUICK, random=lambda: 1.0)
    waiting = supervisor.start("waits", run)
    await until(lambda: waiting.fault)
    supervisor.start("runs", lambda: asyncio.sleep(60))
    await supervisor.end()
    assert [] == supervisor.faults
    later = asyncio.get_running_loop().time() + 3 * QUICK.first_delay_s
    await until(lambda: asyncio.get_running_loop().time() > later)

    assert [1] == runs
    assert {} == supervisor.restarts
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("chandlery ")]


async def test_the_pauses_grow():
    """A task that always fails at once is not started again and again without a pause."""
    runs = []

    async def run():
        runs.append(asyncio.get_running_loop().time())
        await fails()

    supervisor = Supervisor(Pace(first_delay_s=0.02, longest_delay_s=1.0), random=lambda: 1.0)
    supervisor.start("job", run)
    await until(lambda: len(runs) >= 5)
    await supervisor.end()

    pauses = [after - before for before, after in pairwise(runs)]
    assert pauses[3] > 6 * 0.02
