"""A service under everything at once: clients that are honest, slow, dead and hostile, and faults on all sides."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
import resource
import signal
import socket
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import apsw

from chandlery.core.instrument import MarketType
from chandlery.database.sqlite import FILE_NAME
from chandlery.sim.faults import IN_FILES, Fault, FaultKind
from chandlery.sim.market import SyntheticMarket
from processes import output_of, serving_process

NAMES = [f"C{number:02}USDT" for number in range(20)]
MARKET = SyntheticMarket(symbols={MarketType.SPOT: NAMES, MarketType.FUTURES_USDT: NAMES})
EXCHANGES = ("binance_spot", "okx_spot", "kucoin_spot", "gate_spot", "bybit_perpetual")
EVERY_S = 5
"""How often order books are stored."""
_PER_ADDRESS = 5
_AWAY_S = 120.0
_NOT_OFTEN = frozenset({*IN_FILES, FaultKind.BANNED, FaultKind.TOKEN_EXPIRED, FaultKind.BAD_CHECKSUM})
FAULTS = [kind for kind in FaultKind if kind not in _NOT_OFTEN]
"""What the exchange does wrong at random."""


def coins():
    """A hundred: exchange and symbol, as the service spells them."""
    return [
        (exchange.removesuffix("_spot") if exchange.endswith("_spot") else exchange, f"{name[:-4]}/USDT{settle}")
        for exchange in EXCHANGES
        for settle in [":USDT" if exchange.endswith("_perpetual") else ""]
        for name in NAMES
    ]


@dataclass
class Seen:
    """What the clients have seen."""

    candles: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)
    """The closes of closed candles that were published, by series and open in milliseconds."""
    books: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """The moments of stored order books that were answered."""
    took_s: list[float] = field(default_factory=list)
    """How long honest requests took while the service ran."""
    answers: Counter[str] = field(default_factory=Counter)
    """What kinds of clients were answered with."""
    hostile: Counter[str] = field(default_factory=Counter)
    """What hostile clients have done."""


class Target:
    """The service, started again whenever it was killed from here, and never otherwise."""

    def __init__(self, data_dir, endpoints):
        self.data_dir = data_dir
        self.port = _free_port()
        self.host = f"http://127.0.0.1:{self.port}"
        self.down = True
        """Whether nobody can expect an answer now."""
        self.lives = self.outages = 0
        self.process = None
        self.samples = []
        """Moment, resident memory in bytes and number of descriptors, of this life."""
        self._exchange = ("--exchange-endpoints", json.dumps(endpoints))
        self._kill = asyncio.Event()
        self._up = asyncio.Event()

    async def run(self):
        """Until it is cancelled; raises when the service ends by itself."""
        while True:
            self.lives += 1
            self.samples = []
            async with serving_process(
                self.data_dir,
                "--snapshot-interval",
                EVERY_S,
                "--log-format",
                "json",
                exchange=self._exchange,
                port=self.port,
            ) as process:
                self.process, self.down = process, False
                self._up.set()
                while not self._kill.is_set():
                    assert process.ended is None, f"the service has ended with {process.ended}"
                    self.samples.append((time.monotonic(), _resident(process.pid), _descriptors(process.pid)))
                    with suppress(TimeoutError):
                        async with asyncio.timeout(1):
                            await self._kill.wait()
                self.down = True
                self.outages += 1
                await process.kill()
            self._kill.clear()

    async def kill(self):
        """Kill it as a power cut would, and wait until it is there again."""
        self._up.clear()
        self._kill.set()
        async with asyncio.timeout(_AWAY_S):
            await self._up.wait()

    async def up(self):
        """Wait until it was started."""
        async with asyncio.timeout(_AWAY_S):
            await self._up.wait()

    async def readyz(self):
        """The status of that path; ``None`` where nobody answers within five seconds."""
        with suppress(aiohttp.ClientError, TimeoutError):
            async with (
                aiohttp.ClientSession(self.host) as session,
                asyncio.timeout(5),
                session.get("/readyz") as answer,
            ):
                return answer.status
        return None

    async def until_ready(self):
        """How many seconds it takes until it says that it is ready."""
        begun = time.monotonic()
        async with asyncio.timeout(_AWAY_S):
            while await self.readyz() != 200:
                await asyncio.sleep(0.1)
        return time.monotonic() - begun


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def _descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


class Crowd:
    """Two hundred clients, each kind on addresses of its own."""

    def __init__(self, target, seen, tokens, dice):
        self.target = target
        self.seen = seen
        self.tokens = tokens
        self.dice = dice
        self._number = itertools.count()

    def clients(self):
        """140 honest, 20 slow, 20 dead, 20 hostile, as coroutines that never end."""
        honest = [self._again(self._listen) for _ in range(100)] + [self._again(self._ask) for _ in range(40)]
        slow = [self._again(self._read_slowly) for _ in range(20)]
        dead = [self._again(self._read_nothing) for _ in range(20)]
        return honest + slow + dead + [self._again(self._do_harm) for _ in range(20)]

    async def _again(self, work):
        """Do it for ever; a client that is cut comes again."""
        number = next(self._number)
        # As many as a real address has; hostile ones come last, and so from addresses of their own.
        address = (f"127.0.{1 + number // (200 * _PER_ADDRESS)}.{1 + number // _PER_ADDRESS}", 0)
        while True:
            await self.target.up()
            connector = aiohttp.TCPConnector(local_addr=address)
            timeout = aiohttp.ClientTimeout(total=30)
            token = self.tokens[number % len(self.tokens)]
            headers = {"Authorization": f"Bearer {token}"}
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with aiohttp.ClientSession(
                    self.target.host, headers=headers, connector=connector, timeout=timeout
                ) as session:
                    await work(session)
            await asyncio.sleep(self.dice.uniform(0.2, 1))

    async def _subscribed(self, socket, count):
        for exchange, symbol in self.dice.sample(coins(), count):
            for channel in ({"channel": "candles", "interval": "1m"}, {"channel": "book"}):
                await socket.send_json({"type": "subscribe", "exchange": exchange, "symbol": symbol, **channel})

    async def _listen(self, session):
        """Five series of candles and books; closed candles are noted."""
        async with session.ws_connect("/v1/ws", heartbeat=20) as socket:
            await self._subscribed(socket, 5)
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                told = json.loads(message.data)
                if told["type"] == "error":
                    self.seen.answers[f"socket {told['code']}"] += 1
                elif told["type"] == "realtime_data" and told["data"].get("closed"):
                    series = self.seen.candles.setdefault((told["exchange"], told["symbol"]), {})
                    series[told["data"]["timestamp"]] = told["data"]["close"]

    async def _ask(self, session):
        """A request a second."""
        while True:
            exchange, symbol = self.dice.choice(coins())
            minute = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(time.time() - 3600))
            path, query = self.dice.choice(
                [
                    ("/v1/coins", {}),
                    ("/v1/books/latest", {"exchange": exchange, "symbol": symbol}),
                    ("/v1/books", {"exchange": exchange, "symbol": symbol, "start": minute, "limit": "20"}),
                    ("/v1/candles", {"exchange": exchange, "symbol": symbol, "interval": "1m", "start": minute}),
                ]
            )
            began, outages = time.monotonic(), self.target.outages
            async with session.get(path, params=query) as answer:
                content = await answer.read()
            if self.target.down or outages != self.target.outages:
                continue
            self.seen.took_s.append(time.monotonic() - began)
            self.seen.answers[f"{answer.status} {path}"] += 1
            if path == "/v1/books" and answer.status == 200:
                known = self.seen.books.setdefault((exchange, symbol), set())
                known.update(book["timestamp"] for book in json.loads(content)["books"])
            await asyncio.sleep(1)

    async def _read_slowly(self, session):
        """A message every two seconds."""
        async with session.ws_connect("/v1/ws") as socket:
            await self._subscribed(socket, 10)
            while not socket.closed:
                await socket.receive(timeout=60)
                await asyncio.sleep(2)

    async def _read_nothing(self, session):
        """Subscribe, and never read again."""
        token = session.headers["Authorization"]
        async with self._raw() as writer:
            writer.transport.pause_reading()
            writer.write(
                f"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nAuthorization: {token}\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            for exchange, symbol in self.dice.sample(coins(), 10):
                wanted = {"type": "subscribe", "channel": "book", "exchange": exchange, "symbol": symbol}
                text = json.dumps(wanted).encode()
                writer.write(bytes((0x81, 0x80 | 0x7E)) + len(text).to_bytes(2) + bytes(4) + text)
            await asyncio.sleep(60)

    @asynccontextmanager
    async def _raw(self):
        """What writes to a bare connection, which is reset at the end."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.target.port, limit=1024)
        try:
            yield writer
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def _do_harm(self, session):
        """One of what strangers and guests do."""
        name = self.dice.choice(["leave", "garbage", "flood", "hold", "guess", "shout", "knock"])
        self.seen.hostile[name] += 1
        await getattr(self, f"_{name}")(session)

    async def _leave(self, session):
        """Ask for very much, and go away in the middle."""
        query = {"exchange": "binance", "symbol": "C00/USDT", "interval": "1m", "start": "2020-01-01", "format": "csv"}
        async with session.get("/v1/candles", params=query) as answer:
            await answer.content.read(1000)

    async def _garbage(self, session):
        """Bytes that are nothing."""
        async with self._raw() as writer:
            writer.write(self.dice.randbytes(self.dice.choice([1, 100, 5_000, 100_000])))
            await asyncio.sleep(0.2)

    async def _flood(self, session):
        """A body of 20 MB without a token."""
        path = self.dice.choice(["/token", "/v1/coins", "/mcp", "/revoke"])
        async with session.post(path, data=io.BytesIO(bytes(20 << 20)), headers={"Authorization": ""}) as answer:
            await answer.read()

    async def _hold(self, session):
        """Connections that say nothing, or half a head."""
        async with AsyncExitStack() as stack:
            for _ in range(5):
                writer = await stack.enter_async_context(self._raw())
                writer.write(self.dice.choice([b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "]))
            await asyncio.sleep(10)

    async def _guess(self, session):
        """Secrets."""
        for _ in range(5):
            guess = {"grant_type": "client_credentials", "client_id": "bot", "client_secret": str(self.dice.random())}
            async with session.post("/token", data=guess, headers={"Authorization": ""}) as answer:
                await answer.read()

    async def _shout(self, session):
        """Messages over a socket without a token, none of which is read."""
        async with session.ws_connect("/v1/ws", headers={"Authorization": ""}) as socket:
            for _ in range(200):
                await socket.send_str(
                    self.dice.choice(['{"type":"ping"}', "{", "[" * 3_000, '{"type":"auth","token":"x"}'])
                )

    async def _knock(self, session):
        """Odd requests."""
        path = self.dice.choice(
            ["/v1/candles?start=x&start=y", "/v1/../../etc/passwd", "/%00", "/v1/ws", "/v1/coins?limit=-1"]
        )
        async with session.get(path) as answer:
            await answer.read()


@asynccontextmanager
async def locked(data_dir):
    """Another process's transaction holds the database."""
    connection = apsw.Connection(str(data_dir / FILE_NAME))
    connection.set_busy_timeout(10_000)
    await asyncio.to_thread(connection.execute, "BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@asynccontextmanager
async def full(pid):
    """The files of the process cannot grow."""
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, unlimited[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)


@asynccontextmanager
async def stopped(target):
    """The process is suspended."""
    target.down = True
    target.outages += 1
    os.kill(target.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(target.process.pid, signal.SIGCONT)
        target.down = False


async def account_of(data_dir, name, *scopes):
    """The id and secret of a new client."""
    options = [part for scope in scopes for part in ("--scope", scope)]
    code, told = await output_of("auth", "create-client", name, *options, "--data-dir", data_dir, "--json")
    assert 0 == code, told
    return json.loads(told)


async def token_of(session, account):
    """A token for it."""
    content = {
        "grant_type": "client_credentials",
        "client_id": account["client_id"],
        "client_secret": account["client_secret"],
    }
    async with session.post("/token", data=content) as answer:
        assert 200 == answer.status, await answer.text()
        return (await answer.json())["access_token"]


async def strike(faults, dice):
    """Let the exchange fail at random, for ever; counts what it did."""
    while True:
        faults[:] = [each for each in faults if each.used < (each.times or 1)]
        kind = dice.choice(FAULTS)
        faults.append(
            Fault(kind, path=dice.choice(EXCHANGES), times=dice.choice([1, 1, 2, 5]), seconds=dice.uniform(1, 20))
        )
        await asyncio.sleep(dice.uniform(0.5, 2))
