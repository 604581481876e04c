"""Run asynchronous code from synchronous code, on an event loop in a thread."""

from __future__ import annotations

import asyncio
import atexit
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

import uvloop

from chandlery.core.errors import Closed, InvalidInput, RequestTimeout
from chandlery.core.fork import after_fork

_T = TypeVar("_T")

_CLOSE_TIMEOUT_S = 5.0


class Portal:
    """
    An event loop in a daemon thread, started by the first ``run``, and again after a fork.

    It may be used from several threads concurrently, and from within a running event loop, which it
    blocks meanwhile.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._closed = False
        _portals.add(self)

    def run(self, coroutine: Coroutine[Any, Any, _T], timeout_s: float | None = None) -> _T:
        """
        Run a coroutine and return its result, or raise its error with its own type and traceback.

        An interruption of the wait, e.g. ``KeyboardInterrupt``, cancels the coroutine. Without
        ``timeout_s`` the coroutine's own time-outs are the bound.

        Raises:
            RequestTimeout: After ``timeout_s``.
            InvalidInput: When called from the portal's own thread, which would wait for itself.
            Closed: After ``close``.
        """
        try:
            with self._lock:
                future = asyncio.run_coroutine_threadsafe(coroutine, self._started())
        except BaseException as error:
            coroutine.close()
            _require_going_on(error)
            raise
        try:
            return future.result(timeout_s)
        except RuntimeError as error:
            _require_going_on(error)
            raise
        except CancelledError:
            if not self._closed:
                raise
            raise Closed("the portal was closed meanwhile") from None
        except TimeoutError:
            if not future.cancel():
                raise  # it is the coroutine's own
            raise RequestTimeout(f"not done within {timeout_s:g} s") from None
        except BaseException:
            future.cancel()
            raise
        finally:
            del future  # it holds the error, whose traceback holds this frame

    def close(self) -> None:
        """Cancel running coroutines and end the thread; idempotent."""
        with self._lock:
            thread, self._thread, self._closed = self._thread, None, True
        if thread is not None and thread is not threading.current_thread():
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(_CLOSE_TIMEOUT_S)

    def _started(self) -> asyncio.AbstractEventLoop:
        """Return the running loop; requires the lock."""
        if self._closed:
            raise Closed("the portal is closed")
        if self._thread is threading.current_thread():
            raise InvalidInput("this runs in the portal's thread, where waiting would never end; use await instead")
        if self._thread is None:
            started = threading.Event()
            self._thread = threading.Thread(
                target=_run, args=(self._serve(started),), name="chandlery-portal", daemon=True
            )
            self._thread.start()
            if not started.wait(_CLOSE_TIMEOUT_S):
                raise RequestTimeout("the portal's thread does not start")
        return self._loop

    async def _serve(self, started: threading.Event) -> None:
        """Run until ``close``; the runner then cancels and awaits the remaining tasks."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        started.set()
        await self._stop.wait()

    def _forget_parent(self) -> None:
        """Reset the state in the child of a fork, which has none of the parent's threads and locks."""
        if self._thread is not None:
            # Closing the loop here would also unregister the parent's descriptors.
            _of_parent_process.append(self._loop)
        self._lock = threading.Lock()
        self._thread = None


def _require_going_on(error: BaseException) -> None:
    """Raise ``Closed`` if Python is shutting down: it starts no threads then, even before ``atexit`` functions run."""
    if isinstance(error, RuntimeError) and "shutdown" in str(error):
        raise Closed("Python is shutting down and starts no threads; fetch earlier, not in atexit") from error


def _run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


_portals: weakref.WeakSet[Portal] = weakref.WeakSet()
_of_parent_process: list[asyncio.AbstractEventLoop] = []
_shared = Portal()


def shared_portal() -> Portal:
    """Return the portal that the whole process shares; it is closed at exit."""
    return _shared


def _forget_parents() -> None:
    for portal in _portals:
        portal._forget_parent()  # noqa: SLF001  # the module's own


after_fork(_forget_parents)
atexit.register(_shared.close)
