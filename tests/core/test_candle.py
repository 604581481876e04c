"""The one candle, under all of its documented names."""

from __future__ import annotations

import pytest
from msgspec import structs

from chandlery.core.candle import CandleData
from chandlery.core.time import SECOND

CANDLE = CandleData(1_704_067_200 * SECOND, 1.0, 4.0, 0.5, 2.0, 10.0, 20.0, 7, 4.0, 8.0)


def test_the_documented_names_are_there():
    """Seconds, the number of trades and the takers' volume are other names of the same values."""
    assert (1_704_067_200, 7, 4.0) == (CANDLE.timestamp, CANDLE.n_trades, CANDLE.taker_buy_base_volume)


def test_what_an_exchange_does_not_send_is_none():
    """Never 0, which would be a value."""
    bare = CandleData(0, 1.0, 1.0, 1.0, 1.0, 0.0)

    assert [None] * 4 == [
        bare.quote_asset_volume,
        bare.n_trades,
        bare.taker_buy_base_volume,
        bare.taker_buy_quote_volume,
    ]


def test_a_candle_does_not_change():
    """Candles are values: equal by content, hashable, and cannot be altered."""
    with pytest.raises(AttributeError):
        CANDLE.close = 3.0

    assert 1 == len({CANDLE, CandleData(1_704_067_200 * SECOND, 1.0, 4.0, 0.5, 2.0, 10.0, 20.0, 7, 4.0, 8.0)})


def test_when_a_candle_came_is_none_of_its_values():
    """Two are equal, and have one hash, whatever their times: what comes again unchanged is the same candle."""
    bare, seen = CANDLE, structs.replace(CANDLE, at=5, received_at=7)
    other = structs.replace(seen, closed=False)

    assert (None, None, 5, 7) == (bare.at, bare.received_at, seen.at, seen.received_at)
    assert (True, False, 1) == (bare == seen, bare != seen, len({bare, seen}))
    assert (False, True, 2) == (seen == other, seen != other, len({seen, other}))
    assert (False, True) == (seen == 5, seen != 5)
