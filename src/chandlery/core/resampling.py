"""Resampling of consecutive candles to a longer one."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any


class How(Enum):
    """A rule by which the values of a column form one."""

    FIRST = "first"
    HIGHEST = "highest"
    LOWEST = "lowest"
    LAST = "last"
    SUM = "sum"


RESAMPLING: Mapping[str, How] = {
    "open": How.FIRST,
    "high": How.HIGHEST,
    "low": How.LOWEST,
    "close": How.LAST,
    "volume": How.SUM,
    "quote_asset_volume": How.SUM,
    "count": How.SUM,
    "taker_buy_volume": How.SUM,
    "taker_buy_quote_volume": How.SUM,
}
"""The rule of each column of candles; the times of the longer candle follow from its interval."""


def columns_of(how: How) -> tuple[str, ...]:
    """Return the columns that are resampled in one way."""
    return tuple(name for name, each in RESAMPLING.items() if each is how)


_FIRST, _HIGHEST, _LOWEST, _SUMS = map(columns_of, (How.FIRST, How.HIGHEST, How.LOWEST, How.SUM))


def followed(total: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """
    Add a candle to those before it; both are values by column, of the same columns, and so is the result.

    A sum is ``None`` if one of its values is.
    """
    result = dict(part)  # the last of each column
    for name in _FIRST:
        result[name] = total[name]
    for name in _HIGHEST:
        result[name] = max(total[name], part[name])
    for name in _LOWEST:
        result[name] = min(total[name], part[name])
    for name in _SUMS:
        if name in part:
            before, value = total[name], part[name]
            result[name] = None if before is None or value is None else before + value
    return result
