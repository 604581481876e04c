"""
KuCoin spot, linear and inverse perpetuals: candles, order books, funding rates.

Sources:
- https://www.kucoin.com/docs-new/rest/spot-trading/market-data/get-klines
- https://www.kucoin.com/docs-new/rest/futures-trading/market-data/get-klines
- https://www.kucoin.com/docs-new/rest/futures-trading/funding-fees/get-public-funding-history
- https://www.kucoin.com/docs-new/websocket-api/base-info/introduction
- https://www.kucoin.com/docs-new/3470071w0 and 3470086w0 (candles), 3470070w0 and 3470097w0 (books)
- https://www.kucoin.com/docs-new/rate-limit

A request for futures asks for 200 candles, as three clients do; the documentation has 500. Books are the
50 best levels, sent whole. ccxt builds them from changes, but on spot only 100 levels can be fetched without
a key, and a book that starts from these lacks the levels beyond them once the price has moved.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from urllib.parse import urlencode

from msgspec import Meta, Raw, Struct, structs

from chandlery.adapter.base import ExchangeAdapter, FundingColumns
from chandlery.adapter.books import BookRule, Link, SnapshotSource, WireLevels
from chandlery.adapter.dates import lasting, stated
from chandlery.adapter.kit import command, intervals_of
from chandlery.adapter.layout import CandleLayout
from chandlery.adapter.live import CandleStream, Channel, LiveCandle, SocketRules
from chandlery.adapter.names import MONTH_CODE, day_of, month_code
from chandlery.adapter.payload import Finite, Millis, Whole, batches, reader, sent_at
from chandlery.adapter.refusals import Passing, Refusals
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import standings
from chandlery.core.book import BookUpdate
from chandlery.core.errors import MalformedResponse, RateLimited
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request
from chandlery.core.instrument import CAPITAL, Instrument, Listing, ListingStatus, MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import Unit

KUCOIN_KNOWN = standings("""
    WebSocket address: recorded, 2026-09-22: each token response contains it; the classic WebSocket is still served
    candles per request: documented, https://www.kucoin.com/docs-new/rest/spot-trading/market-data/get-klines
    order of rows: documented, https://www.kucoin.com/docs-new/rest/spot-trading/market-data/get-klines
    closed flag: documented, https://www.kucoin.com/docs-new/3470071w0
    order book: recorded, 2026-09-22: 50 levels every 100 ms
    streams per connection: documented, https://www.kucoin.com/docs-new/websocket-api/base-info/introduction
""")
KUCOIN_CONTRACTS_KNOWN = standings(
    """
    candles per request: contradicted elsewhere, 500 are documented; three clients (among them ccxt 4.5.90 and Kucoin.Net of 2026-08) request 200, as chandlery does
    order of rows: documented, https://www.kucoin.com/docs-new/rest/futures-trading/market-data/get-klines
    closed flag: documented, https://www.kucoin.com/docs-new/3470086w0
    streams per connection: documented, https://www.kucoin.com/docs-new/websocket-api/base-info/introduction has no limit; its error codes have a limit of 300 per session and 100 per message, which is obeyed
    """,
    KUCOIN_KNOWN,
)

KUCOIN = DataProvider.register("KUCOIN")

_Data = TypeVar("_Data")


class _Server(Struct):
    endpoint: str


class _Token(Struct, rename="camel"):
    token: str
    instance_servers: Annotated[list[_Server], Meta(min_length=1)]


class _Symbol(Struct, rename="camel"):
    symbol: str
    enable_trading: bool
    price_increment: Finite | None = None
    base_increment: Finite | None = None


class _Contract(Struct, rename="camel"):
    symbol: str
    base_currency: str
    quote_currency: str
    is_inverse: bool
    status: str
    multiplier: Finite
    tick_size: Finite | None = None
    lot_size: Finite | None = None
    expire_date: Millis | None = None
    first_open_date: Millis | None = None
    funding_rate_granularity: Whole | None = None


class _Funding(Struct, rename="camel"):
    timepoint: Millis
    funding_rate: Finite


class _Candle(Struct):
    candles: Raw
    time: Whole | None = None


class _Book(Struct):
    """A book: messages have ``timestamp``, snapshots of spot ``time``, in milliseconds; those of futures ``ts``, in nanoseconds."""

    bids: WireLevels
    asks: WireLevels
    sequence: Whole | None = None
    timestamp: Millis | None = None
    time: Millis | None = None
    ts: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None

    def update(self, symbol: str) -> BookUpdate:
        """Convert to an update, which is always a whole book."""
        at = sent_at(self.timestamp) or sent_at(self.time) or sent_at(self.ts, 1)
        return BookUpdate(symbol, self.bids, self.asks, is_snapshot=True, last=self.sequence, at=at)


class _Event(Struct, Generic[_Data]):
    """A message: data, or the answer to a command, which is text if it is an error."""

    type: str
    topic: str = ""
    data: _Data | str | None = None
    code: Whole | str | None = None


_TOKEN = reader(_Token, "data", what="a token")
_SYMBOLS = reader(list[_Symbol], "data", what="a list of symbols")
_CONTRACTS = reader(list[_Contract], "data", what="a list of contracts")
_FUNDINGS = reader(list[_Funding], "data", what="a list of funding rates")
_SNAPSHOT = reader(_Book, "data", what="an order book")
_CANDLE = reader(_Event[_Candle], what="a message of candles")
_BOOK = reader(_Event[_Book], what="a message of an order book")

# Weeks of spot begin on Thursdays, as counted from 1970; the beginning of its months is not known.
_NAMES = intervals_of(
    "1m=1min 3m=3min 5m=5min 15m=15min 30m=30min 1h=1hour 2h=2hour 4h=4hour 6h=6hour 8h=8hour 12h=12hour 1d=1day"
)
_CONTRACT_NAMES = intervals_of("1m=1 5m=5 15m=15 30m=30 1h=60 2h=120 4h=240 8h=480 12h=720 1d=1440 1w=10080")
_INTERVAL_OF = {name: interval for interval, name in _NAMES.items()} | {"1week": Interval.WEEK_1}
_CONTRACT_LIVE_NAMES = {interval: name for name, interval in _INTERVAL_OF.items() if interval in _CONTRACT_NAMES}
_STATUS = {"Open": ListingStatus.LISTED, "BeingSettled": ListingStatus.DELISTED}
"""Any other status, e.g. Paused or CancelOnly, is a halt."""


@lru_cache(maxsize=4096)
def _stream(topic: str) -> tuple[str, Interval]:
    """Parse symbol and interval from a topic of candles."""
    symbol, _, name = topic.partition(":")[2].rpartition("_")
    interval = _INTERVAL_OF.get(name)
    if not symbol or interval is None:
        raise MalformedResponse(f"not a topic of candles: {topic[:80]!r}")
    return symbol, interval


class _KuCoin(ExchangeAdapter):
    """Common base of the three markets: envelopes, tokens, commands."""

    provider = KUCOIN
    standing = KUCOIN_KNOWN
    refusals = Refusals("code", ("msg",), fine=("200000",))
    passing: ClassVar[Passing] = dict.fromkeys(("429000", "200002"), RateLimited)
    time_path = ("data",)
    sends_empty_candles = False
    limits = (RateLimit(2000, 30),)
    unknown = re.compile(
        r"^(100003|200003):|trading pair|pair is not provided|^404: topic .* is not found", re.IGNORECASE
    )
    live_row: ClassVar[CandleLayout]
    candle_query: ClassVar[tuple[str, str, str, str]]  # path, and the names of interval, start and end
    candle_topic: ClassVar[str]
    candle_nanos = 1_000_000  # in a unit of the time of a message of candles
    book_topic: ClassVar[str]
    book_depths = (5, 50)
    book_rule = BookRule(Link.NONE, SnapshotSource.STREAM)
    socket = SocketRules(
        streams=300, per_message=100, messages=RateLimit(100, 10), connects=RateLimit(30, 60), lifetime_s=86_400,
        ping_every_s=18, idle_s=45, welcome=re.compile(rb'"type":\s*"welcome"'),
    )  # fmt: skip
    unverified: ClassVar[tuple[str, ...]] = (
        "Days are assumed to open at 00:00 UTC.",
        "It is not known whether the end of a range of candles is inclusive; requests work in both cases.",
        "An address without a key is assumed to have a budget of 2000 units per 30 seconds.",
    )

    def _request(self, path: str, weight: int, method: str = "GET", /, **params: str | int) -> Request:
        return Request(f"{self.rest_url}/api{path}", params, method=method, weight=weight, limits=self.limits)

    def server_time_request(self) -> Request:
        """Return the request for the clock."""
        return self._request("/v1/timestamp", 3)

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Set the end a unit of time after the last open time, so that it does not matter whether it is inclusive."""
        unit = self.rest_row.unit
        path, name, start, end = self.candle_query
        bounds = {start: unit.of(interval.ceil(span.start)), end: unit.of(interval.floor(span.end - 1)) + 1}
        return self._request(path, 3, symbol=symbol, **{name: self.interval_name(interval)}, **bounds)

    def handshake_request(self) -> Request | None:
        """Request a token, which lasts for a day; each connection begins with a new one."""
        return self._request("/v1/bullet-public", 10, "POST")

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Return the address in the answer, unless another one was configured."""
        granted = _TOKEN(answer or b"")
        moved = self.ws_url != type(self).ws_url
        address = self.ws_url if moved else granted.instance_servers[0].endpoint.rstrip("/")
        return f"{address}/?{urlencode({'token': granted.token})}"

    def ping(self) -> str | None:
        """Return the ping, required every 18 seconds even while data flow."""
        return '{"id":"0","type":"ping"}'

    def _commands(self, topics: Sequence[str], leave: bool) -> list[str]:  # noqa: FBT001  # passed through
        kind = "unsubscribe" if leave else "subscribe"
        return [
            command({"id": str(number), "type": kind, "topic": topic, "response": True})
            for number, topic in enumerate(topics, 1)
        ]

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Subscribe by one message per topic, ``<channel>:<symbol>_<interval>``: lists are documented for symbols only."""
        topic, name = self.candle_topic, self.live_interval_name
        return self._commands([f"{topic}:{each.symbol}_{name(each.interval)}" for each in streams], leave)

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse candles, which have no closed flag: ``trade.candles.add`` may be sent before or after the close."""
        event = _CANDLE(message)
        if not isinstance(event.data, _Candle):
            return self._nothing(event)
        at = sent_at(event.data.time, self.candle_nanos)
        return (LiveCandle(*_stream(event.topic), self.live_row.candle_of_json(event.data.candles, at)),)

    def _nothing(self, event: _Event[Any]) -> tuple[()]:
        if event.type == "error":
            busy = RateLimited(f"{self.id} requires a pause: {event.data} (code {event.code})")
            raise busy if event.code in {509, "509"} else self.refused(event.data, code=event.code)
        return ()

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Subscribe to ``<channel><depth>:<symbols>``, sent every 100 ms, changed or not."""
        parts = batches(symbols, self.socket.per_message)
        return self._commands([f"{self.book_topic}{depth}:{','.join(part)}" for part in parts], leave)

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse a message, which is a whole book; the symbol is in the topic only."""
        event = _BOOK(message)
        if not isinstance(event.data, _Book):
            return self._nothing(event)
        return (event.data.update(event.topic.partition(":")[2]),)

    def book_snapshot(self, symbol: str, body: bytes) -> BookUpdate:
        """Parse a snapshot, numbered like the messages if these are."""
        return _SNAPSHOT(body).update(symbol)


@ExchangeRegistry.register("kucoin_spot")
class KuCoinSpot(_KuCoin):
    """Spot: the latest candle first, and the close before the high."""

    market_type = MarketType.SPOT
    rest_url = "https://api.kucoin.com"
    ws_url = "wss://ws-api-spot.kucoin.com"
    native = re.compile(rf"{CAPITAL}+-{CAPITAL}+", re.ASCII)
    example = "BTC-USDT or BTC/USDT"
    intervals = live_intervals = _NAMES
    page_size = 1500
    live_row = CandleLayout(0, 1, 3, 4, 2, 5, quote_asset_volume=6, unit=Unit.SECONDS)
    rest_row = structs.replace(live_row, path=("data",), newest_first=True)
    candle_query = ("/v1/market/candles", "type", "startAt", "endAt")
    candle_topic = "/market/candles"
    candle_nanos = 1  # although the documentation speaks of microseconds
    book_topic = "/spotMarket/level2Depth"
    unverified = (
        *_KuCoin.unverified,
        "The alignment of months is not known, so they are not supported; weeks were observed to open on Thursdays.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return base and quote, joined by a dash."""
        return f"{instrument.base}-{instrument.quote}"

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for all symbols, which are one page."""
        return self._request("/v2/symbols", 4)

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse symbols; that of a renamed coin is unchanged, so the symbol determines the coins."""
        return [self._listing(each) for each in _SYMBOLS(body) if self.native.fullmatch(each.symbol)], None

    def _listing(self, each: _Symbol) -> Listing:
        instrument = Instrument.parse(each.symbol, self.market_type)
        status = ListingStatus.LISTED if each.enable_trading else ListingStatus.HALTED
        return Listing(each.symbol, instrument, status, None, each.price_increment, each.base_increment)

    def book_request(self, symbol: str, depth: int) -> Request:
        """Request 20 or 100 levels; more need a key."""
        few = depth <= 20
        return self._request(f"/v1/market/orderbook/level2_{20 if few else 100}", 2 if few else 4, symbol=symbol)


class _Perpetuals(_KuCoin):
    """Futures: volume and sizes in contracts, the oldest candle first, XBT for bitcoin."""

    standing = KUCOIN_CONTRACTS_KNOWN
    rest_url = "https://api-futures.kucoin.com"
    ws_url = "wss://ws-api-futures.kucoin.com"
    intervals = _CONTRACT_NAMES
    live_intervals = _CONTRACT_LIVE_NAMES
    page_size = 200
    volume_unit = "contracts"
    # The sixth place has a wrong volume, as documented.
    live_row = CandleLayout(0, 1, 3, 4, 2, 6, unit=Unit.SECONDS)
    candle_query = ("/v1/kline/query", "granularity", "from", "to")
    candle_topic = "/contractMarket/limitCandle"
    # The documentation states no number; its example of 69 rates is complete.
    funding_page_size = 100
    funding_newest_first = True
    book_topic = "/contractMarket/level2Depth"
    unverified = (
        *_KuCoin.unverified,
        "Weeks by REST are assumed to open on Monday, as they do on the WebSocket.",
        "The seventh column of a live candle is assumed to be the volume in contracts, as ccxt parses it.",
        "A request for a range with more than 100 funding rates is assumed to return at least the latest 100.",
        "A contract that is being settled is assumed never to trade again.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return base and quote with an M, or base, M and the month of expiry, which only contracts in dollars have."""
        base = "XBT" if instrument.base == "BTC" else instrument.base
        if instrument.expiry and instrument.quote == "USD":
            return f"{base}M{month_code(instrument.expiry)}"
        return f"{base}{instrument.quote}M"

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for all contracts, linear and inverse, perpetual or not, which are one page."""
        return self._request("/v1/contracts/active", 3)

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse linear, or inverse, contracts of any type; one with an expiry is not a perpetual."""
        inverse = self.market_type is MarketType.FUTURES_COIN
        return [
            self._listing(each)
            for each in _CONTRACTS(body)
            if each.is_inverse is inverse and self.native.fullmatch(each.symbol)
        ], None

    def _listing(self, each: _Contract) -> Listing:
        base = "BTC" if each.base_currency == "XBT" else each.base_currency
        instrument = Instrument.of(base, each.quote_currency, self.market_type, day_of(each.expire_date))
        status = _STATUS.get(each.status, ListingStatus.HALTED)
        # The multiplier of inverse contracts is negative.
        times = (
            stated(each.first_open_date),
            stated(each.expire_date),
            lasting(each.funding_rate_granularity, Unit.MILLIS.value),
        )
        return Listing(each.symbol, instrument, status, abs(each.multiplier), each.tick_size, each.lot_size, *times)

    def funding_request(self, symbol: str, span: Span, page: int = 1) -> Request:
        """Send both bounds, which are inclusive."""
        bounds = {"from": -(-span.start // Unit.MILLIS.value), "to": Unit.MILLIS.of(span.end - 1)}
        return self._request("/v1/contract/funding-rates", 5, symbol=symbol, **bounds)

    def funding_rows(self, body: bytes) -> FundingColumns:
        """Parse the rates, which are sent latest first."""
        rows = _FUNDINGS(body)[::-1]
        return FundingColumns([Unit.MILLIS.micros(row.timepoint) for row in rows], [row.funding_rate for row in rows])

    def book_request(self, symbol: str, depth: int) -> Request:
        """Request the whole book."""
        return self._request("/v1/level2/snapshot", 3, symbol=symbol)


@ExchangeRegistry.register("kucoin_perpetual")
class KuCoinPerpetual(_Perpetuals):
    """Linear, in USDT or USDC."""

    market_type = MarketType.FUTURES_USDT
    native = re.compile(rf"{CAPITAL}+(USDT|USDC)M", re.ASCII)
    example = "XBTUSDTM, BTC/USDT:USDT or BTC-USDT"
    rest_row = CandleLayout(0, 1, 2, 3, 4, 5, quote_asset_volume=6, path=("data",))


@ExchangeRegistry.register("kucoin_inverse")
class KuCoinInverse(_Perpetuals):
    """Inverse: a contract is worth one dollar. Turnover is left out, since its unit is not documented."""

    market_type = MarketType.FUTURES_COIN
    fixed_contract_size = 1.0
    native = re.compile(rf"{CAPITAL}+(USDM|M{MONTH_CODE})", re.ASCII)
    expiring = re.compile(rf"M{MONTH_CODE}$", re.ASCII)
    example = "XBTUSDM, BTC/USD:BTC or BTC-USD"
    rest_row = CandleLayout(0, 1, 2, 3, 4, 5, path=("data",))
