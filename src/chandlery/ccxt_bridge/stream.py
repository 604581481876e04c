"""Streams through ccxt: watched or polled, with closed candles from REST."""

from __future__ import annotations

import asyncio
import random as dice
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from math import inf
from typing import Any, Protocol

from msgspec import structs

from chandlery.ccxt_bridge.history import ROW
from chandlery.clients.interfaces import EventCallback
from chandlery.clients.rows import Row, row_of_candle, rows_of_table
from chandlery.clients.streaming import BookAges, Callback, deliver
from chandlery.core.candle import CandleData
from chandlery.core.errors import ChandleryError, MalformedResponse
from chandlery.core.gaps import Gap, Span
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND, Clock, Micros, Unit
from chandlery.feed.backoff import Pace
from chandlery.feed.events import Backfilled, Connected, Event, Missing, Reconnecting, Rejected
from chandlery.feed.seam import Seam
from chandlery.tables.part import Part

POLL_S = 2.0
"""Polling interval in seconds for what ccxt cannot watch."""
CLOSE_DELAY: Micros = SECOND
"""Delay after its close before a candle is fetched."""
SETTLE: Micros = MINUTE
"""Maximum delay of a closed candle; later, a missing one counts as a period without trades."""
_SHOWN = 200


class Exchange(Protocol):
    """Interface of the client as used by a loop."""

    @property
    def exchange(self) -> Any:
        """Exchange object of ccxt."""
        ...

    def get_exchange_name(self) -> str:
        """Return ccxt's id of the exchange."""
        ...

    async def call(self, method: str, *args: Any, retries: int = 0, **kwargs: Any) -> Any:
        """Call a method of ccxt."""
        ...

    async def now(self) -> Micros:
        """Return the exchange's time."""
        ...

    def guess(self) -> Micros:
        """Return the exchange's time, estimated from its last response."""
        ...

    @property
    def clock(self) -> Clock:
        """Local clock."""
        ...

    async def past_candles(self, symbol: str, interval: Interval, span: Span) -> tuple[Part, ChandleryError | None]:
        """Return the closed candles of a symbol, gaps with evidence, and the first error."""
        ...


class _Loop(ABC):
    """Loop that publishes updates, with exponential backoff after temporary failures; any other error ends it."""

    def __init__(
        self, client: Exchange, symbol: str, coin: str, callback: Callback, on_event: EventCallback | None, pace: Pace
    ) -> None:
        self._client = client
        self._symbol = symbol
        self._coin = coin
        self._callback = callback
        self._on_event = on_event
        self._pace = pace
        self.begun = asyncio.Event()
        """Set with the first update."""
        self._attempt = 0
        self._up = False

    @abstractmethod
    async def _news(self) -> Any:
        """Return the next update."""

    @abstractmethod
    async def _notify(self, news: Any) -> None:
        """Publish an update; ``None`` if a deadline passed without one."""

    def _due_in_s(self) -> float | None:
        """Return the seconds until work is due without an update."""
        return None

    async def run(self) -> None:
        """Publish updates until cancelled."""
        delays: Iterator[float] = self._pace.delays(dice.random)
        waiting: asyncio.Task[Any] | None = None
        try:
            while True:
                try:
                    waiting = waiting or asyncio.create_task(self._news())
                    done, _ = await asyncio.wait({waiting}, timeout=self._due_in_s())
                    news, waiting = (waiting.result(), None) if done else (None, waiting)
                    if done and not self._up:
                        self._attempt += 1
                        self._up = True
                        self._say(Connected(self._attempt))
                    await self._notify(news)
                    if done:
                        self.begun.set()
                        delays = self._pace.delays(dice.random)
                except ChandleryError as error:
                    waiting = None if waiting is not None and waiting.done() else waiting
                    if not error.retryable:
                        raise
                    if self._up:
                        self._up = False
                        self._say(Reconnecting(str(error)))
                    await asyncio.sleep(next(delays))
        finally:
            if waiting is not None:
                waiting.cancel()
                await asyncio.wait({waiting})

    def _say(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(self._coin, event)


class CandleLoop(_Loop):
    """
    Candles of one symbol.

    Closed candles are fetched after their close, starting after the last published one. Missed ones are therefore
    backfilled the same way, and the last seen update is never taken for the final one.
    """

    def __init__(
        self,
        client: Exchange,
        symbol: str,
        interval: Interval,
        coin: str,
        callback: Callback,
        on_event: EventCallback | None,
        pace: Pace,
    ) -> None:
        super().__init__(client, symbol, coin, callback, on_event, pace)
        self._interval = interval
        self._seam: Seam[Row] = Seam(interval, most=0)
        """The seam between the closed candles, which are fetched, and the running one."""
        self._not_before: Micros = 0
        """Time before which the exchange is not asked again for a candle that it did not have."""

    async def _news(self) -> Any:
        if self._client.exchange.has.get("watchOHLCV"):
            return await self._client.call("watch_ohlcv", self._symbol, self._interval.value, retries=0)
        if self._seam.expected is not None:
            await asyncio.sleep(POLL_S)
        return await self._client.call("fetch_ohlcv", self._symbol, self._interval.value, limit=3)

    def _due_in_s(self) -> float | None:
        if self._seam.expected is None:
            return None
        due = max(self._interval.step(self._seam.expected) + CLOSE_DELAY, self._not_before)
        return max(0.0, (due - self._client.guess()) / SECOND)

    async def _notify(self, news: Any) -> None:
        if self._seam.expected is None:
            self._seam.past(self._interval.floor(await self._client.now()))
        if self._due_in_s() == 0.0:
            await self._notify_closed()
        if news:
            running = self._read(news[-1], self._client.clock())
            row = row_of_candle(running, self._client.get_exchange_name(), self._symbol, self._interval)
            await self._deliver(self._seam.running(running.open_time, row))

    async def _notify_closed(self) -> None:
        """Fetch and publish closed candles; stop before one that may only be late."""
        assert self._seam.expected is not None  # noqa: S101  # the caller has set it
        now = await self._client.now() - CLOSE_DELAY
        span = Span(self._seam.expected, self._interval.floor(now))
        if not span:
            return
        result, failure = await self._client.past_candles(self._symbol, self._interval, span)
        received_at = Unit.MILLIS.of(self._client.clock())
        if failure is not None:
            raise failure
        late = next((gap for gap in sorted(result.gaps) if gap.end > now - SETTLE), None)
        until = span.end if late is None else late.start
        self._not_before = self._client.guess() + SECOND
        name = self._client.get_exchange_name()
        rows = rows_of_table(result.table, name, self._symbol, self._interval, counts=False) if result.table else []
        told = [{**row, "received_at": received_at} for row in rows if row["timestamp"] * 1000 < until]
        for gap in sorted(result.gaps):
            if gap.end <= until:
                self._say(Missing(Gap(gap.start, gap.end, gap.kind, gap.evidence), now))
        if self._interval.count(span.start, until) > 1:
            self._say(Backfilled(Span(span.start, until)))
        await self._deliver(told)
        await self._deliver(self._seam.past(until))

    async def _deliver(self, rows: Iterable[Row]) -> None:
        for row in rows:
            await deliver(self._callback, self._coin, row)

    def _read(self, row: Any, received_at: Micros) -> CandleData:
        try:
            return structs.replace(ROW.candle(tuple(row[:6])), received_at=received_at)
        except (TypeError, ValueError, IndexError) as error:
            raise MalformedResponse(f"{self._symbol}: a row that is not a candle: {error}") from error


class BookLoop(_Loop):
    """Order book of one symbol, complete in each update; a crossed one is refused."""

    def __init__(
        self,
        client: Exchange,
        symbol: str,
        depth: int | None,
        coin: str,
        callback: Callback,
        on_event: EventCallback | None,
        pace: Pace,
    ) -> None:
        super().__init__(client, symbol, coin, callback, on_event, pace)
        self._depth = depth
        self._latest: Any = None
        """Book as ccxt holds it."""
        self._received_at: Micros = 0

    async def _news(self) -> Any:
        if self._client.exchange.has.get("watchOrderBook"):
            return await self._client.call("watch_order_book", self._symbol, retries=0)
        if self.begun.is_set():
            await asyncio.sleep(POLL_S)
        return await self._client.call("fetch_order_book", self._symbol)

    def book(self, levels: int | None) -> Row | None:
        """Return the latest book, with ``levels`` per side or all; ``None`` while disconnected, or if it is crossed."""
        if self._latest is None or not self._up:
            return None
        entry = self._entry(self._latest, levels)
        return None if _is_crossed(entry) else entry

    def ages(self) -> BookAges | None:
        """Return the age of the latest book; ccxt reports no heartbeats."""
        if self._latest is None or not self._up:
            return None
        age = self._client.clock() - self._received_at
        return BookAges(age / SECOND if age >= 0 else inf)

    async def _notify(self, news: Any) -> None:
        self._latest, self._received_at = news, self._client.clock()
        entry = self._entry(news, self._depth)
        if _is_crossed(entry):
            self._say(Rejected("crossed", str((entry["bids"][0], entry["asks"][0]))[:_SHOWN]))
            return
        await deliver(self._callback, self._coin, entry)

    def _entry(self, news: Any, depth: int | None) -> Row:
        """Copy the book, since ccxt changes it in place."""
        bids, asks = ([tuple(level[:2]) for level in news[side][:depth]] for side in ("bids", "asks"))
        return {
            "exchange": self._client.get_exchange_name(),
            "symbol": self._symbol,
            "timestamp": news.get("timestamp"),
            "received_at": Unit.MILLIS.of(self._received_at),
            "sequence": news.get("nonce"),
            "bids": bids,
            "asks": asks,
        }


def _is_crossed(entry: Row) -> bool:
    bids, asks = entry["bids"], entry["asks"]
    return bool(bids and asks and bids[0][0] >= asks[0][0])
