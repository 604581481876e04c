"""Tells whether a stream has begun, what it is waiting for, and why it never will begin."""

from __future__ import annotations

from collections.abc import Callable

from chandlery.core.errors import ChandleryError
from chandlery.feed.recovery import is_final


class Startup:
    """The first part of a stream's life; ``on_begun`` is called at its end."""

    def __init__(self, on_begun: Callable[[], object]) -> None:
        self.began = False
        """Whether it is there, or has been, or never will be."""
        self.failure: ChandleryError | None = None
        """Why it never will be."""
        self.obstacle: Exception | None = None
        """The latest error that kept it from beginning; ``None`` where there was none."""
        self._on_begun = on_begun

    def fail(self, error: ChandleryError) -> None:
        """Note that it will never be there, whatever is tried."""
        self.failure = error
        self._begin()

    def note_delay(self, error: Exception, *, may_fail: bool = True) -> None:
        """Note an error that keeps it from beginning; with ``may_fail``, one that is final fails it."""
        self.obstacle = error
        if may_fail and isinstance(error, ChandleryError) and is_final(error, began=self.began):
            self.fail(error)

    def _begin(self) -> None:
        if not self.began:
            self.began = True
            self._on_begun()
