"""Live candles in the database, each in its latest state."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.query import ChartType
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Micros
from chandlery.database.series_ids import SeriesIds
from chandlery.tables.candle_rows import SCHEMA, TIMES, timed, times_of
from chandlery.tables.frame import empty_of, open_times, table_of

_COLUMNS = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_asset_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)
_TIMED = (*_COLUMNS, *TIMES)
_NAMES = ", ".join(_TIMED)
# A running candle never replaces a closed one.
_UPSERT = f"""
    INSERT INTO candles (series, {_NAMES}, closed) VALUES ({", ".join("?" * (len(_TIMED) + 2))})
    ON CONFLICT (series, open_time) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in (*_TIMED[1:], "closed"))}
    WHERE excluded.closed >= candles.closed
"""
_PRUNED_AT_ONCE = 5_000


class CandleRepository:
    """The table ``candles``, of the series that ``ids`` number."""

    def __init__(self, ids: SeriesIds) -> None:
        self._database = ids.database
        self._ids = ids

    async def save(self, series: SeriesId, candles: Sequence[CandleData]) -> None:
        """
        Store candles, all or none, replacing those with the same open times; returns once they are committed.

        Raises:
            StorageError: None of them is stored.
        """
        number = await self._ids.of(series)
        rows = [(number, *(getattr(each, name) for name in _TIMED), int(each.closed)) for each in candles]
        await self._database.write((_UPSERT, rows))

    async def save_table(self, series: SeriesId, table: pa.Table) -> None:
        """Store closed candles by column; NaN for values that were not sent; times of receipt are optional."""
        number = await self._ids.of(series)
        columns: list[list[Any]] = [open_times(table).tolist(), *(_values(table, name) for name in _COLUMNS[1:])]
        columns += [times_of(table, name) for name in TIMES]
        rows = [(number, *row, 1) for row in zip(*columns, strict=True)]
        await self._database.write((_UPSERT, rows))

    async def stores(self, series: SeriesId) -> bool:
        """Return whether anything was ever stored for the series, of which there may be gaps without candles."""
        return await self._ids.find(series) is not None

    async def first(self, series: SeriesId, span: Span) -> Micros | None:
        """Return the open time of the first closed candle that opens in ``span``; ``None`` if there is none."""
        number = await self._ids.find(series)
        if number is None:
            return None
        sql = "SELECT open_time FROM candles WHERE series = ? AND open_time >= ? AND open_time < ? AND closed ORDER BY open_time LIMIT 1"
        rows: list[Any] = await self._database.read(sql, (number, span.start, span.end))
        return rows[0][0] if rows else None

    async def table(self, series: SeriesId, span: Span, limit: int) -> pa.Table:
        """Return the first ``limit`` closed candles that open in ``span``, oldest first, with their times of receipt."""
        number = await self._ids.find(series)
        sql = f"SELECT {_NAMES} FROM candles WHERE series = ? AND open_time >= ? AND open_time < ? AND closed ORDER BY open_time LIMIT ?"
        rows = await self._database.read(sql, (number, span.start, span.end, limit))
        return await asyncio.to_thread(_table, rows, series.length) if rows else empty_of(SCHEMA)

    async def latest(self, series: SeriesId) -> CandleData | None:
        """Return the newest candle, closed or running; ``None`` if there is none."""
        number = await self._ids.find(series)
        sql = f"SELECT {_NAMES}, closed FROM candles WHERE series = ? ORDER BY open_time DESC LIMIT 1"
        rows: list[Any] = await self._database.read(sql, (number,))
        if not rows:
            return None
        *values, closed = rows[0]
        return CandleData(**dict(zip(_TIMED, values, strict=True)), closed=bool(closed))

    async def last_closed(self, series: SeriesId) -> Micros | None:
        """Return the open time of the newest closed candle; ``None`` if there is none."""
        number = await self._ids.find(series)
        rows: list[Any] = await self._database.read(
            "SELECT open_time FROM candles WHERE series = ? AND closed ORDER BY open_time DESC LIMIT 1", (number,)
        )
        return rows[0][0] if rows else None

    async def prune(self, before: Micros) -> int:
        """Remove the candles that open before ``before``. Return their number."""
        removed = 0
        for number, _ in await self._ids.of_all():
            while True:
                sql = "SELECT series, open_time FROM candles WHERE series = ? AND open_time < ? LIMIT ?"
                rows = await self._database.read(sql, (number, before, _PRUNED_AT_ONCE))
                if not rows:
                    break
                await self._database.write(("DELETE FROM candles WHERE series = ? AND open_time = ?", rows))
                removed += len(rows)
        return removed


def _values(table: pa.Table, name: str) -> list[Any]:
    return [None if each != each else each for each in table.column(name).to_pylist()]  # noqa: PLR0124  # NaN alone differs from itself


def _table(rows: list[Any], interval: Interval) -> pa.Table:
    opened, *columns = zip(*rows, strict=True)
    read = dict(zip(_TIMED[1:], columns, strict=True))
    values: dict[str, Any] = {name: np.array(read[name], np.float64) for name in _COLUMNS[1:] if name != "count"}
    values["count"] = [each or 0 for each in read["count"]]
    values["open_time"] = np.array(opened, np.int64)
    if interval.micros is None:
        values["close_time"] = [interval.step(each) - 1 for each in opened]
    else:
        values["close_time"] = values["open_time"] + interval.micros - 1
    return timed(table_of(ChartType.KLINES, values), read)
