"""
Conversion between columns, Arrow tables and data frames.

Internally, a series is an Arrow table: ``open_time``, then the columns of its chart type, without
nulls, oldest first. pandas and polars are loaded only when their frames are requested.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from chandlery.core.errors import InvalidInput, MalformedResponse
from chandlery.core.fork import require_polars
from chandlery.core.gaps import Span
from chandlery.core.provenance import Provenance
from chandlery.core.query import ChartType
from chandlery.tables.interrupts import uninterrupted

if TYPE_CHECKING:
    import pandas as pd

Output: TypeAlias = Literal["pandas", "polars", "arrow"]
"""Output forms of a result."""

Int64: TypeAlias = np.ndarray[tuple[int], np.dtype[np.int64]]

OPEN_TIME = "open_time"
PROVENANCE_KEY = "chandlery"
"""Key of the provenance in ``attrs`` and in Arrow schema metadata."""

FORMAT_KEY = "chandlery.format"
"""Key of the version of the columns in the Arrow schema metadata of an exported file."""
FORMAT_VERSION = 1
"""Version of the columns, as described in docs/formats.md."""

NANOS = 1_000
"""Nanoseconds in a microsecond."""
_LAST = np.iinfo(np.int64).max // NANOS
"""The last time that a table can hold, in the year 2262."""
_TIME = pa.timestamp("ns", "UTC")
_ARROW: Mapping[str, pa.DataType] = {
    "float64": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "datetime64[ns, UTC]": _TIME,
}
_NUMPY = {pa.float64(): np.dtype(np.float64), pa.int64(): np.dtype(np.int64), _TIME: np.dtype(np.int64)}
"""The types whose Arrow buffer can be used as a numpy array."""


@lru_cache(maxsize=256)
def schema_of(chart_type: ChartType) -> pa.Schema:
    """Return the schema: ``open_time``, then the columns of ``chart_type`` in order; none may be null."""
    columns = {OPEN_TIME: _TIME} | {name: _ARROW[dtype] for name, dtype in chart_type.dtypes.items()}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


def is_wide(schema: pa.Schema) -> bool:
    """Return whether all columns are numbers of 8 bytes."""
    return all(kind in _NUMPY for kind in schema.types)


def as_exported(schema: pa.Schema) -> pa.Schema:
    """Add the version of the export format to the metadata."""
    return schema.with_metadata({**(schema.metadata or {}), FORMAT_KEY: str(FORMAT_VERSION)})


def table_of(chart_type: ChartType, columns: Mapping[str, Any]) -> pa.Table:
    """
    Build a table from ``columns``: numpy arrays, Arrow arrays or sequences, under the names of the schema.

    Times are integers in microseconds. Numbers of the right type are not copied.

    Raises:
        MalformedResponse: A column is missing, is not of its type, has nulls or another length.
    """
    schema = schema_of(chart_type)
    arrays = []
    for field in schema:
        if field.name not in columns:
            raise MalformedResponse(f"{chart_type.name} without the column {field.name}; it has {', '.join(columns)}")
        try:
            arrays.append(_array(field.type, columns[field.name]))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise MalformedResponse(f"{chart_type.name}: {field.name} is not {field.type}: {error}") from error
        if arrays[-1].null_count:
            raise MalformedResponse(f"{chart_type.name}: {field.name} has {arrays[-1].null_count} nulls")
    if len({len(array) for array in arrays}) > 1:
        raise MalformedResponse(f"{chart_type.name}: columns differ in length: {[len(array) for array in arrays]}")
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(kind: pa.DataType, values: Any) -> pa.Array:
    if kind == _TIME:
        moments = np.asarray(values)
        if len(moments) and moments.dtype.kind not in "iu":
            raise TypeError(f"times are integers in microseconds, not {moments.dtype}")
        return wrap(kind, moments.astype(np.int64, copy=False) * NANOS)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        return values.cast(kind)
    dtype = _NUMPY.get(kind)
    if isinstance(values, np.ndarray) and values.dtype == dtype:
        return wrap(kind, values)
    return pa.array(values, kind)


def wrap(kind: pa.DataType, values: np.ndarray[Any, Any]) -> pa.Array:
    """Wrap the memory of ``values``, numbers of 8 bytes, as an Arrow array."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def unwrap(array: pa.Array | pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Return the numbers of an Arrow array, without a copy if it is one chunk; times as nanoseconds."""
    dtype = _NUMPY[array.type]
    if not len(array):
        return np.empty(0, dtype)
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)


def empty_table(chart_type: ChartType) -> pa.Table:
    """Return a table without rows."""
    return empty_of(schema_of(chart_type))


def empty_of(schema: pa.Schema) -> pa.Table:
    """Return a table without rows; ``empty_table`` of pyarrow would load pandas, even in an event loop."""
    return pa.Table.from_batches([], schema)


def open_times(table: pa.Table) -> Int64:
    """Return the open time of each row, in microseconds."""
    return unwrap(table.column(OPEN_TIME)) // NANOS


def slice_span(table: pa.Table, span: Span) -> pa.Table:
    """Return the rows that open in ``span``, without a copy; ``table`` is oldest first."""
    if not span or not table.num_rows:
        return table.slice(0, 0)
    nanos = unwrap(table.column(OPEN_TIME))
    start, end = np.searchsorted(nanos, np.array([min(each, _LAST) * NANOS for each in (span.start, span.end)]))
    return table.slice(int(start), int(end - start))


def to_output(table: pa.Table, output: Output, provenance: Provenance) -> Any:
    """
    Convert rows to the requested form; columns beyond those of the chart type are included.

    - ``"pandas"``: a DataFrame with a UTC ``DatetimeIndex`` named ``open_time``, and the
      provenance in ``attrs["chandlery"]``. It takes over the memory of ``table``, which must not be
      used any more.
    - ``"arrow"``: a Table, with the provenance as JSON in its schema metadata.
    - ``"polars"``: a DataFrame, without the provenance.

    Raises:
        InvalidInput: For another ``output``.
    """
    if output == "arrow":
        return table.replace_schema_metadata({PROVENANCE_KEY: provenance.to_json()})
    if output == "polars":
        require_polars()
        import polars as pl  # noqa: PLC0415  # loaded where it is used

        return uninterrupted(pl.from_arrow)(table.replace_schema_metadata(None))
    if output == "pandas":
        frame = _to_pandas(table)
        frame.attrs[PROVENANCE_KEY] = provenance
        return frame
    raise InvalidInput(f"output must be pandas, polars or arrow, not {output!r}")


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415  # loaded where it is used

    utc = pd.DatetimeTZDtype("ns", "UTC")

    def column(array: pa.ChunkedArray) -> Any:
        if array.type == _TIME:
            return pd.array(unwrap(array).view("M8[ns]"), dtype=utc)
        if array.type in _NUMPY:
            values = unwrap(array)
            # A read-only frame would fail on the first assignment.
            return values if values.flags.writeable else values.copy()
        if array.type == pa.bool_():
            return array.to_numpy()
        return pd.array(array.to_pylist(), dtype="string")

    opened = pd.DatetimeIndex(unwrap(table.column(OPEN_TIME)).view("M8[ns]"), copy=False)
    index = pd.DatetimeIndex(opened.tz_localize("UTC"), name=OPEN_TIME, copy=False)
    columns = {name: column(table.column(name)) for name in table.column_names if name != OPEN_TIME}
    return pd.DataFrame(columns, index=index, copy=False)


def from_pandas(chart_type: ChartType, frame: Any) -> pa.Table:
    """
    Convert a third party's DataFrame to a table, in the frame's order of rows.

    Its index is a ``DatetimeIndex`` with a time zone, named ``open_time`` or unnamed; its columns
    include those of ``chart_type``, in any order; others are left out.

    Raises:
        MalformedResponse: It is anything else; the message has the reason.
    """
    import pandas as pd  # noqa: PLC0415  # loaded where it is used

    if not isinstance(frame, pd.DataFrame):
        raise MalformedResponse(f"not a pandas DataFrame but {type(frame).__name__}")
    index = frame.index
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        raise MalformedResponse(f"the index is not a DatetimeIndex with a time zone but {index.dtype}")
    if index.name not in {None, OPEN_TIME}:
        raise MalformedResponse(f"the index is named {index.name!r}, not {OPEN_TIME!r}")
    columns: dict[str, Any] = {OPEN_TIME: _micros(index)}
    for name, dtype in chart_type.dtypes.items():
        if name in frame:
            values = frame[name]
            columns[name] = (
                _micros(values) if _ARROW[dtype] == _TIME else pa.array(values, from_pandas=dtype != "float64")
            )
    return table_of(chart_type, columns)


def _micros(values: Any) -> Int64:
    import pandas as pd  # noqa: PLC0415  # loaded where it is used

    if not isinstance(getattr(values, "dtype", None), pd.DatetimeTZDtype):
        raise MalformedResponse(f"{values.name} does not hold times with a time zone but {values.dtype}")
    if values.hasnans:
        raise MalformedResponse(f"{values.name} has missing times (NaT)")
    return pd.DatetimeIndex(values).as_unit("us").asi8
