"""The one candle parser: where each field sits in a row of an exchange."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from chandlery.core.candle import CandleData
from chandlery.core.errors import MalformedResponse
from chandlery.core.time import Micros, Unit

LATEST: Micros = 9_214_646_400_000_000
"""2262-01-01: frames count nanoseconds in 64 bits, which end in April of that year."""


class CandleColumns(Struct, frozen=True):
    """
    Candles by column, times in microseconds, in the order in which the exchange sent them.

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


class CandleLayout(Struct, frozen=True):
    """
    Where each field sits in a row of ``width`` places, and the unit of its times.

    ``None`` means that the row does not have the field.
    """

    open_time: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    close_time: int | None = None
    quote_asset_volume: int | None = None
    count: int | None = None
    taker_buy_volume: int | None = None
    taker_buy_quote_volume: int | None = None
    unit: Unit = Unit.MILLIS
    width: int = 12

    def places(self) -> dict[str, int]:
        """Field name to place, of the fields that the row has."""
        fields = {name: getattr(self, name) for name in CandleColumns.__struct_fields__}
        return {name: place for name, place in fields.items() if place is not None}

    def columns_of_json(self, body: bytes) -> CandleColumns:
        """
        The candles of a JSON array of rows.

        Raises:
            MalformedResponse: Where the body is not such an array.
        """
        try:
            rows = _decoder(self).decode(body)
        except msgspec.MsgspecError as error:
            raise MalformedResponse(f"not an array of candle rows: {error}; it begins {body[:80]!r}") from error
        return self.columns(rows)

    def columns(self, rows: Sequence[Sequence[Any]]) -> CandleColumns:
        """The candles of rows whose values have their types already."""
        by_place = list(zip(*rows, strict=True)) or [()] * self.width
        scale = self.unit.value

        def column(name: str) -> Any:
            place = getattr(self, name)
            if place is None:
                return None
            values = by_place[place]
            return [value * scale for value in values] if name in _TIMES else values

        return CandleColumns(*map(column, CandleColumns.__struct_fields__))

    def candle(self, row: Sequence[Any], *, closed: bool) -> CandleData:
        """The candle of one row whose values have their types already."""
        fields = {name: row[place] for name, place in self.places().items() if name != "close_time"}
        fields["open_time"] = self.unit.micros(fields["open_time"])
        return CandleData(**fields, closed=closed)


@cache
def _decoder(layout: CandleLayout) -> msgspec.json.Decoder[list[tuple[Any, ...]]]:
    """A decoder that makes numbers of the fields, number strings included, in C."""
    types: list[Any] = [Any] * layout.width
    moment = Annotated[int, Meta(ge=0, le=LATEST // layout.unit.value)]
    count = Annotated[int, Meta(le=2**63 - 1)]
    for name, place in layout.places().items():
        types[place] = moment if name in _TIMES else count if name == "count" else float
    return msgspec.json.Decoder(list[tuple[*types]], strict=False)  # type: ignore[valid-type]  # built at run time
