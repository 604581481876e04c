"""
Evidence for each declaration of an adapter; the adapter's module states what was observed, where and when.

A declaration is an initial estimate: received data take precedence.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from chandlery.core.errors import UnknownName


class Standing(Enum):
    """The quality of the evidence, best first."""

    RECORDED = "recorded"
    """Observed on the wire, or true in a recording."""
    DOCUMENTED = "documented"
    """Documented by the exchange."""
    CONTRADICTED = "contradicted elsewhere"
    """Documented, but others observed, or use, something else."""
    UNVERIFIED = "unverified"


class Seen(Struct, frozen=True):
    """The standing of a declaration, and its evidence: a link, a date, a count."""

    standing: Standing
    note: str = ""


Standings: TypeAlias = Mapping[str, Seen]
"""Standings by the name of the declaration, one of ``DECLARATIONS``."""

DECLARATIONS = (
    "WebSocket address",
    "candles per request",
    "range of a request",
    "order of rows",
    "history depth",
    "alignment",
    "closed flag",
    "order book",
    "checksum",
    "streams per connection",
    "funding rates per request",
)


def standings(text: str, like: Standings | None = None) -> Standings:
    """
    Read lines ``<declaration>: <standing>, <note>``; what is not named is as in ``like``, or unverified.

    Raises:
        UnknownName: There is no such declaration.
    """
    found = dict(like or dict.fromkeys(DECLARATIONS, Seen(Standing.UNVERIFIED)))
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, seen = line.partition(": ")
        standing, _, note = seen.partition(", ")
        if name not in DECLARATIONS:
            raise UnknownName(f"{name!r} is not a declaration; use one of {', '.join(DECLARATIONS)}")
        found[name] = Seen(Standing(standing), note)
    return found


NOTHING = standings("")
