"""Parsing the CSV of archives: polars against pyarrow, interleaved, by the clock and by CPU time."""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import csv

NAMES = ["open_time", "open", "high", "low", "close", "volume", "close_time", "quote", "count", "buy", "buy_quote", "_"]
INTEGERS = {"open_time", "close_time", "count"}


def text_of(rows):
    """Lines as Binance writes them."""
    random = np.random.default_rng(7)
    opens = 1_704_067_200_000 + 60_000 * np.arange(rows)
    prices = 42_000 + random.random((rows, 4)).round(2) * 100
    volumes = random.random((rows, 4)).round(5) * 1000
    lines = [
        f"{opened},{p[0]:.8f},{p[1]:.8f},{p[2]:.8f},{p[3]:.8f},{v[0]:.8f},{opened + 59_999},{v[1]:.8f},{int(v[0])},{v[2]:.8f},{v[3]:.8f},0"
        for opened, p, v in zip(opens.tolist(), prices, volumes, strict=True)
    ]
    return ("\n".join(lines) + "\n").encode()


def by_polars(text):
    """As chandlery does."""
    schema = {name: pl.Int64 if name in INTEGERS else pl.String if name == "_" else pl.Float64 for name in NAMES}
    frame = pl.read_csv(text, has_header=False, schema=schema, columns=list(range(11)))
    return {name: frame[name].to_numpy() for name in NAMES[:-1]}


def by_pyarrow(text):
    """The same without polars."""
    types = {name: pa.int64() if name in INTEGERS else pa.float64() for name in NAMES[:-1]}
    table = csv.read_csv(
        pa.BufferReader(text),
        csv.ReadOptions(column_names=NAMES, use_threads=True),
        csv.ParseOptions(quote_char=False),
        csv.ConvertOptions(column_types=types, include_columns=NAMES[:-1], null_values=[""]),
    )
    return {name: table[name].to_numpy() for name in NAMES[:-1]}


def main():
    """Print both medians and their ratio for a day, a month, a year."""
    for rows, turns in ((1_440, 60), (44_640, 20), (525_600, 7)):
        text = text_of(rows)
        left, right = by_polars(text), by_pyarrow(text)
        assert all(np.array_equal(left[name], right[name]) for name in left), "they do not agree"
        taken = {by_polars: ([], []), by_pyarrow: ([], [])}
        for _ in range(turns):
            for parse, (wall, cpu) in taken.items():
                began, began_cpu = time.perf_counter(), time.process_time()
                parse(text)
                wall.append(time.perf_counter() - began)
                cpu.append(time.process_time() - began_cpu)
        said = []
        for which, how in ((0, "clock"), (1, "CPU")):
            a, b = (statistics.median(taken[parse][which]) * 1000 for parse in (by_polars, by_pyarrow))
            least = [min(taken[parse][which]) * 1000 for parse in (by_polars, by_pyarrow)]
            said.append(
                f"{how}: polars {a:.2f} ms, pyarrow {b:.2f} ms, ratio {b / a:.2f} (of the least {least[1] / least[0]:.2f})"
            )
        print(f"{rows:>8} rows  " + "; ".join(said))


if __name__ == "__main__":
    sys.exit(main())
