"""
Fetch candles from an exchange; if it fails, from a second one through ccxt.

Run: ``pip install 'chandlery[ccxt]'``, then ``python examples/ccxt_fallback.py``.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from chandlery import DataSourceConnectorImpl


async def main() -> None:
    """Print which exchange gave the last hour of BTC/USDT, and why those before it did not."""
    end = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
    async with DataSourceConnectorImpl() as connector:
        result = await connector.fetch_with_fallback(
            "BTC/USDT", end - timedelta(hours=1), end, "1m", exchanges=["binance", "ccxt.kraken"]
        )
    for exchange, error in result.failures:
        print(f"{exchange} failed: {error}")
    for span in result.spans:
        print(f"{span.exchange} gave {span.span}")
    print(len(result.rows), "candles, the last one", result.rows[-1]["close"])


if __name__ == "__main__":
    asyncio.run(main())
