"""Conversion of volumes."""

from __future__ import annotations

import math

import pytest
from msgspec import structs

from chandlery.core.errors import InvalidInput, UnsupportedRequest
from chandlery.core.query import ChartType
from chandlery.core.time import MINUTE
from chandlery.core.volume import VolumeFacts, require_volume_unit
from chandlery.tables.frame import table_of
from chandlery.tables.volume import converted

NAN = math.nan
LINEAR = VolumeFacts("okx_perpetual BTC-USDT-SWAP", "contracts", "quote", contract_size=0.01)
INVERSE = VolumeFacts("binance_inverse BTCUSD_PERP", "contracts", "base", inverse=True, contract_size=100.0)
QUOTE = VolumeFacts("bybit_inverse BTCUSD", "quote", "base", inverse=True)
DOLLARS = VolumeFacts("kucoin_inverse XBTUSDM", "contracts", None, inverse=True, contract_size=1.0, fixed=True)
BASE = VolumeFacts("binance_spot BTCUSDT", "base", "quote")


def candles(*rows):
    """A table of (volume, turnover, taker's volume, taker's turnover) whose prices lie in [100, 200]."""
    names = ("volume", "quote_asset_volume", "taker_buy_volume", "taker_buy_quote_volume")
    prices = {name: [price] * len(rows) for name, price in (("open", 100), ("high", 200), ("low", 100), ("close", 150))}
    amounts = {name: [float(row[place]) for row in rows] for place, name in enumerate(names)}
    times = [MINUTE * each for each in range(len(rows))]
    return table_of(ChartType.KLINES, {"open_time": times, "close_time": times, "count": times, **prices, **amounts})


def amounts(table):
    names = ("volume", "quote_asset_volume", "taker_buy_volume", "taker_buy_quote_volume")
    return [tuple(row[name] for name in names) for row in table.to_pylist()]


@pytest.mark.parametrize(
    ("facts", "sent", "unit", "expected"),
    [
        (BASE, (2, 300, 1, 150), "base", (2, 300, 1, 150)),
        (BASE, (2, 300, 1, 150), "quote", (300, 300, 150, 150)),
        (LINEAR, (30, 45, 3, 4.5), "base", (0.3, 45, 0.03, 4.5)),
        (LINEAR, (30, 45, 3, 4.5), "quote", (45, 45, 4.5, 4.5)),
        (LINEAR, (30, 45, 3, 4.5), "contracts", (30, 45, 3, 4.5)),
        (INVERSE, (3, 2, 1.5, 1), "base", (2, 300, 1, 150)),
        (INVERSE, (3, 2, 1.5, 1), "quote", (300, 300, 150, 150)),
        (INVERSE, (3, 2, 1.5, 1), "contracts", (3, 300, 1.5, 150)),
        (INVERSE, (3, 2, 1.5, 1), "exchange", (3, 2, 1.5, 1)),
        (QUOTE, (300, 2, NAN, NAN), "base", (2, 300, NAN, NAN)),
        (DOLLARS, (300, NAN, NAN, NAN), "quote", (300, 300, NAN, NAN)),
    ],
)
def test_the_units(facts, sent, unit, expected):
    """``quote_asset_volume`` is then in the quote currency; ``exchange`` changes nothing."""
    assert amounts(converted(candles(sent), facts, unit)) == [pytest.approx(expected, rel=0, abs=0, nan_ok=True)]


def test_no_trade_and_rounded_digits_contradict_nothing():
    """The turnover is a millionth below low x base here, and both are 0 in the other row."""
    rows = candles((30, 30 * 0.01 * 100 * (1 - 1e-7), 0, 0), (0, 0, 0, 0))

    assert [0.3, 0.0] == converted(rows, LINEAR, "base").column("volume").to_pylist()


@pytest.mark.parametrize(
    ("facts", "rows", "unit", "reason"),
    [
        (LINEAR, [(30, 45, 3, 4), (30, 450, 3, 4)], "base", "at 1970-01-01T00:01:00Z is not between its low and its high"),
        (LINEAR, [(30, NAN, 3, 4)], "base", "rows without a quote volume"),
        (structs.replace(LINEAR, turnover=None), [(30, NAN, 3, 4)], "base", "sends no quote volume that confirms"),
        (structs.replace(LINEAR, contract_size=None), [(30, 45, 3, 4)], "base", "states no contract size"),
        (structs.replace(INVERSE, contract_size=10.0), [(3, 2, 1, 1)], "quote", "with contracts of 10 "),
        (BASE, [(2, 300, 1, 150)], "contracts", "the exchange sends it in base and quote"),
        (DOLLARS, [(300, NAN, 0, 0)], "base", "the exchange sends it in contracts"),
        (structs.replace(BASE, turnover=None), [(2, NAN, 1, NAN)], "quote", "the exchange sends it in base"),
    ],
)  # fmt: skip
def test_refusals(facts, rows, unit, reason):
    """Nothing is guessed; the message names the series, the unit and the reason."""
    with pytest.raises(UnsupportedRequest, match=reason) as refused:
        converted(candles(*rows), facts, unit)
    assert f"{facts.name}: the volume in {unit} is not known" in str(refused.value)


def test_another_contract_size_of_inverse_hides_the_quote_alone():
    """Base is sent, so that it needs no contract size."""
    facts = structs.replace(INVERSE, contract_size=10.0)

    (row,) = amounts(converted(candles((3, 2, 1.5, 1)), facts, "base"))
    assert row == pytest.approx((2, NAN, 1, NAN), nan_ok=True)


def test_an_unknown_unit():
    """It is refused with those that exist."""
    with pytest.raises(InvalidInput, match="use one of exchange, base, quote, contracts"):
        require_volume_unit("coins")
