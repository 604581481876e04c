"""The one candle, under all of its documented names."""

from __future__ import annotations

from datetime import datetime

import pytest
from msgspec import structs

from chandlery.core.candle import CandleData
from chandlery.core.errors import InvalidInput
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


@pytest.mark.parametrize(
    "timestamp",
    [
        1622505600,
        1622505600.0,
        1622505600_000,
        1622505600_000_000,
        1622505600_000_000_000,
        "2021-06-01T00:00:00Z",
        "2021-06-01",
    ],
)
def test_published_code_makes_candles_of_any_timestamp(timestamp):
    """Seconds, milliseconds, microseconds, nanoseconds or text, under the names that it uses."""
    values = {"open": 1, "high": "3", "low": 0.5, "close": 2, "volume": 10}
    candle = CandleData.from_dict({"timestamp_raw": timestamp, **values, "n_trades": 7.0, "taker_buy_base_volume": 4})

    assert (1622505600, 1622505600_000) == (candle.timestamp, candle.timestamp_ms)
    assert (3.0, 7, 4.0, None) == (
        candle.high,
        candle.n_trades,
        candle.taker_buy_base_volume,
        candle.quote_asset_volume,
    )
    assert candle == CandleData.from_dict({"timestamp": timestamp, **values, "count": 7, "taker_buy_volume": 4})


def test_candles_as_arrays():
    """There and back; what is unknown is 0, as in published code."""
    array = [1622505600.0, 1.0, 3.0, 0.5, 2.0, 10.0, 15.0, 7.0, 4.0, 6.0]

    assert array == CandleData.from_array(array).to_array()
    assert [*array[:6], 0.0, 0.0, 0.0, 0.0] == CandleData.from_array(array[:6]).to_array()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: CandleData.from_array([1, 2, 3]), "a candle of 3 values; use open_time, open"),
        (lambda: CandleData.from_dict({"open": 1}), "a candle without timestamp; it has open"),
        (lambda: CandleData.from_dict({"timestamp": 1622505600, "open": 1}), "the high of a candle is None"),
        (lambda: CandleData.from_array([float("nan"), 1, 1, 1, 1, 1]), "timestamp of a candle is nan"),
        (lambda: CandleData.from_array([1622505600, "x", 1, 1, 1, 1]), "the open of a candle is 'x'"),
        (lambda: CandleData.from_array([datetime(2021, 6, 1), 1, 1, 1, 1, 1]), "has no time zone"),  # noqa: DTZ001  # the subject
    ],
)
def test_values_that_make_no_candle(make, says):
    """They are refused with what is missing."""
    with pytest.raises(InvalidInput, match=says):
        make()
