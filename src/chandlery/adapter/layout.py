"""The one candle parser: where each field sits in a row of an exchange."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import itemgetter
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from chandlery.adapter.payload import LATEST, reader
from chandlery.core.candle import CandleData
from chandlery.core.time import Micros, Unit

Place: TypeAlias = int | str
"""A place in an array, or a key of an object."""


class CandleColumns(Struct, frozen=True):
    """
    Candles by column, times in microseconds, oldest first where the exchange keeps its own order.

    ``None`` in place of a column means that the exchange does not send it.
    """

    open_time: Sequence[Micros]
    open: Sequence[float]
    high: Sequence[float]
    low: Sequence[float]
    close: Sequence[float]
    volume: Sequence[float]
    close_time: Sequence[Micros] | None = None
    quote_asset_volume: Sequence[float] | None = None
    count: Sequence[int] | None = None
    taker_buy_volume: Sequence[float] | None = None
    taker_buy_quote_volume: Sequence[float] | None = None


_TIMES = frozenset({"open_time", "close_time"})
_COUNT = Annotated[int, Meta(le=2**63 - 1)]


class CandleLayout(Struct, frozen=True):
    """
    Where each field sits in a row, which is an array of ``width`` places or an object with keys.

    ``None`` means that the row does not have the field. ``closed`` is the exchange's word on
    whether the candle is final. ``unit`` is that of the times, ``path`` the keys under which a
    body holds the array of rows, which begins with the latest where ``newest_first``.
    """

    open_time: Place
    open: Place
    high: Place
    low: Place
    close: Place
    volume: Place
    close_time: Place | None = None
    quote_asset_volume: Place | None = None
    count: Place | None = None
    taker_buy_volume: Place | None = None
    taker_buy_quote_volume: Place | None = None
    closed: Place | None = None
    unit: Unit = Unit.MILLIS
    width: int = 12
    path: tuple[str, ...] = ()
    newest_first: bool = False

    def places(self) -> dict[str, Place]:
        """Field name to place, of the fields that the row has."""
        fields = {name: getattr(self, name) for name in (*CandleColumns.__struct_fields__, "closed")}
        return {name: place for name, place in fields.items() if place is not None}

    def columns_of_json(self, body: bytes) -> CandleColumns:
        """
        The candles of a JSON body that holds an array of rows, oldest first.

        Raises:
            MalformedResponse: Where the body is not such an array.
        """
        return self.columns(_rows(self)(body))

    def candles_of_json(self, body: bytes) -> list[CandleData]:
        """The same one by one, in the order of the body; without the exchange's word none counts as closed."""
        return [self.candle(row) for row in _rows(self)(body)]

    def candle_of_json(self, body: bytes) -> CandleData:
        """The candle of a JSON body that is one row."""
        return self.candle(_row(self)(body))

    def columns(self, rows: Sequence[Any]) -> CandleColumns:
        """The candles of decoded rows, oldest first."""
        index = _index(self)
        by_place = list(zip(*map(_values(self), rows), strict=True)) or [()] * (max(index.values()) + 1)
        scale = self.unit.value
        step = -1 if self.newest_first else 1

        def column(name: str) -> Any:
            if name not in index:
                return None
            values = by_place[index[name]][::step]
            return [value * scale for value in values] if name in _TIMES else values

        return CandleColumns(*map(column, CandleColumns.__struct_fields__))

    def candle(self, row: Any) -> CandleData:
        """The candle of one decoded row."""
        open_time, *rest = _picked(self)((*_values(self)(row), None, False))
        return CandleData(open_time * self.unit.value, *rest)


@cache
def _index(layout: CandleLayout) -> dict[str, int]:
    """Where each field sits in a decoded row, objects being decoded in the order of the fields."""
    places = layout.places()
    if isinstance(layout.open_time, str):
        return {name: index for index, name in enumerate(places)}
    return {name: int(place) for name, place in places.items()}


@cache
def _values(layout: CandleLayout) -> Callable[[Any], tuple[Any, ...]]:
    """What makes a tuple of a decoded row."""
    return msgspec.structs.astuple if isinstance(layout.open_time, str) else tuple


@cache
def _picked(layout: CandleLayout) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """What takes a candle's fields out of a row that ends in None and False, for those that it lacks."""
    index = _index(layout)
    width = len(index) if isinstance(layout.open_time, str) else layout.width
    lacking = {"closed": width + 1}
    return itemgetter(*(index.get(name, lacking.get(name, width)) for name in CandleData.__struct_fields__))


@cache
def _row_type(layout: CandleLayout) -> Any:
    """What turns number strings into numbers in C."""
    moment = Annotated[int, Meta(ge=0, le=LATEST // layout.unit.value)]

    def kind(name: str) -> Any:
        return moment if name in _TIMES else _COUNT if name == "count" else bool if name == "closed" else float

    places = layout.places()
    if isinstance(layout.open_time, str):
        fields = [(name, kind(name)) for name in places]
        return msgspec.defstruct("Row", fields, rename={name: str(place) for name, place in places.items()})
    types: list[Any] = [Any] * layout.width
    for name, place in places.items():
        types[int(place)] = kind(name)
    return tuple[*types]  # type: ignore[valid-type]  # built at run time


@cache
def _rows(layout: CandleLayout) -> Callable[[bytes], Sequence[Any]]:
    rows: Any = list[_row_type(layout)]  # type: ignore[misc]  # built at run time
    return reader(rows, *layout.path, what="an array of candle rows")


@cache
def _row(layout: CandleLayout) -> Callable[[bytes], Any]:
    return reader(_row_type(layout), what="a candle row")
