"""
Append live candles to a CSV file as they close.

Run: ``python examples/live_candles_to_file.py candles.csv [interval] [count]``; the interval is
``1m`` unless given, and without a count it runs until Ctrl-C.
"""

import asyncio
import csv
import sys
from typing import TextIO

from chandlery import CandleData, CandlesFeed, Settings


async def follow(file: TextIO, interval: str, count: float) -> None:
    """Write each closed candle as a line; reconnects and backfills go to the terminal."""
    lines = csv.writer(file)
    async with CandlesFeed("binance_spot", "BTC-USDT", interval, endpoints=Settings().endpoints) as feed:
        async for update in feed:
            if not isinstance(update, CandleData):
                print(update)
            elif update.closed:
                lines.writerow([update.timestamp, update.open, update.high, update.low, update.close, update.volume])
                file.flush()
                count -= 1
                if count <= 0:
                    return


def main(path: str, interval: str = "1m", count: str = "inf") -> None:
    """Open the file, and append to it."""
    with open(path, "a", newline="", encoding="utf-8") as file:
        asyncio.run(follow(file, interval, float(count)))


if __name__ == "__main__":
    main(*sys.argv[1:])
