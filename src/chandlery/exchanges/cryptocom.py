"""
Crypto.com Exchange v1, spot and linear perpetuals: candles, order books, funding rates.

Sources:
- https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#public-get-candlestick
- https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#public-get-valuations
- https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#public-get-instruments
- https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#public-get-book
- https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#candlestick-time_frame-instrument_name
- https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#book-instrument_name-depth
- https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#websocket-heartbeats
- https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#rate-limits

Where ccxt differs, this adapter follows the documentation: it has no candles of 6h, and spells the type of
a book's subscription ``book_subscription_type``. Whether bounds are inclusive is not documented, and
ccxt assumes exclusive bounds. No bound sent here is an open time, so that it makes no difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from msgspec import Struct

from chandlery.adapter.base import ExchangeAdapter, FundingColumns
from chandlery.adapter.books import BookRule, Link, Price, Size, SnapshotSource
from chandlery.adapter.kit import command, intervals_of
from chandlery.adapter.layout import CandleLayout
from chandlery.adapter.live import CandleStream, Channel, LiveCandle, SocketRules
from chandlery.adapter.names import ENDS_WITH_DAY
from chandlery.adapter.payload import Finite, Millis, Whole, batches, reader, sent_at
from chandlery.adapter.refusals import Passing, Refusals
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import standings
from chandlery.core.book import BookUpdate
from chandlery.core.candle import CandleData
from chandlery.core.errors import ExchangeUnavailable, InvalidSymbol, MalformedResponse, RateLimited
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request
from chandlery.core.instrument import CAPITAL, Instrument, Listing, ListingStatus, MarketType, day_text, expiry_of
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import Micros, Unit

CRYPTOCOM_KNOWN = standings("""
    WebSocket address: documented, https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html; requests need no nonce (seen 2026-09-22)
    candles per request: contradicted elsewhere, 300 are documented (2025-11); another client requests a different number (2026-08)
    order of rows: documented, https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#public-get-candlestick
    alignment: documented, https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#public-get-candlestick
    closed flag: documented, https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#candlestick-time_frame-instrument_name
    order book: documented, https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#book-instrument_name-depth
    checksum: unverified, not checked: none of 576 tested computations gives the right value
    streams per connection: recorded, 2026-09-22: the 401st subscription is refused with 40107
""")

CRYPTOCOM = DataProvider.register("CRYPTOCOM")

# Weeks begin on Monday and months with the calendar; 14D has no equivalent.
_INTERVALS = intervals_of("1m 5m 15m 30m 1h 2h 4h 12h 1d=1D 1w=7D 1M")
_INTERVAL_OF = {theirs: interval for interval, theirs in _INTERVALS.items()}
_MOST_RATES = 100

_Rows: TypeAlias = list[tuple[Price, Size, Any]]
"""Rows of price, size and number of orders."""


class _Sides(Struct):
    bids: _Rows
    asks: _Rows


class _Book(Struct):
    """A book; a snapshot has its sides itself, a change has them in ``update``."""

    t: Millis | None = None
    u: Whole | None = None
    pu: Whole | None = None
    bids: _Rows | None = None
    asks: _Rows | None = None
    update: _Sides | None = None


class _Candle(Struct):
    t: Millis
    o: Finite
    h: Finite
    l: Finite  # noqa: E741  # the exchange's spelling
    c: Finite
    v: Finite
    ut: Millis | None = None


class _Candles(Struct):
    instrument_name: str
    interval: str
    data: list[_Candle]


class _Books(Struct):
    instrument_name: str
    channel: str
    data: list[_Book]


class _Message(Struct):
    """The common fields of socket messages: data, acknowledgements, refusals and heartbeats."""

    code: Whole = 0
    message: str = ""


class _CandlePush(_Message):
    result: _Candles | None = None


class _BookPush(_Message):
    result: _Books | None = None


class _Heartbeat(Struct):
    id: Whole
    method: str


class _Rate(Struct):
    t: Millis
    v: Finite


class _Instrument(Struct):
    symbol: str
    inst_type: str
    base_ccy: str = ""
    quote_ccy: str = ""
    price_tick_size: Finite | None = None
    qty_tick_size: Finite | None = None
    contract_size: Finite | None = None
    tradable: bool = False


_CANDLES = reader(_CandlePush, what="a candle push")
_BOOKS = reader(_BookPush, what="an order book push")
_HEARTBEAT = reader(_Heartbeat, what="a heartbeat")
_SNAPSHOT = reader(tuple[_Book], "result", "data", what="an order book")
_RATES = reader(list[_Rate], "result", "data", what="an array of funding rates")
_INSTRUMENTS = reader(list[_Instrument], "result", "data", what="a list of instruments")


class _Cryptocom(ExchangeAdapter):
    """Common base of both markets: all but the spelling of symbols, and funding rates."""

    provider = CRYPTOCOM
    standing = CRYPTOCOM_KNOWN
    refusals = Refusals("code", ("message",), fine=(0,))
    passing: ClassVar[Passing] = {
        **dict.fromkeys((10006, 42901), RateLimited),
        **dict.fromkeys((40801, 50001, 9010001), ExchangeUnavailable),
    }
    rest_url = "https://api.crypto.com"
    ws_url = "wss://stream.crypto.com/exchange/v1"
    inst_types: ClassVar[frozenset[str]]
    liquid: ClassVar[str]
    """A symbol whose book changes constantly."""

    intervals: ClassVar[Mapping[Interval, str]] = _INTERVALS
    page_size = 300
    # Observed by REST and sockets on 2026-09-22; 209 and 30003 are only documented.
    unknown = re.compile(r"^(209|30003):|^4000[34]: .*(symbol|instrument)", re.IGNORECASE)
    limits = (RateLimit(100, 1),)
    rest_row = CandleLayout("t", "o", "h", "l", "c", "v", path=("result", "data"))
    live_intervals: ClassVar[Mapping[Interval, str]] = _INTERVALS
    socket = SocketRules(streams=400, messages=RateLimit(100, 1), pause_s=1.0, idle_s=45, history=True)
    book_depths = (10, 50)
    book_rule = BookRule(Link.PREVIOUS, SnapshotSource.STREAM, truncates=True)
    unverified: ClassVar[tuple[str, ...]] = (
        "It is not known whether the bounds of a range of candles are inclusive. If the range has too many candles, the latest are assumed to be sent.",
        "The history depth of candles is not known. Candles without trades may be sent or omitted.",
        "The checksum of books is not checked, because its computation is not known.",
        "The exchange has no endpoint for its clock, so the time of its BTC book is used.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return e.g. ``BTC_USDT``."""
        return f"{instrument.base}_{instrument.quote}"

    def _request(self, method: str, **params: str | int) -> Request:
        return Request(f"{self.rest_url}/exchange/v1/public/{method}", params, limits=self.limits)

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Return the single URL of all market data."""
        return f"{self.ws_url}/market"

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Send a millisecond before the first open time as start, and a millisecond before the first unwanted one as end."""
        start_ms, end_ms = _millis(Span(interval.ceil(span.start), interval.ceil(span.end)))
        return self._request(
            "get-candlestick",
            instrument_name=symbol,
            timeframe=self.interval_name(interval),
            count=self.page_size,
            start_ts=max(start_ms - 1, 0),
            end_ts=max(end_ms - 1, 0),
        )

    def server_time_request(self) -> Request:
        """Request a liquid book, whose time is the present."""
        return self.book_request(self.liquid, 1)

    def server_time(self, body: bytes) -> Micros:
        """Parse the time at which the book was sent."""
        at = self.book_snapshot(self.liquid, body).at
        if at is None:
            raise MalformedResponse(f"{self.id} sent a book without its time")
        return at

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for all instruments, which are one page."""
        return self._request("get-instruments")

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse the instruments of this market, by type and spelling."""
        return [
            self._listing(each)
            for each in _INSTRUMENTS(body)
            if each.inst_type in self.inst_types and self.native.fullmatch(each.symbol)
        ], None

    def _listing(self, each: _Instrument) -> Listing:
        day = each.symbol.rpartition("-")[2]
        expiry = expiry_of(day) if self.market_type is not MarketType.SPOT and day.isdigit() else None
        return Listing(
            each.symbol,
            Instrument.of(each.base_ccy, each.quote_ccy, self.market_type, expiry),
            ListingStatus.LISTED if each.tradable else ListingStatus.HALTED,
            None if self.market_type is MarketType.SPOT else each.contract_size or 1.0,
            each.price_tick_size,
            each.qty_tick_size,
        )

    def reply(self, message: bytes) -> str | None:
        """Reply to a heartbeat with its own id, which is required within five seconds."""
        if b"public/heartbeat" not in message:
            return None
        beat = _HEARTBEAT(message)
        if beat.method != "public/heartbeat":
            return None
        return command({"id": beat.id, "method": "public/respond-heartbeat"})

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Subscribe; the first push has up to 300 past candles."""
        names = [f"candlestick.{self.live_interval_name(each.interval)}.{each.symbol}" for each in streams]
        return self._commands(names, leave=leave)

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Subscribe to a snapshot and changes every 10 ms; a new subscription brings a new snapshot."""
        names = [f"book.{symbol}.{depth}" for symbol in symbols]
        return self._commands(names, leave=leave, book_subscription_type="SNAPSHOT_AND_UPDATE")

    def _commands(self, names: Sequence[str], *, leave: bool, **more: str) -> list[str]:
        method = "unsubscribe" if leave else "subscribe"
        return [
            command({"id": number, "method": method, "params": {"channels": part, **more}})
            for number, part in enumerate(batches(names, self.socket.per_message), 1)
        ]

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse candles, which have no closed flag."""
        push = _CANDLES(message)
        held = push.result
        if held is None:
            return self._nothing(push)
        interval = _INTERVAL_OF.get(held.interval)
        if interval is None:
            raise MalformedResponse(f"{self.id} sent candles of {held.interval[:40]!r}")
        symbol = held.instrument_name
        return [
            LiveCandle(
                symbol,
                interval,
                CandleData(k.t * 1000, k.o, k.h, k.l, k.c, k.v, closed=False, at=sent_at(k.ut)),
            )
            for k in held.data
        ]

    def _nothing(self, push: _Message) -> tuple[()]:
        if push.code:
            raise self.refused(push.message, code=push.code)
        return ()

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse updates: ``pu`` of a change is the ``u`` of the previous message; empty ones continue the numbers."""
        push = _BOOKS(message)
        held = push.result
        if held is None:
            return self._nothing(push)
        is_snapshot = held.channel == "book"
        return [_update(held.instrument_name, each, is_snapshot=is_snapshot) for each in held.data]

    def book_request(self, symbol: str, depth: int) -> Request:
        """Request at most 50 levels."""
        return self._request("get-book", instrument_name=symbol, depth=min(depth, 50))

    def book_snapshot(self, symbol: str, body: bytes) -> BookUpdate:
        """Parse a snapshot, which has no number, so that changes cannot be joined to it."""
        (book,) = _SNAPSHOT(body)
        return _update(symbol, book, is_snapshot=True)


def _millis(span: Span) -> tuple[int, int]:
    """Return the first whole milliseconds at or after start and end."""
    return -(-span.start // Unit.MILLIS.value), -(-span.end // Unit.MILLIS.value)


def _update(symbol: str, book: _Book, *, is_snapshot: bool) -> BookUpdate:
    sides = book if is_snapshot else book.update
    if sides is None or sides.bids is None or sides.asks is None:
        raise MalformedResponse(f"a book of {symbol[:40]!r} lacks its sides")
    return BookUpdate(
        symbol,
        [(price, size) for price, size, _ in sides.bids],
        [(price, size) for price, size, _ in sides.asks],
        is_snapshot,
        last=book.u,
        previous=None if is_snapshot else book.pu,
        at=None if book.t is None else book.t * 1000,
    )


@ExchangeRegistry.register("cryptocom_spot")
class CryptocomSpot(_Cryptocom):
    """Spot."""

    market_type = MarketType.SPOT
    inst_types = frozenset({"CCY_PAIR"})
    liquid = "BTC_USDT"
    native = re.compile(rf"{CAPITAL}+_{CAPITAL}+", re.ASCII)
    example = "BTC_USDT, BTC/USDT or BTC-USDT"


@ExchangeRegistry.register("cryptocom_perpetual")
class CryptocomPerpetual(_Cryptocom):
    """Linear, all quoted in USD; volume and book sizes are in the base asset."""

    market_type = MarketType.FUTURES_USDT
    inst_types = frozenset({"PERPETUAL_SWAP", "FUTURE"})
    liquid = "BTCUSD-PERP"
    native = re.compile(rf"{CAPITAL}+USD-(PERP|\d{{6}})", re.ASCII)
    expiring = ENDS_WITH_DAY
    example = "BTCUSD-PERP, BTC/USD:USD or BTC-USD"
    funding_page_size = _MOST_RATES - 2
    """At least as many rates lie within the bounds of a full page."""
    funding_newest_first = True
    unverified = (
        *_Cryptocom.unverified,
        "The maximum number of funding rates per response is not known; 100 are requested, and they are assumed to be the latest of the range.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return ``BTCUSD-PERP``, or with the day of expiry, ``BTCUSD-260327``."""
        if instrument.quote != "USD":
            raise InvalidSymbol(f"{instrument}: the perpetuals of {self.id} are in USD; it has e.g. {self.example}")
        return f"{instrument.base}USD-{day_text(instrument.expiry) if instrument.expiry else 'PERP'}"

    def funding_request(self, symbol: str, span: Span, page: int = 1) -> Request:
        """Request the settled rates, one per hour. They may be at any millisecond, so one may lie beyond each bound."""
        start_ms, end_ms = _millis(span)
        return self._request(
            "get-valuations",
            instrument_name=symbol,
            valuation_type="funding_hist",
            count=_MOST_RATES,
            start_ts=max(start_ms - 1, 0),
            end_ts=end_ms,
        )

    def funding_rows(self, body: bytes) -> FundingColumns:
        """Parse the rates, whose order is not documented."""
        rows = sorted(_RATES(body), key=lambda row: row.t)
        return FundingColumns([Unit.MILLIS.micros(row.t) for row in rows], [row.v for row in rows])
