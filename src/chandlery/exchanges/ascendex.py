"""
AscendEX (formerly BitMax) spot: candles and order books.

Sources:
- https://ascendex.github.io/ascendex-pro-api/#historical-bar-data
- https://ascendex.github.io/ascendex-pro-api/#channel-bar-data
- https://ascendex.github.io/ascendex-pro-api/#channel-level-2-order-book-updates
- https://ascendex.github.io/ascendex-pro-api/#ws-orderbook-snapshot
- https://ascendex.github.io/ascendex-pro-api/#risk-limit-info-v2

The last ccxt with this exchange connected to ``/api/pro/v2/stream`` and assumed one candle as the
default page; this adapter follows the documentation, with ``/0/api/pro/v1/stream`` and ten.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from msgspec import Raw, Struct

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.books import BookRule, Link, SnapshotSource, WireLevels
from chandlery.adapter.kit import command, intervals_of
from chandlery.adapter.layout import CandleColumns, CandleLayout
from chandlery.adapter.live import CandleStream, Channel, LiveCandle, SocketRules
from chandlery.adapter.payload import Finite, Millis, Whole, batches, reader
from chandlery.adapter.refusals import Refusals
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import standings
from chandlery.core.book import BookUpdate
from chandlery.core.candle import CandleData
from chandlery.core.errors import MalformedResponse
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request
from chandlery.core.instrument import CAPITAL, Instrument, Listing, ListingStatus, MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import Unit

ASCENDEX_KNOWN = standings("""
    order book: documented, https://ascendex.github.io/ascendex-pro-api/#channel-level-2-order-book-updates
    candles per request: documented, https://ascendex.github.io/ascendex-pro-api/#historical-bar-data
    closed flag: documented, https://ascendex.github.io/ascendex-pro-api/#channel-bar-data
""")

_ASCENDEX = DataProvider.register("ASCENDEX")


class _Bar(Struct):
    """The fields of the layout in its order, then the interval."""

    ts: Millis
    o: Finite
    h: Finite
    l: Finite  # noqa: E741  # the exchange's spelling
    c: Finite
    v: Finite
    i: str = ""


class _Row(Struct):
    data: _Bar


class _Depth(Struct):
    seqnum: Whole
    asks: WireLevels
    bids: WireLevels
    ts: Millis | None = None


class _Message(Struct):
    """A socket message: ``m`` is its kind, and a ``code`` marks a refusal."""

    m: str
    s: str = ""
    symbol: str = ""
    code: Whole = 0
    reason: str = ""
    info: str = ""
    data: Raw = Raw(b"null")


class _Refusal(Struct):
    code: Whole
    reason: str = ""
    message: str = ""


class _Product(Struct, rename="camel"):
    symbol: str
    tick_size: Finite | None = None
    lot_size: Finite | None = None
    status_code: str = ""


_ROWS = reader(list[_Row], "data", what="an array of bars")
_PRODUCTS = reader(list[_Product], "data", what="a list of products")
_MESSAGE = reader(_Message, what="a message of AscendEX's sockets")
_BAR = reader(_Bar, what="a bar")
_DEPTH = reader(_Depth, what="an order book")

_PING = re.compile(rb'\s*\{\s*"m"\s*:\s*"ping"')
# 1w is left out, since the first day of its weeks is not documented.
_INTERVALS = intervals_of("1m=1 5m=5 15m=15 30m=30 1h=60 2h=120 4h=240 6h=360 12h=720 1d=1d 1M=1m")
_NAMED = {name: interval for interval, name in _INTERVALS.items()}


@ExchangeRegistry.register("ascendex_spot", aliases=("ascend_ex_spot",))
class AscendexSpot(ExchangeAdapter):
    """Spot: volume in the base asset; here ``1m`` is the month and ``1`` the minute."""

    provider = _ASCENDEX
    standing = ASCENDEX_KNOWN
    refusals = Refusals("code", ("reason", "message"), fine=(0,))
    time_path = ("data", "requestReceiveAt")
    market_type = MarketType.SPOT
    rest_url = "https://ascendex.com"
    ws_url = "wss://ascendex.com"
    native = re.compile(rf"{CAPITAL}+/{CAPITAL}+", re.ASCII)
    example = "BTC/USDT or BTC-USDT"
    intervals: ClassVar[Mapping[Interval, str]] = _INTERVALS
    live_intervals: ClassVar[Mapping[Interval, str]] = _INTERVALS
    page_size = 500
    unknown = re.compile(r"^(5002|100008|300012):")
    limits = (RateLimit(120, 60),)
    sends_empty_candles = False
    rest_row = CandleLayout("ts", "o", "h", "l", "c", "v", path=("data",))
    socket = SocketRules(per_message=10, messages=RateLimit(150, 60))
    book_depths = (500,)
    """The stream sends every change; this is the size of its snapshot."""
    book_rule = BookRule(Link.FIRST, SnapshotSource.MESSAGE)
    unverified = (
        "It is not known whether the exchange still serves this API; no recording is newer than 2021, and none has candles.",
        "The order of candles in a response is not known; chandlery sorts them.",
        "Candles without trades may be sent or omitted.",
        "Candles of 6 hours and longer are assumed to be aligned to UTC.",
        "The rate limit is not known; ccxt used two requests per second.",
        "The HTTP status of error responses is not known; the code in the body is read for any status.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return the symbol as ccxt writes it."""
        return f"{instrument.base}/{instrument.quote}"

    def _get(self, path: str, **params: str | int) -> Request:
        return Request(f"{self.rest_url}/api/pro/v1/{path}", params, limits=self.limits)

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Send the first and the last open time of the span, and ``n``, since the default may be ten. The smaller number of candles is returned."""
        first = max(interval.ceil(span.start), 0)
        last = max(interval.step(interval.ceil(span.end), -1), first)
        bounds = {"from": Unit.MILLIS.of(first), "to": Unit.MILLIS.of(last), "n": self.page_size}
        return self._get("barhist", symbol=symbol, interval=self.interval_name(interval), **bounds)

    def candle_rows(self, body: bytes) -> CandleColumns:
        """Parse the rows, which include the running candle."""
        return self.rest_row.columns(sorted((row.data for row in _ROWS(body)), key=lambda bar: bar.ts))

    def server_time_request(self) -> Request:
        """Send any client time: the answer only states the difference to it."""
        return self._get("exchange-info", requestTime=0)

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for all pairs, which are one page."""
        return self._get("cash/products")

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse the pairs; a status other than ``Normal`` means that a pair does not trade."""
        return [self._listing(each) for each in _PRODUCTS(body) if self.native.fullmatch(each.symbol)], None

    def _listing(self, each: _Product) -> Listing:
        base, _, quote = each.symbol.partition("/")
        status = ListingStatus.LISTED if each.status_code == "Normal" else ListingStatus.HALTED
        instrument = Instrument.of(base, quote, self.market_type)
        return Listing(each.symbol, instrument, status, tick_size=each.tick_size, lot_size=each.lot_size)

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Return the single URL of all sockets; 0 is the account group without an account."""
        return f"{self.ws_url}/0/api/pro/v1/stream"

    def reply(self, message: bytes) -> str | None:
        """Reply to a ping by a pong; a client that misses two is disconnected."""
        return '{"op":"pong"}' if _PING.match(message) else None

    def _commands(self, name: str, symbols: Sequence[str], leave: bool) -> list[str]:  # noqa: FBT001  # passed through
        op = "unsub" if leave else "sub"
        return [
            command({"op": op, "ch": f"{name}:{','.join(part)}"}) for part in batches(symbols, self.socket.per_message)
        ]

    def _read(self, message: bytes) -> _Message:
        said = _MESSAGE(message)
        if said.code != 0:
            raise self.refused(" ".join(filter(None, (said.reason, said.info))), code=said.code)
        return said

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Subscribe to up to ten symbols of one interval per message."""
        symbols: dict[Interval, list[str]] = {}
        for each in streams:
            symbols.setdefault(each.interval, []).append(each.symbol)
        return [
            command
            for interval, names in symbols.items()
            for command in self._commands(f"bar:{self.live_interval_name(interval)}", names, leave)
        ]

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse one bar per message; there is no closed flag."""
        said = self._read(message)
        if said.m != "bar":
            return ()
        bar = _BAR(bytes(said.data))
        interval = _NAMED.get(bar.i)
        if interval is None or not said.s:
            raise MalformedResponse(f"{self.id} sent a bar of {said.s!r} and {bar.i!r}, not a symbol and an interval")
        candle = CandleData(bar.ts * 1000, bar.o, bar.h, bar.l, bar.c, bar.v, closed=False)
        return (LiveCandle(said.s, interval, candle),)

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Subscribe to every change, batched over 300 ms; up to ten symbols per message."""
        return self._commands("depth", symbols, leave)

    def book_message(self, symbol: str, depth: int) -> str:
        """Request a snapshot of up to 500 levels; by the documentation it takes a second or two."""
        return command({"op": "req", "action": "depth-snapshot", "args": {"symbol": symbol}})

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse updates: ``seqnum`` increases by one per message of a symbol; that of a snapshot is the last one it includes."""
        said = self._read(message)
        if said.m not in {"depth", "depth-snapshot"}:
            return ()
        book = _DEPTH(bytes(said.data))
        if not said.symbol:
            raise MalformedResponse(f"{self.id} sent a book without a symbol")
        whole = said.m == "depth-snapshot"
        first = None if whole else book.seqnum
        at = None if book.ts is None else book.ts * 1000
        return (BookUpdate(said.symbol, book.bids, book.asks, is_snapshot=whole, first=first, last=book.seqnum, at=at),)
