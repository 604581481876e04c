"""An event loop that measures each of its callbacks."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections import Counter


class MonitoredLoop(asyncio.SelectorEventLoop):
    """
    The event loop of the standard library, which notes how much processor time each callback takes.

    It is the time of the loop's thread, so neither waiting nor other threads count. Garbage collection is
    counted apart, since it comes when it comes.
    """

    def __init__(self):
        self.slowest = Counter()
        """The longest run in seconds by what ran."""
        self.calls = 0
        self.collected_s = 0.0
        self._collecting_since = 0.0
        super().__init__()

    def run_forever(self):
        """Run, and know when garbage is collected in this thread."""
        gc.callbacks.append(self._collected)
        try:
            super().run_forever()
        finally:
            gc.callbacks.remove(self._collected)

    def call_soon(self, callback, *args, context=None):
        """Measured."""
        return super().call_soon(self._measured, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        """Measured; ``call_later`` comes here too."""
        return super().call_at(when, self._measured, callback, *args, context=context)

    def call_soon_threadsafe(self, callback, *args, context=None):
        """Measured."""
        return super().call_soon_threadsafe(self._measured, callback, *args, context=context)

    def _add_reader(self, fd, callback, *args):
        return super()._add_reader(fd, self._measured, callback, *args)

    def _add_writer(self, fd, callback, *args):
        return super()._add_writer(fd, self._measured, callback, *args)

    def _measured(self, callback, *args):
        collected, began = self.collected_s, time.thread_time()
        try:
            callback(*args)
        finally:
            used_s = time.thread_time() - began - (self.collected_s - collected)
            self.calls += 1
            name = name_of(callback)
            self.slowest[name] = max(self.slowest[name], used_s)

    def _collected(self, phase, _):
        if threading.get_ident() != self._thread_id:
            return
        if phase == "start":
            self._collecting_since = time.thread_time()
        else:
            self.collected_s += time.thread_time() - self._collecting_since


def name_of(callback):
    """The coroutine of a task's step and what it waits for now, or the function."""
    task = getattr(callback, "__self__", None)
    inner = task.get_coro() if isinstance(task, asyncio.Task) else callback
    names = []
    while inner is not None:
        names.append(getattr(inner, "__qualname__", type(inner).__name__))
        inner = getattr(inner, "cr_await", None) or getattr(inner, "ag_await", None)
    return " > ".join([names[0], *names[-2:]] if len(names) > 3 else names)
