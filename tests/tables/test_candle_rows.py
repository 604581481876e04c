"""Stored candles by column, with when each came."""

from __future__ import annotations

import pyarrow as pa

from chandlery.core.time import MINUTE
from chandlery.tables.candle_rows import SCHEMA, TIMES, timed, times_of


def test_times_stand_behind_the_columns_of_the_library(make):
    """In microseconds; null where they are not known, and what the schema carries besides stays."""
    plain = make.rows([0, MINUTE]).replace_schema_metadata({"chandlery": "{}"})
    known = timed(plain, {"received_at": [7, None], "at": [None, 5]})

    assert (SCHEMA, [*plain.column_names, *TIMES]) == (known.schema, known.column_names)
    assert {b"chandlery": b"{}"} == known.schema.metadata
    assert [[7, None], [None, 5]] == [times_of(known, name) for name in TIMES]
    assert [[None, None]] * 4 == [times_of(each, name) for each in (plain, timed(plain)) for name in TIMES]
    assert plain.equals(known.select(plain.column_names))


def test_tables_with_and_without_times_are_put_together():
    """One of no rows too."""
    empty = pa.Table.from_batches([], SCHEMA)

    assert SCHEMA == pa.concat_tables([empty, timed(empty.drop_columns([*TIMES]))]).schema
