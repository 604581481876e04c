"""Validate rows of archive and REST."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from chandlery.core.errors import MalformedResponse
from chandlery.core.gaps import Span, merge
from chandlery.core.interval import AnchoredGrid, Grid, Interval
from chandlery.core.provenance import Event, EventKind
from chandlery.core.time import DAY, MINUTE, Micros, iso
from chandlery.tables.frame import NANOS, OPEN_TIME, open_times, unwrap

Columns = Mapping[str, NDArray[Any]]
"""Candles by column; times in microseconds."""

_PRICES = ("open", "high", "low", "close")
_AMOUNTS = ("volume", "quote_asset_volume", "taker_buy_volume", "taker_buy_quote_volume", "count")

_PARTS = (("taker_buy_volume", "volume"), ("taker_buy_quote_volume", "quote_asset_volume"))
"""The volume that takers bought, and the total."""

_BLOCK = 32_768
"""Number of times compared at once, so that intermediate results stay in the CPU cache."""


class Checked(Struct, frozen=True):
    """The credible rows, in order, without duplicates; the anomalies; the spans to request again."""

    columns: Columns
    events: list[Event]
    doubtful: list[Span]


def flawless(columns: Columns, firsts: Sequence[Micros | None], interval: Grid, spans: Sequence[Span]) -> bool:
    """
    Return whether ``columns`` are exactly the candles of each span, in order, and all credible.

    ``firsts`` are the open times of the first row found for each span. It is the combined result of ``check`` and
    ``holes`` for many spans at once; false for months, whose length varies.
    """
    if interval.micros is None:
        return False
    opens = [np.arange(interval.ceil(span.start), interval.ceil(span.end), interval.micros) for span in spans]
    return (
        [each[0] if len(each) else None for each in opens] == list(firsts)
        and np.array_equal(np.concatenate(opens), columns["open_time"])
        and bool((_possible(columns) & _likely(columns)).all())
    )


def check(columns: Columns, interval: Grid, span: Span, where: str) -> Checked:
    """
    Sort rows, drop duplicates and rows outside ``span``, and set aside rows that are not credible.

    Of duplicates that agree one stays; those that contradict each other are all set aside, as are
    rows whose values no candle can have. Rows off the grid stay and are reported.
    ``where`` names the source in the events.
    """
    events: list[Event] = []
    doubtful: list[Span] = []
    times = columns["open_time"]
    if len(times) and bool(np.any(times[1:] <= times[:-1])):
        columns = _in_order(columns, interval, events, doubtful, where)
    columns = _inside(columns, span, events, where)
    columns = _believable(columns, interval, events, doubtful, where)
    times = columns["open_time"]
    off = _off_grid(times, interval)
    if len(off):
        events.append(
            _event(EventKind.OFF_GRID, times[off], interval, f"{where}: {len(off)} candles open off the grid")
        )
    return Checked(columns, events, merge(doubtful) if doubtful else [])


def holes(times: NDArray[np.int64], interval: Grid, span: Span) -> list[Span]:
    """
    Return the parts of ``span`` that have no candle; ``times`` are ascending open times.

    A candle off the grid counts for the grid place that it lies in.
    """
    first, end = interval.ceil(span.start), interval.ceil(span.end)
    if first >= end or (interval.micros is not None and _evenly_spaced(times, first, end, interval.micros)):
        return []
    at_places = places(times, interval)
    edges = np.concatenate(([interval.place(first) - 1], at_places, [interval.place(end)]))
    at = np.flatnonzero(np.diff(edges) > 1)
    return [Span(interval.moment(int(edges[i]) + 1), interval.moment(int(edges[i + 1]))) for i in at]


def holes_of(table: pa.Table, interval: Grid, span: Span) -> list[Span]:
    """
    Return the parts of ``span`` that have no row in ``table``, which is oldest first.

    A fast path recognises a table without holes by its nanoseconds, without dividing or copying.
    """
    first, end = interval.ceil(span.start), interval.ceil(span.end)
    if interval.micros is not None and first < end:
        nanos = unwrap(table.column(OPEN_TIME))
        if _evenly_spaced(nanos, first * NANOS, end * NANOS, interval.micros * NANOS):
            return []
    return holes(open_times(table), interval, span)


def _evenly_spaced(times: NDArray[np.int64], first: int, end: int, step: int) -> bool:
    """Compare ``times`` with the grid from ``first`` to ``end``, in blocks that fit into the CPU cache."""
    count = len(times)
    if count * step != end - first or times[0] != first or times[-1] != end - step:
        return False
    blocks = range(0, count - 1, _BLOCK)
    return all(bool((np.diff(times[at : at + _BLOCK + 1]) == step).all()) for at in blocks)


def places(times: NDArray[np.int64], interval: Grid) -> NDArray[np.int64]:
    """Return the candle of the grid, numbered from its anchor, that contains each time."""
    if interval.micros is None:
        months = times.astype("datetime64[us]").astype("datetime64[M]")
        return months.astype(np.int64)
    return (times - interval.anchor) // interval.micros


_SHOWN = 3
"""Number of short candles that prove another grid."""


class GridDiffers(MalformedResponse):
    """
    The rows of a series open on another grid than assumed.

    A manager adopts the grid and starts again; for a client used alone it is a malformed response.
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__(f"candles are aligned to {iso(grid.anchor)}, not as declared")
        self.grid = grid


def require_grid(times: NDArray[np.int64], interval: Interval, grid: Grid) -> None:
    """
    Check that candles open on ``grid``; single ones that open elsewhere are tolerated.

    Raises:
        GridDiffers: Most candles of a day or longer open elsewhere, all at the same distance, or so do all
            of at least three shorter ones, by whole minutes.
    """
    if grid.micros is None or not len(times):
        return
    if not (int(times[0]) - grid.anchor) % grid.micros and np.all(times[1:] - times[:-1] == grid.micros):
        return  # the common case, five times as fast
    off = (times - grid.anchor) % grid.micros
    shifts, counts = np.unique(off[off != 0], return_counts=True)
    if not len(shifts):
        return
    shift, count = int(shifts[counts.argmax()]), int(counts.max())
    long = grid.micros >= DAY and 2 * count > len(times)
    if long or (count == len(times) >= _SHOWN and shift % MINUTE == 0):
        raise GridDiffers(AnchoredGrid(interval, grid.anchor + shift))


def _off_grid(times: NDArray[np.int64], interval: Grid) -> NDArray[np.intp]:
    if interval.micros is not None:
        return np.flatnonzero((times - interval.anchor) % interval.micros)
    return np.flatnonzero(
        times.astype("datetime64[us]").astype("datetime64[M]").astype("datetime64[us]").astype(np.int64) != times
    )


def _take(columns: Columns, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def _event(kind: EventKind, times: NDArray[np.int64], interval: Grid, detail: str) -> Event:
    return Event(int(times.min()), interval.step(interval.floor(int(times.max()))), kind, detail)


def _in_order(columns: Columns, interval: Grid, events: list[Event], doubtful: list[Span], where: str) -> Columns:
    times = columns["open_time"]
    if np.any(times[1:] < times[:-1]):
        events.append(_event(EventKind.UNORDERED_ROWS, times, interval, f"{where}: rows out of order were sorted"))
        columns = _take(columns, np.argsort(times, kind="stable"))
        times = columns["open_time"]
    again = np.flatnonzero(times[1:] == times[:-1]) + 1
    if not len(again):
        return columns
    differs = np.zeros(len(again), dtype=bool)
    for values in columns.values():
        differs |= values[again] != values[again - 1]
    contradicted = np.unique(times[again[differs]])
    keep = np.ones(len(times), dtype=bool)
    keep[again] = False
    if len(contradicted):
        keep &= ~np.isin(times, contradicted)
        events.append(
            _event(
                EventKind.CONFLICTING_ROWS,
                contradicted,
                interval,
                f"{where}: {len(contradicted)} candles occur twice with different values",
            )
        )
        doubtful += [Span(int(t), interval.step(interval.floor(int(t)))) for t in contradicted]
    doubled = np.setdiff1d(times[again], contradicted)
    if len(doubled):
        events.append(
            _event(
                EventKind.DOUBLED_ROWS,
                doubled,
                interval,
                f"{where}: {len(doubled)} candles occur twice with equal values",
            )
        )
    return _take(columns, keep)


def _inside(columns: Columns, span: Span, events: list[Event], where: str) -> Columns:
    times = columns["open_time"]
    if not len(times) or (span.start <= times[0] and times[-1] < span.end):
        return columns
    inside = (times >= span.start) & (times < span.end)
    outside = int(len(times) - inside.sum())
    events.append(
        Event(span.start, span.end, EventKind.INVALID_ROWS, f"{where}: {outside} rows outside of {span} were dropped")
    )
    return _take(columns, inside)


def _possible(columns: Columns) -> NDArray[np.bool_]:
    """Return which rows hold values that a candle can have. NaN fails each comparison."""
    opened, high, low, close = (columns[name] for name in _PRICES)
    good: NDArray[np.bool_] = (
        (high >= opened) & (high >= close) & (low <= opened) & (low <= close) & (low > -np.inf) & (high < np.inf)
    )
    for name in _AMOUNTS:
        values = columns.get(name)
        if values is not None:
            good &= (values >= 0) & (values < np.inf)
    return good


def _likely(columns: Columns) -> NDArray[np.bool_]:
    """Return which rows also hold plausible values."""
    good: NDArray[np.bool_] = columns["low"] > 0
    for part, whole in _PARTS:
        if part in columns and whole in columns:
            good &= ~(columns[part] > columns[whole])
    return good


def _believable(columns: Columns, interval: Grid, events: list[Event], doubtful: list[Span], where: str) -> Columns:
    good = _possible(columns)
    likely = _likely(columns) | ~good
    if not likely.all():
        odd = columns["open_time"][~likely]
        events.append(
            _event(
                EventKind.UNLIKELY_ROWS,
                odd,
                interval,
                f"{where}: {len(odd)} rows have a price that is not above 0, or a taker volume above the total volume",
            )
        )
    if good.all():
        return columns
    bad = columns["open_time"][~good]
    events.append(_event(EventKind.INVALID_ROWS, bad, interval, f"{where}: {len(bad)} rows have impossible values"))
    doubtful += [Span(int(t), interval.step(interval.floor(int(t)))) for t in bad]
    return _take(columns, good)
