"""
Bybit v5 spot, linear and inverse: candles, order books, funding rates.

Sources:
- https://bybit-exchange.github.io/docs/v5/market/kline
- https://bybit-exchange.github.io/docs/v5/market/orderbook
- https://bybit-exchange.github.io/docs/v5/market/history-fund-rate
- https://bybit-exchange.github.io/docs/v5/market/instrument
- https://bybit-exchange.github.io/docs/v5/market/time
- https://bybit-exchange.github.io/docs/v5/rate-limit
- https://bybit-exchange.github.io/docs/v5/error
- https://bybit-exchange.github.io/docs/v5/ws/connect
- https://bybit-exchange.github.io/docs/v5/websocket/public/kline
- https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook

For inverse candles ccxt returns the turnover, which is in the base asset, as volume; the
documentation defines ``volume`` in USD, and so does this adapter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import ClassVar
from urllib.parse import unquote

from msgspec import Struct, field

from chandlery.adapter.base import ExchangeAdapter, FundingColumns
from chandlery.adapter.books import BookRule, Link, SnapshotSource, WireLevels
from chandlery.adapter.dates import lasting, stated
from chandlery.adapter.kit import command, intervals_of
from chandlery.adapter.layout import CandleLayout
from chandlery.adapter.live import CandleStream, Channel, LiveCandle, SocketRules
from chandlery.adapter.names import DAY_MONTH_YEAR, MONTH_CODE, day_month_year, day_of, month_code
from chandlery.adapter.payload import Finite, Millis, Whole, batches, reader, sent_at
from chandlery.adapter.refusals import Passing, Refusals
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.sites import Sites
from chandlery.adapter.standing import standings
from chandlery.core.book import BookUpdate
from chandlery.core.candle import CandleData
from chandlery.core.errors import AddressBanned, ChandleryError, ExchangeUnavailable, MalformedResponse, RateLimited
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request, Response
from chandlery.core.instrument import CAPITAL, Instrument, Listing, ListingStatus, MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import MINUTE, Micros, Unit

# https://bybit-exchange.github.io/docs/v5/guide, https://bybit-exchange.github.io/docs/v5/ws/connect.
# No sockets are documented for nl, ae, eu and id: other clients use those of bybit.com.
BYBIT_SITES: Sites = {
    "nl": {"rest": "https://api.bybit.nl"},
    "tr": {"rest": "https://api.bybit-tr.com", "ws": "wss://stream.bybit-tr.com"},
    "kz": {"rest": "https://api.bybit.kz", "ws": "wss://stream.bybit.kz"},
    "ge": {"rest": "https://api.bybitgeorgia.ge", "ws": "wss://stream.bybitgeorgia.ge"},
    "ae": {"rest": "https://api.bybit.ae"},
    "eu": {"rest": "https://api.bybit.eu"},
    "id": {"rest": "https://api.bybit.id"},
}

BYBIT_KNOWN = standings("""
    WebSocket address: documented, https://bybit-exchange.github.io/docs/v5/ws/connect (2026-11)
    candles per request: documented, https://bybit-exchange.github.io/docs/v5/market/kline
    order of rows: documented, https://bybit-exchange.github.io/docs/v5/market/kline
    closed flag: documented, https://bybit-exchange.github.io/docs/v5/websocket/public/kline
    order book: documented, https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook
    streams per connection: unverified, because of one unknown topic, the whole message is refused (ccxt#30284 in 2026-09, and observed)
    funding rates per request: documented, https://bybit-exchange.github.io/docs/v5/market/history-fund-rate
""")

BYBIT = DataProvider.register("BYBIT")

_INTERVALS = intervals_of("1m=1 3m=3 5m=5 15m=15 30m=30 1h=60 2h=120 4h=240 6h=360 12h=720 1d=D 1w=W 1M=M")
_INTERVAL_OF = {name: interval for interval, name in _INTERVALS.items()}


class _Funding(Struct, rename="camel"):
    funding_rate_timestamp: Millis
    funding_rate: Finite


class _Steps(Struct, rename="camel"):
    tick_size: Finite | None = None
    qty_step: Finite | None = None
    base_precision: Finite | None = None


class _Symbol(Struct, rename="camel"):
    symbol: str
    base_coin: str
    quote_coin: str
    status: str
    price_filter: _Steps
    lot_size_filter: _Steps
    delivery_time: Millis = 0
    launch_time: Millis = 0
    funding_interval: Whole | None = None


class _Symbols(Struct):
    rows: list[_Symbol] = field(name="list")
    cursor: str = field(name="nextPageCursor", default="")


class _Kline(Struct):
    start: Millis
    open: Finite
    high: Finite
    low: Finite
    close: Finite
    volume: Finite
    turnover: Finite | None = None
    confirm: bool = False


class _Klines(Struct):
    """A candle message, or the answer to a command."""

    topic: str = ""
    ts: Millis | None = None
    data: list[_Kline] = []
    success: bool = True
    ret_msg: str = ""


class _Levels(Struct):
    s: str
    b: WireLevels
    a: WireLevels
    u: Whole
    ts: Millis | None = None


class _Book(Struct):
    """A book message, or the answer to a command."""

    type: str = ""
    ts: Millis | None = None
    data: _Levels | None = None
    success: bool = True
    ret_msg: str = ""


_FUNDINGS = reader(list[_Funding], "result", "list", what="a list of funding rates")
_SYMBOLS = reader(_Symbols, "result", what="a list of instruments")
_SNAPSHOT = reader(_Levels, "result", what="an order book")
_KLINES = reader(_Klines, what="a message of candles")
_BOOK = reader(_Book, what="a message of an order book")

_BANNED, _BAN_S = 403, 600.0
"""An address that exceeds the rate limit gets status 403 for at least ten minutes."""
_PRE_LAUNCH = "PreLaunch"
"""Pseudo-cursor of the page of instruments that do not trade yet, which must be requested by this status."""
_STATUS = {
    "Trading": ListingStatus.LISTED,
    _PRE_LAUNCH: ListingStatus.UPCOMING,
    **dict.fromkeys(("Delivering", "Closed"), ListingStatus.DELISTED),
}
_BOOK_TYPES = frozenset({"snapshot", "delta"})
_TOPIC = re.compile(r"kline\.(\w+)\.([^.]+)")


@lru_cache(maxsize=4096)
def _stream(topic: str) -> tuple[str, Interval]:
    """Parse symbol and interval from a topic."""
    found = _TOPIC.fullmatch(topic)
    interval = _INTERVAL_OF.get(found[1]) if found else None
    if found is None or interval is None:
        raise MalformedResponse(f"not a topic of candles: {topic[:80]!r}")
    return found[2], interval


class BybitAdapter(ExchangeAdapter):
    """Common base of the three markets, which differ in ``category``."""

    provider = BYBIT
    standing = BYBIT_KNOWN
    refusals = Refusals("retCode", ("retMsg",), fine=(0,))
    passing: ClassVar[Passing] = {
        **dict.fromkeys((10006, 10018), RateLimited),
        **dict.fromkeys((10000, 10016), ExchangeUnavailable),
    }
    time_path = ("time",)
    rest_url = "https://api.bybit.com"
    ws_url = "wss://stream.bybit.com"
    sites = BYBIT_SITES
    unknown = re.compile(r"^10001: .*symbol|^None: .*(invalid symbol|handler not found,topic)", re.IGNORECASE)
    category: ClassVar[str]
    book_most: ClassVar[int]
    """Number of levels a side of a book by REST."""
    intervals: ClassVar[Mapping[Interval, str]] = _INTERVALS
    live_intervals: ClassVar[Mapping[Interval, str]] = _INTERVALS
    live_closes = True
    page_size = 1000
    launched: ClassVar[Micros] = 1_483_228_800_000_000
    """2017-01-01, the year before the exchange opened."""
    limits = (RateLimit(600, 5),)
    rest_row = CandleLayout(0, 1, 2, 3, 4, 5, quote_asset_volume=6, path=("result", "list"), newest_first=True)
    socket = SocketRules(streams=500, per_message=200, connects=RateLimit(500, 300), ping_every_s=20)
    book_depths = (1, 50, 200, 1000)
    book_rule = BookRule(Link.FIRST, SnapshotSource.STREAM)
    unverified = (
        "Days are assumed to open at 00:00 UTC, weeks on Monday, and months on their first day.",
        "start is assumed to be rounded down to an open time, as ccxt reports; this does not matter, because requests use open times.",
        "Candles without trades are assumed to be sent.",
        "A connection is assumed to accept 500 topics; the documented limit is 21,000 characters.",
        "There is no documented list of instruments that are neither trading nor pre-launch, so halted and delisted ones are not listed.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return base and quote; ``BTCUSDH26`` expires in March 2026."""
        return f"{instrument.base}{instrument.quote}{month_code(instrument.expiry) if instrument.expiry else ''}"

    def _request(self, path: str, **params: str | int) -> Request:
        return Request(f"{self.rest_url}/v5/market/{path}", {"category": self.category, **params}, limits=self.limits)

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Send both bounds as inclusive open times; the limit counts back from the end."""
        start = Unit.MILLIS.of(interval.ceil(span.start))
        return self._request(
            "kline",
            symbol=symbol,
            interval=self.interval_name(interval),
            start=start,
            end=max(Unit.MILLIS.of(span.end - 1), start),
            limit=min(max(self.grid(interval).count(span.start, span.end), 1), self.page_size),
        )

    def server_time_request(self) -> Request:
        """Return the request for the clock."""
        return self._request("time")

    def error(self, response: Response) -> ChandleryError | None:
        """Parse a ``retCode`` other than 0, mostly with status 200; 403 is a ban of the address, or of its country."""
        if response.status == _BANNED and b"country" in response.body:
            return self.refused("this country is blocked", status=response.status)
        if response.status == _BANNED:
            return AddressBanned(f"{self.id} has banned this address for a while (403)", retry_after_s=_BAN_S)
        return super().error(response)

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Request pages of trading instruments, whose cursors are percent-encoded, then those that do not trade yet."""
        if cursor == _PRE_LAUNCH:
            return self._request("instruments-info", limit=1000, status=_PRE_LAUNCH)
        return self._request("instruments-info", limit=1000, **({"cursor": unquote(cursor)} if cursor else {}))

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse contracts of all types; one with a delivery date is not a perpetual."""
        page = _SYMBOLS(body)
        trading = any(each.status == "Trading" for each in page.rows)
        ahead = _PRE_LAUNCH if trading and self.market_type is not MarketType.SPOT else None
        return [self._listing(each) for each in page.rows], page.cursor or ahead

    def _listing(self, each: _Symbol) -> Listing:
        return Listing(
            each.symbol,
            Instrument.of(each.base_coin, each.quote_coin, self.market_type, day_of(each.delivery_time)),
            _STATUS.get(each.status, ListingStatus.HALTED),
            None if self.market_type is MarketType.SPOT else 1.0,
            each.price_filter.tick_size,
            each.lot_size_filter.qty_step or each.lot_size_filter.base_precision,
            stated(each.launch_time),
            stated(each.delivery_time),
            lasting(each.funding_interval, MINUTE),
        )

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Return one URL per market, for candles and books."""
        return f"{self.ws_url}/v5/public/{self.category}"

    def ping(self) -> str | None:
        """Return the ping; without it a connection is cut after ten minutes at the latest."""
        return '{"op":"ping"}'

    def _commands(self, topics: Sequence[str], leave: bool) -> list[str]:  # noqa: FBT001  # passed through
        operation = "unsubscribe" if leave else "subscribe"
        return [command({"op": operation, "args": part}) for part in batches(topics, self.socket.per_message)]

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Subscribe to topics ``kline.<interval>.<symbol>``."""
        return self._commands(
            [f"kline.{self.live_interval_name(each.interval)}.{each.symbol}" for each in streams], leave
        )

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse candles; one that closes may be sent together with the next."""
        event = _KLINES(message)
        if not event.topic:
            return self._nothing(event)
        symbol, interval = _stream(event.topic)
        at = sent_at(event.ts)
        return [
            LiveCandle(symbol, interval, CandleData(
                k.start * 1000, k.open, k.high, k.low, k.close, k.volume, k.turnover, None, None, None, k.confirm, at,
            ))
            for k in event.data
        ]  # fmt: skip

    def _nothing(self, event: _Klines | _Book) -> tuple[()]:
        if not event.success and "already subscribed" not in event.ret_msg:
            raise self.refused(event.ret_msg)
        return ()

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Subscribe to topics ``orderbook.<depth>.<symbol>``; deeper books are updated less often."""
        return self._commands([f"orderbook.{depth}.{symbol}" for symbol in symbols], leave)

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse updates: ``u`` increases by one per message; a 1 marks a restart of the service, with a whole book."""
        event = _BOOK(message)
        book = event.data
        if book is None:
            return self._nothing(event)
        if event.type not in _BOOK_TYPES:
            raise MalformedResponse(
                f"{self.id} sent a book that is neither a snapshot nor a delta: {event.type[:40]!r}"
            )
        return (
            BookUpdate(
                book.s,
                book.b,
                book.a,
                is_snapshot=event.type == "snapshot" or book.u == 1,
                first=book.u,
                last=book.u,
                at=None if event.ts is None else event.ts * 1000,
            ),
        )

    def book_request(self, symbol: str, depth: int) -> Request:
        """Request at most 200 levels of spot, 500 of contracts."""
        return self._request("orderbook", symbol=symbol, limit=min(depth, self.book_most))

    def book_snapshot(self, symbol: str, body: bytes) -> BookUpdate:
        """Parse a snapshot; its ``u`` is that of the stream of 1000 levels."""
        book = _SNAPSHOT(body)
        at = None if book.ts is None else book.ts * 1000
        return BookUpdate(symbol, book.b, book.a, is_snapshot=True, first=book.u, last=book.u, at=at)


class _Contracts(BybitAdapter):
    """Funding rates of the two contract markets: both bounds inclusive, latest first, 200 per page."""

    book_most = 500
    expiring = re.compile(rf"-{DAY_MONTH_YEAR}$|USD{MONTH_CODE}$", re.ASCII)
    funding_page_size = 200
    funding_newest_first = True

    def funding_request(self, symbol: str, span: Span, page: int = 1) -> Request:
        """Request the rates in the span; a page has the latest of them. A start without an end would be refused."""
        return self._request(
            "funding/history",
            symbol=symbol,
            startTime=-(-span.start // Unit.MILLIS.value),
            endTime=Unit.MILLIS.of(span.end - 1),
            limit=self.funding_page_size,
        )

    def funding_rows(self, body: bytes) -> FundingColumns:
        """Parse the rates, which are sent latest first."""
        rows = _FUNDINGS(body)[::-1]
        return FundingColumns(
            [Unit.MILLIS.micros(row.funding_rate_timestamp) for row in rows], [row.funding_rate for row in rows]
        )


@ExchangeRegistry.register("bybit_spot")
class BybitSpot(BybitAdapter):
    """Spot: at most ten topics per message."""

    market_type = MarketType.SPOT
    category = "spot"
    book_most = 200
    example = "BTCUSDT, BTC/USDT or BTC-USDT"
    native = re.compile(rf"{CAPITAL}{{4,32}}", re.ASCII)
    socket = SocketRules(streams=500, per_message=10, connects=RateLimit(500, 300), ping_every_s=20)


@ExchangeRegistry.register("bybit_perpetual")
class BybitPerpetual(_Contracts):
    """Linear, in USDT or USDC: volume in the base asset."""

    market_type = MarketType.FUTURES_USDT
    category = "linear"
    example = "BTCUSDT, BTC/USDT:USDT or BTC-USDT"
    native = re.compile(rf"{CAPITAL}{{1,28}}(USDT|PERP|USDT-{DAY_MONTH_YEAR}|(?<!USD)-{DAY_MONTH_YEAR})", re.ASCII)

    def spelled(self, instrument: Instrument) -> str:
        """Return ``BTCUSDT`` and ``BTCUSDT-27MAR26``, but ``BTCPERP`` and ``BTC-27MAR26`` for contracts that settle in USDC."""
        day = f"-{day_month_year(instrument.expiry)}" if instrument.expiry else ""
        quote = instrument.quote if instrument.quote != "USDC" else "" if day else "PERP"
        return f"{instrument.base}{quote}{day}"


@ExchangeRegistry.register("bybit_inverse")
class BybitInverse(_Contracts):
    """Inverse: ``volume`` is in USD, ``quote_asset_volume`` in the base asset."""

    market_type = MarketType.FUTURES_COIN
    category = "inverse"
    volume_unit = "quote"
    example = "BTCUSD, BTC/USD:BTC or BTC-USD"
    native = re.compile(rf"{CAPITAL}{{1,28}}USD({MONTH_CODE})?", re.ASCII)
