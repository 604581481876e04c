"""ccxt's list of markets as listings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chandlery.core.errors import InvalidSymbol
from chandlery.core.instrument import Instrument, Listing, ListingStatus

_DECIMAL_PLACES, _TICK_SIZE = 2, 4
"""ccxt's ways to state a precision; the third, significant digits, is no step."""


def listings_of(markets: Iterable[Mapping[str, Any]], precision_mode: int) -> list[Listing]:
    """Return the spot markets, perpetuals and futures among ccxt's markets; others, such as options, are left out."""
    found = []
    for each in markets:
        try:
            instrument = Instrument.parse(each["symbol"])
        except InvalidSymbol:
            continue
        precision = each.get("precision") or {}
        found.append(
            Listing(
                symbol=str(each["id"]),
                instrument=instrument,
                status=ListingStatus.HALTED if each.get("active") is False else ListingStatus.LISTED,
                contract_size=_number(each.get("contractSize")),
                tick_size=_step(precision.get("price"), precision_mode),
                lot_size=_step(precision.get("amount"), precision_mode),
            )
        )
    return found


def _step(precision: object, mode: int) -> float | None:
    number = _number(precision)
    if number is None or mode == _TICK_SIZE:
        return number
    return 10.0**-number if mode == _DECIMAL_PLACES else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
