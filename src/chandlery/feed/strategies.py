"""Sources of live candles: socket subscriptions or REST polling."""

from __future__ import annotations

import asyncio
import logging
import random as dice
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from chandlery.adapter.live import CandleStream
from chandlery.core.errors import ChandleryError
from chandlery.core.time import SECOND, Micros
from chandlery.feed.backoff import PACE, Pace
from chandlery.feed.connection import Sleep
from chandlery.feed.events import Switched
from chandlery.feed.network import NetworkClient
from chandlery.feed.recovery import Job, Waits, described, isolated, kept_up
from chandlery.feed.sockets import Bundle, poll_interval
from chandlery.feed.stream import LiveStream
from chandlery.net.delays import delays_to

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

FALL_BACK_AFTER = 3
"""Number of consecutive connects without data after which series are polled."""
_AT_ONCE = 16
"""Number of series that are fetched concurrently."""


class NetworkStrategy(ABC):
    """
    Feed series while ``run`` runs, until it is cancelled. Series can be added and removed at any time.

    A subclass implements ``feed``, and may replace ``add``, ``remove`` and ``begin``. ``sleep`` and ``random`` (numbers from 0 to 1) determine its delays.
    """

    def __init__(
        self,
        network: NetworkClient,
        streams: Iterable[LiveStream] = (),
        *,
        sleep: Sleep = asyncio.sleep,
        random: Callable[[], float] = dice.random,
        pace: Pace = PACE,
    ) -> None:
        self.network = network
        self.streams: list[LiveStream] = []
        self.pace = pace
        self._sleep = sleep
        self._random = random
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._tasks: asyncio.TaskGroup | None = None
        self._jobs: dict[LiveStream, asyncio.Task[None]] = {}
        self._not_before: dict[LiveStream, Micros] = {}
        """Earliest time of the next fetch of a series that failed or was still incomplete."""
        self._rests: dict[LiveStream, Waits] = {}
        """Backoff of the series that have failed."""
        self._delays: dict[LiveStream, Iterator[float]] = {}
        for stream in streams:
            self.add(stream)

    @abstractmethod
    async def feed(self, stream: LiveStream) -> None:
        """
        Feed a series: ``fill`` it, then ``refresh`` it, or call its ``take`` with live candles, until it is cancelled.

        It runs once for each series, and again, with backoff, after an exception. A return ends it for good.
        """

    def add(self, stream: LiveStream) -> None:
        """Add a series; if the strategy runs, feed it."""
        self.streams.append(stream)
        if self._tasks is not None:
            self._spawn(stream, partial(self.feed, stream))

    def remove(self, stream: LiveStream) -> None:
        """Stop feeding a series."""
        self._forget(stream)

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to feed the present series; called by ``run``, at whose end ``tasks`` are cancelled."""
        for stream in self.streams:
            self._spawn(stream, partial(self.feed, stream))

    async def run(self) -> None:
        """Feed the series until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                self.begin(tasks)
                await asyncio.Event().wait()
            finally:
                self._tasks = None  # a group that ends accepts no more tasks

    async def fill(self, stream: LiveStream) -> None:
        """Backfill a series with retries. If the exchange refuses it for good, set its ``failure``."""
        stream.resting = False
        for wait_s in self.pace.delays(self._random):
            try:
                with delays_to(partial(self._note_delay, stream)):
                    await stream.heard_within(self.pace.grace_s)
                    if await stream.join():
                        return
                    async with self._gate:
                        await stream.fill()
            except ChandleryError as error:
                self._warn(stream, f"no history: {error}; retrying in {wait_s:.1f} s")
                stream.reject(f"backfill failed: {error}", stream.symbol)
                stream.note_delay(error)
                if stream.failure is not None:
                    return
            else:
                return
            await self._sleep(wait_s)

    async def refresh(self, stream: LiveStream) -> None:
        """Bring a series up to date by REST. If it is still incomplete, schedule a retry."""
        try:
            async with self._gate:
                await stream.refresh()
        except ChandleryError as error:
            self._warn(stream, f"no candles by REST: {error}")
            stream.reject(f"could not be fetched: {error}", stream.symbol)
        now = self.network.guess()
        if stream.overdue(now):
            waits = self._delays.setdefault(stream, self.pace.delays(self._random))
            self._not_before[stream] = now + round(next(waits) * SECOND)
        else:
            self._delays.pop(stream, None)
            self._not_before.pop(stream, None)

    def restart(self, stream: LiveStream, error: Exception) -> None:
        """Restart a series after an internal error, with backoff; the others continue."""
        self._broke(stream, error)
        self._spawn(stream, partial(self._recovered, stream))

    async def _guarded(self, stream: LiveStream, job: Job) -> None:
        """Await a job of a series; restart the series if it fails."""
        try:
            await job()
        except Exception as error:  # noqa: BLE001  # other series continue
            self._broke(stream, error)
            await self._recovered(stream)

    async def _recovered(self, stream: LiveStream) -> None:
        waits = self._rests.setdefault(stream, Waits(self.pace, self._random))
        while True:
            await self._sleep(waits.next_s(asyncio.get_running_loop().time()))
            try:
                await self.feed(stream)
            except Exception as error:  # noqa: BLE001  # other series continue
                self._broke(stream, error)
            else:
                return

    def _broke(self, stream: LiveStream, error: Exception) -> None:
        log.error("%s: %s", self._named(stream), described(error), exc_info=error)
        stream.broke(error)
        stream.note_delay(error)

    def _note_delay(self, stream: LiveStream, error: ChandleryError) -> None:
        """Record an error that delays the history request of a series."""
        self._warn(stream, f"the history is delayed: {error}")
        stream.note_delay(error, may_fail=False)

    def _warn(self, stream: LiveStream, text: str) -> None:
        log.warning("%s: %s", self._named(stream), text)

    def _named(self, stream: LiveStream) -> str:
        return f"{self.network.adapter.id} {stream.symbol} {stream.interval.value}"

    def _kept_up(self, run: Job, name: str) -> Coroutine[Any, Any, None]:
        waits = Waits(self.pace, self._random)
        return kept_up(run, name=f"{self.network.adapter.id}: {name}", waits=waits, sleep=self._sleep)

    def _spawn(self, stream: LiveStream, job: Job) -> None:
        """Run a job of a series in the background; it replaces the running one."""
        self._cancel(stream)
        if self._tasks is None:
            return
        task = self._jobs[stream] = self._tasks.create_task(self._guarded(stream, job))
        task.add_done_callback(lambda done: self._jobs.get(stream) is done and self._jobs.pop(stream))

    def _cancel(self, stream: LiveStream) -> None:
        if (job := self._jobs.pop(stream, None)) is not None:
            job.cancel()

    def _forget(self, stream: LiveStream) -> None:
        self.streams.remove(stream)
        self._cancel(stream)
        self._not_before.pop(stream, None)
        self._delays.pop(stream, None)
        self._rests.pop(stream, None)


class RESTPollingStrategy(NetworkStrategy):
    """
    Poll by REST after each close, plus the exchange's publication delay.

    Series of more than a minute are also polled once a minute for their running candle.
    """

    async def feed(self, stream: LiveStream) -> None:
        """Backfill it once, then poll after each close."""
        await self.fill(stream)
        while stream.failure is None:
            now = self.network.guess()
            await self._sleep(max(self._next(stream, now) - now, 0) / SECOND)
            await self.refresh(stream)

    def _next(self, stream: LiveStream, now: Micros) -> Micros:
        """Return the time of its next poll: after a close, or earlier if the last answer was incomplete."""
        every = poll_interval(stream.interval)
        delay = self.network.adapter.close_delay
        at = every.step(every.floor(now - delay)) + delay
        return min(at, self._not_before.get(stream, at))


class WebSocketStrategy(NetworkStrategy):
    """
    Subscribe by socket, on as few connections as the exchange allows, and fetch what the sockets omit.

    With ``fall_back``, series whose connection delivers no data are polled until it does again.
    """

    def __init__(
        self,
        network: NetworkClient,
        streams: Iterable[LiveStream] = (),
        *,
        sleep: Sleep = asyncio.sleep,
        random: Callable[[], float] = dice.random,
        pace: Pace = PACE,
        fall_back: bool = False,
    ) -> None:
        self.fall_back = fall_back
        self.bundles: list[Bundle] = []
        self._held: dict[Bundle, asyncio.Task[None]] = {}
        super().__init__(network, streams, sleep=sleep, random=random, pace=pace)

    def add(self, stream: LiveStream) -> None:
        """Subscribe to it, on a connection that has room."""
        self.streams.append(stream)
        bundle = next((each for each in self.bundles if each.has_room(stream)), None)
        if bundle is None:
            bundle = Bundle(self.network, self, sleep=self._sleep, random=self._random, pace=self.pace)
            self.bundles.append(bundle)
            bundle.add(stream)
            if self._tasks is not None:
                self._hold(bundle, self._tasks)
        else:
            items = bundle.add(stream)
            if self._tasks is not None:
                self._spawn(stream, partial(self._join, bundle, stream, items))

    def remove(self, stream: LiveStream) -> None:
        """Unsubscribe; close the connection if it has no series left."""
        bundle = next(each for each in self.bundles if stream in each.streams)
        items = bundle.remove(stream)
        self._forget(stream)
        if not bundle.streams:
            self.bundles.remove(bundle)
            if (task := self._held.pop(bundle, None)) is not None:
                task.cancel()
        elif items and self._tasks is not None:
            name = f"{self._named(stream)}: unsubscribing"
            self._tasks.create_task(isolated(partial(self._notify, bundle.connection.leave, items), name=name))

    def start_filling(self, stream: LiveStream) -> None:
        """Start a backfill in the background; restart it if one is running."""
        self._spawn(stream, partial(self.fill, stream))

    def keep_filling(self, stream: LiveStream) -> None:
        """Start a backfill unless a job of the series is running."""
        if stream not in self._jobs:
            self.start_filling(stream)

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Open the connections."""
        for bundle in self.bundles:
            self._hold(bundle, tasks)

    def _hold(self, bundle: Bundle, tasks: asyncio.TaskGroup) -> None:
        self._held[bundle] = tasks.create_task(self._keep(bundle))

    async def feed(self, stream: LiveStream) -> None:
        """Backfill it; its connection does the rest."""
        await self.fill(stream)

    async def _keep(self, bundle: Bundle) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._kept_up(bundle.connection.run, "a connection"))
            tasks.create_task(self._kept_up(partial(self._watch, bundle), "the watchdog of a connection"))

    async def _join(self, bundle: Bundle, stream: LiveStream, items: Sequence[CandleStream]) -> None:
        await self._notify(bundle.connection.join, items)
        await self.fill(stream)

    async def _notify(
        self, send: Callable[[Sequence[CandleStream]], Awaitable[None]], items: Sequence[CandleStream]
    ) -> None:
        try:
            await send(items)
        except ChandleryError as error:
            log.warning(
                "%s: could not change subscriptions: %s; the next connection will", self.network.adapter.id, error
            )

    async def _watch(self, bundle: Bundle) -> None:
        while True:
            await self._sleep(self.pace.watch_every_s)
            self._look_after(bundle)

    def _look_after(self, bundle: Bundle) -> None:
        """Fetch overdue candles, check silent series by REST, and switch between polling and sockets."""
        now = self.network.guess()
        if self.fall_back and bundle.polling != (bundle.connection.failures >= FALL_BACK_AFTER):
            bundle.polling = not bundle.polling
            bundle.say(Switched("polling" if bundle.polling else "websocket"))
        for stream in bundle.streams:
            if stream in self._jobs:
                continue
            try:
                if bundle.is_silent(stream):
                    self._spawn(stream, partial(self._look_into, bundle, stream))
                elif self._is_late(bundle, stream, now):
                    self._spawn(stream, partial(self.refresh, stream))
            except Exception as error:  # noqa: BLE001  # other series are still watched
                self.restart(stream, error)

    async def _look_into(self, bundle: Bundle, stream: LiveStream) -> None:
        """Check a silent series by REST. Reconnect if there were trades that the socket did not send."""
        await self.refresh(stream)
        if stream.is_unheard:
            await self._sleep(self.pace.grace_s)
            if stream.is_unheard:
                bundle.give_up(stream)

    def _is_late(self, bundle: Bundle, stream: LiveStream, now: Micros) -> bool:
        polled = bundle.is_polled(stream)
        if polled and bundle.is_poll_due(stream, now):
            return True
        if self._not_before.get(stream, now) > now:
            return False
        if not (stream.filled or polled):
            return False
        return stream.overdue(now - round(self.pace.grace_s * SECOND))
