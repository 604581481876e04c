"""
Write a year of candles into a Parquet file.

Run: ``python examples/year_to_parquet.py 2024.parquet [interval]``; the interval is ``1m`` unless given.
"""

import sys
from datetime import UTC, datetime

from chandlery import DataSourceManager, Settings


def main(path: str, interval: str = "1m") -> None:
    """Download 2024 of BTCUSDT, mostly from Binance's archive, and print what is missing."""
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
    with DataSourceManager(endpoints=Settings().endpoints) as manager:
        frame = manager.get_data("BTCUSDT", start, end, interval)
    frame.to_parquet(path)
    print(f"{len(frame)} candles in {path}")
    for gap in frame.attrs["chandlery"].gaps:
        print(f"none in {gap.span}: {gap.kind.value}")


if __name__ == "__main__":
    main(*sys.argv[1:])
