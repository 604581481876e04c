"""Historical data over the WebSocket: numbered chunks, their totals, and the transition to live updates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import msgspec
import pyarrow as pa

from chandlery.clients.interfaces import ResolvedSeries
from chandlery.clients.rows import rows_of_table
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import Micros
from chandlery.service.collection.broadcaster import Update, gap_content
from chandlery.service.frames import Part, binary_frame, text_frame
from chandlery.service.historical.encode import arrow_batches, json_blocks, require_format
from chandlery.service.historical.interfaces import IHistoricalDataManager, Piece
from chandlery.service.historical.report import AnswerReport
from chandlery.service.label import labelled
from chandlery.service.web.messages import Id
from chandlery.service.web.send_queue import SendQueue
from chandlery.service.web.subscription import Subscription

CHUNK_ROWS = {"json": 500, "arrow": 50_000}
"""Maximum number of rows per chunk, by format; JSON chunks are small enough for the decoder's CPU cache."""
READ_ROWS = {"json": 10_000, "arrow": 50_000}
"""Number of rows read and encoded at once."""
CHUNK_BOOKS = 10
_METADATA = "chandlery"


class StreamingHandler:
    """Sender of one historical request, at the pace of the client."""

    def __init__(
        self,
        historical: IHistoricalDataManager,
        send_queue: SendQueue,
        series: ResolvedSeries,
        *,
        form: str,
        request: Id,
        turn: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        """``turn`` is held while historical data is sent."""
        require_format(form, list(CHUNK_ROWS))
        self._turn = turn
        self._historical = historical
        self._send_queue = send_queue
        self._series = series
        self._interval = series.id.interval
        self._form = form
        self._head = series.id.plain() | labelled(series.origin)
        if request is not None:
            self._head["id"] = request
        self._chunks = 0
        self._report = AnswerReport()
        self._next: Micros | None = None
        """Open time after the last row sent."""

    async def send(self, span: Span, *, following: bool = False) -> None:
        """Send the chunks of ``span``, then their totals."""
        await self._send(span)
        content = self._head | {"chunks": self._chunks, "following": following} | self._report.plain()
        await self._send_queue.send([text_frame(msgspec.json.encode({"type": "historical_data_complete"} | content))])

    async def follow(self, subscription: Subscription, span: Span) -> None:
        """
        Send ``span``, which ends now, then live updates without gaps or duplicates.

        The subscription was started and held before the storage was read, so that candles that close meanwhile are
        queued.
        """
        await self.send(span, following=True)
        if self._interval is None:
            subscription.release()
            return
        interval = self._interval
        subscription.past(interval.ceil(span.start) if self._next is None else self._next)
        while (hole := await subscription.hole()) is not None:
            await self._fill(hole, interval)
            subscription.past(hole.end)

    async def _send(self, span: Span) -> None:
        rows = READ_ROWS[self._form]
        past = self._historical.pieces(self._series, span, rows=rows, snapshots=CHUNK_BOOKS)
        async with self._turn(), aclosing(past) as pieces:
            async for piece in pieces:
                self._report.add(piece)
                if piece.table.num_rows:
                    # In a thread: formatting releases the GIL, and the client reads the previous chunk meanwhile.
                    await self._send_queue.send(await asyncio.to_thread(self._encoded, piece.table))
                    if self._interval is not None:
                        self._next = self._interval.step(piece.table.column("open_time")[-1].value // 1000)

    async def _fill(self, span: Span, interval: Interval) -> None:
        """Send the candles that closed after the history was read and before the first live update."""
        past = self._historical.pieces(self._series, span, rows=READ_ROWS["json"])
        async with aclosing(past) as pieces:
            async for piece in pieces:
                self._notify(piece, interval)

    def _notify(self, piece: Piece, interval: Interval) -> None:
        series = self._series.id
        for row in rows_of_table(piece.table, series.exchange, series.symbol, interval, counts=True):
            self._send_queue.put(Update(series, "closed", row).frame)
        for gap in piece.gaps:
            self._send_queue.put(Update(series, "gap", gap_content(gap)).frame)

    def _encoded(self, table: pa.Table) -> list[Part]:
        """Encode a table as chunks."""
        if self._form == "arrow":
            table = table.replace_schema_metadata({_METADATA: msgspec.json.encode(self._chunk_head())})
            return binary_frame(arrow_batches(table))
        columns = table.column_names
        return [
            text_frame(msgspec.json.encode(self._chunk_head() | {"columns": columns, "rows": msgspec.Raw(block)}))
            for block in json_blocks(table, CHUNK_ROWS["json"])
        ]

    def _chunk_head(self) -> dict[str, Any]:
        self._chunks += 1
        return {"type": "historical_data_chunk"} | self._head | {"number": self._chunks}
