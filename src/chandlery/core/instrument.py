"""Instruments and their markets."""

from __future__ import annotations

import re
from datetime import date
from enum import Enum
from typing import Self

from msgspec import Struct

from chandlery.core.errors import InvalidSymbol, WrongMarket
from chandlery.core.time import Micros

LONGEST_SYMBOL = 80
"""Limit in characters; no exchange has a symbol of more than half as many."""
LETTER = r"[A-Za-z0-9\u0080-\U0010ffff]"
"""Pattern of a character of a code: any but ASCII punctuation, since codes use every script."""
CAPITAL = r"[A-Z0-9\u0080-\U0010ffff]"
"""``LETTER`` for exchanges that write ASCII letters in capitals only."""
_CODE = rf"{LETTER}(?:{LETTER}|\.)*"
_DAY_OF_MONTH = r"\d{1,2}(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\d\d$"
_TEXT = re.compile(rf"({_CODE})[/-](?!{_DAY_OF_MONTH})({_CODE})(?::({_CODE})(?:-(\d\d)(\d\d)(\d\d))?)?", re.ASCII)
_TO_CAPITALS = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_TO_SMALL = {capital: code for code, capital in _TO_CAPITALS.items()}
_HAS_CAPITALS = re.compile("[A-Z]")


def capitals(text: str) -> str:
    """Convert ASCII letters to capitals; letters of other scripts do not change."""
    return text.translate(_TO_CAPITALS)


def small_letters(text: str) -> str:
    """Convert ASCII letters to lower case; letters of other scripts do not change."""
    return text.translate(_TO_SMALL)


def spelled_out(text: str) -> str:
    """Return the text unchanged if it has a capital, since its case is then meant; otherwise in ``capitals``."""
    return text if _HAS_CAPITALS.search(text) else capitals(text)


def require_symbol(text: object) -> str:
    """
    Return the text if it may be a symbol or an instrument.

    Raises:
        InvalidSymbol: It is not text, is empty or too long, or has unprintable characters.
    """
    if not isinstance(text, str):
        raise InvalidSymbol(f"a symbol must be a string, e.g. 'BTC/USDT', not {type(text).__name__}")
    if not text.strip():
        raise InvalidSymbol("the symbol is empty; give e.g. BTC/USDT")
    if len(text) > LONGEST_SYMBOL:
        raise InvalidSymbol(f"{text[:20]!r}... has {len(text)} characters; a symbol has at most {LONGEST_SYMBOL}")
    if not text.isprintable():
        raise InvalidSymbol(f"{text!r} is not a symbol: it has unprintable characters")
    return text


class MarketType(Enum):
    """Spot, linear (settled in the quote currency) or inverse (settled in the base currency)."""

    SPOT = "spot"
    FUTURES_USDT = "futures_usdt"
    FUTURES_COIN = "futures_coin"


class Instrument(Struct, frozen=True):
    """
    An instrument, written as in ccxt.

    ``BTC/USDT`` is spot, ``BTC/USDT:USDT`` the linear and ``BTC/USD:BTC`` the inverse perpetual:
    ``settle`` is part of the name, so the three are distinct. ``BTC/USDT:USDT-260327`` is the contract
    that expires on 2026-03-27; ``expiry`` is ``None`` if it does not expire.

    Codes have the exchange's case (``kPEPE``, ``AAPLx``) and script.
    """

    base: str
    quote: str
    market: MarketType = MarketType.SPOT
    settle: str | None = None
    expiry: date | None = None

    @classmethod
    def parse(cls, text: str, market: MarketType | None = None) -> Self:
        """
        Parse ``BTC/USDT``, ``BTC-USDT``, ``BTC/USDT:USDT`` or ``BTC/USDT:USDT-260327``.

        ``market`` applies if the text has no ``:SETTLE``; the default is spot. Text
        without any capital is read as capitals.

        Raises:
            InvalidSymbol: For other text.
            WrongMarket: Text and ``market`` contradict each other.
        """
        found = _TEXT.fullmatch(spelled_out(require_symbol(text)))
        if not found:
            raise InvalidSymbol(
                f"{text!r} is not an instrument; write BTC/USDT for spot, BTC/USDT:USDT for linear, BTC/USD:BTC for inverse, BTC/USDT:USDT-260327 for a contract that expires on 2026-03-27"
            )
        base, quote, settle, *day = found.groups()
        if settle is None:
            return cls.of(base, quote, market or MarketType.SPOT)
        if settle not in {base, quote}:
            raise InvalidSymbol(f"{text!r}: it settles in {base} (inverse) or {quote} (linear), not in {settle}")
        named = MarketType.FUTURES_USDT if settle == quote else MarketType.FUTURES_COIN
        if market not in {None, named}:
            raise WrongMarket(
                f"{text!r} is an instrument of {named.name}, not of {market.name if market else ''}; for that market leave out ':{settle}' or choose the other market"
            )
        return cls(base, quote, named, settle, expiry_of("".join(day)) if day[0] else None)

    @classmethod
    def of(cls, base: str, quote: str, market: MarketType, expiry: date | None = None) -> Self:
        """Return the instrument of a market, with the settlement currency that the market implies."""
        settle = {MarketType.FUTURES_USDT: quote, MarketType.FUTURES_COIN: base}.get(market)
        return cls(base, quote, market, settle, expiry)

    def __str__(self) -> str:
        """Format as in ccxt."""
        settle = f":{self.settle}" if self.settle else ""
        return f"{self.base}/{self.quote}{settle}" + (f"-{day_text(self.expiry)}" if self.expiry else "")


def expiry_of(digits: str) -> date:
    """
    Parse the day in ``YYMMDD``, as most exchanges and ccxt write it.

    Raises:
        InvalidSymbol: There is no such day.
    """
    try:
        return date(2000 + int(digits[:2]), int(digits[2:4]), int(digits[4:]))
    except ValueError:
        raise InvalidSymbol(f"{digits!r} is not a day of expiry; write YYMMDD, e.g. 260327 for 2026-03-27") from None


def day_text(day: date) -> str:
    """Format the day as ``YYMMDD``."""
    return f"{day.year % 100:02}{day.month:02}{day.day:02}"


class ListingStatus(Enum):
    """The trading status of an instrument."""

    LISTED = "listed"
    """Trading, or about to within moments."""
    UPCOMING = "upcoming"
    """Announced, never traded yet."""
    HALTED = "halted"
    """Not trading at present; it may trade again."""
    DELISTED = "delisted"
    """Not trading any more, for good."""


class Listing(Struct, frozen=True):
    """
    An instrument as an exchange lists it.

    ``symbol`` is the exchange's spelling. ``contract_size`` is the value of one contract: in
    the base asset if the contract is linear, in the quote currency if it is inverse; ``None``
    for spot. ``tick_size`` and ``lot_size`` are the steps of price and size, in the exchange's own
    unit of size; ``None`` if the exchange does not state them. ``listed_at`` is when trading began or will begin, and
    ``delisted_at`` when it ended or will end, in microseconds; ``None`` if the exchange does not state it.
    ``funding_interval`` is the time between two fundings of a perpetual; ``None`` likewise, also if it never changes.
    """

    symbol: str
    instrument: Instrument
    status: ListingStatus
    contract_size: float | None = None
    tick_size: float | None = None
    lot_size: float | None = None
    listed_at: Micros | None = None
    delisted_at: Micros | None = None
    funding_interval: Micros | None = None

    @property
    def kind(self) -> str:
        """``spot``, ``perpetual``, or ``future`` for a contract that expires."""
        if self.instrument.market is MarketType.SPOT:
            return "spot"
        return "perpetual" if self.instrument.expiry is None else "future"
