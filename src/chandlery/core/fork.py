"""The only place that knows of forks: a child has the memory of its parent, and none of its threads."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from chandlery.core.errors import ForkedProcess

_THREADS = Path("/proc/self/task")
_WORKERS = re.compile(r"polars-\d|async-executor")
"""The threads that polars starts at its first query; to load it starts others, which are not missed."""
_ADVICE = "start it with spawn, e.g. multiprocessing.get_context('spawn')"


class _Process:
    generation = 0
    """How many forks lie between this process and the one that has loaded this module."""
    without_polars = False
    """Whether the threads of polars ran in a parent: whoever uses polars then waits for them for ever."""


def generation() -> int:
    """A number that is another one in each child; not to be asked for what must differ between siblings."""
    return _Process.generation


def require_own(made_in: int, name: str) -> None:
    """
    Pass in the process whose ``generation`` was ``made_in``.

    Raises:
        ForkedProcess: Its parent has made what is called ``name``.
    """
    if made_in != _Process.generation:
        raise ForkedProcess(f"{name} was in use before this process was forked; make a new one here, or {_ADVICE}")


def require_polars() -> None:
    """
    Pass where polars works.

    Raises:
        ForkedProcess: This process was forked after polars had been used, which would never answer here.
    """
    if _Process.without_polars:
        raise ForkedProcess(
            f"this process was forked after polars had been used, as by reading an archive; polars, which reads archives, never answers here: {_ADVICE}"
        )


def after_fork(act: Callable[[], None]) -> None:
    """Have ``act`` called in every child, before anything else there."""
    _acts.append(act)


def _look() -> None:
    """Before a fork, see whether the threads of polars run; where that cannot be seen, whether it is loaded."""
    if _Process.without_polars or "polars" not in sys.modules:
        return
    try:
        names = [(each / "comm").read_text() for each in _THREADS.iterdir()]
    except OSError:
        names = ["polars-0"]
    _seen[:] = filter(_WORKERS.match, names)


def _enter() -> None:
    """In the child."""
    _Process.generation += 1
    _Process.without_polars = _Process.without_polars or bool(_seen)
    for act in _acts:
        act()


_seen: list[str] = []
_acts: list[Callable[[], None]] = []
os.register_at_fork(before=_look, after_in_child=_enter)
