"""Supervisor of one stream of one coin."""

from __future__ import annotations

import asyncio
import logging
import random as dice
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from chandlery.clients.interfaces import IDataSourceConnector
from chandlery.clients.rows import Row, row_of_candle
from chandlery.clients.streaming import RealtimeStream
from chandlery.core.errors import Closed, StorageError
from chandlery.core.gaps import GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Clock, Micros, Unit, iso
from chandlery.database.candles import CandleRepository
from chandlery.feed.backoff import PACE, Pace
from chandlery.feed.events import (
    Connected,
    Dropped,
    Event,
    Failed,
    Missing,
    Reconnecting,
    Restated,
    Resynced,
    Resyncing,
    Unsettled,
)
from chandlery.feed.seam import Seam
from chandlery.service.collection.book_moments import BookMoments
from chandlery.service.collection.book_proof import proved_book
from chandlery.service.collection.gap_queue import GapQueue
from chandlery.service.collection.processor import RealTimeProcessor
from chandlery.service.collection.settling import changed, retried, settle, unsettled
from chandlery.service.collection.status import ChannelStatus
from chandlery.service.proofs import proved_gaps
from chandlery.service.supervision import Supervisor
from chandlery.tables.frame import open_times

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

MOST_HELD = 10_000
"""Maximum number of closed candles queued during a backfill; older ones are backfilled, too."""
_SETTLED_S = 60.0
"""Running time in seconds after which the count of consecutive failures restarts."""


class StreamSupervisor:
    """
    Starts a stream, backfills missed candles, and restarts the stream with exponential backoff whenever it ends.

    ``book_levels`` is the number of levels in each update of a book.
    """

    def __init__(
        self,
        series: SeriesId,
        connector: IDataSourceConnector,
        processor: RealTimeProcessor,
        candles: CandleRepository,
        clock: Clock,
        supervisor: Supervisor,
        *,
        snapshot_every: Micros,
        book_levels: int,
        last_kept: Callable[[], Awaitable[Micros | None]],
        pace: Pace = PACE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = dice.random,
    ) -> None:
        self.series = series
        self.interval = series.interval
        self.messages = 0
        self.resyncs = 0
        self.restated = 0
        """Number of stored candles that were replaced by corrected ones."""
        self.unsettled_s = 0.0
        """Time in seconds that the oldest candle has been due for its second read, as last reported."""
        self.failures = 0
        self.started = asyncio.Event()
        """Set once the stream runs, or has failed for the first time."""
        self._connector = connector
        self._processor = processor
        self._candles = candles
        self._clock = clock
        self._book_levels = book_levels
        self._last_kept = last_kept
        self._pace = pace
        self._sleep = sleep
        self._random = random
        self._error: Exception | None = None
        self._last_message: Micros | None = None
        self._lag: Micros | None = None
        self._stream: RealtimeStream | None = None
        self._lost: str | None = None
        """Reason of the lost connection; ``None`` while connected."""
        self._latest_book: Row | None = None
        """Last order book received; ``None`` once it is invalid."""
        self._resumed = False  # whether the stream has run before
        self._gaps = GapQueue(partial(processor.publish_gap, series))
        self._moments = BookMoments(self._gaps, snapshot_every, clock())
        self._to_restate: list[Row] = []
        """Corrected closed candles that are not stored yet."""
        self._recording = asyncio.Lock()
        self._seam = self._new_seam()
        """The seam between the backfilled and the live entries."""
        self._may_lack = False
        """True until the first closed candle since the start of the stream."""
        self._processing = asyncio.Lock()
        """Processes entries in the order in which the seam returned them."""
        self._told: Micros | None = None
        """Open time of the last published closed candle."""
        self._supervised = supervisor.start(f"keeper of {series}", self._keep)

    @property
    def gaps(self) -> int:
        """Number of gaps found; each outage counts once."""
        return self._gaps.count

    @property
    def error(self) -> Exception | None:
        """Last error; ``None`` while the stream runs."""
        return self._error

    @property
    def running(self) -> bool:
        """True while the stream runs."""
        return self._stream is not None and self._stream.running

    @property
    def last_snapshot(self) -> Micros | None:
        """Time of the last stored order book; ``None`` without one."""
        return self._moments.last

    def status(self) -> ChannelStatus:
        """Return the state of the stream."""
        error = None if self._error is None else f"{type(self._error).__name__}: {self._error}"
        if self._lost is not None:
            state, error = "reconnecting", self._lost
        elif self.running and self.interval is None and (since := self._moments.overdue(self._clock())) is not None:
            state, error = "stale", error or f"no order book could be stored since {iso(since)}"
        elif self.running:
            state = "running"
        else:
            state = "starting" if error is None else "failed"
        return ChannelStatus(
            channel=self.series.channel_text,
            state=state,
            messages=self.messages,
            gaps=self.gaps,
            resyncs=self.resyncs,
            last_message=self._last_message,
            lag_ms=None if self._lag is None else self._lag / Unit.MILLIS.value,
            failures=self.failures,
            error=error,
        )

    async def snapshot(self, at: Micros) -> None:
        """
        Store the current book as the snapshot of ``at``; without a valid book, or if it cannot be stored, record a gap.

        Earlier grid times that were skipped are a gap since the last recorded one.
        """
        book = None
        try:
            self._moments.pass_over(at)
            book, lack = proved_book(self._stream, self._latest_book, self._last_message, self._clock())
            if book is not None:
                await self._processor.snapshot(self.series, book, at)
                self._error = None
                self._moments.stored(at)
            elif not self._resumed and await self._last_kept() is not None:
                return  # the time since then becomes a single gap once the stream runs
            else:
                self._moments.lack(at, lack)
            await self._record()
        except Exception as error:  # noqa: BLE001  # one coin's must not end all others' snapshots, and shows in its state
            self._not_stored(error)
            if book is not None and self.last_snapshot != at:
                self._moments.lack(at, f"it could not be stored: {error}")

    def skip(self, at: Micros) -> None:
        """Record a gap until now, since the grid time ``at`` can no longer be met; stored with the next snapshot."""
        if self._resumed:
            self._moments.skip(at, self._clock())

    def _not_stored(self, error: Exception) -> None:
        """Set the error state, and log it once."""
        if repr(error) != repr(self._error):
            log.error("%s: cannot store: %r", self.series, error)
        self._error = error

    async def end(self) -> None:
        """Stop the stream."""
        await self._supervised.end()
        if self._stream is not None:
            await self._stream.end()

    async def _keep(self) -> None:
        waits = self._pace.delays(self._random)
        while True:
            began = self._clock()
            try:
                await self._run()
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise
                self._failed(Closed("a task of the stream was cancelled"))
            except Exception as error:  # noqa: BLE001  # whatever ends one coin's stream must not touch the others, and shows in its state
                self._failed(error)
            if self._clock() - began > _SETTLED_S * Unit.SECONDS.value:
                self.failures = 1
                waits = self._pace.delays(self._random)
            await self._sleep(next(waits))

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._error = error
        self._lost = None
        self._invalid()
        log.warning("%s: %d consecutive failures, the last: %r", self.series, self.failures, error)
        self.started.set()

    async def _run(self) -> None:
        if self.interval is not None:
            await self._record()
        resumed_from = await self._last_kept()
        if self.interval is None:
            self._moments.last = resumed_from
        self._seam, self._may_lack = self._new_seam(), True
        settling: asyncio.Task[None] | None = None
        self._stream = await self._connector.open_stream(
            self.series.exchange,
            self.series.symbol,
            self._take,
            channel="book" if self.interval is None else "candles",
            interval=self.interval or Interval.MINUTE_1,
            depth=self._book_levels,
            on_event=self._happened,
        )
        try:
            until: Micros | None = 0
            if self.interval is not None:
                # A candle that was stored when the stream ended may not have been published.
                last = resumed_from if self._told is None else self._told
                until = None if last is None else self.interval.step(last)
                if until is not None and until < self.interval.floor(now := self._clock()):
                    until = await self._backfill(self.interval, Span(until, now))
            elif resumed_from is not None and not (self._resumed and self._moments.is_invalid):
                # A gap since the last book, also if the service ran but could not reach the exchange at first.
                self._moments.resume(resumed_from, self._clock())
            self._resumed = True
            self._moments.find(self._clock())
            if self.interval is not None:
                await self._record()
            await self._process_all(self._seam.past(until))
            self._error = None
            if self.interval is None:
                await self._record_gaps()
            self.started.set()
            if self.interval is not None and resumed_from is not None:
                fetch = partial(changed, self._connector, self._candles, self.series)
                spans = unsettled(self.interval, resumed_from, self._clock())
                job = partial(settle, spans, fetch, self._restate, self._sleep, self._pace.delays(self._random))
                settling = asyncio.create_task(retried(job, self.series, self._pace, self._sleep, self._random))
            await self._stream.wait()
        finally:
            if settling is not None:
                settling.cancel()
                await asyncio.wait({settling})
            await self._stream.end()

    def _new_seam(self) -> Seam[Row]:
        return Seam(self.interval or Interval.SECOND_1, most=MOST_HELD, held=True, eager=True)

    async def _backfill(self, interval: Interval, span: Span) -> Micros:
        """Fetch, store and publish the candles of ``span``. Return the open time after the last one."""
        client = self._connector.get_client(self.series.exchange)
        part = await client.fetch_part(self.series.symbol, span, interval)
        for gap in part.failures:
            self._gaps.add(gap)
        await self._candles.save_table(self.series, part.table)
        await self._processor.settle(self.series, await proved_gaps(client, self.series, part))
        self._processor.publish_stored(self.series, part.table)
        until = span.start
        if len(part.table):
            self._told = int(open_times(part.table)[-1])
            until = interval.step(self._told)
        for gap in part.gaps if self._seam.held else ():
            if gap.kind is not GapKind.NOT_YET:
                self._seam.absent(gap.span)
        return until

    async def _process_all(self, rows: Sequence[Row]) -> None:
        """Process entries, and those that waited for a hole. One before the first live closed candle is backfilled."""
        if len(rows) == 1 and not rows[0].get("closed") and not self._processing.locked():
            await self._process(rows[0])  # faster, and as good while none is processed
            return
        async with self._processing:
            for row in rows:
                await self._process(row)
            if self.interval is not None and (hole := self._seam.hole) is not None:
                if self._may_lack:
                    await self._backfill(self.interval, hole)
                for row in self._seam.past(hole.end):
                    await self._process(row)

    async def _take(self, coin: str, entry: Row) -> None:
        now = self._clock()
        self.messages += 1
        self._last_message = now
        self._lost = None
        if self.interval is None:
            if (told := entry["timestamp"]) is not None:
                self._lag = now - Unit.MILLIS.micros(told)
            entry = self._latest_book = {"received_at": Unit.MILLIS.of(now), **entry}
            if self._seam.held:
                self._seam.running(0, entry)  # only the latest waits
            else:
                self._moments.find(now)
                await self._process(entry)
            return
        moment, add = Unit.MILLIS.micros(entry["timestamp"]), self._seam.running
        if entry["closed"]:
            self._lag, add = now - self.interval.step(moment), self._seam.closed
        await self._process_all(add(moment, entry))

    async def _process(self, entry: Row) -> None:
        if self.interval is not None and (self._gaps or self._to_restate):
            await self._record()
        await self._processor.process_realtime_entry(self.series, entry)
        if self.interval is not None:
            if entry["closed"]:
                self._told, self._may_lack = Unit.MILLIS.micros(entry["timestamp"]), False
        elif self._gaps and self._error is None:
            await self._record_gaps()

    def _happened(self, coin: str, event: Event) -> Awaitable[None] | None:
        if isinstance(event, Restated) and self.interval is not None:
            row = row_of_candle(event.after, self.series.exchange, self.series.symbol, self.interval)
            return self._restate([row])
        self._note(event)
        ready = self._seam.absent(event.gap.span) if isinstance(event, Missing) else ()
        return self._process_all(ready) if ready else None

    def _note(self, event: Event) -> None:
        if isinstance(event, Missing):
            self._gaps.add(event.gap, event.proved_at)
        elif isinstance(event, Unsettled):
            self.unsettled_s = event.age_s
        elif isinstance(event, Resyncing | Reconnecting | Failed):
            if isinstance(event, Reconnecting):
                self._lost = event.reason
            else:
                self.resyncs += 1
            self._invalid()
        elif isinstance(event, Connected):
            self._lost = None
        elif isinstance(event, Resynced):
            self._moments.find(self._clock())
        elif isinstance(event, Dropped):
            log.warning("%s: %d updates were dropped", self.series, event.count)

    async def _restate(self, rows: Sequence[Row]) -> None:
        """Store corrected closed candles; those still queued are corrected in the queue."""
        later = [row for row in rows if not self._seam.replace(Unit.MILLIS.micros(row["timestamp"]), row)]
        if self._seam.held:
            self._to_restate += later
            return
        async with self._processing:  # after those that the seam has returned already
            self._to_restate += later
            await self._record()

    def _invalid(self) -> None:
        self._latest_book = None
        if self.interval is None:
            self._moments.lose(self._clock())

    async def _record_gaps(self) -> None:
        """Store gaps of an order book; on failure the stream goes on, and the next snapshot retries."""
        try:
            await self._record()
        except StorageError as error:
            self._not_stored(error)

    async def _record(self) -> None:
        """Store pending gaps and corrected candles; those that cannot be stored stay pending."""
        # Called concurrently by the stream and the snapshot clock.
        async with self._recording:
            await self._gaps.store(partial(self._processor.store_gap, self.series))
            while self._to_restate:
                await self._processor.restate(self.series, self._to_restate[0])
                del self._to_restate[0]
                self.restated += 1
