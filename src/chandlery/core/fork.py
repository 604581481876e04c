"""Fork detection: a child has the memory of its parent, but none of its threads."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from chandlery.core.errors import ForkedProcess

_THREADS = Path("/proc/self/task")
_WORKERS = re.compile(r"polars-\d|async-executor")
"""The threads that polars starts at its first query. Those it starts on import are not needed in a child."""
_ADVICE = "start it with spawn, e.g. multiprocessing.get_context('spawn')"


class _Process:
    generation = 0
    """Number of forks between this process and the one that loaded this module."""
    without_polars = False
    """True if the threads of polars ran in a parent: using polars would then hang."""


def generation() -> int:
    """Return a number that differs between parent and child, but not between siblings."""
    return _Process.generation


def require_own(made_in: int, name: str) -> None:
    """
    Check that this is the process whose ``generation`` was ``made_in``.

    Raises:
        ForkedProcess: A parent has made the object called ``name``.
    """
    if made_in != _Process.generation:
        raise ForkedProcess(f"{name} was in use before this process was forked; create a new one here, or {_ADVICE}")


def require_polars() -> None:
    """
    Check that polars works.

    Raises:
        ForkedProcess: This process was forked after polars had been used, so that polars would hang.
    """
    if _Process.without_polars:
        raise ForkedProcess(
            f"this process was forked after polars was used, for example to read an archive; polars would hang in it: {_ADVICE}"
        )


def after_fork(act: Callable[[], None]) -> None:
    """Register ``act`` to be called in every child, before anything else there."""
    _acts.append(act)


def _look() -> None:
    """Check before a fork whether the threads of polars run; if that is unknown, whether it is loaded."""
    if _Process.without_polars or "polars" not in sys.modules:
        return
    try:
        names = [(each / "comm").read_text() for each in _THREADS.iterdir()]
    except OSError:
        names = ["polars-0"]
    _seen[:] = filter(_WORKERS.match, names)


def _enter() -> None:
    """Update the state in the child, and run the registered functions."""
    _Process.generation += 1
    _Process.without_polars = _Process.without_polars or bool(_seen)
    for act in _acts:
        act()


_seen: list[str] = []
_acts: list[Callable[[], None]] = []
os.register_at_fork(before=_look, after_in_child=_enter)
