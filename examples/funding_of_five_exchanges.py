"""
Compare the funding rates of five exchanges.

Run: ``python examples/funding_of_five_exchanges.py [symbol]``; the symbol is ``BTC/USDT:USDT`` unless given.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from chandlery import AsyncDataSourceManager, ChartType, DataProvider, MarketType, Settings

EXCHANGES = (DataProvider.BINANCE, DataProvider.BYBIT, DataProvider.OKX, DataProvider.GATE, DataProvider.HTX)


async def mean_rate(exchange: DataProvider, symbol: str, start: datetime, end: datetime) -> tuple[int, float]:
    """Return how many rates were due in the range, and their mean."""
    async with AsyncDataSourceManager(MarketType.FUTURES_USDT, exchange, endpoints=Settings().endpoints) as manager:
        frame = await manager.get_data(symbol, start, end, "8h", chart_type=ChartType.FUNDING_RATE)
    return len(frame), float(frame["funding_rate"].mean())


async def main(symbol: str = "BTC/USDT:USDT") -> None:
    """Ask all exchanges at once for the last week, and print a line for each."""
    end = datetime.now(UTC)
    start = end - timedelta(days=7)
    means = await asyncio.gather(*(mean_rate(each, symbol, start, end) for each in EXCHANGES))
    for exchange, (count, mean) in zip(EXCHANGES, means, strict=True):
        print(f"{exchange.name:8} {count:3} rates, {mean:+.6%} on average")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
