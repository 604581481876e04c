"""Restart failed jobs with bounded frequency."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any

from chandlery.core.errors import ChandleryError
from chandlery.feed.backoff import Pace

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())


Job = Callable[[], Coroutine[Any, Any, object]]
"""Creates the coroutine of a job when called."""


class Waits:
    """
    Exponential backoff between consecutive failures.

    It resets after ``pace.stable_s`` without a failure. Times are seconds of a monotonic clock.
    """

    def __init__(self, pace: Pace, random: Callable[[], float]) -> None:
        self._pace = pace
        self._random = random
        self._delays: Iterator[float] | None = None
        self._until = 0.0

    def next_s(self, now: float) -> float:
        """Return the delay after a failure at ``now``."""
        if self._delays is None or now - self._until > self._pace.stable_s:
            self._delays = self._pace.delays(self._random)
        wait_s = next(self._delays)
        self._until = now + wait_s
        return wait_s

    def is_over(self, now: float) -> bool:
        """Return whether the last delay has passed, and begin the next one if so."""
        if now < self._until:
            return False
        self.next_s(now)
        return True


def described(error: BaseException) -> str:
    """Return the text of an error for events and logs, with its type if it is not one of our errors."""
    return str(error) if isinstance(error, ChandleryError) else f"{type(error).__name__}: {error}"


def is_final(error: BaseException, *, began: bool) -> bool:
    """
    Return whether a retry is pointless: the exchange refuses for good what has never worked.

    What has worked before (``began``) is retried whatever is refused meanwhile, and so are internal
    errors.
    """
    return isinstance(error, ChandleryError) and not error.retryable and not began


async def kept_up(
    run: Job,
    *,
    name: str,
    waits: Waits,
    sleep: Callable[[float], Awaitable[None]],
    on_failure: Callable[[BaseException], object] | None = None,
) -> None:
    """
    Run until it returns or the task is cancelled. Restart it with exponential backoff whenever it raises.

    A ``CancelledError`` without a request to cancel this task counts as a failure of ``run``.
    """
    while True:
        failure: BaseException
        try:
            await run()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            failure = error
        except Exception as error:  # noqa: BLE001  # an internal error must not end unrelated work
            failure = error
        else:
            return
        wait_s = waits.next_s(asyncio.get_running_loop().time())
        log.error("%s failed: %s; restarting it in %.1f s", name, described(failure), wait_s, exc_info=failure)
        if on_failure is not None:
            on_failure(failure)
        await sleep(wait_s)


async def isolated(job: Job, *, name: str) -> None:
    """Run a job and log its exception."""
    try:
        await job()
    except Exception:
        log.exception("%s failed", name)


def named_in(message: bytes, symbols: Iterable[str]) -> str | None:
    """Return the only symbol that the message contains as a word; ``None`` if there is none, or several."""
    found = [each for each in symbols if holds(message, each.encode())]
    return found[0] if len(found) == 1 else None


def holds(message: bytes, word: bytes) -> bool:
    """Return whether the message contains the word."""
    at = message.find(word)
    while at >= 0:
        end = at + len(word)
        if not (message[at - 1 : at] if at else b"").isalnum() and not message[end : end + 1].isalnum():
            return True
        at = message.find(word, at + 1)
    return False
