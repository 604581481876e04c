"""Starts again what has failed, and bounds how often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from chandlery.core.errors import ChandleryError
from chandlery.feed.backoff import Pace

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())


Job = Callable[[], Coroutine[Any, Any, object]]
"""Begins something to await, at the time when it is awaited."""


class Waits:
    """
    Growing pauses between failures in a row.

    They begin anew after ``pace.stable_s`` without a failure. Moments are seconds of a clock that does not jump.
    """

    def __init__(self, pace: Pace, random: Callable[[], float]) -> None:
        self._pace = pace
        self._random = random
        self._delays = pace.delays(random)
        self._until = 0.0

    def next_s(self, now: float) -> float:
        """Return the pause after a failure at ``now``."""
        if now - self._until > self._pace.stable_s:
            self._delays = self._pace.delays(self._random)
        wait_s = next(self._delays)
        self._until = now + wait_s
        return wait_s

    def is_over(self, now: float) -> bool:
        """Say whether the last pause has passed, and begin the next one if so."""
        if now < self._until:
            return False
        self.next_s(now)
        return True


def described(error: BaseException) -> str:
    """Return the text of an error for events and logs, with its type where it is none of ours."""
    return str(error) if isinstance(error, ChandleryError) else f"{type(error).__name__}: {error}"


def is_final(error: BaseException, *, began: bool) -> bool:
    """
    Say whether trying again is pointless: the exchange has refused for good what has never worked.

    What has worked before (``began``) is tried again whatever is refused meanwhile, and so is what failed by a
    mistake of ours.
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
    Run until it returns or the task is cancelled, again after growing pauses whenever it raises.

    A ``CancelledError`` that nobody asked this task for is a failure of what runs inside.
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
        except Exception as error:  # noqa: BLE001  # no failure of ours may end more than what it is about
            failure = error
        else:
            return
        wait_s = waits.next_s(asyncio.get_running_loop().time())
        log.error("%s failed: %s; starting it again in %.1f s", name, described(failure), wait_s, exc_info=failure)
        if on_failure is not None:
            on_failure(failure)
        await sleep(wait_s)


async def isolated(job: Job, *, name: str) -> None:
    """Do it; log what it raises."""
    try:
        await job()
    except Exception:
        log.exception("%s failed", name)


def named_in(message: bytes, symbols: Iterable[str]) -> str | None:
    """Return the only one of the symbols that the message holds as a word; ``None`` where there is none, or several."""
    found = [each for each in symbols if holds(message, each.encode())]
    return found[0] if len(found) == 1 else None


def holds(message: bytes, word: bytes) -> bool:
    """Say whether the message holds it as a word."""
    at = message.find(word)
    while at >= 0:
        end = at + len(word)
        if not (message[at - 1 : at] if at else b"").isalnum() and not message[end : end + 1].isalnum():
            return True
        at = message.find(word, at + 1)
    return False
