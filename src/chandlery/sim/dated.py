"""Contracts that expire: symbols of the market that end with a day, e.g. ``BTCUSDT_260327``."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime

from chandlery.sim.view import MarketView

_DATED = re.compile(r"(.*)_(\d\d)(\d\d)(\d\d)", re.ASCII)
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_LETTERS = "FGHJKMNQUVXZ"


def split(symbol: str) -> tuple[str, date | None]:
    """The pair of a symbol of the market, and the day on which the contract expires; ``None`` for all others."""
    found = _DATED.fullmatch(symbol)
    if found is None:
        return symbol.removesuffix("_PERP"), None
    year, month, day = map(int, found.groups()[1:])
    return found[1], date(2000 + year, month, day)


def delivery_ms(day: date) -> int:
    """When contracts of that day are delivered: at eight o'clock, in milliseconds."""
    return int(datetime(day.year, day.month, day.day, 8, tzinfo=UTC).timestamp()) * 1000


def digits(day: date) -> str:
    """``260327``."""
    return f"{day:%y%m%d}"


def day_month_year(day: date) -> str:
    """``27MAR26``."""
    return f"{day.day}{_MONTHS[day.month - 1]}{day:%y}"


def letter(day: date) -> str:
    """``H26``, of March."""
    return f"{_LETTERS[day.month - 1]}{day:%y}"


def find(view: MarketView, native: str, spelled: Callable[[str], str | None]) -> str | None:
    """The symbol of the contract that is ``spelled`` so; ``None`` where there is none that expires and is traded."""
    for symbol in view.market.symbols(view.market_type):
        if split(symbol)[1] is not None and spelled(symbol) == native:
            return symbol if view.knows(symbol) else None
    return None
