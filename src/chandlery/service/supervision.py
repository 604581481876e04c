"""The owner of the tasks that a service runs for as long as it is open."""

from __future__ import annotations

import asyncio
import logging
import random as dice
from collections import Counter
from collections.abc import Callable

from chandlery.feed.backoff import PACE, Pace
from chandlery.feed.recovery import Job, Waits, described

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())


class Supervised:
    """
    One task, started again after a pause whenever it ends, whatever ends it: an error, a cancellation, or a return.

    ``fault`` is why it does not run now; ``None`` while it runs.
    """

    def __init__(self, name: str, run: Job, supervisor: Supervisor) -> None:
        self.name = name
        self.fault: str | None = None
        self._run = run
        self._supervisor = supervisor
        self._waits = supervisor.waits()
        self._ending = False
        self._again: asyncio.TimerHandle | None = None
        self._task = self._started()

    async def end(self) -> None:
        """End it for good; returns when it does not run any more."""
        self._ending = True
        self._supervisor.forget(self)
        if self._again is not None:
            self._again.cancel()
        self._task.cancel()
        await asyncio.wait({self._task})

    def _started(self) -> asyncio.Task[object]:
        task: asyncio.Task[object] = asyncio.create_task(self._run(), name=f"chandlery {self.name}")
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[object]) -> None:
        failure = None if task.cancelled() else task.exception()
        if self._ending:
            return
        why = "it was cancelled" if task.cancelled() else "it returned" if failure is None else described(failure)
        loop = asyncio.get_running_loop()
        wait_s = self._waits.next_s(loop.time())
        self.fault = f"the task {self.name!r} has ended: {why}"
        log.error("%s; starting it again in %.1f s", self.fault, wait_s, exc_info=failure)
        self._again = loop.call_later(wait_s, self._start_again)

    def _start_again(self) -> None:
        self.fault = None
        self._supervisor.restarts[self.name] += 1
        self._task = self._started()


class Supervisor:
    """
    Starts tasks, notices when one ends, and starts it again after growing pauses.

    ``restarts`` counts them by the name of the task. ``random`` gives numbers from 0 to 1.
    """

    def __init__(self, pace: Pace = PACE, random: Callable[[], float] = dice.random) -> None:
        self.restarts: Counter[str] = Counter()
        self._pace = pace
        self._random = random
        self._supervised: list[Supervised] = []

    @property
    def faults(self) -> list[str]:
        """Of each task that should run and does not, why."""
        return [each.fault for each in self._supervised if each.fault is not None]

    def waits(self) -> Waits:
        """The pauses before a task is started again."""
        return Waits(self._pace, self._random)

    def start(self, name: str, run: Job) -> Supervised:
        """Start ``run`` as a task of that name, now and whenever it has ended, until ``Supervised.end``."""
        supervised = Supervised(name, run, self)
        self._supervised.append(supervised)
        return supervised

    def forget(self, supervised: Supervised) -> None:
        """Report it no more."""
        if supervised in self._supervised:
            self._supervised.remove(supervised)

    async def end(self) -> None:
        """End all that still run."""
        await asyncio.gather(*(each.end() for each in tuple(self._supervised)))
