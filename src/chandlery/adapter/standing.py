"""
How well each declaration of an adapter is known; the adapter's module holds what was seen of it, where and when.

A declaration is a first guess: what arrives is believed before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from chandlery.core.errors import UnknownName


class Standing(Enum):
    """How a declaration is known, the best first."""

    RECORDED = "recorded"
    """It was seen on the wire, or holds in a recording."""
    DOCUMENTED = "documented"
    """The exchange says so."""
    CONTRADICTED = "contradicted elsewhere"
    """Documented, but others saw, or use, something else."""
    UNVERIFIED = "unverified"


class Seen(Struct, frozen=True):
    """The standing of a declaration, and by what: a link, a date, a count."""

    standing: Standing
    note: str = ""


Standings: TypeAlias = Mapping[str, Seen]
"""By the name of the declaration, one of ``DECLARATIONS``."""

DECLARATIONS = (
    "socket address",
    "candles a request",
    "bounds of a request",
    "order of a page",
    "memory",
    "grids",
    "closed flag",
    "order book",
    "checksum",
    "streams a connection",
    "funding rates a request",
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
            raise UnknownName(f"a standing is given of {name!r}; the declarations are {', '.join(DECLARATIONS)}")
        found[name] = Seen(Standing(standing), note)
    return found


NOTHING = standings("")
