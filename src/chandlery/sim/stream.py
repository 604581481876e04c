"""The kline streams of one market."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import Clock, Micros, Unit
from chandlery.sim.market import Market
from chandlery.sim.venues import Venue

_MAX_STREAMS = 1024
_MAX_BACKLOG = 1000
"""How many closed candles one tick sends at most, should the clock have leapt."""
_SEND_TIMEOUT_S = 5.0
_PING_S = 20.0


class _Command(msgspec.Struct):
    method: str
    params: list[str] = []
    id: int | str | None = None


class _Connection:
    """One socket: what it wants, and up to which moment it has been told."""

    def __init__(self, socket: web.WebSocketResponse, *, combined: bool, silent: bool) -> None:
        self.socket = socket
        self.combined = combined
        self.silent = silent
        self.streams: dict[str, Micros] = {}

    async def send(self, content: Any) -> None:
        """Send JSON, within the time-out."""
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            await self.socket.send_str(msgspec.json.encode(content).decode())


class Streams:
    """
    The sockets of one market.

    They speak when ``tick`` is called: for each stream, every candle that has closed since, once,
    with ``x`` true, then the running one. Paths other than the market's own are acknowledged and stay silent.
    """

    def __init__(self, venue: Venue, market: Market, clock: Clock) -> None:
        self.venue = venue
        self.dropped = 0
        """Sockets that were closed because they did not read."""
        self._market = market
        self._clock = clock
        self._connections: set[_Connection] = set()

    async def serve(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """One socket until it is closed; ``path`` is what follows the market's base."""
        socket = web.WebSocketResponse(heartbeat=_PING_S, compress=False)
        await socket.prepare(request)
        kind, _, raw = path.removeprefix(self.venue.stream_prefix).strip("/").partition("/")
        wanted = request.query.get("streams", "") if kind == "stream" else raw
        connection = _Connection(
            socket, combined=kind == "stream", silent=not path.startswith(f"{self.venue.stream_prefix}/{kind}")
        )
        self._subscribe(connection, [name for name in wanted.split("/") if name])
        self._connections.add(connection)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await connection.send(self._obey(connection, message.data))
        except (TimeoutError, ConnectionError):
            self.dropped += 1
        finally:
            self._connections.discard(connection)
        return socket

    async def tick(self) -> None:
        """Send what is to be said now."""
        await asyncio.gather(*(self._tell(connection) for connection in tuple(self._connections)))

    async def close(self) -> None:
        """Close every socket."""
        await asyncio.gather(*(connection.socket.close() for connection in tuple(self._connections)))

    @property
    def subscriptions(self) -> list[str]:
        """The streams that are subscribed to now, over all sockets, sorted."""
        return sorted(name for connection in self._connections for name in connection.streams)

    def _obey(self, connection: _Connection, text: str) -> dict[str, Any]:
        try:
            command = msgspec.json.decode(text, type=_Command)
        except msgspec.MsgspecError as error:
            return {"error": {"code": 2, "msg": f"Invalid request: {error}"}, "id": None}
        result: list[str] | None = None
        if command.method == "SUBSCRIBE":
            self._subscribe(connection, command.params)
        elif command.method == "UNSUBSCRIBE":
            for name in command.params:
                connection.streams.pop(name, None)
        elif command.method == "LIST_SUBSCRIPTIONS":
            result = list(connection.streams)
        else:
            return {"error": {"code": 2, "msg": f"Invalid request: unknown method {command.method}"}, "id": command.id}
        return {"result": result, "id": command.id}

    def _subscribe(self, connection: _Connection, names: Iterable[str]) -> None:
        for name in names:
            if len(connection.streams) < _MAX_STREAMS:
                connection.streams.setdefault(name, self._clock())

    async def _tell(self, connection: _Connection) -> None:
        now = self._clock()
        try:
            for name in () if connection.silent else tuple(connection.streams):
                for event in self._events(name, connection.streams[name], now):
                    await connection.send({"stream": name, "data": event} if connection.combined else event)
                if name in connection.streams:
                    connection.streams[name] = now
        except (TimeoutError, ConnectionError):
            self.dropped += 1
            self._connections.discard(connection)
            await connection.socket.close()

    def _events(self, name: str, told: Micros, now: Micros) -> list[dict[str, Any]]:
        """Nothing for what is no kline stream of a known symbol, as the exchange does."""
        symbol, _, kind = name.partition("@")
        interval = self.venue.interval(kind.removeprefix("kline_")) if kind.startswith("kline_") else None
        if (
            interval is None
            or symbol != symbol.lower()
            or not self._market.knows(self.venue.market_type, symbol.upper())
        ):
            return []
        running = interval.floor(now)
        since = max(interval.floor(told), interval.step(running, -_MAX_BACKLOG))
        lines = self._market.lines(self.venue.market_type, symbol.upper(), interval, Span(since, now + 1), now=now)
        return [_event(line, symbol.upper(), interval, now) for line in lines]


def _event(line: bytes, symbol: str, interval: Interval, now: Micros) -> dict[str, Any]:
    opened, o, h, low, c, volume, end, quote, count, taker, taker_quote, *_ = line.decode().split(",")
    opens_ms, closes_ms, now_ms = int(opened[:13]), int(end[:13]), Unit.MILLIS.of(now)
    candle = {
        "t": opens_ms, "T": closes_ms, "s": symbol, "i": interval.value, "f": opens_ms, "L": opens_ms + int(count) - 1,
        "o": o, "c": c, "h": h, "l": low, "v": volume, "n": int(count), "x": closes_ms < now_ms,
        "q": quote, "V": taker, "Q": taker_quote, "B": "0",
    }  # fmt: skip
    return {"e": "kline", "E": now_ms, "s": symbol, "k": candle}
