"""
Binance spot, USD-M and COIN-M: candles, order books, funding rates, and the archive.

Sources:
- https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
- https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Kline-Candlestick-Data
- https://developers.binance.com/docs/derivatives/coin-margined-futures/market-data/rest-api/Kline-Candlestick-Data
- https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Get-Funding-Rate-History
- https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
- https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams
- https://developers.binance.com/docs/derivatives/coin-margined-futures/websocket-market-streams
- https://github.com/binance/binance-public-data
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import msgspec
from msgspec import Struct, structs

from chandlery.adapter.base import ExchangeAdapter, FundingColumns
from chandlery.adapter.books import BookRule, Link, SnapshotSource, WireLevels
from chandlery.adapter.dates import stated
from chandlery.adapter.kit import command
from chandlery.adapter.layout import CandleColumns, CandleLayout
from chandlery.adapter.live import CandleStream, Channel, FollowBook, LiveCandle, Sinks, SocketRules
from chandlery.adapter.names import ENDS_WITH_DAY
from chandlery.adapter.payload import Finite, Millis, Whole, batches, reader
from chandlery.adapter.refusals import Refusals
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.sites import Sites
from chandlery.adapter.standing import standings
from chandlery.core.book import BookUpdate
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request, Shortcut
from chandlery.core.instrument import CAPITAL, Instrument, Listing, ListingStatus, MarketType, day_text, expiry_of
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import DAY, Micros, Unit, date_text
from chandlery.exchanges.binance.messages import (
    BookEvent,
    KlineEvent,
    book_event,
    book_shortcut,
    candle,
    kline_event,
    kline_shortcut,
)

# https://docs.binance.us/, https://www.binance.tr/apidocs/; ccxt 4.5.90: binanceus.
# Separate exchanges without an archive: the archive's rows are those of binance.com.
BINANCE_SITES: Sites = {
    "us": {"rest": "https://api.binance.us", "ws": "wss://stream.binance.us:9443", "archive": ""},
    "tr": {"rest": "https://api.binance.me", "ws": "wss://stream-cloud.binance.tr", "archive": ""},
}

BINANCE_KNOWN = standings("""
    WebSocket address: documented, https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams (2026-11); since 2026-04-23 USD-M has a path for each kind of stream
    candles per request: documented, https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
    range of a request: recorded, bounds are inclusive open times: recorded responses are within the requested range
    order of rows: recorded, oldest first
    history depth: recorded, archive files since 2017
    alignment: recorded, 3d candles open on every third day, for example 2024-01-01: live in 2026-09, and in files of 2017 to 2026
    closed flag: recorded, field x
    order book: recorded, all 173 messages of spot, 760 of USD-M and 2037 of COIN-M are consecutive
    streams per connection: documented, https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams (2026-11)
    funding rates per request: documented, https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Get-Funding-Rate-History
""")
BINANCE_INVERSE_KNOWN = standings(
    "alignment: unverified, 3d candles are assumed to open on the same days as those of spot and USD-M", BINANCE_KNOWN
)

SPOT_MICROS_SINCE: Micros = 1_735_689_600_000_000
"""2025-01-01: since then the spot archive uses microseconds, so that a close_time ends in ...999999."""


class _Funding(Struct):
    fundingTime: Millis  # noqa: N815  # the exchange's spelling
    fundingRate: Finite  # noqa: N815  # the exchange's spelling


class _Filter(Struct, rename="camel"):
    filter_type: str
    tick_size: Finite | None = None
    step_size: Finite | None = None


class _Symbol(Struct, rename="camel"):
    symbol: str
    base_asset: str
    quote_asset: str
    status: str = ""
    contract_status: str = ""
    contract_type: str = ""
    contract_size: Finite | None = None
    onboard_date: Millis | None = None
    delivery_date: Millis | None = None
    filters: list[_Filter] = []


class _Snapshot(Struct, rename="camel"):
    last_update_id: Whole
    bids: WireLevels
    asks: WireLevels
    time: Millis | None = msgspec.field(name="T", default=None)


_FUNDING = reader(list[_Funding], what="an array of funding rates")
_SYMBOLS = reader(list[_Symbol], "symbols", what="a list of symbols")
_SNAPSHOT = reader(_Snapshot, what="an order book")
_STATUS = {
    "TRADING": ListingStatus.LISTED,
    "PENDING_TRADING": ListingStatus.UPCOMING,
    "PRE_TRADING": ListingStatus.UPCOMING,
    "SETTLING": ListingStatus.DELISTED,
    "DELIVERED": ListingStatus.DELISTED,
    "DELIVERING": ListingStatus.DELISTED,
    "CLOSE": ListingStatus.DELISTED,
}
"""Any other status, e.g. BREAK or HALT, is a halt."""
_CLOSING = re.compile(rb'"e":\s*"serverShutdown"')


class BinanceBaseAdapter(ExchangeAdapter):
    """Common base of the three markets: rows, times, and paths below a prefix."""

    provider = DataProvider.BINANCE
    standing = BINANCE_KNOWN
    archive_url = "https://data.binance.vision"
    intervals: ClassVar[Mapping[Interval, str]] = {
        each: each.value for each in Interval if each is not Interval.SECOND_1
    }
    rest_row = archive_row = CandleLayout(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    prefix: ClassVar[str]
    archive_path: ClassVar[str]
    """Path of the market in the archive, below ``data/``."""
    never_expires: ClassVar[str] = ""
    """Suffix of a perpetual's symbol after base and quote."""
    example = "BTCUSDT, BTC/USDT or BTC-USDT"
    unknown = re.compile(r"^-(1121|1126|4144):")
    refusals = Refusals("code", ("msg",), least_status=400)
    time_path = ("serverTime",)
    live_closes = True
    live_intervals: ClassVar[Mapping[Interval, str]] = intervals
    anchors: ClassVar[Mapping[Interval, Micros]] = {Interval.DAY_3: DAY}
    """Three-day candles are counted from 1970-01-02: one begins on 2024-01-01."""
    book_depths = (1000,)
    """The streams send every change; this is the size of the snapshot."""
    socket = SocketRules(
        streams=1024, per_message=200, messages=RateLimit(10, 1), idle_s=900, lifetime_s=86_400, closing=_CLOSING
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return base and quote, and the day on which a contract expires; on COIN-M ``_PERP`` if it does not."""
        suffix = f"_{day_text(instrument.expiry)}" if instrument.expiry else self.never_expires
        return f"{instrument.base}{instrument.quote}{suffix}"

    def _request(self, path: str, weight: int, **params: str | int) -> Request:
        return Request(f"{self.rest_url}{self.prefix}{path}", params, weight=weight, limits=self.limits)

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Return the single URL of all sockets."""
        return f"{self.ws_url}/ws"

    def candles_weight(self, limit: int) -> int:
        """Return the weight of a page of ``limit`` candles; by default that of the futures."""
        return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Send both bounds as inclusive open times. The end is always sent: COIN-M pages count back from it."""
        limit = min(max(self.grid(interval).count(span.start, span.end), 1), self.page_size)
        return self._request(
            "/klines",
            self.candles_weight(limit),
            symbol=symbol,
            interval=self.interval_name(interval),
            startTime=-(-span.start // Unit.MILLIS.value),
            endTime=Unit.MILLIS.of(span.end - 1),
            limit=limit,
        )

    def first_candle_request(self, symbol: str, interval: Interval) -> Request | None:
        """Send a start without an end, which returns the oldest candles."""
        name = self.interval_name(interval)
        return self._request("/klines", self.candles_weight(1), symbol=symbol, interval=name, startTime=0, limit=1)

    def archive_request(self, symbol: str, interval: Interval, start: Micros, *, monthly: bool) -> Request:
        """Return the request for ``SYMBOL-INTERVAL-YYYY-MM[-DD].zip``; the interval of a month is spelled ``1mo``."""
        self.interval_name(interval)
        date, period = (date_text(start)[:7], "monthly") if monthly else (date_text(start), "daily")
        folder = f"/data/{self.archive_path}/{period}/klines/{symbol}/{interval.slug}"
        return Request(f"{self.archive_url}{folder}/{symbol}-{interval.slug}-{date}.zip")

    def server_time_request(self) -> Request:
        """Return the request for the clock."""
        return self._request("/time", 1)

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for all symbols, which are one page."""
        return self._request("/exchangeInfo", 20)

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse contracts of all types: a symbol that ends with a day expires, whatever its type."""
        return [self._listing(each) for each in _SYMBOLS(body)], None

    def _listing(self, each: _Symbol) -> Listing:
        steps = {one.filter_type: one.tick_size or one.step_size for one in each.filters}
        day = None if self.market_type is MarketType.SPOT else ENDS_WITH_DAY.search(each.symbol)
        ends = "DELIVERING" in each.contract_type
        return Listing(
            each.symbol,
            Instrument.of(each.base_asset, each.quote_asset, self.market_type, expiry_of(day[1]) if day else None),
            _STATUS.get("DELIVERING" if ends else each.status or each.contract_status, ListingStatus.HALTED),
            None if self.market_type is MarketType.SPOT else each.contract_size or 1.0,
            steps.get("PRICE_FILTER"),
            steps.get("LOT_SIZE"),
            stated(each.onboard_date),
            stated(each.delivery_date),
        )

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Subscribe; streams are spelled in lower case."""
        return self._commands(
            [f"{each.symbol.lower()}@kline_{self.live_interval_name(each.interval)}" for each in streams], leave
        )

    def _commands(self, names: Sequence[str], leave: bool) -> list[str]:  # noqa: FBT001  # passed through
        method = "UNSUBSCRIBE" if leave else "SUBSCRIBE"
        return [
            command({"method": method, "params": part, "id": number})
            for number, part in enumerate(batches(names, self.socket.per_message), 1)
        ]

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse one kline per message."""
        event = kline_event(message)
        k = event.k
        if k is None:
            return self._nothing(event)
        return (LiveCandle(event.s, k.i, candle(k, event.E)),)

    def live_shortcut(self, sinks: Sinks, clock: Callable[[], int]) -> Shortcut:
        """Return the fast path of klines."""
        return kline_shortcut(sinks, clock)

    def _nothing(self, event: KlineEvent | BookEvent) -> tuple[()]:
        if event.error is not None:
            raise self.refused(event.error.msg, code=event.error.code)
        return ()

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Subscribe to every change, batched over 100 ms."""
        return self._commands([f"{symbol.lower()}@depth@100ms" for symbol in symbols], leave)

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse updates: ``U`` and ``u`` are the first and the last change; futures have the previous one in ``pu``."""
        event = book_event(message)
        if event.u is None:
            return self._nothing(event)
        at_ms = event.T or event.E
        at = None if at_ms is None else at_ms * 1000
        return (
            BookUpdate(event.s, event.b, event.a, False, event.U, event.u, event.pu, at),
        )  # keyword arguments cost time

    def book_shortcut(self, sinks: Mapping[str, FollowBook]) -> Shortcut:
        """Return the fast path of updates."""
        return book_shortcut(sinks)

    def book_request(self, symbol: str, depth: int) -> Request:
        """Request a thousand levels, the maximum of all three markets."""
        limit = min(depth, 1000)
        return self._request("/depth", self.book_weight(limit), symbol=symbol, limit=limit)

    def book_weight(self, limit: int) -> int:
        """Return the weight of a snapshot of ``limit`` levels; by default that of the futures."""
        return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20

    def book_snapshot(self, symbol: str, body: bytes) -> BookUpdate:
        """Parse a snapshot; on spot it has no time."""
        book = _SNAPSHOT(body)
        at = None if book.time is None else book.time * 1000
        return BookUpdate(symbol, book.bids, book.asks, is_snapshot=True, last=book.last_update_id, at=at)


class _Perpetuals(BinanceBaseAdapter):
    """Funding rates of the futures: both bounds inclusive, oldest first, 1000 per page."""

    page_size = 1500
    expiring = ENDS_WITH_DAY
    book_rule = BookRule(Link.PREVIOUS, SnapshotSource.REST)
    funding_page_size = 1000
    funding_limits = (RateLimit(500, 300),)

    def funding_request(self, symbol: str, span: Span, page: int = 1) -> Request:
        """Request the rates in the span; a page has the oldest of them."""
        params: dict[str, str | int] = {
            "symbol": symbol,
            "startTime": -(-span.start // Unit.MILLIS.value),
            "endTime": Unit.MILLIS.of(span.end - 1),
            "limit": self.funding_page_size,
        }
        return Request(f"{self.rest_url}{self.prefix}/fundingRate", params, limits=self.funding_limits)

    def funding_rows(self, body: bytes) -> FundingColumns:
        """Parse the rates; ``fundingTime`` is in milliseconds and may be a few of them past the hour."""
        rows = _FUNDING(body)
        return FundingColumns([Unit.MILLIS.micros(row.fundingTime) for row in rows], [row.fundingRate for row in rows])


@ExchangeRegistry.register("binance_spot")
class BinanceSpot(BinanceBaseAdapter):
    """Spot: the only market with candles of seconds; every page has the same weight."""

    market_type = MarketType.SPOT
    rest_url = "https://api.binance.com"
    ws_url = "wss://stream.binance.com:9443"
    sites = BINANCE_SITES
    prefix = "/api/v3"
    archive_path = "spot"
    live_intervals = intervals = {each: each.value for each in Interval}  # noqa: RUF012  # declared as constant in the base
    page_size = 1000
    limits = (RateLimit(6000, 60),)
    socket = SocketRules(
        streams=1024, per_message=200, messages=RateLimit(5, 1), idle_s=80, lifetime_s=86_400, closing=_CLOSING
    )
    book_rule = BookRule(Link.FIRST, SnapshotSource.REST)
    native = re.compile(rf"{CAPITAL}{{4,32}}", re.ASCII)

    def candles_weight(self, limit: int) -> int:
        """Return 2 for any limit."""
        return 2

    def book_weight(self, limit: int) -> int:
        """Return the weight by spot's own steps."""
        return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250

    def candle_rows(self, body: bytes) -> CandleColumns:
        """
        Parse candles, and extend close times to microseconds.

        REST uses milliseconds, the archive microseconds since 2025. So that a candle is the same from
        either, a close_time that REST truncated is the end of that millisecond, as in the archive.
        """
        columns = super().candle_rows(body)
        if columns.close_time is None:
            return columns
        closes = zip(columns.open_time, columns.close_time, strict=True)
        return structs.replace(
            columns, close_time=[close + 999 if opened >= SPOT_MICROS_SINCE else close for opened, close in closes]
        )


@ExchangeRegistry.register("binance_perpetual")
class BinancePerpetual(_Perpetuals):
    """
    USD-M, linear: volume in the base asset.

    Since 2026-04-23 candles and books have separate sockets; the former path still acknowledges
    a subscription but sends nothing (binance-public-data#472).
    """

    market_type = MarketType.FUTURES_USDT
    rest_url = "https://fapi.binance.com"
    ws_url = "wss://fstream.binance.com"
    prefix = "/fapi/v1"
    archive_path = "futures/um"
    limits = (RateLimit(2400, 60),)
    native = re.compile(rf"{CAPITAL}{{4,32}}|{CAPITAL}{{4,32}}((?<!USD)|(?<=BUSD))_\d{{6}}", re.ASCII)
    """Dated contracts quoted in USD are COIN-M."""

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Return ``/market`` for candles, ``/public`` for books."""
        return f"{self.ws_url}/{'market' if channel is Channel.CANDLES else 'public'}/ws"


@ExchangeRegistry.register("binance_inverse")
class BinanceInverse(_Perpetuals):
    """COIN-M, inverse: ``volume`` counts contracts, ``quote_asset_volume`` is in the base asset."""

    market_type = MarketType.FUTURES_COIN
    standing = BINANCE_INVERSE_KNOWN
    rest_url = "https://dapi.binance.com"
    ws_url = "wss://dstream.binance.com"
    prefix = "/dapi/v1"
    archive_path = "futures/cm"
    limits = (RateLimit(2400, 60),)
    longest_request = 200 * DAY
    launched = 1_590_969_600_000_000
    """2020-06-01, some weeks before the first candle."""
    volume_unit = "contracts"
    example = "BTCUSD_PERP, BTC/USD:BTC or BTC-USD"
    native = re.compile(rf"{CAPITAL}{{1,29}}USD_(PERP|\d{{6}})", re.ASCII)
    never_expires = "_PERP"
    unverified = ("3d candles are assumed to open on the same days as those of spot and USD-M.",)

    def first_candle_request(self, symbol: str, interval: Interval) -> Request | None:
        """Return ``None``: a request without an end returns at most 200 days from its start."""
        return None


# The names of the documented diagrams.
BinanceAdapter = BinanceBaseAdapter
BinanceSpotAdapter = BinanceSpot
