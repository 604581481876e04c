"""Draws of a live contradiction: live candles of exchanges that contradict their declarations: all of the feed, in a time of its own and without a network."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from wsgiref.handlers import format_date_time

from hypothesis import strategies as st

from chandlery.adapter.live import Channel
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND, Micros
from chandlery.core.wire import Request, Response
from chandlery.feed.events import Missing, Restated
from chandlery.feed.network import NetworkClient
from chandlery.feed.second_reader import SecondReader
from chandlery.feed.strategies import RESTPollingStrategy, WebSocketStrategy
from chandlery.feed.stream import LiveStream
from chandlery.net.connection import CloseReason
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.net.status import status_error
from chandlery.sim.faults import Faults
from chandlery.sim.stream import Streams, _Connection
from chandlery.sim.unlike import Unlike
from chandlery.sim.view import MarketView, SimCandle
from chandlery.sim.wire import Session, SimRequest, Wire
from chandlery.sim.wires import wires
from facing import MARKET, Facing, signed_in
from support import micros

START = micros(2025, 3, 20, 12, 0, 20)
_HOST = "sim"
_MOMENTS_S = (0.005, 0.03, 0.08, 0.3, 0.55, 1.1, 2.1, 3.1, 4.1, 5.1, 8, 15, 25, 35, 45.05, 50, 55, 58.5, 59.4, 59.9)
"""When in each minute the sockets speak."""


@dataclass(frozen=True)
class Draw:
    """How an exchange differs, and whether its series are polled; after ``late_s`` it does not change a candle any more."""

    unlike: dict[str, Any]
    polling: bool = False
    late_s: float = 0.0


def _of(name: str, *drawn: float, late: float = 1.0) -> st.SearchStrategy[Draw]:
    return st.builds(
        lambda value, polling: Draw({name: value}, polling, value * late), st.sampled_from(drawn), st.booleans()
    )


LIVE: dict[str, st.SearchStrategy[Draw]] = {
    "closed flag late": _of("close_delay_s", 0.5, 1, 2, 5, 40),
    "last update late": _of("late_update_ms", 10, 50, 100, 500, late=1 / 1000),
    "flag after a late update": _of("close_delay_s", 0.5, 2, 5, 40).map(
        lambda drawn: Draw({**drawn.unlike, "late_update_ms": 1000 * drawn.late_s}, drawn.polling, drawn.late_s)
    ),
    "symbol refused in a batch": st.just(Draw({"refused": True})),
    "connection closed": _of("close_on_subscribe", 1, 2, 4, late=0.0).map(lambda drawn: Draw(drawn.unlike)),
    "REST rows late": _of("late_s", 1, 5, 30, 90),
    "REST behind": _of("behind_s", 0.5, 4, 30, 59.5, 60, 90, 150),
    "REST behind, update late": st.builds(
        lambda behind, late, polling: Draw(
            {"behind_s": behind, "late_update_ms": late, "close_delay_s": late / 1000}, polling, behind + late / 1000
        ),
        st.sampled_from([0.5, 4, 59.7, 60, 120]),
        st.sampled_from([50, 500]),
        st.booleans(),
    ),
    "clock skewed": _of("clock_skew_s", -600, -45, 45, 600, late=0.0),
}
"""Those that concern live candles, by name."""


def check(exchange: str, draw: Draw) -> Counter[str]:
    """Every candle that closed long enough before the end is there, is the exchange's final one, and was published once."""
    settled_s = 150 + 1.25 * draw.late_s
    outcomes = run(exchange, draw.unlike, minutes=settled_s / 60 + 4, settled_s=settled_s, polling=draw.polling)
    total = Counter(draws=1)
    for each in outcomes:
        assert each.candles >= 3, draw
        assert not each.wrong, f"{draw}: {each.wrong}"
        assert not each.lacking, f"{draw}: {each.lacking}"
        assert not each.missing, f"{draw}: {each.missing} candles that exist are said to be none"
        total.update(candles=each.candles, wrong=len(each.wrong), lacking=len(each.lacking), restated=each.restated)
    return total


class _Instant(selectors.SelectSelector):
    """Waits no time."""

    def __init__(self, loop: InstantLoop) -> None:
        super().__init__()
        self._of = loop

    def select(self, timeout: float | None = None) -> Any:
        """What is ready; else the time has passed."""
        ready = super().select(0 if timeout is not None else 1.0)
        if not ready and timeout:
            self._of.passed += timeout
        return ready


class InstantLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when there is nothing to do, and then at once."""

    def __init__(self) -> None:
        self.passed = 0.0
        super().__init__(_Instant(self))

    def time(self) -> float:
        """Seconds."""
        return self.passed

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        """At once: while a thread worked, time would pass, the more of it the busier the machine is."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # for whoever awaits it
            done.set_exception(error)
        return done


class _Pipe:
    """Both ends of a connection in this process: the client's socket, and what the exchange's streams write to."""

    def __init__(self, streams: Streams, url: str, name: str, on_message: Any, lines: Any) -> None:
        parts = urlsplit(url)
        self.name = name
        self.closed: asyncio.Future[CloseReason] = asyncio.get_running_loop().create_future()
        self.last_message_at: float | None = None
        self._on_message = on_message
        self._lines = lines
        self._streams = streams
        self._session = Session(parts.path.removeprefix(f"/{name}"), dict(parse_qsl(parts.query)))
        self._asked = b""
        request: Any = SimpleNamespace(transport=SimpleNamespace(abort=self.abort))
        server: Any = SimpleNamespace(send_str=self._send_text, send_bytes=self._send, close=self._cut, closed=False)
        self._connection = _Connection(server, request, self._session)
        streams._connections.add(self._connection)
        self._work = [asyncio.create_task(self._greet())]

    def send(self, message: str) -> None:
        """To the exchange."""
        self._work.append(asyncio.create_task(self._heard(message)))

    async def close(self) -> None:
        """From this side."""
        self._end("ours")

    def abort(self) -> None:
        """From the other side."""
        self._end("cut")

    async def _cut(self, **_: Any) -> None:
        self._end("peer")

    def _end(self, cause: Any) -> None:
        self._streams._connections.discard(self._connection)
        self._connection.socket.closed = True  # type: ignore[misc]  # it is no socket
        if not self.closed.done():
            self.closed.set_result(CloseReason(cause, 1006, "closed"))

    async def _greet(self) -> None:
        await self._streams._say(self._connection, self._streams.wire.greeting(self._session))

    async def _heard(self, message: str) -> None:
        if self.closed.done():
            return
        streams = self._streams
        self._asked = message.encode() + b"\n" if self._lines else b""
        await streams._say(self._connection, streams.wire.heed(self._session, message))
        streams._begin(self._connection)
        if self._session.cut or (self._connection.told and streams._cuts()):
            self.abort()

    async def _send_text(self, frame: str) -> None:
        await self._send(frame.encode())

    async def _send(self, frame: bytes) -> None:
        if not self.closed.done():
            self.last_message_at = asyncio.get_running_loop().time()
            self._on_message(self._asked + frame)


class _Http(HttpClient):
    """Requests that the wire answers at once, within the limits."""

    def __init__(self, wire: Wire, limiter: RateLimiter) -> None:
        super().__init__(limiter=limiter)
        self._wire = wire

    async def fetch(self, request: Request, decode: Any, *, error_of: Any = None) -> Any:
        """What ``decode`` makes of the body of the answer."""
        return await self.ask(request, lambda response: decode(response.body), error_of=error_of)

    async def ask(self, request: Request, use: Any, *, error_of: Any = None) -> Any:
        """What ``use`` makes of the answer."""
        await self.limiter.acquire(_HOST, request.limits, request.weight)
        await asyncio.sleep(0.05)
        path = urlsplit(request.url).path.removeprefix(f"/{self._wire.id}")
        query = {key: str(value) for key, value in request.params.items()}
        headers = {"host": _HOST, **{key.lower(): value for key, value in request.headers.items()}}
        reply = self._wire.respond(SimRequest(request.method, path, query, headers, request.body or b""))
        sent = {key.lower(): value for key, value in reply.headers.items()}
        response = Response(reply.status, {"date": format_date_time(self._wire.now // SECOND), **sent}, reply.body)
        failure = error_of(response) if error_of and 200 <= reply.status < 300 else None
        if not 200 <= reply.status < 300:
            failure = status_error(path, response, error_of)
        if failure is not None:
            raise failure
        return use(response)


class _Network(NetworkClient):
    """Sockets in this process."""

    streams: Streams

    async def connect(self, channel: Channel, on_message: Any) -> Any:
        """One of them, within the limits."""
        await asyncio.sleep(0.05)
        adapter = self.adapter
        handshake = adapter.handshake_request()
        answer = None if handshake is None else (await self._client.send(handshake, error_of=adapter.failure)).body
        url = adapter.socket_url(channel, answer)
        return _Pipe(self.streams, url, adapter.id, on_message, adapter.streams_lines)


@dataclass
class Heard:
    """What a consumer knows of a series, by what was published."""

    closed: dict[Micros, CandleData] = field(default_factory=dict)
    events: Counter[type] = field(default_factory=Counter)
    twice: int = 0

    def __call__(self, update: Any) -> None:
        """Take an update."""
        if isinstance(update, Restated):
            assert self.closed.get(update.before.open_time) == update.before
            self.closed[update.after.open_time] = update.after
        elif isinstance(update, CandleData) and update.closed:
            self.twice += update.open_time in self.closed
            self.closed[update.open_time] = update
        if not isinstance(update, CandleData):
            self.events[type(update)] += 1


@dataclass
class Outcome:
    """What became of the candles of a series that closed while the exchange contradicted."""

    candles: int
    wrong: list[str]
    lacking: list[Micros]
    restated: int
    missing: int


def values(facing: Facing, candle: SimCandle) -> tuple[float, ...]:
    """Open, high, low, close and volume as the adapter gives them."""
    return facing.values(candle)[:5]


def run(
    exchange: str, unlike: dict[str, Any], *, minutes: float, settled_s: float, polling: bool = False
) -> list[Outcome]:
    """
    Have an exchange contradict for so long, and compare with the market.

    ``settled_s`` is how long before the end a candle must have closed to be final by now. The second of the symbols
    is that which ``refused`` means.
    """
    loop = InstantLoop()
    try:
        with TemporaryDirectory() as folder:
            return loop.run_until_complete(
                _run(loop, Path(folder), exchange, unlike, minutes=minutes, settled_s=settled_s, polling=polling)
            )
    finally:
        loop.close()


async def _run(
    loop: InstantLoop, folder: Path, exchange: str, unlike: dict[str, Any], *, minutes: float, settled_s: float,
    polling: bool,
) -> list[Outcome]:  # fmt: skip
    def clock() -> Micros:
        return START + round(loop.passed * SECOND)

    kind, facing = wires()[exchange], Facing(exchange, START)
    view = MarketView(MARKET, kind.market_type, clock, kind.grids)
    wire = kind(view, ticks=loop.time, weight_limit=10**9)
    natives = [facing.native, facing.native.replace("BTC", "ETH").replace("XBT", "ETH").replace("MSFT", "AAPL")]
    if (other := wire.symbol(natives[1])) is None or natives[0] == natives[1]:
        natives, other = natives[:1], ""
    if unlike.get("refused"):
        unlike = {"refused": frozenset([other])}
    view.differ(Unlike(**unlike))
    began = Interval.MINUTE_1.ceil(view.clock())
    base = {"rest": f"http://{_HOST}/{exchange}", "ws": f"ws://{_HOST}/{exchange}"}
    if ExchangeRegistry.get(exchange).credentials:
        base["auth"] = base["rest"]
    http = _Http(wire, RateLimiter(folder, clock=clock))
    network = _Network(
        ExchangeRegistry.create(exchange, {exchange: base}),
        signed_in(exchange) or None,
        http=http,
        clock=clock,
        ticks=loop.time,
    )
    network.streams = Streams(wire, Faults([], 0))
    interval = Interval.MINUTE_1
    heard = [Heard() for _ in natives]
    series = [
        LiveStream(network, native, interval, max_records=60, publish=each, on_begun=lambda: None)
        for native, each in zip(natives, heard, strict=True)
    ]
    listens = not polling and series[0].live is not None
    dice = random.Random(7).random
    strategy: Any = (
        WebSocketStrategy(network, series, random=dice, fall_back=True)
        if listens
        else RESTPollingStrategy(network, series, random=dice)
    )
    reader = SecondReader(network, random=dice)
    for each in series:
        reader.add(each)
    tasks = [asyncio.create_task(job) for job in (strategy.run(), reader.run(), _speak(network.streams, clock))]
    done, _ = await asyncio.wait(tasks, timeout=minutes * 60)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in done:
        raise task.exception() or AssertionError(f"{exchange}: it ended by itself")
    until = view.clock() - round(settled_s * SECOND)
    view.differ(Unlike(clock_skew_s=unlike.get("clock_skew_s", 0)))
    return [
        _outcome(facing, view, wire.symbol(native) or "", stream, each, Span(began, until))
        for native, stream, each in zip(natives, series, heard, strict=True)
    ]


async def _speak(streams: Streams, clock: Any) -> None:
    """Have the sockets speak, most often about the end of each minute."""
    while True:
        now = streams.wire.now
        past = now % MINUTE / SECOND
        following = next((each for each in _MOMENTS_S if each > past + 1e-4), 60 + _MOMENTS_S[0])
        await asyncio.sleep(following - past)
        await streams.tick()


def _outcome(facing: Facing, view: MarketView, symbol: str, stream: LiveStream, heard: Heard, closed: Span) -> Outcome:
    facing.symbol = symbol  # which contracts are worth what
    span = Span(closed.start, closed.end - MINUTE)
    truth = {each.open_time: values(facing, each) for each in view.live(symbol, Interval.MINUTE_1, span, 1000)}
    held = {
        each.open_time: (each.open, each.high, each.low, each.close, each.volume)
        for each in stream.processor.candles
        if each.closed
    }
    published = {
        opened: (each.open, each.high, each.low, each.close, each.volume) for opened, each in heard.closed.items()
    }
    assert held.items() <= published.items(), "a consumer that follows the events has what the feed has"
    assert not heard.twice, "each closed candle is published once"
    wrong = [
        f"{(opened - closed.start) / MINUTE:.0f} min: {published[opened]} is {right}"
        for opened, right in truth.items()
        if opened in published and published[opened] != right
    ]
    return Outcome(
        len(truth),
        wrong,
        [opened for opened in truth if opened not in published],
        heard.events[Restated],
        heard.events[Missing],
    )
