"""Candles as lines of an archive file."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import polars as pl
import pyarrow as pa

from chandlery.sim import bars
from chandlery.sim.bars import Bars
from chandlery.sim.grids import Grid
from chandlery.sim.noise import Integers
from chandlery.sim.venues import Venue
from chandlery.tables.interrupts import uninterrupted

_SPOT_DIGITS = 8


@uninterrupted
def csv_lines(known: Bars, digits: Mapping[str, int], grid: Grid, venue: Venue) -> list[bytes]:
    """Return one line per candle, without line ends: spot with eight digits, futures without padding."""
    opens = known["open_time"]
    if not len(opens):
        return []
    closes = bars.close_times(opens, grid, venue)
    units = np.where(closes % 1000 == 999, 1, 1000)
    columns: dict[str, pl.Series] = {}
    for name in bars.COLUMNS:
        if name in digits:
            columns[name] = _decimals(known[name], digits[name], _SPOT_DIGITS if venue.is_spot else digits[name])
        else:
            columns[name] = pl.Series(closes if name == "close_time" else known[name])
    columns["open_time"] = pl.Series(opens // units)
    columns["close_time"] = pl.Series(closes // units)
    columns["ignore"] = pl.Series(np.zeros(len(opens), dtype=np.int64))
    written = io.BytesIO()
    pl.DataFrame(columns).write_csv(written, include_header=False)
    return written.getvalue().splitlines()


def _decimals(values: Integers, digits: int, shown: int) -> pl.Series:
    """Format integers of the last digit as decimals, without floating point."""
    wide = np.zeros((len(values), 2), dtype=np.int64)
    wide[:, 0] = values * 10 ** (shown - digits)
    decimals = pa.Array.from_buffers(pa.decimal128(38, shown), len(values), [None, pa.py_buffer(wide)])
    return pl.Series(pl.from_arrow(decimals))
