"""A client of the Acme exchange, as a third party would write one: all prices are 1."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import ClassVar

from chandlery import IExchangeAPIClient, RealtimeStream


class AcmeClient(IExchangeAPIClient):
    """Candles of whole minutes."""

    family = "acme_labs"
    closed: ClassVar[list[str]] = []

    def __init__(self, settings):
        self.cache_dir = settings.storage.cache_dir

    def get_exchange_name(self):
        return "acme"

    async def fetch_historical_data(self, coin, start, end, interval="1m"):
        minutes = (end - start) // timedelta(minutes=1)
        opens = [round((start + timedelta(minutes=each)).timestamp()) * 1000 for each in range(minutes)]
        return [_row(coin, opened) for opened in opens]

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
