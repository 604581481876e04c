"""The offline exchange as it is now, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys

from chandlery.sim.market import SyntheticMarket
from chandlery.sim.server import SimServer


async def main() -> None:
    """Serve until nobody holds the standard input any more."""
    server = SimServer(SyntheticMarket(7), exchanges=["binance_spot"], weight_limit=1_000_000_000)
    async with server:
        print(json.dumps(server.endpoints), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
