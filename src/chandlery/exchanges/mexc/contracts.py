"""
MEXC's linear and inverse perpetuals: candles, order books, funding rates.

Where ccxt and the documentation differ: REST is at ``api.mexc.com``, as in ccxt, whose
sources are newer, a snapshot of the book is below ``data``, as in recordings, and a
page has 100 funding rates, as in ccxt, and not the 1000 of the documentation.

Sources:
- https://www.mexc.com/api-docs/futures/market-endpoints/get-candlestick-data
- https://www.mexc.com/api-docs/futures/market-endpoints/get-contract-order-book-depth
- https://www.mexc.com/api-docs/futures/market-endpoints/get-contract-info
- https://www.mexc.com/api-docs/futures/market-endpoints/get-funding-rate-history
- https://www.mexc.com/api-docs/futures/websocket-api/k-line-data
- https://www.mexc.com/api-docs/futures/websocket-api/order-book-depth
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Raw, Struct

from chandlery.adapter.base import FundingColumns
from chandlery.adapter.kit import command
from chandlery.adapter.layout import CandleColumns, CandleLayout
from chandlery.adapter.live import CandleStream, Channel, LiveCandle, SocketRules
from chandlery.adapter.pages import numbered_page
from chandlery.adapter.payload import Finite, Millis, Seconds, Whole, reader, sent_at
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import standings
from chandlery.core.book import BookUpdate, Level
from chandlery.core.candle import CandleData
from chandlery.core.errors import MalformedResponse
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request
from chandlery.core.instrument import CAPITAL, Instrument, Listing, ListingStatus, MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import Unit
from chandlery.exchanges.mexc.spot import SOCKET_NAMES, Mexc, interval_of

MEXC_CONTRACTS_KNOWN = standings("""
    WebSocket address: recorded, 2026-09-15: REST moved to api.mexc.com on 2026-01-19, the WebSocket did not
    candles per request: documented, https://www.mexc.com/api-docs/futures/market-endpoints/get-candlestick-data
    order of rows: documented, https://www.mexc.com/api-docs/futures/market-endpoints/get-candlestick-data
    closed flag: documented, https://www.mexc.com/api-docs/futures/websocket-api/k-line-data
    order book: documented, https://www.mexc.com/api-docs/futures/websocket-api/order-book-depth
    funding rates per request: documented, https://www.mexc.com/api-docs/futures/market-endpoints/get-funding-rate-history
""")

_CONTRACT_STATUS = {0: ListingStatus.LISTED, 4: ListingStatus.HALTED}
"""All other contracts are being delivered, delivered, or offline."""
_LARGEST = 1e300
_Levels = list[tuple[Annotated[float, Meta(gt=0, lt=_LARGEST)], Annotated[float, Meta(ge=0, lt=_LARGEST)], Any]]
"""Rows of price, contracts, and number of orders."""


class _Contract(Struct, rename="camel"):
    symbol: str
    base_coin: str
    quote_coin: str
    settle_coin: str
    contract_size: Finite
    state: Whole
    price_unit: Finite | None = None
    vol_unit: Finite | None = None


class _Columns(Struct):
    time: list[Seconds]
    open: list[Finite]
    high: list[Finite]
    low: list[Finite]
    close: list[Finite]
    vol: list[Finite]
    amount: list[Finite] | None = None


class _Funding(Struct, rename="camel"):
    settle_time: Millis
    funding_rate: Finite


class _FundingPage(Struct, rename="camel"):
    current_page: Whole
    total_page: Whole
    result_list: list[_Funding]


class _Message(Struct):
    channel: str
    symbol: str = ""
    ts: Millis | None = None
    data: Raw = Raw(b"null")


class _Kline(Struct):
    interval: str
    t: Seconds
    o: Finite
    h: Finite
    l: Finite  # noqa: E741  # the exchange's spelling
    c: Finite
    q: Finite
    a: Finite | None = None


class _Book(Struct):
    """A book; it has ``begin`` if several changes were merged into one."""

    asks: _Levels
    bids: _Levels
    version: Whole
    begin: Whole | None = None
    timestamp: Millis | None = None


_CONTRACTS = reader(list[_Contract], "data", what="a list of contracts")
_COLUMNS = reader(_Columns, "data", what="columns of candles")
_FUNDING = reader(_FundingPage, "data", what="a page of funding rates")
_CONTRACT_SNAPSHOT = reader(_Book, "data", what="an order book")
_MESSAGE = reader(_Message, what="a message of the socket")
_KLINE = reader(_Kline, what="a candle of the socket")
_BOOK = reader(_Book, what="changes of an order book")


class _MexcContracts(Mexc):
    """Volume and book sizes in contracts; candles are sent by column; refusals have status 200."""

    standing = MEXC_CONTRACTS_KNOWN
    time_path = ("data",)
    ws_url = "wss://contract.mexc.com"
    intervals: ClassVar[Mapping[Interval, str]] = SOCKET_NAMES
    live_intervals: ClassVar[Mapping[Interval, str]] = SOCKET_NAMES
    page_size = 2000
    limits = (RateLimit(20, 2),)
    volume_unit = "contracts"
    rest_row = CandleLayout(
        "time", "open", "high", "low", "close", "vol", quote_asset_volume="amount", unit=Unit.SECONDS, path=("data",)
    )
    funding_page_size = 100
    funding_by_page = True
    socket = SocketRules(ping_every_s=15, idle_s=60)
    unverified = (
        "Days are assumed to open at 00:00 UTC.",
        "It is not known whether the bounds of a range of candles are inclusive; requests work in both cases.",
        "The history depth of candles is not documented. Candles without trades may be sent or omitted.",
        "The maximum number of levels of a book snapshot, and of streams per connection, is not documented.",
        "The history depth of funding rates is not documented; a page in 2025 covered 540 days.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return base and quote, joined by an underscore."""
        return f"{instrument.base}_{instrument.quote}"

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Send the first open time, and a second before the one after the last."""
        return self._request(
            f"/api/v1/contract/kline/{symbol}",
            interval=self.interval_name(interval),
            start=Unit.SECONDS.of(interval.ceil(span.start)),
            end=Unit.SECONDS.of(interval.ceil(span.end)) - 1,
        )

    def candle_rows(self, body: bytes) -> CandleColumns:
        """Parse columns of equal length, oldest first."""
        data = _COLUMNS(body)
        columns = (data.open, data.high, data.low, data.close, data.vol)
        if any(len(column) != len(data.time) for column in (*columns, data.amount or data.time)):
            raise MalformedResponse(f"{self.id} sent columns of candles of different lengths")
        return CandleColumns(
            [Unit.SECONDS.micros(opened) for opened in data.time],
            *columns,
            quote_asset_volume=data.amount,
        )

    def funding_request(self, symbol: str, span: Span, page: int = 1) -> Request:
        """Request a page by number only."""
        return self._request(
            "/api/v1/contract/funding_rate/history", symbol=symbol, page_num=page, page_size=self.funding_page_size
        )

    def funding_rows(self, body: bytes) -> FundingColumns:
        """Parse a page, sent latest first, which states the number of pages."""
        page = _FUNDING(body)
        rates = [(Unit.MILLIS.micros(each.settle_time), each.funding_rate) for each in page.result_list]
        return numbered_page(rates, page.current_page, page.total_page)

    def server_time_request(self) -> Request:
        """Return the request for the clock."""
        return self._request("/api/v1/contract/ping")

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for all contracts, which are one page; allowed once in five seconds."""
        return Request(f"{self.rest_url}/api/v1/contract/detail", limits=(RateLimit(1, 5),))

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse contracts settled as in this market. The symbol of a renamed coin determines the coin."""
        return [
            self._listing(each)
            for each in _CONTRACTS(body)
            if each.settle_coin == Instrument.of(each.base_coin, each.quote_coin, self.market_type).settle
        ], None

    def _listing(self, each: _Contract) -> Listing:
        base, _, quote = each.symbol.rpartition("_")
        status = _CONTRACT_STATUS.get(each.state, ListingStatus.DELISTED)
        instrument = Instrument.of(base or each.base_coin, quote, self.market_type)
        return Listing(each.symbol, instrument, status, each.contract_size, each.price_unit, each.vol_unit)

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Return the single URL of all sockets."""
        return f"{self.ws_url}/edge"

    def ping(self) -> str | None:
        """Return the ping; without it a connection is cut after a minute."""
        return '{"method":"ping"}'

    def _command(self, method: str, *, leave: bool, **param: str | bool) -> str:
        return command({"method": f"{'unsub' if leave else 'sub'}.{method}", "param": param})

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Subscribe by one message per stream."""
        return [
            self._command("kline", leave=leave, symbol=each.symbol, interval=self.live_interval_name(each.interval))
            for each in streams
        ]

    def _data(self, message: bytes, channel: str) -> _Message | None:
        """Parse a message with data of that channel; ``None`` for others."""
        event = _MESSAGE(message)
        if event.channel == "rs.error":
            raise self.refused(bytes(event.data).decode(errors="replace"))
        return event if event.channel == channel else None

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse one candle per message; there is no closed flag, the next candle closes it."""
        event = self._data(message, "push.kline")
        if event is None:
            return ()
        k = _KLINE(bytes(event.data))
        opened = Unit.SECONDS.micros(k.t)
        candle = CandleData(opened, k.o, k.h, k.l, k.c, k.q, k.a, closed=False, at=sent_at(event.ts))
        return (LiveCandle(event.symbol, interval_of(k.interval), candle),)

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Subscribe to single changes, not merged ones."""
        extra = {} if leave else {"compress": False}
        return [self._command("depth", leave=leave, symbol=symbol, **extra) for symbol in symbols]

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse updates, whose version increases by one."""
        event = self._data(message, "push.depth")
        if event is None:
            return ()
        book = _BOOK(bytes(event.data))
        first = book.version if book.begin is None else book.begin
        at = None if event.ts is None else Unit.MILLIS.micros(event.ts)
        return (
            BookUpdate(event.symbol, _levels(book.bids), _levels(book.asks), first=first, last=book.version, at=at),
        )

    def book_request(self, symbol: str, depth: int) -> Request:
        """Request as many levels as wanted, up to what exists."""
        return self._request(f"/api/v1/contract/depth/{symbol}", limit=depth)

    def book_snapshot(self, symbol: str, body: bytes) -> BookUpdate:
        """Parse a snapshot; ``version`` is that of its last change."""
        book = _CONTRACT_SNAPSHOT(body)
        at = None if book.timestamp is None else Unit.MILLIS.micros(book.timestamp)
        return BookUpdate(symbol, _levels(book.bids), _levels(book.asks), is_snapshot=True, last=book.version, at=at)


@ExchangeRegistry.register("mexc_perpetual")
class MexcPerpetual(_MexcContracts):
    """Linear: settled in the quote currency."""

    market_type = MarketType.FUTURES_USDT
    native = re.compile(rf"{CAPITAL}+_(?!USD$){CAPITAL}+", re.ASCII)
    example = "BTC_USDT, BTC/USDT:USDT or BTC-USDT"


@ExchangeRegistry.register("mexc_inverse")
class MexcInverse(_MexcContracts):
    """Inverse: quoted in USD and settled in the coin, which is the unit of ``quote_asset_volume``."""

    market_type = MarketType.FUTURES_COIN
    native = re.compile(rf"{CAPITAL}+_USD", re.ASCII)
    example = "BTC_USD, BTC/USD:BTC or BTC-USD"


def _levels(sent: _Levels) -> list[Level]:
    return [(price, size) for price, size, _ in sent]
