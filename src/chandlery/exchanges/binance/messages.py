"""What Binance's sockets send, and the fast way through it."""

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
    """Why a request was refused."""

    code: Whole
    msg: str = ""


class Kline(Struct, gc=False):
    """``x`` says whether the candle is closed. In the order of the wire, in which they are read fastest."""

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
    """What the candle streams send: klines, and the answers to commands."""

    E: Millis | None = None
    s: str = ""
    k: Kline | None = None
    error: BinanceError | None = None


class BookEvent(Struct, gc=False):
    """What the book streams send: updates, and the answers to commands."""

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
    """The candle of a kline that was ``sent`` then, in milliseconds."""
    at = None if sent is None else sent * 1000
    return CandleData(k.t * 1000, k.o, k.h, k.l, k.c, k.v, k.q, k.n, k.V, k.Q, k.x, at)


def kline_shortcut(sinks: Sinks, clock: Callable[[], int]) -> Shortcut:
    """``ExchangeAdapter.live_shortcut`` of klines; ``candle`` is written out in it, as a call would cost."""
    decode = msgspec.json.Decoder(list[KlineEvent], strict=False).decode

    def take(messages: Sequence[bytes]) -> Iterator[int]:
        try:
            events: Sequence[KlineEvent] = decode(b"[" + b",".join(messages) + b"]")
        except (msgspec.MsgspecError, UnicodeDecodeError):
            events = ()
        if len(events) != len(messages):  # pieces that are no message alone may be one together
            events = [_NOTHING] * len(messages)
        received_at = clock() // 1000  # they were read at once
        opens_ms = opened = -1  # nearly all open at once, so that this is hardly ever counted anew
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
    """``ExchangeAdapter.book_shortcut``; to read many updates at once takes longer, since they are large."""
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
