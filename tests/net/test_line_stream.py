"""Answers without end, line by line, against a server that misbehaves on demand."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from chandlery.core.errors import (
    Closed,
    ExchangeUnavailable,
    InvalidInput,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    RequestTimeout,
    ResponseTooLarge,
)
from chandlery.core.http import AccessToken, Request
from chandlery.net.line_stream import LineStream
from chandlery.net.tokens import Account

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunks(*pieces: bytes) -> bytes:
    """The beginning of an answer without end."""
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def until_left(first: bytes):
    """``first``, then blank lines until the client has left."""

    async def step(writer):
        writer.write(first)
        while not writer.transport.is_closing():
            writer.write(b"2\r\n\r\n\r\n")
            await asyncio.sleep(0.01)
        return False

    return step


@pytest.fixture
async def stream_of(server):
    """Makes streams of the server; what they bring is ``got``."""
    made = []

    def make(**options):
        got = []
        options = {"on_message": got.append} | options
        stream = LineStream("here", lambda text: server.request(f"/{text}"), **options)
        stream.got = got
        made.append(stream)
        return stream

    yield make
    for stream in made:
        await stream.close()


async def test_lines_come_with_what_they_were_asked_with(server, stream_of):
    """However the chunks are cut; blank lines are none."""
    server.script = [server.raw(chunks(b"on", b"e\r\ntwo\n", b"\r\n\r\n", b"three\nfo") + b"0\r\n\r\n")]
    stream = stream_of()
    assert stream.last_message_at is None
    stream.send("bars")
    reason = await stream.closed

    assert [b"bars\none", b"bars\ntwo", b"bars\nthree"] == stream.got
    assert ("peer", 0, "the answer ended", None) == (reason.cause, reason.code, reason.reason, reason.error)
    assert (3, 11) == (stream.messages, stream.bytes_received)
    assert stream.last_message_at is not None
    assert server.heads[0].startswith("GET /bars HTTP/1.1")
    assert "Accept-Encoding: identity" in server.heads[0]


async def test_silence_ends_it(server, stream_of):
    """The stream is idle when not a byte has come for so long."""
    server.script = [server.stall(chunks(b"one\n"))]
    stream = stream_of(idle_timeout_s=0.2)
    stream.send("bars")
    reason = await stream.closed

    assert [b"bars\none"] == stream.got
    assert "idle" == reason.cause
    assert isinstance(reason.error, RequestTimeout)


async def test_a_cut_ends_it(server, stream_of):
    """The end of the connection without the end of the answer is a cut."""
    server.script = [server.raw(chunks(b"one\n", b"tw"))]
    stream = stream_of()
    stream.send("bars")
    reason = await stream.closed

    assert [b"bars\none"] == stream.got
    assert "cut" == reason.cause
    assert isinstance(reason.error, ExchangeUnavailable)


@pytest.mark.parametrize("sent", [b"short\n" + b"x" * 200, b"short\n" + b"x" * 200 + b"\n"])
async def test_a_line_over_the_cap_ends_it(server, stream_of, sent):
    """Before it is whole, and when it comes in one piece."""
    server.script = [server.stall(chunks(sent))]
    stream = stream_of(max_bytes=100)
    stream.send("bars")
    reason = await stream.closed

    assert "malformed" == reason.cause
    assert isinstance(reason.error, ResponseTooLarge)


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [(404, RequestRejected, 404), (503, ExchangeUnavailable, 0), (429, RateLimited, 0), (302, RequestRejected, 302)],
)
async def test_what_is_not_granted_is_refused(server, stream_of, status, error, code):
    """Whatever is not 200 is no stream, redirects included."""
    server.script = [server.reply(status, body=b"no", headers="Location: /other\r\n")]
    stream = stream_of()
    stream.send("bars")
    reason = await stream.closed

    assert ("refused", code) == (reason.cause, reason.code)
    assert isinstance(reason.error, error)
    assert [] == stream.got
    assert 1 == len(server.heads)


async def test_the_exchange_words_its_refusal(server, stream_of):
    """``error_of`` comes first."""
    server.script = [server.reply(400, body=b"no")]
    stream = stream_of(error_of=lambda response: MalformedResponse(f"said {response.body!r}"))
    stream.send("bars")

    assert "said b'no'" == (await stream.closed).reason


async def test_no_server_is_a_refusal():
    """A port on which nobody listens."""
    stream = LineStream("here", lambda _: Request("http://127.0.0.1:9/x"), on_message=print)
    stream.send("bars")

    assert "refused" == (await stream.closed).cause


async def test_what_the_listener_raises_ends_it(server, stream_of):
    """With that as the reason, and no line after it."""
    server.script = [until_left(chunks(b"one\ntwo\n"))]
    heard = []

    def hear(message):
        heard.append(message)
        raise LookupError("enough")

    stream = stream_of(on_message=hear)
    stream.send("bars")
    reason = await stream.closed

    assert ("failed", "enough") == (reason.cause, reason.reason)
    assert isinstance(reason.error, LookupError)
    assert [b"bars\none"] == heard
    await server.gone.wait()


async def test_to_close_it_ends_the_connection(server, stream_of):
    """The peer sees it at once; afterwards nothing can be sent, and to close again does nothing."""
    server.script = [until_left(chunks(b"one\n"))]
    stream = stream_of()
    stream.send("bars")
    await server.arrived(1)
    waiting = asyncio.ensure_future(stream.closed)
    await stream.close(reason="enough")

    assert ("ours", 1000, "enough") == (waiting.result().cause, waiting.result().code, waiting.result().reason)
    await stream.close()
    await server.gone.wait()
    with pytest.raises(Closed, match="here: the stream is closed"):
        stream.send("bars")


async def test_one_that_was_never_asked_for_can_be_closed(stream_of):
    """Nothing was opened."""
    stream = stream_of()
    await stream.close()

    assert "ours" == (await stream.closed).cause


async def test_it_takes_one_request(server, stream_of):
    """Another stream is another connection."""
    server.script = [server.stall(HEAD)]
    stream = stream_of()
    stream.send("bars")
    with pytest.raises(InvalidInput, match="takes a single request"):
        stream.send(b"bars")
    await server.arrived(1)


class Issuer:
    """Hands out tokens."""

    id = "acme"
    credentials = ("key",)
    more_credentials = ()

    def __init__(self, server):
        self._server = server

    def token_request(self, credentials):
        return self._server.request("/token", body=credentials["key"].encode(), method="POST")

    def token(self, body):
        return AccessToken(body.decode(), 1000.0)

    def authorized(self, request, token):
        return structs.replace(request, headers={**request.headers, "Authorization": f"Bearer {token}"})


async def test_a_refused_token_is_renewed_once(server, client, stream_of):
    """The stream is asked for again with a new one; where that is refused as well, it is refused."""
    account = Account(client, Issuer(server), {"key": "very-secret"})
    refusal = server.reply(401)
    server.script = [server.reply(body=b"one"), refusal, server.reply(body=b"two"), server.raw(chunks(b"bar\n"))]
    server.script += [refusal, server.reply(body=b"three"), refusal]
    reasons = []
    for _ in range(2):
        stream = stream_of(account=account)
        stream.send("bars")
        reasons.append(await stream.closed)
        if len(reasons) == 1:
            assert [b"bars\nbar"] == stream.got

    assert [("cut", 0), ("refused", 401)] == [(reason.cause, reason.code) for reason in reasons]
    tokens = [head.split("Bearer ")[1].split()[0] for head in server.heads if "Bearer" in head]
    assert ["one", "two", "two", "three"] == tokens
    assert not [reason for reason in reasons if "very-secret" in repr(reason) or "three" in repr(reason)]


async def test_other_refusals_have_nothing_to_do_with_the_token(server, client, stream_of):
    """They end the stream at once, as does a sign-in that is refused."""
    account = Account(client, Issuer(server), {"key": "very-secret"})
    server.script = [server.reply(403), server.reply(body=b"one"), server.reply(404)]
    reasons = []
    for _ in range(2):
        stream = stream_of(account=account)
        stream.send("bars")
        reasons.append(await stream.closed)

    assert [("refused", 403), ("refused", 404)] == [(reason.cause, reason.code) for reason in reasons]
    assert "acme returned no access token (status 403); check key" == reasons[0].reason
