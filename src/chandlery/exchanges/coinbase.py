"""
Coinbase Advanced Trade, spot: candles and order books.

Sources:
- https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-public-product-candles
- https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-public-product-book
- https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/list-public-products
- https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-server-time
- https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels
- https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-rate-limits

A request may ask for up to 350 candles; ccxt asks for at most 300, and so does this adapter, since the
exchange refuses the whole request if it counts one too many.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.books import BookRule, Link, Price, Size, SnapshotSource
from chandlery.adapter.kit import command, intervals_of
from chandlery.adapter.layout import CandleLayout
from chandlery.adapter.live import CandleStream, LiveCandle, SocketRules
from chandlery.adapter.payload import Finite, Seconds, Whole, batches, reader
from chandlery.adapter.refusals import Refusals
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import standings
from chandlery.core.book import BookUpdate, Level
from chandlery.core.candle import CandleData
from chandlery.core.errors import MalformedResponse, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request
from chandlery.core.instrument import CAPITAL, Instrument, Listing, ListingStatus, MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import SECOND, Micros, Unit, micros_of

COINBASE_KNOWN = standings("""
    WebSocket address: documented, https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels
    candles per request: contradicted elsewhere, other clients request 350, the limit in an error text of the exchange; 300 is requested here
    closed flag: documented, https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels
    order book: recorded, 2026: messages are numbered per connection
""")

COINBASE = DataProvider.register("COINBASE")

_LARGEST = 1e300
_Moment = Annotated[datetime, Meta(tz=True)]


class _Product(Struct):
    product_id: str
    status: str
    product_type: str = "SPOT"
    trading_disabled: bool = False
    price_increment: Finite | None = None
    base_increment: Finite | None = None


class _Level(Struct):
    price: Price
    size: Size


class _Book(Struct):
    bids: list[_Level]
    asks: list[_Level]
    time: _Moment | None = None


class _Candle(Struct):
    product_id: str
    start: Seconds
    open: Finite
    high: Finite
    low: Finite
    close: Finite
    volume: Finite


class _Change(Struct):
    side: str
    price_level: Price
    new_quantity: Size


class _Event(Struct):
    """An event of any channel; those without candles or changes are empty here."""

    type: str = ""
    product_id: str = ""
    candles: list[_Candle] = []
    updates: list[_Change] = []


class _Message(Struct):
    """A message; a refusal has a type and no channel."""

    channel: str = ""
    type: str = ""
    message: str = ""
    reason: str = ""
    timestamp: _Moment | None = None
    sequence_num: Whole | None = None
    events: list[_Event] = []


_PRODUCTS = reader(list[_Product], "products", what="a list of products")
_BOOK = reader(_Book, "pricebook", what="an order book")
_MESSAGE = reader(_Message, what="a message")

_OWN_BOOKS = frozenset({"USDT-USDC", "EURC-USDC"})
"""Products in USDC that are not aliases of products in USD."""
_STATUS = {"online": ListingStatus.LISTED, "delisted": ListingStatus.DELISTED}
"""Any other status, e.g. offline, is a halt."""


@ExchangeRegistry.register("coinbase_spot", aliases=("coinbase_advanced_trade",))
class CoinbaseSpot(ExchangeAdapter):
    """
    Spot: only candles of five minutes are streamed, and messages are numbered per connection.

    Products in USDC are aliases of those in USD, whose name the sockets use.
    """

    provider = COINBASE
    standing = COINBASE_KNOWN
    refusals = Refusals("error", ("message", "error_details"), least_status=400)
    time_path = ("epochMillis",)
    market_type = MarketType.SPOT
    rest_url = "https://api.coinbase.com"
    ws_url = "wss://advanced-trade-ws.coinbase.com"
    native = re.compile(rf"{CAPITAL}+-{CAPITAL}+", re.ASCII)
    example = "BTC-USD or BTC/USD"
    intervals: ClassVar[Mapping[Interval, str]] = intervals_of(
        "1m=ONE_MINUTE 5m=FIVE_MINUTE 15m=FIFTEEN_MINUTE 30m=THIRTY_MINUTE"
        " 1h=ONE_HOUR 2h=TWO_HOUR 4h=FOUR_HOUR 6h=SIX_HOUR 1d=ONE_DAY"
    )
    page_size = 300
    unknown = re.compile(r"^NOT_FOUND: .*product|not a valid product", re.IGNORECASE)
    limits = (RateLimit(10, 1),)
    sends_empty_candles = False
    rest_row = CandleLayout(
        "start", "open", "high", "low", "close", "volume", unit=Unit.SECONDS, path=("candles",), newest_first=True
    )
    live_intervals: ClassVar[Mapping[Interval, str]] = intervals_of("5m=FIVE_MINUTE")
    # A client that sends nothing within 5 seconds is disconnected, so there is no pause; heartbeats are sent every second.
    socket = SocketRules(messages=RateLimit(8, 1), connects=RateLimit(8, 1), idle_s=30)
    book_depths = (1000,)
    """The stream begins with the whole book."""
    book_rule = BookRule(Link.NONE, SnapshotSource.STREAM, per_connection=True)
    unverified = (
        "Days are assumed to open at 00:00 UTC.",
        "Candles of four hours are assumed to exist; ccxt does not have them.",
        "It is not known whether the bounds of a range of candles are inclusive; requests work in both cases.",
        "An address without a key is assumed to be allowed ten requests per second.",
        "A subscription and a connection are assumed to accept 100 products each.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return base and quote, joined by a dash."""
        return f"{instrument.base}-{instrument.quote}"

    def _request(self, path: str, **params: str | int) -> Request:
        # Without the header an answer may be a second old.
        headers = {"Cache-Control": "no-cache"}
        return Request(f"{self.rest_url}/api/v3/brokerage/{path}", params, headers, limits=self.limits)

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Set the end a second after the last open time, so that it does not matter whether it is inclusive."""
        return self._request(
            f"market/products/{symbol}/candles",
            start=Unit.SECONDS.of(interval.ceil(span.start)),
            end=Unit.SECONDS.of(interval.floor(span.end - 1)) + 1,
            granularity=self.interval_name(interval),
        )

    def server_time_request(self) -> Request:
        """Return the request for the clock."""
        return self._request("time")

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for all products, which are one page."""
        return self._request("market/products", product_type="SPOT")

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse the products, without any futures."""
        return [
            self._listing(each)
            for each in _PRODUCTS(body)
            if each.product_type == "SPOT" and self.native.fullmatch(each.product_id)
        ], None

    def _listing(self, each: _Product) -> Listing:
        instrument = Instrument.parse(each.product_id, self.market_type)
        status = _STATUS.get(each.status, ListingStatus.HALTED)
        if status is ListingStatus.LISTED and each.trading_disabled:
            status = ListingStatus.HALTED
        return Listing(each.product_id, instrument, status, None, each.price_increment, each.base_increment)

    def _commands(self, channel: str, symbols: Sequence[str], leave: bool) -> list[str]:  # noqa: FBT001  # passed through
        """Build the commands; channels close after a minute of silence, so heartbeats stay subscribed."""
        for symbol in symbols:
            if symbol.endswith("-USDC") and symbol not in _OWN_BOOKS:
                raise UnsupportedRequest(f"the sockets of {self.id} send {symbol} as {symbol[:-1]}; use that symbol")
        said: list[dict[str, Any]] = [] if leave else [{"type": "subscribe", "channel": "heartbeats"}]
        kind = "unsubscribe" if leave else "subscribe"
        said += [
            {"type": kind, "product_ids": part, "channel": channel}
            for part in batches(symbols, self.socket.per_message)
        ]
        return [command(each) for each in said]

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Subscribe by product, since there is a single interval."""
        for each in streams:
            self.live_interval_name(each.interval)
        return self._commands("candles", [each.symbol for each in streams], leave)

    def _read(self, message: bytes) -> _Message:
        said = _MESSAGE(message)
        if said.type == "error":
            raise self.refused(f"{said.message} {said.reason}".rstrip())
        return said

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse candles of any number of products; a subscription begins with past candles in no known order."""
        said = self._read(message)
        at = None if said.timestamp is None else micros_of(said.timestamp)
        candles = [each for event in said.events for each in event.candles]
        return [
            LiveCandle(
                k.product_id,
                Interval.MINUTE_5,
                CandleData(k.start * SECOND, k.open, k.high, k.low, k.close, k.volume, closed=False, at=at),
            )
            for k in sorted(candles, key=lambda k: k.start)
        ]

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Subscribe to the whole book and every change."""
        return self._commands("level2", symbols, leave)

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse updates; a message of another channel is counted too, so it becomes an update without a symbol."""
        said = self._read(message)
        number = said.sequence_num
        if said.channel != "l2_data":
            return () if number is None else (BookUpdate("", (), (), last=number),)
        at = None if said.timestamp is None else micros_of(said.timestamp)
        return [self._update(event, number, at) for event in said.events]

    def _update(self, event: _Event, number: int | None, at: Micros | None) -> BookUpdate:
        bids: list[Level] = []
        asks: list[Level] = []
        for each in event.updates:
            side = bids if each.side == "bid" else asks if each.side == "offer" else None
            if side is None:
                raise MalformedResponse(
                    f"{self.id} sent a level that is neither a bid nor an offer: {each.side[:40]!r}"
                )
            side.append((each.price_level, each.new_quantity))
        return BookUpdate(event.product_id, bids, asks, is_snapshot=event.type == "snapshot", last=number, at=at)

    def book_request(self, symbol: str, depth: int) -> Request:
        """Request at most 1000 levels a side."""
        return self._request("market/product_book", product_id=symbol, limit=min(depth, 1000))

    def book_snapshot(self, symbol: str, body: bytes) -> BookUpdate:
        """Parse a snapshot, which has no number."""
        book = _BOOK(body)
        bids, asks = ([(each.price, each.size) for each in side] for side in (book.bids, book.asks))
        return BookUpdate(symbol, bids, asks, is_snapshot=True, at=None if book.time is None else micros_of(book.time))


CoinbaseAdapter = CoinbaseSpot
"""The name of the documented diagrams."""
