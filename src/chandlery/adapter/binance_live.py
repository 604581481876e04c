"""What Binance's sockets send, and the fast way through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from chandlery.adapter.books import WireLevels
from chandlery.adapter.live import FollowBook, Sinks
from chandlery.adapter.payload import Millis, reader
from chandlery.core.candle import CandleData
from chandlery.core.interval import Interval


class BinanceError(Struct):
    """Why a request was refused."""

    code: int
    msg: str = ""


class Kline(Struct, gc=False):
    """``x`` says whether the candle is closed. In the order of the wire, in which they are read fastest."""

    t: Millis
    i: Interval
    o: float
    c: float
    h: float
    l: float  # noqa: E741  # the exchange's spelling
    v: float
    n: int
    x: bool
    q: float
    V: float
    Q: float


class KlineEvent(Struct, gc=False):
    """What the candle streams send: klines, and the answers to commands."""

    s: str = ""
    k: Kline | None = None
    error: BinanceError | None = None


class BookEvent(Struct, gc=False):
    """What the book streams send: updates, and the answers to commands."""

    s: str = ""
    E: Millis | None = None
    T: Millis | None = None
    U: int | None = None
    u: int | None = None
    pu: int | None = None
    b: WireLevels = []
    a: WireLevels = []
    error: BinanceError | None = None


kline_event = reader(KlineEvent, what="a stream's message")
book_event = reader(BookEvent, what="a stream's message")


def candle(k: Kline) -> CandleData:
    """The candle of a kline."""
    return CandleData(k.t * 1000, k.o, k.h, k.l, k.c, k.v, k.q, k.n, k.V, k.Q, k.x)


def kline_shortcut(sinks: Sinks) -> Callable[[bytes], bool]:
    """``ExchangeAdapter.live_shortcut`` of klines; ``candle`` is written out in it, as a call would cost."""
    decode = msgspec.json.Decoder(KlineEvent, strict=False).decode

    def take(message: bytes) -> bool:
        try:
            event = decode(message)
            interval, sink = sinks[event.s]
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
            return False
        k = event.k
        return (
            k is not None
            and k.i is interval
            and sink(CandleData(k.t * 1000, k.o, k.h, k.l, k.c, k.v, k.q, k.n, k.V, k.Q, k.x))
        )

    return take


def book_shortcut(sinks: Mapping[str, FollowBook]) -> Callable[[bytes], bool]:
    """``ExchangeAdapter.book_shortcut``."""
    decode = msgspec.json.Decoder(BookEvent, strict=False).decode

    def take(message: bytes) -> bool:
        try:
            event = decode(message)
            follow = sinks[event.s]
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
            return False
        at_ms = event.T or event.E
        return event.u is not None and follow(
            event.b, event.a, event.U, event.u, event.pu, None if at_ms is None else at_ms * 1000
        )

    return take
