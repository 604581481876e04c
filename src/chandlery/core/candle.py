"""Candles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from operator import attrgetter
from typing import Any, Self

from msgspec import Struct

from chandlery.core.errors import InvalidInput
from chandlery.core.moment import to_micros
from chandlery.core.time import SECOND, Micros, Unit, iso


class CandleData(Struct, frozen=True, gc=False):
    """
    One candle of one instrument and interval.

    ``open_time`` is in microseconds UTC; ``closed`` is true if the candle is over. Values that an
    exchange does not send are ``None``, never 0. The unit of ``volume`` is declared by the exchange's
    adapter; ``quote_asset_volume`` is in the quote currency.

    ``at`` is the exchange's time of the message with this state, ``received_at`` the local time at which the last message
    for it was received; both in microseconds. ``None`` if unknown: an exchange may send no
    time, REST answers carry none, and candles of an archive or a cache have neither. Two candles are equal if
    their values are, whatever these times.
    """

    open_time: Micros
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_asset_volume: float | None = None
    count: int | None = None
    taker_buy_volume: float | None = None
    taker_buy_quote_volume: float | None = None
    closed: bool = True
    at: Micros | None = None
    received_at: Micros | None = None

    def __eq__(self, other: object) -> bool:
        return _values(self) == _values(other) if isinstance(other, CandleData) else NotImplemented

    def __ne__(self, other: object) -> bool:
        return _values(self) != _values(other) if isinstance(other, CandleData) else NotImplemented

    def __hash__(self) -> int:
        return hash(_values(self))

    def fault(self) -> str | None:
        """
        Return why the values cannot be those of a candle; ``None`` if they can.

        ``not_finite``: a price or the volume is NaN or infinite, or the volume is negative. ``impossible``: the high is not
        the highest price, or the low not the lowest.
        """
        low, high = self.low, self.high
        if low <= self.open <= high and low <= self.close <= high and -inf < low and high < inf:
            return None if 0.0 <= self.volume < inf else "not_finite"
        numbers = (low, high, self.open, self.close)
        return "impossible" if all(-inf < number < inf for number in numbers) else "not_finite"

    def validate(self) -> Self:
        """
        Return the candle itself, if it has no ``fault``.

        Raises:
            InvalidInput: It has one.
        """
        fault = self.fault()
        if fault is not None:
            raise InvalidInput(f"the candle of {iso(self.open_time)} is {fault.replace('_', ' ')}: {self}")
        return self

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """
        Build a candle from its values by name.

        The open time is ``timestamp``, ``timestamp_raw``, ``open_time`` or ``time``: text or an aware datetime, or a
        number of seconds, milliseconds, microseconds or nanoseconds, which its size tells. ``n_trades`` is ``count``, and
        ``taker_buy_base_volume`` is ``taker_buy_volume``. Other names are ignored.

        Raises:
            InvalidInput: A price, the volume or the open time is missing, or is not a number or a time.
        """
        found = {_OTHER_NAMES.get(name, name): value for name, value in values.items()}
        opened = found.get("open_time")
        if opened is None:
            raise InvalidInput(f"a candle without timestamp; it has {', '.join(values) or 'nothing'}")
        numbers: dict[str, Any] = {name: _number(found, name) for name in _PRICES}
        numbers |= {name: _number(found, name) for name in _OTHERS if found.get(name) is not None}
        if found.get("count") is not None:
            numbers["count"] = int(_number(found, "count"))
        return cls(open_time=_opened(opened), **numbers, closed=bool(found.get("closed", True)))

    @classmethod
    def from_array(cls, values: Sequence[Any]) -> Self:
        """
        Build a candle from its open time, open, high, low, close and volume, then, as far as there are any, its quote volume,
        number of trades, taker buy volume and taker buy quote volume.

        Raises:
            InvalidInput: There are fewer than six values, or more than ten, or one is not a number or a time.
        """
        if not len(_ARRAY) - 4 <= len(values) <= len(_ARRAY):
            raise InvalidInput(f"a candle of {len(values)} values; use {', '.join(_ARRAY)}, the last four if known")
        return cls.from_dict(dict(zip(_ARRAY, values, strict=False)))

    def to_array(self) -> list[float]:
        """Return the values that ``from_array`` takes, the open time in seconds; 0 for those that are unknown."""
        values = (getattr(self, name) for name in _ARRAY[1:])
        return [self.open_time / SECOND, *(0.0 if value is None else float(value) for value in values)]

    @property
    def timestamp_ms(self) -> int:
        """The open time in whole milliseconds."""
        return Unit.MILLIS.of(self.open_time)

    @property
    def timestamp(self) -> int:
        """The open time in whole seconds."""
        return self.open_time // SECOND

    @property
    def n_trades(self) -> int | None:
        """The number of trades."""
        return self.count

    @property
    def taker_buy_base_volume(self) -> float | None:
        """The volume that takers bought, in the unit of ``volume``."""
        return self.taker_buy_volume


_PRICES = ("open", "high", "low", "close", "volume")
_OTHERS = ("quote_asset_volume", "taker_buy_volume", "taker_buy_quote_volume")
_ARRAY = ("open_time", *_PRICES, "quote_asset_volume", "count", "taker_buy_volume", "taker_buy_quote_volume")
_OTHER_NAMES = {
    **dict.fromkeys(("timestamp", "timestamp_raw", "time"), "open_time"),
    "n_trades": "count",
    "taker_buy_base_volume": "taker_buy_volume",
}
_SIZES = ((10**11, 10**6), (10**14, 10**3), (10**17, 1))
"""Numbers below the first are in a unit of so many microseconds; larger ones are in nanoseconds."""


def _opened(value: Any) -> Micros:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not -inf < value < inf:
            raise InvalidInput(f"the timestamp of a candle is {value}; use a finite number")
        unit = next((unit for bound, unit in _SIZES if abs(value) < bound), None)
        return round(value) // 1_000 if unit is None else round(value * unit)
    return to_micros(value, name="the timestamp of a candle")


def _number(values: Mapping[str, Any], name: str) -> float:
    try:
        return float(values[name])
    except (KeyError, TypeError, ValueError):
        raise InvalidInput(f"the {name} of a candle is {values.get(name)!r}; use a number") from None


_values = attrgetter(*(name for name in CandleData.__struct_fields__ if name not in {"at", "received_at"}))
"""Returns the values by which two candles are compared."""
