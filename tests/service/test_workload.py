"""Heavy work: so much at once for an account, and for all."""

from __future__ import annotations

import asyncio
import gc

import pytest

from chandlery.core.errors import TooMuchAtOnce
from chandlery.service.auth.interfaces import READ, Subject
from chandlery.service.workload import Workload
from fixtures.waiting import until


def subject(name, issuer="here"):
    """An account."""
    return Subject(name, name, frozenset({READ}), issuer)


class Work:
    """Heavy requests of accounts, each of which lasts until it is let go."""

    def __init__(self, workload):
        self.workload = workload
        self.running = []
        self.tasks = []

    def begin(self, name, issuer="here"):
        """Ask for a turn."""
        self.tasks.append(asyncio.create_task(self._run(name, issuer)))
        return self.tasks[-1]

    async def _run(self, name, issuer):
        async with self.workload.turn(subject(name, issuer)):
            self.running.append(name)
            try:
                await asyncio.Event().wait()
            finally:
                self.running.remove(name)

    async def end(self):
        """Cancel all."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def settled(work, count):
    """Until so many run, and nobody else begins."""
    await until(lambda: len(work.running) == count)
    for _ in range(10):
        await asyncio.sleep(0)
    assert count == len(work.running) == work.workload.under_way


async def test_one_account_does_not_keep_another_waiting():
    """It waits for itself; when one of its requests ends, however it ends, the next has its turn."""
    work = Work(Workload(2))
    first = [work.begin("a") for _ in range(4)]
    work.begin("b")
    work.begin("a", "elsewhere")
    await settled(work, 4)
    assert 2 + 1 == work.running.count("a")
    first[3].cancel()
    first[0].cancel()
    await asyncio.wait({first[0], first[3]})
    await settled(work, 4)
    await work.end()

    assert 0 == work.workload.under_way
    first.clear()
    work.tasks.clear()
    await asyncio.sleep(0)  # so that the loop holds none of them either
    gc.collect()
    assert {} == dict(work.workload._accounts)


async def test_all_together_are_bounded():
    """Four times as much as one account."""
    work = Work(Workload(1))
    for number in range(6):
        work.begin(f"account {number}")
    await settled(work, 4)
    work.tasks[0].cancel()
    await asyncio.wait({work.tasks[0]})
    await settled(work, 4)
    await work.end()


async def test_what_waits_too_long_is_refused():
    """With the time after which it is worth another try; nothing is held for it."""
    work = Work(Workload(1, wait_s=0.05))
    work.begin("a")
    await settled(work, 1)
    with pytest.raises(TooMuchAtOnce, match=r"1 heavy requests at once: no slot was free within 0.05 s") as caught:
        await work.begin("a")
    assert 0.05 == caught.value.retry_after_s
    assert 1 == work.workload.refused
    await work.end()
    work.begin("a")
    await settled(work, 1)
    await work.end()


async def test_too_many_that_wait_are_refused_at_once():
    """Eight times as many as are done."""
    work = Work(Workload(1, wait_s=60))
    for _ in range(9):
        work.begin("a")
    await settled(work, 1)
    with pytest.raises(TooMuchAtOnce, match="8 are queued already"):
        await work.begin("a")
    await work.end()
