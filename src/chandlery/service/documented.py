"""Entries that a third party's manager pushes to the WebSocket of its documented methods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

import pyarrow as pa

from chandlery.clients.documented import accepted
from chandlery.clients.rows import Row, table_of_rows
from chandlery.core.errors import MalformedResponse
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Unit, to_datetime
from chandlery.database.raw import BookSnapshot, RawOrderBookEntry
from chandlery.tables.candle_rows import timed

_QUEUED = 16
"""Number of chunks that a manager may push before the reader has taken the first."""


class PastSocket:
    """The ``ws`` of ``stream_historical_data``: its chunks are queued for one reader."""

    def __init__(self, series: SeriesId) -> None:
        self.chunks: asyncio.Queue[list[Row] | None] = asyncio.Queue(_QUEUED)
        self._series = series

    async def send_json(self, message: Any) -> None:
        """Queue an entry, a list of them, or the ``data`` of a message, once there is room."""
        await self.chunks.put(rows_in(message, self._series))


def rows_in(message: Any, series: SeriesId) -> list[Row]:
    """
    Return the entries of a message that are of the channel of a series, with its names.

    Raises:
        MalformedResponse: The message is no entry, list of entries, or object with ``data``.
    """
    content = message.get("data", message) if isinstance(message, Mapping) else message
    found = [content] if isinstance(content, Mapping) else content
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise MalformedResponse(f"{series}: a manager sent {message!r:.200}; send entries, as clients return them")
    head: Row = {"exchange": series.exchange, "symbol": series.symbol}
    if series.interval is None:
        return [head | {"timestamp": None, "sequence": None} | dict(each) for each in found if "bids" in each]
    return [head | {"interval": series.interval.value} | dict(each) for each in found if "close" in each]


def candles_in(rows: list[Row], span: Span) -> pa.Table:
    """Convert the closed candles of ``span`` to a table."""
    bounds = Unit.MILLIS.of(span.start), Unit.MILLIS.of(span.end)
    return timed(
        table_of_rows([row for row in rows if bounds[0] <= row["timestamp"] < bounds[1] and row.get("closed", True)])
    )


def books_in(rows: list[Row], series: SeriesId, span: Span) -> list[RawOrderBookEntry]:
    """
    Convert the order books of ``span``, each stored as of its ``timestamp``.

    Raises:
        MalformedResponse: One has no time.
    """
    found = []
    for row in rows:
        if row["timestamp"] is None:
            raise MalformedResponse(f"{series}: a manager sent an order book without a timestamp")
        at = Unit.MILLIS.micros(row["timestamp"])
        if span.start <= at < span.end:
            received = row.get("received_at")
            snapshot = BookSnapshot(
                row["bids"], row["asks"], at if received is None else Unit.MILLIS.micros(received), row["sequence"], at
            )
            found.append(RawOrderBookEntry(series.exchange, series.symbol, at, snapshot))
    return found


def named(method: Callable[..., Any], series: SeriesId) -> dict[str, Any]:
    """
    Return the parts of a series that a documented method accepts besides the coin.

    Raises:
        UnsupportedRequest: It has no ``interval``, and the series has another one than a minute.
    """
    interval = series.interval or Interval.MINUTE_1
    return accepted(method, exchange=series.exchange, channel=series.channel, interval=interval)


async def past(
    stream: Callable[..., Awaitable[object]], series: SeriesId, span: Span
) -> AsyncGenerator[list[Row], None]:
    """Yield the chunks that ``stream_historical_data`` pushes, and raise its error."""
    socket = PastSocket(series)

    async def run() -> None:
        await stream(series.symbol, to_datetime(span.start), to_datetime(span.end), socket, **named(stream, series))
        await socket.chunks.put(None)

    task = asyncio.create_task(run(), name=f"chandlery {series} of a manager")
    following: asyncio.Task[list[Row] | None] | None = None
    try:
        while True:
            following = asyncio.create_task(socket.chunks.get())
            await asyncio.wait({following, task}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                await asyncio.sleep(0)  # a chunk may have been queued as it ended
            if not following.done():
                task.result()
            chunk = await following
            if chunk is None:
                return
            yield chunk
    finally:
        task.cancel()
        if following is not None:
            following.cancel()
        await asyncio.wait({task})
