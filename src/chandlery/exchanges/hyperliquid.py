"""
Hyperliquid spot and perpetuals: candles, order books, funding rates.

Sources:
- https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint
- https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint/perpetuals
- https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint/spot
- https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions
- https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/timeouts-and-heartbeats
- https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/rate-limits-and-user-limits

In the documentation a candle message holds an array of candles, ccxt reads a single one;
both are accepted.

Spot pairs are named ``@`` and an index, except PURR/USDC. Those whose index is known here have a
symbol such as ``BTC-USDC``, which ccxt writes likewise ``BTC/USDC`` though the coin is UBTC; the
others have the index as symbol, which the list of instruments states.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta, Struct

from chandlery.adapter.base import ExchangeAdapter, FundingColumns
from chandlery.adapter.books import BookRule, Link, SnapshotSource
from chandlery.adapter.kit import command
from chandlery.adapter.layout import CandleLayout
from chandlery.adapter.live import CandleStream, Channel, LiveCandle, SocketRules
from chandlery.adapter.payload import Finite, Millis, Whole, reader
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import standings
from chandlery.core.book import BookUpdate, Level
from chandlery.core.candle import CandleData
from chandlery.core.errors import ChandleryError, InvalidSymbol, MalformedResponse
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request, Response
from chandlery.core.instrument import LETTER, Instrument, Listing, ListingStatus, MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import HOUR, Micros, Unit

HYPERLIQUID_KNOWN = standings("""
    WebSocket address: documented, https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions
    candles per request: contradicted elsewhere, 5000 are documented; HyperLiquid.Net (2026-08) requests 1000
    range of a request: recorded, responses include the candles that contain startTime and endTime
    order of rows: recorded, oldest first
    history depth: documented, https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint
    closed flag: documented, https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions
    order book: recorded, 2026-09-24: 20 levels every 5.0 to 5.6 s since June 2026; with "fast" 5 levels every 0.54 s, requested for depths of at most 5
    streams per connection: documented, https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/rate-limits-and-user-limits
""")

HYPERLIQUID = DataProvider.register("HYPERLIQUID")

_LARGEST = 1e300


class _Level(Struct):
    px: Annotated[float, Meta(gt=0, lt=_LARGEST)]
    sz: Annotated[float, Meta(ge=0, lt=_LARGEST)]


class _Book(Struct):
    coin: str
    levels: tuple[list[_Level], list[_Level]]
    time: Millis | None = None


class _Candle(Struct):
    s: str
    i: Interval
    t: Millis
    o: Finite
    h: Finite
    l: Finite  # noqa: E741  # the exchange's spelling
    c: Finite
    v: Finite
    n: Whole | None = None


class _Message(Struct, tag_field="channel"):
    """Any socket message."""


class _CandleMessage(_Message, tag="candle"):
    data: _Candle | list[_Candle]


class _BookMessage(_Message, tag="l2Book"):
    data: _Book


class _Accepted(_Message, tag="subscriptionResponse"):
    pass


class _Pong(_Message, tag="pong"):
    pass


class _Refused(_Message, tag="error"):
    data: str


class _Funding(Struct):
    time: Millis
    fundingRate: Finite  # noqa: N815  # the exchange's spelling


class _Coin(Struct, rename="camel"):
    name: str
    sz_decimals: Annotated[int, Meta(ge=0, le=100)]
    is_delisted: bool = False


class _Token(Struct, rename="camel"):
    name: str
    index: Whole
    sz_decimals: Annotated[int, Meta(ge=0, le=100)]


class _Pair(Struct):
    name: str
    tokens: tuple[Whole, Whole]


class _SpotMeta(Struct):
    tokens: list[_Token]
    universe: list[_Pair]


_MESSAGES: Any = _CandleMessage | _BookMessage | _Accepted | _Pong | _Refused
_MESSAGE = reader(_MESSAGES, what="a message of a socket")
_BOOK = reader(_Book, what="an order book")
_FUNDINGS = reader(list[_Funding], what="an array of funding rates")
_COINS = reader(list[_Coin], "universe", what="a list of perpetuals")
_SPOT_META = reader(_SpotMeta, what="a list of spot pairs")

_GREETING = b"Websocket connection established."
_HARMLESS = ("Already subscribed", "Already unsubscribed")
_QUOTE = "USDC"


class _Hyperliquid(ExchangeAdapter):
    """Common base of both markets: one path for all requests, which differ in their ``type``."""

    provider = HYPERLIQUID
    standing = HYPERLIQUID_KNOWN
    time_path = ("time",)
    cased = True
    rest_url = "https://api.hyperliquid.xyz"
    ws_url = "wss://api.hyperliquid.xyz"
    # Weeks begin on Thursday, as multiples of seven days since 1970, and are therefore left out.
    intervals: ClassVar[Mapping[Interval, str]] = {
        each: each.value for each in Interval if each.value not in {"1s", "6h", "1w"}
    }
    live_intervals: ClassVar[Mapping[Interval, str]] = intervals
    page_size = 5000
    retained_candles = 5000
    launched: ClassVar[Micros] = 1_672_531_200_000_000
    """2023-01-01, the year in which the exchange opened."""
    limits = (RateLimit(1200, 60),)
    sends_empty_candles = False
    rest_row = CandleLayout("t", "o", "h", "l", "c", "v", close_time="T", count="n")
    socket = SocketRules(streams=1000, per_message=1, messages=RateLimit(2000, 60), ping_every_s=30)
    book_depths = (5, 20)
    """The five best levels are sent twice a second; all twenty only every five seconds, since June 2026."""
    book_rule = BookRule(Link.NONE, SnapshotSource.STREAM)
    unverified = (
        "The 5000 available candles are assumed to include the running one.",
        "Candles without trades are assumed to be omitted.",
        "3d candles are assumed to be counted from 1970-01-01, because weeks are.",
        "Months are assumed to open on their first day.",
    )

    def coin(self, symbol: str) -> str:
        """Return the exchange's name of a symbol in requests."""
        return symbol

    def symbol_of(self, coin: str) -> str:
        """Return the symbol of a coin in an answer."""
        return coin

    def _ask(self, weight: int, **question: Any) -> Request:
        return Request(
            f"{self.rest_url}/info",
            headers={"Content-Type": "application/json"},
            method="POST",
            body=msgspec.json.encode(question),
            weight=weight,
            limits=self.limits,
        )

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Send both bounds as inclusive open times; each sixty candles add one to the weight."""
        asked = {
            "coin": self.coin(symbol),
            "interval": self.interval_name(interval),
            "startTime": Unit.MILLIS.of(interval.ceil(span.start)),
            "endTime": Unit.MILLIS.of(span.end - 1),
        }
        return self._ask(20 + self.grid(interval).count(span.start, span.end) // 60, type="candleSnapshot", req=asked)

    def server_time_request(self) -> Request:
        """Request the exchange's status, which has the clock."""
        return self._ask(2, type="exchangeStatus")

    def error(self, response: Response) -> ChandleryError | None:
        """Parse ``null`` in place of data, or a status with a message in plain text."""
        if response.body == b"null":
            return self.unknown_symbol("null")
        if response.status < 400:
            return None
        return self.refused(response.body[:200].decode(errors="replace"), status=response.status)

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Return the single URL of all sockets."""
        return f"{self.ws_url}/ws"

    def ping(self) -> str | None:
        """Return the ping; a connection is cut after a minute without a message."""
        return '{"method":"ping"}'

    def _command(self, leave: bool, **subscription: str | bool) -> str:  # noqa: FBT001  # passed through
        method = "unsubscribe" if leave else "subscribe"
        return command({"method": method, "subscription": subscription})

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Subscribe by one message per stream."""
        return [
            self._command(
                leave, type="candle", coin=self.coin(each.symbol), interval=self.live_interval_name(each.interval)
            )
            for each in streams
        ]

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse the running candle; it has no closed flag, the next candle closes it."""
        said = self._read(message)
        if not isinstance(said, _CandleMessage):
            return self._nothing(said)
        return [
            LiveCandle(
                self.symbol_of(k.s),
                k.i,
                CandleData(k.t * 1000, k.o, k.h, k.l, k.c, k.v, None, k.n, closed=False),
            )
            for k in (said.data if isinstance(said.data, list) else (said.data,))
        ]

    def _read(self, message: bytes) -> _Message:
        return _Pong() if message == _GREETING else _MESSAGE(message)

    def _nothing(self, said: _Message) -> tuple[()]:
        if isinstance(said, _Refused) and not said.data.startswith(_HARMLESS):
            raise self.refused(said.data)
        return ()

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Subscribe by one message per book; ``fast`` is the book of five levels."""
        fast = {"fast": True} if depth <= self.book_depths[0] else {}
        return [self._command(leave, type="l2Book", coin=self.coin(symbol), **fast) for symbol in symbols]

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse a message, which is the whole book of five or twenty levels a side; it may be empty."""
        said = self._read(message)
        if not isinstance(said, _BookMessage):
            return self._nothing(said)
        return (self._whole(self.symbol_of(said.data.coin), said.data),)

    def _whole(self, symbol: str, book: _Book) -> BookUpdate:
        bids, asks = book.levels
        at = None if book.time is None else book.time * 1000
        return BookUpdate(symbol, _levels(bids), _levels(asks), is_snapshot=True, at=at)

    def book_request(self, symbol: str, depth: int) -> Request:
        """Request a book, always of twenty levels a side."""
        return self._ask(2, type="l2Book", coin=self.coin(symbol))

    def book_snapshot(self, symbol: str, body: bytes) -> BookUpdate:
        """Parse the book, which has the format of the socket."""
        return self._whole(symbol, _BOOK(body))


def _levels(levels: list[_Level]) -> list[Level]:
    return [(each.px, each.sz) for each in levels]


_INDEXED = {"HYPE-USDC": "@107", "BTC-USDC": "@142", "ETH-USDC": "@151"}
_NAMES = {coin: symbol for symbol, coin in _INDEXED.items()}
_CANONICAL = "PURR-USDC"
_BRIDGED = {"UBTC": "BTC", "UETH": "ETH"}
"""Tokens that represent a coin of another chain."""


@ExchangeRegistry.register("hyperliquid_spot")
class HyperliquidSpot(_Hyperliquid):
    """Spot: a few pairs by name, all by index."""

    market_type = MarketType.SPOT
    native = re.compile(rf"@\d{{1,6}}|{'|'.join((*_INDEXED, _CANONICAL))}", re.ASCII)
    example = "BTC-USDC, BTC/USDC or @107"

    def symbol(self, text: str) -> str:
        """Return the symbol; a pair with a name is never spelled by its index."""
        found = super().symbol(text)
        return _NAMES.get(found, found)

    def spelled(self, instrument: Instrument) -> str:
        """
        Return the name, with a dash.

        Raises:
            InvalidSymbol: For pairs whose index is not known here.
        """
        name = f"{instrument.base}-{instrument.quote}"
        if name in _INDEXED or name == _CANONICAL:
            return name
        raise InvalidSymbol(
            f"{self.id} names {instrument} by an index; use that, e.g. @107, from its list of instruments"
        )

    def coin(self, symbol: str) -> str:
        """Return the index, or the name with a slash."""
        return _INDEXED.get(symbol) or symbol.replace("-", "/")

    def symbol_of(self, coin: str) -> str:
        """Return the symbol of an index or name."""
        return _NAMES.get(coin) or coin.replace("/", "-")

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for all pairs, which are one page."""
        return self._ask(20, type="spotMeta")

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse pairs; prices have five significant figures, so there is no price step."""
        meta = _SPOT_META(body)
        tokens = {token.index: token for token in meta.tokens}
        try:
            return [self._listing(pair.name, *map(tokens.__getitem__, pair.tokens)) for pair in meta.universe], None
        except KeyError as error:
            raise MalformedResponse(f"{self.id} lists a pair of an unknown token, {error}") from error

    def _listing(self, name: str, base: _Token, quote: _Token) -> Listing:
        instrument = Instrument.of(_BRIDGED.get(base.name, base.name), quote.name, self.market_type)
        return Listing(self.symbol_of(name), instrument, ListingStatus.LISTED, lot_size=10.0**-base.sz_decimals)


_KILO = frozenset({"KBONK", "KDOGS", "KFLOKI", "KLUNC", "KNEIRO", "KPEPE", "KSHIB"})
"""Coins that are traded by the thousand, in capitals."""


def _cased(coin: str) -> str:
    """Return the coin with the k of thousands in lower case."""
    return f"k{coin[1:]}" if coin in _KILO else coin


@ExchangeRegistry.register("hyperliquid_perpetual")
class HyperliquidPerpetual(_Hyperliquid):
    """Perpetuals of the exchange itself, settled in USDC; those of third-party exchanges on it are left out."""

    market_type = MarketType.FUTURES_USDT
    native = re.compile(rf"{LETTER}{{1,24}}(?<!USD)(?<!USD[CT])", re.ASCII)
    example = "BTC, BTC/USDC:USDC or BTC-USDC"
    funding_page_size = 500

    def folded(self, text: str) -> str:
        """Convert ``kPEPE`` and similar coins to the exchange's case, from any case."""
        return _cased(super().folded(text))

    def spelled(self, instrument: Instrument) -> str:
        """Return the base only; all are quoted in USDC."""
        if instrument.quote != _QUOTE:
            raise InvalidSymbol(f"{self.id} settles in {_QUOTE}, so it has no {instrument}; it has e.g. {self.example}")
        return _cased(instrument.base)

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for all perpetuals, which are one page."""
        return self._ask(20, type="meta")

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse perpetuals; prices have five significant figures, so there is no price step."""
        return [
            Listing(
                each.name,
                Instrument.of(each.name, _QUOTE, self.market_type),
                ListingStatus.DELISTED if each.is_delisted else ListingStatus.LISTED,
                1.0,
                lot_size=10.0**-each.sz_decimals,
            )
            for each in _COINS(body)
        ], None

    def funding_request(self, symbol: str, span: Span, page: int = 1) -> Request:
        """Send both bounds, which are inclusive, oldest first; there is a rate per hour, and each twenty add one to the weight."""
        count = min((span.end - span.start) // HOUR + 1, self.funding_page_size)
        start, end = -(-span.start // Unit.MILLIS.value), Unit.MILLIS.of(span.end - 1)
        return self._ask(20 + count // 20, type="fundingHistory", coin=symbol, startTime=start, endTime=end)

    def funding_rows(self, body: bytes) -> FundingColumns:
        """Parse the rates; ``time`` may be a few milliseconds past the hour."""
        rows = _FUNDINGS(body)
        return FundingColumns([Unit.MILLIS.micros(row.time) for row in rows], [row.fundingRate for row in rows])
