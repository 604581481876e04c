"""Contradictions: deviations of the offline exchange from its documentation, and so from the adapter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import HOUR, MINUTE, SECOND, Micros
from chandlery.sim.grids import Grid
from chandlery.sim.trading import ALWAYS, Trading

_Count: TypeAlias = Annotated[int, Meta(ge=1)]
_Places: TypeAlias = Annotated[int, Meta(ge=0, le=100)]
_Hours: TypeAlias = Annotated[int, Meta(ge=1, le=24)]
_Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=10**9)]
_Milliseconds: TypeAlias = Annotated[float, Meta(ge=0, le=10**9)]

EVERY = "*"
"""Name that matches all exchanges."""


class Unlike(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Contradictions of one exchange; without any field it behaves as documented.

    Raises:
        InvalidInput: A value is impossible.
    """

    page_size: _Count | None = None
    """Maximum number of candles in a REST response, whatever is requested."""
    empty_once: _Count | None = None
    """Page of candles by REST that is empty once; non-empty pages count from 1, per symbol and interval."""
    late_s: _Seconds = 0
    """Seconds after its close before REST has a candle; REST then has no running candle."""
    behind_s: _Seconds = 0
    """Seconds that the state of candles by REST lags behind."""
    anchor: Mapping[str, int] = {}
    """Seconds, in whole minutes, by which the candles of an interval open later, e.g. ``{"3d": 86400}``."""
    memory: _Count | None = None
    """Number of latest candles that REST has of each series, including the running one."""
    clock_skew_s: float = 0
    """Seconds that the exchange's clock is ahead of the server's; negative if behind."""
    close_delay_s: _Seconds = 0
    """Seconds after its close before a candle is marked closed, by REST and on WebSockets."""
    late_update_ms: _Milliseconds = 0
    """Delay after its close before a candle includes the trades of its last second, by REST and on WebSockets."""
    extra_columns: _Places = 0
    """Number of additional fields in rows of candles and levels of live books."""
    fewer_columns: _Places = 0
    """Number of last fields missing in rows of candles."""
    refused: frozenset[str] = frozenset()
    """Symbols of the market that WebSockets refuse, although REST has them."""
    refuses_whole: bool = False
    """True if a subscription with a ``refused`` symbol is refused entirely, and the refusal says so."""
    closes_at: frozenset[str] = frozenset()
    """Symbols of the market whose subscription closes the connection silently, although REST has them."""
    close_on_subscribe: _Count | None = None
    """Number of connections closed silently when they subscribe; later ones are not."""
    symbols: tuple[str, ...] = ()
    """Additional traded and listed symbols of the market, in any script."""
    lives: Mapping[str, tuple[tuple[datetime, datetime | None], ...]] = {}
    """Listing periods of a symbol, oldest first; a symbol without a current one is delisted, two periods are a reuse."""
    serves_delisted: bool = False
    """True if REST serves the candles of delisted symbols, and those before a reuse, instead of refusing them as unknown."""
    funding_page_size: _Count | None = None
    """Maximum number of funding rates in a response, whatever is requested."""
    funding_hours: tuple[tuple[datetime, _Hours], ...] = ()
    """Funding intervals in hours, each with its start, oldest first."""

    def __post_init__(self) -> None:
        """Refuse shifts that no grid can have, and times that are not ascending."""
        moments = [since for since, _ in self.funding_hours]
        spans = {symbol: [each for life in lives for each in life if each] for symbol, lives in self.lives.items()}
        for name, ordered in {"funding_hours": moments, **spans}.items():
            if any(each.tzinfo is None for each in ordered) or sorted(set(ordered)) != ordered:
                raise InvalidInput(f"{name}: times must have a time zone and ascend")
        for text, seconds in self.anchor.items():
            interval = Interval(text)
            if seconds * SECOND % MINUTE or not 0 < seconds * SECOND < interval.longest:
                raise InvalidInput(
                    f"anchor of {text}: {seconds} s; use whole minutes, more than 0 and less than the interval"
                )

    @property
    def late(self) -> Micros:
        """``late_s`` in microseconds."""
        return round(self.late_s * SECOND)

    @property
    def behind(self) -> Micros:
        """``behind_s`` in microseconds."""
        return round(self.behind_s * SECOND)

    @property
    def late_update(self) -> Micros:
        """``late_update_ms`` in microseconds."""
        return round(self.late_update_ms * 1000)

    @property
    def close_delay(self) -> Micros:
        """``close_delay_s`` in microseconds."""
        return round(self.close_delay_s * SECOND)

    @property
    def reshapes(self) -> bool:
        """True if rows have other fields than documented."""
        return bool(self.extra_columns or self.fewer_columns)

    @property
    def unsettled(self) -> Micros:
        """Time after its close in which a candle still changes."""
        return max(self.late_update, self.close_delay)

    def terms(self, documented: Mapping[Interval, Grid]) -> Trading:
        """Return the exchange's trading terms, given its ``documented`` grids."""
        shifts = {Interval(text): seconds * SECOND for text, seconds in self.anchor.items()}
        return Trading(
            grids={each: grid.shifted(shifts.get(each, 0)) for each, grid in documented.items()},
            symbols=self.symbols,
            lives={symbol: tuple(_span(*life) for life in lives) for symbol, lives in self.lives.items()},
            funding=tuple((to_micros(since), hours * HOUR) for since, hours in self.funding_hours),
        )


LIKE = Unlike()
"""Exchange without contradictions."""


def contradictions(given: Mapping[str, Unlike | Mapping[str, Any]], known: tuple[str, ...]) -> dict[str, Unlike]:
    """
    Return the contradictions of each exchange, where ``"*"`` applies to all ``known`` ones.

    Fields given for one exchange override those given for all.

    Raises:
        InvalidInput: A field does not exist, or has an invalid value.
        UnknownName: An exchange is not ``known``.
    """
    strangers = sorted(given.keys() - {*known, EVERY})
    if strangers:
        raise UnknownName(f"unlike: no offline exchange {', '.join(strangers)}; available: {EVERY}, {', '.join(known)}")
    every = _fields(given.get(EVERY, {}))
    return {each: _unlike(each, every | _fields(given.get(each, {}))) for each in known}


def _span(start: datetime, end: datetime | None) -> Span:
    return Span(to_micros(start), ALWAYS.end if end is None else to_micros(end))


def _fields(given: Unlike | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    return {name: value for name in given.__struct_fields__ if (value := getattr(given, name)) != getattr(LIKE, name)}


def _unlike(exchange: str, fields: Mapping[str, Any]) -> Unlike:
    unknown = sorted(fields.keys() - set(Unlike.__struct_fields__))
    if unknown:
        there_is = ", ".join(Unlike.__struct_fields__)
        raise InvalidInput(f"unlike of {exchange}: unknown: {', '.join(unknown)}; available: {there_is}")
    try:
        return msgspec.convert(fields, Unlike)
    except (msgspec.ValidationError, InvalidInput) as error:
        raise InvalidInput(f"unlike of {exchange}: {error}") from error
