"""Raw order books by column, one row per level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
    sides = [side for entry in entries for side in (entry.data.bids, entry.data.asks)]
    lengths = np.array([len(side) for side in sides], np.int64)
    counts = lengths.reshape(-1, 2).sum(axis=1)
    total = int(lengths.sum())
    # One array per side: a single one of all levels would hold the interpreter for longer than the event loop may wait.
    numbers = [np.array(side, np.float64).reshape(-1, 2) for side in sides]
    prices, sizes = np.concatenate([*numbers, np.empty((0, 2))]).T
    starts = np.cumsum(lengths) - lengths
    columns = [
        np.repeat(np.array([entry.timestamp for entry in entries], np.int64), counts),
        np.repeat(np.array([entry.data.received_at for entry in entries], np.int64), counts),
        _repeated([entry.data.at for entry in entries], counts),
        _repeated([entry.data.sequence for entry in entries], counts),
        pa.array(["bid", "ask"]).take(pa.array(np.repeat(np.tile([0, 1], len(entries)), lengths))),
        np.arange(total) - np.repeat(starts, lengths),
        np.ascontiguousarray(prices),
        np.ascontiguousarray(sizes),
    ]
    arrays = [
        (each if isinstance(each, pa.Array) else pa.array(each)).cast(field.type)
        for each, field in zip(columns, SCHEMA, strict=True)
    ]
    return pa.table(arrays, schema=SCHEMA)


def best_levels(table: pa.Table, most: int) -> pa.Table:
    """Return the best ``most`` levels of each side of the books of ``table_of_books``."""
    return table.filter(pc.less(table.column("level"), most))


def wide_schema(levels: int) -> pa.Schema:
    """Return the schema of ``wide_table``: times, sequence, then ``bid_price_0``, ``bid_size_0``, ``ask_price_0`` and so on."""
    names = [
        f"{side}_{name}_{level}" for level in range(levels) for side in ("bid", "ask") for name in ("price", "size")
    ]
    return pa.schema([*list(SCHEMA)[:4], *(pa.field(name, pa.float64()) for name in names)])


def wide_table(table: pa.Table, levels: int) -> pa.Table:
    """Return one row per book of ``table_of_books`` with its best ``levels`` of each side; a missing one is null."""
    moments = table.column("timestamp").cast(pa.int64()).to_numpy()
    first = np.flatnonzero(np.diff(moments, prepend=moments[:1] - 1))
    book = np.repeat(np.arange(len(first)), np.diff(first, append=len(moments)))
    level = table.column("level").to_numpy().astype(np.int64)
    place = 4 * level + 2 * pc.equal(table.column("side"), "ask").to_numpy()
    taken = level < levels
    values = np.full((len(first), 4 * levels), np.nan)
    for offset, name in enumerate(("price", "size")):
        values[book[taken], place[taken] + offset] = table.column(name).to_numpy()[taken]
    heads = [table.column(name).take(pa.array(first)) for name in SCHEMA.names[:4]]
    return pa.table(
        [*heads, *(pa.array(np.ascontiguousarray(each), from_pandas=True) for each in values.T)],
        schema=wide_schema(levels),
    )


def _repeated(values: Sequence[int | None], counts: np.ndarray[Any, Any]) -> pa.Array:
    missing = np.array([each is None for each in values], bool)
    numbers = np.array([each or 0 for each in values], np.int64)
    return pa.array(np.repeat(numbers, counts), mask=np.repeat(missing, counts))
