"""Second half of the demo: the service over the offline exchange, used over MCP and WebSocket."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chandlery.cli import output

if TYPE_CHECKING:
    from rich.console import Console

    from chandlery.service.app import Service

EXCHANGE = "binance"
COINS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
INTERVAL = "1s"
STREAMED_S = 4.0
"""Time in seconds of receiving books and candles."""
BACK_S = 30
"""Start of the requested history, in seconds before now."""
FOLLOWED = 3
"""Number of live candles to wait for after the history."""


def demonstrate(to: Console, folder: Path) -> bool:
    """Start, use and stop the service; return whether all results are correct."""
    from uvloop import run  # noqa: PLC0415  # loaded where it is used

    return run(_demonstrate(to, folder))


async def _demonstrate(to: Console, folder: Path) -> bool:
    from chandlery.net.limiter import RateLimiter  # noqa: PLC0415  # the title comes first
    from chandlery.service.run import running  # noqa: PLC0415  # the same
    from chandlery.service.settings import ServiceSettings  # noqa: PLC0415  # the same

    settings = ServiceSettings(data_dir=folder / "data", port=0, offline=True, snapshot_interval="1s")
    async with running(settings, limiter=RateLimiter(folder / "limits")) as service:
        to.print("serving HTTP, WebSocket and MCP on this machine, over an offline exchange on which it is now")
        client, secret = await service.accounts.create_client("demo", ["read", "collect"])
        added = await _add_coins(to, service, client.id, secret)
        token = (await service.accounts.login("client", client.id, secret)).text
        heard = await _listen(to, service, token)
        whole = await _follow(to, service, token)
        kept = await service.storage.get_raw_data_range(COINS[0], 0, service.clock(), exchange=EXCHANGE)
        to.print(f"in the database: {output.counted(len(kept), 'order book')} of {COINS[0]}, one a second")
    to.print("the service has stopped: responses finished, queues written, clients notified", style="bold")
    return added and heard and whole and bool(kept)


async def _add_coins(to: Console, service: Service, client_id: str, secret: str) -> bool:
    """Add coins over MCP with the official client, which discovers the token endpoint."""
    import httpx2  # noqa: PLC0415  # loaded where it is used
    from mcp.client import Client  # noqa: PLC0415  # the same
    from mcp.client.auth.extensions.client_credentials import (  # noqa: PLC0415  # the same
        ClientCredentialsOAuthProvider,
    )
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415  # the same

    url = f"{service.url}/mcp"
    provider = ClientCredentialsOAuthProvider(url, _Tokens(), client_id, secret, issuer=service.url)
    states = []
    http = httpx2.AsyncClient(auth=provider, timeout=30)
    async with http, Client(streamable_http_client(url, http_client=http)) as client:
        tools = (await client.list_tools()).tools
        to.print(f"MCP: {len(tools)} tools: {', '.join(tool.name for tool in tools)}", soft_wrap=True)
        for coin in COINS:
            arguments = {"exchange": EXCHANGE, "symbol": coin, "channels": ["book", f"candles:{INTERVAL}"]}
            answer: Any = (await client.call_tool("add_coin", arguments)).structured_content
            states += [channel["state"] for channel in answer["channels"]]
            told = ", ".join(f"{channel['channel']} {channel['state']}" for channel in answer["channels"])
            to.print(f"MCP: add_coin {coin}: {told}")
    return states == ["running"] * len(states)


class _Tokens:
    """Token storage of the client."""

    def __init__(self) -> None:
        self._held: dict[str, Any] = {}

    async def get_tokens(self) -> Any:
        return self._held.get("tokens")

    async def set_tokens(self, tokens: Any) -> None:
        self._held["tokens"] = tokens

    async def get_client_info(self) -> Any:
        return self._held.get("info")

    async def set_client_info(self, client_info: Any) -> None:
        self._held["info"] = client_info


async def _listen(to: Console, service: Service, token: str) -> bool:
    """Receive books and candles of all coins over one WebSocket for a few seconds."""
    counts: Counter[tuple[str, str]] = Counter()
    last: dict[str, Any] = {}
    async with _socket(service, token) as socket:
        for coin in COINS:
            for more in ({"channel": "book"}, {"channel": "candles", "interval": INTERVAL}):
                await socket.send(json.dumps({"type": "subscribe", "exchange": EXCHANGE, "symbol": coin, **more}))
        until = time.monotonic() + STREAMED_S
        while (left_s := until - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    message = json.loads(await socket.recv())
            except TimeoutError:
                break
            if message["type"] == "realtime_data":
                counts[message["symbol"], message["channel"]] += 1
                last[message["symbol"]] = (
                    message["data"] if message["channel"] == "book" else last.get(message["symbol"])
                )
    rows = []
    for coin in COINS:
        book = last.get(coin)
        best = ("-", "-") if book is None else (f"{book['bids'][0][0]:,.2f}", f"{book['asks'][0][0]:,.2f}")
        rows.append((coin, *best, str(counts[coin, "book"]), str(counts[coin, "candles"])))
    to.print(output.as_table(("coin", "bid", "ask", "books", "candles"), rows, left=1))
    to.print(f"the last book of each, and what came in {STREAMED_S:g} s over one socket")
    return all(counts[coin, channel] for coin in COINS for channel in ("book", "candles"))


async def _follow(to: Console, service: Service, token: str) -> bool:
    """Receive history followed by live updates: every candle once."""
    opens: list[int] = []
    complete: dict[str, Any] | None = None
    live = 0
    start = service.clock() // 1000 - BACK_S * 1000
    ask = {"exchange": EXCHANGE, "symbol": COINS[1], "interval": INTERVAL, "start": start, "follow": True}
    async with _socket(service, token) as socket, asyncio.timeout(30):
        await socket.send(json.dumps({"type": "request_historical", **ask}))
        while live < FOLLOWED:
            message = json.loads(await socket.recv())
            if message["type"] == "historical_data_chunk":
                opens += [row[0] for row in message["rows"]]
            elif message["type"] == "historical_data_complete":
                complete = message
            elif message["type"] == "realtime_data" and message["data"]["closed"]:
                opens.append(message["data"]["timestamp"])
                live += 1
    seamless = opens == [*range(opens[0], opens[0] + 1000 * len(opens), 1000)]
    sources = ", ".join(f"{each['rows']} from {each['source']}" for each in (complete or {}).get("sources", ()))
    to.print(f"{COINS[1]} {INTERVAL} from {BACK_S} s ago, followed: {sources}; then {live} live")
    to.print(
        f"{len(opens)} candles, {'each second once, no gap and no duplicate' if seamless else 'NOT WHOLE'}",
        style="bold",
    )
    return seamless and complete is not None


def _socket(service: Service, token: str) -> Any:
    from websockets.asyncio.client import connect  # noqa: PLC0415  # loaded where it is used

    address = service.url.replace("http", "ws", 1) + "/v1/ws"
    return connect(address, additional_headers={"Authorization": f"Bearer {token}"}, max_size=None)
