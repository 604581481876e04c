"""Candle parser, configured by the position of each field in an exchange's rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import itemgetter
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Raw, Struct, defstruct
from msgspec.structs import astuple

from chandlery.adapter.payload import LATEST, Finite, Whole, reader
from chandlery.core.candle import CandleData
from chandlery.core.time import Micros, Unit

Place: TypeAlias = int | str
"""An index in an array, or a key of an object."""


class CandleColumns(Struct, frozen=True):
    """
    Candles by column, times in microseconds, oldest first unless the exchange uses another order.

    ``None`` in place of a column means that the exchange does not send it, or not for all of these candles.
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
    closed: Sequence[bool] | None = None
    """The exchange's flag whether each is final."""


_TIMES = frozenset({"open_time", "close_time"})
_NEEDED = ("open_time", "open", "high", "low", "close", "volume")
"""Fields without which a row is not a candle."""


class CandleLayout(Struct, frozen=True):
    """
    The position of each field in a row, which is an array or an object with keys.

    ``None`` means that rows do not have the field. Rows may have further fields, which are
    ignored, and fields other than ``_NEEDED`` may be missing, or null, in any row. ``closed`` is the
    exchange's flag whether the candle is final. ``unit`` is that of the times, ``path`` the keys
    of the array of rows in a body, which begins with the latest if ``newest_first``.
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
    path: tuple[str, ...] = ()
    newest_first: bool = False

    def places(self) -> dict[str, Place]:
        """Return the position of each field that the row has."""
        fields = {name: getattr(self, name) for name in CandleColumns.__struct_fields__}
        return {name: place for name, place in fields.items() if place is not None}

    def columns_of_json(self, body: bytes) -> CandleColumns:
        """
        Parse the candles of a JSON body that holds an array of rows, oldest first.

        Raises:
            MalformedResponse: The body is not such an array.
        """
        return self.columns(_rows(self)(body))

    def candle_of_json(self, body: bytes | Raw, at: Micros | None = None) -> CandleData:
        """Parse the candle of a JSON body that is one row; ``at`` is the exchange's time of sending."""
        return self.candle(_row(self)(bytes(body)), at)

    def columns(self, rows: Sequence[Any]) -> CandleColumns:
        """Convert decoded rows to columns, oldest first; a row is an object with the fields in order, or a sequence."""
        index = _index(self)
        tuples = map(astuple, rows) if rows and isinstance(rows[0], Struct) else rows
        by_place = list(zip(*tuples, strict=True)) or [()] * (max(index.values()) + 1)
        scale = self.unit.value
        step = -1 if self.newest_first else 1

        def column(name: str) -> Any:
            if name not in index:
                return None
            values = by_place[index[name]][::step]
            if name not in _NEEDED and _is_missing(values):
                return None
            return [value * scale for value in values] if name in _TIMES else values

        return CandleColumns(*map(column, CandleColumns.__struct_fields__))

    def candle(self, row: Any, at: Micros | None = None) -> CandleData:
        """Convert one decoded row to a candle; ``at`` is the exchange's time of sending."""
        values = astuple(row) if isinstance(row, Struct) else row
        open_time, *rest, closed = _picked(self)((*values, None))
        return CandleData(*(open_time * self.unit.value, *rest, bool(closed), at))


def _is_missing(values: Sequence[float | None]) -> bool:
    """Return whether there is a ``None`` among them; faster than a search."""
    try:
        sum(values)  # type: ignore[arg-type]  # None raises
    except TypeError:
        return True
    return False


@cache
def _index(layout: CandleLayout) -> dict[str, int]:
    """Return the index of each field in a decoded row."""
    return {name: index for index, name in enumerate(_row_type(layout).__struct_fields__) if not name.startswith("_")}


@cache
def _picked(layout: CandleLayout) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Return a getter of a candle's fields from a row with None appended for the fields it lacks."""
    index = _index(layout)
    fields = (name for name in CandleData.__struct_fields__ if name in CandleColumns.__struct_fields__)
    return itemgetter(*(index.get(name, -1) for name in fields))


@cache
def _row_type(layout: CandleLayout) -> Any:
    """Build the type that decodes a row up to its last used field, and converts number strings in C."""
    moment = Annotated[int, Meta(ge=0, le=LATEST // layout.unit.value)]

    def kind(name: str) -> Any:
        read = moment if name in _TIMES else Whole if name == "count" else bool if name == "closed" else Finite
        return read if name in _NEEDED else read | None

    places = layout.places()
    if isinstance(layout.open_time, str):
        fields = [(name, kind(name)) if name in _NEEDED else (name, kind(name), None) for name in places]
        return defstruct("Row", fields, rename={name: str(place) for name, place in places.items()}, gc=False)
    names = {int(place): name for name, place in places.items()}
    needed = max(place for place, name in names.items() if name in _NEEDED)
    in_order = [names.get(place, f"_{place}") for place in range(max(names) + 1)]
    typed = [(name, Any if name.startswith("_") else kind(name)) for name in in_order]
    fields = [*typed[: needed + 1], *((*field, None) for field in typed[needed + 1 :])]
    return defstruct("Row", fields, array_like=True, gc=False)


@cache
def _rows(layout: CandleLayout) -> Callable[[bytes], Sequence[Any]]:
    rows: Any = list[_row_type(layout)]  # type: ignore[misc]  # built at run time
    return reader(rows, *layout.path, what="an array of candle rows")


@cache
def _row(layout: CandleLayout) -> Callable[[bytes], Any]:
    return reader(_row_type(layout), what="a candle row")
