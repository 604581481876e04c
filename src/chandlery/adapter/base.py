"""What an exchange must declare and answer, so that everything else works with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from chandlery.adapter.layout import CandleColumns, CandleLayout
from chandlery.core.errors import ChandleryError, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import SECOND, Micros
from chandlery.core.wire import RateLimit, Request, Response


class FundingColumns(NamedTuple):
    """Funding rates by column, in the order in which the exchange sent them; times in microseconds."""

    open_time: list[Micros]
    funding_rate: list[float]


class ExchangeAdapter(ABC):
    """
    One market of one exchange, as data and pure functions.

    The declared constants are also its row of the capability matrix. Instances hold nothing but
    the base URLs, so that a proxy, a testnet or an offline exchange can take its place.
    """

    id: ClassVar[str]
    """``<exchange>_<market>``, set by the registry."""
    provider: ClassVar[DataProvider]
    market_type: ClassVar[MarketType]
    rest_url: str
    ws_url: str
    archive_url: str | None = None

    intervals: ClassVar[Mapping[Interval, str]]
    """How the exchange spells each interval that it has."""
    page_size: ClassVar[int]
    """The most candles that one request returns."""
    funding_page_size: ClassVar[int] = 0
    """The most funding rates that one request returns."""
    longest_request: ClassVar[Micros | None] = None
    """The longest span of time that one request may name."""
    launched: ClassVar[Micros] = 0
    """Nothing is older than this: where the first candle must be searched for, the search begins here."""
    retention: ClassVar[Micros | None] = None
    """How far back it answers; ``None`` for everything."""
    limits: ClassVar[tuple[RateLimit, ...]]
    volume_unit: ClassVar[str] = "base"
    """What ``volume`` counts: ``base``, ``quote`` or ``contracts``."""
    sends_empty_candles: ClassVar[bool] = True
    """Whether it sends a candle where nobody traded; where not, a hole may just be that."""
    settle: ClassVar[Micros] = 60 * SECOND
    """How long after its close a candle may be late or still change; until then it is not kept."""
    rest_row: ClassVar[CandleLayout]
    archive_row: ClassVar[CandleLayout]
    unverified: ClassVar[tuple[str, ...]] = ()
    """What of this could not be checked against documentation or a recording."""

    def __init__(self, endpoints: Mapping[str, str] | None = None) -> None:
        """Take base URLs, under ``rest``, ``ws`` and ``archive``, in place of the exchange's own."""
        given = dict(endpoints or {})
        self.rest_url = given.pop("rest", self.rest_url).rstrip("/")
        self.ws_url = given.pop("ws", self.ws_url).rstrip("/")
        self.archive_url = (given.pop("archive", self.archive_url) or "").rstrip("/") or None
        if given:
            raise UnsupportedRequest(f"endpoints of {self.id} are rest, ws and archive, not {', '.join(given)}")

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

    @abstractmethod
    def symbol(self, text: str) -> str:
        """
        The exchange's spelling of a symbol, from that spelling, ``BTC/USDT`` or ``BTC-USDT``.

        Raises:
            InvalidSymbol: Where it is no symbol of this market; the message says what would be.
        """

    @abstractmethod
    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """The request for the candles that open in ``span``, which holds at most ``page_size``."""

    @abstractmethod
    def candle_rows(self, body: bytes) -> CandleColumns:
        """The candles of an answer, in the exchange's order, ``span`` not yet applied."""

    def first_candle_request(self, symbol: str, interval: Interval) -> Request | None:
        """The request whose oldest row is the oldest that the exchange has; ``None`` where it must be searched for."""
        return None

    def funding_request(self, symbol: str, span: Span) -> Request:
        """The request for the oldest funding rates in ``span``, one page of them."""
        raise UnsupportedRequest(f"{self.id} has no funding rates; they belong to perpetual futures")

    def funding_rows(self, body: bytes) -> FundingColumns:
        """The funding rates of an answer."""
        raise UnsupportedRequest(f"{self.id} has no funding rates; they belong to perpetual futures")

    def archive_request(self, symbol: str, interval: Interval, start: Micros, *, monthly: bool) -> Request:
        """The request for the archive file of the day, or the month, that begins at ``start``."""
        raise UnsupportedRequest(f"{self.id} has no archive; use REST")

    @abstractmethod
    def server_time_request(self) -> Request:
        """The request for the exchange's clock."""

    @abstractmethod
    def server_time(self, body: bytes) -> Micros:
        """The exchange's clock, of that answer."""

    @abstractmethod
    def error(self, response: Response) -> ChandleryError | None:
        """What an answer says went wrong, in the exchange's own terms; ``None`` where it says nothing of its own."""
