"""What an exchange must declare and answer, so that everything else works with it."""

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
    """Funding rates by column, oldest first; times in microseconds. ``last`` says that no numbered page follows."""

    open_time: list[Micros]
    funding_rate: list[float]
    last: bool = False


class ExchangeAdapter(Refusing):
    """
    One market of one exchange, as data and pure functions.

    The declared constants are also its row of the capability matrix. Instances hold the base URLs,
    so that a proxy, a testnet or an offline exchange can take its place, and the ``names`` that the
    exchange's lists have shown.
    """

    provider: ClassVar[DataProvider]
    rest_url: str
    ws_url: str
    archive_url: str | None = None
    auth_url: str | None = None
    """Where access tokens are fetched, for exchanges that answer only to those who have one."""
    credentials: ClassVar[tuple[str, ...]] = ()
    """Which credentials ``token_request`` needs; empty where requests need no token."""
    more_credentials: ClassVar[tuple[str, ...]] = ()
    """Which it takes besides."""
    time_path: ClassVar[tuple[str, ...]] = ()
    """The keys under which the answer to ``server_time_request`` has the clock; none where the whole body is it."""
    time_unit: ClassVar[Unit] = Unit.MILLIS
    """The unit of that clock."""
    dated: ClassVar[bool] = False
    """True where nothing publishes the time, so that the header ``Date`` of an answer is the clock."""
    standing: ClassVar[Standings] = NOTHING
    """How well each of the ``DECLARATIONS`` is known."""
    unverified: ClassVar[tuple[str, ...]] = ()
    """What of this could not be checked against documentation or a recording."""

    intervals: ClassVar[Mapping[Interval, str]]
    """How the exchange spells each interval that it has, in requests."""
    anchors: ClassVar[Mapping[Interval, Micros]] = {}
    """A moment at which a candle opens, for intervals whose candles open elsewhere than usual; rows may show another."""
    page_size: ClassVar[int]
    """The most candles that one request returns, as a first guess; answers may show fewer."""
    longest_request: ClassVar[Micros | None] = None
    """The longest span of time that one request may name."""
    launched: ClassVar[Micros] = 1_262_304_000_000_000
    """Nothing is older than this: where the first candle must be searched for, the search begins here."""
    retention: ClassVar[Micros | None] = None
    """How far back it answers; ``None`` for everything."""
    retained_candles: ClassVar[int | None] = None
    """How many of the latest candles of an interval it answers for, the running one included; ``None`` for all."""
    limits: ClassVar[tuple[RateLimit, ...]]
    volume_unit: ClassVar[str] = "base"
    """What ``volume`` counts: ``base``, ``quote`` or ``contracts``."""
    sends_empty_candles: ClassVar[bool] = True
    """Whether it sends a candle where nobody traded; where not, a hole may just be that."""
    settle: ClassVar[Micros] = 60 * SECOND
    """The time after its close in which a candle may be late or change; it is not stored before, and read again after."""
    close_delay: ClassVar[Micros] = SECOND
    """How long after its close a candle can be had by REST."""
    rest_row: ClassVar[CandleLayout]
    names_ends: ClassVar[bool] = False
    """Whether ``candle_rows`` gives the moments at which candles end, which ``candles`` makes into their opens."""
    archive_row: ClassVar[CandleLayout]

    funding_page_size: ClassVar[int] = 0
    """The most funding rates that one request returns; 0 where there are none."""
    funding_newest_first: ClassVar[bool] = False
    """Whether a page that is too short for its span holds the latest of it, and not the oldest."""
    funding_by_page: ClassVar[bool] = False
    """Whether pages are numbered, 1 being the latest, and no ``span`` bounds them; each says whether it is the last."""

    live_intervals: ClassVar[Mapping[Interval, str]] = {}
    """How the exchange spells each interval whose candles its sockets send."""
    live_closes: ClassVar[bool] = False
    """Whether live candles say that they are closed; where not, the next candle says it."""
    socket: ClassVar[SocketRules] = SocketRules()
    streams_lines: ClassVar[bool] = False
    """Whether live candles are the lines of HTTP answers without end, one stream each, and not messages of sockets."""

    book_depths: ClassVar[tuple[int, ...]] = ()
    """How many levels a side its books can be subscribed to with, ascending; empty where it has no live books."""
    book_rule: ClassVar[BookRule | None] = None

    def __init__(self, endpoints: Endpoint | None = None) -> None:
        """
        Take base URLs, under ``rest``, ``ws``, ``archive`` and ``auth``, in place of the exchange's own, or of its ``site``.

        ``origin`` names the market that they lead to, by default their host and port; ``mirror``
        says that it is the exchange's own. A site is a market of its own.
        """
        super().__init__()
        self._own: dict[str, str | None] = {"rest": self.rest_url, "ws": self.ws_url, "archive": self.archive_url}
        if self.auth_url is not None:
            self._own["auth"] = self.auth_url
        given = dict(endpoints or {})
        given.pop("proxy", None)  # it concerns those who connect
        site = given.pop("site", None)
        self._given: Endpoint = given if site is None else {**self._site(str(site), given), **given}
        urls = checked(self.id, self._given, self._own)
        self.rest_url, self.ws_url, self.archive_url = urls["rest"], urls["ws"], urls["archive"] or None
        if self.auth_url is not None:
            self.auth_url = urls["auth"]

    def origin(self, *roles: str) -> Origin | None:
        """
        Whose data the URLs of ``roles`` give: of ``rest``, ``ws`` and ``archive``; ``None`` for the exchange itself.

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
        """True where candles by REST carry the exchange's word that they are closed; elsewhere a clock decides."""
        return cls.rest_row.closed is not None

    def interval_name(self, interval: Interval) -> str:
        """
        The exchange's spelling of an interval.

        Raises:
            UnsupportedRequest: Where it has no candles of that length; the message lists what it has.
        """
        try:
            return self.intervals[interval]
        except KeyError:
            known = " ".join(each.value for each in self.intervals)
            raise UnsupportedRequest(f"{self.id} has no {interval.value} candles; it has {known}") from None

    def grid(self, interval: Interval) -> Grid:
        """The moments at which candles of an interval open, as far as is known before any row has come."""
        anchor = self.anchors.get(interval)
        return interval if anchor is None else AnchoredGrid(interval, anchor)

    def live_interval_name(self, interval: Interval) -> str:
        """
        The spelling of an interval on the sockets.

        Raises:
            UnsupportedRequest: Where no candles of that length are sent.
        """
        try:
            return self.live_intervals[interval]
        except KeyError:
            known = " ".join(each.value for each in self.live_intervals) or "none"
            raise UnsupportedRequest(f"{self.id} sends no {interval.value} candles; it sends {known}") from None

    def oldest(self, interval: Interval, now: Micros) -> Micros | None:
        """The open of the oldest candle that the exchange answers for at ``now``; ``None`` for no bound."""
        bounds = [] if self.retention is None else [interval.ceil(now - self.retention)]
        if self.retained_candles is not None:
            bounds.append(interval.step(interval.floor(now), 1 - self.retained_candles))
        return max(bounds, default=None)

    def instruments_request(self, cursor: str | None = None) -> Request:
        """The request for the list of instruments, or for its page at ``cursor``."""
        raise UnsupportedRequest(f"{self.id} publishes no list of instruments")

    def instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """The instruments of an answer and the cursor of the next page; from then on ``symbol`` knows them."""
        listings, cursor = self.parse_instruments(body)
        self.names.learn(listings)
        return listings, cursor

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """The instruments of an answer, those of this market alone, and the cursor of the next page."""
        raise UnsupportedRequest(f"{self.id} publishes no list of instruments")

    @abstractmethod
    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """The request for the candles that open in ``span``, which holds at most ``page_size``."""

    def candle_rows(self, body: bytes) -> CandleColumns:
        """The candles of an answer, oldest first, ``span`` not yet applied: by ``rest_row`` where nothing else is said."""
        return self.rest_row.columns_of_json(body)

    def candles(self, body: bytes, interval: Interval) -> CandleColumns:
        """The candles of an answer to a request for that interval, oldest first, ``span`` not yet applied."""
        rows = self.candle_rows(body)
        if not self.names_ends:
            return rows
        return structs.replace(rows, open_time=[self.opened(end, interval) for end in rows.open_time])

    def opened(self, end: Micros, interval: Interval) -> Micros:
        """When the candle opened that ends at ``end``, for exchanges that name the ends."""
        return interval.step(end, -1)

    def first_candle_request(self, symbol: str, interval: Interval) -> Request | None:
        """The request whose oldest row is the oldest that the exchange has; ``None`` where it must be searched for."""
        return None

    def funding_request(self, symbol: str, span: Span, page: int = 1) -> Request:
        """The request for the funding rates in ``span``, one page of them: that of number ``page`` where ``funding_by_page``."""
        raise UnsupportedRequest(f"{self.id} has no funding rates; they belong to perpetual futures")

    def funding_rows(self, body: bytes) -> FundingColumns:
        """The funding rates of an answer, oldest first."""
        raise UnsupportedRequest(f"{self.id} has no funding rates; they belong to perpetual futures")

    def archive_request(self, symbol: str, interval: Interval, start: Micros, *, monthly: bool) -> Request:
        """The request for the archive file of the day, or the month, that begins at ``start``."""
        raise UnsupportedRequest(f"{self.id} has no archive; use REST")

    @abstractmethod
    def server_time_request(self) -> Request:
        """The request for the exchange's clock."""

    def server_time(self, body: bytes) -> Micros:
        """Read the exchange's clock from that answer: by ``time_path`` and ``time_unit`` where nothing else is declared."""
        if self.dated:
            raise UnsupportedRequest(f"{self.id} has its time in the header Date alone")
        return clock_reader(self.time_path, self.time_unit)(body)

    def clock(self, response: Response) -> Micros:
        """Read the clock from the body, or from the header where it is ``dated``."""
        return header_time(response) if self.dated else self.server_time(response.body)

    def token_request(self, credentials: Mapping[str, str]) -> Request:
        """The request for an access token."""
        raise UnsupportedRequest(f"{self.id} needs no access token")

    def token(self, body: bytes) -> AccessToken:
        """
        The access token of an answer.

        Raises:
            MalformedResponse: Where there is none; the message holds nothing of the body.
        """
        raise UnsupportedRequest(f"{self.id} needs no access token")

    def authorized(self, request: Request, token: str) -> Request:
        """The request with the access token in it."""
        return structs.replace(request, headers={**request.headers, "Authorization": f"Bearer {token}"})

    def handshake_request(self) -> Request | None:
        """The request whose answer ``socket_url`` needs, to be sent anew before each connect; ``None`` where none is."""
        return None

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Where sockets for that channel connect; ``answer`` is that to ``handshake_request``."""
        return self.ws_url

    def socket_headers(self) -> Mapping[str, str]:
        """What is sent along when a socket is opened, besides what the protocol needs."""
        return {}

    def decode(self, frame: bytes) -> bytes:
        """A frame as the message that it carries, for exchanges that compress by themselves."""
        return frame

    def ping(self) -> str | None:
        """The message that keeps a connection alive; ``None`` where the protocol's own pings do."""
        return None

    def reply(self, message: bytes) -> str | None:
        """The answer that the exchange demands to a message, such as its own ping; ``None`` for most."""
        return None

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """The messages that subscribe to candles, or end that with ``leave``."""
        raise UnsupportedRequest(f"{self.id} sends no candles; poll it")

    def stream_request(self, message: str) -> Request:
        """
        The request for the lines that one of the messages of ``subscribe`` asks for.

        ``live_rows`` is given that message, a line end and the line, as a line need not say what it is of.
        """
        raise UnsupportedRequest(f"{self.id} streams no lines")

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """
        The candles in a message, with its time; none for acknowledgements, pongs and the like.

        Raises:
            RequestRejected: Where the message refuses a subscription.
            MalformedResponse: Where it is none of the exchange's messages.
        """
        raise UnsupportedRequest(f"{self.id} sends no candles; poll it")

    def live_shortcut(self, sinks: Sinks, clock: Callable[[], int]) -> Shortcut | None:
        """
        What gives the candles of messages straight to their sinks, for speed; ``None`` where nothing does.

        It leaves alone every message but those whose only candle, as ``live_rows`` would find it, has a
        sink that takes it. ``sinks`` may change at any time. Candles get their ``received_at`` of ``clock``, which gives
        nanoseconds.
        """
        return None

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """The messages that subscribe to order books of one of the ``book_depths``, or end that with ``leave``."""
        raise UnsupportedRequest(f"{self.id} has no live order books")

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """What a message says of order books, in order; it raises what ``live_rows`` raises."""
        raise UnsupportedRequest(f"{self.id} has no live order books")

    def book_shortcut(self, sinks: Mapping[str, FollowBook]) -> Shortcut | None:
        """The same as ``live_shortcut``, for the only update that ``book_updates`` would find in a message."""
        return None

    def book_request(self, symbol: str, depth: int) -> Request:
        """The request for a book of at least ``depth`` levels a side, or the most that there are."""
        raise UnsupportedRequest(f"{self.id} has no order books by REST")

    def book_snapshot(self, symbol: str, body: bytes) -> BookUpdate:
        """The book of an answer."""
        raise UnsupportedRequest(f"{self.id} has no order books by REST")

    def book_message(self, symbol: str, depth: int) -> str:
        """The message that asks for a snapshot on the socket, which ``book_updates`` then reads."""
        raise UnsupportedRequest(f"{self.id} sends no snapshots on demand")


BaseAdapter = ExchangeAdapter
"""The public name of the contract."""
