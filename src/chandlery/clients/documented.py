"""Adapters for third-party clients that have the documented methods, but possibly not all of our arguments."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar, cast

from chandlery.clients.rows import MORE, PRICES, Row
from chandlery.clients.streaming import Callback, RealtimeStream, deliver
from chandlery.core import signature
from chandlery.core.errors import Closed, MalformedResponse, UnsupportedRequest
from chandlery.core.interval import Interval
from chandlery.core.time import Clock, Unit
from chandlery.net.clock import system_clock

MOST_WAITING = 10_000
"""Maximum number of entries queued for the callback; a stream that is further behind ends."""
_SHOWN = 200

_Method = TypeVar("_Method", bound=Callable[..., Awaitable[Any]])


def respelled(**names: str) -> Callable[[_Method], _Method]:
    """
    Let an asynchronous method also accept its parameters under other names, each given as ``other="parameter"``.

    The documents name the parameters of one method differently.
    """

    def decorate(method: _Method) -> _Method:
        @wraps(method)
        async def called(*args: Any, **options: Any) -> Any:
            for other, name in names.items():
                if other in options:
                    if name in options:
                        raise TypeError(f"{method.__name__}() got both {name} and {other}, which mean the same")
                    options[name] = options.pop(other)
            return await method(*args, **options)

        return cast("_Method", called)

    return decorate


def accepted(method: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """
    Return those of ``options`` that a method accepts.

    Raises:
        UnsupportedRequest: It has no ``interval``, and an interval other than a minute is requested.
    """
    given = signature.accepted(method, **options)
    interval = Interval(options.get("interval", Interval.MINUTE_1))
    if "interval" not in given and interval is not Interval.MINUTE_1:
        raise UnsupportedRequest(f"this client has only 1m candles, not {interval.value}")
    return given


async def fetch_rows(
    fetch: Callable[..., Awaitable[list[Row]]], coin: str, start: datetime, end: datetime, interval: Interval | str
) -> list[Row]:
    """
    Return the rows of a client's ``fetch_historical_data``, with or without an interval parameter.

    Raises:
        UnsupportedRequest: It has no ``interval``, and an interval other than a minute is requested.
    """
    options = accepted(fetch, interval=interval)
    rows = await fetch(coin, start, end, **options)
    return rows if options else [{"interval": Interval.MINUTE_1.value, **row} for row in rows]


async def start_stream(
    begin: Callable[..., Awaitable[object]],
    coin: str,
    callback: Callback,
    *,
    name: str,
    clock: Clock = system_clock,
    **options: Any,
) -> RealtimeStream:
    """
    Start a stream with a client's ``start_realtime_stream``, whichever of ``options`` it accepts and whatever it
    returns.

    If it returns no ``RealtimeStream``, entries are queued for the callback, and those of another channel are dropped.
    The client may call back in the background after it returns, or run until it is cancelled. An entry without
    ``received_at`` gets the time of ``clock``.

    Raises:
        UnsupportedRequest: It has no ``interval``, and an interval other than a minute is requested.
    """
    given = accepted(begin, **options)
    if given == options:
        stream = await begin(coin, callback, **options)
        if isinstance(stream, RealtimeStream):
            return stream
        raise MalformedResponse(f"{name}: start_realtime_stream returned no RealtimeStream but {stream!r:.{_SHOWN}}")
    queue = _Entries(name, coin, callback, options, clock)
    begun = asyncio.create_task(_begin(begin, coin, queue, given), name=f"chandlery {name} plugin")
    stream = RealtimeStream(name, queue.run(begun))
    await stream.started(queue.begun)
    return stream


async def _begin(begin: Callable[..., Awaitable[object]], coin: str, queue: _Entries, given: dict[str, Any]) -> None:
    stream = await begin(coin, queue.take, **given)
    queue.begun.set()
    if isinstance(stream, RealtimeStream):
        try:
            await stream.wait()
            raise Closed(f"{stream.name}: the stream has ended")
        finally:
            await stream.end()


class _Entries:
    """Queue of a client's entries, in order; a book is conflated with the next one."""

    def __init__(self, name: str, coin: str, callback: Callback, options: dict[str, Any], clock: Clock) -> None:
        self.begun = asyncio.Event()
        """Set once the client has returned or called back."""
        self._name = name
        self._coin = coin
        self._callback = callback
        self._clock = clock
        self._is_book = options["channel"] == "book"
        self._interval = Interval(options["interval"])
        self._waiting: deque[Row] = deque()
        self._wake = asyncio.Event()
        self._failure: Exception | None = None

    def take(self, _: str, entry: Row) -> Awaitable[None]:
        """Queue an entry; awaiting the result yields to other tasks, and is optional."""
        self.begun.set()
        if ("bids" in entry) == self._is_book:
            if self._is_book:
                self._waiting.clear()
            entry = {"received_at": Unit.MILLIS.of(self._clock()), **entry}
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(entry)
            else:
                self._failure = Closed(f"{self._name}: {MOST_WAITING} candles wait for the callback, which is too slow")
            self._wake.set()
        return _Taken()

    async def run(self, client: asyncio.Task[None]) -> None:
        """Call back until cancelled, or until the client fails."""
        waking: asyncio.Task[bool] | None = None
        try:
            while True:
                self._wake.clear()
                while self._waiting and self._failure is None:
                    await deliver(self._callback, self._coin, self._whole(self._waiting.popleft()))
                if self._failure is not None:
                    raise self._failure
                waking = asyncio.create_task(self._wake.wait())
                await asyncio.wait(
                    {waking} if _ended_well(client) else {waking, client}, return_when=asyncio.FIRST_COMPLETED
                )
                waking.cancel()
        finally:
            if waking is not None:
                waking.cancel()
            client.cancel()
            await asyncio.wait({client})

    def _whole(self, entry: Row) -> Row:
        """
        Return an entry with all fields.

        Raises:
            MalformedResponse: A field is missing that only the client can know.
        """
        head = {"symbol": self._coin}
        if self._is_book:
            return {**head, "timestamp": None, "sequence": None, **entry}
        lacking = [each for each in ("timestamp", *PRICES, "closed") if each not in entry]
        if lacking:
            raise MalformedResponse(f"{self._name}: an entry is not a candle: it lacks {', '.join(lacking)}")
        return {**head, "interval": self._interval.value, "count": None, **dict.fromkeys(MORE), "at": None, **entry}


class _Taken(Awaitable[None]):
    """Awaitable that, unlike a coroutine, need not be awaited."""

    def __await__(self) -> Generator[Any, None, None]:
        return asyncio.sleep(0).__await__()


def _ended_well(client: asyncio.Task[None]) -> bool:
    """Return true if the client has returned and calls back in the background; otherwise raise the error that ended it."""
    if not client.done():
        return False
    client.result()
    return True
