"""ccxt's markets as listings."""

from __future__ import annotations

from chandlery.ccxt_bridge.listings import listings_of
from chandlery.core.instrument import ListingStatus

SPOT = {"id": "XBTUSD", "symbol": "BTC/USD", "active": True, "precision": {"price": 0.1, "amount": 0.001}}
SWAP = {
    "id": "A_P",
    "symbol": "A/USDT:USDT",
    "active": False,
    "contractSize": 10,
    "precision": {"price": 2, "amount": None},
}
OPTION = {"id": "BTC-C", "symbol": "BTC/USD:BTC-260327-100000-C", "active": True}


def test_markets():
    """Steps are as ccxt states them; options are left out."""
    spot, swap = listings_of([SPOT, SWAP, OPTION], 4)

    assert ("XBTUSD", "BTC/USD", "spot", ListingStatus.LISTED) == (
        spot.symbol,
        str(spot.instrument),
        spot.kind,
        spot.status,
    )
    assert (0.1, 0.001, None) == (spot.tick_size, spot.lot_size, spot.contract_size)
    assert ("perpetual", ListingStatus.HALTED, 10.0) == (swap.kind, swap.status, swap.contract_size)


def test_decimal_places_and_significant_digits():
    """Two places are a step of 0.01; significant digits are no step."""
    assert [0.01, None] == [listings_of([SWAP], mode)[0].tick_size for mode in (2, 3)]
