"""REST interface of one market: candles, funding rates, time, symbols, and limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chandlery.core.errors import ChandleryError
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, Micros, Unit
from chandlery.sim.book import tick_of
from chandlery.sim.reply import Reply, error_reply, json_reply
from chandlery.sim.venues import Venue
from chandlery.sim.view import MarketView
from chandlery.sim.wires.binance.listing import exchange_info

_FUNDING_LIMIT, _FUNDING_WINDOW_S = 500, 300.0
_WEIGHT_WINDOW_S = 60.0
_PATIENCE = 10
"""Number of refused requests in one window that causes a ban."""
_BAN_S = 120.0
_IN_MICROS = 10**15
"""Smallest time taken as microseconds, which spot accepts, too: 16 digits since 2001."""
_MILLIS_DIGITS = 13
_DAY_MINUTES = 1441


class _Refused(ChandleryError):
    """Refusal of an invalid parameter."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.reply = error_reply(code, message)


class Budget:
    """Request weight of one address per window; windows are consecutive."""

    def __init__(self, limit: int, seconds: float, ticks: Callable[[], float]) -> None:
        self.limit = limit
        self.used = 0
        self._seconds = seconds
        self._ticks = ticks
        self._window = -1
        self._refused = 0
        self._banned_until = float("-inf")

    def spend(self, weight: int) -> Reply | None:
        """Use some of the weight; return a refusal if it is used up."""
        now = self._ticks()
        window = int(now // self._seconds)
        if window != self._window:
            self._window, self.used, self._refused = window, 0, 0
        if now < self._banned_until:
            return self._refusal(418, self._banned_until - now)
        self.used += weight
        if self.used <= self.limit:
            return None
        self._refused += 1
        if self._refused > _PATIENCE:
            self._banned_until = now + _BAN_S
            return self._refusal(418, _BAN_S)
        return self._refusal(429, (window + 1) * self._seconds - now)

    def _refusal(self, status: int, wait_s: float) -> Reply:
        text = f"Too much request weight used; current limit is {self.limit} per {self._seconds:.0f} seconds."
        return error_reply(-1003, text, status, {"Retry-After": str(int(wait_s) + 1)})


class Rest:
    """
    REST interface of one market.

    ``depth`` returns order books by symbol and levels. ``weight_limit`` replaces the market's own per-minute limit.
    Windows are measured in ``ticks``, a monotonic clock in seconds, since the market's clock may stand still.

    Where the documentation is silent: a ``limit`` above the maximum is reduced to it by spot and refused with -1130 by
    the futures; a start after the end is an empty response from spot, -1023 from the futures.
    """

    def __init__(
        self,
        venue: Venue,
        view: MarketView,
        *,
        ticks: Callable[[], float],
        depth: Callable[[str, int], Reply],
        weight_limit: int | None = None,
    ) -> None:
        self.venue = venue
        self._view = view
        self._clock = view.clock
        self._depth = depth
        self._weights = Budget(weight_limit or venue.weight_limit, _WEIGHT_WINDOW_S, ticks)
        self._fundings = Budget(_FUNDING_LIMIT, _FUNDING_WINDOW_S, ticks)
        self._paths: dict[str, Callable[[Mapping[str, str]], Reply]] = {
            "/klines": self._klines,
            "/ping": lambda _: json_reply({}),
            "/time": lambda _: json_reply({"serverTime": Unit.MILLIS.of(view.clock())}),
            "/depth": self._book,
            "/ticker/24hr": self._ticker,
            "/exchangeInfo": lambda _: json_reply(
                exchange_info(venue, view.market, view.symbols(), view.clock(), self._weights.limit)
            ),
        }
        if not venue.is_spot:
            self._paths["/fundingRate"] = self._funding

    def answer(self, path: str, query: Mapping[str, str]) -> Reply:
        """Return the exchange's response to ``GET path?query``; ``path`` begins with the market's prefix."""
        name = path.removeprefix(self.venue.prefix)
        handler = self._paths.get(name) if path.startswith(self.venue.prefix) else None
        if handler is None:
            return error_reply(-5000, f"Path {path}, Method GET is invalid", 404)
        try:
            weight = self._weight(name, query)
            refusal = self._weights.spend(weight)
            if refusal is None and name == "/fundingRate":
                refusal = self._fundings.spend(1)
            reply = refusal or handler(query)
        except _Refused as refused:
            reply = refused.reply
        used = {"X-MBX-USED-WEIGHT-1M": str(self._weights.used)}
        return Reply(reply.status, reply.body, {**reply.headers, **used})

    def _weight(self, name: str, query: Mapping[str, str]) -> int:
        if name == "/klines":
            return self.venue.weight(self._limit(query, 500, self.venue.page_max))
        if name == "/exchangeInfo" and self.venue.is_spot:
            return 20
        if name == "/depth":
            limit = self._limit(query, 100, 5000) if self.venue.is_spot else self._limit(query, 500, 1000)
            return self.venue.depth_weight(limit)
        return 0 if name == "/fundingRate" else 1

    def _klines(self, query: Mapping[str, str]) -> Reply:
        symbol, now = self._symbol(query), self._clock()
        interval = self.venue.interval(self._text(query, "interval"))
        if interval is None:
            raise _Refused(-1120, "Invalid interval.")
        limit = self._limit(query, 500, self.venue.page_max)
        start, end = self._bounds(query)
        newest_first = start is None
        if self.venue.longest_request is not None and (start is not None or end is not None):
            start, end = self._short_span(start, end, self.venue.longest_request)
            newest_first = True
        span = Span(start or 0, min(now, now if end is None else end) + 1)
        lines = self._view.lines(symbol, interval, span, limit, newest=newest_first)
        return json_reply(b"[" + b",".join(map(_row, lines)) + b"]")

    def _short_span(self, start: Micros | None, end: Micros | None, longest: Micros) -> tuple[Micros, Micros]:
        if end is None:
            end = (start or 0) + longest
        if start is None:
            start = end - longest
        if end - start > longest:
            raise _Refused(-4088, "Maximum time interval is 200 days.")
        return start, end

    def _book(self, query: Mapping[str, str]) -> Reply:
        most = 5000 if self.venue.is_spot else 1000
        return self._depth(self._symbol(query), self._limit(query, 100 if self.venue.is_spot else 500, most))

    def _ticker(self, query: Mapping[str, str]) -> Reply:
        """Return the last 24 hours, to the minute, of one symbol."""
        symbol, now = self._symbol(query), self._clock()
        lines = self._view.lines(symbol, Interval.MINUTE_1, Span(now - DAY, now + 1), _DAY_MINUTES, newest=True)
        if not lines:
            raise _Refused(-1121, "Invalid symbol.")
        rows = [line.split(b",") for line in lines]
        closes, volumes, quotes = (_sum(rows, place) for place in (4, 5, 7))
        first, last = float(rows[0][1]), float(rows[-1][4])
        entry: dict[str, Any] = {
            "symbol": symbol,
            "priceChange": f"{last - first:.8f}",
            "priceChangePercent": f"{(last / first - 1) * 100:.3f}",
            "weightedAvgPrice": f"{quotes / volumes if volumes else closes / len(rows):.8f}",
            "lastPrice": rows[-1][4].decode(),
            "openPrice": rows[0][1].decode(),
            "highPrice": max((row[2] for row in rows), key=float).decode(),
            "lowPrice": min((row[3] for row in rows), key=float).decode(),
            "volume": f"{volumes:.8f}",
            "quoteVolume": f"{quotes:.8f}",
            "openTime": Unit.MILLIS.of(now - DAY),
            "closeTime": Unit.MILLIS.of(now),
            "count": int(_sum(rows, 8)),
        }
        if self.venue.is_spot:
            book = self._view.book(symbol, 1, tick_of(now))
            for side, levels in (("bid", book.bids), ("ask", book.asks)):
                price, size = levels[0] if levels else ("0.00000000", "0.00000000")
                entry |= {f"{side}Price": price, f"{side}Qty": size}
        # The futures respond with a list, since one pair may have several contracts.
        return json_reply([entry] if self.venue.is_inverse else entry)

    def _funding(self, query: Mapping[str, str]) -> Reply:
        symbol = self._symbol(query)
        limit = self._view.funding_limit(self._limit(query, 100, 1000))
        start, end = self._bounds(query)
        now = self._clock()
        span = Span(start or 0, min(now, now if end is None else end) + 1)
        if start is None and end is None:
            span = Span(now - (limit + 1) * 8 * HOUR, now + 1)
        columns = self._view.market.funding(self.venue.market_type, symbol, span)
        keep = slice(-limit, None) if start is None else slice(limit)
        moments, rates = columns["open_time"][keep].tolist(), columns["funding_rate"][keep].tolist()
        marks = self._marks(symbol, moments)
        return json_reply(
            [
                {
                    "symbol": symbol,
                    "fundingRate": f"{rate:.8f}",
                    "fundingTime": Unit.MILLIS.of(moment),
                    "markPrice": marks.get(Interval.HOUR_8.floor(moment), ""),
                }
                for moment, rate in zip(moments, rates, strict=True)
            ]
        )

    def _marks(self, symbol: str, moments: list[Micros]) -> dict[Micros, str]:
        if not moments:
            return {}
        span = Span(Interval.HOUR_8.floor(moments[0]), moments[-1] + 1)
        known = self._view.market.candles(self.venue.market_type, symbol, Interval.HOUR_8, span)
        return {int(at): f"{price:.8f}" for at, price in zip(known["open_time"], known["open"], strict=True)}

    def _text(self, query: Mapping[str, str], name: str) -> str:
        if not query.get(name):
            raise _Refused(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return query[name]

    def _symbol(self, query: Mapping[str, str]) -> str:
        symbol = self._text(query, "symbol")
        if not self._view.knows(symbol):
            raise _Refused(-1121, "Invalid symbol.")
        return symbol

    def _number(self, query: Mapping[str, str], name: str) -> int | None:
        text = query.get(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= 20):
            raise _Refused(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
        return int(text)

    def _limit(self, query: Mapping[str, str], default: int, most: int) -> int:
        limit = self._number(query, "limit")
        if limit is None:
            return default
        if limit == 0 or (limit > most and not self.venue.is_spot):
            raise _Refused(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(limit, most)

    def _bounds(self, query: Mapping[str, str]) -> tuple[Micros | None, Micros | None]:
        """Return the bounds, both inclusive."""
        start, end = (self._moment(query, name) for name in ("startTime", "endTime"))
        if start is not None and end is not None and start > end and not self.venue.is_spot:
            raise _Refused(-1023, "Start time is greater than end time.")
        return start, end

    def _moment(self, query: Mapping[str, str], name: str) -> Micros | None:
        number = self._number(query, name)
        if number is None or (self.venue.is_spot and number >= _IN_MICROS):
            return number
        return Unit.MILLIS.micros(number)


def _sum(rows: Sequence[Sequence[bytes]], place: int) -> float:
    return sum(float(row[place]) for row in rows)


def _row(line: bytes) -> bytes:
    """Convert a line of an archive file to a JSON row: times in milliseconds, decimals as strings."""
    t, o, h, low, c, volume, end, quote, count, taker, taker_quote, *_ = line.split(b",")
    return b'[%b,"%b","%b","%b","%b","%b",%b,"%b",%b,"%b","%b","0"]' % (
        t[:_MILLIS_DIGITS], o, h, low, c, volume, end[:_MILLIS_DIGITS], quote, count, taker, taker_quote,
    )  # fmt: skip
