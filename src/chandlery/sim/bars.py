"""Candles in integer ticks and lots, so that sums are exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from msgspec import Struct

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.time import MINUTE, SECOND
from chandlery.sim import noise
from chandlery.sim.grids import Grid
from chandlery.sim.noise import Integers
from chandlery.sim.venues import Venue, base_of

Bars: TypeAlias = dict[str, Integers]

_SUMS = ("volume", "quote_asset_volume", "count", "taker_buy_volume", "taker_buy_quote_volume")
_BOUGHT = {"volume": "taker_buy_volume", "quote_asset_volume": "taker_buy_quote_volume"}
"""Share of each volume that takers bought."""
NAMES = ("open_time", "open", "high", "low", "close", *_SUMS)
"""Columns of bars; ``open_time`` in microseconds."""
COLUMNS = (*NAMES[:6], "close_time", *NAMES[6:])
"""Columns of candles, in the order of an archive file."""

_LEVELS = {"BTC": 40_000, "ETH": 2_500, "BNB": 400, "SOL": 100}
_BASIS = ((10, 0.0002),)
"""Amplitude and period of the deviation of a symbol's price from its base asset's, as an octave of a walk."""
_TURNOVER = 400_000
"""Turnover of an ordinary minute, in quote units."""


class Scale(Struct, frozen=True):
    """Ticks and lots of one symbol, and the keys of its random numbers."""

    level: int
    """Price in ticks around which it moves."""
    lots: int
    """Lots traded in an ordinary minute."""
    digits: Mapping[str, int]
    """Decimal digits of the non-integer columns."""
    contract: int | None
    """Value of one contract in quote units; ``None`` if lots are of the base asset."""
    price_key: np.uint64
    basis_key: np.uint64
    wick_key: np.uint64
    trade_key: np.uint64
    second_key: np.uint64


@lru_cache(maxsize=4096)
def scale(seed: int, market_type: MarketType, symbol: str) -> Scale:
    """
    Return the scale of a symbol, which depends only on its name.

    Prices follow the base asset with small deviations, so that all symbols of one asset, spot and perpetual, stay
    within 0.1 % of each other.
    """
    base = base_of(symbol)
    key = int(noise.key(seed, base, "scale"))
    units = _LEVELS.get(base) or (key % 9 + 1) * 10 ** (key // 9 % 3)
    dear = units >= 1000
    prices = 2 if dear else 4
    contract = None
    if market_type is MarketType.FUTURES_COIN:
        contract = 100 if symbol.startswith("BTC") else 10
        volumes, quotes = 0, 8 if dear else 4
        lots = _TURNOVER // contract
    else:
        volumes, quotes = (5 if dear else 1) if market_type is MarketType.SPOT else (3 if dear else 0), 4
        lots = int(_TURNOVER / units * 10**volumes)
    digits = dict.fromkeys(("open", "high", "low", "close"), prices)
    digits |= dict.fromkeys(("volume", "taker_buy_volume"), volumes)
    digits |= dict.fromkeys(("quote_asset_volume", "taker_buy_quote_volume"), quotes)
    price, wick, second = (noise.key(seed, base, use) for use in ("price", "wick", "second"))
    basis, trade = (noise.key(seed, market_type.value, symbol, use) for use in ("basis", "trade"))
    return Scale(round(units * 10**prices), lots, digits, contract, price, basis, wick, trade, second)


def empty() -> Bars:
    """Return empty bars."""
    return {name: np.empty(0, dtype=np.int64) for name in NAMES}


def join(parts: Sequence[Bars]) -> Bars:
    """Concatenate bars."""
    filled = [part for part in parts if len(part["open_time"])]
    if len(filled) == 1:
        return filled[0]
    return {name: np.concatenate([part[name] for part in filled]) for name in NAMES} if filled else empty()


def cut(bars: Bars, span: Span) -> Bars:
    """Return the bars that open in ``span``."""
    low, high = np.searchsorted(bars["open_time"], [span.start, max(span.start, span.end)])
    return {name: column[low:high] for name, column in bars.items()}


def minutes(of: Scale, start: int, count: int) -> Bars:
    """Return ``count`` minutes from the ``start``-th of the epoch; each opens at the previous close."""
    if count <= 0:
        return empty()
    at = np.arange(start, start + count, dtype=np.int64)
    walk = noise.walk(of.price_key, start, count + 1) * noise.walk(of.basis_key, start, count + 1, _BASIS)
    prices = np.rint(of.level * walk).astype(np.int64)
    opened, closed = prices[:-1], prices[1:]
    wick, wicks = max(of.level // 1500, 2), noise.bits(of.wick_key, at)
    high = np.maximum(opened, closed) + ((noise.sixteen(wicks, 0) * wick) >> 16)
    low = np.minimum(opened, closed) - ((noise.sixteen(wicks, 1) * wick) >> 16)
    random = noise.bits(of.trade_key, at)
    activity = noise.sixteen(random, 2)
    volume = 1 + ((of.lots * (4096 + (activity * activity >> 14))) >> 16)
    bought = (volume * (19_661 + (noise.sixteen(random, 3) * 26_214 >> 16))) >> 16
    mean = (opened + high + low + closed) // 4
    return {
        "open_time": at * MINUTE,
        "open": opened,
        "high": high,
        "low": low,
        "close": closed,
        "volume": volume,
        "quote_asset_volume": _quote(of, volume, mean),
        "count": 20 + (activity * 2000 >> 16) + noise.sixteen(random, 3) % 61,
        "taker_buy_volume": bought,
        "taker_buy_quote_volume": _quote(of, bought, mean),
    }


def _quote(of: Scale, volume: Integers, price: Integers) -> Integers:
    """Convert ``volume`` to the other side: base lots to quote units, contracts to base units."""
    prices, volumes, quotes = (of.digits[name] for name in ("open", "volume", "quote_asset_volume"))
    if of.contract is not None:
        return volume * np.int64(of.contract * 10 ** (prices + quotes)) // price
    return volume * price // np.int64(10 ** (prices + volumes - quotes))


def seconds(of: Scale, known: Bars) -> Bars:
    """Split each minute into 60 seconds whose path touches its high and low, and whose volumes add up to its own."""
    count = len(known["open_time"])
    if not count:
        return empty()
    opens = known["open_time"][:, None] + np.arange(60, dtype=np.int64) * SECOND
    random = noise.bits(of.second_key, opens // SECOND)
    path = _path(known, random)
    parts = np.cumsum(1 + (noise.sixteen(random, 1) & 0xFF), axis=1)
    split = {"open_time": opens, "open": path[:, :-1], "close": path[:, 1:]}
    split["high"] = np.maximum(split["open"], split["close"])
    split["low"] = np.minimum(split["open"], split["close"])

    def spread(amounts: Integers) -> Integers:
        return np.diff(amounts[:, None] * parts // parts[:, -1:], axis=1, prepend=0)

    split["count"] = spread(known["count"])
    for whole, bought in _BOUGHT.items():
        split[bought] = spread(known[bought])
        split[whole] = split[bought] + spread(known[whole] - known[bought])
    return {name: split[name].reshape(-1) for name in NAMES}


def _path(known: Bars, random: noise.Bits) -> Integers:
    """Return 61 prices per minute, from its open to its close, within its low and high and touching both."""
    rows = np.arange(len(random))
    low, high = known["low"][:, None], known["high"][:, None]
    opened, closed = known["open"][:, None], known["close"][:, None]
    wobble = ((high - low + 1) * (noise.sixteen(random, 0) - 32_768)) >> 17
    path = np.empty((len(random), 61), dtype=np.int64)
    path[:, :-1] = np.clip(opened + (closed - opened) * np.arange(60) // 60 + wobble, low, high)
    top = 1 + noise.sixteen(random[:, 0], 2) % 59
    path[rows, top] = known["high"]
    path[rows, 1 + (top - 1 + 1 + noise.sixteen(random[:, 1], 2) % 58) % 59] = known["low"]
    path[:, 0], path[:, -1] = known["open"], known["close"]
    return path


def aggregate(bars: Bars, grid: Grid) -> Bars:
    """Aggregate shorter candles on ``grid``, including incomplete ones."""
    if not len(bars["open_time"]):
        return bars
    opens = grid.floors(bars["open_time"])
    starts = np.flatnonzero(np.diff(opens, prepend=opens[0] - 1))
    ends = np.append(starts[1:], len(opens)) - 1
    whole = {name: np.add.reduceat(bars[name], starts) for name in _SUMS}
    whole["open_time"] = opens[starts]
    whole["open"], whole["close"] = bars["open"][starts], bars["close"][ends]
    whole["high"] = np.maximum.reduceat(bars["high"], starts)
    whole["low"] = np.minimum.reduceat(bars["low"], starts)
    return whole


def close_times(opens: Integers, grid: Grid, venue: Venue) -> Integers:
    """Return the close time of each candle, in the archive's unit and in microseconds."""
    return grid.ends(opens) - np.where(opens >= venue.micros_since, 1, 1000)
