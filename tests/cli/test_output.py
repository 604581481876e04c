"""Tables that fit, files that are whole, accounts that add up."""

from __future__ import annotations

import csv
import io

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from rich.console import Console

from chandlery.cli import output
from chandlery.core.gaps import Gap, GapKind
from chandlery.core.provenance import Event, EventKind, Provenance, SourceSpan
from chandlery.core.query import ChartType
from chandlery.core.time import HOUR, MINUTE
from chandlery.tables.frame import table_of, to_output

PROVENANCE = Provenance.of(
    [SourceSpan(0, HOUR, "vision", 5, cached=True), SourceSpan(HOUR, 2 * HOUR, "rest", 6)],
    [Gap(HOUR, HOUR + MINUTE, GapKind.HALT, "asked twice")],
    [Event(0, MINUTE, EventKind.OFF_GRID), Event(0, HOUR, EventKind.OFF_GRID)],
)


@pytest.fixture
def candles():
    """119 candles of two hours, the first of the second hour missing, with awkward numbers."""
    opens = np.delete(np.arange(120) * MINUTE, 60)
    numbers = np.random.default_rng(7).lognormal(size=(8, 119))
    numbers[:, 0] = [0.1 + 0.2, 1e-8, 5e-324, 1.7976931348623157e308, 1e22, 1 / 3, 100.0, 0.0]
    names = [name for name, dtype in ChartType.KLINES.dtypes.items() if dtype == "float64"]
    columns = dict(zip(names, numbers, strict=True)) | {
        "open_time": opens,
        "close_time": opens + MINUTE - 1000,
        "count": np.arange(119),
    }
    return to_output(table_of(ChartType.KLINES, columns), "arrow", PROVENANCE)


def shown(table, width):
    """What is printed on a console of that width."""
    to = Console(file=io.StringIO(), width=width)
    output.print_rows(to, table)
    return to.file.getvalue()


def test_rows_fit_the_terminal_and_say_what_is_left_out(candles):
    """As many columns as there is room for; the others are named."""
    for width in range(30, 200, 7):
        text = shown(candles, width)
        assert max(map(len, text.splitlines())) <= width
        assert "not shown: " in text
        assert "…" not in text

    whole = shown(candles, 10_000)
    assert all(name in whole for name in candles.column_names)
    assert "not shown" not in whole


def test_long_tables_are_elided(candles):
    """Five rows of either end."""
    text = shown(candles, 10_000)

    assert 2 + 5 + 1 + 5 == len(text.splitlines())
    assert "1970-01-01T00:00:00Z" in text
    assert "1970-01-01T01:59:00Z" in text
    assert "..." not in shown(candles.slice(0, 11), 10_000)
    assert "" == shown(candles.slice(0, 0), 80)


def test_account_by_source(candles):
    """Rows and spans of each source; what came from the cache says whence it had it."""
    assert {"cache (vision)": (60, 1), "rest": (59, 1)} == output.by_source(candles, PROVENANCE)


def test_summary_is_one_line(candles):
    """Rows, sources, gaps and events, in numbers."""
    expected = "119 rows (60 from cache (vision), 59 from rest); 1 gap (1 halt); 2 events (2 off_grid)"

    assert expected == output.summary(candles, PROVENANCE)


def test_account_lists_gaps_and_events(candles):
    """Each with its place and evidence, and no more than a handful."""
    many = [Gap(at * HOUR, (at + 1) * HOUR, GapKind.HALT, "asked twice") for at in range(9)]
    to = Console(file=io.StringIO(), width=200)
    output.print_report(to, candles, Provenance.of(PROVENANCE.spans, many))
    text = to.file.getvalue()

    assert "[1970-01-01T00:00:00Z, 1970-01-01T01:00:00Z) halt: asked twice" in text
    assert "gaps: 9" in text
    assert "and 4 more" in text
    assert "events: none" in text


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
def test_arrow_formats_keep_values_types_and_provenance(candles, tmp_path, suffix):
    """What is read back is what was written, with the provenance in the schema's metadata."""
    path = tmp_path / f"out{suffix}"
    output.write_file(candles, path)

    read = pyarrow.parquet.read_table if suffix == ".parquet" else pyarrow.feather.read_table
    back = read(path)

    assert candles.equals(back)
    assert PROVENANCE == Provenance.from_json(back.schema.metadata[b"chandlery"])
    assert [path] == list(tmp_path.iterdir())


def test_csv_loses_no_digit(candles, tmp_path):
    """Moments are ISO 8601 in UTC, and every number reads back as the same one."""
    path = tmp_path / "out.csv"
    output.write_file(candles, path)

    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert candles.column_names == list(rows[0])
    assert '"' not in path.read_text()
    assert ["1970-01-01T00:00:00Z", "1970-01-01T00:01:00Z"] == [row["open_time"] for row in rows[:2]]
    assert "1970-01-01T00:00:59.999Z" == rows[0]["close_time"]
    for name in ("open", "high", "low", "close", "volume", "quote_asset_volume", "count"):
        assert candles[name].to_pylist() == [float(row[name]) for row in rows]


def test_csv_of_no_rows_is_a_header(candles, tmp_path):
    """An empty result is a file all the same."""
    output.write_file(candles.slice(0, 0), tmp_path / "out.csv")

    assert ",".join(candles.column_names) + "\n" == (tmp_path / "out.csv").read_text()


def test_a_file_that_cannot_be_written_leaves_the_old_one(candles, tmp_path):
    """Nothing half-written remains, and what was there stays."""
    path = tmp_path / "out.csv"
    path.write_text("old")
    nested = candles.append_column("nested", pa.array([[1]] * 119))

    with pytest.raises(pa.ArrowException):
        output.write_file(nested, path)

    assert "old" == path.read_text()
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (25_400, "25.4 kB"), (3 * 10**15, "3000.0 TB")]
)
def test_sizes(size, text):
    """Bytes, for people."""
    assert text == output.size_text(size)


def test_counted():
    """One of a thing is not several."""
    assert ("1 gap", "2 gaps", "0 gaps") == tuple(output.counted(n, "gap") for n in (1, 2, 0))
