"""A stream in the background: how it ends."""

from __future__ import annotations

import asyncio

import pytest

from chandlery.clients.streaming import RealtimeStream, deliver


async def _for_ever():
    await asyncio.Event().wait()


async def _failing():
    raise ValueError("no")


async def test_stopping_ends_it():
    """``stop`` ends a stream without an error; again is nothing, and who waits comes back."""
    stream = RealtimeStream("x", _for_ever())
    waiting = asyncio.create_task(stream.wait())
    assert stream.running
    await stream.stop()
    await stream.stop()
    await asyncio.wait_for(waiting, 1)

    assert (False, None) == (stream.running, stream.failure)


async def test_what_ends_it_is_raised(caplog):
    """``wait`` and ``stop`` raise what a callback raised; it is logged once and kept."""
    stream = RealtimeStream("acme BTC", _failing())
    with pytest.raises(ValueError, match="no"):
        await stream.wait()
    with pytest.raises(ValueError, match="no"):
        await stream.stop()
    await stream.end()

    assert "acme BTC: the stream ended: ValueError('no')" in caplog.text
    assert isinstance(stream.failure, ValueError)


async def test_dropped_entries_are_counted_by_whoever_drops_them():
    """The count is the source's own."""
    stream = RealtimeStream("x", _for_ever(), dropped=lambda: 7)
    await stream.stop()

    assert 7 == stream.dropped


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_callbacks_of_both_kinds(asynchronous):
    """A callback may be a function or a coroutine function; both get the coin and the entry."""
    got = []

    async def awaited(coin, entry):
        await asyncio.sleep(0)
        got.append((coin, entry))

    await deliver(awaited if asynchronous else lambda *given: got.append(given), "BTC/USDT", {"a": 1})

    assert [("BTC/USDT", {"a": 1})] == got
