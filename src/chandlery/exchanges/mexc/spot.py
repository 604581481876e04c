"""
MEXC spot, and the common base of all markets of MEXC.

Where ccxt and the documentation differ: a page has 500 candles, as in ccxt, not 1000.

Sources:
- https://www.mexc.com/api-docs/spot-v3/market-data-endpoints/klinecandlestick-data
- https://www.mexc.com/api-docs/spot-v3/market-data-endpoints/order-book
- https://www.mexc.com/api-docs/spot-v3/websocket-market-streams/k-line-streams
- https://www.mexc.com/api-docs/spot-v3/websocket-market-streams/diffdepth-stream
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import Struct

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.books import BookRule, Link, SnapshotSource, WireLevels
from chandlery.adapter.kit import command, intervals_of
from chandlery.adapter.layout import CandleLayout
from chandlery.adapter.live import CandleStream, Channel, LiveCandle, SocketRules
from chandlery.adapter.payload import Finite, Millis, Seconds, Whole, batches, reader, step_of
from chandlery.adapter.refusals import Passing, Refusals
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import standings
from chandlery.core.book import BookUpdate
from chandlery.core.candle import CandleData
from chandlery.core.errors import ExchangeUnavailable, MalformedResponse, RateLimited
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request
from chandlery.core.instrument import CAPITAL, Instrument, Listing, ListingStatus, MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import Unit
from chandlery.exchanges.mexc.protobuf import read_push

MEXC_KNOWN = standings("""
    WebSocket address: documented, https://www.mexc.com/api-docs/spot-v3/websocket-market-streams/k-line-streams
    candles per request: contradicted elsewhere, 1000 are documented; ccxt received 500, which are requested here
    order of rows: documented, https://www.mexc.com/api-docs/spot-v3/market-data-endpoints/klinecandlestick-data
    closed flag: documented, https://www.mexc.com/api-docs/spot-v3/websocket-market-streams/k-line-streams
    order book: documented, https://www.mexc.com/api-docs/spot-v3/websocket-market-streams/diffdepth-stream
    streams per connection: recorded, 2026-09-25: subscriptions beyond 30 are acknowledged, but send no data
""")

_MEXC = DataProvider.register("MEXC")
_T = TypeVar("_T")

# Weeks and months are left out, since their beginning is not documented.
SOCKET_NAMES: Mapping[Interval, str] = intervals_of(
    "1m=Min1 5m=Min5 15m=Min15 30m=Min30 1h=Min60 4h=Hour4 8h=Hour8 1d=Day1"
)
"""The spelling of the intervals on the sockets, and in REST of the contracts."""
_INTERVALS = {name: interval for interval, name in SOCKET_NAMES.items()}
_SPOT_STATUS = {"1": ListingStatus.LISTED, "2": ListingStatus.HALTED, "3": ListingStatus.DELISTED}


class _CommandReply(Struct):
    """An error, in ``msg`` on spot, in ``message`` on contracts."""

    code: Whole = 0
    msg: str | None = None
    message: str | None = None


class _Symbol(Struct, rename="camel"):
    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    base_asset_precision: Whole | None = None
    quote_asset_precision: Whole | None = None


class _Snapshot(Struct, rename="camel"):
    last_update_id: Whole
    bids: WireLevels
    asks: WireLevels


_SYMBOLS = reader(list[_Symbol], "symbols", what="a list of symbols")
_SNAPSHOT = reader(_Snapshot, what="an order book")
_ACK = reader(_CommandReply, what="an answer to a command")
_ACCEPTED = ("spot@", "PONG")
"""Prefixes of answers to commands that were accepted."""


class Mexc(ExchangeAdapter):
    """Common base of the three markets: host, sequence of the books, and errors."""

    provider = _MEXC
    standing = MEXC_KNOWN
    refusals = Refusals("code", ("msg", "message"), fine=(0, 200))
    passing: ClassVar[Passing] = {
        **dict.fromkeys((429, 510), RateLimited),
        **dict.fromkeys((500, 501, 503, 504), ExchangeUnavailable),
    }
    time_path: ClassVar[tuple[str, ...]] = ("serverTime",)
    rest_url = "https://api.mexc.com"
    unknown = re.compile(r"^(-1121|10007|30014|30021|1001):|Contract \[.*\] not exists")
    book_depths = (1000,)
    """The streams send every change; this is the size of the snapshot."""
    book_rule = BookRule(Link.FIRST, SnapshotSource.REST)

    def _request(self, path: str, weight: int = 1, **params: str | int) -> Request:
        return Request(f"{self.rest_url}{path}", params, weight=weight, limits=self.limits)


@ExchangeRegistry.register("mexc_spot")
class MexcSpot(Mexc):
    """Spot: commands and their answers are JSON, data are protobuf."""

    market_type = MarketType.SPOT
    ws_url = "wss://wbs-api.mexc.com"
    native = re.compile(rf"{CAPITAL}{{4,32}}", re.ASCII)
    example = "BTCUSDT, BTC/USDT or BTC-USDT"
    intervals: ClassVar[Mapping[Interval, str]] = {
        Interval.MINUTE_1: "1m",
        Interval.MINUTE_5: "5m",
        Interval.MINUTE_15: "15m",
        Interval.MINUTE_30: "30m",
        Interval.HOUR_1: "60m",
        Interval.HOUR_4: "4h",
        Interval.DAY_1: "1d",
    }
    live_intervals: ClassVar[Mapping[Interval, str]] = {each: SOCKET_NAMES[each] for each in intervals}
    page_size = 500
    limits = (RateLimit(500, 10),)
    rest_row = CandleLayout(0, 1, 2, 3, 4, 5, quote_asset_volume=7)
    socket = SocketRules(
        streams=30, per_message=30, messages=RateLimit(100, 1), ping_every_s=20, idle_s=60, lifetime_s=86_400
    )
    unverified = (
        "Days are assumed to open at 00:00 UTC.",
        "endTime is assumed to be exclusive, as other clients found; requests work in both cases.",
        "The history depth of candles is not documented. Candles without trades may be sent or omitted.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return base and quote."""
        return f"{instrument.base}{instrument.quote}"

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Send ``startTime``, and an exclusive ``endTime`` a millisecond before the next open time."""
        return self._request(
            "/api/v3/klines",
            symbol=symbol,
            interval=self.interval_name(interval),
            startTime=-(-span.start // Unit.MILLIS.value),
            endTime=Unit.MILLIS.of(interval.ceil(span.end)) - 1,
            limit=self.page_size,
        )

    def server_time_request(self) -> Request:
        """Return the request for the clock."""
        return self._request("/api/v3/time")

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for all symbols, which are one page."""
        return self._request("/api/v3/exchangeInfo", 10)

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse symbols, whether or not trading by API is allowed."""
        return [
            Listing(
                each.symbol,
                Instrument.of(each.base_asset, each.quote_asset, self.market_type),
                _SPOT_STATUS.get(each.status, ListingStatus.HALTED),
                tick_size=step_of(each.quote_asset_precision),
                lot_size=step_of(each.base_asset_precision),
            )
            for each in _SYMBOLS(body)
        ], None

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Return the single URL of all sockets."""
        return f"{self.ws_url}/ws"

    def ping(self) -> str | None:
        """Return the ping, answered by ``PONG``; without data a connection is cut after a minute."""
        return '{"method":"PING"}'

    def _commands(self, names: Sequence[str], leave: bool) -> list[str]:  # noqa: FBT001  # passed through
        method = "UNSUBSCRIPTION" if leave else "SUBSCRIPTION"
        return [command({"method": method, "params": part}) for part in batches(names, self.socket.per_message)]

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Subscribe; the current candle is sent once a second."""
        return self._commands(
            [f"spot@public.kline.v3.api.pb@{each.symbol}@{self.live_interval_name(each.interval)}" for each in streams],
            leave,
        )

    def _push(self, message: bytes) -> Any:
        """Parse a push; ``None`` for the answer to a command, which is JSON and contains refusals."""
        if not message.startswith(b"{"):
            return read_push(message)
        said = _ACK(message)
        text = said.msg or ""
        if said.code or (text and not text.startswith(_ACCEPTED)):
            raise self.refused(text, code=said.code)
        return None

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse one candle per message; there is no closed flag, the next candle closes it."""
        push = self._push(message)
        if push is None or not push.HasField("publicSpotKline"):
            return ()
        k = push.publicSpotKline
        opened, o, h, low, c, volume, quote, sent = _converted(
            (
                k.windowStart,
                k.openingPrice,
                k.highestPrice,
                k.lowestPrice,
                k.closingPrice,
                k.volume,
                k.amount or None,
                push.sendTime or push.createTime,
            ),
            tuple[Seconds, Finite, Finite, Finite, Finite, Finite, Finite | None, Millis],
        )
        at = Unit.MILLIS.micros(sent) if sent else None
        candle = CandleData(Unit.SECONDS.micros(opened), o, h, low, c, volume, quote, closed=False, at=at)
        return (LiveCandle(push.symbol, interval_of(k.interval), candle),)

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Subscribe to every change, batched over 100 ms."""
        return self._commands([f"spot@public.aggre.depth.v3.api.pb@100ms@{symbol}" for symbol in symbols], leave)

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse updates, whose first version is the previous last one plus one."""
        push = self._push(message)
        if push is None or not push.HasField("publicAggreDepths"):
            return ()
        depths = push.publicAggreDepths
        first, last, bids, asks, sent = _converted(
            (
                depths.fromVersion,
                depths.toVersion,
                [(each.price, each.quantity) for each in depths.bids],
                [(each.price, each.quantity) for each in depths.asks],
                push.sendTime,
            ),
            tuple[int, int, WireLevels, WireLevels, Millis],
        )
        at = Unit.MILLIS.micros(sent) if sent else None
        return (BookUpdate(push.symbol, bids, asks, first=first, last=last, at=at),)

    def book_request(self, symbol: str, depth: int) -> Request:
        """Request at most 5000 levels."""
        return self._request("/api/v3/depth", symbol=symbol, limit=min(depth, 5000))

    def book_snapshot(self, symbol: str, body: bytes) -> BookUpdate:
        """Parse a snapshot, which has no time."""
        book = _SNAPSHOT(body)
        return BookUpdate(symbol, book.bids, book.asks, is_snapshot=True, last=book.last_update_id)


def _converted(values: tuple[Any, ...], kind: type[_T]) -> _T:
    """Convert the texts of a push to numbers."""
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise MalformedResponse(f"not a message of MEXC's sockets: {error}") from error


def interval_of(name: str) -> Interval:
    """Return the interval with this name on the sockets."""
    try:
        return _INTERVALS[name]
    except KeyError:
        raise MalformedResponse(f"not a candle of MEXC: an interval {name!r} was not requested") from None
