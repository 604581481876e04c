"""An exchange in a process of its own that sends frames as fast as they are read, the same ones to all who subscribe."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvloop
from aiohttp import WSMsgType, web
from frames import NOW_MS, SYMBOL, WARM_UP, Channel, depth, klines

_CHUNK = 256
"""How many frames are written at once: whole ones, so that a pong may come between."""
_UNSENT = 1 << 20
_SYMBOLS = {
    "timezone": "UTC",
    "serverTime": NOW_MS,
    "rateLimits": [],
    "exchangeFilters": [],
    "symbols": [
        {
            "symbol": SYMBOL, "status": "TRADING", "baseAsset": "BTC", "baseAssetPrecision": 8, "quoteAsset": "USDT",
            "quotePrecision": 8, "quoteAssetPrecision": 8, "orderTypes": ["LIMIT", "MARKET"],
            "isSpotTradingAllowed": True, "isMarginTradingAllowed": True, "permissions": ["SPOT"],
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.0", "stepSize": "0.00001"},
            ],
        }
    ],
}  # fmt: skip


@contextmanager
def blasting(frames: int) -> Iterator[dict]:
    """Where it is, and between which positions of each channel to measure; it ends with the block."""
    command = [sys.executable, __file__, str(frames)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(30)


class Blaster:
    """Answers what clients ask for at their start, sends some frames slowly, rests, and then sends all the others."""

    def __init__(self, frames: int) -> None:
        book, self.snapshot = depth(frames)
        self.channels = {each.name: each for each in (klines(frames), book)}
        self._prepared: dict[tuple[str, bool], tuple[list[bytes], list[bytes]]] = {}
        for channel in self.channels.values():
            for combined in (False, True):
                made = channel.frames(combined=combined)
                self._prepared[channel.name, combined] = made[:WARM_UP], _chunks(made[WARM_UP:])
            channel.texts.clear()
        self._asked = asyncio.Event()
        self._began = 0.0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request, whose path ends as Binance's."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request)
        name = request.path.rpartition("/")[2]
        answers = {"time": {"serverTime": NOW_MS}, "exchangeInfo": _SYMBOLS, "began": self._began}
        if name == "depth":
            self._asked.set()
            return web.Response(text=self.snapshot, content_type="application/json")
        if name == "klines":
            return web.json_response(_rows(int(request.query["startTime"]), int(request.query["endTime"])))
        return web.json_response(answers[name]) if name in answers else web.json_response({}, status=404)

    async def _socket(self, request: web.BaseRequest) -> web.WebSocketResponse:
        """A client names its stream in the address, as ``/stream?streams=`` has it, or in a message."""
        socket = web.WebSocketResponse(compress=False, max_msg_size=0)
        await socket.prepare(request)
        sending = None
        if name := request.query.get("streams", ""):
            sending = asyncio.create_task(self._send(request.transport, name, combined=True))
        async for message in socket:
            if message.type is WSMsgType.TEXT and sending is None:
                command = json.loads(message.data)
                await socket.send_str(json.dumps({"result": None, "id": command["id"]}))
                sending = asyncio.create_task(self._send(request.transport, command["params"][0], combined=False))
        if sending is not None:
            sending.cancel()
        return socket

    async def _send(self, transport: asyncio.Transport, name: str, *, combined: bool) -> None:
        slowly, rest = self._prepared[name, combined]
        self._asked.clear()
        for frame in slowly:
            transport.write(frame)
            await asyncio.sleep(0.002)
        if "depth" in name:
            await self._asked.wait()
        await asyncio.sleep(0.5)
        self._began = time.monotonic()
        for chunk in rest:
            transport.write(chunk)
            while transport.get_write_buffer_size() > _UNSENT:  # noqa: ASYNC110  # it is the kernel that is waited for
                await asyncio.sleep(0.0005)


def _chunks(frames: list[bytes]) -> list[bytes]:
    return [b"".join(frames[at : at + _CHUNK]) for at in range(0, len(frames), _CHUNK)]


def _rows(start_ms: int, end_ms: int) -> list[list[object]]:
    """Candles by REST, all before the first one of the stream."""
    first, last = -(-start_ms // 60_000), min(end_ms // 60_000, NOW_MS // 60_000 - 1)
    price = "61837.64000000"
    return [
        [at * 60_000, price, price, price, price, "1.0", at * 60_000 + 59_999, price, 10, "0.5", "30000.0", "0"]
        for at in range(first, last + 1)
    ]


async def _serve(frames: int) -> None:
    blaster = Blaster(frames)
    runner = web.ServerRunner(web.Server(blaster.handle, access_log=None), shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    marks = {name: _marks(channel) for name, channel in blaster.channels.items()}
    print(json.dumps({"port": runner.addresses[0][1], "now_ms": NOW_MS, "marks": marks}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def _marks(channel: Channel) -> tuple[int, int]:
    return channel.begin, channel.end


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
