"""
Read past and live candles from a running service over HTTP and WebSocket.

Run: ``chandlery serve --no-auth`` and, in another terminal, ``python examples/service_client.py [url]``.
If the service requires a token, set the environment variable ``TOKEN``.
"""

import asyncio
import os
import sys

import aiohttp

COIN = {"exchange": "binance", "symbol": "BTC/USDT", "interval": "1m"}


async def main(url: str = "http://127.0.0.1:8700") -> None:
    """Print the number of candles of a day, page by page, and then three live updates."""
    headers = {"Authorization": f"Bearer {token}"} if (token := os.environ.get("TOKEN")) else {}
    async with aiohttp.ClientSession(url, headers=headers) as session:
        query = {**COIN, "start": "2024-01-01", "end": "2024-01-02"}
        while True:
            async with session.get("/v1/candles", params=query) as answer:
                answer.raise_for_status()
                page = await answer.json()
            print(len(page["rows"]), "candles, missing:", page["gaps"])
            if page["next"] is None:
                break
            query["cursor"] = page["next"]

        async with session.ws_connect("/v1/ws") as socket:
            await socket.send_json({"type": "subscribe", "channel": "candles", **COIN})
            seen = 0
            while seen < 3:
                message = await socket.receive_json(timeout=60)
                if message["type"] == "realtime_data":
                    print("live", message["data"]["close"], "closed" if message["data"]["closed"] else "running")
                    seen += 1


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
