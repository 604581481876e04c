"""The updates of a candles feed since a moment: the missed ones, then the live ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from operator import itemgetter
from typing import TypeVar

from chandlery.adapter.pages import rest_chunks
from chandlery.core.candle import CandleData
from chandlery.core.errors import ExchangeError
from chandlery.core.gaps import Gap, GapKind, Span, subtract
from chandlery.core.time import Micros
from chandlery.feed.conflating_queue import ConflatingQueue
from chandlery.feed.events import CandleUpdate, Missing, Restated
from chandlery.feed.seam import CandleSeam
from chandlery.feed.stream import LiveStream

_PAGES = 10
"""Number of pages that are requested before their candles are yielded."""
_MOST_MERGED = 1000
"""Number of updates of all feeds that are read ahead."""

Source = TypeVar("Source")
Update = TypeVar("Update")


def updates_since(stream: LiveStream, queue: ConflatingQueue, since: Micros | None) -> AsyncIterator[CandleUpdate]:
    """
    Yield the closed candles that open at or after ``since``, each once and in order, with the updates between them.

    ``queue`` has the updates of ``stream`` since this was called; it ends with them. Without ``since``, the candles
    follow the latest closed one at the call, or at the first iteration if the stream had not begun before. Candles that
    the stream does not store, or no longer backfills, are requested. Raises the errors of requests before the first
    live update; later ones are ``Missing``.
    """
    return _updates(stream, queue, since, stream.processor.following if stream.began else None)


async def _updates(
    stream: LiveStream, queue: ConflatingQueue, since: Micros | None, following: Micros | None
) -> AsyncIterator[CandleUpdate]:
    expected = following if since is None else None
    seam = CandleSeam(stream.grid, expected, most=stream.processor.max_records, held=since is not None)
    if since is not None:
        async for update in _missed(stream, queue, seam, stream.grid.ceil(since)):
            yield update
    elif expected is None and stream.began:
        seam.expected = stream.processor.following
    while updates := await queue.get_all():
        for update in seam.take(updates):
            yield update
        while (lost := seam.lost) is not None:
            async for update in _requested(stream, lost, may_fail=True):
                yield update
            for update in seam.past(lost.end):
                yield update


async def merged(sources: Iterable[tuple[Source, AsyncIterator[Update]]]) -> AsyncIterator[tuple[Source, Update]]:
    """Yield the updates of all ``sources``, each with its source, as they come. It ends with the last, or the first error."""
    queue: asyncio.Queue[tuple[Source, Update] | Exception | None] = asyncio.Queue(_MOST_MERGED)

    async def read(source: Source, updates: AsyncIterator[Update]) -> None:
        try:
            async for update in updates:
                await queue.put((source, update))
        except Exception as error:  # noqa: BLE001  # it is raised where the updates are read
            await queue.put(error)
        else:
            await queue.put(None)

    tasks = {asyncio.create_task(read(*each)) for each in sources}
    running = len(tasks)
    try:
        while running:
            update = await queue.get()
            if isinstance(update, Exception):
                raise update
            if update is None:
                running -= 1
            else:
                yield update
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _missed(
    stream: LiveStream, queue: ConflatingQueue, seam: CandleSeam, begin: Micros
) -> AsyncIterator[CandleUpdate]:
    """Yield the candles from ``begin`` to now, once the stream has begun, and the updates of ``queue`` until then."""
    events: list[CandleUpdate] = []
    while not stream.began:
        updates = await queue.get_all()
        if not updates:
            return
        events += [each for each in updates if not isinstance(each, CandleData)]
    while (first := stream.processor.first) is not None and begin < first:
        async for update in _requested(stream, Span(begin, first)):
            yield update
        begin = first
    for update in _stored(stream, seam, begin, [*events, *queue.drain()]):
        yield update


async def _requested(stream: LiveStream, span: Span, *, may_fail: bool = False) -> AsyncIterator[CandleUpdate]:
    """Request the candles of ``span``, before a later one, and name those that do not exist, or that a request failed for."""
    for part in rest_chunks(span, stream.grid, chunk=_PAGES * stream.network.adapter.page_size):
        try:
            rows = await stream.network.candles(stream.symbol, stream.interval, part)
            now = await stream.network.now()
        except ExchangeError as error:
            if not may_fail:
                raise
            yield Missing(Gap(part.start, part.end, GapKind.FETCH_FAILED, str(error)))
            continue
        closed = [row for row in rows if row.closed]
        doubt = "" if len(closed) == len(rows) else "the exchange has not closed it"
        taken = [Span(row.open_time, stream.grid.step(row.open_time)) for row in closed]
        gaps = [gap for hole in subtract(part, taken) for gap in stream.absences.explain(hole, now, doubt=doubt)]
        for each in _merged_by_time(closed, gaps, now):
            yield each


def _stored(stream: LiveStream, seam: CandleSeam, begin: Micros, waiting: Iterable[CandleUpdate]) -> list[CandleUpdate]:
    """Continue with the candles that the stream stores, in their latest state, and with the other ``waiting`` updates."""
    now = stream.network.guess()
    changes = [each for each in waiting if not isinstance(each, CandleData) and not _is_of(each, begin)]
    candles = [each for each in stream.processor.candles if each.open_time >= begin]
    gaps = [gap for hole in stream.processor.absences(begin) for gap in stream.absences.explain(hole, now)]
    return [*seam.take(changes), *seam.past(begin), *seam.take(_merged_by_time(candles, gaps, now))]


def _is_of(event: CandleUpdate, begin: Micros) -> bool:
    """Return whether an event is about a stored candle that opens at or after ``begin``, or about its absence."""
    if isinstance(event, Missing):
        return event.gap.start >= begin
    return isinstance(event, Restated) and event.after.open_time >= begin


def _merged_by_time(candles: Iterable[CandleData], gaps: Iterable[Gap], now: Micros) -> list[CandleUpdate]:
    """Return candles and missing ones in the order of their times."""
    placed: list[tuple[Micros, CandleUpdate]] = [(each.open_time, each) for each in candles]
    placed += [(gap.start, Missing(gap, now)) for gap in gaps]
    return [each for _, each in sorted(placed, key=itemgetter(0))]
