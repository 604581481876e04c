"""
Gate.io spot and contracts, settled in USDT and in BTC: candles, order books, funding rates.

Sources:
- https://www.gate.com/docs/developers/apiv4/en/#market-k-line-chart
- https://www.gate.com/docs/developers/apiv4/en/#futures-market-k-line-chart
- https://www.gate.com/docs/developers/apiv4/en/#futures-market-k-line-chart-2 (contracts that expire)
- https://www.gate.com/docs/developers/apiv4/en/#futures-market-historical-funding-rate
- https://www.gate.com/docs/developers/apiv4/ws/en/#candlesticks-channel
- https://www.gate.com/docs/developers/apiv4/ws/en/#order-book-v2-api
- https://www.gate.com/docs/developers/futures/ws/en/#candlesticks-api
- https://www.gate.com/docs/developers/futures/ws/en/#order-book-v2-api

ccxt reads the contracts' books from ``futures.order_book_update`` and a snapshot by REST. Here all
markets use version 2 of the channel, which begins with the snapshot, so that nothing is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta, Struct

from chandlery.adapter.base import ExchangeAdapter, FundingColumns
from chandlery.adapter.books import BookRule, Link, SnapshotSource, WireLevels
from chandlery.adapter.dates import lasting, stated
from chandlery.adapter.kit import command
from chandlery.adapter.layout import CandleLayout
from chandlery.adapter.live import CandleStream, Channel, LiveCandle, SocketRules
from chandlery.adapter.payload import Finite, Millis, Seconds, Whole, reader, sent_at, step_of
from chandlery.adapter.refusals import Passing, Refusals
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.sites import Sites
from chandlery.adapter.standing import standings
from chandlery.core.book import BookUpdate
from chandlery.core.candle import CandleData
from chandlery.core.errors import MalformedResponse, RateLimited
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request
from chandlery.core.instrument import CAPITAL, Instrument, Listing, ListingStatus, MarketType, day_text, expiry_of
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import SECOND, Unit

# ccxt 4.5.90: gateeu.
GATE_SITES: Sites = {"eu": {"rest": "https://api.gateeu.com/api/v4", "ws": "wss://api.gateeu.com/ws/v4"}}

GATE_KNOWN = standings("""
    WebSocket address: documented, https://www.gate.com/docs/developers/apiv4/ws/en/
    candles per request: documented, https://www.gate.com/docs/developers/apiv4/en/#market-k-line-chart
    order of rows: documented, https://www.gate.com/docs/developers/apiv4/en/#market-k-line-chart
    history depth: documented, https://www.gate.com/docs/developers/apiv4/en/#market-k-line-chart
    closed flag: documented, https://www.gate.com/docs/developers/apiv4/ws/en/#candlesticks-channel
    order book: documented, https://www.gate.com/docs/developers/apiv4/ws/en/#order-book-v2-api; contracts were recorded, in the same form
""")
GATE_CONTRACTS_KNOWN = standings(
    """
    candles per request: documented, https://www.gate.com/docs/developers/apiv4/en/#futures-market-k-line-chart
    order book: recorded, 2026-09-15, 150 contracts: U is the previous u + 1 in 39000 messages, some of which change nothing; levels beyond the depth are deleted
    """,
    GATE_KNOWN,
)

_GATE = DataProvider.register("GATE")

_Digits = Annotated[int, Meta(ge=0, le=30)]


class _Refusal(Struct):
    code: Whole
    message: str = ""


class _Event(Struct):
    """A socket message: data, or the answer to a command. In the documentation data have no event."""

    time_ms: Millis | None = None
    event: str = "update"
    type: str = ""
    channel: str = ""
    error: _Refusal | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")


class _Candle(Struct):
    """A candle: ``n`` is interval and symbol. ``v`` counts contracts; on spot it is in the quote currency."""

    t: Seconds
    o: Finite
    h: Finite
    l: Finite  # noqa: E741  # the exchange's spelling
    c: Finite
    n: str
    v: Finite | None = None


class _SpotCandle(_Candle, kw_only=True):
    """A candle of spot: ``a`` is in the base currency. Contracts have it too, but its meaning is not documented."""

    a: Finite
    w: bool = False


class _ContractCandle(_Candle, kw_only=True):
    v: Finite


class _Book(Struct):
    """A book: ``s`` names the subscription, e.g. ``ob.BTC_USDT.50``; a full book has no ``U``."""

    s: str
    u: Whole
    t: Millis | None = None
    U: Whole | None = None
    full: bool = False
    b: WireLevels = []
    a: WireLevels = []


class _Pair(Struct):
    id: str
    base: str
    quote: str
    trade_status: str
    precision: _Digits | None = None
    amount_precision: _Digits | None = None
    buy_start: Seconds = 0
    sell_start: Seconds = 0


class _Contract(Struct):
    name: str
    quanto_multiplier: Finite
    order_price_round: Finite | None = None
    order_size_min: Finite | None = None
    status: str = "trading"
    in_delisting: bool = False
    enable_decimal: bool = False
    launch_time: Seconds = 0
    create_time: Seconds = 0
    expire_time: Seconds = 0
    funding_interval: Whole | None = None


class _Rate(Struct):
    t: Seconds
    r: Finite


_EVENT = reader(_Event, what="a message of Gate's sockets")
_SPOT_CANDLE = reader(_SpotCandle, what="a live candle")
_CONTRACT_CANDLES = reader(list[_ContractCandle], what="an array of live candles")
_BOOK = reader(_Book, what="an update of an order book")
_PAIRS = reader(list[_Pair], what="a list of pairs")
_CONTRACTS = reader(list[_Contract], what="a list of contracts")
_RATES = reader(list[_Rate], what="an array of funding rates")

_STATUS = {"trading": ListingStatus.LISTED, "prelaunch": ListingStatus.UPCOMING}
_STATUS |= dict.fromkeys(("delisting", "delisted"), ListingStatus.DELISTED)
"""Any other status, e.g. suspend or circuit_breaker, is a halt."""

# 7d is counted from 1970-01-01, a Thursday, so it is left out.
_NAMED = {name: Interval(name) for name in ("1m", "5m", "15m", "30m", "1h", "4h", "8h", "1d")}
_STREAMED = {interval: name for name, interval in _NAMED.items()}


class _Gate(ExchangeAdapter):
    """Common base of the markets: REST below ``path``, channels that begin with ``market``, and the envelopes."""

    provider = _GATE
    standing = GATE_KNOWN
    refusals = Refusals("label", ("message",), least_status=400)
    passing: ClassVar[Passing] = dict.fromkeys(("TOO_MANY_REQUESTS", "TOO_FAST"), RateLimited)
    time_path = ("server_time",)
    rest_url = "https://api.gateio.ws/api/v4"
    unknown = re.compile(
        r"^(INVALID_CURRENCY|INVALID_CURRENCY_PAIR|CONTRACT_NOT_FOUND):|unknown (currency pair|contract)"
    )
    path: ClassVar[str]
    delivery_path: ClassVar[str | None] = None
    """Path of the contracts that expire; ``None`` without any."""
    market: ClassVar[str]
    symbol_key: ClassVar[str]
    headers: ClassVar[Mapping[str, str]] = {}
    retained_candles = 10_000
    limits = (RateLimit(200, 10),)
    live_intervals = _STREAMED
    socket = SocketRules(per_message=1, ping_every_s=15, closing=re.compile(rb'"upgrade"|service_upgrade'))
    book_depths = (50, 400)
    book_rule = BookRule(Link.FIRST, SnapshotSource.STREAM, truncates=True)
    unverified: ClassVar[tuple[str, ...]] = (
        "from and to of a request are both assumed to be inclusive.",
        "Candles of a day and longer are assumed to open at 00:00 UTC.",
        "The latest 10,000 candles are assumed to include the running one.",
        "Subscriptions are assumed to need no time field; the documentation requires it, but its examples contain arbitrary numbers.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return base, quote and, if it has one, the day of expiry with its century, joined by underscores."""
        day = f"_20{day_text(instrument.expiry)}" if instrument.expiry else ""
        return f"{instrument.base}_{instrument.quote}{day}"

    def _get(self, path: str, **params: str | int) -> Request:
        return Request(f"{self.rest_url}{path}", params, self.headers, limits=self.limits)

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Send the first and the last open time of the span; a limit besides would be refused."""
        first = max(interval.ceil(span.start), 0)
        last = max(interval.step(interval.ceil(span.end), -1), first)
        bounds = {"from": Unit.SECONDS.of(first), "to": Unit.SECONDS.of(last)}
        name = self.interval_name(interval)
        path = (self.delivery_path if self.expires(symbol) else None) or self.path
        return self._get(f"{path}/candlesticks", **{self.symbol_key: symbol}, interval=name, **bounds)

    def server_time_request(self) -> Request:
        """Return the request for the clock, which all markets share."""
        return self._get("/spot/time")

    def ping(self) -> str | None:
        """Return the ping, which is answered on the channel ``pong``."""
        return f'{{"channel":"{self.market}.ping"}}'

    def _command(self, channel: str, payload: list[str], leave: bool) -> str:  # noqa: FBT001  # passed through
        event = "unsubscribe" if leave else "subscribe"
        return command({"channel": f"{self.market}.{channel}", "event": event, "payload": payload})

    def _update(self, message: bytes) -> _Event | None:
        """Parse a message with data; ``None`` for the answer to a command, and for the notice of a service upgrade."""
        event = _EVENT(message)
        if event.error is not None:
            raise self.refused(event.error.message, code=event.error.code)
        says_nothing = event.event != "update" or event.type == "upgrade" or event.channel.endswith("service_upgrade")
        return None if says_nothing else event

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Subscribe by one message per stream."""
        name = self.live_interval_name
        return [self._command("candlesticks", [name(each.interval), each.symbol], leave) for each in streams]

    def _named(self, name: str) -> tuple[str, Interval]:
        """Parse symbol and interval from e.g. ``1m_BTC_USDT``."""
        text, _, symbol = name.partition("_")
        interval = _NAMED.get(text)
        if interval is None or not symbol:
            raise MalformedResponse(f"{self.id} sent a candle of {name!r}, not an interval and a symbol")
        return symbol, interval

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Subscribe by one message per book; the first update is the whole book."""
        return [self._command("obu", [f"ob.{symbol}.{depth}"], leave) for symbol in symbols]

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse updates: ``U`` and ``u`` are the ids of the first and the last change; a full book replaces the old one."""
        event = self._update(message)
        if event is None:
            return ()
        book = _BOOK(bytes(event.result))
        kind, _, rest = book.s.partition(".")
        symbol, _, _ = rest.rpartition(".")
        if kind != "ob" or not symbol:
            raise MalformedResponse(f"{self.id} sent a book of {book.s!r}, not a symbol and a depth")
        at = sent_at(book.t)
        return (BookUpdate(symbol, book.b, book.a, is_snapshot=book.full, first=book.U, last=book.u, at=at),)


@ExchangeRegistry.register("gate_spot", aliases=("gate_io_spot",))
class GateSpot(_Gate):
    """Spot. The message with the closed flag ``w`` may be missing: then the next candle closes the candle."""

    market_type = MarketType.SPOT
    ws_url = "wss://api.gateio.ws/ws/v4"
    sites = GATE_SITES
    path = "/spot"
    market = "spot"
    symbol_key = "currency_pair"
    native = re.compile(rf"{CAPITAL}+_{CAPITAL}+", re.ASCII)
    example = "BTC_USDT, BTC/USDT or BTC-USDT"
    intervals: ClassVar[Mapping[Interval, str]] = {Interval.SECOND_1: "1s", **_STREAMED, Interval.MONTH_1: "30d"}
    page_size = 1000
    rest_row = CandleLayout(0, 5, 3, 4, 2, 6, quote_asset_volume=1, closed=7, unit=Unit.SECONDS)

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Return the single URL of all sockets, which ends with a slash."""
        return f"{self.ws_url}/"

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for all pairs, which are one page."""
        return self._get("/spot/currency_pairs")

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse pairs; one that can only be bought, or only be sold, counts as trading."""
        return [
            Listing(
                each.id,
                Instrument.of(each.base, each.quote, self.market_type),
                ListingStatus.HALTED if each.trade_status == "untradable" else ListingStatus.LISTED,
                tick_size=step_of(each.precision),
                lot_size=step_of(each.amount_precision),
                listed_at=stated(max(each.buy_start, each.sell_start), Unit.SECONDS),
            )
            for each in _PAIRS(body)
        ], None

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse one candle per message, sent every two seconds."""
        event = self._update(message)
        if event is None:
            return ()
        k = _SPOT_CANDLE(bytes(event.result))
        candle = CandleData(k.t * SECOND, k.o, k.h, k.l, k.c, k.a, k.v, closed=k.w, at=sent_at(event.time_ms))
        return (LiveCandle(*self._named(k.n), candle),)


class _GateContracts(_Gate):
    """
    Contracts.

    Without the header, sizes of contracts that trade in fractions are truncated to integers.
    The documentation allows 2000 candles; ccxt asks for at most 1999, and so does this adapter.
    """

    standing = GATE_CONTRACTS_KNOWN
    ws_url = "wss://fx-ws.gateio.ws/v4/ws"
    market = "futures"
    symbol_key = "contract"
    headers: ClassVar[Mapping[str, str]] = {"X-Gate-Size-Decimal": "1"}
    intervals: ClassVar[Mapping[Interval, str]] = {**_STREAMED, Interval.WEEK_1: "1w", Interval.MONTH_1: "30d"}
    page_size = 1999
    funding_page_size = 1000
    funding_newest_first = True
    unverified = (
        *_Gate.unverified,
        "1w and 30d candles are assumed to be served; the documentation mentions them in the text but not in the list of values.",
        "If a range has more funding rates than a page, the page is assumed to contain the latest.",
    )

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Return one URL per settlement currency."""
        return f"{self.ws_url}/{self.path.removeprefix('/futures/')}"

    def socket_headers(self) -> Mapping[str, str]:
        """Return the header that requests decimal sizes."""
        return self.headers

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Request all contracts in one page; the cursor is the path of those that expire."""
        return self._get(f"{cursor or self.path}/contracts")

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse contracts; the inverse one has a value of 1 USD, which is sent as 0."""
        listed = _CONTRACTS(body)
        is_last = not listed or any(self.expires(each.name) for each in listed)
        ours = [self._listing(each) for each in listed if self.native.fullmatch(each.name)]
        return ours, None if is_last else self.delivery_path

    def _listing(self, each: _Contract) -> Listing:
        base, quote, *day = each.name.split("_")
        return Listing(
            each.name,
            Instrument.of(base, quote, self.market_type, expiry_of(day[0][2:]) if day else None),
            ListingStatus.DELISTED if each.in_delisting else _STATUS.get(each.status, ListingStatus.HALTED),
            each.quanto_multiplier or 1.0,
            each.order_price_round,
            each.order_size_min if each.enable_decimal else 1.0,
            stated(each.launch_time or each.create_time, Unit.SECONDS),
            stated(each.expire_time, Unit.SECONDS),
            lasting(each.funding_interval, SECOND),
        )

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse candles; a message may hold several, and there is no closed flag."""
        event = self._update(message)
        if event is None:
            return ()
        at = sent_at(event.time_ms)
        return [
            LiveCandle(*self._named(k.n), CandleData(k.t * SECOND, k.o, k.h, k.l, k.c, k.v, closed=False, at=at))
            for k in _CONTRACT_CANDLES(bytes(event.result))
        ]

    def funding_request(self, symbol: str, span: Span, page: int = 1) -> Request:
        """Send both bounds, which are inclusive."""
        bounds = {"from": -(-span.start // SECOND), "to": Unit.SECONDS.of(span.end - 1)}
        return self._get(f"{self.path}/funding_rate", contract=symbol, limit=self.funding_page_size, **bounds)

    def funding_rows(self, body: bytes) -> FundingColumns:
        """Parse the rates, which are sent latest first; times are in seconds."""
        rows = sorted((row.t, row.r) for row in _RATES(body))
        return FundingColumns([moment * SECOND for moment, _ in rows], [rate for _, rate in rows])


@ExchangeRegistry.register("gate_perpetual", aliases=("gate_io_perpetual",))
class GatePerpetual(_GateContracts):
    """
    Settled in USDT: volume and sizes count contracts, each worth a fraction of the base asset.

    ``BTC_USDT_20260327`` expires. The sockets of such contracts have a URL of their own, and books in
    another form, without the snapshot that begins those of version 2.
    """

    market_type = MarketType.FUTURES_USDT
    path = "/futures/usdt"
    delivery_path = "/delivery/usdt"
    native = re.compile(rf"{CAPITAL}+_USDT(_20\d{{6}})?", re.ASCII)
    expiring = re.compile(r"_20\d{6}$", re.ASCII)
    streams_expiring = False
    example = "BTC_USDT, BTC/USDT:USDT or BTC-USDT"
    volume_unit = "contracts"
    rest_row = CandleLayout("t", "o", "h", "l", "c", "v", quote_asset_volume="sum", unit=Unit.SECONDS)
    unverified = (
        *_GateContracts.unverified,
        "Contracts that expire have WebSockets of their own (/v4/ws/delivery/usdt), which are not used: their candles are polled, and they have no live order books.",
        "Candles of contracts that expire are assumed to be available as long as those of perpetuals.",
    )


@ExchangeRegistry.register("gate_inverse", aliases=("gate_io_inverse",))
class GateInverse(_GateContracts):
    """
    Settled in BTC. Only BTC_USD is inverse: a contract is 1 USD, so that volume and sizes are in USD.

    Other contracts settled in BTC are quanto: BTC is neither their base nor their quote.
    """

    market_type = MarketType.FUTURES_COIN
    path = "/futures/btc"
    native = re.compile("BTC_USD")
    example = "BTC_USD, BTC/USD:BTC or BTC-USD"
    volume_unit = "quote"
    fixed_contract_size = 1.0
    rest_row = CandleLayout("t", "o", "h", "l", "c", "v", unit=Unit.SECONDS)
    unverified = (
        *_GateContracts.unverified,
        "Contracts that expire are documented for USDT only (/delivery/{settle}), so those settled in BTC are not supported.",
    )
