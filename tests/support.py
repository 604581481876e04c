"""What several test files need."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from chandlery.core.instrument import MarketType
from chandlery.core.interval import AnchoredGrid, Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import DAY
from chandlery.sim.market import SyntheticMarket

SPOT, LINEAR, INVERSE = MarketType.SPOT, MarketType.FUTURES_USDT, MarketType.FUTURES_COIN

SYMBOLS = [
    (SPOT, "BTCUSDT"),
    (SPOT, "DOGEUSDT"),
    (LINEAR, "ETHUSDT"),
    (INVERSE, "BTCUSD_PERP"),
    (INVERSE, "ADAUSD_PERP"),
]
"""A few series of each market."""

COLUMNS = [
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_asset_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
]
"""The places of an archive row."""


def listing(*more: str) -> SyntheticMarket:
    """The usual offline market with ``more`` spot symbols."""
    symbols = {each: SyntheticMarket().symbols(each) for each in MarketType}
    return SyntheticMarket(symbols={**symbols, SPOT: [*symbols[SPOT], *more]})


def at(*parts: int) -> datetime:
    """A UTC datetime."""
    return datetime(*parts, tzinfo=UTC)


def micros(*parts: int) -> int:
    """A UTC datetime as microseconds."""
    return to_micros(at(*parts))


def moment(text: str) -> int:
    """ISO 8601 without a time zone, read as UTC, as microseconds."""
    return to_micros(datetime.fromisoformat(text).replace(tzinfo=UTC))


def rows(lines: Sequence[bytes]) -> list[list[Decimal]]:
    """Lines of an archive file as decimals."""
    return [[Decimal(field) for field in line.decode().split(",")] for line in lines]


def summed(parts: Sequence[Sequence[Decimal]]) -> list[Decimal | int]:
    """One candle out of shorter ones, without its times."""
    sums = [sum(part[place] for part in parts) for place in (5, 7, 8, 9, 10)]
    return [parts[0][1], max(part[2] for part in parts), min(part[3] for part in parts), parts[-1][4], *sums]


def body(row: Sequence[Decimal]) -> list[Decimal]:
    """A candle without its times."""
    return [row[place] for place in (1, 2, 3, 4, 5, 7, 8, 9, 10)]


def grid_of(interval):
    """The moments at which Binance's candles open."""
    return AnchoredGrid(interval, DAY) if interval is Interval.DAY_3 else interval


@contextmanager
def only_readable(folder: Path) -> Iterator[None]:
    """
    A folder and its files that this process may read and not write; its parents are open to all.

    The modes of files do not hold for root, who is nobody meanwhile.
    """
    for each in folder.iterdir():
        if each.is_file():
            each.chmod(0o444)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
