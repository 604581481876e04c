"""Helpers of adapters: spellings of intervals, commands, clocks."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chandlery.adapter.payload import LATEST, reader
from chandlery.core.errors import MalformedResponse
from chandlery.core.http import Response
from chandlery.core.interval import Interval
from chandlery.core.time import Micros, Unit, micros_of


def intervals_of(text: str) -> dict[Interval, str]:
    """Parse intervals with the exchange's spelling of each: ``1m=1 1h=60``, or ``1m 1h`` if it is the same."""
    pairs = (each.partition("=") for each in text.split())
    return {Interval(ours): theirs or ours for ours, _, theirs in pairs}


def command(content: Any) -> str:
    """Encode a message for a socket as JSON."""
    return msgspec.json.encode(content).decode()


@cache
def clock_reader(path: tuple[str, ...], unit: Unit) -> Callable[[bytes], Micros]:
    """Return a parser of the exchange's clock below the keys of ``path``, in ``unit``; it raises ``MalformedResponse``."""
    moment: Any = Annotated[int, Meta(ge=0, le=LATEST // unit.value)]
    read = reader(moment, *path, what="a server time")
    return lambda body: unit.micros(read(body))


def header_time(response: Response) -> Micros:
    """
    Parse the header ``Date``, in whole seconds.

    Raises:
        MalformedResponse: There is none.
    """
    text = response.headers.get("date", "")
    try:
        return micros_of(parsedate_to_datetime(text))
    except (ValueError, TypeError, OverflowError) as error:
        raise MalformedResponse(f"invalid time in the Date header: {text[:40]!r}") from error
