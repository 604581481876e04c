"""Stored candles by column: values, and times of receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from chandlery.core.query import ChartType
from chandlery.core.time import Micros
from chandlery.tables.frame import schema_of

TIMES = ("received_at", "at")
"""Local time at which its last message was received, and the exchange's own time of that message."""
_TIME = pa.timestamp("us", "UTC")
_FIELDS = tuple(pa.field(name, _TIME) for name in TIMES)
SCHEMA = pa.schema([*schema_of(ChartType.KLINES), *_FIELDS])


def timed(candles: pa.Table, times: Mapping[str, Sequence[Micros | None]] | None = None) -> pa.Table:
    """Add ``times``, microseconds by name, to candles; null if absent, as for an archive or a cache."""
    for field in _FIELDS:
        given: Any = (times or {}).get(field.name)
        column = pa.nulls(candles.num_rows, _TIME) if given is None else pa.array(given, _TIME)
        candles = candles.append_column(field, column)
    return candles


def times_of(candles: pa.Table, name: str) -> list[Micros | None]:
    """Return one of the times of each candle; ``None`` if unknown, or if the table has no times."""
    if name not in candles.column_names:
        return [None] * candles.num_rows
    moments: list[Micros | None] = candles.column(name).cast(pa.int64()).to_pylist()
    return moments
