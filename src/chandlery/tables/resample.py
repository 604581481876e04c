"""Resample candles by column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandlery.core.resampling import RESAMPLING, How

_Values = NDArray[Any]
_REDUCED: Mapping[How, Callable[[_Values, NDArray[np.intp]], _Values]] = {
    How.FIRST: lambda values, firsts: values[firsts],
    How.HIGHEST: np.maximum.reduceat,
    How.LOWEST: np.minimum.reduceat,
    How.LAST: lambda values, firsts: values[np.append(firsts[1:], len(values)) - 1],
    How.SUM: np.add.reduceat,
}


def beginnings(places: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the first row of each longer candle, from the number of the longer candle of each row, of which there is one."""
    return np.flatnonzero(np.concatenate(([True], places[1:] != places[:-1])))


def resampled(columns: Mapping[str, _Values], firsts: NDArray[np.intp]) -> dict[str, _Values]:
    """
    Combine consecutive candles, which are in order, to longer ones; columns without a rule in ``RESAMPLING`` are left out.

    ``firsts`` are the rows that begin a longer candle, ascending, from 0; each has at least one row.
    """
    return {name: _REDUCED[how](columns[name], firsts) for name, how in RESAMPLING.items() if name in columns}
