"""Dates of listing and delisting, in recorded lists where the folder is present."""

from __future__ import annotations

import json

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.instrument import MarketType
from chandlery.core.time import HOUR


def bodies(recorded, name, path):
    """The answers of a recording from addresses that contain ``path``."""
    for line in (recorded / "cryptofeed" / "master" / name).read_text().splitlines():
        url, found, rest = line.partition(" -> ")
        if found and path in url:
            yield rest.partition(": ")[2].encode()


@pytest.mark.parametrize(
    ("exchange", "name", "path", "count", "dated"),
    [
        ("binance_spot", "BINANCE.0", "exchangeInfo", 1695, False),
        ("binance_perpetual", "BINANCE_FUTURES.0", "exchangeInfo", 122, True),
        ("okx_spot", "OKX.0", "instType=SPOT", 2565, True),
        ("okx_perpetual", "OKX.0", "instType=SWAP", 630, True),
        ("okx_inverse", "OKX.0", "instType=SWAP", 200, True),
        ("kucoin_spot", "KUCOIN.0", "symbols", 634, False),
        ("gate_spot", "GATEIO.0", "currency_pairs", 1458, None),
        ("kraken_spot", "KRAKEN.0", "AssetPairs", 293, False),
        ("ascendex_spot", "ASCENDEX.0", "products", 332, False),
    ],
)
def test_recorded_lists(recorded, exchange, name, path, count, dated):
    """All instruments of the market, with steps, and with the date of listing where the exchange states it."""
    adapter = ExchangeRegistry.create(exchange)
    listed = [each for body in bodies(recorded, name, path) for each in adapter.instruments(body)[0]]

    assert count == len(listed)
    expected = {True, False} if dated is None else {dated}
    assert expected == {each.listed_at is not None for each in listed}
    assert all(each.tick_size and each.lot_size for each in listed)
    assert all((each.contract_size is None) == (adapter.market_type is MarketType.SPOT) for each in listed)


def test_starts_that_gate_announces(recorded):
    """The later one of buying and selling."""
    (body,) = bodies(recorded, "GATEIO.0", "currency_pairs")
    dates = {each.symbol: each.listed_at for each in ExchangeRegistry.create("gate_spot").instruments(body)[0]}

    assert 1_619_164_800_000_000 == dates["ILV_ETH"]
    assert 6 == len([each for each in dates.values() if each])


# As documented by the exchanges, shortened to what is read.
DOCUMENTED = [
    (
        "gate_perpetual",
        [{"name": "0G_USDT", "quanto_multiplier": "1", "funding_interval": 28800, "create_time": 1758124392, "launch_time": 1758124392}],
        (1_758_124_392_000_000, None, 8 * HOUR),
    ),
    (
        "gate_perpetual",
        [{"name": "BTC_USDT_20260327", "quanto_multiplier": "0.0001", "expire_time": 1774598400, "create_time": 1758124392}],
        (1_758_124_392_000_000, 1_774_598_400_000_000, None),
    ),
    (
        "bybit_perpetual",
        {"result": {"list": [{"symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT", "status": "Trading", "launchTime": "1585526400000", "deliveryTime": "0", "fundingInterval": 480, "priceFilter": {"tickSize": "0.50"}, "lotSizeFilter": {"qtyStep": "0.001"}}]}},
        (1_585_526_400_000_000, None, 8 * HOUR),
    ),
    (
        "kucoin_perpetual",
        {"data": [{"symbol": "XBTUSDTM", "baseCurrency": "XBT", "quoteCurrency": "USDT", "isInverse": False, "status": "Open", "multiplier": 0.001, "firstOpenDate": 1585555200000, "expireDate": None, "fundingRateGranularity": 28800000}]},
        (1_585_555_200_000_000, None, 8 * HOUR),
    ),
    (
        "htx_perpetual",
        {"data": [{"contract_code": "BTC-USDT", "contract_size": 0.001, "contract_status": 1, "create_date": "20211112", "delivery_time": ""}]},
        (1_636_675_200_000_000, None, None),
    ),
    (
        "htx_perpetual",
        {"data": [{"contract_code": "BTC-USDT-211126", "contract_size": 0.001, "contract_status": 1, "create_date": "20211112", "delivery_time": "1637913600000"}]},
        (1_636_675_200_000_000, 1_637_913_600_000_000, None),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("exchange", "body", "expected"), DOCUMENTED)
def test_documented_lists(exchange, body, expected):
    """The dates and the funding interval where the list states them."""
    ((listing,), _) = ExchangeRegistry.create(exchange).instruments(json.dumps(body).encode())

    assert expected == (listing.listed_at, listing.delisted_at, listing.funding_interval)


def test_contracts_that_expire(recorded):
    """Their end is stated; that of a perpetual is not, although Binance writes the year 2100."""
    body = json.loads((recorded / "ankvik-ccxt-rs" / "binance" / "fetch_markets.json").read_text())["http_response"]
    listed, _ = ExchangeRegistry.create("binance_inverse").instruments(json.dumps(body).encode())

    assert {(each.kind, each.delisted_at is not None) for each in listed} == {("perpetual", False), ("future", True)}
    assert all(each.listed_at < each.delisted_at for each in listed if each.delisted_at)
