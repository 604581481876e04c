"""WebSocket connections against servers that misbehave, on both event loops."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import os
import re
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest
import pytest_asyncio
import uvloop
from aiohttp import WSMsgType, web

from chandlery.core.errors import (
    AddressBanned,
    CertificateRejected,
    Closed,
    ExchangeUnavailable,
    InvalidInput,
    MalformedResponse,
    NotFound,
    RateLimited,
    RequestRejected,
    RequestTimeout,
    ResponseTooLarge,
)
from chandlery.net.ws import CloseReason, Socket, connect

# The fixture that chooses the loop is on its way out; the hook in its place can only stand in a conftest.
pytestmark = pytest.mark.filterwarnings('ignore:Overriding the "event_loop_policy" fixture')

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
KLINE = b'{"e":"kline","k":{"o":"1.5"}}'.ljust(300)
UPGRADED = "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"

Talk = Callable[["Peer"], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def event_loop_policy(request):
    """Every test runs on both loops."""
    return uvloop.EventLoopPolicy() if request.param == "uvloop" else asyncio.DefaultEventLoopPolicy()


def frame(opcode, payload=b"", *, fin=True) -> bytes:
    """A frame of a server."""
    size = len(payload)
    length = (
        bytes([size])
        if size < 126
        else b"\x7e" + struct.pack(">H", size)
        if size < 1 << 16
        else b"\x7f" + struct.pack(">Q", size)
    )
    return bytes([opcode | (0x80 if fin else 0)]) + length + payload


class Peer:
    """The server's end of a connection, frame by frame."""

    def __init__(self, reader, writer) -> None:
        self.reader = reader
        self.writer = writer
        self.head = ""

    async def upgrade(self, headers="", first=b"") -> None:
        """Answer the handshake, with the ``first`` frames in the same packet."""
        self.head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        key = re.search(r"Sec-WebSocket-Key: (\S+)", self.head)[1]
        digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        answer = UPGRADED.format(accept=base64.b64encode(digest).decode()) + headers + "\r\n"
        self.writer.write(answer.encode() + first)

    def send(self, opcode, payload=b"", *, fin=True) -> None:
        """Send one frame."""
        self.writer.write(frame(opcode, payload, fin=fin))

    async def receive(self) -> tuple[int, bytes]:
        """The opcode and the payload of the next frame of the client."""
        opcode, size = await self.reader.readexactly(2)
        assert size & 0x80, "a client masks what it sends"
        size &= 0x7F
        if size > 125:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8))
        mask = await self.reader.readexactly(4)
        masked = await self.reader.readexactly(size)
        return opcode & 0xF, bytes(byte ^ mask[i % 4] for i, byte in enumerate(masked))

    async def left(self) -> None:
        """Wait until the client has closed, or has gone."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while (await self.receive())[0] != CLOSE:
                pass

    async def gone(self) -> None:
        """Wait until the client has gone, whatever it says."""
        with suppress(ConnectionError):
            while await self.reader.read(1 << 16):
                pass


@pytest_asyncio.fixture
async def serve():
    """Starts servers that talk as they are told; the result is their URL. What a talk raises fails the test."""
    servers, talks = [], []

    async def start(talk: Talk, *, handshake=True, headers="", first=b"", tls=None) -> str:
        async def serving(reader, writer):
            talks.append(asyncio.current_task())
            peer = Peer(reader, writer)
            try:
                if handshake:
                    await peer.upgrade(headers, first)
                await talk(peer)
            finally:
                writer.close()
                with suppress(ConnectionError, ssl.SSLError):
                    await writer.wait_closed()

        servers.append(await asyncio.start_server(serving, "127.0.0.1", 0, ssl=tls))
        return f"ws://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}/ws"

    yield start
    for server in servers:
        server.close()
    async with asyncio.timeout(5):
        for result in await asyncio.gather(*talks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, asyncio.IncompleteReadError | ConnectionError):
                raise result


@pytest_asyncio.fixture
async def aio():
    """Starts an aiohttp server with one handler; the result is its URL."""
    runners = []

    async def start(handler) -> str:
        app = web.Application()
        app.router.add_get("/ws", handler)
        runner = web.AppRunner(app, shutdown_timeout=1)
        runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"

    yield start
    for runner in runners:
        await runner.cleanup()


class Inbox:
    """Keeps what is delivered."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self._news = asyncio.Event()

    def __call__(self, message: bytes) -> None:
        self.messages.append(message)
        self._news.set()

    async def hold(self, count) -> list[bytes]:
        """All messages, once there are ``count``."""
        async with asyncio.timeout(5):
            while len(self.messages) < count:
                self._news.clear()
                await self._news.wait()
        return self.messages


async def reason_of(made: Socket) -> CloseReason:
    """Why it ended, which is to be soon."""
    async with asyncio.timeout(5):
        return await made.closed


async def echo(request) -> web.WebSocketResponse:
    """What comes goes back."""
    talking = web.WebSocketResponse()
    await talking.prepare(request)
    async for message in talking:
        if message.data == "bye":
            await talking.close(code=1012, message=b"restart")
        elif message.type is WSMsgType.TEXT:
            await talking.send_str(message.data)
    return talking


async def test_what_is_sent_comes_back(aio):
    """Texts of every length go out masked and come in whole; the moment of the last one is kept."""
    inbox, now = Inbox(), asyncio.get_running_loop().time
    made = await connect(await aio(echo), on_message=inbox)
    before = now()

    texts = ["", "a", "ü" * 60, "x" * 125, "x" * 126, "y" * 70_000]
    for text in texts:
        made.send(text)
    made.send(b'{"op":"subscribe"}')
    received = await inbox.hold(7)

    assert [*(text.encode() for text in texts), b'{"op":"subscribe"}'] == received
    assert before - 0.01 <= made.last_message_at <= now()
    await made.close()


async def test_it_closes_cleanly(aio):
    """``close`` tells the peer code and reason, says so in ``closed``, and may be called again."""
    closed_with = asyncio.get_running_loop().create_future()

    async def handler(request):
        talking = web.WebSocketResponse()
        await talking.prepare(request)
        message = await talking.receive()
        closed_with.set_result((message.data, message.extra))
        return talking

    made = await connect(await aio(handler), on_message=print)
    assert not made.closed.done()
    await made.close(4001, "enough")
    await made.close()

    assert (4001, "enough") == await closed_with
    assert CloseReason("ours", 4001, "enough") == made.closed.result()
    with pytest.raises(Closed, match=r"127\.0\.0\.1:\d+/ws: .*enough"):
        made.send("more")


@pytest.mark.parametrize(("code", "reason"), [(1001, ""), (999, ""), (5000, ""), (1000, "ü" * 62)])
async def test_a_close_that_cannot_be_sent_is_refused(aio, code, reason):
    """Only codes for applications and reasons that fit a frame; the connection stays open."""
    made = await connect(await aio(echo), on_message=print)

    with pytest.raises(InvalidInput):
        await made.close(code, reason)

    assert not made.closed.done()
    await made.close()


async def test_the_peer_closes(aio):
    """Code and text of the peer's close are the reason, and nothing can be sent after it."""
    made = await connect(await aio(echo), on_message=print)
    made.send("bye")

    assert CloseReason("peer", 1012, "restart") == await reason_of(made)
    with pytest.raises(Closed, match="peer: restart"):
        made.send("more")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (struct.pack(">H", 1008) + b"token expired", CloseReason("peer", 1008, "token expired")),
        (struct.pack(">H", 4100), CloseReason("peer", 4100, "")),
        (b"", CloseReason("peer", 0, "")),
    ],
)
async def test_the_peers_close_is_answered(serve, payload, reason):
    """A close frame gets its code back, or 1000 where it had none; messages before it are delivered."""
    answer = asyncio.get_running_loop().create_future()

    async def talk(peer):
        peer.writer.write(frame(TEXT, KLINE) + frame(CLOSE, payload) + frame(TEXT, b"late"))
        answer.set_result(await peer.receive())

    inbox = Inbox()
    made = await connect(await serve(talk), on_message=inbox)

    assert reason == await reason_of(made)
    assert (CLOSE, struct.pack(">H", reason.code or 1000)) == await answer
    assert [KLINE] == inbox.messages
    assert made.last_message_at is not None


async def test_a_cut_is_told_from_a_close(serve):
    """The end of the connection without a close frame is ``cut``, with a retryable error."""

    async def talk(peer):
        peer.send(TEXT, KLINE)
        await peer.writer.drain()
        peer.writer.transport.abort()

    made = await connect(await serve(talk), on_message=print)
    reason = await reason_of(made)

    assert ("cut", 1006) == (reason.cause, reason.code)
    assert isinstance(reason.error, ExchangeUnavailable)


async def test_fragments_are_joined(serve):
    """A message in pieces is delivered once, whole, with control frames between them; text or binary."""

    async def talk(peer):
        peer.send(TEXT, b"a" * 200, fin=False)
        peer.send(CONTINUATION, b"b" * 200, fin=False)
        peer.send(PING, b"between")
        peer.send(CONTINUATION, b"", fin=False)
        peer.send(CONTINUATION, b"c" * 200)
        peer.send(BINARY, b"\x00\xff", fin=False)
        peer.send(CONTINUATION)
        peer.send(BINARY, KLINE)
        assert (PONG, b"between") == await peer.receive()
        await peer.left()

    inbox = Inbox()
    made = await connect(await serve(talk), on_message=inbox)

    assert [b"a" * 200 + b"b" * 200 + b"c" * 200, b"\x00\xff", KLINE] == await inbox.hold(3)
    assert 1 == made.pings
    await made.close()


async def test_a_ping_is_no_message(serve):
    """It leaves the moment of the last message alone, however many came at once before it."""

    async def talk(peer):
        peer.writer.write(frame(TEXT, KLINE) * 3)
        assert (TEXT, b"on") == await peer.receive()
        peer.send(PING, b"x")
        await peer.left()

    inbox = Inbox()
    made = await connect(await serve(talk), on_message=inbox)
    await inbox.hold(3)
    at = made.last_message_at
    made.send("on")
    async with asyncio.timeout(5):
        while not made.pings:
            await asyncio.sleep(0.001)

    assert at == made.last_message_at
    await made.close()


async def test_a_shortcut_is_offered_whole_messages_first(serve):
    """What it does not take is delivered; pieces, control frames and what comes after a close it is not offered."""
    offered = []

    async def talk(peer):
        assert (TEXT, b"go") == await peer.receive()
        peer.writer.write(frame(TEXT, b"a" * 200) + frame(TEXT, b"b" * 200) + frame(PING, b"a"))
        peer.writer.write(frame(TEXT, b"a" * 200, fin=False) + frame(CONTINUATION, b"a" * 200))
        peer.writer.write(frame(TEXT, b"c" * 200) + frame(CLOSE, struct.pack(">H", 1000)) + frame(TEXT, b"a" * 200))
        await peer.left()

    def take(messages):
        for place, message in enumerate(messages):
            offered.append(message[:1])
            if not message.startswith(b"a"):
                yield place

    inbox = Inbox()
    made = await connect(await serve(talk), on_message=inbox)
    made.shortcut = take
    made.send("go")

    assert "peer" == (await reason_of(made)).cause
    assert [b"b" * 200, b"a" * 400, b"c" * 200] == inbox.messages
    assert [b"a", b"b", b"c"] == offered
    assert 1 == made.pings


async def test_a_shortcut_that_fails_is_taken_away(serve):
    """What it raises is told; the messages since the last one that it left are delivered, and the connection stays."""

    async def talk(peer):
        assert (TEXT, b"go") == await peer.receive()
        peer.writer.write(b"".join(frame(TEXT, letter * 200) for letter in (b"a", b"b", b"a", b"c", b"d")))
        assert (TEXT, b"still here") == await peer.receive()

    def take(messages):
        for place, message in enumerate(messages):
            if message.startswith(b"b"):
                yield place
            elif message.startswith(b"c"):
                raise KeyError("c")

    inbox, failed = Inbox(), []
    made = await connect(await serve(talk), on_message=inbox)
    made.shortcut, made.on_shortcut_failed = take, failed.append
    made.send("go")
    await inbox.hold(4)

    assert [letter * 200 for letter in (b"b", b"a", b"c", b"d")] == inbox.messages
    assert ["KeyError('c')"] == [*map(repr, failed)]
    assert made.shortcut is None
    made.send("still here")
    await made.close()


@pytest.mark.parametrize("away", [0, 1, 70, 149])
async def test_a_shortcut_that_is_taken_away_is_offered_no_more(serve, away):
    """Not even the rest of what came with the same read; all is delivered, once and in order."""
    sent = [b"%03d" % each + b"x" * 200 for each in range(150)]
    shortened = []

    async def talk(peer):
        assert (TEXT, b"go") == await peer.receive()
        peer.writer.write(b"".join(frame(TEXT, each) for each in sent))
        await peer.left()

    def take(messages):
        for place, message in enumerate(messages):
            if message == sent[away]:
                yield place
            else:
                shortened.append(message)

    inbox = Inbox()

    def on_message(message):
        inbox(message)
        made.shortcut = None

    made = await connect(await serve(talk), on_message=on_message)
    made.shortcut = take
    made.send("go")
    await inbox.hold(150 - away)

    assert sent[:away] == shortened
    assert sent[away:] == inbox.messages
    await made.close()


async def test_what_fails_ends_the_delivery(serve):
    """Of a read too: what comes after the message that could not be taken is not delivered."""
    inbox = Inbox()

    async def talk(peer):
        peer.writer.write(b"".join(frame(TEXT, each * 200) for each in (b"a", b"b", b"c")))
        await peer.left()

    def on_message(message):
        inbox(message)
        if message.startswith(b"b"):
            raise ValueError("b")

    made = await connect(await serve(talk), on_message=on_message)

    assert "failed" == (await reason_of(made)).cause
    assert [b"a" * 200, b"b" * 200] == inbox.messages


async def test_what_comes_before_a_break_of_the_protocol_is_delivered(serve):
    """All of it."""
    inbox = Inbox()

    async def talk(peer):
        assert (TEXT, b"go") == await peer.receive()
        peer.writer.write(
            b"".join(frame(TEXT, each * 200) for each in (b"a", b"b", b"c")) + frame(3, b"no such opcode")
        )
        await peer.left()

    made = await connect(await serve(talk), on_message=inbox)
    made.send("go")

    assert "malformed" == (await reason_of(made)).cause
    assert [b"a" * 200, b"b" * 200, b"c" * 200] == inbox.messages


@pytest.mark.parametrize(
    "frames",
    [
        frame(CONTINUATION, b"no start"),
        frame(TEXT, KLINE, fin=False) + frame(TEXT, b"within"),
        frame(TEXT, KLINE, fin=False) + frame(BINARY, KLINE),
        frame(3, b"no such opcode"),
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n" * 20,
        b"\xff" * 4096,
        frame(PING, b"x", fin=False),
        b"\x81\xfe",
        frame(CLOSE, struct.pack(">H", 1005)),
        frame(CLOSE, struct.pack(">H", 1000) + b"\xff\xfe"),
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection(serve, frames):
    """Garbage is ``malformed``, nothing of it is delivered, and nothing hangs."""

    async def talk(peer):
        peer.writer.write(frames)
        await peer.left()

    inbox = Inbox()
    made = await connect(await serve(talk), on_message=inbox)
    reason = await reason_of(made)

    assert "malformed" == reason.cause
    assert isinstance(reason.error, MalformedResponse)
    assert [] == inbox.messages


@pytest.mark.parametrize("fragments", [1, 5])
async def test_a_message_over_the_cap_ends_the_connection(serve, fragments):
    """In one frame or in many, with the close code for it."""

    async def talk(peer):
        for left in reversed(range(fragments)):
            peer.send(
                TEXT if left == fragments - 1 else CONTINUATION, bytes(range(1, 101)) * (50 // fragments), fin=not left
            )
        assert (CLOSE, 1009) == ((got := await peer.receive())[0], int.from_bytes(got[1][:2]))
        await peer.left()

    made = await connect(await serve(talk), on_message=print, max_bytes=4000)
    reason = await reason_of(made)

    assert ("malformed", 1009) == (reason.cause, reason.code)
    assert isinstance(reason.error, ResponseTooLarge)


@pytest.mark.parametrize("message", [b"short", KLINE])
async def test_what_the_callback_raises_is_the_reason(serve, message):
    """It closes the connection with 1011, is not lost, and is the last call of the callback."""

    async def talk(peer):
        peer.writer.write(frame(TEXT, message) * 3)
        assert (CLOSE, struct.pack(">H", 1011)) == await peer.receive()
        await peer.left()

    seen = []

    def fail(payload):
        seen.append(payload)
        raise ZeroDivisionError("in the callback")

    made = await connect(await serve(talk), on_message=fail)
    reason = await reason_of(made)

    assert ("failed", 1011, "in the callback") == (reason.cause, reason.code, reason.reason)
    assert isinstance(reason.error, ZeroDivisionError)
    assert [message] == seen


async def test_silence_ends_the_connection(serve):
    """No frame for ``idle_timeout_s`` is ``idle``; the clock starts with the connection."""
    made = await connect(await serve(Peer.left), on_message=print, idle_timeout_s=0.1)
    reason = await reason_of(made)

    assert ("idle", 1001) == (reason.cause, reason.code)
    assert isinstance(reason.error, RequestTimeout)


@pytest.mark.parametrize(
    "sent", [frame(PING), frame(PONG), frame(TEXT, KLINE), frame(TEXT, b"[]"), frame(TEXT, fin=False)]
)
async def test_any_frame_is_a_sign_of_life(serve, sent):
    """Of one frame of any kind, in time, the idle time-out begins anew."""
    began = asyncio.get_running_loop().create_future()

    async def talk(peer):
        await asyncio.sleep(0.2)  # in time
        peer.writer.write(sent)
        began.set_result(asyncio.get_running_loop().time())
        await peer.left()

    made = await connect(await serve(talk), on_message=str, idle_timeout_s=0.4)
    reason = await reason_of(made)

    assert "idle" == reason.cause
    assert asyncio.get_running_loop().time() - await began >= 0.38


async def test_a_loop_that_was_held_up_is_not_silence(serve):
    """What came while another connection held the loop up is read before the time-out counts."""
    talking = asyncio.get_running_loop().create_future()

    async def talk(peer):
        talking.set_result(peer.writer.get_extra_info("socket").fileno())
        await peer.left()

    async def distract(peer):
        await peer.receive()
        peer.send(TEXT, KLINE)
        await peer.left()

    def hold_up(_):
        os.write(talking.result(), frame(TEXT, b"in time"))
        threading.Event().wait(0.5)

    inbox = Inbox()
    other = await connect(await serve(distract), on_message=hold_up)
    made = await connect(await serve(talk), on_message=inbox, idle_timeout_s=0.3)
    await talking
    other.send("now")

    assert [b"in time"] == await inbox.hold(1)
    await other.close()
    await made.close()
    assert "ours" == made.closed.result().cause


async def test_pings_are_sent_and_pongs_counted(serve):
    """With ``ping_every_s`` the peer is pinged; its pongs keep the connection, and its pings are answered."""

    async def talk(peer):
        peer.send(PING, b"\x00payload\xff")
        kinds = []
        for _ in range(4):
            opcode, payload = await peer.receive()
            kinds.append((opcode, payload))
            if opcode == PING:
                peer.send(PONG, payload)
        assert [(PONG, b"\x00payload\xff"), (PING, b""), (PING, b""), (PING, b"")] == kinds
        peer.send(TEXT, b"done")
        await peer.left()

    inbox = Inbox()
    made = await connect(await serve(talk), on_message=inbox, ping_every_s=0.05)
    await inbox.hold(1)

    assert (1, 3) == (made.pings, made.pongs)
    await made.close()


async def test_a_pong_that_does_not_come_ends_the_connection(serve):
    """Data keeps a connection from being idle, not from being found half dead."""

    async def talk(peer):
        with suppress(ConnectionError):
            while not peer.writer.is_closing():
                peer.send(TEXT, KLINE)
                await peer.writer.drain()
                await asyncio.sleep(0.01)

    made = await connect(
        await serve(talk), on_message=str, ping_every_s=0.05, pong_timeout_s=0.1, idle_timeout_s=5, close_timeout_s=0.2
    )
    reason = await reason_of(made)

    assert "pong" == reason.cause
    assert isinstance(reason.error, RequestTimeout)


async def test_a_peer_that_does_not_read_ends_the_connection(serve):
    """No more than ``max_unsent_bytes`` wait; the next call raises and closes, and later ones say why."""
    held = asyncio.Event()

    async def talk(peer):
        peer.writer.transport.pause_reading()
        await held.wait()

    made = await connect(await serve(talk), on_message=print, max_unsent_bytes=100_000)

    def send_much():
        for _ in range(10_000):
            made.send("x" * 10_000)

    with pytest.raises(ExchangeUnavailable, match="does not read"):
        send_much()
    reason = await reason_of(made)
    held.set()

    assert "unread" == reason.cause
    assert isinstance(reason.error, ExchangeUnavailable)
    with pytest.raises(Closed, match="unread"):
        made.send("more")


async def test_pings_of_a_peer_that_does_not_read_are_bounded_too(serve):
    """A flood of pings whose answers nobody reads ends the connection."""

    async def talk(peer):
        peer.writer.transport.pause_reading()
        with suppress(ConnectionError):
            while not peer.writer.is_closing():
                peer.writer.write(frame(PING, b"x" * 125) * 1000)
                await peer.writer.drain()

    made = await connect(await serve(talk), on_message=print, max_unsent_bytes=10_000)

    assert "unread" == (await reason_of(made)).cause


async def test_closing_does_not_wait_for_ever(serve):
    """A peer that answers no close, and floods, is left after ``close_timeout_s``; nothing is delivered meanwhile."""

    async def talk(peer):
        with suppress(ConnectionError):
            while not peer.writer.is_closing():
                peer.send(TEXT, KLINE)
                await peer.writer.drain()
                await asyncio.sleep(0)

    inbox = Inbox()
    made = await connect(await serve(talk), on_message=inbox, close_timeout_s=0.2)
    await inbox.hold(10)
    closing = asyncio.create_task(made.close())
    await asyncio.sleep(0)
    count = len(inbox.messages)
    async with asyncio.timeout(2):
        await closing

    assert count == len(inbox.messages)
    assert CloseReason("ours", 1000, "") == made.closed.result()


async def test_a_close_that_is_cancelled_still_closes(serve):
    """The connection is cut at once, and ``closed`` says that it was ours."""
    made = await connect(await serve(Peer.gone), on_message=print, close_timeout_s=60)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await made.close()

    assert "ours" == (await reason_of(made)).cause


async def test_to_cancel_the_waiting_leaves_the_connection_alone(aio):
    """A time-out on ``closed`` is only that."""
    inbox = Inbox()
    made = await connect(await aio(echo), on_message=inbox)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(made.closed, 0.02)
    made.send("still here")

    assert [b"still here"] == await inbox.hold(1)
    await made.close()


async def test_a_slow_callback_loses_nothing(serve):
    """A flood is read as fast as the callback allows, in order, and TCP holds the rest back."""
    count = 20_000

    async def talk(peer):
        for number in range(0, count, 100):
            peer.writer.write(b"".join(frame(TEXT, b"%d" % i + b" " * 200) for i in range(number, number + 100)))
            await peer.writer.drain()
        await peer.left()

    inbox = Inbox()
    made = await connect(await serve(talk), on_message=inbox)

    assert list(range(count)) == [int(message) for message in await inbox.hold(count)]
    await made.close()


async def test_messages_that_come_with_the_handshake_are_delivered(serve):
    """Not one is lost that was sent in the same packet as the answer."""
    inbox = Inbox()
    made = await connect(await serve(Peer.left, first=frame(TEXT, b"welcome") + frame(TEXT, KLINE)), on_message=inbox)

    assert [b"welcome", KLINE] == await inbox.hold(2)
    await made.close()


async def test_the_request_is_ours(serve):
    """Headers are sent as given; no compression is asked for, and who asks is said."""
    heads = []

    async def talk(peer):
        heads.append(peer.head)
        await peer.left()

    url = await serve(talk)
    made = await connect(f"{url}?token=a%2Bb==&x=1", on_message=print, headers={"x-gate-size-decimal": "1"})
    await made.close()

    assert heads[0].startswith("GET /ws?token=a%2Bb==&x=1 HTTP/1.1\r\n")
    assert "X-Gate-Size-Decimal: 1\r\n" in heads[0]
    assert "User-Agent: chandlery/" in heads[0]
    assert "Extensions" not in heads[0]


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (403, {}, RequestRejected),
        (404, {}, NotFound),
        (301, {"Location": "/elsewhere"}, RequestRejected),
        (200, {}, RequestRejected),
        (429, {"Retry-After": "7"}, RateLimited),
        (418, {"Retry-After": "7"}, AddressBanned),
        (503, {}, ExchangeUnavailable),
        (522, {}, ExchangeUnavailable),
    ],
)
async def test_an_answer_other_than_101_is_our_error(aio, status, headers, kind):
    """Of the same kind as for any request, with the status and the pause that was asked for, and no query."""

    async def handler(request):
        return web.Response(status=status, headers=headers, text="not here")

    with pytest.raises(kind, match=f"/ws: status {status}") as caught:
        await connect(await aio(handler) + "?secret=1", on_message=print)

    assert kind is type(caught.value)
    assert "secret" not in str(caught.value)
    if issubclass(kind, RateLimited):
        assert 7 == caught.value.retry_after_s
    if issubclass(kind, RequestRejected):
        assert status == caught.value.status


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", ExchangeUnavailable),
        (b"HTTP/1.1 101 Swi", ExchangeUnavailable),
        (b"SSH-2.0-OpenSSH\r\n\r\n", MalformedResponse),
        (b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", MalformedResponse),
        (b"x" * 40_000, MalformedResponse),
    ],
)
async def test_what_is_no_handshake_is_our_error(serve, answer, kind):
    """A connection that ends, another protocol, a wrong key, a head without an end."""

    async def talk(peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.writer.write(answer)

    with pytest.raises(kind):
        await connect(await serve(talk, handshake=False), on_message=print)


async def test_an_extension_that_was_not_asked_for_is_refused(serve):
    """What such a server sends could not be read."""
    url = await serve(Peer.left, headers="Sec-WebSocket-Extensions: permessage-deflate\r\n")

    with pytest.raises(MalformedResponse, match="extension"):
        await connect(url, on_message=print)


async def test_nobody_listens(serve):
    """Refused, and no such host, are retryable."""
    url = await serve(Peer.left)
    port = int(re.search(r":(\d+)/", url)[1])
    gone = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    free = gone.sockets[0].getsockname()[1]
    gone.close()
    await gone.wait_closed()

    for target in (f"ws://127.0.0.1:{free}/", f"ws://nowhere.invalid:{port}/"):
        with pytest.raises(ExchangeUnavailable):
            await connect(target, on_message=print)


async def test_a_server_without_tls_or_certificate_is_refused(serve):
    """``wss`` is verified: to speak plainly is no way in."""

    async def talk(peer):
        await peer.reader.read(100)
        peer.writer.write(b"plain")

    with pytest.raises(ExchangeUnavailable):
        await connect((await serve(talk, handshake=False)).replace("ws:", "wss:"), on_message=print)


async def test_tls_is_verified(serve, certificate):
    """A certificate that is trusted carries messages and a clean end; one that is not is refused."""

    async def talk(peer):
        peer.send(TEXT, KLINE)
        await peer.left()

    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    url = (await serve(talk, tls=server)).replace("ws:", "wss:")
    inbox = Inbox()
    made = await connect(url, on_message=inbox, ssl=ssl.create_default_context(cafile=certificate))

    assert [KLINE] == await inbox.hold(1)
    await made.close()
    with pytest.raises(CertificateRejected, match="certificate"):
        await connect(url, on_message=inbox)


@pytest.mark.parametrize(
    "url",
    [
        "http://a/", "ws://", "a", "", "ws://a/#x", "ws://a:port/", "ws://a/b c", "ws://a/b\r\nX: y", "ws://me:pw@a/",
        "ws://" + "a" * 70 + ".b/",
    ],
)  # fmt: skip
async def test_what_is_no_url_is_refused(url):
    """Before anything is sent."""
    with pytest.raises(InvalidInput):
        await connect(url, on_message=print)


@pytest.mark.parametrize("headers", [{"a": "b\r\nc: d"}, {"a b": "c"}, {"": "c"}])
async def test_what_is_no_header_is_refused(headers):
    """Nothing can be smuggled into the request."""
    with pytest.raises(InvalidInput, match="header"):
        await connect("ws://127.0.0.1:1/", on_message=print, headers=headers)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_a_handshake_without_an_answer_is_given_up(serve, scheme, how):
    """After the time-out, or when cancelled, the server sees us leave at once, and no task is left behind."""
    arrived, left = asyncio.Event(), asyncio.Event()

    async def talk(peer):
        await peer.reader.read(1)
        arrived.set()
        await peer.gone()
        left.set()

    url = (await serve(talk, handshake=False)).replace("ws:", scheme + ":")
    opening = asyncio.create_task(connect(url, on_message=print, connect_timeout_s=0.2 if how == "timeout" else 60.0))
    async with asyncio.timeout(5):
        await arrived.wait()
        if how == "cancel":
            opening.cancel()
        with pytest.raises(RequestTimeout if how == "timeout" else asyncio.CancelledError):
            await opening
        await left.wait()
    assert not [task for task in asyncio.all_tasks() if "_open" in repr(task.get_coro())]
    gc.collect()


@pytest.mark.parametrize("turns", range(0, 30, 3))
async def test_cancelled_at_any_moment_nothing_is_left(serve, turns):
    """Whenever the cancellation comes, either there is a connection or the server sees none."""
    left = asyncio.Event()
    reached = asyncio.Event()

    async def talk(peer):
        reached.set()
        await peer.left()
        left.set()

    opening = asyncio.create_task(connect(await serve(talk), on_message=print))
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    try:
        made = await opening
    except asyncio.CancelledError:
        pass
    else:
        await made.close()
    async with asyncio.timeout(5):
        if reached.is_set():
            await left.wait()
    assert not [task for task in asyncio.all_tasks() if "_open" in repr(task.get_coro())]


async def test_many_at_once(aio):
    """Connections do not know of each other."""
    url = await aio(echo)
    inboxes = [Inbox() for _ in range(30)]
    made = await asyncio.gather(*(connect(url, on_message=inbox) for inbox in inboxes))
    for number, each in enumerate(made):
        each.send(str(number))

    assert [b"%d" % number for number in range(30)] == [(await inbox.hold(1))[0] for inbox in inboxes]
    await asyncio.gather(*map(partial(Socket.close), made))
