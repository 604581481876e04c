"""Rows of several symbols in one table, and their reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chandlery.core.provenance import Provenance
from chandlery.tables.frame import PROVENANCE_KEY, Output, to_output

SYMBOL = "symbol"
_KIND = pa.dictionary(pa.int32(), pa.string())


def joined(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Concatenate the tables of several symbols, with the column ``symbol`` first; the rows are not copied."""
    codes = np.repeat(np.arange(len(tables), dtype=np.int32), [len(table) for table in tables.values()])
    symbols = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(list(tables), pa.string()))
    return pa.concat_tables(tables.values()).add_column(0, pa.field(SYMBOL, _KIND, nullable=False), symbols)


def output_of_many(table: pa.Table, reports: Mapping[str, Provenance], output: Output) -> Any:
    """
    Convert a table with the column ``symbol`` to the requested form.

    - ``"pandas"``: a frame with a ``MultiIndex`` of ``symbol`` and ``open_time``, and the provenance of each symbol in
      ``attrs["chandlery"]``.
    - ``"arrow"``: a table, with the provenance of each symbol as JSON in its schema metadata.
    - ``"polars"``: a frame, without the provenance.
    """
    if output == "pandas":
        return _to_pandas(table, reports)
    if output == "arrow":
        return table.replace_schema_metadata({PROVENANCE_KEY: msgspec.json.encode(reports)})
    return to_output(table, output, Provenance.of())


def _to_pandas(table: pa.Table, reports: Mapping[str, Provenance]) -> Any:
    import pandas as pd  # noqa: PLC0415  # loaded where it is used

    symbols = table.column(SYMBOL).combine_chunks()
    if isinstance(symbols, pa.ChunkedArray):
        symbols = symbols.chunk(0) if symbols.num_chunks else pa.array([], _KIND)
    frame = to_output(table.drop_columns([SYMBOL]), "pandas", Provenance.of())
    # Both levels as codes: from the values pandas would hash each text and each time of each row.
    numbers = symbols.indices.to_numpy()
    opened, places = _factorized(frame.index.asi8, np.flatnonzero(np.diff(numbers)) + 1)
    times = pd.DatetimeIndex(opened.view("M8[ns]")).tz_localize("UTC")
    codes: Any = [numbers, places]
    levels: Any = [pd.Index(symbols.dictionary.to_pylist(), dtype=object), times]
    frame.index = pd.MultiIndex(levels, codes, names=[SYMBOL, frame.index.name])
    frame.attrs[PROVENANCE_KEY] = dict(reports)
    return frame


def _factorized(times: NDArray[np.int64], bounds: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """
    Return the distinct times, ascending, and the number of each time among them.

    ``bounds`` split the times into parts that are ascending. Mostly all parts have the same times, so that they are
    not sorted.
    """
    parts = np.split(times, bounds)
    distinct = parts[0]
    for part in parts:
        if not np.array_equal(part, distinct):
            distinct = np.union1d(distinct, part)
    every = np.arange(len(distinct))
    codes = [every if len(part) == len(distinct) else np.searchsorted(distinct, part) for part in parts]
    return distinct, np.concatenate(codes)
