"""Offline exchange on a port of 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Self
from wsgiref.handlers import format_date_time

from aiohttp import web

from chandlery.core.errors import ChandleryError, ExchangeUnavailable, UnknownName
from chandlery.core.time import SECOND, Clock, Micros
from chandlery.net.proxy import DIRECT
from chandlery.sim.accounts import Account, Accounts
from chandlery.sim.faults import Fault, FaultKind, Faults
from chandlery.sim.market import Market, SyntheticMarket
from chandlery.sim.reply import Reply, error_reply
from chandlery.sim.stream import Streams
from chandlery.sim.unlike import Unlike, contradictions
from chandlery.sim.view import MarketView
from chandlery.sim.wire import SimRequest, Wire
from chandlery.sim.wires import wires as known_wires
from chandlery.sim.wires.binance.archive import Archive

_ARCHIVE = "vision"
_LOGGED = 10_000
_START_TIMEOUT_S = 10.0
_CUT = 0
"""Status that the log records for a request without a complete response."""
_REFUSALS = {
    FaultKind.TOO_MANY_REQUESTS: 429,
    FaultKind.BANNED: 418,
}


def wall_clock() -> Micros:
    """Return the wall-clock time."""
    return time.time_ns() // 1000


class SimServer:
    """
    Offline exchange: archive, REST and WebSocket streams over one market.

    An async context manager. ``endpoints`` is the library setting of that name. ``clock`` is the exchange's time, and
    may stand still; nothing after it has happened. ``tick_s`` is the interval of streamed updates; with ``None`` they
    are sent only by ``tick``. ``exchanges`` are the ids to serve, by default all; ``wires`` are additional wire
    formats. ``accounts`` are those whose keys sign requests; ``offered`` holds the keys that clients sent. ``unlike``
    are the contradictions of the documentation, as ``differ`` takes them. ``seed`` is that of random faults.
    ``weight_limit`` replaces the exchanges' per-minute limits. ``log`` holds the latest requests as method, path with
    query, and status (0 if the response was cut off).
    """

    def __init__(
        self,
        market: Market,
        *,
        exchanges: Sequence[str] | None = None,
        wires: Sequence[type[Wire]] = (),
        accounts: Sequence[Account] = (),
        clock: Clock = wall_clock,
        faults: Sequence[Fault] = (),
        port: int = 0,
        seed: int = 0,
        unlike: Mapping[str, Unlike | Mapping[str, Any]] | None = None,
        weight_limit: int | None = None,
        tick_s: float | None = 1.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        known = known_wires() | {wire.id: wire for wire in wires}
        exchanges = list(known) if exchanges is None else exchanges
        unknown = set(exchanges) - set(known)
        if unknown:
            raise UnknownName(f"no offline exchange {', '.join(sorted(unknown))}; available: {', '.join(known)}")
        self.market = market
        self.clock = clock
        self.faults = list(faults)
        self.log: deque[tuple[str, str, int]] = deque(maxlen=_LOGGED)
        self.port = port
        self._faults = Faults(self.faults, seed)
        self._sleep = sleep
        self._tick_s = tick_s
        kinds = {each: known[each] for each in exchanges}
        self._views = {each: MarketView(market, kind.market_type, clock, kind.grids) for each, kind in kinds.items()}
        self._wires = {
            each: kind(self._views[each], ticks=ticks, weight_limit=weight_limit) for each, kind in kinds.items()
        }
        self._archive = Archive(self._archived, clock, self._faults)
        self.differ(unlike or {})
        known_accounts = Accounts(accounts)
        for wire in self._wires.values():
            wire.accounts = known_accounts
        self.offered = known_accounts.offered
        self._streams = {each: Streams(wire, self._faults) for each, wire in self._wires.items()}
        self._runner: web.ServerRunner | None = None
        self._ticker: asyncio.Task[None] | None = None

    def differ(self, unlike: Mapping[str, Unlike | Mapping[str, Any]]) -> None:
        """
        Replace the contradictions of the documentation, by exchange id or ``"*"``.

        Raises:
            InvalidInput: A contradiction does not exist, or has an invalid value.
            UnknownName: This server does not serve an exchange.
        """
        for each, found in contradictions(unlike, tuple(self._views)).items():
            self._views[each].differ(found)
        self._archive.forget()

    def view(self, exchange: str) -> MarketView:
        """Return the market as an exchange serves it; its ``market`` holds what a correct client returns."""
        return self._views[exchange]

    def _archived(self, venue: str) -> Market:
        """Return the market whose archive files are those of ``venue``."""
        return self._views[venue].market if venue in self._views else self.market

    @property
    def endpoints(self) -> dict[str, dict[str, str]]:
        """
        Base URLs by exchange id: ``rest``, ``ws``, ``archive`` and, if tokens are needed, ``auth``; no proxy is needed.

        ``origin`` names the market, so that its data is not taken for the exchange's.
        """
        base = f"127.0.0.1:{self.port}"
        return {
            each: {"rest": f"http://{base}/{each}", "ws": f"ws://{base}/{each}", "archive": f"http://{base}/{_ARCHIVE}"}
            | {"origin": self.market.origin, "proxy": DIRECT}
            | ({"auth": f"http://{base}/{each}"} if wire.signs_in else {})
            for each, wire in self._wires.items()
        }

    @property
    def subscriptions(self) -> dict[str, list[str]]:
        """Streams subscribed to now, by exchange id."""
        return {each: streams.subscriptions for each, streams in self._streams.items()}

    async def __aenter__(self) -> Self:
        """Listen; ``port`` 0 selects a free one."""
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", self.port, backlog=1024)
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise ExchangeUnavailable(f"cannot listen on port {self.port}: {os.strerror(error.errno or 0)}") from error
        self.port = runner.addresses[0][1]
        self._runner = runner
        if self._tick_s is not None:
            self._ticker = asyncio.create_task(self._tick(self._tick_s))
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close every connection."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.wait([self._ticker], timeout=1)
        for streams in self._streams.values():
            await streams.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def tick(self) -> None:
        """Send the streams' updates up to now."""
        for streams in self._streams.values():
            await streams.tick()

    async def _tick(self, every_s: float) -> None:
        while True:
            await self._sleep(every_s)
            await self.tick()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        name, _, rest = request.path.lstrip("/").partition("/")
        fault = self._faults.of_request(request.path_qs, archive=name == _ARCHIVE)
        status = _CUT
        try:
            if fault is not None and fault.kind in {FaultKind.SLOW, FaultKind.STALL}:
                await self._sleep(fault.seconds)
            if fault is not None and fault.kind in {FaultKind.STALL, FaultKind.RESET}:
                return _hang_up(request, reset=fault.kind is FaultKind.RESET)
            if request.headers.get("Upgrade", "").lower() == "websocket" and name in self._streams and fault is None:
                status = 101
                return await self._streams[name].serve(request, f"/{rest}")
            body = await request.read()
            reply = _with_fault(self._reply(request, name, rest, body, fault), fault)
            if fault is not None and fault.kind is FaultKind.CUT_BODY:
                return await _cut_off(request, self._headed(reply, name))
            status = reply.status
            wire = self._wires.get(name)
            if (
                wire is not None
                and status == 200
                and (text := wire.stream_of(_sim_request(request, rest, body))) is not None
            ):
                headers = self._headed(reply, name).headers
                return await self._streams[name].serve_lines(request, f"/{rest}", text, headers)
            return web.Response(status=reply.status, body=reply.body, headers=self._headed(reply, name).headers)
        finally:
            self.log.append((request.method, request.path_qs, status))

    def _reply(self, request: web.BaseRequest, name: str, rest: str, body: bytes, fault: Fault | None) -> Reply:
        wire = self._wires.get(name)
        refuse = wire.refusal if wire else _refusal
        if fault is not None and fault.kind in _REFUSALS:
            reply = refuse(_REFUSALS[fault.kind])
            wait = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            return Reply(reply.status, reply.body, {**reply.headers, **wait})
        if fault is not None and fault.kind is FaultKind.SERVER_ERROR:
            return refuse(fault.status)
        if name == _ARCHIVE:
            return self._archive.answer(rest, request.query)
        if wire is None:
            return _refusal(404)
        return wire.respond(_sim_request(request, rest, body))

    def _headed(self, reply: Reply, exchange: str) -> Reply:
        clock = self._views[exchange].clock if exchange in self._views else self.clock
        return Reply(reply.status, reply.body, {"Date": format_date_time(clock() // SECOND), **reply.headers})


def _sim_request(request: web.BaseRequest, rest: str, body: bytes) -> SimRequest:
    headers = {key.lower(): value for key, value in request.headers.items()}
    return SimRequest(request.method, f"/{rest}", dict(request.query), headers, body, request.rel_url.raw_query_string)


def _refusal(status: int) -> Reply:
    return error_reply(status, f"Status {status}", status)


def _with_fault(reply: Reply, fault: Fault | None) -> Reply:
    if fault is not None and fault.kind is FaultKind.BAD_JSON:
        return Reply(reply.status, reply.body[: len(reply.body) // 2] or b"{", reply.headers)
    if fault is not None and fault.kind is FaultKind.BAD_CHECKSUM and reply.status == 200:
        return Reply(200, b"0" * 64 + reply.body[64:], reply.headers)
    return reply


def _hang_up(request: web.BaseRequest, *, reset: bool) -> web.Response:
    """Close the connection without a response; with a linger time of zero, the kernel sends a reset."""
    if request.transport is not None:
        if reset:
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


async def _cut_off(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_length = len(reply.body)
    await response.prepare(request)
    await response.write(reply.body[: len(reply.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


@contextlib.contextmanager
def running(market: Market | None = None, **options: Any) -> Iterator[SimServer]:
    """
    Run an offline exchange in a thread of its own, for callers without an event loop.

    ``options`` are those of ``SimServer``; the market defaults to the synthetic one.
    """
    server = SimServer(market or SyntheticMarket(), **options)
    started: threading.Event = threading.Event()
    failures: list[Exception] = []
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with server:
            stop.append(lambda: loop.call_soon_threadsafe(over.set))
            started.set()
            await over.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except ChandleryError as error:
            failures.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="chandlery-sim", daemon=True)
    thread.start()
    if not started.wait(_START_TIMEOUT_S):
        raise ExchangeUnavailable(f"the offline exchange did not start within {_START_TIMEOUT_S:.0f} s")
    if failures:
        raise failures[0]
    try:
        yield server
    finally:
        stop[0]()
        thread.join(_START_TIMEOUT_S)
