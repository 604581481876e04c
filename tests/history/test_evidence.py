"""Recorded archive rows, zipped and served, come back value for value as an independent reader has them."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from chandlery.core.instrument import MarketType
from chandlery.core.moment import to_micros
from chandlery.core.query import OUTPUT_DTYPES, DataSource
from chandlery.history.manager import DataSourceManager
from chandlery.sim.recorded import RecordedMarket
from chandlery.sim.server import running
from fixtures.support import COLUMNS, at

NOW = to_micros(datetime(2025, 6, 1, tzinfo=UTC))


def read_independently(path):
    """Rows by csv and Decimal alone: times in nanoseconds by the year that the unit makes plausible."""
    rows = []
    with path.open(newline="") as lines:
        for row in csv.reader(lines):
            if row[0] == "open_time":
                continue
            scale = 10**6 if int(row[0]) < 10**14 else 10**3
            rows.append(
                (
                    int(row[0]) * scale,
                    *(Decimal(value) for value in row[1:6]),
                    int(row[6]) * scale,
                    *(Decimal(value) for value in row[7:11]),
                )
            )
    return rows


def assert_equal(frame, rows):
    """Each value of the frame is the float nearest to the decimal of the file."""
    assert list(OUTPUT_DTYPES) == list(frame.columns)
    np.testing.assert_array_equal([row[0] for row in rows], frame.index.asi8)
    for place, name in enumerate(COLUMNS[1:], 1):
        values = frame[name].array.asi8 if name == "close_time" else frame[name].to_numpy()
        wanted = [row[place] if name == "close_time" else float(row[place]) for row in rows]
        np.testing.assert_array_equal(wanted, values, err_msg=name)


@pytest.fixture(scope="module")
def serve(recorded):
    """Serves one folder of recorded files as one market."""

    def one(folder, market_type):
        market = RecordedMarket(folders={market_type: recorded / "binance-vision" / folder})
        return running(market, clock=lambda: NOW, weight_limit=10_000_000, tick_s=None)

    return one


@pytest.mark.parametrize("source", [DataSource.AUTO, DataSource.VISION, DataSource.REST])
def test_spot_hours_across_the_change_from_milliseconds_to_microseconds(serve, recorded, tmp_path, source):
    """Four files, of which two are in milliseconds and two in microseconds, in one call, cold and warm."""
    files = sorted((recorded / "binance-vision/spot-1h-ginghong").glob("*.csv"))
    rows = [row for file in files for row in read_independently(file)]
    with serve("spot-1h-ginghong", MarketType.SPOT) as sim:
        options = {"cache_dir": tmp_path, "endpoints": sim.endpoints, "clock": lambda: NOW}
        with DataSourceManager(**options) as manager:
            for _ in range(2):
                frame = manager.get_data("BTCUSDT", at(2024, 11, 1), at(2025, 3, 1), "1h", enforce_source=source)

                assert 2880 == len(rows)
                assert_equal(frame, rows)
                assert () == frame.attrs["chandlery"].gaps


def test_one_call_over_the_turn_of_the_year(serve, recorded):
    """From the last hours of milliseconds to the first of microseconds, by daily files."""
    folder = recorded / "binance-vision/spot-1h-ginghong"
    rows = [row for month in ("2024-12", "2025-01") for row in read_independently(folder / f"BTCUSDT-1h-{month}.csv")]
    start, end = at(2024, 12, 31), at(2025, 1, 2)
    with (
        serve("spot-1h-ginghong", MarketType.SPOT) as sim,
        DataSourceManager(use_cache=False, endpoints=sim.endpoints, clock=lambda: NOW) as manager,
    ):
        frame = manager.get_data("BTCUSDT", start, end, "1h")

    assert 48 == len(frame)
    assert_equal(frame, [row for row in rows if to_micros(start) <= row[0] // 1000 < to_micros(end)])


@pytest.mark.parametrize(
    ("symbol", "start", "end", "months"),
    [
        ("FILUSDT", at(2023, 4, 1), at(2023, 7, 1), ("2023-04", "2023-05", "2023-06")),
        ("ALGOUSDT", at(2025, 2, 1), at(2025, 3, 1), ("2025-02",)),
    ],
)
def test_usd_m_minutes_with_a_header_line(serve, recorded, tmp_path, symbol, start, end, months):
    """Every row of the futures files, which begin with a header and stay in milliseconds."""
    folder = recorded / "binance-vision/um-1m-owlacar"
    rows = [row for month in months for row in read_independently(folder / f"{symbol}-1m-{month}.csv")]
    with serve("um-1m-owlacar", MarketType.FUTURES_USDT) as sim:
        options = {"cache_dir": tmp_path, "endpoints": sim.endpoints, "clock": lambda: NOW}
        with DataSourceManager(MarketType.FUTURES_USDT, **options) as manager:
            for _ in range(2):
                frame = manager.get_data(symbol, start, end, "1m")

                assert_equal(frame, rows)
                assert () == frame.attrs["chandlery"].gaps


def test_the_golden_week(recorded, tmp_path):
    """168 hours as another project normalised them; served as the CSV that they were made from."""
    golden = pq.read_table(recorded / "binance-vision/golden-terrylica/btcusdt_spot_1h_2024w01.parquet").to_pandas()
    with (tmp_path / "BTCUSDT-1h-2024-01.csv").open("w", newline="") as target:
        for row in golden.itertuples():
            moments = (row.open_time.value // 10**6, row.close_time.value // 10**6)
            target.write(
                f"{moments[0]},{row.open!r},{row.high!r},{row.low!r},{row.close!r},{row.volume!r},{moments[1]},{row.quote_asset_volume!r},{golden['count'][row.Index]},{row.taker_buy_volume!r},{row.taker_buy_quote_volume!r},0\n"
            )
    with (
        running(RecordedMarket(folders={MarketType.SPOT: tmp_path}), clock=lambda: NOW, tick_s=None) as sim,
        DataSourceManager(use_cache=False, endpoints=sim.endpoints, clock=lambda: NOW) as manager,
    ):
        frame = manager.get_data("BTCUSDT", at(2024, 1, 1), at(2024, 1, 8), "1h")

    wanted = golden.set_index("open_time")[list(OUTPUT_DTYPES)]
    pd.testing.assert_frame_equal(wanted, frame, check_exact=True)
