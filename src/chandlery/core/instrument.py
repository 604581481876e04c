"""Instruments and the markets that they trade on."""

from __future__ import annotations

import re
from enum import Enum
from typing import Self

from msgspec import Struct

from chandlery.core.errors import InvalidSymbol, WrongMarket

_TEXT = re.compile(r"([A-Z0-9]+)[/-]([A-Z0-9]+)(?::([A-Z0-9]+))?", re.ASCII)


class MarketType(Enum):
    """Spot, linear (settled in the quote currency) or inverse (settled in the base currency)."""

    SPOT = "spot"
    FUTURES_USDT = "futures_usdt"
    FUTURES_COIN = "futures_coin"


class Instrument(Struct, frozen=True):
    """
    What is traded, written as ccxt writes it.

    ``BTC/USDT`` is spot, ``BTC/USDT:USDT`` the linear and ``BTC/USD:BTC`` the inverse perpetual:
    ``settle`` is part of the name, so the three never meet.
    """

    base: str
    quote: str
    market: MarketType = MarketType.SPOT
    settle: str | None = None

    @classmethod
    def parse(cls, text: str, market: MarketType | None = None) -> Self:
        """
        The instrument that ``BTC/USDT``, ``BTC-USDT`` or ``BTC/USDT:USDT`` names.

        ``market`` says which one is meant where the text has no ``:SETTLE``; without it, spot.

        Raises:
            InvalidSymbol: For other text.
            WrongMarket: Where text and ``market`` contradict each other.
        """
        found = _TEXT.fullmatch(text.upper())
        if not found:
            raise InvalidSymbol(
                f"{text!r} is not an instrument; write BTC/USDT for spot, BTC/USDT:USDT for linear, BTC/USD:BTC for inverse"
            )
        base, quote, settle = found.groups()
        if settle is None:
            return cls.of(base, quote, market or MarketType.SPOT)
        if settle not in {base, quote}:
            raise InvalidSymbol(f"{text!r}: it settles in {base} (inverse) or {quote} (linear), not in {settle}")
        named = MarketType.FUTURES_USDT if settle == quote else MarketType.FUTURES_COIN
        if market not in {None, named}:
            raise WrongMarket(
                f"{text!r} is an instrument of {named.name}, not of {market.name if market else ''}; for that market leave out ':{settle}' or choose the other market"
            )
        return cls(base, quote, named, settle)

    @classmethod
    def of(cls, base: str, quote: str, market: MarketType) -> Self:
        """The instrument of a market, which says in what it settles."""
        return cls(base, quote, market, {MarketType.FUTURES_USDT: quote, MarketType.FUTURES_COIN: base}.get(market))

    def __str__(self) -> str:
        """The text as ccxt writes it."""
        return f"{self.base}/{self.quote}" + (f":{self.settle}" if self.settle else "")


class ListingStatus(Enum):
    """Whether an instrument trades."""

    LISTED = "listed"
    """It trades, or will within moments."""
    UPCOMING = "upcoming"
    """Announced, never traded yet."""
    HALTED = "halted"
    """It may trade again."""
    DELISTED = "delisted"
    """It will not trade again."""


class Listing(Struct, frozen=True):
    """
    An instrument as an exchange lists it.

    ``symbol`` is the exchange's spelling. ``contract_size`` is how much one contract is worth: of
    the base asset where the contract is linear, of the quote currency where it is inverse; ``None``
    for spot. ``tick_size`` and ``lot_size`` are the steps of price and size, in the exchange's own
    unit of size; ``None`` where it does not say.
    """

    symbol: str
    instrument: Instrument
    status: ListingStatus
    contract_size: float | None = None
    tick_size: float | None = None
    lot_size: float | None = None
