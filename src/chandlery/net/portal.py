"""The synchronous face of what is asynchronous: one event loop in one thread."""

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

    It may be used from several threads at once, and from within a running event loop, which it
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
        The result of a coroutine, or its error, with its own type and traceback.

        Whatever ends the wait early, ``KeyboardInterrupt`` for one, cancels the coroutine. Without
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
        """Cancel what runs, and end the thread; again is nothing."""
        with self._lock:
            thread, self._thread, self._closed = self._thread, None, True
        if thread is not None and thread is not threading.current_thread():
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(_CLOSE_TIMEOUT_S)

    def _started(self) -> asyncio.AbstractEventLoop:
        """The running loop; to be called with the lock held."""
        if self._closed:
            raise Closed("the portal is closed")
        if self._thread is threading.current_thread():
            raise InvalidInput("this runs in the portal already, where waiting would never end; await it instead")
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
        """Live until ``close``; the runner then cancels and awaits what is left."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        started.set()
        await self._stop.wait()

    def _forget_parent(self) -> None:
        """In the child of a fork, whose threads and locks are not those of the parent."""
        if self._thread is not None:
            # Closing the loop here would also unregister the parent's descriptors.
            _left_to_parent.append(self._loop)
        self._lock = threading.Lock()
        self._thread = None


def _require_going_on(error: BaseException) -> None:
    """Python starts no thread any more once it ends, which is before the functions of ``atexit`` are called."""
    if isinstance(error, RuntimeError) and "shutdown" in str(error):
        raise Closed("Python is ending and starts no threads any more; fetch before, not in atexit") from error


def _run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


_portals: weakref.WeakSet[Portal] = weakref.WeakSet()
_left_to_parent: list[asyncio.AbstractEventLoop] = []
_shared = Portal()


def shared_portal() -> Portal:
    """The portal that everything in this process shares; it is closed at exit."""
    return _shared


def _forget_parents() -> None:
    for portal in _portals:
        portal._forget_parent()  # noqa: SLF001  # the module's own


after_fork(_forget_parents)
atexit.register(_shared.close)
