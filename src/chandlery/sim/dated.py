"""Expiring contracts: symbols of the market that end with a date, e.g. ``BTCUSDT_260327``."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime

from chandlery.sim.view import MarketView

_DATED = re.compile(r"(.*)_(\d\d)(\d\d)(\d\d)", re.ASCII)
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_LETTERS = "FGHJKMNQUVXZ"


def split(symbol: str) -> tuple[str, date | None]:
    """Split a symbol of the market into its pair and its expiry date; ``None`` if it does not expire."""
    found = _DATED.fullmatch(symbol)
    if found is None:
        return symbol.removesuffix("_PERP"), None
    year, month, day = map(int, found.groups()[1:])
    return found[1], date(2000 + year, month, day)


def delivery_ms(day: date) -> int:
    """Return the delivery time of contracts of that day, 08:00, in milliseconds."""
    return int(datetime(day.year, day.month, day.day, 8, tzinfo=UTC).timestamp()) * 1000


def digits(day: date) -> str:
    """Format a date as ``260327``."""
    return f"{day:%y%m%d}"


def day_month_year(day: date) -> str:
    """Format a date as ``27MAR26``."""
    return f"{day.day}{_MONTHS[day.month - 1]}{day:%y}"


def letter(day: date) -> str:
    """Format a date as ``H26`` for March."""
    return f"{_LETTERS[day.month - 1]}{day:%y}"


def find(view: MarketView, native: str, spelled: Callable[[str], str | None]) -> str | None:
    """Return the symbol of the contract that is ``spelled`` so; ``None`` if no traded contract matches."""
    for symbol in view.market.symbols(view.market_type):
        if split(symbol)[1] is not None and spelled(symbol) == native:
            return symbol if view.knows(symbol) else None
    return None
