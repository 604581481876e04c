"""Tells the task that waits for a request what holds the request up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

from chandlery.core.errors import ChandleryError

Listener: TypeAlias = Callable[[ChandleryError], object]

_listener: ContextVar[Listener | None] = ContextVar("chandlery_hindrance", default=None)


@contextmanager
def told_to(listener: Listener) -> Iterator[None]:
    """Tell ``listener`` of each failed attempt and each long wait of the requests that are made inside."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(error: ChandleryError) -> None:
    """Tell whoever listens that a request waits, or is tried again, because of this."""
    if (listener := _listener.get()) is not None:
        listener(error)
