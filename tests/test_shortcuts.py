"""One call for past candles, live candles and instruments."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pandas as pd
import pytest

import chandlery
from chandlery.core.errors import IncompleteData, InvalidInput, InvalidSymbol, UnknownName, UnsupportedRequest
from chandlery.core.instrument import ListingStatus, MarketType
from chandlery.core.query import ChartType, DataProvider
from chandlery.history.manager import DataSourceManager
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.server import running

DAY = {"start": "2024-01-01", "end": "2024-01-02"}


@pytest.fixture(scope="module")
def exchange():
    """The offline exchange of three exchanges."""
    with running(
        exchanges=["binance_spot", "binance_perpetual", "binance_inverse", "okx_spot", "okx_perpetual"]
    ) as sim:
        yield sim


@pytest.fixture
def get_data(exchange, monkeypatch, tmp_path):
    """``chandlery.get_data`` over it, by the settings of the environment."""
    monkeypatch.setenv("CHANDLERY_ENDPOINTS", json.dumps(exchange.endpoints))
    monkeypatch.setenv("CHANDLERY_CACHE_DIR", str(tmp_path / "cache"))
    return chandlery.get_data


@pytest.mark.parametrize(
    ("symbol", "options", "market"),
    [
        ("BTCUSDT", {}, MarketType.SPOT),
        ("btc/usdt", {"exchange": "Binance"}, MarketType.SPOT),
        ("BTC-USDT", {"exchange": "BINANCE_SPOT"}, MarketType.SPOT),
        ("BTC/USDT:USDT", {}, MarketType.FUTURES_USDT),
        ("BTCUSDT", {"market": "perpetual"}, MarketType.FUTURES_USDT),
        ("BTCUSDT", {"exchange": "binance_perpetual"}, MarketType.FUTURES_USDT),
    ],
)
def test_every_spelling_is_the_same_series(get_data, exchange, tmp_path, symbol, options, market):
    """The frame of a manager of the market."""
    with DataSourceManager(market, endpoints=exchange.endpoints, use_cache=False) as manager:
        expected = manager.get_data("BTCUSDT", "2024-01-01", "2024-01-02", "1h")

    pd.testing.assert_frame_equal(expected, get_data(symbol, "1h", **DAY, **options))
    assert list((tmp_path / "cache").iterdir())


def test_another_exchange_and_output(get_data):
    """Polars and Arrow; a text without a separator is spelled as the exchange does."""
    assert 24 == get_data("BTCUSDT", "1h", exchange="okx", output="polars", **DAY).height
    assert 24 == get_data("BTC/USDT", "1h", exchange="OKX", output="arrow", **DAY).num_rows


@pytest.mark.parametrize("kind", ["funding", "fundingRate", "FUNDING_RATE", ChartType.FUNDING_RATE])
def test_funding_rates(get_data, kind):
    """Of the perpetual, without an interval and a market."""
    assert 3 == len(get_data("BTCUSDT", chart_type=kind, **DAY))


@pytest.mark.parametrize("market", ["binance_inverse", "okx_perpetual"])
def test_volumes_of_contracts_in_other_units(get_data, market):
    """Base x price is about quote; the contracts are those that the exchange sends."""
    symbol = "BTC/USD:BTC" if market == "binance_inverse" else "BTC/USDT:USDT"
    sent, contracts, base, quote = (
        get_data(symbol, "1h", exchange=market, volume_unit=unit, **DAY)
        for unit in ("exchange", "contracts", "base", "quote")
    )

    assert list(sent["volume"]) == list(contracts["volume"])
    assert list(base["quote_asset_volume"]) == list(quote["volume"]) == list(quote["quote_asset_volume"])
    assert (base["volume"] * base["low"] <= quote["volume"] * (1 + 1e-6)).all()
    assert (base["volume"] * base["high"] >= quote["volume"] * (1 - 1e-6)).all()
    assert base["volume"].min() > 0
    turnover = "base" if market == "binance_inverse" else "quote"
    assert [("contracts", turnover), ("contracts", "quote"), ("base", "quote"), ("quote", "quote")] == [
        (each.attrs["chandlery"].volume_unit, each.attrs["chandlery"].turnover_unit)
        for each in (sent, contracts, base, quote)
    ]


def test_several_symbols_each_in_its_market(get_data):
    """Of several markets; labels name the rows; every output can come with its report."""
    frame, reports = get_data(["BTCUSDT", "ETH/USDT:USDT"], "1h", **DAY, with_report=True)
    labelled = get_data({"bitcoin": "BTC/USDT"}, "1h", **DAY, output="arrow")

    assert {"BTCUSDT": 24, "ETH/USDT:USDT": 24} == frame.groupby("symbol").size().to_dict()
    assert ["BTCUSDT", "ETH/USDT:USDT"] == sorted(reports)
    assert ["bitcoin"] * 24 == labelled.column("symbol").to_pylist()
    one, report = get_data("BTCUSDT", "1h", **DAY, output="polars", with_report=True)
    assert (24, ()) == (len(one), report.gaps)
    with pytest.raises(IncompleteData, match=r"1 of 2 symbols lack data .*; NOPE/USDT: .* does not know the symbol"):
        get_data(["BTCUSDT", "NOPE/USDT"], "1h", **DAY)


def test_a_minute_is_the_default(get_data):
    """As at every interface."""
    assert 60 == len(get_data("BTCUSDT", start="2024-01-01", end="2024-01-01T01:00"))


def test_arguments_take_the_place_of_the_settings(get_data, exchange, tmp_path, monkeypatch):
    """Folder and endpoints."""
    monkeypatch.delenv("CHANDLERY_ENDPOINTS")
    assert 24 == len(get_data("BTCUSDT", "1h", endpoints=exchange.endpoints, cache_dir=tmp_path / "other", **DAY))
    assert (tmp_path / "other").exists()


async def first_live(symbol, endpoints):
    """The first live candle."""
    async with asyncio.timeout(30), aclosing(chandlery.candles(symbol, "1m", endpoints=endpoints)) as candles:
        return await anext(candles)


def test_a_symbol_of_one_other_market_is_found_there(tmp_path):
    """Spot does not list it, neither for past nor for live candles."""
    symbols = {
        MarketType.SPOT: ("BTCUSDT",),
        MarketType.FUTURES_USDT: ("BTCUSDT", "ETHUSDT"),
        MarketType.FUTURES_COIN: ("BTCUSD_PERP",),
    }
    with running(SyntheticMarket(7, symbols=symbols), exchanges=["binance_spot", "binance_perpetual"]) as sim:
        frame = chandlery.get_data("ETHUSDT", "1h", endpoints=sim.endpoints, cache_dir=tmp_path, **DAY)
        paths = [path for _, path, _ in sim.log]
        live = asyncio.run(first_live("ETHUSDT", sim.endpoints))

    assert 24 == len(frame)
    assert any("/fapi/v1/klines" in path or "futures/um" in path for path in paths)
    assert live.open > 0


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"exchange": "binanec"}, UnknownName, "did you mean binance"),
        ({"market": "lineer"}, UnknownName, "did you mean linear"),
        ({"symbol": "NOSUCHUSDT"}, InvalidSymbol, "does not know the symbol"),
        ({"symbol": "?"}, InvalidSymbol, "write e.g. BTC/USDT"),
        ({"start": "yesterday"}, InvalidInput, "start_time 'yesterday' is not a time"),
        ({"volume_unit": "coins"}, InvalidInput, "use one of exchange, base, quote, contracts"),
        ({"volume_unit": "contracts"}, UnsupportedRequest, "the exchange sends it in base and quote"),
        ({"volume_unit": "base", "chart_type": "funding"}, UnsupportedRequest, "needs candles"),
        ({"chart_type": "trades"}, UnknownName, "'trades' is not a ChartType"),
    ],
)
def test_what_is_wrong_is_refused(get_data, options, error, says):
    """With what would be right."""
    with pytest.raises(error, match=says):
        get_data(**({"symbol": "BTCUSDT", "interval": "1h"} | DAY | options))


@pytest.mark.parametrize("symbol", [b"BTCUSDT", None, 7, [b"BTCUSDT"]])
def test_what_is_no_text_is_no_symbol(get_data, symbol):
    """It has no nearest symbol either."""
    with pytest.raises(InvalidSymbol, match="a symbol must be a string"):
        get_data(symbol, "1h", **DAY)


def test_instruments(get_data):
    """Of all markets or one, by status and by words."""
    every = chandlery.instruments("Binance")
    perpetuals = chandlery.instruments("binance", search="btc perp", status="listed")

    assert {MarketType.SPOT, MarketType.FUTURES_USDT, MarketType.FUTURES_COIN} == {
        each.instrument.market for each in every
    }
    assert {"perpetual"} == {each.kind for each in perpetuals}
    assert {"BTC"} == {each.instrument.base for each in perpetuals}
    assert all(
        each.status is ListingStatus.DELISTED for each in chandlery.instruments("okx", market="spot", status="delisted")
    )
    with pytest.raises(InvalidInput, match="status 'gone' is unknown; use one of listed, upcoming, halted, delisted"):
        chandlery.instruments("binance", status="gone")


async def test_live_candles(exchange):
    """The running candle, as it grows."""
    found = []
    async with asyncio.timeout(30):
        async for candle in chandlery.candles("BTCUSDT", "1m", endpoints=exchange.endpoints):
            found.append(candle)
            if len(found) == 3:
                break

    assert found == sorted(found, key=lambda each: each.open_time)
    assert not found[-1].closed


def test_open_names_in_every_spelling():
    """Case, separators and other names do not matter."""
    assert {DataProvider.BINANCE} == {DataProvider(each) for each in ("BINANCE", "binance", "Binance")}
    assert {ChartType.KLINES} == {ChartType(each) for each in ("klines", "KLINES", "candles")}


@pytest.mark.parametrize(
    ("symbol", "exchange_name", "meant"),
    [
        ("BTCUSTD", "binance", "BTCUSDT"),
        ("BTC/USTD", "binance", "BTCUSDT"),
        ("BTC/USTD:USTD", "binance", "BTCUSDT"),
        ("BTCUSTD", "okx", "BTC-USDT"),
        ("BTC-USTD", "okx_perpetual", "BTC-USDT-SWAP"),
    ],
)
def test_the_nearest_is_suggested_for_a_typing_mistake(get_data, symbol, exchange_name, meant):
    """By past and live candles, whether the spelling is refused here or by the exchange."""
    with pytest.raises(InvalidSymbol, match=f"did you mean {meant}\\?"):
        get_data(symbol, "1h", **DAY, exchange=exchange_name)

    async def live():
        async with asyncio.timeout(20):
            async for _ in chandlery.candles(symbol, exchange=exchange_name):
                return

    if exchange_name != "okx":  # which refuses the subscription only after all retries
        with pytest.raises(InvalidSymbol, match=f"did you mean {meant}\\?"):
            asyncio.run(live())
