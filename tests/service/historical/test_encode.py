"""Tables as what is sent."""

from __future__ import annotations

import io
import json

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv

from chandlery.core.errors import InvalidInput
from chandlery.core.query import ChartType
from chandlery.database.book_rows import table_of_books
from chandlery.service.historical.encode import (
    FORMATS,
    arrow_batches,
    encoded,
    json_blocks,
    json_rows,
    require_format,
    rows_of,
)
from chandlery.service.historical.interfaces import Piece
from chandlery.tables.frame import schema_of
from chandlery.testing.repositories import book_entry as entry
from fixtures.candle_tables import candles

SCHEMA = schema_of(ChartType.KLINES)


async def pieces(*tables):
    """Pieces of tables."""
    for table in tables:
        yield Piece(table)


async def whole(form, *tables):
    """All that is sent."""
    return [part async for part in encoded(pieces(*tables), SCHEMA, form)]


def test_rows_as_json():
    """In the order of the columns, moments in milliseconds, what was not sent is null."""
    table = candles(2, quote=np.nan)
    rows = json.loads(msgspec.json.encode(json_rows(table)))

    assert [60_000, 1.1, 1.1, 1.1, 1.1, 1.1, 119_999, None, 1, None, None] == rows[1]
    assert rows == [list(row) for row in rows_of(table)]


def test_books_as_json():
    """Moments in milliseconds too; a sequence, and a time of the exchange, that is not there is null."""
    rows = rows_of(table_of_books([entry(5_000_000)]))

    assert (5000, 5000, None, None, "bid", 0, 100.0, 1.0) == rows[0]


@settings(max_examples=30)
@given(st.integers(1, 20) | st.integers(2_000, 2_010), st.integers(1, 25), st.booleans())
def test_blocks_are_the_rows(count, size, odd):
    """However they are cut, and whatever their numbers are: as the general way writes them."""
    table = candles(count, quote=np.nan if odd else 1e-9)
    blocks = [json.loads(block) for block in json_blocks(table, size)]

    assert [list(row) for row in rows_of(table)] == [row for block in blocks for row in block]
    assert all(len(block) == size for block in blocks[:-1])
    books = table_of_books([entry(at, sequence=at * odd or None) for at in range(count)])
    assert [list(row) for row in rows_of(books)] == [
        row for each in json_blocks(books, size) for row in json.loads(each)
    ]


@pytest.mark.parametrize("times", [1, 2_001])
@given(numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_every_digit_is_sent(times, numbers):
    """What is decoded is the number that was encoded, of few rows and of many."""
    numbers = (numbers * times)[: max(times, len(numbers))]
    table = pa.table({"a": numbers, "b": [*range(len(numbers))]})

    assert [[number, at] for at, number in enumerate(numbers)] == json.loads(msgspec.json.encode(json_rows(table)))


def test_arrow_is_whole():
    """One stream with all rows."""
    table = candles(10)

    assert table.equals(pa.ipc.open_stream(b"".join(arrow_batches(table))).read_all())


@pytest.mark.parametrize("form", ["arrow", "parquet", "csv"])
async def test_files_are_what_was_put_in(form):
    """Read by the format's own reader, piece after piece."""
    first, second = candles(10), candles(5, 10 * 60_000_000)
    content = b"".join(await whole(form, first, second))
    expected = pa.concat_tables([first, second])
    if form == "csv":
        found = csv.read_csv(io.BytesIO(content))
        assert ",".join(expected.column_names).encode() == content.splitlines()[0]
        assert [at * 60_000 for at in range(15)] == found.column("open_time").to_pylist()
        assert expected.column("close").to_pylist() == found.column("close").to_pylist()
    else:
        found = pa.ipc.open_stream(content).read_all() if form == "arrow" else pq.read_table(io.BytesIO(content))
        assert expected.equals(found.cast(expected.schema))


@pytest.mark.parametrize("form", ["arrow", "parquet", "csv"])
async def test_no_rows_are_a_file_too(form):
    """With the columns."""
    content = b"".join(await whole(form))

    assert b"open_time" in content


async def test_a_long_range_takes_the_memory_of_a_piece():
    """What was sent is not kept."""
    sizes = [len(part) for part in await whole("arrow", *(candles(1000) for _ in range(20)))]

    assert max(sizes) < 2 * min(sizes[1:-1])
    assert len(sizes) >= 20


def test_formats_are_named():
    """The one that there is not, and those that there are."""
    require_format("csv", list(FORMATS))
    with pytest.raises(InvalidInput, match="json, csv, arrow, parquet"):
        require_format("xml", list(FORMATS))
