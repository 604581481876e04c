"""Messages of Binance's sockets, and their fast path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from chandlery.adapter.books import WireLevels
from chandlery.adapter.live import FollowBook, Sinks
from chandlery.adapter.payload import Finite, Millis, Whole, reader
from chandlery.core.candle import CandleData
from chandlery.core.http import Shortcut
from chandlery.core.interval import Interval


class BinanceError(Struct):
    """The reason why a request was refused."""

    code: Whole
    msg: str = ""


class Kline(Struct, gc=False):
    """A kline; ``x`` is the closed flag. Fields are in the order of the wire, which is read fastest."""

    t: Millis
    i: Interval
    o: Finite
    c: Finite
    h: Finite
    l: Finite  # noqa: E741  # the exchange's spelling
    v: Finite
    n: Whole | None = None
    x: bool = False
    q: Finite | None = None
    V: Finite | None = None
    Q: Finite | None = None


class KlineEvent(Struct, gc=False):
    """A message of a candle stream: a kline, or the answer to a command."""

    E: Millis | None = None
    s: str = ""
    k: Kline | None = None
    error: BinanceError | None = None


class BookEvent(Struct, gc=False):
    """A message of a book stream: an update, or the answer to a command."""

    s: str = ""
    E: Millis | None = None
    T: Millis | None = None
    U: Whole | None = None
    u: Whole | None = None
    pu: Whole | None = None
    b: WireLevels = []
    a: WireLevels = []
    error: BinanceError | None = None


_NOTHING = KlineEvent()

kline_event = reader(KlineEvent, what="a stream's message")
book_event = reader(BookEvent, what="a stream's message")


def candle(k: Kline, sent: int | None) -> CandleData:
    """Convert a kline that was ``sent`` at that time in milliseconds."""
    at = None if sent is None else sent * 1000
    return CandleData(k.t * 1000, k.o, k.h, k.l, k.c, k.v, k.q, k.n, k.V, k.Q, k.x, at)


def kline_shortcut(sinks: Sinks, clock: Callable[[], int]) -> Shortcut:
    """Build ``ExchangeAdapter.live_shortcut`` for klines; ``candle`` is inlined, since a call costs time."""
    decode = msgspec.json.Decoder(list[KlineEvent], strict=False).decode

    def take(messages: Sequence[bytes]) -> Iterator[int]:
        try:
            events: Sequence[KlineEvent] = decode(b"[" + b",".join(messages) + b"]")
        except (msgspec.MsgspecError, UnicodeDecodeError):
            events = ()
        if len(events) != len(messages):  # fragments that are not messages alone may form one together
            events = [_NOTHING] * len(messages)
        received_at = clock() // 1000  # they were read together
        opens_ms = opened = -1  # nearly all have the same open time, so that this is rarely computed again
        for place, event in enumerate(events):
            if (k := event.k) is not None:
                found = sinks.get(event.s)
                if found is not None and k.i is found[0]:
                    if k.t != opens_ms:
                        opens_ms = k.t
                        opened = opens_ms * 1000
                    at = None if (sent := event.E) is None else sent * 1000
                    if found[1](CandleData(opened, k.o, k.h, k.l, k.c, k.v, k.q, k.n, k.V, k.Q, k.x, at, received_at)):
                        continue
            yield place

    return take


def book_shortcut(sinks: Mapping[str, FollowBook]) -> Shortcut:
    """Build ``ExchangeAdapter.book_shortcut``; decoding many updates at once would be slower, since they are large."""
    decode = msgspec.json.Decoder(BookEvent, strict=False).decode

    def take(messages: Sequence[bytes]) -> Iterator[int]:
        for place, message in enumerate(messages):
            try:
                event = decode(message)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                event = None
            if event is not None and event.u is not None:
                follow = sinks.get(event.s)
                at_ms = event.T or event.E
                if follow is not None and follow(
                    event.b, event.a, event.U, event.u, event.pu, None if at_ms is None else at_ms * 1000
                ):
                    continue
            yield place

    return take
