"""
Kraken spot: REST v0 and WebSocket v2.

Symbols are those of WebSocket v2, ``BTC/USD``; in REST the same pair is ``XBTUSD``. ccxt and
the documentation agree on everything used here.

Sources:
- https://docs.kraken.com/api-reference/market-data/get-ohlc-data
- https://docs.kraken.com/api-reference/market-data/get-order-book
- https://docs.kraken.com/api-reference/market-data/get-tradable-asset-pairs
- https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ohlc
- https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/book
- https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from zlib import crc32

from msgspec import Meta, Raw, Struct

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.books import BookRule, Link, Price, Size, SnapshotSource
from chandlery.adapter.kit import command, intervals_of
from chandlery.adapter.layout import CandleColumns, CandleLayout
from chandlery.adapter.live import CandleStream, Channel, LiveCandle, SocketRules
from chandlery.adapter.payload import LATEST, Finite, Whole, attempt, batches, reader, step_of
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import standings
from chandlery.core.book import BookUpdate, Digits, Level, OrderBook
from chandlery.core.candle import CandleData
from chandlery.core.errors import ChandleryError, ExchangeUnavailable, MalformedResponse, RateLimited
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request, Response
from chandlery.core.instrument import LETTER, Instrument, Listing, ListingStatus, MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import Micros, Unit, micros_of

KRAKEN_KNOWN = standings("""
    WebSocket address: documented, https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ohlc
    candles per request: documented, https://docs.kraken.com/api-reference/market-data/get-ohlc-data
    order of rows: documented, https://docs.kraken.com/api-reference/market-data/get-ohlc-data
    history depth: documented, https://docs.kraken.com/api-reference/market-data/get-ohlc-data
    closed flag: documented, https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ohlc
    order book: recorded, 15767 messages with correct checksums
    checksum: recorded, correct in 15767 of 15767 messages; https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2
""")

_KRAKEN = DataProvider.register("KRAKEN")
_T = TypeVar("_T")

# Weeks are left out, since their first day is not documented; no other exchange has an interval of 15 days.
_SPELLED = intervals_of("1m=1 5m=5 15m=15 30m=30 1h=60 4h=240 1d=1440")
_INTERVALS = {int(minutes): interval for interval, minutes in _SPELLED.items()}
_OLD_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
"""Coins with another name in REST."""
_NEW_NAMES = {old: new for new, old in _OLD_NAMES.items()}
_STATUS = dict.fromkeys(("online", "limit_only", "reduce_only"), ListingStatus.LISTED)
"""In all other states, such as post_only and cancel_only, there are no trades."""
_TOO_MANY = ("EAPI:Rate limit exceeded", "EGeneral:Too many requests", "EGeneral:Temporary lockout")
_DOWN = ("EService:", "EGeneral:Internal error")
_LARGEST = 1e300
_CODE = rf"{LETTER}(?:{LETTER}|\.)*"
_Moment = Annotated[datetime, Meta(tz=True)]


class _Errors(Struct):
    error: list[str] = []


class _Depth(Struct):
    """Levels of a snapshot; each ends with the time at which it was last changed."""

    bids: list[tuple[Price, Size, Any]]
    asks: list[tuple[Price, Size, Any]]


class _Pair(Struct):
    pair_decimals: Whole | None = None
    lot_decimals: Whole | None = None
    wsname: str = ""
    status: str = "online"
    tick_size: Finite | None = None


class _Message(Struct):
    """Data of a channel, or the answer to a command."""

    channel: str = ""
    type: str = ""
    timestamp: _Moment | None = None
    data: Raw = Raw(b"[]")
    success: bool = True
    error: str = ""


class _Candle(Struct):
    symbol: str
    interval: Literal[1, 5, 15, 30, 60, 240, 1440]
    interval_begin: _Moment
    open: Finite
    high: Finite
    low: Finite
    close: Finite
    volume: Finite
    trades: Whole | None = None


class _Level(Struct):
    """A level exactly as sent: the checksum is computed from the digits."""

    price: Raw
    qty: Raw


class _Book(Struct):
    symbol: str
    bids: list[_Level]
    asks: list[_Level]
    checksum: Whole | None = None
    timestamp: _Moment | None = None


_ERRORS = attempt(_Errors)
_CANDLES_BY_PAIR = reader(dict[str, Raw], "result", what="the candles of a pair")
_BOOK_BY_PAIR = reader(dict[str, _Depth], "result", what="the order book of a pair")
_PAIRS = reader(dict[str, _Pair], "result", what="a list of pairs")
_HARMLESS = frozenset({"Already subscribed", "Subscription Not Found"})
_MESSAGE = reader(_Message, what="a message of the socket")
_CANDLES = reader(list[_Candle], what="candles of the socket")
_BOOKS = reader(list[_Book], what="order books of the socket")


def kraken_checksum(book: OrderBook) -> int:
    """
    CRC32 of ten asks and ten bids, best first: price and size without point and leading zeros.

    https://docs.kraken.com/api/docs/guides/spot-ws-book-v2
    """
    bids, asks = book.top_digits(10)
    text = "".join(digits.replace(".", "").lstrip("0") for level in (*asks, *bids) for digits in level)
    return crc32(text.encode())


@ExchangeRegistry.register("kraken_spot")
class KrakenSpot(ExchangeAdapter):
    """
    The latest 720 candles of each interval, always including the running one, and no history beyond.

    On one connection a symbol has the candles of a single interval: the exchange refuses a second one.
    The checksum covers ten levels a side; deeper levels are not validated.
    """

    provider = _KRAKEN
    standing = KRAKEN_KNOWN
    time_path = ("result", "unixtime")
    time_unit = Unit.SECONDS
    market_type = MarketType.SPOT
    rest_url = "https://api.kraken.com"
    ws_url = "wss://ws.kraken.com"
    native = re.compile(rf"(?!(XBT|XDG)/){_CODE}/(?!(XBT|XDG)$){_CODE}", re.ASCII)
    cased = True  # AAPLx is the token of a share
    example = "BTC/USD, XBT/USD or BTC-USD"
    intervals: ClassVar[Mapping[Interval, str]] = _SPELLED
    page_size = 720
    unknown = re.compile(r"EQuery:(Unknown|Invalid) asset pair|Currency pair not supported")
    retained_candles = 720
    limits = (RateLimit(1, 1),)
    rest_row = CandleLayout(0, 1, 2, 3, 4, 6, count=7, unit=Unit.SECONDS)
    live_intervals: ClassVar[Mapping[Interval, str]] = intervals
    socket = SocketRules(
        streams=300,
        per_message=50,
        connects=RateLimit(150, 600),
        ping_every_s=30,
        idle_s=45,
        one_interval=True,
        history=True,
    )
    book_depths = (10, 25, 100, 500, 1000)
    book_rule = BookRule(Link.NONE, SnapshotSource.STREAM, checksum=kraken_checksum, truncates=True)
    unverified = (
        "The 720 available candles are assumed to include the running one.",
        "The limit of public requests is not documented; one request per second is the experience of other clients.",
        "A connection is assumed to accept 300 symbols, and a subscription 50; neither limit is documented.",
        "The number of past candles in the snapshot of a candle stream is not documented; missing ones are fetched.",
        "REST is assumed to send candles without trades, as in an example of the documentation.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return the symbol; XBT and XDG, as in REST and the former sockets, become BTC and DOGE."""
        return "/".join(_NEW_NAMES.get(name, name) for name in (instrument.base, instrument.quote))

    def _request(self, name: str, **params: str | int) -> Request:
        return Request(f"{self.rest_url}/0/public/{name}", params, limits=self.limits)

    def _pair(self, symbol: str) -> str:
        """Return the name of a symbol in REST."""
        return "".join(_OLD_NAMES.get(name, name) for name in symbol.split("/"))

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Request the candles that open after ``since``, up to the running one: there is no end."""
        since = max(-(-span.start // Unit.SECONDS.value) - 1, 0)
        return self._request("OHLC", pair=self._pair(symbol), interval=self.interval_name(interval), since=since)

    def candle_rows(self, body: bytes) -> CandleColumns:
        """Parse rows of eight, oldest first, under the exchange's own name of the pair; other values are not arrays."""
        rows = {name: held for name, raw in _CANDLES_BY_PAIR(body).items() if (held := bytes(raw)).startswith(b"[")}
        return self.rest_row.columns_of_json(_only(rows))

    def server_time_request(self) -> Request:
        """Return the request for the clock."""
        return self._request("Time")

    def error(self, response: Response) -> ChandleryError | None:
        """Parse ``{"error": ["EQuery:Unknown asset pair"]}``, which has status 200."""
        answer = _ERRORS(response.body)
        errors = [] if answer is None else answer.error
        if not errors:
            return None
        said = ", ".join(errors)
        if said.startswith(_TOO_MANY):
            return RateLimited(f"{self.id} requires a pause: {said}")
        if said.startswith(_DOWN):
            return ExchangeUnavailable(f"{self.id} is not available: {said}")
        return self.refused(said, status=response.status, code=errors[0])

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for all pairs, which are one page."""
        return self._request("AssetPairs")

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse pairs; those without a socket name are dark pools, which have no public data."""
        return [self._listing(each) for each in _PAIRS(body).values() if "/" in each.wsname], None

    def _listing(self, each: _Pair) -> Listing:
        base, _, quote = each.wsname.partition("/")
        instrument = Instrument.of(_NEW_NAMES.get(base, base), _NEW_NAMES.get(quote, quote), self.market_type)
        return Listing(
            str(instrument),
            instrument,
            _STATUS.get(each.status, ListingStatus.HALTED),
            tick_size=each.tick_size or step_of(each.pair_decimals),
            lot_size=step_of(each.lot_decimals),
        )

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Return the single URL of all sockets."""
        return f"{self.ws_url}/v2"

    def ping(self) -> str | None:
        """Return the ping, which is answered by a pong; heartbeats are sent at least once a second."""
        return '{"method":"ping"}'

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Subscribe to symbols of the same interval by one message; each begins with a snapshot of past candles."""
        by_interval: dict[int, list[str]] = {}
        for each in streams:
            by_interval.setdefault(int(self.live_interval_name(each.interval)), []).append(each.symbol)
        return [
            message
            for minutes, symbols in by_interval.items()
            for message in self._commands("ohlc", symbols, leave, interval=minutes)
        ]

    def _commands(self, channel: str, symbols: Sequence[str], leave: bool, **params: int) -> list[str]:  # noqa: FBT001  # passed through
        method = "unsubscribe" if leave else "subscribe"
        extra = {} if leave else {"snapshot": True}
        return [
            command({"method": method, "params": {"channel": channel, "symbol": part, **params, **extra}})
            for part in batches(symbols, self.socket.per_message)
        ]

    def _data(self, message: bytes, channel: str) -> _Message | None:
        """Parse a message with data of that channel; ``None`` for others."""
        event = _MESSAGE(message)
        if not event.success and event.error not in _HARMLESS:
            raise self.refused(event.error, code=event.error)
        return event if event.channel == channel else None

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse several candles per message; there is no closed flag, the next candle closes one."""
        event = self._data(message, "ohlc")
        if event is None:
            return ()
        at = None if event.timestamp is None else _micros(event.timestamp)
        return [
            LiveCandle(
                each.symbol,
                _INTERVALS[each.interval],
                CandleData(
                    _micros(each.interval_begin),
                    each.open,
                    each.high,
                    each.low,
                    each.close,
                    each.volume,
                    count=each.trades,
                    closed=False,
                    at=at,
                ),
            )
            for each in _CANDLES(bytes(event.data))
        ]

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Subscribe; the first update is the snapshot."""
        return self._commands("book", symbols, leave, depth=depth)

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse updates, each with the checksum of the book after it."""
        event = self._data(message, "book")
        if event is None:
            return ()
        return [self._update(each, is_snapshot=event.type == "snapshot") for each in _BOOKS(bytes(event.data))]

    def _update(self, each: _Book, *, is_snapshot: bool) -> BookUpdate:
        bids, bid_digits = _levels(each.bids)
        asks, ask_digits = _levels(each.asks)
        return BookUpdate(
            each.symbol,
            bids,
            asks,
            is_snapshot=is_snapshot,
            at=None if each.timestamp is None else _micros(each.timestamp),
            checksum=each.checksum,
            bid_digits=bid_digits,
            ask_digits=ask_digits,
        )

    def book_request(self, symbol: str, depth: int) -> Request:
        """Request at most 500 levels."""
        return self._request("Depth", pair=self._pair(symbol), count=min(depth, 500))

    def book_snapshot(self, symbol: str, body: bytes) -> BookUpdate:
        """Parse a snapshot, which has no id and no time, so that no stream can continue it."""
        book = _only(_BOOK_BY_PAIR(body))
        bids, asks = ([(price, size) for price, size, _ in side] for side in (book.bids, book.asks))
        return BookUpdate(symbol, bids, asks, is_snapshot=True)


def _only(held: Mapping[str, _T]) -> _T:
    """Return the value of the single pair."""
    if len(held) != 1:
        raise MalformedResponse(f"the response must contain one pair; it contains {', '.join(held) or 'none'}")
    return next(iter(held.values()))


def _micros(moment: datetime) -> Micros:
    at = micros_of(moment)
    if not 0 <= at <= LATEST:
        raise MalformedResponse(f"not a valid time: {moment}")
    return at


def _levels(sent: Sequence[_Level]) -> tuple[list[Level], list[Digits]]:
    """Return the levels as numbers and as text."""
    try:
        digits = [(str(each.price, "ascii"), str(each.qty, "ascii")) for each in sent]
        levels = [(float(price), float(size)) for price, size in digits]
    except ValueError as error:
        raise MalformedResponse(f"not levels of an order book: {error}") from error
    if not all(0 < price < _LARGEST and 0 <= size < _LARGEST for price, size in levels):
        raise MalformedResponse("not levels of an order book: a price or a size is out of range")
    return levels, digits


KrakenAdapter = KrakenSpot
"""The name of the documented diagrams."""
