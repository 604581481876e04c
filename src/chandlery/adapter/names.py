"""Spellings of instruments: learnt from an exchange's list, and by rules for expiry dates."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import date, timedelta
from typing import ClassVar

from chandlery.core.errors import InvalidSymbol, suggest
from chandlery.core.instrument import (
    Instrument,
    Listing,
    ListingStatus,
    MarketType,
    capitals,
    require_symbol,
    small_letters,
    spelled_out,
)
from chandlery.core.nearest import nearest, squeezed

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_CODES = "FGHJKMNQUVXZ"
ENDS_WITH_DAY = re.compile(r"[-_](\d{6})$", re.ASCII)
"""Matches the end of ``BTC-USD-260327`` and ``BTCUSDT_260327``."""
DAY_MONTH_YEAR = r"\d{1,2}[A-Z]{3}\d\d"
"""Matches ``27MAR26``."""
MONTH_CODE = rf"[{_CODES}]\d\d"
"""Matches ``H26``: the letter of a month as futures exchanges write it, and the year."""


def day_of(millis: int | None) -> date | None:
    """Return the UTC day of a time in milliseconds; ``None`` for 0 and ``None``."""
    return date(1970, 1, 1) + timedelta(milliseconds=millis) if millis else None


def day_month_year(day: date) -> str:
    """Format the day as ``27MAR26``; days before the tenth have one digit."""
    return f"{day.day}{_MONTHS[day.month - 1]}{day.year % 100:02}"


def month_code(day: date) -> str:
    """Format the month as ``H26``."""
    return f"{_CODES[day.month - 1]}{day.year % 100:02}"


class Names:
    """
    The symbols that an exchange has listed, and the ccxt spelling of each one's instrument.

    Entries are never removed: a symbol stays known after its delisting, since its history can still be requested.
    """

    def __init__(self) -> None:
        self.version = 0
        """Grows with every name that is learnt or changes; what was looked up before may be outdated."""
        self._text_of: dict[str, str] = {}
        self._symbols_of: dict[str, frozenset[str]] = {}
        self._squeezed: dict[str, str] = {}
        """Symbols that are listed, by their letters and digits, and by those of base and quote."""

    def learn(self, listings: Iterable[Listing]) -> None:
        """Add a page of a list; safe in a thread while others look names up."""
        for each in listings:
            text = str(each.instrument)
            if each.status is not ListingStatus.DELISTED:
                self._squeezed.setdefault(squeezed(each.symbol), each.symbol)
                if each.instrument.expiry is None:
                    self._squeezed.setdefault(squeezed(each.instrument.base + each.instrument.quote), each.symbol)
            former = self._text_of.get(each.symbol)
            if former == text:
                continue
            if former is not None:
                self._symbols_of[former] -= {each.symbol}
            self._text_of[each.symbol] = text
            self._symbols_of[text] = self._symbols_of.get(text, frozenset()) | {each.symbol}
            self.version += 1

    def lists(self, symbol: str) -> bool:
        """Return whether the exchange has listed this symbol, in its own spelling."""
        return symbol in self._text_of

    def text_of(self, symbol: str) -> str | None:
        """Return the ccxt spelling of a listed symbol; ``None`` if it was not listed."""
        return self._text_of.get(symbol)

    def nearest(self, text: str) -> str | None:
        """Return the listed symbol that a text with one typing mistake means; ``None`` if there is none, or it is one."""
        return None if self.lists(text) or text in self._symbols_of else nearest(text, self._squeezed)

    def symbol_of(self, text: str) -> str | None:
        """
        Return the symbol of an instrument in ccxt's spelling; ``None`` if none was listed.

        Raises:
            InvalidSymbol: Several symbols have it; the message names them.
        """
        found = self._symbols_of.get(text)
        if not found:
            return None
        if len(found) > 1:
            raise InvalidSymbol(
                f"{text!r} is ambiguous; use one of the exchange's spellings: {', '.join(sorted(found))}"
            )
        return next(iter(found))


class Spelling(ABC):
    """The spelling of a market's symbols: by rules, and by the lists that the exchange has sent."""

    id: ClassVar[str]
    """``<exchange>_<market>``, set by the registry."""
    market_type: ClassVar[MarketType]
    native: ClassVar[re.Pattern[str]]
    """Pattern of the exchange's own spelling of a symbol."""
    cased: ClassVar[bool] = False
    """True if its spellings are mixed-case, so that the case of a text with a capital is significant."""
    small: ClassVar[bool] = False
    """True if its symbols are in small letters."""
    expiring: ClassVar[re.Pattern[str] | None] = None
    """Pattern of the end of those of its symbols that expire; ``None`` if none do."""
    example: ClassVar[str]
    """Valid symbols for messages, e.g. ``BTCUSDT, BTC/USDT or BTC-USDT``."""

    def __init__(self) -> None:
        self.names = Names()

    def symbol(self, text: str) -> str:
        """
        Return the exchange's spelling of a symbol, from that spelling, ``BTC/USDT`` or ``BTC-USDT``.

        Raises:
            InvalidSymbol: It is not a symbol of this market, or the name of several; the message has valid ones.
        """
        known = text if self.names.lists(require_symbol(text)) else self.names.symbol_of(text)
        if known is not None:
            return known
        wanted = self.folded(text)
        if self.names.lists(wanted) or self.native.fullmatch(wanted):
            return wanted
        if "/" in wanted or "-" in wanted:
            return self._symbol_of(Instrument.parse(wanted, self.market_type))
        raise self._unknown(text, repr(text))

    def _symbol_of(self, instrument: Instrument) -> str:
        spelled = self.names.symbol_of(str(instrument)) or self.spelled(instrument)
        by_rule = self.native.fullmatch(spelled) and self.expires(spelled) == bool(instrument.expiry)
        if by_rule or self.names.lists(spelled):
            return spelled
        raise self._unknown(spelled, str(instrument))

    def _unknown(self, text: str, shown: str) -> InvalidSymbol:
        error = InvalidSymbol(f"{shown} is not a symbol of {self.id}; it has e.g. {self.example}")
        suggest(error, self.names.nearest(text))
        return error

    def expires(self, symbol: str) -> bool:
        """Return whether a symbol, in the exchange's spelling, is a contract that expires."""
        return self.expiring is not None and self.expiring.search(symbol) is not None

    def folded(self, text: str) -> str:
        """Convert the text to the case in which the exchange writes symbols."""
        if self.small and not ("/" in text or "-" in text):
            return small_letters(text)
        return spelled_out(text) if self.cased else capitals(text)

    def instrument(self, text: str) -> Instrument | None:
        """Parse an instrument of this market; ``None`` if the text is in the exchange's own spelling."""
        try:
            return Instrument.parse(self.folded(text), self.market_type)
        except InvalidSymbol:
            return None

    @abstractmethod
    def spelled(self, instrument: Instrument) -> str:
        """Return the exchange's spelling of an instrument of this market, by its rules; checked against ``native`` afterwards."""
