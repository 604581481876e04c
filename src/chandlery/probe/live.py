"""Measurements over WebSockets: connection, close and correction of candles, and consistency of books."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from msgspec import Struct

from chandlery.adapter.books import BookRule, BookSync, Outcome, SnapshotSource
from chandlery.adapter.layout import CandleColumns
from chandlery.adapter.live import CandleStream, Channel
from chandlery.core.candle import CandleData
from chandlery.core.errors import ChandleryError, Closed
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import SECOND, Micros
from chandlery.feed.channels import AssignedChannels
from chandlery.feed.network import NetworkClient
from chandlery.net.line_stream import LineStream
from chandlery.net.ws import Socket
from chandlery.probe.findings import Finding, Recording
from chandlery.probe.requests import Requester

Sleep = Callable[[float], Awaitable[None]]

_POLL_S = 0.5
_RECORDED = 12


class _Seen(Struct):
    """Updates of one candle after its close: receive times, and the latest values."""

    last: CandleData
    changed_at: Micros = 0
    closed_at: Micros | None = None


class _Received:
    """Messages of one WebSocket."""

    def __init__(self, ask: Requester, interval: Interval | None) -> None:
        self.ask = ask
        self.interval = interval
        self.candles: dict[Micros, _Seen] = {}
        self.errors: list[ChandleryError] = []
        self.messages = 0
        self.replies: list[str] = []
        self.until: Micros = 0
        """Time at which receiving ended."""
        self.take: Callable[[bytes], object] = self._candles
        self._channels = AssignedChannels(ask.adapter.socket)

    def __call__(self, frame: bytes) -> None:
        """Parse a frame; store refusals."""
        self.messages += 1
        kind = "live_candle" if self.interval else "live_book"
        if self.messages <= _RECORDED:
            about = {"interval": self.interval.value} if self.interval else {}
            self.ask.record(Recording.of(kind, self.ask.adapter.ws_url, 101, frame, symbol=self.ask.symbol, **about))
        try:
            message = self._channels.completed(self.ask.adapter.decode(frame))
            reply = self.ask.adapter.reply(message)
            if reply is not None:
                self.replies.append(reply)
            self.take(message)
        except ChandleryError as error:
            self.errors.append(error)

    def _candles(self, message: bytes) -> None:
        now = self.ask.now()
        for each in self.ask.adapter.live_rows(message):
            if each.interval is not self.interval:
                continue
            candle = each.candle
            seen = self.candles.setdefault(candle.open_time, _Seen(candle, now))
            if _values(seen.last) != _values(candle):
                seen.last, seen.changed_at = candle, now
            if candle.closed and seen.closed_at is None:
                seen.closed_at = now


def _rows(columns: CandleColumns) -> Iterable[CandleData]:
    prices = zip(columns.open_time, columns.open, columns.high, columns.low, columns.close, columns.volume, strict=True)
    return (CandleData(*row) for row in prices)


def _values(candle: CandleData) -> tuple[float, ...]:
    return candle.open, candle.high, candle.low, candle.close, candle.volume


async def candles(ask: Requester, network: NetworkClient, seconds: float, sleep: Sleep) -> list[Finding]:
    """Receive candles for ``seconds``, and compare closed ones with REST."""
    adapter = ask.adapter
    if not adapter.live_intervals:
        return []
    interval = min(adapter.live_intervals, key=lambda each: (each.longest, each is not Interval.MINUTE_1))
    interval = Interval.MINUTE_1 if Interval.MINUTE_1 in adapter.live_intervals else interval
    received = _Received(ask, interval)
    first = interval.floor(ask.now())
    rest = asyncio.create_task(_rest(ask, interval, first, seconds, sleep))
    try:
        messages = adapter.subscribe([CandleStream(ask.symbol, interval)])
        found, alive = await _listen(received, network, Channel.CANDLES, messages, seconds, sleep)
    finally:
        arrived = await rest
    if not alive:
        return found
    return [*found, *_closing(ask, received, interval, first, arrived)]


async def _listen(
    received: _Received, network: NetworkClient, channel: Channel, messages: Sequence[str], seconds: float, sleep: Sleep
) -> tuple[list[Finding], bool]:
    """Connect, subscribe and receive; return findings, and whether the connection lasted without a refusal."""
    adapter, name = received.ask.adapter, f"socket {channel.value}"
    try:
        socket = await network.connect(channel, received)
    except ChandleryError as error:
        return [Finding.of(name, adapter.ws_url, f"{type(error).__name__}: {error}", agrees=False)], False
    try:
        await sleep(adapter.socket.pause_s)
        for message in messages:
            socket.send(message)
        left = seconds
        ping_in = adapter.socket.ping_every_s or seconds + 1
        while left > 0 and not socket.closed.done():
            await sleep(min(_POLL_S, left))
            left, ping_in = left - _POLL_S, ping_in - _POLL_S
            _answer(received, socket, ping=ping_in <= 0)
            ping_in = (adapter.socket.ping_every_s or seconds + 1) if ping_in <= 0 else ping_in
        received.until = received.ask.now()
        over = socket.closed.result() if socket.closed.done() else None
    except Closed:
        over = await socket.closed
    finally:
        with suppress(ChandleryError):
            await socket.close()
    opened = Finding.of(name, adapter.ws_url, "open", agrees=True)
    if over is not None:
        reason = f"closed {over.code} {over.reason}".strip()
        return [opened, Finding.of("close_on_subscribe", "stays open", reason, agrees=False)], False
    if received.errors:
        return [opened, Finding.of("refused", "subscribed", str(received.errors[0]), agrees=False)], False
    return [opened], True


def _answer(received: _Received, socket: Socket | LineStream, *, ping: bool) -> None:
    texts, received.replies = received.replies, []
    own = received.ask.adapter.ping() if ping else None
    for text in [*texts, *([own] if own else [])]:
        socket.send(text)


async def _rest(ask: Requester, interval: Interval, first: Micros, seconds: float, sleep: Sleep) -> dict[Micros, _Seen]:
    """Poll REST; return when each closing candle first appeared, and when it last changed."""
    found: dict[Micros, _Seen] = {}
    left = seconds
    while left > 0:
        await sleep(min(_POLL_S, left))
        left -= _POLL_S
        running = interval.floor(ask.now())
        if running == first:
            continue
        with suppress(ChandleryError):
            body = await ask.body(interval, Span(first, running), kind="")
            now = ask.now()
            for candle in _rows(ask.adapter.candles(body, interval)) if body else ():
                if first <= candle.open_time < running:
                    seen = found.setdefault(candle.open_time, _Seen(candle, now, now))
                    if _values(seen.last) != _values(candle):
                        seen.last, seen.changed_at = candle, now
    return found


def _closing(
    ask: Requester, received: _Received, interval: Interval, first: Micros, rest: dict[Micros, _Seen]
) -> list[Finding]:
    """Measure delays after the close for every candle that closed during both measurements."""
    ended = [
        each
        for each in sorted(received.candles)
        if each >= first and interval.step(each) + 3 * SECOND <= received.until
    ]
    if not received.candles:
        return [Finding.of("refused", "candles come", f"{received.messages} messages, no candle", agrees=False)]
    if not ended:
        return [Finding.of("close_delay_s", "0", "no candle closed meanwhile", agrees=None)]
    found = []
    if ask.adapter.live_closes:
        closed = [(received.candles[each].closed_at or received.until) - interval.step(each) for each in ended]
        found.append(Finding.of("close_delay_s", "0", f"{_seconds(closed)}", agrees=max(closed) <= _allowed(ask)))
    last = [received.candles[each].changed_at - interval.step(each) for each in ended]
    last += [rest[each].changed_at - (rest[each].closed_at or 0) for each in ended if each in rest]
    late = max(last)
    found.append(Finding.of("late_update_ms", "settled", f"{late / 1000:.0f}", agrees=late <= _allowed(ask)))
    there = [(rest[each].closed_at or 0) - interval.step(each) for each in ended if each in rest]
    lacking = len(ended) - len(there)
    measured = f"{_seconds(there)}" if there else "not seen"
    measured += f", {lacking} of {len(ended)} not within the time" if lacking else ""
    agrees = not lacking and max(there, default=0) <= ask.adapter.close_delay + _allowed(ask)
    found.append(Finding.of("late_s live", f"{ask.adapter.close_delay / SECOND:g}", measured, agrees=agrees))
    return found


def _allowed(ask: Requester) -> Micros:
    return ask.allowed + ask.adapter.close_delay


def _seconds(delays: Sequence[Micros]) -> str:
    return f"{min(delays) / SECOND:.1f} to {max(delays) / SECOND:.1f}"


class _Followed:
    """One order book whose messages must be consecutive."""

    def __init__(self, ask: Requester, network: NetworkClient, received: _Received, depth: int, rule: BookRule) -> None:
        self.sync = BookSync(ask.symbol, rule, depth=depth)
        self.faults: list[Outcome] = []
        self._ask, self._network, self._received, self._depth = ask, network, received, depth
        self._source = rule.snapshot
        self._wanted = asyncio.Event()

    def take(self, message: bytes) -> None:
        """Apply a message to the book."""
        for update in self._ask.adapter.book_updates(message):
            outcome = self.sync.feed(update)
            if outcome.needs_snapshot:
                self.faults.append(outcome)
            if outcome is Outcome.WAITING or outcome.needs_snapshot:
                self._wanted.set()

    async def fetch(self, sleep: Sleep) -> None:
        """Fetch a snapshot whenever one is requested, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self._source is SnapshotSource.REST:
                with suppress(ChandleryError):
                    self.sync.snapshot(await self._network.book(self._ask.symbol, self._depth))
            elif self._source is SnapshotSource.MESSAGE:
                self._received.replies.append(self._ask.adapter.book_message(self._ask.symbol, self._depth))
            await sleep(1.0)


async def books(ask: Requester, network: NetworkClient, seconds: float, sleep: Sleep) -> list[Finding]:
    """Follow one book for ``seconds``; messages must be consecutive, and checksums valid."""
    adapter, rule = ask.adapter, ask.adapter.book_rule
    if not adapter.book_depths or rule is None:
        return []
    depth, received = adapter.book_depths[-1], _Received(ask, None)
    book = _Followed(ask, network, received, depth, rule)
    received.take = book.take
    fetching = asyncio.create_task(book.fetch(sleep))
    try:
        messages = adapter.subscribe_book([ask.symbol], depth)
        found, alive = await _listen(received, network, Channel.BOOK, messages, seconds, sleep)
    finally:
        fetching.cancel()
        await asyncio.wait([fetching])
    if not alive:
        return found
    checked = ", with checksums" if rule.checksum else ""
    kinds = ", ".join(sorted({each.value for each in book.faults}))
    measured = (
        f"{book.sync.applied} messages followed{checked}{f', {len(book.faults)} faults: {kinds}' if kinds else ''}"
    )
    agrees = None if not book.sync.applied else not book.faults
    return [*found, Finding.of("book", f"{rule.link.value} of {depth} levels", measured, agrees=agrees)]
