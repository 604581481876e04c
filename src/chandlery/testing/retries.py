"""Switch off the pauses between retries in tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import stamina


@contextmanager
def no_waiting() -> Iterator[None]:
    """
    Within the block nothing waits before it tries again, in any thread of this process.

    As many tries are made as otherwise. A ``Retry-After`` is not obeyed, so this is for servers of
    your own; the weight limits of a host still hold. It is a switch of ``stamina``, which it sets
    for all that the process retries with it.
    """
    with stamina.set_testing(True, attempts=sys.maxsize, cap=True):
        yield
