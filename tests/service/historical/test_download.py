"""Answers in parts."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest

from chandlery.core.errors import ExchangeUnavailable
from chandlery.service.historical.download import Download
from fixtures.waiting import until


@pytest.fixture
def uncollected():
    """What is part of a cycle stays."""
    gc.disable()
    yield
    gc.enable()


def making():
    """What makes parts of answers and has not ended."""
    return [
        each.ag_code.co_name
        for each in gc.get_objects()
        if type(each).__name__ == "async_generator"
        and each.ag_frame is not None
        and "chandlery/service/historical" in each.ag_code.co_filename
    ]


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("form", ["arrow", "parquet"])
async def test_who_leaves_in_the_midst_ends_what_makes_the_parts(running, form):
    """Else each would hold its rows, and room to gather its answer, until the garbage collector comes by."""
    _, session = running
    end = int(time.time()) - 86_400
    asked = {"exchange": "binance", "symbol": "BTC/USDT", "interval": "1s", "format": form}
    response = await session.get("/v1/candles", params=asked | {"start": (end - 2 * 86_400) * 1000, "end": end * 1000})
    await response.content.readexactly(1_000)
    assert making()
    response.close()

    await until(lambda: not making())


class Unread:
    """A client that takes nothing."""

    def __init__(self):
        self.scope = {"type": "http", "path": "/v1/candles", "method": "GET"}

    async def receive(self):
        """It does not leave."""
        await asyncio.Event().wait()

    async def send(self, message):
        """Nor does it take the body."""
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()


async def test_a_client_that_takes_nothing_is_cut(caplog):
    """What makes the parts ends with it."""
    ends = []

    async def parts():
        try:
            while True:
                yield b"part"
        finally:
            ends.append(1)

    client = Unread()
    download = Download(parts(), media_type="text/csv", headers={}, stalled_s=0.05)
    async with asyncio.timeout(5):
        await download(client.scope, client.receive, client.send)

    assert [1] == ends
    assert "download of /v1/candles aborted: the client has read nothing for 0.05 s" in caplog.text


async def test_an_exchange_that_fails_in_the_midst_cuts_a_download(caplog):
    """It is said in a line of the log, without a traceback."""

    async def parts():
        yield b"part"
        raise ExchangeUnavailable("the exchange is away")

    client, sent = Unread(), []

    async def send(message):
        sent.append(message)

    await Download(parts(), media_type="text/csv", headers={})(client.scope, client.receive, send)

    assert sent[-1]["more_body"]
    assert "aborted: the exchange is away" in caplog.text
    assert not any(record.exc_info for record in caplog.records)
