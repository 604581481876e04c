"""Lines of a descriptor."""

from __future__ import annotations

import asyncio
import os

import pytest

from chandlery.service.mcp.stdio import lines_of


async def test_lines_come_whole_whatever_the_writes_were():
    """Empty ones are left out; the last may lack its end."""
    read, write = os.pipe()
    for part in (b"on", b"e\ntwo\n\n", b"thr\xc3", b"\xa9e\nlast"):
        os.write(write, part)
    os.close(write)

    assert ["one", "two", "thrée", "last"] == [line async for line in lines_of(read)]
    os.close(read)


async def test_waiting_can_be_stopped():
    """Though nothing ever comes."""
    read, write = os.pipe()
    lines = lines_of(read)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await anext(lines)
    await lines.aclose()
    os.close(write)
