"""Retry of transient errors."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from typing import TypeVar

import stamina
from stamina import instrumentation

from chandlery.core.errors import ChandleryError
from chandlery.net.delays import report_delay

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 10.0
BACKOFF_JITTER_S = 0.5

_T = TypeVar("_T")

_ours: ContextVar[bool] = ContextVar("chandlery_retry", default=False)

# A library does not write to stderr unless the user configures logging; and our own line has more details.
logging.getLogger("stamina").addHandler(logging.NullHandler())
logging.getLogger("stamina").addFilter(lambda _: not _ours.get())


async def retried(
    attempt: Callable[[], Awaitable[_T]], on: Callable[[Exception], bool | float], retry_count: int
) -> _T:
    """
    Return the result of ``attempt``, with up to ``retry_count`` retries, exponential backoff and jitter.

    ``on`` returns for an error whether to retry, or after how many seconds. Each retry is passed to ``report_delay``,
    which logs it if there is no listener, and to the ``stamina`` hooks that others have set.
    """
    # The first attempt bypasses the retry machinery, which would double its cost.
    try:
        return await attempt()
    except ChandleryError as error:
        if on(error) is False:
            raise
        failure = error
    _silence_structlog()
    attempts = retry_count + 1

    def report(error: ChandleryError, each: stamina.Attempt) -> None:
        pause = on(error)
        if pause is not False and each.num < attempts:
            wait_s = each.next_wait if pause is True else pause
            report_delay(error, f"; attempt {each.num} of {attempts}, the next in {wait_s:.1f} s")

    token = _ours.set(True)
    try:
        async for each in stamina.retry_context(
            on=on,
            attempts=attempts,
            timeout=None,
            wait_initial=FIRST_BACKOFF_S,
            wait_max=LONGEST_BACKOFF_S,
            wait_jitter=BACKOFF_JITTER_S,
        ):
            with each:
                if each.num == 1:
                    report(failure, each)
                    raise failure
                try:
                    return await attempt()
                except ChandleryError as error:
                    report(error, each)
                    raise
    finally:
        _ours.reset(token)
    raise AssertionError  # pragma: no cover  # the last attempt returns or raises


def _silence_structlog() -> None:
    """Replace the structlog hook, if structlog is not configured: stamina would print, and a warning to the logger is enough."""
    if find_spec("structlog") is None or import_module("structlog").is_configured():
        return
    hooks = instrumentation.get_on_retry_hooks()
    if any(map(_is_structlog, hooks)):
        instrumentation.set_on_retry_hooks(
            [instrumentation.LoggingOnRetryHook if _is_structlog(hook) else hook for hook in hooks]
        )


def _is_structlog(hook: object) -> bool:
    return getattr(hook, "__module__", "") == "stamina.instrumentation._structlog"
