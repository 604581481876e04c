"""Series that share a connection."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from msgspec.structs import force_setattr

from chandlery.adapter.live import CandleStream, Channel, LiveCandle
from chandlery.core.candle import CandleData
from chandlery.core.errors import ChandleryError
from chandlery.core.http import Shortcut
from chandlery.core.interval import Interval
from chandlery.core.time import Micros
from chandlery.feed.backoff import PACE, Pace
from chandlery.feed.connection import Sleep
from chandlery.feed.events import Connected, Event, Reconnecting
from chandlery.feed.network import NetworkClient
from chandlery.feed.reconnect import PersistentConnection
from chandlery.feed.recovery import described, named_in
from chandlery.feed.stream import LiveStream
from chandlery.feed.watchdog import Watchdog
from chandlery.net.clock import nanoseconds

_MOST_DOUBLINGS = 5
_SHOWN = 200


class Filler(Protocol):
    """The background backfill of series."""

    fall_back: bool
    """True if series are polled while no connection is available."""

    def start_filling(self, stream: LiveStream) -> None:
        """Start a backfill; restart it if one is running."""
        ...

    def keep_filling(self, stream: LiveStream) -> None:
        """Start a backfill unless one is running."""
        ...

    def restart(self, stream: LiveStream, error: Exception) -> None:
        """Restart the series after an internal error."""
        ...


class Bundle:
    """The series of one connection, and the listener of the connection."""

    def __init__(
        self,
        network: NetworkClient,
        filler: Filler,
        *,
        sleep: Sleep,
        random: Callable[[], float],
        pace: Pace = PACE,
    ) -> None:
        self.streams: list[LiveStream] = []
        self.connection = PersistentConnection(network, Channel.CANDLES, self, sleep=sleep, random=random, pace=pace)
        self.polling = False
        """True while the series are polled because the connection delivers no data."""
        self.unclaimed = 0
        """Number of candles of symbols that no series wants."""
        self._adapter = network.adapter
        self._live_rows = network.adapter.live_rows
        self._clock = nanoseconds(network.clock)
        self._filler = filler
        self._pace = pace
        self._users: Counter[tuple[str, Interval]] = Counter()
        self._sinks: dict[str, list[tuple[Interval, LiveStream]]] = {}
        self._sole: dict[str, tuple[Interval, Callable[[CandleData], bool]]] = {}
        """For symbols with a single series: its fast path."""
        self._watchdogs: dict[LiveStream, Watchdog] = {}
        self._polled: dict[LiveStream, Micros] = {}
        self._deaf: dict[LiveStream, tuple[int, int]] = {}
        """Reconnects forced by silence, per stream, and its message count at that time."""

    def subscriptions(self) -> list[CandleStream]:
        """Return the streams to subscribe to."""
        return [CandleStream(*key) for key in self._users]

    def wants(self, item: CandleStream) -> bool:
        """Return whether a series needs it."""
        return (item.symbol, item.interval) in self._users

    def messages(self, items: Sequence[CandleStream], *, leave: bool = False) -> Sequence[str]:
        """Return the messages in the exchange's format."""
        return self._adapter.subscribe(items, leave=leave)

    def symbol_of(self, item: CandleStream) -> str:
        """Return its symbol."""
        return item.symbol

    def heard(self, item: CandleStream) -> int:
        """Return the number of its candles so far."""
        return sum(stream.heard for stream in self._of(item))

    def found(self, message: bytes) -> Iterable[CandleStream]:
        """Return the streams that a message has candles of."""
        return (CandleStream(row.symbol, row.interval) for row in self._live_rows(message))

    def _of(self, item: CandleStream) -> list[LiveStream]:
        return [stream for interval, stream in self._sinks.get(item.symbol, ()) if interval is item.interval]

    def has_room(self, stream: LiveStream) -> bool:
        """Return whether the exchange allows one more on the connection."""
        symbol, interval = _key(stream)
        rules = self._adapter.socket
        if (symbol, interval) in self._users:
            return True
        taken = rules.one_interval and any(known == symbol for known, _ in self._users)
        return len(self._users) < rules.streams and not taken

    def add(self, stream: LiveStream) -> Sequence[CandleStream]:
        """Add a series. Return the new subscription; empty if the connection has it already."""
        symbol, interval = _key(stream)
        self._users[symbol, interval] += 1
        # New lists, since a callback may add or remove series during iteration.
        self.streams = [*self.streams, stream]
        self._direct(symbol, [*self._sinks.get(symbol, ()), (interval, stream)])
        if self.connection.connected:
            self._listen(stream)
        return [] if self._users[symbol, interval] > 1 else [CandleStream(symbol, interval)]

    def remove(self, stream: LiveStream) -> Sequence[CandleStream]:
        """Remove a series. Return the subscription to end; empty if another series needs it."""
        symbol, interval = _key(stream)
        self.streams = [each for each in self.streams if each is not stream]
        self._direct(symbol, [sink for sink in self._sinks[symbol] if sink[1] is not stream])
        self._watchdogs.pop(stream, None)
        self._polled.pop(stream, None)
        self._deaf.pop(stream, None)
        stream.lost()
        self._users[symbol, interval] -= 1
        if self._users[symbol, interval]:
            return []
        del self._users[symbol, interval]
        return [CandleStream(symbol, interval)]

    def on_up(self, attempt: int) -> None:
        """Backfill what was missed. Nothing was if the new connection replaces an old one."""
        self.say(Connected(attempt))
        for stream in self.streams:
            self._listen(stream)
            if not stream.filled:
                self._filler.start_filling(stream)

    def on_down(self, error: Exception) -> None:
        """Note that the next candles follow a hole. Series without a history are filled without waiting for a connection."""
        for stream in self.streams:
            stream.lost()
            stream.note_delay(error, may_fail=not self._filler.fall_back)
            if not stream.began:
                self._filler.keep_filling(stream)
        self.say(Reconnecting(described(error)))

    def on_message(self, message: bytes) -> bool:
        """Pass each candle to its series."""
        rows = self._live_rows(message)
        received_at = self._clock() // 1000
        for place, row in enumerate(rows):
            sinks = self._sinks.get(row.symbol)
            if sinks is None:
                self.unclaimed += 1
                continue
            force_setattr(row.candle, "received_at", received_at)  # nothing else refers to it yet; avoids a copy
            for interval, stream in sinks:
                if interval is row.interval and not stream.resting:
                    try:
                        if stream.filled or not _is_followed(rows, place):
                            stream.take(row.candle)
                        else:
                            stream.take_past(row.candle)
                    except Exception as error:  # noqa: BLE001  # other series continue
                        self._filler.restart(stream, error)
        return bool(rows)

    def shortcut(self) -> Shortcut | None:
        """Return the adapter's shortcut for symbols with a single series."""
        return self._adapter.live_shortcut(self._sole, self._clock)

    def on_aside(self, item: CandleStream, error: ChandleryError) -> None:
        """Note that the socket sends nothing for now; REST fills the hole."""
        for stream in self._of(item):
            self._watchdogs.pop(stream, None)
            stream.lost()
            stream.note_delay(error, may_fail=False)

    def on_refused(self, item: CandleStream, error: ChandleryError) -> None:
        """Publish the refusal. Without polling, a series that has not begun fails."""
        for stream in self._of(item):
            stream.reject(f"refused: {error}", item.symbol)
            stream.note_delay(error, may_fail=not self._filler.fall_back)

    def on_taken(self, item: CandleStream) -> None:
        """Backfill what was missed."""
        for stream in self._of(item):
            if self.connection.connected:
                self._listen(stream)
            self._filler.start_filling(stream)

    def on_rejected(self, error: ChandleryError, message: bytes) -> None:
        """Publish it to the series that it may concern."""
        for stream in self._meant(message):
            stream.reject(str(error), message[:_SHOWN])
            stream.note_delay(error, may_fail=False)

    def on_delay(self, error: ChandleryError) -> None:
        """Record an error that delays the connection."""
        for stream in self.streams:
            stream.note_delay(error, may_fail=False)

    def on_failed(self, error: Exception, message: bytes) -> None:
        """Restart the series that the message names. If it names none, REST fills the hole."""
        meant = self._meant(message)
        for stream in meant:
            if len({each.symbol for each in meant}) == 1:
                self._filler.restart(stream, error)
            else:
                stream.reject(described(error), message[:_SHOWN])

    def _meant(self, message: bytes) -> list[LiveStream]:
        """Return the series of the symbol that a message names; all if it names none or several."""
        symbol = named_in(message, self._sinks)
        return self.streams if symbol is None else [stream for _, stream in self._sinks[symbol]]

    def is_silent(self, stream: LiveStream) -> bool:
        """Return whether it has been quiet for much longer than usual."""
        watchdog = self._watchdogs.get(stream)
        if watchdog is None or not self.connection.connected:
            return False
        return watchdog.is_silent(stream.heard, asyncio.get_running_loop().time())

    def give_up(self, stream: LiveStream) -> None:
        """Force a reconnect, since this connection misses its updates. Allow a longer silence next time."""
        self._deaf[stream] = (self._times_deaf(stream) + 1, stream.heard)
        self.connection.kick(f"no data of {stream.symbol} although REST has updates")

    def is_polled(self, stream: LiveStream) -> bool:
        """Return whether it must be polled because no connection delivers it."""
        return self.polling or self.connection.is_aside(CandleStream(*_key(stream)))

    def is_poll_due(self, stream: LiveStream, now: Micros) -> bool:
        """Return whether a minute, or its interval if shorter, has passed since its last poll."""
        turn = poll_interval(stream.interval).floor(now - self._adapter.close_delay)
        if self._polled.get(stream) == turn:
            return False
        self._polled[stream] = turn
        return True

    def say(self, event: Event) -> None:
        """Publish an event to all series."""
        for stream in self.streams:
            stream.say(event)

    def _direct(self, symbol: str, sinks: list[tuple[Interval, LiveStream]]) -> None:
        """Route the candles of a symbol to these series."""
        self._sinks.pop(symbol, None)
        self._sole.pop(symbol, None)
        if sinks:
            self._sinks[symbol] = sinks
        if len(sinks) == 1:
            interval, stream = sinks[0]
            if stream.follow is not None:
                self._sole[symbol] = interval, stream.follow

    def _listen(self, stream: LiveStream) -> None:
        if self.connection.is_aside(CandleStream(*_key(stream))):
            return
        stream.up()
        quiet_s = self._pace.quiet_s * 2 ** min(self._times_deaf(stream), _MOST_DOUBLINGS)
        self._watchdogs[stream] = Watchdog(asyncio.get_running_loop().time(), stream.heard, quiet_s=quiet_s)

    def _times_deaf(self, stream: LiveStream) -> int:
        times, heard = self._deaf.get(stream, (0, -1))
        return times if heard == stream.heard else 0


def poll_interval(interval: Interval) -> Interval:
    """Return the interval at whose ends a series is polled: a minute, for its running candle, or its own if shorter."""
    return min(interval, Interval.MINUTE_1, key=lambda each: each.longest)


def _is_followed(rows: Sequence[LiveCandle], place: int) -> bool:
    """Return whether the next row of a message is a later candle of the same series."""
    if place + 1 == len(rows):
        return False
    row, after = rows[place], rows[place + 1]
    return (
        row.symbol == after.symbol and row.interval is after.interval and row.candle.open_time < after.candle.open_time
    )


def _key(stream: LiveStream) -> tuple[str, Interval]:
    assert stream.live is not None  # noqa: S101  # series without a stream are polled
    return stream.live.symbol, stream.live.interval
