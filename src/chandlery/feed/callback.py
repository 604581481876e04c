"""Isolate the feed from exceptions of user callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chandlery.feed.events import Failed
from chandlery.feed.recovery import Waits, described


class CallbackErrors:
    """
    Count and report the exceptions of ``on_update``.

    The first one and, with exponential backoff, later ones go to the exception handler of the event loop,
    which logs them with a traceback unless the user has set another, and to ``publish`` as ``Failed``.
    """

    def __init__(self, name: str, waits: Waits, publish: Callable[[Failed], object]) -> None:
        self.count = 0
        self._name = name
        self._waits = waits
        self._publish = publish

    def __call__(self, error: Exception) -> None:
        """Count an error, and report it if the backoff allows."""
        self.count += 1
        loop = asyncio.get_running_loop()
        if self._waits.is_over(loop.time()):
            message = f"{self._name}: on_update failed, {self.count} times so far; the feed continues"
            loop.call_exception_handler({"message": message, "exception": error})
            self._publish(Failed(f"on_update: {described(error)}", self.count))
