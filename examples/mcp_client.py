"""
Call tools of a running service over the Model Context Protocol, as a language model does.

Run: ``chandlery serve --no-auth`` and, in another terminal, ``python examples/mcp_client.py [url]``.
"""

import asyncio
import sys

from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client


async def main(url: str = "http://127.0.0.1:8700") -> None:
    """List the tools, and summarize a month of candles."""
    async with Client(streamable_http_client(f"{url}/mcp")) as client:
        for tool in (await client.list_tools()).tools:
            print("tool", tool.name)
        answer = await client.call_tool(
            "summarize_candles",
            {"exchange": "binance", "symbol": "BTC/USDT", "interval": "1d", "start": "2024-01-01", "end": "2024-02-01"},
        )
        month = answer.structured_content or {}
        print("change", month["whole"]["change"], "from", month["sources"])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
