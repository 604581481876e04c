"""What the offline exchange says of itself."""

import pytest

from chandlery.core.instrument import MarketType
from chandlery.sim import SyntheticMarket
from chandlery.sim.venues import VENUES
from chandlery.sim.wires.binance.listing import exchange_info

NOW = 1_740_000_000_000_000


@pytest.mark.parametrize(
    ("exchange_id", "symbol", "base", "quote", "margin"),
    [
        ("binance_spot", "ETHBTC", "ETH", "BTC", None),
        ("binance_spot", "USDCUSDT", "USDC", "USDT", None),
        ("binance_perpetual", "BTCUSDC", "BTC", "USDC", "USDC"),
        ("binance_inverse", "ADAUSD_PERP", "ADA", "USD", "ADA"),
    ],
)
def test_symbols_are_taken_apart(exchange_id, symbol, base, quote, margin):
    """Base, quote and the asset in which it is settled."""
    venue = VENUES[exchange_id]
    market = SyntheticMarket(symbols={venue.market_type: [symbol]})
    said = exchange_info(venue, market, [symbol], NOW, 6000)
    (entry,) = said["symbols"]

    assert (entry["symbol"], entry["baseAsset"], entry["quoteAsset"]) == (symbol, base, quote)
    assert entry.get("marginAsset") == margin
    assert said["serverTime"] == NOW // 1000
    assert said["rateLimits"][0]["limit"] == 6000


def test_contracts_have_a_size():
    """A hundred dollars of bitcoin, ten of anything else; only the inverse market counts them."""
    listed = ["BTCUSD_PERP", "ETHUSD_PERP"]
    info = exchange_info(VENUES["binance_inverse"], SyntheticMarket(), listed, NOW, 2400)
    sizes = {entry["symbol"]: entry["contractSize"] for entry in info["symbols"]}

    assert sizes["BTCUSD_PERP"] == 100
    assert sizes["ETHUSD_PERP"] == 10
    assert MarketType.FUTURES_COIN is VENUES["binance_inverse"].market_type
