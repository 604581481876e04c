"""Bytes to a server and back, where a client would refuse to send them."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

TIMEOUT_S = 20


@asynccontextmanager
async def raw(url):
    """The streams of a connection, which does not outlive the block."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def said(reader):
    """All that comes until the connection ends, by whomever."""
    found = bytearray()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while part := await reader.read(1 << 16):
                found += part
    except ConnectionError:
        pass  # what came before is what was said
    return bytes(found)


async def answer(reader):
    """Status, headers and body of the next answer; ``None`` where the connection ends without one."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, *lines = head.rstrip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return int(status.split()[1]), headers, body


async def asked(url, *parts):
    """The answer to bytes that are sent, as far as they are taken; it is read meanwhile, as a reset would discard it."""
    async with raw(url) as (reader, writer):
        answering = asyncio.create_task(answer(reader))
        try:
            async with asyncio.timeout(TIMEOUT_S):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
        except ConnectionError:
            pass  # what was answered before that is looked at
        return await answering


async def refusal(url, *parts):
    """Status and code of the problem that answers bytes."""
    found = await asked(url, *parts)
    if found is None:
        return None
    status, headers, body = found
    assert "application/problem+json" == headers["content-type"]
    document = json.loads(body)
    assert status == document["status"]
    return status, document["code"]


def head(method="GET", path="/", host="127.0.0.1", **headers):
    """The head of a request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
