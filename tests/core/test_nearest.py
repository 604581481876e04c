"""What a text with a typing mistake means."""

from __future__ import annotations

import pytest

from chandlery.core.nearest import nearest

KNOWN = {"BTCUSDT": "BTC-USDT", "BTCUSD": "BTC-USD", "ETHUSDT": "ETH-USDT", "1INCHUSDT": "1INCH-USDT"}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("BTCUSTD", "BTC-USDT"),
        ("btc/ustd", "BTC-USDT"),
        ("BTC_USDT", "BTC-USDT"),
        ("BTCUSDR", "BTC-USDT"),
        ("ETHUSTT", "ETH-USDT"),
        ("ETHUSDTT", "ETH-USDT"),
        ("INCHUSDT", "1INCH-USDT"),
        ("BTCUS", "BTC-USD"),
        ("XRPUSDT", None),
        ("", None),
        ("?", None),
        ("B" * 80, None),
        ("比特币USDT", None),
    ],
)
def test_one_mistake(typed, meant):
    """Letters exchanged, replaced, too many or left out; separators and case do not matter."""
    assert meant == nearest(typed, KNOWN)
