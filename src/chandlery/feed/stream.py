"""One live series of one exchange, merged from socket candles and REST candles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec import structs

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND, Micros
from chandlery.feed.absences import PATIENCE, Absences
from chandlery.feed.events import Backfilled, CandleUpdate, Event, Failed, Missing, Rejected, Restated, Unsettled
from chandlery.feed.network import NetworkClient
from chandlery.feed.processed import ProcessedStream, ProcessorOf, processor_of
from chandlery.feed.recovery import described
from chandlery.feed.reorder_buffer import ReorderBuffer
from chandlery.feed.resample import Resampler
from chandlery.feed.verdict import Verdict

_SHOWN = 200
"""Length of a payload in an event."""
_REPORTED_FROM: Micros = MINUTE
_ORDER_PATIENCE: Micros = 5 * SECOND
"""Time that closed candles wait for one that REST must close; later they are published out of order."""


class LiveStream(ProcessedStream):
    """
    The candles of a symbol and an interval, without gaps.

    Socket candles are processed at once, and running candles are published at once. Closed ones wait until the
    candles missed before them are fetched, so that they are published in order. A ``live`` stream of a finer interval is
    resampled, and published once the missed parts are fetched. ``on_begun`` is called when the first backfill is
    complete, or has failed for good.
    """

    def __init__(
        self,
        network: NetworkClient,
        symbol: str,
        interval: Interval,
        *,
        max_records: int,
        history: int | None = None,
        publish: Callable[[CandleUpdate], None],
        on_begun: Callable[[], object],
        publish_all: Callable[[Sequence[CandleUpdate]], None] | None = None,
        processor: ProcessorOf | None = None,
    ) -> None:
        """``publish_all`` publishes many closed candles faster than ``publish``."""
        used = processor_of(processor, interval, max_records, history)
        super().__init__(network, symbol, interval, on_begun, publish, used, self._refused)
        adapter = network.adapter
        self.filled = False
        """True while nothing is missing between the fetched candles and the socket's."""
        self.failures = 0
        """Number of internal errors while handling it."""
        self.resting = False
        """True while it is paused after a failure and ignores candles."""
        self._rest_closes = adapter.rest_closes()
        self._taken = 0
        self._publish = publish
        self._publish_all = publish_all or self._publish_each
        self._listening = False
        self._joined: Micros | None = None
        """Open time of the first live candle since the last interruption; the missed candles are before it."""
        self._first_heard = asyncio.Event()
        self._past: dict[Micros, CandleData] = {}
        """Candles of the socket from before that, oldest first."""
        self._waiting = ReorderBuffer(used.max_records, self._publish_all)
        self._resampled: CandleData | None = None
        """The latest candle that was resampled while parts of it may be missing."""
        self.absences = Absences(adapter, self.grid)
        self._resampler = None if self.live is None or self._own else Resampler(self.grid)
        self._late: Micros = _REPORTED_FROM
        """Age from which the backlog of second reads is published."""
        self._traded_at = -1

    def take(self, candle: CandleData) -> None:
        """Process a candle of ``live`` from a socket."""
        if self.follow is not None and self.follow(candle):
            return
        self._taken += 1
        if self._resampler is not None:
            resampled = self._resampler.add(candle)
            if resampled is None:
                return
            if not self.filled:
                self._resampled = resampled
                return
            candle = resampled
        changed = self._process(candle)
        if self._joined is None and self.processor.heard >= 0:
            self._joined = self.processor.heard
            self._first_heard.set()
        for each in changed:
            self._notify(each)

    def take_past(self, candle: CandleData) -> None:
        """Process a socket candle of ``live`` that precedes another in the same message: a past one if no live one came before."""
        if self._joined is not None or self._resampler is not None:
            self.take(candle)
            return
        self._taken += 1
        self._past[candle.open_time] = candle
        if len(self._past) > self.processor.max_records:
            del self._past[next(iter(self._past))]

    def up(self) -> None:
        """Note that a socket sends it from now on."""
        self._listening = True

    def lost(self) -> None:
        """Note that the socket is lost. Closed candles wait from now on until the backfill is complete."""
        self.filled = self._listening = False
        self._joined = self._resampled = None
        self._waiting.expected = -1
        self._first_heard.clear()
        self._past.clear()
        self._traded_at = -1
        self.processor.interrupted()

    @property
    def heard(self) -> int:
        """Number of its candles that a socket has sent."""
        return self._taken + self.processor.followed

    @property
    def is_unheard(self) -> bool:
        """True if fetched candles show trades since which the socket has sent nothing."""
        return self._traded_at == self.heard

    async def heard_within(self, wait_s: float) -> None:
        """Wait up to ``wait_s`` for the first socket candle, if it may show that no backfill is needed."""
        may_join = self._has_history or self.network.adapter.socket.history
        if self._listening and self._resampler is None and may_join:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._first_heard.wait()

    async def join(self) -> bool:
        """Continue live without a request if the socket has sent everything that was missed. Return whether it did."""
        if self._joined is None:
            return False
        now = await self.network.now()
        hole, absent = self._missed(now)
        if not absent:
            self._go_on(hole, [], now)
        return not absent

    async def fill(self) -> None:
        """Fetch the missed candles that no socket has sent, then publish the candles that closed meanwhile."""
        now = await self.network.now()
        hole, absent = self._missed(now)
        await self._prepare(hole)
        rows = await self.network.candles(self.symbol, self.interval, absent) if absent else []
        self._go_on(hole, rows, now)

    async def refresh(self) -> None:
        """
        Fetch candles that should be closed but are not, and the running candle.

        If the exchange omits a candle twice, long enough after its close, it counts as absent.
        """
        now = await self.network.now()
        span = self.processor.resume(now)
        rows = await self.network.candles(self.symbol, self.interval, span)
        self._let_in(rows, now)
        self._waiting.release()
        self._give_up([row.open_time for row in rows], now)

    async def read_again(self) -> None:
        """
        Wait for the rate limit of second reads, then read the provisional candles that are due.

        Candles that were read too early, or could not be read, become due again later.
        """
        now = self.network.guess()
        self.provisional.begin(now)
        await self.network.second_turn(self.symbol, self.interval, self._second_span(now))
        now = await self.network.now()
        due = self.provisional.due(now, self.network.adapter.page_size)
        try:
            if due:
                settled = self.grid.step(due[-1])
                span = self._second_span(now)
                rows = await self.network.second_read(self.symbol, self.interval, span, settled=settled)
                self._let_in(rows, now)
                if not self._listening:
                    self._waiting.release()
        finally:
            self.provisional.repeat(due, now)

    def _second_span(self, now: Micros) -> Span:
        """Return the span from the oldest candle that is due to the running one, at most one page."""
        most = self.network.adapter.page_size
        opened = min(self.provisional.due(now, most), default=self.grid.floor(now))
        return Span(opened, min(self.grid.step(self.grid.floor(now)), self.grid.step(opened, most)))

    def report(self, now: Micros) -> None:
        """Publish the backlog of second reads if it has changed much."""
        count, age = self.provisional.behind(now)
        if age >= self._late:
            self._publish(Unsettled(count, age / SECOND))
            while self._late <= age:
                self._late *= 2
        elif not count and self._late > _REPORTED_FROM:
            self._late = _REPORTED_FROM
            self._publish(Unsettled(0, 0.0))

    def broke(self, error: Exception) -> None:
        """Pause until the next backfill, after an internal error."""
        self.failures += 1
        self.resting = True
        listening = self._listening
        self.lost()
        self._listening = listening
        self._publish(Failed(described(error), self.failures))

    def overdue(self, now: Micros) -> bool:
        """Return whether candles are not closed that should be by now."""
        return bool(self.processor.missing(now - self.network.adapter.close_delay))

    def reject(self, reason: str, payload: object) -> None:
        """Publish that something was rejected."""
        self._publish(Rejected(reason, str(payload)[:_SHOWN]))

    def say(self, event: Event) -> None:
        """Publish an event."""
        self._publish(event)

    async def _prepare(self, span: Span) -> None:
        """Fetch the finer candles that make up the running candle so far."""
        if self._resampler is None or self.live is None:
            return
        running = Span(self.grid.step(span.end, -1), span.end)
        for each in await self.network.candles(self.symbol, self.live.interval, running):
            self._resampled = self._resampler.add(each) or self._resampled

    @property
    def _has_history(self) -> bool:
        return self.began and self.failure is None

    def _missed(self, now: Micros) -> tuple[Span, Span]:
        """
        Return the missed span, and the part of it to fetch, which may be empty.

        Both end with the first live candle, which shows that those before it are over, or with the running one
        if there was no live candle.
        """
        joined, step = self._joined, self.grid.step
        if joined is None:
            span = self.processor.resume(now, anew=not self._has_history)
            return span, span
        oldest = None
        if not self._has_history:
            kept = self.network.adapter.oldest(self.interval, now)
            oldest = max(step(joined, 1 - self.processor.history), 0 if kept is None else self.grid.ceil(kept))
        missing = self.processor.missing(joined, since=oldest)
        absent = [opened for opened in missing if opened not in self._past]
        end = step(joined)
        return Span(missing[0] if missing else joined, end), Span(absent[0] if absent else end, end)

    def _go_on(self, hole: Span, rows: Sequence[CandleData], now: Micros) -> None:
        """Merge past socket candles and the rows requested at ``now``, and continue live."""
        past, self._past = self._past, {}
        if self._joined is not None:
            sent = [row for row in past.values() if row.open_time < self._joined]
            closes = self.processor.next_closes
            ended = [structs.replace(row, closed=True) for row in sent] if closes else sent
            final = self.provisional.count_final(ended, self._joined, now) if closes else len(sent)
            if not self._load(ended, final):
                for row, after in zip(sent, ended, strict=True):
                    final = row.closed or self.provisional.is_final(row.open_time, self._joined, now)
                    self._put(after, fetched=True, final=final)
        self._let_in(rows, now)
        self._expect_late(rows, now)
        self._traded_at = -1  # candles fetched here need not come by socket
        self._waiting.release(self._joined)
        self._publish(Backfilled(hole))
        self.filled = self._listening
        if self._resampled is not None:
            self._put(self._resampled)
            self._resampled = None
        self._waiting.release()
        self._begin()

    def _expect_late(self, rows: Sequence[CandleData], now: Micros) -> None:
        """Make closed candles wait for the last one before the live ones, if the answer requested at ``now`` came too early to close it."""
        missing = self.processor.missing(self._joined) if self._joined is not None and rows else []
        if missing and missing[-1] >= rows[-1].open_time:
            self._waiting.expect(missing[-1], now + _ORDER_PATIENCE)

    def _notify(self, update: CandleData | Restated) -> None:
        """Publish a change at once, unless it is a closed candle that must wait for earlier ones."""
        if isinstance(update, Restated):
            if not self._waiting.restate(update):
                self._publish(update)
        elif update.closed and (not self.filled or self._waiting.is_early(update.open_time, self.network.guess())):
            self._waiting.put([update])
        else:
            self._publish(update)
            if update.closed:
                self._waiting.came(update.open_time)

    def _let_in(self, rows: Sequence[CandleData], now: Micros) -> None:
        """Process candles that were requested at ``now``; none is closed by the next one."""
        if not rows:
            return
        latest = rows[-1].open_time
        self.provisional.saw(latest, now)
        for row in rows if self.filled else self._load_new(rows, latest, now):
            held = self.processor.held(row.open_time)
            if row.open_time not in self.provisional and row.volume > (0.0 if held is None else held.volume):
                self._traded_at = self.heard
            final = self._rest_closes or self.provisional.is_final(row.open_time, latest, now)
            if row.closed and not final and self._may_grow(row, held, latest, now):
                row = structs.replace(row, closed=False)  # noqa: PLW2901  # as it is taken
            self._put(row, fetched=True, final=final)

    def _load_new(self, rows: Sequence[CandleData], latest: Micros, now: Micros) -> Sequence[CandleData]:
        """Process those that are new, but for the last one, which may still change. Return the others, or all if that is impossible."""
        known = next((place for place, row in enumerate(rows) if self.processor.held(row.open_time) is None), len(rows))
        new = rows[known:-1]
        if not self._load(new, len(new) if self._rest_closes else self.provisional.count_final(new, latest, now)):
            return rows
        if any(row.volume > 0.0 for row in new):
            self._traded_at = self.heard
        return [*rows[:known], rows[-1]]

    def _load(self, rows: Sequence[CandleData], final: int) -> bool:
        """Process new closed candles at once if possible, while closed ones wait. Return whether it did."""
        loaded = self.processor.has_shortcut("load") and self.processor.load(rows, final)
        if loaded:
            self._waiting.put(rows)
        return loaded

    def _publish_each(self, updates: Sequence[CandleUpdate]) -> None:
        for each in updates:
            self._publish(each)

    def _may_grow(self, row: CandleData, held: CandleData | None, latest: Micros, now: Micros) -> bool:
        """
        Return whether an answer may be from before the end of a candle that is over by the clock.

        It is not if it has a later candle, nor if the socket has sent no larger volume for this one. After ten minutes it
        counts as final in any case.
        """
        end = self.grid.step(row.open_time)
        heard = self._listening and held is not None and self.processor.heard == row.open_time
        told = heard and held is not None and row.volume >= held.volume
        return latest < end and not told and now < end + PATIENCE

    def _put(self, candle: CandleData, *, fetched: bool = False, final: bool = False) -> None:
        """Process a candle and publish the changes."""
        for each in self._process(candle, fetched=fetched, final=final):
            self._notify(each)

    def _refused(self, verdict: Verdict, candle: CandleData) -> None:
        if verdict.is_reject:
            self.network.log_rejection(f"{self.symbol}: {verdict.value}", candle)
            self.reject(verdict.value, candle)

    def _give_up(self, came: Sequence[Micros], now: Micros) -> None:
        missing = self.processor.missing(now - self.network.adapter.close_delay)
        gone = self.absences.found([each for each in missing if self.processor.held(each) is None], came, now)
        self.processor.absent(gone)
        for opened in gone:
            for gap in self.absences.explain(Span(opened, self.grid.step(opened)), now):
                self._publish(Missing(gap, now))
