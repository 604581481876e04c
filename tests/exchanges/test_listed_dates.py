"""Dates of listing and delisting, in recorded lists where the folder is present."""

from __future__ import annotations

import json

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.instrument import MarketType


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
        ("gate_spot", "GATEIO.0", "currency_pairs", 1458, False),
        ("kraken_spot", "KRAKEN.0", "AssetPairs", 293, False),
        ("ascendex_spot", "ASCENDEX.0", "products", 332, False),
    ],
)
def test_recorded_lists(recorded, exchange, name, path, count, dated):
    """All instruments of the market, with steps, and with the date of listing where the exchange states it."""
    adapter = ExchangeRegistry.create(exchange)
    listed = [each for body in bodies(recorded, name, path) for each in adapter.instruments(body)[0]]

    assert count == len(listed)
    assert {dated} == {each.listed_at is not None for each in listed}
    assert all(each.tick_size and each.lot_size for each in listed)
    assert all((each.contract_size is None) == (adapter.market_type is MarketType.SPOT) for each in listed)


def test_contracts_that_expire(recorded):
    """Their end is stated; that of a perpetual is not, although Binance writes the year 2100."""
    body = json.loads((recorded / "ankvik-ccxt-rs" / "binance" / "fetch_markets.json").read_text())["http_response"]
    listed, _ = ExchangeRegistry.create("binance_inverse").instruments(json.dumps(body).encode())

    assert {(each.kind, each.delisted_at is not None) for each in listed} == {("perpetual", False), ("future", True)}
    assert all(each.listed_at < each.delisted_at for each in listed if each.delisted_at)
