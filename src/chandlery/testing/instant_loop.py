"""An event loop in which waiting takes no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")


class _Instant(selectors.SelectSelector):
    """Selector that does not wait."""

    def __init__(self, loop: InstantLoop) -> None:
        super().__init__()
        self._of = loop

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready; else the time has passed."""
        ready = super().select(0 if timeout is not None else 1.0)
        if not ready and timeout:
            self._of.passed += timeout
        return ready


class InstantLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when there is nothing to do, and then at once."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.failures: list[str] = []
        """Errors that are not awaited, such as those of a task of the offline exchange, which then contradicts nothing."""
        super().__init__(_Instant(self))
        self.set_exception_handler(lambda _, context: self.failures.append(str(context)))

    def time(self) -> float:
        """Return seconds."""
        return self.passed

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Arguments], _T], *args: *_Arguments
    ) -> asyncio.Future[_T]:
        """Run it at once: while a thread worked, time would pass, more of it on a busy machine."""
        done: asyncio.Future[_T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # for whoever awaits it
            done.set_exception(error)
        return done
