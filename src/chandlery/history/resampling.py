"""Resample candles to a longer interval, as an exchange would."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct, structs
from numpy.typing import NDArray

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import InvalidInput, UnknownName, UnsupportedRequest
from chandlery.core.gaps import GapKind, Span
from chandlery.core.interval import Grid, Interval
from chandlery.core.provenance import Event, EventKind, Provenance
from chandlery.core.query import CandleQuery, ChartType
from chandlery.core.resampling import RESAMPLING, How, columns_of
from chandlery.core.time import DAY, SECOND
from chandlery.history.checks import places
from chandlery.history.columns import ends_of
from chandlery.tables.frame import NANOS, OPEN_TIME, PROVENANCE_KEY, Output, schema_of, to_output, wrap
from chandlery.tables.many import SYMBOL, joined, output_of_many
from chandlery.tables.part import Part
from chandlery.tables.resample import beginnings, resampled

_Frame = TypeVar("_Frame")
_Columns = dict[str, NDArray[Any]]

_PRICES = ("open", "high", "low", "close")
_CLOSE_TIME = "close_time"
_TIME = pa.timestamp("ns", "UTC")


class _Known(Struct, frozen=True):
    """The span whose candles are known, and spans within it whose candles could not be fetched."""

    span: Span
    lost: Sequence[Span] = ()


def resample(
    frame: _Frame, interval: Interval | str, *, exchange: str | None = None, report: Mapping[str, Any] | None = None
) -> _Frame:
    """
    Combine candles to longer ones.

    Only whole candles are returned: at the ends, a longer candle that begins before the known data or ends after it is
    left out, and so is one of which a part could not be fetched. Without ``exchange``, days begin at 00:00 UTC, weeks
    on Monday, and an interval without candles has none.

    Args:
        frame: Candles as ``get_data`` returns them, in any output, of one symbol or several. A frame of another origin
            needs ``open_time`` (the index in pandas), ``open``, ``high``, ``low``, ``close`` and ``volume``. Without
            ``close_time``, the shortest distance between two candles is taken for the length of all.
        interval: The longer interval: ``"1h"``.
        exchange: Align as this exchange does, e.g. ``"htx_spot"``, and add empty candles if it sends them: all prices
            are the close before, all volumes 0.
        report: The provenance of the frame, of several symbols by symbol, for polars frames, which carry none.

    Raises:
        InvalidInput: The frame has other columns, is not in order, or its candles do not fit into the interval.
        UnknownInterval: It is not an interval.
        UnknownName: It is not an exchange.
    """
    grid, fills = _alignment(interval if isinstance(interval, Interval) else Interval(interval), exchange)
    form = _form(frame)
    table = _table(frame, form)
    carried = _carried(frame) if report is None else report
    if SYMBOL in table.column_names:
        labels = pc.unique(table.column(SYMBOL)).to_pylist()
        reports = {label: Provenance((carried or {}).get(label) or {}) for label in labels}
        parts = {label: table.filter(pc.equal(table.column(SYMBOL).cast(pa.string()), label)) for label in labels}
        longer = {label: _resampled(part, grid, reports[label], fills=fills) for label, part in parts.items()}
        return output_of_many(joined(longer), reports, form)  # type: ignore[no-any-return]  # the form of the frame
    found = _resampled(table, grid, None if carried is None else Provenance(carried), fills=fills)
    return _as(form, found, frame)  # type: ignore[no-any-return]  # the same


def available(query: CandleQuery, *, include_open: bool) -> tuple[CandleQuery, Callable[[Part], Part]]:
    """
    Return a query that the exchange can answer, and what makes the rows of the original one of the answer.

    If an exchange lacks the interval, that is the longest one that fits into it; otherwise the query itself.

    Raises:
        UnsupportedRequest: The running candle is to be included, which is not resampled.
    """
    adapter, interval = _adapter(query), query.interval
    if adapter is None or query.chart_type is not ChartType.KLINES or interval in adapter.intervals:
        return query, lambda part: part
    made = adapter()
    grid = made.grid(interval)
    fitting = [each for each in adapter.intervals if _fits(made.grid(each), grid)]
    if not fitting:
        return query, lambda part: part  # its client refuses it
    if include_open:
        raise UnsupportedRequest(
            f"include_open needs an interval that {adapter.id} has: {' '.join(each.value for each in adapter.intervals)}"
        )
    shorter = max(fitting, key=lambda each: each.longest)
    span = Span(grid.ceil(query.span.start), grid.ceil(query.span.end)) or query.span

    def longer(part: Part) -> Part:
        table = _resampled(part.table, grid, part.provenance, fills=False).cast(schema_of(ChartType.KLINES))
        detail = f"{adapter.id} has no {interval.value} candles; these are made of {shorter.value}"
        return structs.replace(
            part, table=table, events=[*part.events, Event(span.start, span.end, EventKind.RESAMPLED, detail)]
        )

    return structs.replace(query, interval=shorter, span=span), longer


def _adapter(query: CandleQuery) -> type[ExchangeAdapter] | None:
    """Return the adapter of a query's market; a third party's provider has none."""
    try:
        return ExchangeRegistry.of_market(query.provider, query.market_type)
    except UnknownName:
        return None


def _fits(shorter: Grid, longer: Grid) -> bool:
    """Return whether each candle of a grid lies in one candle of another."""
    length = DAY if longer.micros is None else longer.micros
    step = shorter.micros
    return step is not None and step < longer.longest and length % step == 0 == (longer.anchor - shorter.anchor) % step


def _alignment(interval: Interval, exchange: str | None) -> tuple[Grid, bool]:
    """Return the grid of an interval at an exchange, and whether that sends empty candles."""
    if exchange is None:
        return interval, False
    name = exchange.strip().lower()
    adapters = [each for each in ExchangeRegistry.adapters() if each.provider.value.lower() == name]
    adapter = adapters[0] if adapters else ExchangeRegistry.get(name)
    return adapter().grid(interval), adapter.sends_empty_candles


def _resampled(table: pa.Table, grid: Grid, report: Provenance | None, *, fills: bool) -> pa.Table:
    opens = _micros(table.column(OPEN_TIME))
    columns = {name: table.column(name).to_numpy() for name in RESAMPLING if name in table.column_names}
    if not len(opens):
        return _table_of({OPEN_TIME: opens, **columns, _CLOSE_TIME: opens}, table)
    if (opens[1:] <= opens[:-1]).any():
        raise InvalidInput("the candles are not in order, or one is there twice; sort them by open_time")
    ends = _ends(table, opens)
    place = places(opens, grid)
    if (places(ends - 1, grid) != place).any():
        raise InvalidInput("the candles do not fit into the interval: one begins in one and ends in the next")
    firsts = beginnings(place)
    longer = resampled(columns, firsts)
    places_of = place[firsts]
    if fills:
        longer, places_of = _filled(longer, places_of)
    longer_opens = np.fromiter((grid.moment(int(each)) for each in places_of), np.int64, len(places_of))
    longer_ends = ends_of(longer_opens, grid)
    known = _known(report, Span(int(opens[0]), int(ends[-1])))
    keep = (longer_opens >= known.span.start) & (longer_ends <= known.span.end)
    for lost in known.lost:
        keep &= (longer_ends <= lost.start) | (longer_opens >= lost.end)
    before = int(ends[0] - _micros(table.column(_CLOSE_TIME))[0]) if _CLOSE_TIME in table.column_names else 1
    result = {OPEN_TIME: longer_opens, **longer, _CLOSE_TIME: longer_ends - before}
    return _table_of({name: values[keep] for name, values in result.items()}, table)


def _table_of(columns: _Columns, like: pa.Table) -> pa.Table:
    """Build a table with the columns in their order in ``like``; the close time last if that lacks it."""
    times = {OPEN_TIME, _CLOSE_TIME}
    order = dict.fromkeys([OPEN_TIME, *(name for name in like.column_names if name in columns), *columns])
    arrays = {name: wrap(_TIME, columns[name] * NANOS) if name in times else pa.array(columns[name]) for name in order}
    return pa.table(arrays, metadata=like.schema.metadata)


def _ends(table: pa.Table, opens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the end of each candle: after its close, or by the shortest distance of two."""
    if _CLOSE_TIME in table.column_names:
        # The close is a millisecond or a microsecond before the end, as the exchange writes it.
        closes = _micros(table.column(_CLOSE_TIME))
        return np.asarray(closes - closes % SECOND + SECOND)
    if len(opens) == 1:
        raise InvalidInput("one candle without close_time has no length; add close_time")
    return np.asarray(opens + np.diff(opens).min())


def _filled(columns: _Columns, found: NDArray[np.int64]) -> tuple[_Columns, NDArray[np.int64]]:
    """Add an empty candle at each place without one: the close before, and nothing traded."""
    every = np.arange(found[0], found[-1] + 1)
    before = np.searchsorted(found, every, "right") - 1
    empty = found[before] != every
    filled = {name: values[before] for name, values in columns.items()}
    for name in _PRICES:
        filled[name][empty] = filled["close"][empty]
    for name in columns_of(How.SUM):
        if name in filled:
            filled[name][empty] = 0
    return filled, every


def _known(report: Provenance | None, rows: Span) -> _Known:
    """Return what a report tells of the data, otherwise the span of the rows."""
    if report is None or not (report.spans or report.gaps):
        return _Known(rows)
    parts = [*(each.span for each in report.spans), *(gap.span for gap in report.gaps)]
    lost = [gap.span for gap in report.gaps if gap.kind.is_failure or gap.kind is GapKind.NOT_YET]
    return _Known(Span(min(each.start for each in parts), max(each.end for each in parts)), lost)


def _carried(frame: Any) -> Mapping[str, Any] | None:
    """Return the provenance that a frame carries, of several symbols by symbol."""
    if isinstance(frame, pa.Table):
        text = (frame.schema.metadata or {}).get(PROVENANCE_KEY.encode())
        return None if text is None else msgspec.json.decode(text)
    found = getattr(frame, "attrs", {}).get(PROVENANCE_KEY)
    return found if isinstance(found, Mapping) else None


def _form(frame: Any) -> Output:
    if isinstance(frame, pa.Table):
        return "arrow"
    module = type(frame).__module__.partition(".")[0]
    if type(frame).__name__ == "DataFrame" and module in {"pandas", "polars"}:
        return "pandas" if module == "pandas" else "polars"
    raise InvalidInput(f"{type(frame).__name__} is not a frame; use a pandas or polars DataFrame, or an Arrow table")


def _table(frame: Any, form: Output) -> pa.Table:
    """Return the columns that are needed as a table, without a copy of numbers."""
    if form == "pandas":
        index = frame.index
        times = index.get_level_values(-1)
        if getattr(times, "tz", None) is None:
            raise InvalidInput("the index is not a DatetimeIndex with a time zone")
        wanted = {name: pa.array(frame[name]) for name in frame if name in RESAMPLING or name == _CLOSE_TIME}
        symbols = {SYMBOL: pa.array(index.get_level_values(0), pa.string())} if index.nlevels > 1 else {}
        table = pa.table({**symbols, OPEN_TIME: pa.array(times), **wanted})
    else:
        table = frame if form == "arrow" else frame.to_arrow()
    missing = [name for name in (OPEN_TIME, *_PRICES, "volume") if name not in table.column_names]
    if missing:
        raise InvalidInput(f"the frame lacks {', '.join(missing)}; it has {', '.join(table.column_names)}")
    for field in table.schema:
        if field.name in {OPEN_TIME, _CLOSE_TIME} and not pa.types.is_timestamp(field.type):
            raise InvalidInput(f"{field.name} is {field.type}; use timestamps, whose unit is known")
        if field.name in RESAMPLING and not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
            raise InvalidInput(f"{field.name} is {field.type}; use numbers")
    return table


def _as(form: Output, table: pa.Table, frame: Any) -> Any:
    if form == "arrow":
        return table
    result = to_output(table, form, Provenance.of())
    if form == "pandas":
        result.attrs = dict(frame.attrs)
    return result


def _micros(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(column.cast(_TIME).cast(pa.int64()).to_numpy() // NANOS, np.int64)
