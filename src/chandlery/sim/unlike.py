"""Contradictions: how the offline exchange is unlike what its documentation, and so the adapter, says."""

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
    behind_s: _Seconds = 0
    """REST has candles as they were that long ago."""
    anchor: Mapping[str, int] = {}
    """Seconds, whole minutes, by which the candles of an interval open later, e.g. ``{"3d": 86400}``."""
    memory: _Count | None = None
    """REST has only the latest that many candles of each series, the running one included."""
    clock_skew_s: float = 0
    """Seconds by which the exchange's clock is ahead of that of the server; negative where it is behind."""
    close_delay_s: _Seconds = 0
    """A candle calls itself closed only that long after its close, by REST and on sockets."""
    late_update_ms: _Milliseconds = 0
    """The trades of the last second of a candle count only that long after its close, by REST and on sockets."""
    extra_columns: _Places = 0
    """Rows of candles, and levels of live books, have that many places more."""
    fewer_columns: _Places = 0
    """Rows of candles lack their last places, that many."""
    refused: frozenset[str] = frozenset()
    """Symbols of the market that sockets refuse, though REST has them."""
    refuses_whole: bool = False
    """A subscription is refused as a whole, and so says the refusal, where one of its symbols is ``refused``."""
    closes_at: frozenset[str] = frozenset()
    """Symbols of the market whose subscription closes the connection without a word, though REST has them."""
    close_on_subscribe: _Count | None = None
    """That many connections are closed without a word when they subscribe; those after them are not."""
    symbols: tuple[str, ...] = ()
    """Symbols of the market, in any script, that are traded and listed besides the others."""
    lives: Mapping[str, tuple[tuple[datetime, datetime | None], ...]] = {}
    """From when until when a symbol trades, oldest first; one that has no life now is delisted, two lives are a reuse."""
    serves_delisted: bool = False
    """REST has the candles of delisted symbols, and those before a reuse, and does not refuse them as unknown."""
    funding_page_size: _Count | None = None
    """Answers hold at most that many funding rates, whatever is asked for."""
    funding_hours: tuple[tuple[datetime, _Hours], ...] = ()
    """From when on funding is due every how many hours, oldest first."""

    def __post_init__(self) -> None:
        """Refuse shifts that no grid can have, and moments that are out of order."""
        moments = [since for since, _ in self.funding_hours]
        spans = {symbol: [each for life in lives for each in life if each] for symbol, lives in self.lives.items()}
        for name, ordered in {"funding_hours": moments, **spans}.items():
            if any(each.tzinfo is None for each in ordered) or sorted(set(ordered)) != ordered:
                raise InvalidInput(f"{name}: moments have a time zone and ascend")
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
        """Whether rows have other places than documented."""
        return bool(self.extra_columns or self.fewer_columns)

    @property
    def unsettled(self) -> Micros:
        """How long after its close a candle still changes."""
        return max(self.late_update, self.close_delay)

    def terms(self, documented: Mapping[Interval, Grid]) -> Trading:
        """The terms on which the exchange trades, its grids being ``documented``."""
        shifts = {Interval(text): seconds * SECOND for text, seconds in self.anchor.items()}
        return Trading(
            grids={each: grid.shifted(shifts.get(each, 0)) for each, grid in documented.items()},
            symbols=self.symbols,
            lives={symbol: tuple(_span(*life) for life in lives) for symbol, lives in self.lives.items()},
            funding=tuple((to_micros(since), hours * HOUR) for since, hours in self.funding_hours),
        )


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
        raise InvalidInput(f"unlike of {exchange}: there is no {', '.join(unknown)}; there is {there_is}")
    try:
        return msgspec.convert(fields, Unlike)
    except (msgspec.ValidationError, InvalidInput) as error:
        raise InvalidInput(f"unlike of {exchange}: {error}") from error
