"""Ctrl-C during a call of polars."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def uninterrupted(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """
    Decorate a function without side effects that calls polars, so that Ctrl-C does not end it.

    polars installs its own handler of SIGINT, besides Python's, and raises ``KeyboardInterrupt`` in each thread that is
    inside one of its calls. asyncio ends the event loop on it, whichever thread raised it. The reaction to Ctrl-C belongs to
    the handler of the process, so the function is called again, once for each signal. In a main thread
    with Python's default handler, ``KeyboardInterrupt`` is that reaction, and is raised.
    """

    @functools.wraps(function)
    def repeated(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        while True:
            try:
                return function(*args, **kwargs)
            except KeyboardInterrupt:
                if _is_reaction():
                    raise

    return repeated


def _is_reaction() -> bool:
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
