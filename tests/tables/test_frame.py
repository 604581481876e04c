from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import InvalidInput, MalformedResponse
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.provenance import Provenance
from chandlery.core.query import FUNDING_RATE_DTYPES, OUTPUT_DTYPES, ChartType
from chandlery.core.time import HOUR, MINUTE
from chandlery.tables.frame import (
    empty_table,
    from_pandas,
    is_wide,
    open_times,
    schema_of,
    slice_span,
    table_of,
    to_output,
)

KLINES, FUNDING = ChartType.KLINES, ChartType.FUNDING_RATE
ABOUT = Provenance.of(gaps=[Gap(1, 2, GapKind.HALT, "maintenance")])


def test_importing_it_loads_neither_pandas_nor_polars():
    """Frames of either kind are loaded when one is asked for."""
    code = "import sys, chandlery.cache.arrow_cache; print({'pandas', 'polars'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(("chart_type", "dtypes"), [(KLINES, OUTPUT_DTYPES), (FUNDING, FUNDING_RATE_DTYPES)])
@pytest.mark.parametrize("count", [0, 3])
def test_pandas_output_has_the_documented_index_columns_and_dtypes(make, chart_type, dtypes, count):
    """Index and columns are exact, for no rows too."""
    moments = [make.start + at * HOUR for at in range(count)]
    frame = to_output(make.rows(moments, chart_type=chart_type), "pandas", ABOUT)
    assert frame.index.name == "open_time"
    assert str(frame.index.dtype) == "datetime64[ns, UTC]"
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == dict(dtypes)
    assert list(frame.columns) == list(dtypes)
    assert [moment.value // 1000 for moment in frame.index] == moments


def test_pandas_output_takes_numbers_over_without_a_copy_and_can_be_written_to(make):
    """A frame is the user's own: every column takes a new value; big columns are not copied."""
    opens = np.arange(4.0)
    columns = dict.fromkeys(OUTPUT_DTYPES, opens) | {"open": opens, "count": np.arange(4)}
    times = np.arange(4) * MINUTE
    table = table_of(KLINES, columns | {"open_time": times, "close_time": times})
    frame = to_output(table, "pandas", ABOUT)
    assert np.shares_memory(frame["open"].to_numpy(), opens)
    frame.iloc[0, 0] = 7.0
    frame.loc[frame.index[0], "count"] = 9
    frame.iloc[0, 5] = pd.Timestamp("2024-01-01", tz="UTC")
    assert frame.iloc[0].to_list()[:1] == [7.0]
    assert str(frame["close_time"].dtype) == "datetime64[ns, UTC]"


def test_pandas_output_can_be_written_to_where_arrow_owns_the_memory(make):
    """Rows that polars or a file brought are copied, for their memory is read-only."""
    table = make.rows([make.start, make.start + HOUR])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    frozen = pa.ipc.open_file(sink.getvalue().to_pybytes()).read_all()
    frame = to_output(frozen, "pandas", ABOUT)
    frame.iloc[0, 0] = 7.0
    assert frame.iloc[0, 0] == 7.0


def test_pandas_output_of_many_chunks_is_the_same(make):
    """How the rows are cut does not show."""
    halves = [make.rows([make.start]), make.rows([make.start + HOUR])]
    whole = make.rows([make.start, make.start + HOUR])
    pd.testing.assert_frame_equal(
        to_output(pa.concat_tables(halves), "pandas", ABOUT), to_output(whole, "pandas", ABOUT)
    )


def test_provenance_survives_parquet(make, tmp_path):
    """What the frame carries is plain JSON, so it goes into a file and comes back."""
    frame = to_output(make.day_rows(), "pandas", ABOUT)
    assert frame.attrs["chandlery"] == ABOUT
    frame.to_parquet(tmp_path / "frame.parquet")
    back = pd.read_parquet(tmp_path / "frame.parquet")
    assert Provenance.carried_by(back.attrs).gaps == ABOUT.gaps


def test_arrow_output_carries_the_provenance_in_its_schema(make):
    """Any Arrow reader finds it under the key ``chandlery``."""
    table = to_output(make.day_rows(), "arrow", ABOUT)
    assert table.column_names[0] == "open_time"
    assert Provenance.from_json(table.schema.metadata[b"chandlery"]) == ABOUT


def test_polars_output_has_the_same_rows(make):
    """Columns are as in Arrow, open_time first."""
    frame = to_output(make.day_rows(value=3.0), "polars", ABOUT)
    assert frame.columns == ["open_time", *OUTPUT_DTYPES]
    assert frame.schema["open_time"] == pl.Datetime("ns", "UTC")
    assert frame["close"].to_list() == [3.0] * 24


@pytest.mark.parametrize("output", ["pandas", "polars", "arrow"])
def test_further_columns_are_passed_on(make, output):
    """The mark of the running candle is one."""
    table = make.day_rows().append_column("closed", pa.array([True] * 23 + [False]))
    result = to_output(table, output, ABOUT)
    assert list(result["closed"].to_pylist() if output == "arrow" else result["closed"])[-2:] == [True, False]


def test_an_unknown_output_is_refused(make):
    """The message lists what there is."""
    with pytest.raises(InvalidInput, match="pandas, polars or arrow"):
        to_output(make.day_rows(), "csv", ABOUT)


@given(st.lists(st.integers(0, 40), unique=True).map(sorted), st.integers(-5, 45), st.integers(-5, 45))
def test_slice_span_is_half_open(moments, start, end):
    """A row is in it exactly where its open is."""
    table = table_of(FUNDING, {"open_time": moments} | _texts(len(moments)))
    found = open_times(slice_span(table, Span(start, end))).tolist()
    assert found == [moment for moment in moments if start <= moment < end]


def test_slice_span_takes_a_span_that_ends_after_every_moment_of_a_table():
    """In the year 9999, which nanoseconds do not reach."""
    last = 2**63 // 1000 - 1
    table = table_of(FUNDING, {"open_time": [0, last]} | _texts(2))

    assert 2 == slice_span(table, Span(0, 253_402_300_800_000_000)).num_rows
    assert 0 == slice_span(table, Span(last + 1, 253_402_300_800_000_000)).num_rows


def _texts(count):
    return {"contracts": ["a"] * count, "funding_interval": ["8h"] * count, "funding_rate": [0.0] * count}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"funding_rate": None}, "without the column funding_rate"),
        ({"funding_rate": ["x", "y"]}, "funding_rate is not double"),
        ({"funding_rate": [1.0]}, "differ in length"),
        ({"contracts": ["a", None]}, "contracts has 1 nulls"),
        ({"open_time": [1.5, 2.5]}, "integers in microseconds"),
    ],
)
def test_columns_that_do_not_make_a_table_are_refused(change, told):
    """The message says which column and why."""
    columns = {"open_time": [1, 2], **_texts(2)} | change
    with pytest.raises(MalformedResponse, match=told):
        table_of(FUNDING, {name: values for name, values in columns.items() if values is not None})


def test_numbers_of_another_width_are_widened():
    """Whole numbers make floats, Arrow arrays of polars are taken as they come."""
    columns = {"open_time": np.array([1, 2], np.int32), **_texts(2)}
    rates = pl.Series([1, 2]).to_arrow()
    texts = pl.Series(["a", "b"]).to_arrow()
    table = table_of(FUNDING, columns | {"funding_rate": rates, "contracts": texts})
    assert table.column("funding_rate").to_pylist() == [1.0, 2.0]
    assert table.column("contracts").to_pylist() == ["a", "b"]
    whole = table_of(FUNDING, columns | {"funding_rate": np.array([1, 2])})
    assert whole.column("funding_rate").to_pylist() == [1.0, 2.0]
    chunked = table_of(FUNDING, columns | {"funding_rate": pa.chunked_array([[1.0], [2.0]])})
    assert chunked.column("funding_rate").to_pylist() == [1.0, 2.0]


def test_only_columns_of_eight_bytes_are_wide():
    """Text has no fixed width."""
    assert is_wide(schema_of(KLINES))
    assert not is_wide(schema_of(FUNDING))
    assert empty_table(FUNDING).num_rows == 0


@pytest.mark.parametrize("chart_type", [KLINES, FUNDING])
def test_a_frame_of_pandas_comes_back_as_the_table(make, chart_type):
    """Time zone, unit, order of columns and further columns do not matter."""
    table = make.rows([make.start, make.start + HOUR], chart_type=chart_type)
    frame = to_output(table, "pandas", ABOUT)
    assert from_pandas(chart_type, frame).equals(table)
    turned = frame[list(frame.columns)[::-1]].assign(more=1).tz_convert("Asia/Tokyo")
    turned.index = turned.index.as_unit("us").rename(None)
    assert from_pandas(chart_type, turned).equals(table)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda _: 5, "not a pandas DataFrame but int"),
        (lambda frame: frame.reset_index(drop=True), "not a DatetimeIndex with a time zone"),
        (lambda frame: frame.tz_localize(None), "not a DatetimeIndex with a time zone"),
        (lambda frame: frame.rename_axis("time"), "named 'time'"),
        (lambda frame: frame.drop(columns="open"), "without the column open"),
        (lambda frame: frame.assign(open="x"), "open is not double"),
        (lambda frame: frame.assign(count=None), "count"),
        (lambda frame: frame.assign(close_time=1), "close_time does not hold times"),
        (lambda frame: frame.assign(close_time=pd.Series(pd.NaT, frame.index, "datetime64[ns, UTC]")), "missing"),
        (lambda frame: frame.set_axis([pd.NaT] * len(frame)).tz_localize("UTC"), "missing"),
    ],
)
def test_a_frame_that_is_not_as_agreed_is_refused(make, spoil, told):
    """A third party's client learns what is wrong with what it returned."""
    frame = to_output(make.day_rows(), "pandas", ABOUT)
    with pytest.raises(MalformedResponse, match=told):
        from_pandas(KLINES, spoil(frame))
