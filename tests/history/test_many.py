"""Several symbols by one call."""

from __future__ import annotations

import msgspec
import numpy as np
import polars as pl
import pytest

from chandlery.core.errors import IncompleteData, InvalidInput, InvalidSymbol, UnknownInterval
from chandlery.core.gaps import GapKind
from chandlery.core.instrument import MarketType
from chandlery.core.moment import to_micros
from chandlery.core.provenance import Provenance
from chandlery.core.query import ChartType
from chandlery.history.manager import DataSourceManager
from chandlery.sim.faults import Fault, FaultKind
from fixtures.support import at

SYMBOLS = ["ETHUSDT", "BTCUSDT"]
NOW = to_micros(at(2025, 3, 20, 12))
SPAN = (at(2025, 3, 18), at(2025, 3, 20), "1h")


def test_one_frame_with_a_symbol_level(exchange):
    """Each symbol's rows are those of a call of its own, in the order given; each has its report."""
    manager = exchange.manager()

    frame = manager.get_data(SYMBOLS, *SPAN)

    assert ["symbol", "open_time"] == frame.index.names
    assert SYMBOLS == list(frame.index.unique("symbol")) == list(frame.attrs["chandlery"])
    for symbol in SYMBOLS:
        own = manager.get_data(symbol, *SPAN)
        part = frame.loc[symbol]
        assert own.index.equals(part.index)
        assert own.dtypes.to_dict() == part.dtypes.to_dict()
        np.testing.assert_array_equal(own.to_numpy(), part.to_numpy())
        assert 1 <= len(Provenance.carried_by({"chandlery": frame.attrs["chandlery"][symbol]}).spans)


def test_labels_outputs_and_reports(exchange):
    """A mapping names the rows; Arrow and polars have a column; every output can come with its report."""
    manager = exchange.manager()
    symbols = {"ether": "ETH/USDT", "bitcoin": "BTC-USDT"}

    table = manager.get_data(symbols, *SPAN, output="arrow")
    frame, reports = manager.get_data(symbols, *SPAN, output="polars", with_report=True)

    assert "symbol" == table.column_names[0]
    assert [*["ether"] * 48, *["bitcoin"] * 48] == table.column("symbol").to_pylist()
    assert ["ether", "bitcoin"] == list(msgspec.json.decode(table.schema.metadata[b"chandlery"])) == list(reports)
    assert isinstance(frame, pl.DataFrame)
    assert table.drop_columns(["symbol"]).to_pylist() == frame.drop("symbol").to_dicts()
    assert all(isinstance(each, Provenance) and each.spans for each in reports.values())


@pytest.mark.parametrize("output", ["pandas", "polars", "arrow"])
def test_the_report_of_one_symbol(exchange, output):
    """``with_report`` gives it with every output, polars too, which carries none."""
    frame, report = exchange.manager().get_data("BTCUSDT", *SPAN, output=output, with_report=True)

    assert 48 == len(frame)
    assert {"rest", "vision"} >= {span.source for span in report.spans}
    assert () == report.gaps


def test_a_symbol_that_fails_costs_no_row_of_the_others(exchange):
    """It is a gap in its report; the error carries all rows."""
    manager = exchange.manager(retry_count=0)
    symbols = ["BTCUSDT", "NOPEUSDT", "ETHUSDT"]

    with pytest.raises(IncompleteData, match=r"1 of 3 symbols lack data .*; NOPEUSDT: .* does not know") as caught:
        manager.get_data(symbols, *SPAN)
    frame = manager.get_data(symbols, *SPAN, on_missing="report")

    assert [48, 48] == [len(caught.value.data.loc[each]) for each in ("BTCUSDT", "ETHUSDT")]
    assert ["BTCUSDT", "ETHUSDT"] == list(frame.index.unique("symbol"))
    [gap] = frame.attrs["chandlery"]["NOPEUSDT"].gaps
    assert [f"NOPEUSDT: {gap.evidence}"] == [each.evidence for each in caught.value.missing]
    assert GapKind.FETCH_FAILED is gap.kind


def test_a_page_that_fails_is_a_gap_of_its_symbol(exchange):
    """The rest of the symbol and all others are there."""
    exchange.faults.append(Fault(FaultKind.SERVER_ERROR, path="klines", times=1, status=500))
    manager = exchange.manager(retry_count=0)

    frame, reports = manager.get_data(
        SYMBOLS,
        at(2025, 3, 20),
        at(2025, 3, 20, 12),
        "1m",
        enforce_source="rest",
        on_missing="report",
        with_report=True,
    )

    lacking = [symbol for symbol, report in reports.items() if report.gaps]
    assert 1 == len(lacking)
    assert {720} == {len(frame.loc[symbol]) for symbol in SYMBOLS if symbol not in lacking}


def test_one_progress(exchange):
    """It ends with all candles of all symbols, and never goes back."""
    seen = []

    exchange.manager().get_data(SYMBOLS, *SPAN, progress=seen.append)

    assert (2 * 48, 2 * 48) == (seen[-1].done, seen[-1].total)
    assert sorted(each.done for each in seen) == [each.done for each in seen]


@pytest.mark.parametrize(
    ("symbols", "interval", "error", "says"),
    [
        ([], "1h", InvalidInput, "no symbols are given"),
        (["BTCUSDT", "ETHUSDT", "BTCUSDT"], "1h", InvalidInput, "BTCUSDT is given twice"),
        (["BTCUSDT", 5], "1h", InvalidSymbol, "a symbol must be a string"),
        (["NOPEUSDT", "NADAUSDT"], "1h", InvalidSymbol, "does not know the symbol"),
        (SYMBOLS, "7h", UnknownInterval, "7h"),
    ],
)
def test_what_is_wrong_is_refused(exchange, symbols, interval, error, says):
    """Before anything is sent, where that is possible; if all symbols fail, with the first error."""
    with pytest.raises(error, match=says):
        exchange.manager().get_data(symbols, *SPAN[:2], interval)


def test_arguments_in_the_order_of_published_code(exchange):
    """The provider comes first in ``create``; a kind of data in the place of ``use_cache`` is refused."""
    options = {"use_cache": False, "endpoints": exchange.endpoints, "clock": lambda: NOW}
    with DataSourceManager.create("binance", MarketType.FUTURES_USDT, **options) as manager:
        assert 48 == len(manager.get_data("BTCUSDT", *SPAN))
        with pytest.raises(InvalidInput, match=r"use_cache is ChartType.FUNDING_RATE; use one of True, False"):
            manager.get_data("BTCUSDT", *SPAN, ChartType.FUNDING_RATE)
