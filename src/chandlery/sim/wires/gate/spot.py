"""
Gate.io's spot market on the wire, and what it shares with the contracts.

Sources: https://www.gate.com/docs/developers/apiv4/en/ and the pages of the sockets,
https://www.gate.com/docs/developers/apiv4/ws/en/ and https://www.gate.com/docs/developers/futures/ws/en/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from chandlery.core.errors import ChandleryError
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import SECOND, Micros, Unit
from chandlery.sim.book import BookState, Levels, tick_of
from chandlery.sim.pairs import pair_of
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import MarketView, SimCandle
from chandlery.sim.wire import Session, SimRequest, Want, Wire

_LIMIT, _WINDOW_S = 200, 10.0
"""Maximum number of requests per path within a time in seconds."""
_KEPT = 10_000
"""Number of latest candles that are served."""
STREAMED = {name: Interval(name) for name in ("1m", "5m", "15m", "30m", "1h", "4h", "8h", "1d")}
_DEPTHS = ("50", "400")
_SPEEDS = {"100ms": ("100", "50", "20"), "20ms": ("20",)}
_LABELS = {429: "TOO_MANY_REQUESTS", 418: "TOO_MANY_REQUESTS", 404: "NOT_FOUND"}


class _Command(msgspec.Struct):
    channel: str
    event: str = ""
    payload: list[str] = []
    id: int | None = None


class Refused(ChandleryError):
    """Refusal of an invalid request."""

    def __init__(self, message: str, label: str = "INVALID_PARAM_VALUE", status: int = 400) -> None:
        super().__init__(message)
        self.reply = json_reply({"label": label, "message": message}, status)


class GateSpotWire(Wire):
    """
    Spot: rows are arrays of strings: seconds, quote volume, close, high, low, open, volume, and a closed flag.

    Bounds are seconds, both inclusive, and exclude a limit; only the latest 10,000 candles are served. Where the
    documentation is silent, a ``limit`` above the maximum is refused.
    """

    id = "gate_spot"
    market_type = MarketType.SPOT
    prefix: ClassVar[str] = "/spot"
    channel: ClassVar[str] = "spot"
    """Prefix of its channel names."""
    key: ClassVar[str] = "currency_pair"
    """Parameter of the symbol."""
    unknown: ClassVar[str] = "INVALID_CURRENCY_PAIR"
    """Error label of an unknown symbol."""
    listing: ClassVar[str] = "currency_pairs"
    names: ClassVar[Mapping[str, Interval]] = {"1s": Interval.SECOND_1, **STREAMED, "30d": Interval.MONTH_1}
    most_candles: ClassVar[int] = 1000
    most_levels: ClassVar[int] = 1000

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        view.funding_unit = Unit.SECONDS
        self._window = -1
        self._used: Counter[str] = Counter()
        self._paths: dict[str, Callable[[SimRequest], Any]] = {
            "/spot/time": lambda _: {"server_time": Unit.MILLIS.of(self.now)},
            "/spot/currencies": lambda _: [],
            "/margin/currency_pairs": lambda _: [],
            f"{self.prefix}/{self.listing}": lambda _: [*map(self.listed, filter(None, map(self.native, view.symbols())))],
            f"{self.prefix}/candlesticks": self._candlesticks,
            f"{self.prefix}/order_book": self._order_book,
        }  # fmt: skip

    def native(self, symbol: str) -> str | None:
        """Return the exchange's spelling of the market's symbol."""
        name = "_".join(pair_of(symbol))
        return name if self.symbol(name) == symbol else None

    def symbol(self, native: str) -> str | None:
        """Return ``BTCUSDT`` for ``BTC_USDT``."""
        base, _, quote = native.partition("_")
        symbol = f"{base}{quote}"
        return symbol if quote and self.view.knows(symbol) else None

    # --- REST --------------------------------------------------------------------------------------------------------

    def answer(self, request: SimRequest) -> Reply:
        """Answer a request; errors have a label, a message and status 400; at most 200 requests of a path in 10 seconds."""
        handler = self._paths.get(request.path)
        if handler is None or request.method != "GET":
            return self.refusal(404)
        window = int(self.ticks() // _WINDOW_S)
        if window != self._window:
            self._window = window
            self._used.clear()
        self._used[request.path] += 1
        limit = self.weight_limit or _LIMIT
        left = limit - self._used[request.path]
        try:
            reply = self.refusal(429) if left < 0 else json_reply(handler(request))
        except Refused as refused:
            reply = refused.reply
        headers = {"X-Gate-RateLimit-Requests-Remain": str(max(left, 0)), "X-Gate-RateLimit-Limit": str(limit)}
        return Reply(reply.status, reply.body, {**reply.headers, **headers})

    def refusal(self, status: int) -> Reply:
        """Return a label and a message."""
        label = _LABELS.get(status, "SERVER_ERROR")
        return Refused(label.replace("_", " ").capitalize(), label, status).reply

    def _wanted(self, query: Mapping[str, str]) -> str:
        native = query.get(self.key)
        if not native:
            raise Refused(f"Missing required parameter: {self.key}", "MISSING_REQUIRED_PARAM")
        symbol = self.symbol(native)
        if symbol is None:
            raise Refused(f"Invalid {self.key.replace('_', ' ')}: {native}", self.unknown)
        return symbol

    def _number(self, query: Mapping[str, str], name: str) -> int | None:
        text = query.get(name)
        if text is not None and not (text.isascii() and text.isdigit()):
            raise _invalid(name, text)
        return None if text is None else int(text)

    def _limit(self, query: Mapping[str, str], default: int, most: int) -> int:
        limit = self._number(query, "limit")
        if limit is not None and not 0 < limit <= most:
            raise _invalid("limit", query["limit"])
        return default if limit is None else limit

    def _bounds(self, query: Mapping[str, str]) -> tuple[Micros | None, Micros]:
        start, end = (self._number(query, name) for name in ("from", "to"))
        return None if start is None else start * SECOND, self.now if end is None else end * SECOND

    def _candlesticks(self, request: SimRequest) -> list[Any]:
        return self._page(request, self._wanted(request.query))

    def _page(self, request: SimRequest, symbol: str) -> list[Any]:
        query = request.query
        text = query.get("interval", "5m")
        interval = self.names.get(text)
        if interval is None:
            raise _invalid("interval", text)
        if "limit" in query and ("from" in query or "to" in query):
            raise Refused("limit conflicts with from and to")
        limit = self._limit(query, 100, self.most_candles)
        start, end = self._bounds(query)
        grid = self.view.grids[interval]
        if start is None:
            start = grid.step(grid.ceil(end + 1), -limit)
        elif start < grid.step(grid.floor(self.now), 1 - _KEPT):
            raise Refused(f"Candlestick too long ago. Maximum {_KEPT} points recently are allowed")
        span = Span(start, end + SECOND)
        if grid.count(span.start, span.end) > self.most_candles:
            raise Refused(
                f"Candlestick range too broad. Maximum {self.most_candles} data points are allowed per request"
            )
        candles = self.view.candles(symbol, interval, span, self.most_candles, newest=False)
        decimal = request.headers.get("x-gate-size-decimal") == "1"
        return [self.row(symbol, each, decimal=decimal) for each in candles]

    def row(self, symbol: str, each: SimCandle, *, decimal: bool) -> Any:
        """Return a candle in the form of REST."""
        closed = "true" if each.closed else "false"
        opened = str(each.open_time // SECOND)
        return [opened, each.quote, each.close, each.high, each.low, each.open, each.volume, closed]

    def _order_book(self, request: SimRequest) -> Any:
        query, tick = request.query, tick_of(self.now)
        symbol = self._wanted(query)
        state = self.view.book(symbol, self._limit(query, 10, self.most_levels), tick)
        asks, bids = (self.levels(self.sized(symbol, side)) for side in (state.asks, state.bids))
        ids = {"id": tick} if query.get("with_id", "").lower() == "true" else {}
        return ids | {"current": self.moment(), "update": self.moment(), "asks": asks, "bids": bids}

    def moment(self) -> float:
        """Return the current time in the form of its books."""
        return Unit.MILLIS.of(self.now)

    def levels(self, levels: Levels) -> Sequence[Any]:
        """Return the levels of a book, except those of version 2."""
        return levels

    def sized(self, symbol: str, levels: Levels) -> Levels:
        """Return levels with sizes in the exchange's unit; deleted ones have size 0."""
        return [(price, size if float(size) else "0") for price, size in levels]

    def listed(self, native: str) -> dict[str, Any]:
        """Return one instrument."""
        base, quote = native.split("_")
        lot = self.view.lot(base + quote)
        return {
            "id": native, "base": base, "quote": quote, "fee": "0.2", "min_base_amount": str(lot),
            "min_quote_amount": "3", "amount_precision": -int(lot.as_tuple().exponent), "precision": 4,
            "trade_status": "tradable", "sell_start": 0, "buy_start": 0, "type": "normal",
        }  # fmt: skip

    # --- sockets -----------------------------------------------------------------------------------------------------

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Handle one subscription per message; a ping is answered with a pong."""
        try:
            command = msgspec.json.decode(text, type=_Command)
        except msgspec.MsgspecError:
            return [self._message("", "", error={"code": 1, "message": "Invalid request body format"}, result=None)]
        kind = command.channel.removeprefix(f"{self.channel}.")
        if kind == "ping":
            return [self._message("pong", "", error=None, result=None)]
        told: dict[str, Any] = {"payload": command.payload, "result": {"status": "success"}}
        try:
            self._take(session, command.event, self._want(kind, command.payload))
        except Refused as refused:
            told |= {"error": {"code": 2, "message": str(refused)}, "result": {"status": "fail"}}
        return [self._message(kind, command.event, **told, **({} if command.id is None else {"id": command.id}))]

    def _take(self, session: Session, event: str, want: Want) -> None:
        if event == "unsubscribe":
            session.leave(want.key)
        elif event != "subscribe":
            raise Refused(f"unknown event {event}")
        elif want.key.startswith("ob.") and want.key in session.wants:
            raise Refused(f"Alert sub {want.key}")
        else:
            session.join(want)

    def _want(self, kind: str, payload: Sequence[str]) -> Want:
        """Parse ``["1m", "BTC_USDT"]``, ``["ob.BTC_USDT.50"]`` or ``["BTC_USDT", "100ms", "100"]``."""
        match kind, *payload:
            case "candlesticks", text, native if text in STREAMED:
                return Want(f"{text}_{native}", self._known(native), native, STREAMED[text])
            case "obu", name if name.startswith("ob.") and name.rpartition(".")[2] in _DEPTHS:
                native, _, depth = name.removeprefix("ob.").rpartition(".")
                return Want(name, self._known(native), native, depth=int(depth))
            case "order_book_update", native, speed, *rest if speed in _SPEEDS:
                depth = rest[0] if rest else _SPEEDS[speed][0]
                if depth in _SPEEDS[speed]:
                    return Want(f"{native}@{speed}", self._known(native), native, depth=int(depth))
        raise Refused(f"invalid argument {list(payload)}")

    def _known(self, native: str) -> str:
        symbol = self.symbol(native)
        if symbol is None:
            raise Refused(f"unknown {self.key.replace('_', ' ')}: {native}")
        return symbol

    def _message(self, kind: str, event: str, **rest: Any) -> dict[str, Any]:
        now = {"time": self.now // SECOND, "time_ms": Unit.MILLIS.of(self.now)}
        return now | {"channel": f"{self.channel}.{kind}", "event": event} | rest

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return candles named by the subscription; times are in seconds."""
        return [self._message("candlesticks", "update", result=self.live(want, each)) for each in candles]

    def live(self, want: Want, each: SimCandle) -> Any:
        """Return a live candle: the volume is ``a``, and ``w`` marks it closed."""
        return {
            "t": str(each.open_time // SECOND), "v": each.quote, "c": each.close, "h": each.high, "l": each.low,
            "o": each.open, "n": want.key, "a": each.volume, "w": each.closed,
        }  # fmt: skip

    def book(self, session: Session, want: Want, state: BookState, tick: int) -> Sequence[Any]:
        """Return the full book for version 2; the older channel has no snapshot."""
        whole = want.key.startswith("ob.")
        return [self._update(want, state.bids, state.asks, full=True, u=tick)] if whole else ()

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return the changes; ``U`` is the first id, ``u`` the last."""
        return [self._update(want, bids, asks, U=before + 1, u=after)]

    def _update(self, want: Want, bids: Levels, asks: Levels, **ids: Any) -> dict[str, Any]:
        at = {"t": Unit.MILLIS.of(self.now)}
        b, a = self.sized(want.symbol, bids), self.sized(want.symbol, asks)
        if want.key.startswith("ob."):
            return self._message("obu", "update", result=at | ids | {"s": want.key, "b": b, "a": a})
        levels = {"s": want.native, "l": str(want.depth), "b": self.levels(b), "a": self.levels(a)}
        return self._message("order_book_update", "update", result=at | ids | levels)


def _invalid(name: str, text: str) -> Refused:
    return Refused(f"Invalid request parameter `{name}` value: {text}")
