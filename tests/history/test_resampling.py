"""Candles resampled as the exchange has them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from chandlery.core.errors import InvalidInput, UnknownInterval, UnknownName, UnsupportedRequest
from chandlery.core.gaps import Gap, GapKind
from chandlery.core.moment import to_micros
from chandlery.core.provenance import EventKind, Provenance
from chandlery.core.query import OUTPUT_DTYPES, DataProvider
from chandlery.core.time import HOUR, MINUTE
from chandlery.history.manager import DataSourceManager
from chandlery.history.resampling import resample
from chandlery.sim.server import running
from fixtures.support import at

NOW = to_micros(at(2025, 3, 20, 12))
NUMBERS = ["open", "high", "low", "close", "volume", "quote_asset_volume", "count", "taker_buy_volume"]
DAY = at(2025, 3, 18), at(2025, 3, 20)


@pytest.fixture(scope="module")
def kraken():
    """A manager of the offline Kraken, which has no candles of two hours, eight hours, three days or months."""
    with (
        running(exchanges=["kraken_spot"], clock=lambda: NOW) as sim,
        DataSourceManager(
            provider=DataProvider("KRAKEN"), use_cache=False, endpoints=sim.endpoints, clock=lambda: NOW
        ) as manager,
    ):
        yield manager


def rows(times, **columns):
    """A plain frame of an origin of its own, which has no close time."""
    index = pd.DatetimeIndex([pd.Timestamp(time, tz="UTC") for time in times], name="open_time")
    prices = {name: [float(n) for n in range(1, len(times) + 1)] for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame(prices | columns, index=index)


@pytest.mark.parametrize("interval", ["5m", "15m", "1h", "4h", "1d"])
def test_it_is_what_the_exchange_has(exchange, interval):
    """Times, prices and volumes equal those of its own longer candles."""
    manager = exchange.manager()

    made = resample(manager.get_data("BTCUSDT", *DAY, "1m"), interval)

    own = manager.get_data("BTCUSDT", *DAY, interval)
    assert own.index.equals(made.index)
    assert list(own.columns) == list(made.columns)
    assert own.dtypes.to_dict() == made.dtypes.to_dict()
    assert own["close_time"].equals(made["close_time"])
    np.testing.assert_allclose(own[NUMBERS].to_numpy(), made[NUMBERS].to_numpy(), rtol=1e-12)


def test_anchors_of_an_exchange(exchange):
    """Three days of Binance do not begin where those of others do."""
    days = exchange.manager().get_data("BTCUSDT", at(2025, 3, 1), at(2025, 3, 19), "1d")

    own = exchange.manager().get_data("BTCUSDT", at(2025, 3, 1), at(2025, 3, 17), "3d")

    assert list(own.index) == list(resample(days, "3d", exchange="Binance").index)[: len(own)]
    assert not set(own.index) & set(resample(days, "3d").index)


@pytest.mark.parametrize("output", ["pandas", "polars", "arrow"])
def test_every_form_comes_back_as_it_was(exchange, output):
    """With the same columns, of one symbol as of several; the provenance stays."""
    manager = exchange.manager()
    one = manager.get_data("BTCUSDT", *DAY, "1h", output=output)
    many, reports = manager.get_data(["ETHUSDT", "BTCUSDT"], *DAY, "1h", output=output, with_report=True)

    longer, both = resample(one, "1d"), resample(many, "1d", report=reports)

    assert type(one) is type(longer) is type(both)
    assert (2, 4) == (len(longer), len(both))
    if output == "pandas":
        assert one.attrs == longer.attrs
        assert longer.equals(both.loc["BTCUSDT"])
        assert ["ETHUSDT", "BTCUSDT"] == list(both.index.unique("symbol"))
    else:
        table = both if output == "arrow" else both.to_arrow()
        assert "symbol" == table.column_names[0]
        assert ["ETHUSDT"] * 2 + ["BTCUSDT"] * 2 == table.column("symbol").cast(pa.string()).to_pylist()
    if output == "arrow":
        assert one.schema.metadata == longer.schema.metadata


def test_only_whole_candles(exchange):
    """The known data ends in the middle of an hour at both ends; a polars frame without a report ends at its rows."""
    manager = exchange.manager()
    span = at(2025, 3, 18, 0, 30), at(2025, 3, 18, 3, 15)
    frame = manager.get_data("BTCUSDT", *span, "1m")

    expected = [at(2025, 3, 18, 1), at(2025, 3, 18, 2)]
    assert expected == list(resample(frame, "1h").index)
    assert expected == resample(pl.from_pandas(frame.reset_index()), "1h")["open_time"].to_list()


def test_what_could_not_be_fetched_makes_no_candle(exchange):
    """An hour with a failed minute is left out; one in which nobody traded is not."""
    frame, report = exchange.manager().get_data("BTCUSDT", *DAY, "1m", with_report=True)
    opened = int(frame.index[90].value) // 1_000
    gaps = [
        Gap(opened, opened + MINUTE, GapKind.FETCH_FAILED, "cut"),
        Gap(opened + 3 * HOUR, opened + 3 * HOUR + MINUTE, GapKind.NO_TRADES, ""),
    ]
    partial = frame.drop([frame.index[90], frame.index[90 + 180]])

    hours = resample(partial, "1h", report=Provenance.of(report.spans, gaps))

    missing = set(resample(frame, "1h").index) - set(hours.index)
    assert {pd.Timestamp("2025-03-18 01:00", tz="UTC")} == missing


def test_empty_intervals():
    """As the exchange: no candle, or one at the close before."""
    frame = rows(["2024-01-01 00:00", "2024-01-01 00:01", "2024-01-01 03:00", "2024-01-01 03:59"])

    plain, filled = resample(frame, "1h"), resample(frame, "1h", exchange="binance_spot")

    assert [0, 3] == [each.hour for each in plain.index]
    assert [0, 1, 2, 3] == [each.hour for each in filled.index]
    assert [[1, 2, 1, 2, 3], *[[2, 2, 2, 2, 0]] * 2, [3, 4, 3, 4, 7]] == filled.drop(
        columns="close_time"
    ).to_numpy().tolist()
    assert resample(frame, "1h", exchange="kucoin_spot").equals(plain)


@pytest.mark.parametrize(
    ("frame", "interval", "error", "says"),
    [
        (rows(["2024-01-01", "2024-01-02"]), "1h", InvalidInput, "do not fit into the interval"),
        (rows(["2024-01-01 00:30", "2024-01-01 01:30"]), "2h", InvalidInput, "do not fit"),
        (rows(["2024-01-02", "2024-01-01"]), "1w", InvalidInput, "not in order"),
        (rows(["2024-01-01"]), "1d", InvalidInput, "add close_time"),
        (
            rows(["2024-01-01", "2024-01-02"]).drop(columns="volume"),
            "1w",
            InvalidInput,
            "lacks volume; it has open_time",
        ),
        (rows(["2024-01-01", "2024-01-02"]).tz_localize(None), "1w", InvalidInput, "with a time zone"),
        ({"open": [1]}, "1w", InvalidInput, "dict is not a frame"),
        (rows(["2024-01-01", "2024-01-02"], close=["1", "2"]), "1w", InvalidInput, r"close is .*string; use numbers"),
        (
            rows(["2024-01-01", "2024-01-02"], close_time=[1, 2]),
            "1w",
            InvalidInput,
            "close_time is int64; use timestamps",
        ),
        (
            pl.from_pandas(rows(["2024-01-01"]).reset_index(drop=True)).with_columns(pl.lit(0).alias("open_time")),
            "1w",
            InvalidInput,
            "open_time is int32; use timestamps",
        ),
        (rows(["2024-01-01", "2024-01-02"]), "7h", UnknownInterval, "7h"),
    ],
)
def test_what_is_wrong_is_refused(frame, interval, error, says):
    """With what would be right."""
    with pytest.raises(error, match=says):
        resample(frame, interval)


def test_unknown_exchanges_and_empty_frames():
    """An exchange that is none is refused; without rows there is nothing to do."""
    frame = rows(["2024-01-01", "2024-01-02"])

    with pytest.raises(UnknownName, match="'nowhere' is not an exchange"):
        resample(frame, "1w", exchange="nowhere")
    assert 0 == len(resample(frame.iloc[:0], "1w"))


@pytest.mark.parametrize(("interval", "shorter"), [("2h", "1h"), ("8h", "4h"), ("3d", "1d"), ("1M", "1d")])
def test_an_interval_that_an_exchange_lacks(kraken, interval, shorter):
    """It is made of the longest that fits, and the report tells so."""
    start, end = at(2025, 1, 1, 3), at(2025, 3, 20, 11)
    if interval == "2h":
        start = at(2025, 3, 1, 3)

    frame, report = kraken.get_data("BTC/USD", start, end, interval, with_report=True)

    own = resample(kraken.get_data("BTC/USD", start, at(2025, 3, 20, 12), shorter), interval)
    inside = own[(own.index >= start) & (own.index < end)]
    assert len(frame)
    assert frame.index.equals(inside.index)
    assert frame.equals(inside)
    [event] = [event for event in report.events if event.kind is EventKind.RESAMPLED]
    assert f"kraken_spot has no {interval} candles; these are made of {shorter}" == event.detail
    assert dict(OUTPUT_DTYPES) == {name: str(dtype) for name, dtype in frame.dtypes.items()}


def test_what_cannot_be_made(kraken):
    """No second fits into a minute, and a running candle is not made of others."""
    with pytest.raises(UnsupportedRequest, match="kraken_spot has no 1s candles; it has 1m"):
        kraken.get_data("BTC/USD", at(2025, 3, 19), at(2025, 3, 20), "1s")
    with pytest.raises(UnsupportedRequest, match="include_open needs an interval that kraken_spot has: 1m 5m"):
        kraken.get_data("BTC/USD", at(2025, 3, 19), at(2025, 3, 20), "2h", include_open=True)
    assert 0 == len(kraken.get_data("BTC/USD", at(2025, 3, 19, 0, 30), at(2025, 3, 19, 1, 30), "2h"))
