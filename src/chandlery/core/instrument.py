"""Instruments and the markets that they trade on."""

from __future__ import annotations

import re
from datetime import date
from enum import Enum
from typing import Self

from msgspec import Struct

from chandlery.core.errors import InvalidSymbol, WrongMarket

LONGEST_SYMBOL = 80
"""In characters; the longest that any exchange has is half of that."""
LETTER = r"[A-Za-z0-9\u0080-\U0010ffff]"
"""A character of a code, for regular expressions: any but ASCII punctuation, since codes come in every script."""
CAPITAL = r"[A-Z0-9\u0080-\U0010ffff]"
"""The same, for exchanges that write ASCII letters as capitals alone."""
_CODE = rf"{LETTER}(?:{LETTER}|\.)*"
_DAY_OF_MONTH = r"\d{1,2}(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\d\d$"
_TEXT = re.compile(rf"({_CODE})[/-](?!{_DAY_OF_MONTH})({_CODE})(?::({_CODE})(?:-(\d\d)(\d\d)(\d\d))?)?", re.ASCII)
_TO_CAPITALS = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_TO_SMALL = {capital: code for code, capital in _TO_CAPITALS.items()}
_HAS_CAPITALS = re.compile("[A-Z]")


def capitals(text: str) -> str:
    """The text with ASCII letters as capitals; letters of other scripts stay as they are."""
    return text.translate(_TO_CAPITALS)


def small_letters(text: str) -> str:
    """The text with ASCII letters as small ones; letters of other scripts stay as they are."""
    return text.translate(_TO_SMALL)


def spelled_out(text: str) -> str:
    """The text as it stands where it has a capital, for then its case is meant; otherwise in ``capitals``."""
    return text if _HAS_CAPITALS.search(text) else capitals(text)


def require_symbol(text: object) -> str:
    """
    The text itself, where it can be a symbol or an instrument at all.

    Raises:
        InvalidSymbol: Where it is not text, is empty or too long, or has characters that do not print.
    """
    if not isinstance(text, str):
        raise InvalidSymbol(f"a symbol is text, e.g. 'BTC/USDT', not {type(text).__name__}")
    if not text.strip():
        raise InvalidSymbol("a symbol is not empty; give e.g. BTC/USDT")
    if len(text) > LONGEST_SYMBOL:
        raise InvalidSymbol(f"{text[:20]!r}... has {len(text)} characters; a symbol has at most {LONGEST_SYMBOL}")
    if not text.isprintable():
        raise InvalidSymbol(f"{text!r} is not a symbol: it has characters that do not print")
    return text


class MarketType(Enum):
    """Spot, linear (settled in the quote currency) or inverse (settled in the base currency)."""

    SPOT = "spot"
    FUTURES_USDT = "futures_usdt"
    FUTURES_COIN = "futures_coin"


class Instrument(Struct, frozen=True):
    """
    What is traded, written as ccxt writes it.

    ``BTC/USDT`` is spot, ``BTC/USDT:USDT`` the linear and ``BTC/USD:BTC`` the inverse perpetual:
    ``settle`` is part of the name, so the three never meet. ``BTC/USDT:USDT-260327`` is the contract
    that expires on 2026-03-27; ``expiry`` is ``None`` for what does not expire.

    Codes keep the exchange's case (``kPEPE``, ``AAPLx``) and script.
    """

    base: str
    quote: str
    market: MarketType = MarketType.SPOT
    settle: str | None = None
    expiry: date | None = None

    @classmethod
    def parse(cls, text: str, market: MarketType | None = None) -> Self:
        """
        The instrument that ``BTC/USDT``, ``BTC-USDT``, ``BTC/USDT:USDT`` or ``BTC/USDT:USDT-260327`` names.

        ``market`` says which one is meant where the text has no ``:SETTLE``; without it, spot. Text
        without any capital is read as capitals.

        Raises:
            InvalidSymbol: For other text.
            WrongMarket: Where text and ``market`` contradict each other.
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
        """The instrument of a market, which says in what it settles."""
        settle = {MarketType.FUTURES_USDT: quote, MarketType.FUTURES_COIN: base}.get(market)
        return cls(base, quote, market, settle, expiry)

    def __str__(self) -> str:
        """The text as ccxt writes it."""
        settle = f":{self.settle}" if self.settle else ""
        return f"{self.base}/{self.quote}{settle}" + (f"-{day_text(self.expiry)}" if self.expiry else "")


def expiry_of(digits: str) -> date:
    """
    The day of ``YYMMDD``, as most exchanges and ccxt write it.

    Raises:
        InvalidSymbol: Where there is no such day.
    """
    try:
        return date(2000 + int(digits[:2]), int(digits[2:4]), int(digits[4:]))
    except ValueError:
        raise InvalidSymbol(f"{digits!r} is no day of expiry; write YYMMDD, e.g. 260327 for 2026-03-27") from None


def day_text(day: date) -> str:
    """The day as ``YYMMDD``."""
    return f"{day.year % 100:02}{day.month:02}{day.day:02}"


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
