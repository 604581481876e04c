"""Contradictions: how the offline exchange is unlike what its documentation, and so the adapter, says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND, Micros
from chandlery.sim.grids import Grid

_Count: TypeAlias = Annotated[int, Meta(ge=1)]
_Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=10**9)]

EVERY = "*"
"""The name that means all exchanges."""


class Unlike(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The contradictions of one exchange; without any field it behaves as documented.

    Raises:
        InvalidInput: Where a value is impossible.
    """

    page_size: _Count | None = None
    """REST answers hold at most that many candles, whatever is asked for."""
    empty_once: _Count | None = None
    """That page of candles by REST comes empty, once; pages that hold candles count from 1, per symbol and interval."""
    late_s: _Seconds = 0
    """REST has a candle only that long after its close, and so none that is running."""
    anchor: Mapping[str, int] = {}
    """Seconds, whole minutes, by which the candles of an interval open later, e.g. ``{"3d": 86400}``."""
    memory: _Count | None = None
    """REST has only the latest that many candles of each series, the running one included."""
    clock_skew_s: float = 0
    """Seconds by which the exchange's clock is ahead of that of the server; negative where it is behind."""

    def __post_init__(self) -> None:
        """Refuse shifts that no grid can have."""
        for text, seconds in self.anchor.items():
            interval = Interval(text)
            if seconds * SECOND % MINUTE or not 0 < seconds * SECOND < interval.longest:
                raise InvalidInput(
                    f"anchor of {text}: {seconds} s; it takes whole minutes, more than none and less than the interval"
                )

    @property
    def late(self) -> Micros:
        """``late_s`` in microseconds."""
        return round(self.late_s * SECOND)

    def grids(self, documented: Mapping[Interval, Grid]) -> Mapping[Interval, Grid]:
        """The grids of the exchange."""
        shifts = {Interval(text): seconds * SECOND for text, seconds in self.anchor.items()}
        return {each: grid.shifted(shifts.get(each, 0)) for each, grid in documented.items()}


LIKE = Unlike()
"""An exchange that is as documented."""


def contradictions(given: Mapping[str, Unlike | Mapping[str, Any]], known: tuple[str, ...]) -> dict[str, Unlike]:
    """
    The contradictions of each exchange, ``"*"`` being those of all that are ``known``.

    What is given for one exchange takes the place, field by field, of what is given for all.

    Raises:
        InvalidInput: A field that does not exist, or a value that it cannot have.
        UnknownName: An exchange that is not ``known``.
    """
    strangers = sorted(given.keys() - {*known, EVERY})
    if strangers:
        raise UnknownName(f"unlike: no offline exchange {', '.join(strangers)}; there is {EVERY}, {', '.join(known)}")
    every = _fields(given.get(EVERY, {}))
    return {each: _unlike(each, every | _fields(given.get(each, {}))) for each in known}


def _fields(given: Unlike | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    return {name: value for name in given.__struct_fields__ if (value := getattr(given, name)) != getattr(LIKE, name)}


def _unlike(exchange: str, fields: Mapping[str, Any]) -> Unlike:
    unknown = sorted(fields.keys() - set(Unlike.__struct_fields__))
    if unknown:
        there_is = ", ".join(Unlike.__struct_fields__)
        raise InvalidInput(f"unlike of {exchange}: there is no {', '.join(unknown)}; there is {there_is}")
    try:
        return msgspec.convert(fields, Unlike)
    except (msgspec.ValidationError, InvalidInput) as error:
        raise InvalidInput(f"unlike of {exchange}: {error}") from error
