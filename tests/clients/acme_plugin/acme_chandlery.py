"""A client of the Acme exchange, as a third party would write one: all prices are 1."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from chandlery import IExchangeAPIClient, RealtimeStream
from chandlery.core.errors import InvalidSymbol

MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AcmeClient(IExchangeAPIClient):
    """Candles of whole minutes."""

    family = "acme_labs"
    closed: ClassVar[list[str]] = []

    def __init__(self, settings):
        self.cache_dir = settings.storage.cache_dir

    def get_exchange_name(self):
        return "acme"

    async def fetch_historical_data(self, coin, start, end, interval="1m"):
        if coin != "GOLD/USD":
            raise InvalidSymbol(f"acme has GOLD/USD and no {coin}")
        first, last = -((EPOCH - start) // MINUTE), (min(end, datetime.now(UTC) - MINUTE) - EPOCH) // MINUTE
        return [_row(coin, minute * 60_000) for minute in range(first, last + (EPOCH + last * MINUTE < end))]

    async def check_coin_availability(self, coin):
        return coin == "GOLD/USD"

    async def start_realtime_stream(
        self, coin, callback, *, channel="candles", interval="1m", depth=None, on_event=None
    ):
        async def run():
            while True:
                callback(coin, _row(coin, 0))
                await asyncio.sleep(0.01)

        return RealtimeStream(f"acme {coin}", run())

    async def close(self):
        self.closed.append("acme")


def _row(coin, opened):
    prices = dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)
    return {"exchange": "acme", "symbol": coin, "interval": "1m", "timestamp": opened, **prices, "closed": True}
