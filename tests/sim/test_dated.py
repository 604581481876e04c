"""Contracts that expire."""

from __future__ import annotations

from datetime import date

import pytest

from chandlery.core.instrument import MarketType
from chandlery.sim import SyntheticMarket, dated
from chandlery.sim.view import MarketView

DAY = date(2026, 3, 27)


@pytest.mark.parametrize(
    ("symbol", "wanted"),
    [
        ("BTCUSDT_260327", ("BTCUSDT", DAY)),
        ("BTCUSD_260327", ("BTCUSD", DAY)),
        ("BTCUSD_PERP", ("BTCUSD", None)),
        ("BTCUSDT", ("BTCUSDT", None)),
        ("X_2603271", ("X_2603271", None)),
    ],
)
def test_the_day_is_at_the_end(symbol, wanted):
    """In six digits; perpetuals have none."""
    assert wanted == dated.split(symbol)


def test_exchanges_write_a_day_in_their_own_ways():
    """In digits, with the name of the month, with its letter, and as the moment of delivery."""
    assert ("260327", "27MAR26", "H26") == (dated.digits(DAY), dated.day_month_year(DAY), dated.letter(DAY))
    assert ("5JAN26", "F26") == (dated.day_month_year(date(2026, 1, 5)), dated.letter(date(2026, 1, 5)))
    assert 1_774_598_400_000 == dated.delivery_ms(DAY)


def test_a_contract_is_found_by_its_spelling():
    """Only what expires, and only what is traded."""
    market = SyntheticMarket(symbols={MarketType.FUTURES_USDT: ["BTCUSDT", "BTCUSDT_260327"]})
    view = MarketView(market, MarketType.FUTURES_USDT, lambda: 1_740_000_000_000_000)

    assert "BTCUSDT_260327" == dated.find(view, "btcusdt_260327", str.lower)
    assert dated.find(view, "btcusdt", str.lower) is None
    view.refuses = frozenset({"BTCUSDT_260327"})
    assert dated.find(view, "btcusdt_260327", str.lower) is None
