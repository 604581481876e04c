"""Tells the task that waits for a request what holds the request up; the log, where no task wants to know."""

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
    """Tell ``listener`` of each failed attempt and each long wait of the requests that are made inside."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report_delay(error: ChandleryError, more: str = "") -> None:
    """
    Tell whoever listens that a request waits, or is sent again, because of this; where nobody does, log it.

    ``more`` is which attempt failed, of a request that is sent again; the record's ``repeats`` says so too.
    """
    listener = _listener.get()
    if listener is None:
        log.warning("%s%s", error, more, extra={"repeats": bool(more)})
    else:
        listener(error)
