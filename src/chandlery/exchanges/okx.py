"""
OKX spot, linear and inverse perpetuals: candles, order books, funding rates.

Sources:
- https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks-history
- https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-order-book
- https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-candlesticks-channel
- https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel
- https://www.okx.com/docs-v5/en/#public-data-rest-api-get-instruments
- https://www.okx.com/docs-v5/en/#public-data-rest-api-get-funding-rate-history
- https://www.okx.com/docs-v5/en/#overview-websocket
- https://www.okx.com/docs-v5/log_en/

Where ccxt differs: it returns the volume of contracts in the base currency; here
it counts contracts, as books and trades do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, ClassVar, TypeAlias
from zlib import crc32

from msgspec import Raw, Struct, structs

from chandlery.adapter.base import ExchangeAdapter, FundingColumns
from chandlery.adapter.books import BookRule, Link, Price, Size, SnapshotSource
from chandlery.adapter.dates import stated
from chandlery.adapter.kit import command, intervals_of
from chandlery.adapter.layout import CandleLayout
from chandlery.adapter.live import CandleStream, Channel, LiveCandle, SocketRules
from chandlery.adapter.names import ENDS_WITH_DAY
from chandlery.adapter.payload import Finite, Millis, Whole, batches, reader
from chandlery.adapter.refusals import Passing, Refusals
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.sites import Sites
from chandlery.adapter.standing import standings
from chandlery.core.book import BookUpdate, OrderBook
from chandlery.core.errors import ExchangeUnavailable, MalformedResponse, RateLimited
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request
from chandlery.core.instrument import CAPITAL, Instrument, Listing, ListingStatus, MarketType, day_text, expiry_of
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import DAY, Micros, Unit

# https://my.okx.com/docs-v5/en/, https://app.okx.com/docs-v5/en/; ccxt 4.5.90: myokx, okxus.
OKX_SITES: Sites = {
    "eea": {"rest": "https://eea.okx.com", "ws": "wss://wseea.okx.com/ws/v5"},
    "us": {"rest": "https://us.okx.com", "ws": "wss://wsus.okx.com/ws/v5"},
}

OKX_KNOWN = standings("""
    WebSocket address: documented, https://www.okx.com/docs-v5/en/#overview-websocket; port 8443 was switched off on 2026-10-31 (notice of an SDK vendor in 2026-11, ccxt 4.5.90)
    candles per request: contradicted elsewhere, documented in 2025-11; OKX.Net requests 100, and freqtrade#6825 and ccxt#20756 received 100
    range of a request: documented, https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks-history
    order of rows: documented, https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks-history
    history depth: documented, https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks-history
    closed flag: documented, https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-candlesticks-channel
    order book: recorded, in 2022; OKX announced that the channel sends no snapshot from 2026-08 on
    checksum: recorded, correct in 290 of 290 messages in 2022; since 2026-06-23 it is 0, which is not checked (observed 2026-09)
    funding rates per request: contradicted elsewhere, 400 are documented in 2025; 100 are requested
""")

OKX = DataProvider.register("OKX")

# Other candles of six hours and more begin in Hong Kong time; the beginning of 2D, 3D and 3M is not documented.
_INTERVALS = intervals_of("1s 1m 3m 5m 15m 30m 1h=1H 2h=2H 4h=4H 6h=6Hutc 12h=12Hutc 1d=1Dutc 1w=1Wutc 1M=1Mutc")
_CHANNELS = {f"candle{name}": interval for interval, name in _INTERVALS.items()}
_BOOKS = {1: "bbo-tbt", 5: "books5", 400: "books"}
_ACTIONS = frozenset({"snapshot", "update"})
_WHOLE = frozenset({"bbo-tbt", "books5"})
"""Channels whose messages are whole books."""
_SECONDS_RETENTION: Micros = 89 * DAY
"""Candles of a second are available for three months, which may be as short as this."""

_Rows: TypeAlias = list[tuple[Price, Size, Any, Any]]
"""Rows of price, size, a number that is always 0, and number of orders."""
_Texts: TypeAlias = list[tuple[str, str, Any, Any]]


class _Book(Struct, rename="camel"):
    bids: _Rows
    asks: _Rows
    ts: Millis | None = None
    checksum: Whole = 0
    seq_id: Whole | None = None
    prev_seq_id: Whole | None = None


class _BookTexts(Struct):
    bids: _Texts
    asks: _Texts


class _Arg(Struct, rename={"symbol": "instId"}):
    channel: str
    symbol: str


class _Event(Struct):
    """Messages other than data: answers to commands, and notices."""

    event: str = ""
    code: str = ""
    msg: str = ""
    arg: _Arg | None = None


class _Candles(_Event):
    data: list[Raw] = []


class _Books(_Event):
    action: str = ""
    data: list[_Book] = []


class _Funding(Struct, rename="camel"):
    funding_time: Millis
    realized_rate: Finite


class _Instrument(Struct, rename="camel"):
    """An instrument; if it is only announced, all numbers may be empty text."""

    inst_id: str
    state: str
    inst_type: str = ""
    ct_val: str = ""
    ct_mult: str = ""
    tick_sz: str = ""
    lot_sz: str = ""
    list_time: str = ""
    exp_time: str = ""


class _Time(Struct):
    ts: Millis


_CANDLES = reader(_Candles, what="a candle push")
_BOOK_PUSH = reader(_Books, what="an order book push")
_BOOK_PUSH_TEXTS = reader(list[_BookTexts], "data", what="an order book push")
_SNAPSHOT = reader(tuple[_Book], "data", what="an order book")
_SNAPSHOT_TEXTS = reader(tuple[_BookTexts], "data", what="an order book")
_FUNDING = reader(list[_Funding], "data", what="an array of funding rates")
_INSTRUMENTS = reader(list[_Instrument], "data", what="a list of instruments")
_SERVER_TIME = reader(tuple[_Time], "data", what="a server time")
_STATUS = {"live": ListingStatus.LISTED, "preopen": ListingStatus.UPCOMING}
"""Any other status, e.g. suspend, is a halt; delisted instruments are not in the list any more."""
_NEXT = {"SWAP": "FUTURES"}
"""The kind of instruments that is listed after another."""


def _update(symbol: str, book: _Book, texts: _BookTexts | None, *, is_snapshot: bool) -> BookUpdate:
    return BookUpdate(
        symbol,
        [(price, size) for price, size, _, _ in book.bids],
        [(price, size) for price, size, _, _ in book.asks],
        is_snapshot,
        last=book.seq_id,
        previous=None if is_snapshot else book.prev_seq_id,
        at=None if book.ts is None else book.ts * 1000,
        checksum=book.checksum,
        bid_digits=None if texts is None else [(price, size) for price, size, _, _ in texts.bids],
        ask_digits=None if texts is None else [(price, size) for price, size, _, _ in texts.asks],
    )


_read_number = reader(Finite, what="a number")


def _number(text: str) -> float | None:
    return _read_number(text.encode()) if text else None


def okx_checksum(book: OrderBook) -> int:
    """
    CRC32, signed, of 25 bids and asks in turn, best first, price and size joined by colons.

    https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel
    """
    pairs = zip_longest(*book.top_digits(25))
    text = ":".join(digits for pair in pairs for level in pair if level is not None for digits in level)
    unsigned = crc32(text.encode())
    return unsigned - 2**32 if unsigned >= 2**31 else unsigned


class _Okx(ExchangeAdapter):
    """Common base of the three markets."""

    provider = OKX
    standing = OKX_KNOWN
    refusals = Refusals("code", ("msg",), fine=("0",))
    passing: ClassVar[Passing] = {
        **dict.fromkeys(("50011", "60014"), RateLimited),
        **dict.fromkeys(("50001", "50004", "50013", "50026"), ExchangeUnavailable),
    }
    rest_url = "https://www.okx.com"
    ws_url = "wss://ws.okx.com/ws/v5"
    unknown = re.compile(r"^510(01|15):|^60018: .*instId:.* doesn't exist")
    suffix: ClassVar[str] = "-SWAP"
    inst_type: ClassVar[str] = "SWAP"

    intervals: ClassVar[Mapping[Interval, str]] = _INTERVALS
    page_size = 300
    limits = (RateLimit(20, 2),)
    book_limits: ClassVar[tuple[RateLimit, ...]] = (RateLimit(40, 2),)
    slow_limits: ClassVar[tuple[RateLimit, ...]] = (RateLimit(10, 2),)
    """Limits of the clock and of funding rates."""
    rest_row = CandleLayout(0, 1, 2, 3, 4, 5, None, 7, closed=8, path=("data",), newest_first=True)
    live_intervals: ClassVar[Mapping[Interval, str]] = _INTERVALS
    live_closes = True
    socket = SocketRules(messages=RateLimit(480, 3600), connects=RateLimit(3, 1), ping_every_s=20, idle_s=30,
                         closing=re.compile(rb'"64008"'))  # fmt: skip
    book_depths = (1, 5, 400)
    book_rule = BookRule(Link.PREVIOUS, SnapshotSource.REST, okx_checksum)
    unverified: ClassVar[tuple[str, ...]] = (
        "history-candles is assumed to have the newest candles as soon as candles has them.",
        "1Wutc candles are assumed to open on Monday.",
        "It is not known whether the books channel still begins with a snapshot; OKX announced the end of this for August 2026. A snapshot by REST is fetched, and one of the channel is used if it is sent.",
        "A page is assumed to have 300 candles, as in the documentation of 2025; earlier versions have 100 for history-candles.",
        "A connection is assumed to accept 100 subscriptions; only a limit of 64 KB per message is documented.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return base, quote and ``SWAP`` or the day of expiry: ``BTC-USDT-SWAP`` is linear, ``BTC-USD-SWAP`` inverse."""
        suffix = f"-{day_text(instrument.expiry)}" if instrument.expiry else self.suffix
        return f"{instrument.base}-{instrument.quote}{suffix}"

    def oldest(self, interval: Interval, now: Micros) -> Micros | None:
        """Return the limit of three months for candles of a second; there is none for others."""
        return (
            interval.ceil(now - _SECONDS_RETENTION) if interval is Interval.SECOND_1 else super().oldest(interval, now)
        )

    def _request(self, path: str, limits: tuple[RateLimit, ...], **params: str | int) -> Request:
        return Request(f"{self.rest_url}/api/v5{path}", params, limits=limits)

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Return the URL; candles left the public socket in June 2023."""
        return f"{self.ws_url}/{'business' if channel is Channel.CANDLES else 'public'}"

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Send ``after`` as the end and ``before`` as the start: pages go back in time, and both bounds are exclusive."""
        path, bar = "/market/history-candles", self.interval_name(interval)
        return self._request(path, self.limits, instId=symbol, bar=bar, limit=self.page_size, **_bounds(span))

    def server_time_request(self) -> Request:
        """Return the request for the clock."""
        return self._request("/public/time", self.slow_limits)

    def server_time(self, body: bytes) -> Micros:
        """Parse the clock, which is milliseconds as text."""
        (clock,) = _SERVER_TIME(body)
        return Unit.MILLIS.micros(clock.ts)

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Request all instruments of a kind in one page; the cursor is the next kind: contracts that expire have a separate list."""
        return self._request("/public/instruments", self.limits, instType=cursor or self.inst_type)

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse linear and inverse contracts, which are in one list; test pairs are left out."""
        listed = _INSTRUMENTS(body)
        ours = [each for each in listed if each.state != "test" and self.native.fullmatch(each.inst_id)]
        return [self._listing(each) for each in ours], _NEXT.get(listed[0].inst_type) if listed else None

    def _listing(self, each: _Instrument) -> Listing:
        base, quote, *ends = each.inst_id.split("-")
        expiry = expiry_of(ends[0]) if ends and ends[0].isdigit() else None
        value, factor = _number(each.ct_val), _number(each.ct_mult)
        return Listing(
            each.inst_id,
            Instrument.of(base, quote.removesuffix("_UM"), self.market_type, expiry),
            _STATUS.get(each.state, ListingStatus.HALTED),
            None if value is None else value * (1.0 if factor is None else factor),
            _number(each.tick_sz),
            _number(each.lot_sz),
            stated(each.list_time),
            stated(each.exp_time),
        )

    def ping(self) -> str | None:
        """Return the ping as text; without it a silent connection is closed after 30 seconds."""
        return "ping"

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Subscribe to one channel per interval."""
        names = [(f"candle{self.live_interval_name(each.interval)}", each.symbol) for each in streams]
        return self._commands(names, leave)

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Subscribe to changes of 400 levels over 100 ms; 5 levels and 1 level are sent whole each time."""
        return self._commands([(_BOOKS[depth], symbol) for symbol in symbols], leave)

    def _commands(self, names: Sequence[tuple[str, str]], leave: bool) -> list[str]:  # noqa: FBT001  # passed through
        args = [{"channel": channel, "instId": symbol} for channel, symbol in names]
        operation = "unsubscribe" if leave else "subscribe"
        return [command({"op": operation, "args": part}) for part in batches(args, self.socket.per_message)]

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse rows in the format of REST."""
        if message == b"pong":
            return ()
        push = _CANDLES(message)
        if not push.data or push.arg is None:
            return self._nothing(push)
        interval = _CHANNELS.get(push.arg.channel)
        if interval is None:
            raise MalformedResponse(f"{self.id} sent {push.arg.channel[:40]!r}, not a channel of candles")
        symbol = push.arg.symbol
        return [LiveCandle(symbol, interval, self.rest_row.candle_of_json(row)) for row in push.data]

    def _nothing(self, event: _Event) -> tuple[()]:
        if event.event == "error":
            raise self.refused(event.msg, code=event.code)
        return ()

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse updates: ``prevSeqId`` is the previous message; without changes, an empty message repeats its number."""
        if message == b"pong":
            return ()
        push = _BOOK_PUSH(message)
        if not push.data or push.arg is None:
            return self._nothing(push)
        symbol, is_snapshot = push.arg.symbol, push.action != "update"
        if push.action not in _ACTIONS and push.arg.channel not in _WHOLE:
            raise MalformedResponse(f"{self.id} does not say whether a book of {symbol[:40]!r} is a snapshot")
        if not any(book.checksum for book in push.data):
            return [_update(symbol, book, None, is_snapshot=is_snapshot) for book in push.data]
        pairs = zip(push.data, _BOOK_PUSH_TEXTS(message), strict=True)
        return [_update(symbol, book, texts, is_snapshot=is_snapshot) for book, texts in pairs]

    def book_request(self, symbol: str, depth: int) -> Request:
        """Request at most 400 levels. ``source`` is the value in the guide on starting a book from REST."""
        return self._request("/market/books", self.book_limits, instId=symbol, sz=min(depth, 400), source=0)

    def book_snapshot(self, symbol: str, body: bytes) -> BookUpdate:
        """Parse a snapshot with its digits, since updates that follow may have checksums."""
        (book,), (texts,) = _SNAPSHOT(body), _SNAPSHOT_TEXTS(body)
        return _update(symbol, book, texts, is_snapshot=True)


def _bounds(span: Span) -> dict[str, int]:
    """Return the exclusive bounds in milliseconds; pages begin at the end and go back in time."""
    start_ms, end_ms = (-(-moment // Unit.MILLIS.value) for moment in (span.start, span.end))
    return {"after": end_ms, "before": max(start_ms - 1, 0)}


class _Perpetuals(_Okx):
    """Funding rates of the two perpetuals."""

    volume_unit = "contracts"
    expiring = ENDS_WITH_DAY
    funding_page_size = 100
    """The documentation of 2025 allows 400; earlier versions and other clients have 100."""
    funding_newest_first = True

    def funding_request(self, symbol: str, span: Span, page: int = 1) -> Request:
        """Send bounds like those of candles; the exchange serves three months."""
        path, limit = "/public/funding-rate-history", self.funding_page_size
        return self._request(path, self.slow_limits, instId=symbol, limit=limit, **_bounds(span))

    def funding_rows(self, body: bytes) -> FundingColumns:
        """Parse the rates that were paid, not the predicted ones."""
        rows = _FUNDING(body)[::-1]
        times = [Unit.MILLIS.micros(row.funding_time) for row in rows]
        return FundingColumns(times, [row.realized_rate for row in rows])


@ExchangeRegistry.register("okx_spot")
class OkxSpot(_Okx):
    """Spot."""

    market_type = MarketType.SPOT
    suffix = ""
    inst_type = "SPOT"
    sites = OKX_SITES
    native = re.compile(rf"{CAPITAL}+-{CAPITAL}+", re.ASCII)
    example = "BTC-USDT or BTC/USDT"


@ExchangeRegistry.register("okx_perpetual")
class OkxPerpetual(_Perpetuals):
    """Linear; ``volume`` counts contracts. Those in dollars are spelled ``BTC-USD_UM-SWAP``, since ``USD`` is inverse."""

    market_type = MarketType.FUTURES_USDT
    native = re.compile(rf"{CAPITAL}+-(?!USD-)(?:{CAPITAL}|_)+-(SWAP|\d{{6}})", re.ASCII)
    example = "BTC-USDT-SWAP, BTC/USDT:USDT or BTC-USDT"
    unverified = (*_Okx.unverified, "Perpetuals that settle in dollars are assumed to be spelled BTC-USD_UM-SWAP.")

    def spelled(self, instrument: Instrument) -> str:
        """Return the symbol; ``USD`` alone would be the inverse perpetual."""
        quote = "USD_UM" if instrument.quote == "USD" else instrument.quote
        return super().spelled(structs.replace(instrument, quote=quote))


@ExchangeRegistry.register("okx_inverse")
class OkxInverse(_Perpetuals):
    """Inverse; ``volume`` counts contracts, ``quote_asset_volume`` is in the base asset."""

    market_type = MarketType.FUTURES_COIN
    native = re.compile(rf"{CAPITAL}+-USD-(SWAP|\d{{6}})", re.ASCII)
    example = "BTC-USD-SWAP, BTC/USD:BTC or BTC-USD"
    rest_row = structs.replace(_Okx.rest_row, quote_asset_volume=6)
