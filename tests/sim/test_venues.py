"""The three markets."""

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.interval import Interval
from chandlery.sim.venues import VENUES


@pytest.mark.parametrize("exchange_id", sorted(VENUES))
def test_the_library_declares_the_same_facts(exchange_id):
    """Market, page size, limits, archive path, span and weights: written twice, from the same documentation."""
    venue, adapter = VENUES[exchange_id], ExchangeRegistry.create(exchange_id)

    assert venue.market_type is adapter.market_type
    assert venue.page_max == adapter.page_size
    assert venue.weight_limit == adapter.limits[0].weight
    assert venue.longest_request == adapter.longest_request
    assert (venue.prefix, venue.archive_path) == (adapter.prefix, adapter.archive_path)
    assert {each for each in Interval if venue.interval(each.value)} == set(adapter.intervals)
    for limit in (1, 99, 100, 499, 500, 1000, venue.page_max):
        assert venue.weight(limit) == adapter.candles_weight(limit)


@pytest.mark.parametrize(
    ("exchange_id", "symbol", "known"),
    [
        ("binance_spot", "BTCUSDT", True),
        ("binance_spot", "btcusdt", False),
        ("binance_spot", "BTCUSD_PERP", False),
        ("binance_perpetual", "BTCUSDT_251226", True),
        ("binance_perpetual", "BTCUSD_PERP", False),
        ("binance_inverse", "BTCUSD_PERP", True),
        ("binance_inverse", "BTCUSDT", False),
        ("binance_spot", "../../etc", False),
    ],
)
def test_spellings(exchange_id, symbol, known):
    """What can be a symbol of which market."""
    assert bool(VENUES[exchange_id].native.fullmatch(symbol)) is known
