"""Candles."""

from __future__ import annotations

from math import inf
from operator import attrgetter
from typing import Self

from msgspec import Struct

from chandlery.core.errors import InvalidInput
from chandlery.core.time import SECOND, Micros, iso


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


_values = attrgetter(*(name for name in CandleData.__struct_fields__ if name not in {"at", "received_at"}))
"""Returns the values by which two candles are compared."""
