"""Answers in parts."""

from __future__ import annotations

import gc
import time

import pytest

from serving import until


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
