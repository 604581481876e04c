"""
Connect to an exchange with your own client: Binance US, candles by REST.

Run: ``python examples/third_party_client.py``. In a package of your own, register the class under the
entry point group ``chandlery.plugins``; the connector creates it with its settings.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from chandlery import DataSourceConnectorImpl, IExchangeAPIClient, Interval, Settings
from chandlery.core.errors import ExchangeUnavailable

PRICES = ("open", "high", "low", "close", "volume")


class BinanceUs(IExchangeAPIClient):
    """Binance US (https://docs.binance.us), 1,000 candles a request."""

    family = "example"

    def __init__(self, settings: Settings) -> None:
        self._url = str(settings.endpoints.get("binance_us", {}).get("rest", "https://api.binance.us"))

    def get_exchange_name(self) -> str:
        return "binance_us"

    async def check_coin_availability(self, coin: str) -> bool:
        listed = await self._get("exchangeInfo", {"symbol": coin.replace("/", "")})
        return bool(listed["symbols"][0]["status"] == "TRADING")

    async def fetch_historical_data(
        self, coin: str, start: datetime, end: datetime, interval: Interval | str = "1m"
    ) -> list[dict[str, Any]]:
        first, last = int(start.timestamp() * 1000), int(end.timestamp() * 1000) - 1
        length = interval.value if isinstance(interval, Interval) else interval
        query = {
            "symbol": coin.replace("/", ""),
            "interval": length,
            "startTime": first,
            "endTime": last,
            "limit": 1000,
        }
        head = {"exchange": "binance_us", "symbol": coin, "interval": length, "closed": True}
        rows: list[dict[str, Any]] = []
        while page := await self._get("klines", query):
            for opened, *prices in page:
                rows.append({**head, "timestamp": opened, **dict(zip(PRICES, map(float, prices), strict=False))})
            query["startTime"] = rows[-1]["timestamp"] + 1
        return rows

    async def _get(self, path: str, query: dict[str, Any]) -> Any:
        try:
            async with aiohttp.request("GET", f"{self._url}/api/v3/{path}", params=query) as answer:
                answer.raise_for_status()
                return await answer.json()
        except aiohttp.ClientError as error:
            raise ExchangeUnavailable(f"binance_us: {error}") from error


async def main() -> None:
    """Print the candles of the last full day."""
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    async with DataSourceConnectorImpl() as connector:
        connector.registry.add_plugin(BinanceUs(connector.settings))
        table = await connector.fetch_candles("binance_us", "BTC/USDT", end - timedelta(days=1), end, "1m")
    print(table.num_rows, "candles, the last one", table["close"][-1])


if __name__ == "__main__":
    asyncio.run(main())
