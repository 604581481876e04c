"""Whatever is sent to any interface is answered or refused in time, and nothing of it is a fault of the service."""

from __future__ import annotations

import asyncio
import logging
import re
import time

import aiohttp
import httptools
import pytest

from fixtures.garbage import Garbler
from fixtures.raw_socket import TIMEOUT_S, head, raw
from fixtures.service import connected, served

_LENGTH = re.compile(rb"content-length: (\d{1,4})\r", re.IGNORECASE)
FIRST_BYTE_S, REFUSAL_S = 5.0, 1.0
SEED = 20


class Judge:
    """Looks at answers; ``wrong`` has those that should not be, with what was sent, and ``slowest`` the times of both kinds."""

    def __init__(self):
        self.wrong = []
        self.answers = {}
        self.slowest = {"answer": 0.0, "refusal": 0.0}

    def take(self, sent, status, took, content=b""):
        """Judge one."""
        self.answers[status] = self.answers.get(status, 0) + 1
        refused = status is not None and status >= 400
        kind = "refusal" if refused else "answer"
        self.slowest[kind] = max(self.slowest[kind], took)
        late = took > FIRST_BYTE_S or (refused and status < 500 and took > REFUSAL_S)
        if status == 500 or b"internal_error" in content or late:
            self.wrong.append((status, round(took, 2), sent[:2_000], content[:300]))


class _Whole:
    """Notices the end of a request."""

    def __init__(self):
        self.ended = False

    def on_message_complete(self):
        self.ended = True


def awaits_nothing(sent):
    """Whether bytes are a whole request, or are none for sure; of others the service rightly waits for the rest."""
    whole = _Whole()
    try:
        httptools.HttpRequestParser(whole).feed_data(sent)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return True
    return whole.ended


async def beginning(url, sent):
    """Status, time and beginning of the answer to bytes; no status where the connection ends without one."""
    began = time.monotonic()
    async with raw(url) as (reader, writer):
        writer.write(sent)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                first = await reader.read(4_096)
                took = time.monotonic() - began
                top, found, body = first.partition(b"\r\n\r\n")
                length = _LENGTH.search(top)
                if found and length and len(body) < int(length[1]) and not sent.startswith(b"HEAD"):
                    first += await reader.read(4_096)
        except ConnectionError:
            return None, time.monotonic() - began, b""
    status = int(first.split(b" ", 2)[1]) if first.startswith(b"HTTP/1.1 ") else None
    return status, took, first


async def over_http(service, garbler, judge, count):
    """Requests of every kind."""
    own = service.url.removeprefix("http://").encode()
    for _ in range(count):
        while not awaits_nothing(sent := garbler.request(own)):
            pass
        judge.take(sent, *await beginning(service.url, sent))


async def over_mcp(service, garbler, judge, count):
    """Calls of the protocol of language models."""
    own = service.url.removeprefix("http://")
    accepted = {"Accept": "application/json, text/event-stream", "Content_Type": "application/json"}
    for _ in range(count):
        headers, body = garbler.call()
        sent = head("POST", "/mcp", own, Content_Length=len(body), Connection="close", **headers, **accepted) + body
        judge.take(sent, *await beginning(service.url, sent))


async def over_socket(service, garbler, judge, count):
    """Messages, twenty at a time; what they did is known by when a ping after them is answered."""
    async with aiohttp.ClientSession(service.url) as session:
        while count > 0:
            async with connected(session) as client:
                while count > 0 and not client.socket.closed:
                    sent = [garbler.message() for _ in range(20)]
                    count -= len(sent)
                    began = time.monotonic()
                    await told(client, sent)
                    took = time.monotonic() - began
                    content = b"".join(str(each).encode() for each in client.told if each["type"] == "error")
                    ended = client.told[-1].get("code") if client.told[-1]["type"] == "closed" else None
                    client.told.clear()
                    judge.take(b"\n".join(sent), 500 if ended == 1011 else None, took, content)


async def told(client, messages):
    """Send messages, and wait for what comes up to the answer to a last one."""
    try:
        for each in messages:
            await client.socket._writer.send_frame(each, aiohttp.WSMsgType.TEXT)
        await client.say("ping", id="last")
    except (ConnectionError, aiohttp.ClientError):
        pass  # the service has closed it for an earlier one, which is looked at
    while (each := await client.next())["type"] != "closed" and not (
        each["type"] == "pong" and each.get("id") == "last"
    ):
        pass


INTERFACES = {"http": over_http, "mcp": over_mcp, "socket": over_socket}


async def all_well(sim, tmp_path, caplog, interface, count, seed=SEED, **options):
    """Have so many inputs judged."""
    judge = Judge()
    with caplog.at_level(logging.WARNING):
        async with served(sim, tmp_path, **options) as (service, session):
            await INTERFACES[interface](service, Garbler(seed), judge, count)
            async with session.get("/readyz") as answer:
                assert 200 == answer.status
    print(f"\n{interface}: {count} inputs, {judge.answers}, slowest {judge.slowest}")  # noqa: T201  # the figures of the long run

    assert [] == judge.wrong
    assert [] == [each.getMessage() for each in caplog.records if each.exc_info]


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("no_auth", [True, False], ids=["open to all", "with tokens"])
async def test_a_few_inputs(sim, tmp_path, caplog, hashes, interface, no_auth):
    """Of a seed of their own for each interface; the long run has many more."""
    await all_well(sim, tmp_path, caplog, interface, 200 if no_auth else 60, no_auth=no_auth, hashes=hashes)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("no_auth", [True, False], ids=["open to all", "with tokens"])
async def test_a_hundred_thousand_inputs(sim, tmp_path, caplog, hashes, interface, no_auth):
    """No 500, no fault in the log, no refusal that takes a second, no answer that begins after five."""
    count = 20_000 if no_auth else 15_000
    await all_well(sim, tmp_path, caplog, interface, count, seed=SEED + 1, no_auth=no_auth, hashes=hashes)


KNOWN = {
    "a form by another alphabet": b'POST /token HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x; charset=unicode_escape\r\nContent-Length: 77\r\n\r\n--x\r\nContent-Disposition: form-data; name="username"\r\n\r\n\\ud800\r\n--x--\r\n      ',
    "months to the end of time": b"GET /v1/candles?exchange=binance&symbol=BTC/USDT&interval=1M&start=2024-01-01&end=9999-12-31 HTTP/1.1\r\nHost: a\r\n\r\n",
    "weeks to the end of time": b"GET /v1/candles?exchange=binance&symbol=BTC/USDT&interval=1w&start=2024-01-01&end=9999-12-31 HTTP/1.1\r\nHost: a\r\n\r\n",
    "an origin that is none": b"GET /v1/coins HTTP/1.1\r\nHost: a\r\nOrigin: http://[::1\r\n\r\n",
}


@pytest.mark.parametrize("name", KNOWN)
async def test_what_was_a_fault_once(running, caplog, name):
    """Is answered, or refused by name."""
    service, _ = running
    status, took, content = await beginning(service.url, KNOWN[name].replace(b"Host: a", b"Host: 127.0.0.1"))

    assert {"a form by another alphabet": 415, "an origin that is none": 403}.get(name, 200) == status, content
    assert took < FIRST_BYTE_S
    assert not [each for each in caplog.records if each.exc_info]
