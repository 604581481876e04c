"""What users test with."""

from __future__ import annotations

import asyncio
import time

import pytest

from chandlery.core.errors import ExchangeUnavailable, RateLimited
from chandlery.core.http import Request
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.testing import no_waiting


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", ExchangeUnavailable),
        (b"HTTP/1.1 429 No\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n", RateLimited),
    ],
)
async def test_no_waiting_tries_as_often_without_the_pauses(tmp_path, answer, error):
    """All retries are made at once, a Retry-After is not slept through nor left to those who come after."""
    asked = 0

    async def serve(reader, writer):
        nonlocal asked
        while await reader.readline() != b"":
            await reader.readuntil(b"\r\n\r\n")
            asked += 1
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    request = Request(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    began = time.monotonic()
    async with HttpClient(limiter=RateLimiter(tmp_path), retry_count=4) as client:
        for _ in range(2):
            with no_waiting(), pytest.raises(error):
                await client.send(request)
    server.close()

    assert 10 == asked
    assert time.monotonic() - began < 10
