"""Candles by column: convert an exchange's rows to the columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chandlery.adapter.layout import CandleColumns
from chandlery.core.gaps import Span
from chandlery.core.interval import Grid
from chandlery.core.time import Micros
from chandlery.history.checks import Columns

_INTEGERS = frozenset({"open_time", "close_time", "count"})
_STORED = tuple(name for name in CandleColumns.__struct_fields__ if name != "closed")
"""The columns of a table; for past candles, ``closed`` follows from their age."""


def arrays(rows: CandleColumns) -> Columns:
    """Convert the columns that the exchange sends."""
    sent = {name: getattr(rows, name) for name in _STORED}
    return {
        name: np.fromiter(values, np.int64 if name in _INTEGERS else np.float64, len(values))
        for name, values in sent.items()
        if values is not None
    }


def within(columns: Columns, span: Span) -> Columns:
    """Drop candles that do not open in ``span``: some exchanges answer from its start to now."""
    times = columns["open_time"]
    inside = (times >= span.start) & (times < span.end)
    return columns if inside.all() else {name: values[inside] for name, values in columns.items()}


def whole(columns: Columns, interval: Grid) -> Columns:
    """Add the columns that the exchange does not send: NaN, 0 for the number of trades, and the close by the interval."""
    size = len(columns["open_time"])
    missing: dict[str, NDArray[Any]] = {}
    for name in _STORED:
        if name in columns:
            continue
        if name == "close_time":
            missing[name] = ends_of(columns["open_time"], interval) - 1
        else:
            missing[name] = np.zeros(size, np.int64) if name == "count" else np.full(size, np.nan)
    return {**columns, **missing}


def merged(first: Columns, again: Columns) -> Columns:
    """Merge two readings; the second one wins for candles in both."""
    keep = ~np.isin(first["open_time"], again["open_time"])
    both = {name: np.concatenate([first[name][keep], again[name]]) for name in first}
    order = np.argsort(both["open_time"], kind="stable")
    return {name: values[order] for name, values in both.items()}


def inside(columns: Columns, spans: Sequence[Span]) -> Columns:
    """Return the candles that open in one of ``spans``, which are in order and disjoint."""
    times = columns["open_time"]
    keep = np.zeros(len(times), dtype=bool)
    for span in spans:
        keep[np.searchsorted(times, span.start) : np.searchsorted(times, span.end)] = True
    return columns if keep.all() else {name: values[keep] for name, values in columns.items()}


def closed(columns: Columns, grid: Grid, now: Micros) -> Columns:
    """Drop candles that end after ``now``, by their open time and length and by the close that the exchange sends."""
    times = columns["open_time"]
    if not len(times):
        return columns
    over = ends_of(times, grid) <= now
    sent = columns.get("close_time")
    if sent is not None:
        over &= sent <= now
    return columns if over.all() else {name: values[over] for name, values in columns.items()}


def ends_of(opens: NDArray[np.int64], grid: Grid) -> NDArray[np.int64]:
    """Return the end of each candle."""
    if grid.micros is not None:
        return opens + grid.micros
    return np.array([grid.step(grid.floor(int(opened))) for opened in opens], np.int64)
