"""Tables of candles."""

from __future__ import annotations

import numpy as np

from chandlery.core.query import ChartType
from chandlery.storage.frame import table_of


def candles(count, start=0, *, quote=7.5):
    """A table of minutes."""
    opens = np.arange(count, dtype=np.int64) * 60_000_000 + start
    values = {name: np.arange(count) + 0.1 for name in ("open", "high", "low", "close", "volume")}
    more = {
        name: np.full(count, quote) for name in ("quote_asset_volume", "taker_buy_volume", "taker_buy_quote_volume")
    }
    times = {"open_time": opens, "close_time": opens + 59_999_999}
    return table_of(ChartType.KLINES, times | values | more | {"count": np.arange(count)})
