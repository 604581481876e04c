"""State of a stream's start: begun, waiting, or failed for good."""

from __future__ import annotations

from collections.abc import Callable

from chandlery.core.errors import ChandleryError
from chandlery.feed.recovery import is_final


class Startup:
    """The start phase of a stream; ``on_begun`` is called at its end."""

    def __init__(self, on_begun: Callable[[], object]) -> None:
        self.began = False
        """True once the stream has had its data, or has failed for good."""
        self.failure: ChandleryError | None = None
        """The error that rules it out for good."""
        self.obstacle: Exception | None = None
        """The latest error that delays the start; ``None`` if there was none."""
        self._on_begun = on_begun

    def fail(self, error: ChandleryError) -> None:
        """Fail for good."""
        self.failure = error
        self._begin()

    def note_delay(self, error: Exception, *, may_fail: bool = True) -> None:
        """Record an error that delays the start. With ``may_fail``, a final error fails the stream."""
        self.obstacle = error
        if may_fail and isinstance(error, ChandleryError) and is_final(error, began=self.began):
            self.fail(error)

    def _begin(self) -> None:
        if not self.began:
            self.began = True
            self._on_begun()
