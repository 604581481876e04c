"""Order books by column."""

from __future__ import annotations

from chandlery.database.book_rows import SCHEMA, table_of_books
from chandlery.testing.repositories import book_entry as entry


def test_a_row_a_level():
    """Bids before asks, best first, book after book."""
    table = table_of_books([entry(10, sequence=5), entry(20)])

    assert ["bid", "bid", "ask"] * 2 == table.column("side").to_pylist()
    assert [0, 1, 0] * 2 == table.column("level").to_pylist()
    assert [100.0, 99.5, 100.5] * 2 == table.column("price").to_pylist()
    assert [5, 5, 5, None, None, None] == table.column("sequence").to_pylist()
    assert [10] * 3 + [20] * 3 == [each.value for each in table.column("timestamp")]


def test_no_books():
    """No rows, the same columns."""
    assert table_of_books([]).equals(SCHEMA.empty_table())
