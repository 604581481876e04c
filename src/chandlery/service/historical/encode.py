"""Tables as what is sent: JSON, CSV, Arrow, Parquet."""

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

if TYPE_CHECKING:
    import polars as pl

FORMATS = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
"""The formats, and what HTTP calls them."""

_NANOS_A_MILLI = 1_000_000
_LARGE = 1 << 16
"""From how many bytes on a part is sent by itself rather than copied to its neighbours."""
_WRITTEN_AT_ONCE = 1 << 20
FEW_ROWS = 2_000
"""Up to how many rows are encoded faster without polars, and as fast as a thread is asked."""


def require_format(name: str, known: Sequence[str]) -> None:
    """
    Pass where it is one of the formats.

    Raises:
        InvalidInput: It is not.
    """
    if name not in known:
        raise InvalidInput(f"format is {name!r}; it is one of {', '.join(known)}")


def rows_of(table: pa.Table) -> list[Any]:
    """The rows as JSON values, in the order of the columns: moments in milliseconds, what is not there as ``null``."""
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
    # Only some exchanges leave a column out, and then all of it.
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
    """The rows, encoded."""
    return msgspec.Raw(json_blocks(table, table.num_rows)[0] if table.num_rows else b"[]")


def json_blocks(table: pa.Table, rows: int) -> list[bytes]:
    """
    The rows, so many at a time, each block an encoded array of them.

    Where all columns are numbers and moments, the CSV writer of polars makes the text of many rows, which is the
    fastest way; of few rows it takes longer to start than to encode them.
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
    # A line of numbers without quotes is a JSON array but for its brackets.
    return [b"[[%b]]" % lines[at + 1 : end].replace(b"\n", b"],[") for at, end in pairwise(cuts)]


def _numbers(table: pa.Table) -> pl.DataFrame:
    """Moments as milliseconds, NaN as null."""
    import polars as pl  # noqa: PLC0415  # loaded where it is used

    frame = pl.DataFrame(_plain_moments(table))
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None))


def arrow_batches(table: pa.Table) -> list[Part]:
    """The table as one whole Arrow IPC stream, whose larger parts are the memory of the table."""
    sink = _Parts()
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), table.schema) as writer:
        writer.write_table(table)
    return sink.take()


class _Parts:
    """
    What was written since it was last taken, as it is: the memory of the table, which is not copied.

    Only for Arrow streams; those who write other formats use their memory again.
    """

    closed = False

    def __init__(self) -> None:
        self._parts: list[Part] = []

    def write(self, content: Any) -> None:
        self._parts.append(memoryview(content).cast("B"))

    def take(self) -> list[Part]:
        """Small neighbours as one."""
        taken: list[Part] = []
        for large, group in groupby(self._parts, lambda part: len(part) >= _LARGE):
            parts = list(group)
            taken += parts if large else [b"".join(parts)]
        self._parts = []
        return taken


class _Buffer(io.BytesIO):
    """What was written since it was last taken, copied."""

    def take(self) -> list[Part]:
        content = self.getvalue()
        self.seek(0)
        self.truncate()
        return [content] if content else []


async def encoded(pieces: AsyncGenerator[Piece, None], schema: pa.Schema, form: str) -> AsyncGenerator[Part, None]:
    """
    All pieces as one file of a format, a piece at a time, so that any range takes the memory of one piece.

    Closes the pieces. ``schema`` is that of an answer without rows; Arrow and Parquet carry the version of the format in its metadata. A thread encodes; the event loop passes parts on that are small enough to be written at once.
    """
    writer, buffer = _writer(schema, form), _Parts() if form == "arrow" else _Buffer()
    out = writer(buffer)

    def written(table: pa.Table) -> list[Part]:
        plain = _plain_moments(table) if form == "csv" else table
        out.write_table(plain.cast(out_schema(schema, form)))
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
    """The content, so many bytes at a time as are written without keeping others waiting; not copied."""
    if len(content) <= _WRITTEN_AT_ONCE:
        yield content
        return
    view = memoryview(content)
    for at in range(0, len(content), _WRITTEN_AT_ONCE):
        yield view[at : at + _WRITTEN_AT_ONCE]


def out_schema(schema: pa.Schema, form: str) -> pa.Schema:
    """The schema of a format: in CSV moments are milliseconds."""
    if form != "csv":
        return schema
    return pa.schema([pa.field(each.name, pa.int64()) if pa.types.is_timestamp(each.type) else each for each in schema])


def _writer(schema: pa.Schema, form: str) -> Any:
    def make(buffer: _Parts | _Buffer) -> Any:
        sink = pa.PythonFile(buffer, mode="w")
        if form == "csv":
            # The writer would put quotes around the names.
            buffer.write((",".join(schema.names) + "\n").encode())
            options = csv.WriteOptions(include_header=False, quoting_style="none")
            return csv.CSVWriter(sink, out_schema(schema, form), write_options=options)
        if form == "arrow":
            return pa.ipc.new_stream(sink, as_exported(schema))
        return pq.ParquetWriter(sink, as_exported(schema), compression="zstd")

    return make


def _plain_moments(table: pa.Table) -> pa.Table:
    """Moments as milliseconds."""
    columns = [
        each.cast(pa.timestamp("ms", "UTC"), safe=False).cast(pa.int64()) if pa.types.is_timestamp(each.type) else each
        for each in table.columns
    ]
    return pa.table(columns, table.column_names)
