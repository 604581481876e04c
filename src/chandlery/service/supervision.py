"""Supervisor of the tasks that run while the service is open."""

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
    One task, restarted after a backoff whenever it ends: by an error, a cancellation, or a return.

    ``fault`` says why it is not running; ``None`` while it runs.
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
        """Stop the task for good, and wait until it has ended."""
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
        log.error("%s; restarting it in %.1f s", self.fault, wait_s, exc_info=failure)
        self._again = loop.call_later(wait_s, self._start_again)

    def _start_again(self) -> None:
        self.fault = None
        self._supervisor.restarts[self.name] += 1
        self._task = self._started()


class Supervisor:
    """
    Starts tasks, detects when one ends, and restarts it with exponential backoff.

    ``restarts`` counts restarts by task name. ``random`` returns numbers from 0 to 1.
    """

    def __init__(self, pace: Pace = PACE, random: Callable[[], float] = dice.random) -> None:
        self.restarts: Counter[str] = Counter()
        self._pace = pace
        self._random = random
        self._supervised: list[Supervised] = []

    @property
    def faults(self) -> list[str]:
        """Reasons of each task that should run and does not."""
        return [each.fault for each in self._supervised if each.fault is not None]

    def waits(self) -> Waits:
        """Backoff delays before restarts."""
        return Waits(self._pace, self._random)

    def start(self, name: str, run: Job) -> Supervised:
        """Start ``run`` as a named task, and restart it whenever it ends, until ``Supervised.end``."""
        supervised = Supervised(name, run, self)
        self._supervised.append(supervised)
        return supervised

    def forget(self, supervised: Supervised) -> None:
        """Stop reporting a task."""
        if supervised in self._supervised:
            self._supervised.remove(supervised)

    async def end(self) -> None:
        """Stop all running tasks."""
        await asyncio.gather(*(each.end() for each in tuple(self._supervised)))
