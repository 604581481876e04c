"""
Acme spot: candles by REST and WebSocket, order books, instruments.

| channel | variants | handling | evidence |
|---|---|---|---|
| ``candle`` | data | one candle; closed if ``x`` is true | payload ``live_candle`` |
| ``book`` | data, a whole book per message | the book is replaced | payload ``live_book`` |
| ``join``, ``leave`` | acknowledgements of commands | ignored | payload ``live_ack`` |
| ``error`` | refusal of a command | an error is raised | payload ``live_error`` |

Sources: https://acme.example/docs/candles and https://acme.example/docs/socket
"""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from msgspec import Raw, Struct

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.books import BookRule, Link, SnapshotSource, WireLevels
from chandlery.adapter.kit import command, intervals_of
from chandlery.adapter.layout import CandleLayout
from chandlery.adapter.live import CandleStream, LiveCandle, SocketRules
from chandlery.adapter.payload import Millis, reader, sent_at
from chandlery.adapter.refusals import Refusals
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import standings
from chandlery.core.book import BookUpdate
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request
from chandlery.core.instrument import CAPITAL, Instrument, Listing, ListingStatus, MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import Unit


class Push(Struct):
    """A WebSocket message; other fields are ignored."""

    channel: str
    symbol: str = ""
    interval: Interval = Interval.MINUTE_1
    row: Raw = Raw(b"null")
    error: str = ""


class Book(Struct):
    """Rows of price and size, and the exchange's time of the book."""

    bids: WireLevels
    asks: WireLevels
    now: Millis | None = None


class Pair(Struct):
    """An entry of the list of pairs."""

    base: str
    quote: str


PUSH = reader(Push, what="a message of Acme")
BOOK = reader(Book, what="an order book of Acme")
PAIRS = reader(list[Pair], "pairs", what="Acme's list of pairs")


@ExchangeRegistry.register("acme_spot")
class AcmeSpot(ExchangeAdapter):
    """Rows newest first, ``to`` exclusive, 500 per page."""

    provider = DataProvider.register("ACME_EXCHANGE")
    market_type = MarketType.SPOT
    rest_url = "https://api.acme.example"
    ws_url = "wss://stream.acme.example"
    native = re.compile(rf"{CAPITAL}+_{CAPITAL}+")
    example = "BTC_USDT, BTC/USDT or BTC-USDT"
    intervals: ClassVar[Mapping[Interval, str]] = intervals_of("1m=1 1h=60")
    live_intervals: ClassVar[Mapping[Interval, str]] = intervals
    live_closes = True
    page_size = 500
    limits = (RateLimit(100, 10),)
    socket = SocketRules(streams=50, ping_every_s=20, idle_s=60)
    rest_row = CandleLayout("t", "o", "h", "l", "c", "v", path=("candles",), newest_first=True)
    live_row = CandleLayout("t", "o", "h", "l", "c", "v", closed="x")
    refusals = Refusals("error", ("error",), least_status=400)
    unknown = re.compile(r"no such symbol")
    time_path = ("now",)
    book_depths = (50,)
    book_rule = BookRule(Link.NONE, SnapshotSource.STREAM)
    standing = standings("""
        WebSocket address: documented, https://acme.example/docs/socket
        candles per request: documented, https://acme.example/docs/candles
        order of rows: documented, https://acme.example/docs/candles
        closed flag: documented, https://acme.example/docs/socket
        order book: documented, https://acme.example/docs/socket
    """)
    unverified = ("Candles without trades are assumed to be sent.",)

    def spelled(self, instrument: Instrument) -> str:
        """Return base and quote, joined by an underscore."""
        return f"{instrument.base}_{instrument.quote}"

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Return the request; its bounds are in milliseconds, the end exclusive."""
        bounds = {"from": Unit.MILLIS.of(span.start + 999), "to": Unit.MILLIS.of(span.end + 999)}
        return self._get("candles", symbol=symbol, interval=self.interval_name(interval), **bounds)

    def _get(self, path: str, **params: str | int) -> Request:
        return Request(f"{self.rest_url}/{path}", params, limits=self.limits)

    def server_time_request(self) -> Request:
        """Return the request for the clock."""
        return self._get("time")

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for all pairs; there are no pages."""
        return self._get("pairs")

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse the pairs; all of them are traded."""
        found = [Instrument.of(each.base, each.quote, self.market_type) for each in PAIRS(body)]
        return [Listing(self.spelled(each), each, ListingStatus.LISTED) for each in found], None

    def ping(self) -> str:
        """Return the ping; the exchange replies with a pong."""
        return command({"op": "ping"})

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Return one message for all streams."""
        names = [f"{each.symbol}:{self.live_interval_name(each.interval)}" for each in streams]
        return [command({"op": "leave" if leave else "join", "names": names})]

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse a message; it contains at most one candle."""
        push = self._push(message)
        if push.channel != "candle":
            return ()
        return (LiveCandle(push.symbol, push.interval, self.live_row.candle_of_json(push.row)),)

    def _push(self, message: bytes) -> Push:
        push = PUSH(message)
        if push.error:
            raise self.refused(push.error)
        return push

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Return one message for all symbols."""
        return [command({"op": "leave" if leave else "join", "names": [f"{each}:book" for each in symbols]})]

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse a message; it contains at most one book, always a whole one."""
        push = self._push(message)
        return (self.book_snapshot(push.symbol, bytes(push.row)),) if push.channel == "book" else ()

    def book_request(self, symbol: str, depth: int) -> Request:
        """Return the request; the exchange sends 50 levels per side."""
        return self._get("book", symbol=symbol)

    def book_snapshot(self, symbol: str, body: bytes) -> BookUpdate:
        """Parse a book by REST, or the row of a message."""
        book = BOOK(body)
        return BookUpdate(symbol, book.bids, book.asks, is_snapshot=True, at=sent_at(book.now))
