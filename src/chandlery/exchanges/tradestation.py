"""
TradeStation v3: bars of equities, futures and pairs, by REST and as a stream of lines.

Sources:
- https://api.tradestation.com/docs/specification#tag/MarketData/operation/GetBars
- https://api.tradestation.com/docs/specification#tag/MarketData/operation/StreamBars
- https://api.tradestation.com/docs/specification#tag/MarketData/operation/GetCryptoSymbolNames
- https://api.tradestation.com/docs/fundamentals/http-streaming
- https://api.tradestation.com/docs/fundamentals/authentication/refresh-tokens
- https://api.tradestation.com/docs/fundamentals/rate-limiting

The only time of a bar is its end. Bars of minutes get an
open time that is their length before it. Bars of days and longer end with the session and
get the UTC day, week or month that contains this end, which is that of the session for
everything that trades in America; they only include trades of the session.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, ClassVar
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.layout import CandleColumns, CandleLayout
from chandlery.adapter.live import CandleStream, LiveCandle, SocketRules
from chandlery.adapter.payload import Finite, Millis, Whole, reader
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import standings
from chandlery.core.candle import CandleData
from chandlery.core.errors import ChandleryError, MalformedResponse, RateLimited, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.http import AccessToken, RateLimit, Request, Response
from chandlery.core.instrument import Instrument, Listing, ListingStatus, MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import DAY, SECOND, Micros, iso

TRADESTATION_KNOWN = standings("""
    WebSocket address: documented, https://api.tradestation.com/docs/fundamentals/http-streaming
    candles per request: documented, https://api.tradestation.com/docs/specification#tag/MarketData/operation/GetBars: 57600 are documented; 5000 are requested
    closed flag: documented, https://api.tradestation.com/docs/specification#tag/MarketData/operation/StreamBars
""")

# Bars of two hours and more are counted from the session's beginning, which is on no UTC grid.
_INTERVALS = {
    Interval.MINUTE_1: "1 Minute",
    Interval.MINUTE_3: "3 Minute",
    Interval.MINUTE_5: "5 Minute",
    Interval.MINUTE_15: "15 Minute",
    Interval.MINUTE_30: "30 Minute",
    Interval.HOUR_1: "60 Minute",
    Interval.DAY_1: "1 Daily",
    Interval.WEEK_1: "1 Weekly",
    Interval.MONTH_1: "1 Monthly",
}
_NAMED = {name.encode(): interval for interval, name in _INTERVALS.items()}
_BARS = "/v3/marketdata/barcharts/"
_STREAM = "/v3/marketdata/stream/barcharts/"
_TARGET = re.compile(rb"/v3/marketdata/stream/barcharts/([^?]+)\?interval=(\d+)&unit=(\w+)&barsback=\d+")
_PAIR = re.compile(r"([A-Z0-9]+)(USD)", re.ASCII)


class _Line(Struct):
    """A bar, a heartbeat, a status or an error; each has some of these fields, and blank ones may be null."""

    Epoch: Millis | None = None
    Open: Finite | None = None
    High: Finite | None = None
    Low: Finite | None = None
    Close: Finite | None = None
    TotalVolume: Finite | None = None
    TotalTicks: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    BarStatus: str | None = None
    Heartbeat: Whole | None = None
    StreamStatus: str | None = None
    Error: str | None = None
    Message: str | None = None


class _Error(Struct):
    Error: str | None = None
    Message: str | None = None


class _Token(Struct):
    access_token: Annotated[str, Meta(pattern=r"^[\x21-\x7e]+$")]
    expires_in: Annotated[float, Meta(gt=0, le=1e9)]
    refresh_token: str | None = None


_LINE = reader(_Line, what="a line of a stream of bars")
_NAMES = reader(list[str], "SymbolNames", what="a list of symbol names")
_ERROR = msgspec.json.Decoder(_Error)
_TOKEN = msgspec.json.Decoder(_Token, strict=False)


@ExchangeRegistry.register("tradestation")
class TradeStation(ExchangeAdapter):
    """
    Everything with a bar chart: ``MSFT``, ``ESZ24``, ``@ES``, ``BTCUSD``; for equities the regular session.

    Requests need the API key ``client_id``, its ``client_secret`` if it has one, and a ``refresh_token``
    of a user who has signed in with the scopes ``MarketData`` and ``offline_access``.
    """

    provider = DataProvider.TRADESTATION
    standing = TRADESTATION_KNOWN
    dated = True
    market_type = MarketType.SPOT
    rest_url = "https://api.tradestation.com"
    ws_url = "https://api.tradestation.com"
    auth_url = "https://signin.tradestation.com"
    credentials = ("client_id", "refresh_token")
    more_credentials = ("client_secret",)
    native = re.compile(r"[@$]?[A-Z0-9]+(?:\.[A-Z0-9]+)?(?:=[A-Z0-9]+)?|[A-Z.]+ \d{6}[CP]\d+(?:\.\d+)?", re.ASCII)
    example = "BTCUSD, BTC/USD, MSFT, @ES or ESZ24"
    intervals: ClassVar[Mapping[Interval, str]] = _INTERVALS
    page_size = 5000
    """The exchange would send 57,600 bars, which are 20 megabytes."""
    limits = (RateLimit(500, 300),)
    sends_empty_candles = False
    names_ends = True
    rest_row = CandleLayout("Epoch", "Open", "High", "Low", "Close", "TotalVolume", count="TotalTicks", path=("Bars",))
    live_intervals: ClassVar[Mapping[Interval, str]] = _INTERVALS
    live_closes = True
    streams_lines = True
    socket = SocketRules(streams=1, per_message=1, connects=RateLimit(500, 300), idle_s=30)
    unverified = (
        "The time of a bar is assumed to be its end; this is not documented for bars of minutes.",
        "It is not known which time of a bar firstdate and lastdate are compared with, and whether they are inclusive; requests never send the end of a bar.",
        "A stream with one bar back is assumed to begin with the running bar.",
        "A request for an unknown symbol is assumed to return status 404, or any message with INVALID SYMBOL.",
        "Hours of futures and pairs are assumed to open on the hour; bars that do not, such as those of equities, are refused.",
        "The history depth and the number of concurrent streams are not known.",
        "The limit for bar charts is assumed to be the one published for their streams.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return the pair as one word."""
        return f"{instrument.base}{instrument.quote}"

    def _get(self, path: str, **params: str | int) -> Request:
        return Request(f"{self.rest_url}{path}", params, limits=self.limits)

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Send bounds on end times: after the first open time, up to the last close, both shifted by a second."""
        count, unit = self.interval_name(interval).split()
        first, last = (iso(interval.ceil(at) // SECOND * SECOND + SECOND) for at in (span.start, span.end))
        return self._get(f"{_BARS}{symbol}", interval=count, unit=unit, firstdate=first, lastdate=last)

    def opened(self, end: Micros, interval: Interval) -> Micros:
        """Return the open time. The end of a session is within its day, week or month; minutes are never aligned to the clock."""
        return interval.step(end, -1) if interval.longest < DAY else interval.floor(end - 1)

    def candles(self, body: bytes, interval: Interval) -> CandleColumns:
        """
        Parse the bars, oldest first.

        Raises:
            UnsupportedRequest: They are not on the clock's grid, since their session begins at another time.
        """
        rows = super().candles(body, interval)
        off = any(interval.floor(at) != at and interval.step(at) == after for at, after in pairwise(rows.open_time))
        if off:
            raise UnsupportedRequest(
                f"the {interval.value} candles of this symbol are aligned to its session, not to the clock; use 30m or shorter"
            )
        return rows

    def server_time_request(self) -> Request:
        """Return the request with the shortest answer, whose headers have the time: no endpoint serves it."""
        return self.instruments_request()

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for the pairs; there is no list of other symbols."""
        return self._get("/v3/marketdata/symbollists/cryptopairs/symbolnames")

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse the pairs, all of them in US dollars."""
        found = [pair for name in _NAMES(body) if (pair := _PAIR.fullmatch(name))]
        return [
            Listing(pair[0], Instrument.of(pair[1], pair[2], self.market_type), ListingStatus.LISTED) for pair in found
        ], None

    def token_request(self, credentials: Mapping[str, str]) -> Request:
        """Request an access token, which lasts for twenty minutes, by the refresh token."""
        form = {"grant_type": "refresh_token", **credentials}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return Request(f"{self.auth_url}/oauth/token", headers=headers, method="POST", body=urlencode(form).encode())

    def token(self, body: bytes) -> AccessToken:
        """Parse the token; keys with rotating refresh tokens also get a new one of these."""
        try:
            said = _TOKEN.decode(body)
        except msgspec.MsgspecError:
            raise MalformedResponse(f"{self.id} sent no access token") from None
        renewed = {"refresh_token": said.refresh_token} if said.refresh_token else {}
        return AccessToken(said.access_token, said.expires_in, renewed)

    def error(self, response: Response) -> ChandleryError | None:
        """Parse ``{"Error": "BadRequest", "Message": "..."}``; successful answers have status 200."""
        if response.status == 200:
            return None
        try:
            said = _ERROR.decode(response.body)
        except msgspec.MsgspecError:
            said = _Error()
        return self._refusal(said.Error or "", said.Message or "", response.status)

    def _refusal(self, error: str, message: str, status: int | None = None) -> ChandleryError:
        text = ": ".join(filter(None, (error, message))) or f"status {status}"
        if status == 404 or "INVALID SYMBOL" in text.upper().replace("_", " "):
            return self.unknown_symbol(text)
        if error == "TooManyRequests":
            return RateLimited(f"{self.id}: {text}")
        return self.refused(text, status=status, code=error or None)

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Return path and query of each stream, from its latest bar on; a stream ends when it is closed."""
        targets = []
        for each in streams:
            count, unit = self.live_interval_name(each.interval).split()
            targets.append(f"{_STREAM}{each.symbol}?interval={count}&unit={unit}&barsback=1")
        return [f"close {target}" for target in targets] if leave else targets

    def stream_request(self, message: str) -> Request:
        """Request a stream of bars, one JSON object per line."""
        path, _, query = message.partition("?")
        params = dict(each.split("=", 1) for each in query.split("&"))
        headers = {"Accept": "application/vnd.tradestation.streams.v2+json"}
        return Request(f"{self.rest_url}{path}", params, headers, limits=self.limits)

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse one complete bar per line; heartbeats are sent while there is no data."""
        target, _, line = message.partition(b"\n")
        said = _LINE(line)
        if said.Error is not None:
            raise self._refusal(said.Error, said.Message or "")
        end, opened, high, low, close = said.Epoch, said.Open, said.High, said.Low, said.Close
        if end is None or opened is None or high is None or low is None or close is None or said.TotalVolume is None:
            if said.Heartbeat is None and said.StreamStatus is None:
                raise MalformedResponse(f"{self.id} sent neither a bar nor a heartbeat: {line[:80]!r}")
            return ()
        symbol, interval = _stream_of(target)
        candle = CandleData(
            self.opened(end * 1000, interval), opened, high, low, close, said.TotalVolume,
            count=said.TotalTicks, closed=said.BarStatus == "Closed",
        )  # fmt: skip
        return (LiveCandle(symbol, interval, candle),)


@lru_cache(maxsize=1024)
def _stream_of(target: bytes) -> tuple[str, Interval]:
    """Parse symbol and interval from a message of ``subscribe``."""
    found = _TARGET.fullmatch(target)
    interval = _NAMED.get(found[2] + b" " + found[3]) if found else None
    if found is None or interval is None:
        raise MalformedResponse(f"{bytes(target[:80])!r} is not a stream of bars")
    return found[1].decode(errors="replace"), interval
