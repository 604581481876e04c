"""The one candle."""

from __future__ import annotations

from operator import attrgetter

from msgspec import Struct

from chandlery.core.time import SECOND, Micros


class CandleData(Struct, frozen=True, gc=False):
    """
    One candle of one instrument and interval.

    ``open_time`` is in microseconds UTC; ``closed`` says whether the candle is final. What an
    exchange does not send is ``None``, never 0. Which unit ``volume`` is in, the exchange's
    adapter declares; ``quote_asset_volume`` is in the quote currency.

    ``at`` is the exchange's own time of the message that brought this state, ``received_at`` when the last message
    about it came, by the local clock; both in microseconds. ``None`` where it is not known: an exchange may send no
    time, answers by REST carry none, and candles of an archive or a cache have neither. Two candles are equal where
    their values are, whenever they came.
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

    @property
    def timestamp(self) -> int:
        """The open in whole seconds."""
        return self.open_time // SECOND

    @property
    def n_trades(self) -> int | None:
        """How many trades it holds."""
        return self.count

    @property
    def taker_buy_base_volume(self) -> float | None:
        """The volume that takers bought, in the unit of ``volume``."""
        return self.taker_buy_volume


_values = attrgetter(*(name for name in CandleData.__struct_fields__ if name not in {"at", "received_at"}))
"""The values by which two candles are compared."""
