"""
One client that listens to the blaster, as its user would write it, in a process of its own.

What is printed as JSON: the processor time and the wall time from the first to the last measured
frame, how many updates the user's code saw, and what it held at the end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import uvloop

TOP = 20
KLINE, DEPTH = "btcusdt@kline_1m", "btcusdt@depth@100ms"


class Meter:
    """
    Is called with the position of each update, unless it lies between the marks.

    So the measured updates cost two comparisons. The clock starts with the last update of the warm-up,
    after which nothing comes for half a second.
    """

    def __init__(self, begin: int, end: int) -> None:
        self.begin, self.end = begin, end
        self.seen = 0
        self.over = asyncio.Event()
        self.ended = self.cpu = self._cpu = 0.0

    def __call__(self, position: int) -> None:
        if position < self.begin:
            self._cpu, self.seen = time.process_time(), 0
        else:
            self.cpu, self.ended = time.process_time() - self._cpu, time.monotonic()
            self.over.set()


class Client:
    """What a client needs to know: where the exchange is, and what to measure."""

    def __init__(self, plan: dict[str, Any], work: str) -> None:
        self.work = work
        self.host = f"127.0.0.1:{plan['port']}"
        self.now_ms: int = plan["now_ms"]
        self.stream = KLINE if work == "candles" else DEPTH
        self.meter = Meter(*plan["marks"][self.stream])
        self.endpoints = {"binance_spot": {"rest": f"http://{self.host}", "ws": f"ws://{self.host}"}}


async def bare(client: Client) -> Any:
    """picows and msgspec by hand: a typed decode, and for the book a dictionary a side."""
    import picows

    take, result = (_bare_candles if client.work == "candles" else _bare_book)(client)

    class Listener(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            message = frame.get_payload_as_bytes()
            if not message.startswith(b'{"result"'):
                take(message)

    transport, _ = await picows.ws_connect(Listener, f"ws://{client.host}/ws")
    command = {"method": "SUBSCRIBE", "params": [client.stream], "id": 1}
    transport.send(picows.WSMsgType.TEXT, json.dumps(command).encode())
    if client.work == "book":
        # The blaster waits until whoever subscribes has asked for the snapshot, which is always the same.
        await asyncio.to_thread(_fetched, f"http://{client.host}/depth")
    await client.meter.over.wait()
    return result()


def _bare_candles(client: Client) -> tuple[Callable[[bytes], None], Callable[[], Any]]:
    import msgspec

    meter, begin, end = client.meter, client.meter.begin, client.meter.end
    numbers = [(name, float) for name in "ohlcvqVQ"]
    kline = msgspec.defstruct("Kline", [("t", int), *numbers, ("n", int), ("x", bool)])
    decode = msgspec.json.Decoder(msgspec.defstruct("Event", [("s", str), ("k", kline)]), strict=False).decode
    latest: list[Any] = []

    def on_candle(candle: Any) -> None:
        if begin <= candle.t < end:
            meter.seen += 1
        else:
            latest[:] = [candle.c]
            meter(candle.t)

    return lambda message: on_candle(decode(message).k), lambda: latest[0]


def _bare_book(client: Client) -> tuple[Callable[[bytes], None], Callable[[], Any]]:
    import msgspec

    meter, begin, end = client.meter, client.meter.begin, client.meter.end
    levels = list[tuple[float, float]]
    fields = [("s", str), ("U", int), ("u", int), ("E", int), ("b", levels), ("a", levels)]
    decode = msgspec.json.Decoder(msgspec.defstruct("Update", fields), strict=False).decode
    snapshot = _fetched(f"http://{client.host}/depth")
    bids, asks = ({float(price): float(size) for price, size in snapshot[side]} for side in ("bids", "asks"))

    def take(message: bytes) -> None:
        update = decode(message)
        for side, changes in ((bids, update.b), (asks, update.a)):
            for price, size in changes:
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)
        if begin <= update.u < end:
            meter.seen += 1
        else:
            meter(update.u)

    return take, lambda: [max(bids), min(asks)]


def _fetched(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


async def chandlery(client: Client) -> Any:
    """The feeds of chandlery with ``on_update``."""
    from chandlery import CandleData, CandlesFeed, OrderBookFeed
    from chandlery.feed.book_stream import LiveBook

    meter, first, last = client.meter, client.meter.begin, client.meter.end
    begin, end = first * 1000, last * 1000
    latest: list[Any] = []

    def on_candle(update: Any) -> None:
        if isinstance(update, CandleData):
            if begin <= update.open_time < end:
                meter.seen += 1
            else:
                latest[:] = [update.close]
                meter(update.open_time // 1000)

    def on_book(update: Any) -> None:
        if isinstance(update, LiveBook):
            if first <= update.last < last:
                meter.seen += 1
            else:
                meter(update.last)

    def on_book_top(update: Any) -> None:
        if isinstance(update, LiveBook):
            update.bids(TOP), update.asks(TOP)
            on_book(update)

    options: dict[str, Any] = {"endpoints": client.endpoints, "clock": lambda: client.now_ms * 1000}
    if client.work == "candles":
        async with CandlesFeed("binance_spot", "BTC-USDT", "1m", on_update=on_candle, **options):
            await meter.over.wait()
            return latest[0]
    take = on_book if client.work == "book" else on_book_top
    async with OrderBookFeed("binance_spot", "BTC-USDT", on_update=take, **options) as feed:
        await meter.over.wait()
        assert not feed.audit.gaps, "the frames have no gaps"
        return [feed.book.best_bid, feed.book.best_ask]


async def ccxt(client: Client) -> Any:
    """
    ``watch_ohlcv`` or ``watch_order_book`` of ccxt.pro in a loop.

    The loop does not see every update: what lies in the buffer is taken in one go. So that the best 20 are
    asked for after each, they are asked for where each is applied.
    """
    import ccxt.pro

    class Binance(ccxt.pro.binance):
        def handle_order_book(self, connection: Any, message: Any) -> None:
            super().handle_order_book(connection, message)
            if (book := self.orderbooks.get("BTC/USDT")) is not None:
                book["bids"][:TOP], book["asks"][:TOP]

    exchange = (Binance if client.work == "top" else ccxt.pro.binance)(
        {"options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}}
    )
    exchange.enableRateLimit = False
    exchange.urls["api"] = _moved(exchange.urls["api"], client.host)
    meter = client.meter
    try:
        while not meter.over.is_set():
            if client.work == "candles":
                rows = await exchange.watch_ohlcv("BTC/USDT", "1m")
                position, result = rows[-1][0], rows[-1][4]
            else:
                book = await exchange.watch_order_book("BTC/USDT")
                position, result = book["nonce"], book
            if meter.begin <= position < meter.end:
                meter.seen += 1
            else:
                meter(position)
        return result if client.work == "candles" else [result["bids"][0][0], result["asks"][0][0]]
    finally:
        await exchange.close()


def _moved(urls: Any, host: str) -> Any:
    """All addresses at the blaster."""
    if isinstance(urls, dict):
        return {key: _moved(value, host) for key, value in urls.items()}
    return f"ws://{host}/ws" if urls.startswith("ws") else f"http://{host}/api/v3"


async def cryptofeed(client: Client) -> Any:
    """``FeedHandler`` of cryptofeed with a callback. It takes only wss addresses, so these turn to ws where it connects."""
    import cryptofeed.connection
    from cryptofeed import FeedHandler
    from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
    from cryptofeed.defines import CANDLES, L2_BOOK
    from cryptofeed.exchanges import Binance

    meter = client.meter
    connect = cryptofeed.connection.connect
    cryptofeed.connection.connect = lambda url, **options: connect(url.replace("wss://", "ws://"), **options)
    routes = Routes("/api/v3/exchangeInfo", l2book="/api/v3/depth?symbol={}&limit={}")
    Binance.rest_endpoints = [RestEndpoint(f"http://{client.host}", routes=routes)]
    Binance.websocket_endpoints = [WebsocketEndpoint(f"wss://{client.host}")]
    latest: list[Any] = []

    async def on_candle(candle: Any, _received: float) -> None:
        position = round(candle.start * 1000)
        if meter.begin <= position < meter.end:
            meter.seen += 1
        else:
            latest[:] = [float(candle.close)]
            meter(position)

    async def on_book(book: Any, _received: float) -> None:
        if meter.begin <= book.sequence_number < meter.end:
            meter.seen += 1
        else:
            latest[:] = [float(book.book.bids.index(0)[0]), float(book.book.asks.index(0)[0])]
            meter(book.sequence_number)

    async def on_book_top(book: Any, received: float) -> None:
        for side in (book.book.bids, book.book.asks):
            [side.index(place) for place in range(min(TOP, len(side)))]
        await on_book(book, received)

    channel, callback = (CANDLES, on_candle) if client.work == "candles" else (L2_BOOK, on_book)
    if client.work == "top":
        callback = on_book_top
    handler = FeedHandler({"log": {"filename": "/dev/null", "level": "ERROR"}, "uvloop": False})
    handler.add_feed(
        Binance(symbols=["BTC-USDT"], channels=[channel], callbacks={channel: callback}, candle_closed_only=False)
    )
    handler.run(start_loop=False, install_signal_handlers=False)
    await meter.over.wait()
    return latest[0] if client.work == "candles" else latest


CLIENTS: dict[str, Callable[[Client], Any]] = {
    "bare": bare,
    "chandlery": chandlery,
    "cryptofeed": cryptofeed,
    "ccxt": ccxt,
}


async def _main(name: str, work: str, plan: dict[str, Any]) -> None:
    client = Client(plan, work)
    result = await asyncio.wait_for(CLIENTS[name](client), 300)
    meter = client.meter
    wall = meter.ended - _fetched(f"http://{client.host}/began")
    print(json.dumps({"cpu": meter.cpu, "wall": wall, "seen": meter.seen, "result": result}), flush=True)


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
