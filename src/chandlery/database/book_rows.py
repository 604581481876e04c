"""Raw order books by column, one row per level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from chandlery.database.raw import RawOrderBookEntry

_TIME = pa.timestamp("us", "UTC")
SCHEMA = pa.schema(
    [
        ("timestamp", _TIME),
        ("received_at", _TIME),
        ("at", _TIME),
        ("sequence", pa.int64()),
        ("side", pa.string()),
        ("level", pa.int32()),
        ("price", pa.float64()),
        ("size", pa.float64()),
    ]
)


def table_of_books(entries: Sequence[RawOrderBookEntry]) -> pa.Table:
    """Convert to ``timestamp``, ``received_at``, ``at`` (the exchange's time), ``sequence``, ``side``, ``level`` (0 is the best), ``price``, ``size``."""
    counts = [(len(entry.data.bids), len(entry.data.asks)) for entry in entries]
    rows = np.array([bids + asks for bids, asks in counts], np.int64)
    levels: list[Any] = [level for entry in entries for side in (entry.data.bids, entry.data.asks) for level in side]
    columns = [
        np.repeat(np.array([entry.timestamp for entry in entries], np.int64), rows),
        np.repeat(np.array([entry.data.received_at for entry in entries], np.int64), rows),
        [entry.data.at for entry, count in zip(entries, rows.tolist(), strict=True) for _ in range(count)],
        [entry.data.sequence for entry, count in zip(entries, rows.tolist(), strict=True) for _ in range(count)],
        [side for bids, asks in counts for side, count in (("bid", bids), ("ask", asks)) for _ in range(count)],
        [level for pair in counts for count in pair for level in range(count)],
        [price for price, _ in levels],
        [size for _, size in levels],
    ]
    return pa.table([pa.array(each, field.type) for each, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
