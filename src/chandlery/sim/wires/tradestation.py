"""
TradeStation's bar charts on the wire, and its token endpoint.

Sources: https://api.tradestation.com/docs/specification, https://api.tradestation.com/docs/fundamentals.

Where they are silent: bounds are compared with the ends of bars, ``firstdate`` is exclusive and ``lastdate`` inclusive,
and the running bar counts as one that ends now. Any client and any refresh token are valid, except those called
``revoked``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, MINUTE, SECOND, Micros, Unit, iso, micros_of
from chandlery.sim.book import Levels
from chandlery.sim.kit import Refused
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import MarketView, SimCandle
from chandlery.sim.wire import Session, SimRequest, Want, Wire

_BARS, _STREAM = "/v3/marketdata/barcharts/", "/v3/marketdata/stream/barcharts/"
_NAMES = "/v3/marketdata/symbollists/cryptopairs/symbolnames"
_MOST = 57_600
"""Maximum number of minute bars per request."""
_LIFETIME_S = 1200
_QUOTA, _WINDOW_S = 500, 300.0
_LONG = {"daily": Interval.DAY_1, "weekly": Interval.WEEK_1, "monthly": Interval.MONTH_1}
_MINUTES = {str(each.micros // MINUTE): each for each in Interval if each.micros and MINUTE <= each.micros < DAY}
_ERRORS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}


class TradeStationWire(Wire):
    """All symbols of the market; days, weeks and months end at midnight here, since nothing ever closes."""

    id = "tradestation"
    dates_candles = False
    market_type = MarketType.SPOT
    signs_in = True

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self._tokens: dict[str, float] = {}
        self._window, self._used = -1, 0

    def symbol(self, native: str) -> str | None:
        """Return the symbol, which is the market's."""
        return native if self.view.knows(native) else None

    def forget_tokens(self) -> None:
        """Invalidate all access tokens."""
        self._tokens.clear()

    def answer(self, request: SimRequest) -> Reply:
        """Issue access tokens for refresh tokens; other requests need an access token."""
        if request.path == "/oauth/token":
            return self._token(request)
        try:
            self._admit(request.headers)
            if request.path == _NAMES:
                return json_reply({"SymbolNames": [each for each in self.view.symbols() if each.endswith("USD")]})
            if request.path.startswith(_STREAM):
                self._chart(request.path.removeprefix(_STREAM), request.query)
                return Reply(200, b"", {"Content-Type": "application/vnd.tradestation.streams.v2+json"})
            if request.path.startswith(_BARS):
                return json_reply({"Bars": self._bars(request.path.removeprefix(_BARS), request.query)})
        except Refused as refused:
            return _refusal(*refused.args)
        return self.refusal(404)

    def refusal(self, status: int) -> Reply:
        """Return its own form of error for any status."""
        return _refusal(status, f"The request failed with status {status}.")

    def stream_of(self, request: SimRequest) -> str | None:
        """Return the path with its query, for streams."""
        query = "&".join(f"{key}={value}" for key, value in request.query.items())
        return f"{request.path}?{query}" if request.path.startswith(_STREAM) else None

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Start the stream of a request, which ends when the connection is closed."""
        closes, target = text.startswith("close "), text.removeprefix("close ")
        if closes:
            session.leave(target)
            return ()
        path, _, query = target.partition("?")
        try:
            symbol, interval = self._chart(path.removeprefix(_STREAM), dict(parse_qsl(query)))
        except Refused as refused:
            status, message = refused.args
            return [{"Error": _ERRORS[status], "Message": message}]
        session.join(Want(target, symbol, symbol, interval))
        return ()

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return one line per candle."""
        return [_bar(each, latest=each is candles[-1]) for each in candles]

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return nothing: it streams no books here."""
        return ()

    def heartbeat(self, session: Session) -> Sequence[Any]:
        """Return a numbered heartbeat; the exchange sends one only after five seconds without a bar."""
        session.sequence += 1
        return [{"Heartbeat": session.sequence, "Timestamp": _second(self.now)}]

    def _token(self, request: SimRequest) -> Reply:
        form = dict(parse_qsl(request.body.decode(errors="replace")))
        if request.method != "POST" or form.get("grant_type") != "refresh_token":
            return json_reply({"error": "unsupported_grant_type", "error_description": "Unsupported grant type"}, 403)
        if form.get("client_id", "revoked") == "revoked":
            return json_reply({"error": "access_denied", "error_description": "Unauthorized"}, 401)
        if form.get("refresh_token", "revoked") == "revoked":
            return json_reply({"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."}, 403)
        token = secrets.token_urlsafe(24)
        self._tokens[token] = self.ticks() + _LIFETIME_S
        scope = "openid offline_access MarketData"
        return json_reply(
            {"access_token": token, "expires_in": _LIFETIME_S, "scope": scope, "id_token": "-", "token_type": "Bearer"}
        )

    def _admit(self, headers: Mapping[str, str]) -> None:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind != "Bearer" or self._tokens.get(token, 0.0) <= self.ticks():
            raise Refused(401, "The access token is missing, invalid or expired.")
        window = int(self.ticks() // _WINDOW_S)
        if window != self._window:
            self._window, self._used = window, 0
        self._used += 1
        if self._used > (self.weight_limit or _QUOTA):
            raise Refused(429, "Quota exceeded.")

    def _chart(self, native: str, query: Mapping[str, str]) -> tuple[str, Interval]:
        symbol = self.symbol(native)
        if symbol is None:
            raise Refused(404, f"FAILED, INVALID SYMBOL: {native}")
        count, unit = query.get("interval", "1"), query.get("unit", "Daily").lower()
        interval = _MINUTES.get(count) if unit == "minute" else _LONG.get(unit) if count == "1" else None
        if interval is None:
            raise Refused(400, f"No bars of interval {count} and unit {unit}.")
        return symbol, interval

    def _bars(self, native: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        symbol, interval = self._chart(native, query)
        grid = self.view.grids[interval]
        last = _moment(query["lastdate"]) if "lastdate" in query else self.now
        # The running bar counts as one that ends now, so none ends between now and a later bound.
        end = grid.floor(last) if last < self.now else self.now + 1
        if "firstdate" in query:
            if "barsback" in query:
                raise Refused(400, "barsback and firstdate are mutually exclusive.")
            start = grid.floor(_moment(query["firstdate"]))
            most = grid.count(start, end) + 1
        else:
            most = _count(query.get("barsback", "1"))
            start = grid.step(grid.floor(end), -min(most, 100_000)) if interval.longest <= DAY else 0
        if interval.longest < DAY and most > _MOST + 1:
            raise Refused(400, f"At most {_MOST} bars of minutes can be fetched.")
        found = self.view.candles(symbol, interval, Span(start, max(start, end)), most, newest=True)
        return [_bar(each, latest=each is found[-1]) for each in found]


def _bar(candle: SimCandle, *, latest: bool) -> dict[str, Any]:
    ticks = candle.count // 2
    return {
        "High": candle.high,
        "Low": candle.low,
        "Open": candle.open,
        "Close": candle.close,
        "TimeStamp": _second(candle.end),
        "TotalVolume": candle.volume,
        "DownTicks": candle.count - ticks,
        "DownVolume": 0,
        "OpenInterest": "0",
        "IsRealtime": not candle.closed,
        "IsEndOfHistory": latest,
        "TotalTicks": candle.count,
        "UnchangedTicks": 0,
        "UnchangedVolume": 0,
        "UpTicks": ticks,
        "UpVolume": 0,
        "Epoch": Unit.MILLIS.of(candle.end),
        "BarStatus": "Closed" if candle.closed else "Open",
    }


def _second(moment: Micros) -> str:
    return iso(moment // SECOND * SECOND)


def _moment(text: str) -> Micros:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(400, f"{text} is neither YYYY-MM-DD nor a moment.") from None
    return micros_of(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 9):
        raise Refused(400, "barsback is a number.")
    return int(text)


def _refusal(status: int, message: str) -> Reply:
    return json_reply({"Error": _ERRORS.get(status, "InternalServerError"), "Message": message}, status)
