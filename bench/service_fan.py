"""
The feed by what has been made for it: ``websockets.broadcast``, or a loop over picows' transports. Each message is encoded once.

At each line of the standard input, a rate and some seconds, clients are told of updates; then what that cost is printed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable

import msgspec
import picows
import uvloop
import websockets
from service_feed import SETTLE_S, paced, update
from websockets.asyncio.server import broadcast, serve


async def by_websockets() -> tuple[int, Callable[[bytes], None]]:
    """The port, and what sends to all."""

    async def listen(connection: websockets.ServerConnection) -> None:
        await connection.wait_closed()

    server = await serve(listen, "127.0.0.1", 0, compression=None, ping_interval=None)
    return server.sockets[0].getsockname()[1], lambda content: broadcast(server.connections, content.decode())


async def by_picows() -> tuple[int, Callable[[bytes], None]]:
    """The same of picows, which has no broadcast of its own."""
    clients: list[picows.WSTransport] = []

    class Listener(picows.WSListener):
        def on_ws_connected(self, transport: picows.WSTransport) -> None:
            clients.append(transport)

        def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
            clients.remove(transport)

    server = await picows.ws_create_server(lambda _: Listener(), "127.0.0.1", 0)

    def send(content: bytes) -> None:
        for client in clients:
            client.send(picows.WSMsgType.TEXT, content)

    return server.sockets[0].getsockname()[1], send


async def main(name: str) -> None:
    """Serve until nobody holds the standard input any more."""
    port, send = await {"websockets": by_websockets, "picows": by_picows}[name]()
    print(port, flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        rate, seconds = map(float, line.split())
        began, published = time.process_time(), 0
        async for number in paced(rate, seconds):
            channel, row = update(number)
            head = {"type": "realtime_data", "channel": channel, "exchange": row["exchange"], "symbol": row["symbol"]}
            if channel == "candles":
                head["interval"] = row["interval"]
            send(msgspec.json.encode(head | {"data": row}))
            published += 1
        await asyncio.sleep(SETTLE_S)
        print(json.dumps({"cpu": time.process_time() - began, "published": published}), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
