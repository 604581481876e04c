"""
Bitstamp spot: REST v2 and WebSocket v2.

The sockets send no candles, so live candles are polled. The channel ``order_book_`` sends the whole book, at most 100 levels a
side, whenever it changes; ``diff_order_book_`` has no ids and no checksum, so that a lost message would go unnoticed, and is
not used. An unchanged book sends nothing: each begins with a snapshot by REST.

| channel | variants | what is done | proof |
|---|---|---|---|
| ``order_book_<symbol>`` | ``data`` | the book is replaced | whole messages; ``microtimestamp`` only grows (13,577 frames, 2026-09-15) |
| any | ``bts:subscription_succeeded``, also for unknown symbols | nothing | probe of 2026-09-15 |
| any | ``bts:error`` | the subscription is refused | probe of 2026-09-15 |
| any | ``bts:heartbeat`` | nothing | documented, probe of 2026-09-15 |
| any | ``bts:request_reconnect`` | reconnect | documented |

Sources:
- https://www.bitstamp.net/api/
- https://www.bitstamp.net/websocket/v2/
- a public probe of both of 2026-09-15, and a recording of 2022-01-05 by cryptofeed
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from msgspec import Meta, Raw, Struct

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.books import BookRule, Link, Price, Size, SnapshotSource
from chandlery.adapter.kit import command, intervals_of
from chandlery.adapter.layout import CandleLayout
from chandlery.adapter.live import LiveCandle, SocketRules
from chandlery.adapter.payload import LATEST, Whole, attempt, reader, step_of
from chandlery.adapter.refusals import Passing
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import standings
from chandlery.core.book import BookUpdate
from chandlery.core.errors import ChandleryError, ExchangeUnavailable, RateLimited
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request, Response
from chandlery.core.instrument import Instrument, Listing, ListingStatus, MarketType, small_letters
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import Micros, Unit

_BITSTAMP = DataProvider.register("BITSTAMP")

_KNOWN = standings("""
    WebSocket address: recorded, 2026-09-15, and https://www.bitstamp.net/websocket/v2/
    candles per request: documented, https://www.bitstamp.net/api/#tag/Market-info/operation/GetOHLCData
    range of a request: documented, https://www.bitstamp.net/api/#tag/Market-info/operation/GetOHLCData: end takes precedence over start
    order of rows: unverified, three other clients continue from the last row
    history depth: unverified, other clients have daily candles of BTC/USD since 2011-08-18
    alignment: unverified, hours and days of published files are aligned to UTC; the alignment of 3d is not shown anywhere
    order book: recorded, 2026-09-15: 13577 messages, each a whole book, with increasing times
    streams per connection: documented, https://www.bitstamp.net/websocket/v2/
""")
_BOOK_CHANNEL = "order_book_"
_TAG = re.compile(r"<[^>]*>")


class _Refusal(Struct):
    """A refusal; the names of code and message vary."""

    response_code: str | None = None
    code: str | None = None
    response_explanation: str | None = None
    reason: str | None = None
    message: str | None = None


class _Market(Struct):
    """A market; perpetuals are in the same list."""

    market_symbol: str
    base_currency: str
    counter_currency: str
    market_type: str = "SPOT"
    trading: str = "Enabled"
    base_decimals: Whole | None = None
    counter_decimals: Whole | None = None


class _Book(Struct):
    """A book as rows of price and size, best first."""

    bids: list[tuple[Price, Size]]
    asks: list[tuple[Price, Size]]
    microtimestamp: Annotated[int, Meta(ge=0, le=LATEST)] | None = None


class _Event(Struct):
    event: str
    channel: str = ""
    data: Raw = Raw(b"null")


class _Error(Struct):
    code: Whole | str | None = None
    message: str = ""


_REFUSAL = attempt(_Refusal)
_MARKETS = reader(list[_Market], what="a list of markets")
_BOOK = reader(_Book, what="an order book")
_EVENT = reader(_Event, what="a message of the socket")
_ERROR = reader(_Error, what="an error of the socket")


@ExchangeRegistry.register("bitstamp_spot")
class BitstampSpot(ExchangeAdapter):
    """Spot: symbols in small letters, at most 1000 candles up to an end, books of 100 levels a side."""

    provider = _BITSTAMP
    standing = _KNOWN
    market_type = MarketType.SPOT
    rest_url = "https://www.bitstamp.net"
    ws_url = "wss://ws.bitstamp.net"
    native = re.compile(r"[a-z0-9\u0080-\U0010ffff]{4,32}", re.ASCII)
    small = True
    example = "btcusd, BTC/USD or BTC-USD"
    intervals: ClassVar[Mapping[Interval, str]] = intervals_of(
        "1m=60 3m=180 5m=300 15m=900 30m=1800 1h=3600 2h=7200 4h=14400 6h=21600 12h=43200 1d=86400 3d=259200"
    )
    page_size = 1000
    launched: ClassVar[Micros] = 1_313_625_600_000_000
    """2011-08-18, the first day of BTC/USD in other clients."""
    limits = (RateLimit(400, 1), RateLimit(8000, 600))
    unknown = re.compile(r"^404\S*: (?:$|.*not found)", re.IGNORECASE | re.DOTALL)
    passing: ClassVar[Passing] = {
        **dict.fromkeys(("400.002", "400.067", "400.068"), RateLimited),
        **dict.fromkeys(("500.001", "500.002", "500.009"), ExchangeUnavailable),
    }
    dated = True
    rest_row = CandleLayout(
        "timestamp", "open", "high", "low", "close", "volume", unit=Unit.SECONDS, path=("data", "ohlc")
    )
    # Messages of more than 512 bytes close the connection.
    socket = SocketRules(
        streams=1024,
        per_message=1,
        ping_every_s=20,
        lifetime_s=90 * 86_400,
        closing=re.compile(rb"bts:request_reconnect"),
    )
    book_depths = (100,)
    book_rule = BookRule(Link.NONE, SnapshotSource.REST, truncates=True)
    unverified = (
        "8000 requests in ten minutes are assumed to be allowed; 10,000 are documented, and ccxt 4.5.90 allows 8000.",
        "It is not known whether the end of a range of candles is inclusive; requests work in both cases.",
        "Candles without trades are assumed to be sent.",
        "A request for candles of an unknown symbol is assumed to return status 404, as observed for order books.",
        "The channel is assumed to continue from an order book by REST, which may be a second old; the newer one is used.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return base and quote, in small letters."""
        return small_letters(f"{instrument.base}{instrument.quote}")

    def _request(self, path: str, **params: str | int) -> Request:
        return Request(f"{self.rest_url}/api/v2/{path}/", params, limits=self.limits)

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Request as many candles as the span has, up to an end a second after the last open time, in case it is exclusive."""
        return self._request(
            f"ohlc/{symbol}",
            step=self.interval_name(interval),
            limit=min(max(self.grid(interval).count(span.start, span.end), 1), self.page_size),
            start=Unit.SECONDS.of(interval.ceil(span.start)),
            end=Unit.SECONDS.of(interval.floor(span.end - 1)) + 1,
        )

    def server_time_request(self) -> Request:
        """Return a short request whose header has the time: no endpoint serves it, and this is the shortest known answer that is not cached."""
        return self._request("ticker/btcusd")

    def error(self, response: Response) -> ChandleryError | None:
        """Parse a code and a message under varying names; the answer may also be HTML or empty."""
        if response.status < 400:
            return None
        found = _REFUSAL(response.body)
        if found is None:
            words = " ".join(_TAG.sub(" ", response.body[:500].decode(errors="replace")).split())
            return self.refused(words, status=response.status, code=response.status)
        words = found.response_explanation or found.reason or found.message or ""
        return self.refused(words, status=response.status, code=found.response_code or found.code or response.status)

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for all markets, which are one page."""
        return self._request("markets")

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse markets: one that does not trade is halted; steps are numbers of digits."""
        return [
            Listing(
                each.market_symbol,
                Instrument.of(each.base_currency, each.counter_currency, self.market_type),
                ListingStatus.LISTED if each.trading == "Enabled" else ListingStatus.HALTED,
                tick_size=step_of(each.counter_decimals),
                lot_size=step_of(each.base_decimals),
            )
            for each in _MARKETS(body)
            if each.market_type == "SPOT"
        ], None

    def ping(self) -> str:
        """Return a ping, which is answered in kind."""
        return command({"event": "bts:heartbeat"})

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Return no candles; refusals are errors."""
        self._event(message)
        return ()

    def _event(self, message: bytes) -> _Event:
        event = _EVENT(message)
        if event.event == "bts:error":
            error = _ERROR(bytes(event.data))
            raise self.refused(error.message, code=error.code)
        return event

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Subscribe by one message per symbol."""
        event = "bts:unsubscribe" if leave else "bts:subscribe"
        return [command({"event": event, "data": {"channel": f"{_BOOK_CHANNEL}{symbol}"}}) for symbol in symbols]

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse a message, which has the whole book; the symbol is in the channel."""
        event = self._event(message)
        if event.event != "data" or not event.channel.startswith(_BOOK_CHANNEL):
            return ()
        return (self.book_snapshot(event.channel.removeprefix(_BOOK_CHANNEL), bytes(event.data)),)

    def book_request(self, symbol: str, depth: int) -> Request:
        """Request all levels; the depth cannot be chosen."""
        return self._request(f"order_book/{symbol}", group=1)

    def book_snapshot(self, symbol: str, body: bytes) -> BookUpdate:
        """Parse a snapshot; the microsecond of its last change is its time and its id."""
        book = _BOOK(body)
        at = book.microtimestamp
        return BookUpdate(symbol, book.bids, book.asks, is_snapshot=True, last=at, at=at)
