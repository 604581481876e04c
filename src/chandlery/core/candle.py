"""The one candle."""

from __future__ import annotations

from msgspec import Struct

from chandlery.core.time import SECOND, Micros


class CandleData(Struct, frozen=True, gc=False):
    """
    One candle of one instrument and interval.

    ``open_time`` is in microseconds UTC; ``closed`` says whether the candle is final. What an
    exchange does not send is ``None``, never 0. Which unit ``volume`` is in, the exchange's
    adapter declares; ``quote_asset_volume`` is in the quote currency.
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
