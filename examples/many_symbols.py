"""
Follow many symbols over shared connections.

Run: ``python examples/many_symbols.py [seconds]``; it prints one line per symbol after that time (10 by default).
"""

import asyncio
import sys

from chandlery import CandlesFeed, FeedGroup, Settings

BASES = ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA", "BNB", "LTC")


def line(feed: CandlesFeed) -> str:
    """Describe the last hour of a feed, and what is in its series."""
    candles = feed.get_candles()
    change = candles[-1].close / candles[0].open - 1
    return f"{feed.trading_pair:10} {candles[-1].close:12.6g} {change:+8.2%} over {len(candles)} minutes, {feed.counts}"


async def main(seconds: str = "10") -> None:
    """Fetch an hour of each symbol, follow all of them live, and print where they are."""
    group = FeedGroup("binance_spot", endpoints=Settings().endpoints)
    feeds = [group.add(f"{base}-USDT", "1m", max_records=60) for base in BASES]
    async with group:
        await asyncio.sleep(float(seconds))
        print(*map(line, feeds), sep="\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
