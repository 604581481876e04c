"""The interface of an exchange adapter: declarations, requests, and parsers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple

from msgspec import structs

from chandlery.adapter.books import BookRule
from chandlery.adapter.kit import clock_reader, header_time
from chandlery.adapter.layout import CandleColumns, CandleLayout
from chandlery.adapter.live import CandleStream, Channel, FollowBook, LiveCandle, Sinks, SocketRules
from chandlery.adapter.refusals import Refusing
from chandlery.adapter.standing import NOTHING, Standings
from chandlery.core.book import BookUpdate
from chandlery.core.endpoints import Endpoint, Origin, checked, origin_of
from chandlery.core.errors import UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.http import AccessToken, RateLimit, Request, Response, Shortcut
from chandlery.core.instrument import Listing
from chandlery.core.interval import AnchoredGrid, Grid, Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import SECOND, Micros, Unit


class FundingColumns(NamedTuple):
    """Funding rates by column, oldest first; times in microseconds. ``last`` is true if no numbered page follows."""

    open_time: list[Micros]
    funding_rate: list[float]
    last: bool = False


class ExchangeAdapter(Refusing):
    """
    One market of one exchange, as data and pure functions.

    The declared constants are also its row of the capability matrix. Instances hold the base URLs,
    so that a proxy, a testnet or an offline exchange can replace it, and the ``names`` learnt from
    the exchange's lists.
    """

    provider: ClassVar[DataProvider]
    rest_url: str
    ws_url: str
    archive_url: str | None = None
    auth_url: str | None = None
    """Base URL for access tokens, for exchanges that require them."""
    credentials: ClassVar[tuple[str, ...]] = ()
    """Names of the credentials that ``token_request`` needs; empty if requests need no token."""
    more_credentials: ClassVar[tuple[str, ...]] = ()
    """Names of optional credentials."""
    time_path: ClassVar[tuple[str, ...]] = ()
    """Keys of the clock in the answer to ``server_time_request``; empty if the whole body is it."""
    time_unit: ClassVar[Unit] = Unit.MILLIS
    """The unit of that clock."""
    dated: ClassVar[bool] = False
    """True if no endpoint serves the time, so that the header ``Date`` of an answer is the clock."""
    standing: ClassVar[Standings] = NOTHING
    """Evidence for each of the ``DECLARATIONS``."""
    unverified: ClassVar[tuple[str, ...]] = ()
    """Declarations that could not be checked against documentation or a recording."""

    intervals: ClassVar[Mapping[Interval, str]]
    """The exchange's spelling of each of its intervals, in requests."""
    anchors: ClassVar[Mapping[Interval, Micros]] = {}
    """Open time of any candle, for intervals with an unusual grid; rows may show another."""
    page_size: ClassVar[int]
    """Number of candles of one answer, as an initial estimate; answers may show fewer."""
    longest_request: ClassVar[Micros | None] = None
    """Longest time span of one request."""
    launched: ClassVar[Micros] = 1_262_304_000_000_000
    """Earliest time of any data; the search for the first candle begins here."""
    retention: ClassVar[Micros | None] = None
    """Age of the oldest data that it serves; ``None`` for no limit."""
    retained_candles: ClassVar[int | None] = None
    """Number of latest candles of an interval that it serves, including the running one; ``None`` for no limit."""
    limits: ClassVar[tuple[RateLimit, ...]]
    volume_unit: ClassVar[str] = "base"
    """Unit of ``volume``: ``base``, ``quote`` or ``contracts``."""
    fixed_contract_size: ClassVar[float | None] = None
    """Size of every contract if it is documented never to change, in quote if inverse, otherwise in base."""
    sends_empty_candles: ClassVar[bool] = True
    """True if it sends a candle for intervals without trades; if not, a hole may just be such an interval."""
    settle: ClassVar[Micros] = 60 * SECOND
    """Time after its close during which a candle may be late or change; it is not stored before, and read again after."""
    close_delay: ClassVar[Micros] = SECOND
    """Time after its close at which a candle is available by REST."""
    rest_row: ClassVar[CandleLayout]
    names_ends: ClassVar[bool] = False
    """True if ``candle_rows`` returns the end times of candles, which ``candles`` converts to open times."""
    archive_row: ClassVar[CandleLayout]

    funding_page_size: ClassVar[int] = 0
    """Number of funding rates of one answer; 0 if there are none."""
    funding_newest_first: ClassVar[bool] = False
    """True if a page that is too short for its span holds the latest rates, not the oldest."""
    funding_by_page: ClassVar[bool] = False
    """True if pages are numbered, 1 being the latest, regardless of ``span``; each tells whether it is the last."""

    live_intervals: ClassVar[Mapping[Interval, str]] = {}
    """The exchange's spelling of each interval whose candles its sockets send."""
    live_closes: ClassVar[bool] = False
    """True if live candles have a closed flag; if not, the next candle closes one."""
    socket: ClassVar[SocketRules] = SocketRules()
    streams_expiring: ClassVar[bool] = True
    """True if the sockets also send contracts that expire; if not, their candles are polled and they have no live books."""
    streams_lines: ClassVar[bool] = False
    """True if live candles are lines of endless HTTP answers, one stream each, not socket messages."""

    book_depths: ClassVar[tuple[int, ...]] = ()
    """Numbers of levels a side for which books can be subscribed, ascending; empty without live books."""
    book_rule: ClassVar[BookRule | None] = None

    def __init__(self, endpoints: Endpoint | None = None) -> None:
        """
        Replace base URLs, under ``rest``, ``ws``, ``archive`` and ``auth``, of the exchange or of its ``site``.

        ``origin`` names the market that they lead to, by default their host and port; ``mirror``
        declares that it is the exchange's own. A site is a market of its own.
        """
        super().__init__()
        self._own: dict[str, str | None] = {"rest": self.rest_url, "ws": self.ws_url, "archive": self.archive_url}
        if self.auth_url is not None:
            self._own["auth"] = self.auth_url
        given = dict(endpoints or {})
        given.pop("proxy", None)  # used when connecting
        site = given.pop("site", None)
        self._given: Endpoint = given if site is None else {**self._site(str(site), given), **given}
        urls = checked(self.id, self._given, self._own)
        self.rest_url, self.ws_url, self.archive_url = urls["rest"], urls["ws"], urls["archive"] or None
        if self.auth_url is not None:
            self.auth_url = urls["auth"]

    def origin(self, *roles: str) -> Origin | None:
        """
        Return the origin of the data at the URLs of ``roles``: ``rest``, ``ws`` and ``archive``; ``None`` for the exchange itself.

        Raises:
            InvalidInput: They lead to different markets, which one series must not mix.
        """
        return origin_of(self.id, self._given, self._own, *roles)

    def _site(self, name: str, given: Endpoint) -> Endpoint:
        try:
            site = self.sites[name]
        except KeyError:
            known = ", ".join(self.sites) or "none"
            raise UnsupportedRequest(f"{self.id} has no site {name!r}; it has {known}") from None
        return site if given else {"origin": f"site-{name}", "rest": self.rest_url, "ws": self.ws_url, **site}

    @classmethod
    def rest_closes(cls) -> bool:
        """Return true if candles by REST have a closed flag; otherwise a clock decides."""
        return cls.rest_row.closed is not None

    def interval_name(self, interval: Interval) -> str:
        """
        Return the exchange's spelling of an interval.

        Raises:
            UnsupportedRequest: It has no candles of that length; the message lists those it has.
        """
        try:
            return self.intervals[interval]
        except KeyError:
            known = " ".join(each.value for each in self.intervals)
            raise UnsupportedRequest(f"{self.id} has no {interval.value} candles; it has {known}") from None

    def grid(self, interval: Interval) -> Grid:
        """Return the grid of an interval's open times, as declared, before any rows have been seen."""
        anchor = self.anchors.get(interval)
        return interval if anchor is None else AnchoredGrid(interval, anchor)

    def is_streamed(self, symbol: str) -> bool:
        """Return whether the sockets send the candles and the book of a symbol, which is in the exchange's spelling."""
        return self.streams_expiring or not self.expires(symbol)

    def require_books(self, symbol: str) -> None:
        """
        Check that the sockets send the book of a symbol, which is in the exchange's spelling.

        Raises:
            UnsupportedRequest: They do not.
        """
        if not self.book_depths or self.book_rule is None:
            raise UnsupportedRequest(f"{self.id} has no live order books")
        if not self.is_streamed(symbol):
            raise UnsupportedRequest(f"{self.id} has no live order books of {symbol}, which expires")

    def live_interval_name(self, interval: Interval) -> str:
        """
        Return the spelling of an interval on the sockets.

        Raises:
            UnsupportedRequest: No candles of that length are sent.
        """
        try:
            return self.live_intervals[interval]
        except KeyError:
            known = " ".join(each.value for each in self.live_intervals) or "none"
            raise UnsupportedRequest(f"{self.id} sends no {interval.value} candles; it sends {known}") from None

    def oldest(self, interval: Interval, now: Micros) -> Micros | None:
        """Return the open time of the oldest candle that the exchange serves at ``now``; ``None`` for no limit."""
        bounds = [] if self.retention is None else [interval.ceil(now - self.retention)]
        if self.retained_candles is not None:
            bounds.append(interval.step(interval.floor(now), 1 - self.retained_candles))
        return max(bounds, default=None)

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for the list of instruments, or for its page at ``cursor``."""
        raise UnsupportedRequest(f"{self.id} publishes no list of instruments")

    def instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse the instruments of an answer and the cursor of the next page; ``symbol`` knows them from then on."""
        listings, cursor = self.parse_instruments(body)
        self.names.learn(listings)
        return listings, cursor

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse the instruments of an answer, of this market only, and the cursor of the next page."""
        raise UnsupportedRequest(f"{self.id} publishes no list of instruments")

    @abstractmethod
    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Return the request for the candles that open in ``span``, which holds at most ``page_size``."""

    def candle_rows(self, body: bytes) -> CandleColumns:
        """Parse the candles of an answer, oldest first, not clipped to the span; by default as declared in ``rest_row``."""
        return self.rest_row.columns_of_json(body)

    def candles(self, body: bytes, interval: Interval) -> CandleColumns:
        """Parse the candles of an answer to a request for that interval, oldest first, not clipped to the span."""
        rows = self.candle_rows(body)
        if not self.names_ends:
            return rows
        return structs.replace(rows, open_time=[self.opened(end, interval) for end in rows.open_time])

    def opened(self, end: Micros, interval: Interval) -> Micros:
        """Return the open time of the candle that ends at ``end``, for exchanges that send end times."""
        return interval.step(end, -1)

    def first_candle_request(self, symbol: str, interval: Interval) -> Request | None:
        """Return the request whose oldest row is the first candle; ``None`` if that must be searched for."""
        return None

    def funding_request(self, symbol: str, span: Span, page: int = 1) -> Request:
        """Return the request for a page of funding rates in ``span``; that with number ``page`` if ``funding_by_page``."""
        raise UnsupportedRequest(f"{self.id} has no funding rates; they belong to perpetual futures")

    def funding_rows(self, body: bytes) -> FundingColumns:
        """Parse the funding rates of an answer, oldest first."""
        raise UnsupportedRequest(f"{self.id} has no funding rates; they belong to perpetual futures")

    def archive_request(self, symbol: str, interval: Interval, start: Micros, *, monthly: bool) -> Request:
        """Return the request for the archive file of the day, or the month, that begins at ``start``."""
        raise UnsupportedRequest(f"{self.id} has no archive; use REST")

    @abstractmethod
    def server_time_request(self) -> Request:
        """Return the request for the exchange's clock."""

    def server_time(self, body: bytes) -> Micros:
        """Parse the exchange's clock from that answer; by default as declared in ``time_path`` and ``time_unit``."""
        if self.dated:
            raise UnsupportedRequest(f"{self.id} returns its time only in the Date header")
        return clock_reader(self.time_path, self.time_unit)(body)

    def clock(self, response: Response) -> Micros:
        """Read the clock from the body, or from the header if it is ``dated``."""
        return header_time(response) if self.dated else self.server_time(response.body)

    def token_request(self, credentials: Mapping[str, str]) -> Request:
        """Return the request for an access token."""
        raise UnsupportedRequest(f"{self.id} needs no access token")

    def token(self, body: bytes) -> AccessToken:
        """
        Parse the access token of an answer.

        Raises:
            MalformedResponse: There is none; the message does not quote the body.
        """
        raise UnsupportedRequest(f"{self.id} needs no access token")

    def authorized(self, request: Request, token: str) -> Request:
        """Return the request with the access token added."""
        return structs.replace(request, headers={**request.headers, "Authorization": f"Bearer {token}"})

    def handshake_request(self) -> Request | None:
        """Return the request whose answer ``socket_url`` needs, sent before each connect; ``None`` if none is needed."""
        return None

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Return the URL of sockets for that channel; ``answer`` is that to ``handshake_request``."""
        return self.ws_url

    def socket_headers(self) -> Mapping[str, str]:
        """Return extra headers of the handshake."""
        return {}

    def decode(self, frame: bytes) -> bytes:
        """Return the message in a frame, for exchanges that compress messages themselves."""
        return frame

    def ping(self) -> str | None:
        """Return the message that keeps a connection alive; ``None`` if the protocol's pings do."""
        return None

    def reply(self, message: bytes) -> str | None:
        """Return the reply that the exchange demands to a message, such as its own ping; ``None`` for most."""
        return None

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Return the messages that subscribe to candles, or unsubscribe with ``leave``."""
        raise UnsupportedRequest(f"{self.id} sends no candles by WebSocket; poll them by REST")

    def leaving(self, message: str, answers: Sequence[bytes]) -> str | None:
        """
        Return a message of ``subscribe`` or ``subscribe_book`` with the channel number that it needs.

        Called for every message to exchanges with ``socket.channels``. ``answers`` are those that assigned the numbers of
        the connection. ``None`` if none of them concerns the message, which is then not sent.
        """
        return message

    def stream_request(self, message: str) -> Request:
        """
        Return the request for the lines of one of the messages of ``subscribe``.

        ``live_rows`` gets that message, a line end and the line, since a line need not name its stream.
        """
        raise UnsupportedRequest(f"{self.id} streams no lines")

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """
        Parse the candles of a message, with its time; empty for acknowledgements, pongs and the like.

        Raises:
            RequestRejected: The message refuses a subscription.
            MalformedResponse: It is not a message of the exchange.
        """
        raise UnsupportedRequest(f"{self.id} sends no candles by WebSocket; poll them by REST")

    def live_shortcut(self, sinks: Sinks, clock: Callable[[], int]) -> Shortcut | None:
        """
        Return a fast path that passes the candles of messages directly to their sinks; ``None`` if there is none.

        It skips every message, except those whose only candle, as ``live_rows`` would parse it, has a
        sink that accepts it. ``sinks`` may change at any time. ``received_at`` of candles is by ``clock``, which returns
        nanoseconds.
        """
        return None

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Return the messages that subscribe to order books of one of the ``book_depths``, or unsubscribe with ``leave``."""
        raise UnsupportedRequest(f"{self.id} has no live order books")

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse the order book updates of a message, in order; raises what ``live_rows`` raises."""
        raise UnsupportedRequest(f"{self.id} has no live order books")

    def book_shortcut(self, sinks: Mapping[str, FollowBook]) -> Shortcut | None:
        """Return a fast path like ``live_shortcut``, for messages with a single update as ``book_updates`` would parse it."""
        return None

    def book_request(self, symbol: str, depth: int) -> Request:
        """Return the request for a book of at least ``depth`` levels a side, or the most that there are."""
        raise UnsupportedRequest(f"{self.id} has no order books by REST")

    def book_snapshot(self, symbol: str, body: bytes) -> BookUpdate:
        """Parse the book of an answer."""
        raise UnsupportedRequest(f"{self.id} has no order books by REST")

    def book_message(self, symbol: str, depth: int) -> str:
        """Return the message that requests a snapshot on the socket, which ``book_updates`` parses."""
        raise UnsupportedRequest(f"{self.id} sends no snapshots on demand")


BaseAdapter = ExchangeAdapter
"""The public name of the contract."""
