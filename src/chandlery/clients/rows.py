"""Candles as plain rows and as tables, the two output forms of clients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import pyarrow as pa

from chandlery.core.candle import CandleData
from chandlery.core.errors import MalformedResponse, UnknownInterval
from chandlery.core.interval import Interval
from chandlery.core.query import ChartType
from chandlery.core.time import Micros, Unit
from chandlery.tables.candle_rows import TIMES, times_of
from chandlery.tables.frame import open_times, table_of

Row: TypeAlias = dict[str, Any]
"""One candle or order book as plain values."""

PRICES = ("open", "high", "low", "close", "volume")
MORE = ("quote_asset_volume", "taker_buy_volume", "taker_buy_quote_volume")
"""Columns that not every exchange sends."""


def rows_of_table(table: pa.Table, exchange: str, symbol: str, interval: Interval, *, counts: bool) -> list[Row]:
    """
    Convert a table of closed candles to rows; ``counts`` is true if the exchange sends the number of trades.

    Receive and exchange times are ``None`` if the table lacks them.
    """
    opened = [Unit.MILLIS.of(each) for each in open_times(table).tolist()]
    prices = [table.column(name).to_pylist() for name in PRICES]
    more = [[None if math.isnan(each) else each for each in table.column(name).to_pylist()] for name in MORE]
    count = table.column("count").to_pylist() if counts else [None] * len(opened)
    times = ([_millis(each) for each in times_of(table, name)] for name in TIMES)
    head = {"exchange": exchange, "symbol": symbol, "interval": interval.value}
    return [
        {
            **head,
            "timestamp": open_ms,
            "open": first,
            "high": high,
            "low": low,
            "close": close,
            "volume": volume,
            "quote_asset_volume": quote,
            "count": trades,
            "taker_buy_volume": taker,
            "taker_buy_quote_volume": taker_quote,
            "closed": True,
            "received_at": received,
            "at": sent,
        }
        for open_ms, first, high, low, close, volume, quote, taker, taker_quote, trades, received, sent in zip(
            opened, *prices, *more, count, *times, strict=True
        )
    ]


def row_of_candle(candle: CandleData, exchange: str, symbol: str, interval: Interval) -> Row:
    """Convert one candle to a row."""
    return {
        "exchange": exchange,
        "symbol": symbol,
        "interval": interval.value,
        "timestamp": Unit.MILLIS.of(candle.open_time),
        "open": candle.open,
        "high": candle.high,
        "low": candle.low,
        "close": candle.close,
        "volume": candle.volume,
        "quote_asset_volume": candle.quote_asset_volume,
        "count": candle.count,
        "taker_buy_volume": candle.taker_buy_volume,
        "taker_buy_quote_volume": candle.taker_buy_quote_volume,
        "closed": candle.closed,
        "received_at": _millis(candle.received_at),
        "at": _millis(candle.at),
    }


def _millis(moment: Micros | None) -> int | None:
    return None if moment is None else Unit.MILLIS.of(moment)


def table_of_rows(rows: Sequence[Row]) -> pa.Table:
    """
    Convert a client's rows to a table.

    Raises:
        MalformedResponse: A row lacks a required field, or has it in another type.
    """
    try:
        opened = [Unit.MILLIS.micros(row["timestamp"]) for row in rows]
        columns: dict[str, Any] = {name: [float(row[name]) for row in rows] for name in PRICES}
        ends = [Interval(row["interval"]).step(at) - 1 for row, at in zip(rows, opened, strict=True)]
    except (KeyError, TypeError, ValueError, UnknownInterval) as error:
        raise MalformedResponse(f"a client's row is not a candle: {error!r}") from error
    columns |= {name: [math.nan if row.get(name) is None else row[name] for row in rows] for name in MORE}
    columns["count"] = [row.get("count") or 0 for row in rows]
    return table_of(ChartType.KLINES, {"open_time": opened, "close_time": ends} | columns)
