"""Encoding of tables as JSON, CSV, Arrow and Parquet."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from chandlery.core.errors import InvalidInput
from chandlery.service.frames import Part
from chandlery.service.historical.interfaces import Piece
from chandlery.tables.frame import as_exported, unwrap
from chandlery.tables.interrupts import uninterrupted

if TYPE_CHECKING:
    import polars as pl

FORMATS = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
"""Formats and their media types."""

_NANOS_A_MILLI = 1_000_000
_LARGE = 1 << 16
"""Size in bytes from which a part is sent separately instead of being copied."""
_WRITTEN_AT_ONCE = 1 << 20
FEW_ROWS = 2_000
"""Maximum number of rows that are encoded faster without polars, and without a thread."""


def require_format(name: str, known: Sequence[str]) -> None:
    """
    Check that a format is supported.

    Raises:
        InvalidInput: It is not.
    """
    if name not in known:
        raise InvalidInput(f"format is {name!r}; use one of {', '.join(known)}")


def rows_of(table: pa.Table) -> list[Any]:
    """Return the rows as JSON values, in column order: times in milliseconds, missing values as ``null``."""
    return [*zip(*(_values(column) for column in table.columns), strict=True)]


def _values(column: pa.ChunkedArray) -> list[Any]:
    if column.null_count == len(column):
        return [None] * len(column)
    if pa.types.is_timestamp(column.type):
        return _millis(column)
    if column.null_count or not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        plain: list[Any] = column.to_pylist()
        return plain
    numbers = column.to_numpy()
    listed: list[Any] = numbers.tolist()
    # Only some exchanges lack a column, and then entirely.
    if pa.types.is_floating(column.type) and np.isnan(numbers).any():
        return [None if each != each else each for each in listed]  # noqa: PLR0124  # NaN alone differs from itself
    return listed


def _millis(column: pa.ChunkedArray) -> list[Any]:
    if column.null_count:
        micros = column.cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64()).to_pylist()
        return [None if each is None else each // 1_000 for each in micros]
    moments = column.cast(pa.int64()).to_numpy() if column.type.unit != "ns" else unwrap(column)
    per_milli = {"ns": _NANOS_A_MILLI, "us": 1_000}[column.type.unit]
    values: list[Any] = (moments // per_milli).tolist()
    return values


def json_rows(table: pa.Table) -> msgspec.Raw:
    """Encode the rows as JSON."""
    return msgspec.Raw(json_blocks(table, table.num_rows)[0] if table.num_rows else b"[]")


@uninterrupted
def json_blocks(table: pa.Table, rows: int) -> list[bytes]:
    """
    Encode the rows in blocks of ``rows``, each a JSON array of rows.

    If all columns are numbers and times, the CSV writer of polars formats many rows, which is fastest; for few rows its
    start-up takes longer than encoding them.
    """
    if table.num_rows <= FEW_ROWS or any(
        pa.types.is_string(kind) or pa.types.is_boolean(kind) for kind in table.schema.types
    ):
        listed = rows_of(table)
        return [msgspec.json.encode(listed[at : at + rows]) for at in range(0, len(listed), rows)]
    buffer = io.BytesIO()
    _numbers(table).write_csv(buffer, include_header=False, null_value="null", quote_style="never")
    lines = buffer.getvalue()
    ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n"))
    cuts = [-1, *ends[rows - 1 : -1 : rows].tolist(), len(lines) - 1]
    # A CSV line of unquoted numbers is a JSON array without brackets.
    return [b"[[%b]]" % lines[at + 1 : end].replace(b"\n", b"],[") for at, end in pairwise(cuts)]


def _numbers(table: pa.Table) -> pl.DataFrame:
    """Return times as milliseconds, and NaN as null."""
    import polars as pl  # noqa: PLC0415  # loaded where it is used

    frame = pl.DataFrame(_plain_moments(table))
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None))


def arrow_batches(table: pa.Table) -> list[Part]:
    """Encode the table as one complete Arrow IPC stream; larger parts share the table's memory."""
    sink = _Parts()
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), table.schema) as writer:
        writer.write_table(table)
    return sink.take()


class _Parts:
    """
    Writer that collects its parts without copying the memory of the table.

    Only for Arrow streams; writers of other formats reuse their memory.
    """

    closed = False

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def write(self, content: Any) -> None:
        self._parts.append(memoryview(content).cast("B"))

    def take(self) -> list[Part]:
        """Return the parts since the last call, small adjacent ones joined."""
        taken: list[Part] = []
        for large, group in groupby(self._parts, lambda part: len(part) >= _LARGE):
            parts = list(group)
            taken += parts if large else [b"".join(parts)]
        self._parts = []
        return taken


class _Buffer(io.BytesIO):
    """Writer that collects a copy of the output since the last call."""

    def take(self) -> list[Part]:
        content = self.getvalue()
        self.seek(0)
        self.truncate()
        return [content] if content else []


async def encoded(pieces: AsyncGenerator[Piece, None], schema: pa.Schema, form: str) -> AsyncGenerator[Part, None]:
    """
    Encode pieces as one file, one piece at a time, so that memory is bounded by one piece for any range.

    Closes the pieces. ``schema`` is used if there are no rows; Arrow and Parquet store the format version in its
    metadata. A thread encodes; the event loop passes on parts small enough to be written at once.
    """
    writer, buffer = _writer(schema, form), _Parts() if form == "arrow" else _Buffer()
    out = writer(buffer)

    def written(table: pa.Table) -> list[Part]:
        plain = _plain_moments(table) if form == "csv" else table
        out.write_table(plain.cast(_out_schema(schema, form)))
        return buffer.take()

    def closed() -> list[Part]:
        out.close()
        return buffer.take()

    async with aclosing(pieces):
        async for piece in pieces:
            if piece.table.num_rows:
                for part in await asyncio.to_thread(written, piece.table):
                    for each in slices(part):
                        yield each
    for part in await asyncio.to_thread(closed):
        for each in slices(part):
            yield each


def slices(content: Part) -> Iterator[Part]:
    """Split the content, without copying, into slices that the event loop can write without delaying others."""
    if len(content) <= _WRITTEN_AT_ONCE:
        yield content
        return
    view = memoryview(content)
    for at in range(0, len(content), _WRITTEN_AT_ONCE):
        yield view[at : at + _WRITTEN_AT_ONCE]


def _out_schema(schema: pa.Schema, form: str) -> pa.Schema:
    """Return the output schema of a format: CSV has times in milliseconds."""
    if form != "csv":
        return schema
    return pa.schema([pa.field(each.name, pa.int64()) if pa.types.is_timestamp(each.type) else each for each in schema])


def _writer(schema: pa.Schema, form: str) -> Any:
    def make(buffer: _Parts | _Buffer) -> Any:
        sink = pa.PythonFile(buffer, mode="w")
        if form == "csv":
            # The writer would quote the names.
            buffer.write((",".join(schema.names) + "\n").encode())
            options = csv.WriteOptions(include_header=False, quoting_style="none")
            return csv.CSVWriter(sink, _out_schema(schema, form), write_options=options)
        if form == "arrow":
            return pa.ipc.new_stream(sink, as_exported(schema))
        return pq.ParquetWriter(sink, as_exported(schema), compression="zstd")

    return make


def _plain_moments(table: pa.Table) -> pa.Table:
    """Convert times to milliseconds."""
    columns = [
        each.cast(pa.timestamp("ms", "UTC"), safe=False).cast(pa.int64()) if pa.types.is_timestamp(each.type) else each
        for each in table.columns
    ]
    return pa.table(columns, table.column_names)
