"""Live candles as a data frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chandlery.core.candle import CandleData
from chandlery.core.interval import Interval
from chandlery.core.provenance import Provenance
from chandlery.core.query import ChartType

if TYPE_CHECKING:
    import pandas as pd


def candles_frame(candles: Sequence[CandleData], interval: Interval) -> pd.DataFrame:
    """
    Return the candles under a UTC index ``open_time``, with the columns of ``OUTPUT_DTYPES`` and ``closed``.

    Values that the exchange does not send are NaN, and 0 for the number of trades.
    """
    # Frames load pyarrow and pandas, which a feed without frames does not need.
    import numpy as np  # noqa: PLC0415  # see above
    import pyarrow as pa  # noqa: PLC0415  # see above

    from chandlery.tables.frame import table_of, to_output  # noqa: PLC0415  # see above

    def column(name: str) -> Any:
        return np.array([getattr(candle, name) for candle in candles], dtype=float)

    opens = [candle.open_time for candle in candles]
    columns: dict[str, Any] = {name: column(name) for name in ("open", "high", "low", "close", "volume")}
    columns |= {name: column(name) for name in ("quote_asset_volume", "taker_buy_volume", "taker_buy_quote_volume")}
    columns["open_time"] = np.array(opens, np.int64)
    columns["close_time"] = np.array([interval.step(opened) - 1 for opened in opens], np.int64)
    columns["count"] = np.array([candle.count or 0 for candle in candles], np.int64)
    table = table_of(ChartType.KLINES, columns)
    closed = pa.array([candle.closed for candle in candles], pa.bool_())
    frame: pd.DataFrame = to_output(table.append_column("closed", closed), "pandas", Provenance.of([], [], []))
    return frame
