"""One live series of one exchange: what comes by socket and what is fetched, made into one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.live import CandleStream
from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.holes import Life, explain
from chandlery.core.interval import Grid, Interval
from chandlery.core.time import Micros
from chandlery.feed.beginning import Beginning
from chandlery.feed.combine import Combiner
from chandlery.feed.events import Backfilled, CandleUpdate, Event, Failed, Missing, Rejected, Restated
from chandlery.feed.network import NetworkClient
from chandlery.feed.recovery import described
from chandlery.feed.series import DataProcessor, Verdict

_SHOWN = 200
"""How much of a payload an event shows."""
_ASK_TWICE = 2


class LiveStream(Beginning):
    """
    The candles of a symbol and an interval, kept whole.

    What comes by socket waits while ``fill`` fetches what came before it, so that ``publish`` is told
    of candles in order. ``live`` is the stream of the exchange that feeds it, ``None`` where only
    polling does; one of a finer interval is combined. ``on_begun`` is called when it has been filled
    for the first time, or never will be.
    """

    def __init__(
        self,
        network: NetworkClient,
        symbol: str,
        interval: Interval,
        *,
        max_records: int,
        publish: Callable[[CandleUpdate], None],
        on_begun: Callable[[], object],
    ) -> None:
        super().__init__(on_begun)
        adapter = network.adapter
        self.network = network
        self.symbol = symbol
        self.interval = interval
        self.grid = adapter.grid(interval)
        self.live = live_stream(adapter, symbol, interval)
        own = self.live is not None and self.live.interval is interval
        self.processor = DataProcessor(
            self.grid,
            max_records,
            next_closes=own and not adapter.live_closes,
            clock=network.guess,
            on_refused=self._refused,
        )
        self.processor.on_followed = publish
        self._process = self.processor.process
        self.follow = self.processor.follow if own else None
        """Takes nearly every candle faster than ``take``, to the same end; it says which."""
        self.filled = False
        """Whether nothing lies between what was fetched and what a socket sends."""
        self.failures = 0
        """How often handling it raised an error that is none of the exchange's."""
        self.resting = False
        """Whether it failed and takes no candle until it begins anew."""
        self._taken = 0
        self._publish = publish
        self._listening = False
        self._waiting: dict[Micros, CandleData] = {}
        self._asked: dict[Micros, int] = {}
        self._combiner = None if self.live is None or own else Combiner(self.grid)
        self._to_settle: dict[Micros, Micros] = {}
        self._settles_at: Micros | None = None
        self._traded_at = -1

    def take(self, candle: CandleData) -> None:
        """A candle of ``live`` from a socket."""
        if self.follow is not None and self.follow(candle):
            return
        self._taken += 1
        if self._combiner is not None:
            combined = self._combiner.add(candle)
            if combined is None:
                return
            candle = combined
        if self.filled:
            for each in self._process(candle):
                self._publish(each)
                if each.closed:
                    self._closed(each)
        else:
            self._wait(candle)

    def up(self) -> None:
        """A socket sends it from now on."""
        self._listening = True

    def lost(self) -> None:
        """The socket is gone: from now on candles wait until the hole is filled."""
        self.filled = self._listening = False
        self._waiting.clear()
        self._traded_at = -1
        self.processor.interrupted()

    @property
    def heard(self) -> int:
        """How many candles of it a socket has sent."""
        return self._taken + self.processor.followed

    @property
    def is_unheard(self) -> bool:
        """Whether there was trade, by what was fetched, of which the socket has told nothing since."""
        return self._traded_at == self.heard

    async def fill(self) -> None:
        """Fetch everything from the last final candle on, then let in what came meanwhile."""
        span = self.processor.resume(await self.network.now())
        await self._prepare(span)
        rows = await self.network.candles(self.symbol, self.interval, span)
        self._let_in(rows)
        self._traded_at = -1  # what was fetched here, no socket had to tell
        if rows:
            self._publish(Backfilled(span))
        if self._listening:
            self.filled = True
            waiting, self._waiting = self._waiting, {}
            for opened in sorted(waiting):
                self._put(waiting[opened], fetched=False)
        self._begin()

    async def refresh(self) -> bool:
        """
        Fetch what is not final although it should be, and the running candle; whether there was news.

        A candle that the exchange does not have, although asked twice and long enough after its
        close, is taken to be none.
        """
        now = await self.network.now()
        span = self.processor.resume(now)
        rows = await self.network.candles(self.symbol, self.interval, span)
        news = self._let_in(rows)
        self._give_up([row.open_time for row in rows], now)
        await self._settle(now)
        return news

    def broke(self, error: Exception) -> None:
        """Rest until it is filled anew, since handling it raised an error that is none of the exchange's."""
        self.failures += 1
        self.resting = True
        listening = self._listening
        self.lost()
        self._listening = listening
        self._publish(Failed(described(error), self.failures))

    def overdue(self, now: Micros) -> bool:
        """Whether there are candles that should be final by now and are not."""
        return bool(self.processor.missing(now - self.network.adapter.close_delay))

    def is_settling_due(self, now: Micros) -> bool:
        """Whether a candle is to be read a second time."""
        return self._settles_at is not None and self._settles_at <= now

    def reject(self, reason: str, payload: object) -> None:
        """Say that something was not taken."""
        self._publish(Rejected(reason, str(payload)[:_SHOWN]))

    def say(self, event: Event) -> None:
        """Tell an event."""
        self._publish(event)

    async def _prepare(self, span: Span) -> None:
        """Fetch the finer candles of which the running one consists so far."""
        if self._combiner is None or self.live is None:
            return
        running = Span(self.grid.step(span.end, -1), span.end)
        for each in await self.network.candles(self.symbol, self.live.interval, running):
            combined = self._combiner.add(each)
            if combined is not None:
                self._wait(combined)

    def _wait(self, candle: CandleData) -> None:
        held = self._waiting.get(candle.open_time)
        if held is None or candle.closed or (not held.closed and candle.volume >= held.volume):
            self._waiting[candle.open_time] = candle
            if len(self._waiting) > self.processor.max_records:
                del self._waiting[min(self._waiting)]

    def _let_in(self, rows: Sequence[CandleData]) -> bool:
        """Take fetched candles; whether any was news. The next candle closes none of them: what is fetched says it."""
        news = False
        for row in rows:
            held = self.processor.held(row.open_time)
            if row.volume > (0.0 if held is None else held.volume):
                self._traded_at = self.heard
            news = self._put(row, fetched=True) or news
        return news

    def _put(self, candle: CandleData, *, fetched: bool) -> bool:
        """Take a candle and tell of what has changed by it; whether anything has."""
        changed = self.processor.process(candle, fetched=fetched)
        for each in changed:
            self._publish(each)
            if each.closed:
                self._closed(each)
        return bool(changed)

    def _refused(self, verdict: Verdict, candle: CandleData) -> None:
        if verdict.is_reject:
            self.reject(verdict.value, candle)
        elif verdict is Verdict.OUTDATED and self.processor.next_closes:
            held = self.processor.held(candle.open_time)
            if held is not None and held.closed and candle.volume > held.volume:
                # The next candle overtook this one, and closed what was not complete.
                self._settle_at(candle.open_time, self.network.guess())

    def _closed(self, candle: CandleData) -> None:
        adapter = self.network.adapter
        if adapter.revises:
            at = self.grid.step(candle.open_time) + adapter.settle
            if at > self.network.guess():
                self._settle_at(candle.open_time, at)

    def _settle_at(self, opened: Micros, at: Micros) -> None:
        self._to_settle[opened] = at
        self._settles_at = min(self._to_settle.values())

    async def _settle(self, now: Micros) -> None:
        """Read a second time the candles that may have changed since their close."""
        due = sorted(opened for opened, at in self._to_settle.items() if at <= now)
        if not due:
            return
        span = Span(due[0], self.grid.step(due[-1]))
        for row in await self.network.candles(self.symbol, self.interval, span):
            if row.open_time in self._to_settle and (before := self.processor.restate(row)) is not None:
                self._publish(Restated(before, row))
        for opened in due:
            del self._to_settle[opened]
        self._settles_at = min(self._to_settle.values(), default=None)

    def _give_up(self, came: Sequence[Micros], now: Micros) -> None:
        adapter = self.network.adapter
        gone = []
        missing = self.processor.missing(now - adapter.close_delay)
        for opened in missing:
            if self.processor.held(opened) is not None:
                continue
            asked = self._asked[opened] = self._asked.get(opened, 0) + 1
            passed_over = not adapter.sends_empty_candles and bool(came) and came[-1] > opened
            late = now - self.grid.step(opened) >= adapter.settle
            if asked >= _ASK_TWICE and (late or passed_over):
                gone.append(opened)
        self.processor.absent(gone)
        for opened in gone:
            hole = Span(opened, self.grid.step(opened))
            gaps = explain(
                hole,
                self.grid,
                Life(),
                proof="requested twice, the exchange sent no candle",
                sends_empty=adapter.sends_empty_candles,
                followed=True,
                now=now,
                settle=adapter.settle,
            )
            for gap in gaps:
                self._publish(Missing(gap, now))
        self._asked = {
            opened: self._asked[opened] for opened in missing if opened in self._asked and opened not in gone
        }


def live_stream(adapter: ExchangeAdapter, symbol: str, interval: Interval) -> CandleStream | None:
    """The stream for an interval: its own, else the longest of which it consists exactly; ``None`` where none is sent."""
    sent = adapter.live_intervals
    if interval in sent:
        return CandleStream(symbol, interval)
    grid = adapter.grid(interval)
    finer = [each for each in sent if each is not interval and consists(grid, adapter.grid(each))]
    return CandleStream(symbol, max(finer, key=lambda each: each.longest)) if finer else None


def consists(interval: Grid, finer: Grid) -> bool:
    """Whether every candle of ``interval`` is made up of whole ones of ``finer``."""
    if finer.micros is None or finer is interval:
        return False
    if interval.micros is None:
        return finer.micros <= Interval.DAY_1.longest and Interval.DAY_1.longest % finer.micros == 0
    return interval.micros % finer.micros == 0 and (interval.anchor - finer.anchor) % finer.micros == 0
