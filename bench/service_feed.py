"""What is told live in the benchmark of the service, the same for all servers, and the pace at which it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

EXCHANGE, SYMBOL = "bench", "BTC/USDT"
LEVELS = 25
CANDLE_EVERY = 10
"""Each so many-th update is a closed candle, all others are books."""
SETTLE_S = 0.3
"""How long what was written last may take until the processor time is read."""

_BIDS = [[60_000.12 - level * 0.37, 0.5 + level * 0.013] for level in range(LEVELS)]
_ASKS = [[60_000.49 + level * 0.37, 0.7 + level * 0.017] for level in range(LEVELS)]


def book(number: int, symbol: str = SYMBOL) -> dict[str, Any]:
    """An order book, as a client's row."""
    return {
        "exchange": EXCHANGE,
        "symbol": symbol,
        "timestamp": 1_700_000_000_000 + number,
        "sequence": number,
        "bids": _BIDS,
        "asks": _ASKS,
    }


def candle(number: int) -> dict[str, Any]:
    """A closed candle, as a client's row."""
    return {
        "exchange": EXCHANGE,
        "symbol": SYMBOL,
        "interval": "1m",
        "timestamp": 1_700_000_000_000 + number * 60_000,
        "open": 60_000.12,
        "high": 60_001.5,
        "low": 59_999.25,
        "close": 60_000.49,
        "volume": 12.345,
        "quote_asset_volume": 740_701.4,
        "count": 123,
        "taker_buy_volume": 6.1,
        "taker_buy_quote_volume": 366_000.7,
        "closed": True,
    }


def update(number: int) -> tuple[str, dict[str, Any]]:
    """The channel and the row of an update, which says when it was made, in nanoseconds of the monotonic clock."""
    channel, row = ("candles", candle(number)) if number % CANDLE_EVERY == 0 else ("book", book(number))
    return channel, row | {"sent": time.monotonic_ns()}


async def paced(rate: float, seconds: float) -> AsyncIterator[int]:
    """Numbers at a rate; where they are taken too slowly, those whose moment has passed are left out."""
    began = time.monotonic()
    number = 0
    while (now := time.monotonic() - began) < seconds:
        yield number
        number = max(number + 1, int(now * rate))
        await asyncio.sleep(max(number / rate - (time.monotonic() - began), 0))
