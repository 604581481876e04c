"""What wires repeat."""

from __future__ import annotations

import pytest

from chandlery.sim.kit import Refused, pair_of, whole


@pytest.mark.parametrize(
    ("symbol", "pair"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("BTCUSD", ("BTC", "USD")),
        ("ETHBTC", ("ETH", "BTC")),
        ("USDTUSD", ("USDT", "USD")),
        ("BTCJPY", ("BTC", "JPY")),
        ("币安人生USDC", ("币安人生", "USDC")),
    ],
)
def test_symbols_are_base_and_quote(symbol, pair):
    """The longest known quote that they end in; the last three letters where none is known."""
    assert pair == pair_of(symbol)


def test_whole_numbers_of_a_query():
    """Absent is nothing; anything else is refused in the words that were given."""
    refusal = Refused("limit", "invalid")

    assert whole({}, "limit", refusal) is None
    assert 7 == whole({"limit": "7"}, "limit", refusal)
    for text in ("", "-1", "1.5", "٣", "x"):
        with pytest.raises(Refused) as refused:
            whole({"limit": text}, "limit", refusal)
        assert ("limit", "invalid") == refused.value.args
