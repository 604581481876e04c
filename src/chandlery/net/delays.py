"""Report what delays a request to the task that waits for it, or to the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

from chandlery.core.errors import ChandleryError

Listener: TypeAlias = Callable[[ChandleryError], object]

LOGGER = "chandlery.net"

log = logging.getLogger(LOGGER)
log.addHandler(logging.NullHandler())

_listener: ContextVar[Listener | None] = ContextVar("chandlery_hindrance", default=None)


@contextmanager
def delays_to(listener: Listener) -> Iterator[None]:
    """Call ``listener`` for each failed attempt and each long wait of requests made inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report_delay(error: ChandleryError, more: str = "") -> None:
    """
    Report to the listener, or else the log, that a request waits or is retried because of ``error``.

    ``more`` describes the failed attempt of a request that is retried; the record's ``repeats`` is then true.
    """
    listener = _listener.get()
    if listener is None:
        log.warning("%s%s", error, more, extra={"repeats": bool(more)})
    else:
        listener(error)
