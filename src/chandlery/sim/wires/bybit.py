"""
Bybit's three markets on the wire, version 5.

Sources: https://bybit-exchange.github.io/docs/v5/market/kline and its neighbours, and
https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook.

Where the documentation is silent: a page that is too short for its span holds the latest of it, but
the oldest where there is no end; what is out of bounds is refused with 10001.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import Micros, Unit
from chandlery.sim import dated
from chandlery.sim.book import BookState, Levels, tick_of
from chandlery.sim.kit import Refused
from chandlery.sim.pairs import pair_of
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import MarketView, SimCandle
from chandlery.sim.wire import Session, SimRequest, Want, Wire

_INTERVALS = {
    "1": "1m", "3": "3m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "120": "2h", "240": "4h",
    "360": "6h", "720": "12h", "D": "1d", "W": "1w", "M": "1M",
}  # fmt: skip
_TOPIC = re.compile(r"(kline|orderbook)\.(\w+)\.([^.]+)")
_DEPTHS = {"1", "50", "200", "1000"}
_LIMIT, _WINDOW_S = 600, 5.0
_BANNED = b"Access too frequent. Please try again after some time."


class _Command(msgspec.Struct):
    op: str
    args: list[str] = []
    req_id: str | int = ""


class _BybitWire(Wire):
    """Shared behaviour of the markets; each serves only its own ``category``."""

    category: ClassVar[str]
    most_levels: ClassVar[tuple[int, int]] = (25, 500)
    """Default and maximum number of levels of a book by REST."""
    most_topics: ClassVar[int] = 2000

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self._window = -1
        self._used = 0
        self._paths: dict[str, Callable[[Mapping[str, str]], Any]] = {
            "time": self._time,
            "kline": self._klines,
            "orderbook": self._orderbook,
            "funding/history": self._funding,
            "instruments-info": self._instruments,
        }

    def symbol(self, native: str) -> str | None:
        """Return the symbol, which is the market's."""
        return native if self.view.knows(native) else None

    def answer(self, request: SimRequest) -> Reply:
        """Answer a request; refusals have status 200 and a ``retCode``."""
        window = int(self.ticks() // _WINDOW_S)
        self._window, self._used = window, self._used + 1 if window == self._window else 1
        if self._used > (self.weight_limit or _LIMIT):
            return self.refusal(403)
        handler = self._paths.get(request.path.removeprefix("/v5/market/"))
        if handler is None or request.method != "GET":
            return self.refusal(404)
        try:
            return self._envelope(0, "OK", handler(request.query))
        except Refused as refused:
            return self._envelope(10001, str(refused), {})

    def refusal(self, status: int) -> Reply:
        """Return a code for too many requests, and 403 for a ban."""
        if status == 429:
            return self._envelope(10006, "Too many visits!", {})
        if status in {403, 418}:
            return Reply(403, _BANNED, {"Content-Type": "text/plain"})
        return json_reply({"retCode": 10016, "retMsg": "Internal server error."}, status)

    def _envelope(self, code: int, message: str, result: Any) -> Reply:
        now_ms = Unit.MILLIS.of(self.now)
        return json_reply(
            {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": now_ms},
            headers={"X-Bapi-Limit": str(_LIMIT), "X-Bapi-Limit-Status": str(max(_LIMIT - self._used, 0))},
        )

    # --- REST ---

    def _time(self, _: Mapping[str, str]) -> Any:
        return {"timeSecond": str(Unit.SECONDS.of(self.now)), "timeNano": str(self.now * 1000)}

    def _klines(self, query: Mapping[str, str]) -> Any:
        symbol, limit = self._symbol(query), _number(query, "limit", 200, 1000)
        interval = _interval(query.get("interval", ""))
        if interval is None:
            raise Refused("Invalid period!")
        start, end = _moment(query, "start"), _moment(query, "end")
        if start is not None and end is not None and start > end:
            raise Refused("The start time cannot be later than the end time")
        first = 0 if start is None else self.view.grids[interval].floor(start)
        span = Span(first, self.now + 1 if end is None else end + 1)
        newest = start is None or end is not None
        candles = self.view.candles(symbol, interval, span, limit, newest=newest)
        rows = [
            [
                str(Unit.MILLIS.of(each.open_time)),
                each.open,
                each.high,
                each.low,
                each.close,
                *self._volumes(symbol, each),
            ]
            for each in reversed(candles)
        ]
        return {"category": self.category, "symbol": query["symbol"], "list": rows}

    def _volumes(self, symbol: str, candle: SimCandle) -> tuple[str, str]:
        """Return volume and turnover."""
        return self._size(symbol, candle.volume), candle.quote

    def _size(self, symbol: str, size: str) -> str:
        """Convert a size to the market's unit."""
        return size

    def _levels(self, symbol: str, levels: Levels) -> list[tuple[str, str]]:
        return [(price, self._size(symbol, size) if float(size) else "0") for price, size in levels]

    def _orderbook(self, query: Mapping[str, str]) -> Any:
        symbol, limit = self._symbol(query), _number(query, "limit", *self.most_levels)
        tick = tick_of(self.now)
        now_ms = Unit.MILLIS.of(self.now)
        return self._whole(symbol, query["symbol"], self.view.book(symbol, limit, tick), tick) | {
            "ts": now_ms,
            "cts": now_ms,
        }

    def _whole(self, symbol: str, native: str, state: BookState, tick: int) -> dict[str, Any]:
        bids, asks = self._levels(symbol, state.bids), self._levels(symbol, state.asks)
        return {"s": native, "b": bids, "a": asks, "u": tick, "seq": 7 * tick}

    def _funding(self, query: Mapping[str, str]) -> Any:
        symbol, limit = self._symbol(query), _number(query, "limit", 200, 200)
        start, end = _moment(query, "startTime"), _moment(query, "endTime")
        if self.market_type is MarketType.SPOT:
            raise Refused("Illegal category")
        if start is not None and end is None:
            raise Refused("params error: endTime is empty")
        limit = self.view.funding_limit(limit)
        rates = self.view.funding(symbol, Span(start or 0, self.now + 1 if end is None else end + 1))
        rows = [
            {"symbol": query["symbol"], "fundingRate": rate, "fundingRateTimestamp": str(Unit.MILLIS.of(moment))}
            for moment, rate in rates[-limit:]
        ]
        return {"category": self.category, "list": rows[::-1]}

    def _instruments(self, query: Mapping[str, str]) -> Any:
        self._check_category(query)
        listed = [] if query.get("status", "Trading") != "Trading" else map(self._native, self.view.symbols())
        natives = [each for each in listed if each and query.get("symbol", each) == each]
        if self.market_type is MarketType.SPOT:
            return {"category": self.category, "list": [self._instrument(each) for each in natives]}
        limit, first = _number(query, "limit", 500, 1000), int(query.get("cursor") or 0)
        rest = len(natives) > first + limit
        page = [self._instrument(each) for each in natives[first : first + limit]]
        return {"category": self.category, "list": page, "nextPageCursor": str(first + limit) if rest else ""}

    def _native(self, symbol: str) -> str | None:
        """Return the exchange's spelling of a market's symbol; ``None`` if it has none."""
        return symbol

    def _instrument(self, native: str) -> dict[str, Any]:
        symbol = self.symbol(native) or ""
        pair, day = dated.split(symbol)
        base, quote = pair_of(pair)
        entry = {
            "symbol": native, "baseCoin": base, "quoteCoin": quote, "status": "Trading", "symbolType": "",
            "priceFilter": {"tickSize": "0.0001", "minPrice": "0.0001", "maxPrice": "1999999.8"},
        }  # fmt: skip
        lot = f"{self.view.lot(symbol):f}"
        if self.market_type is MarketType.SPOT:
            steps = {"basePrecision": lot, "quotePrecision": "0.00000001", "minOrderQty": lot, "maxOrderQty": "71.7"}
            return entry | {"lotSizeFilter": steps | {"minOrderAmt": "1", "maxOrderAmt": "4000000"}, "innovation": "0"}
        inverse = self.market_type is MarketType.FUTURES_COIN
        step = "1" if inverse else lot
        return entry | {
            "contractType": f"{'Inverse' if inverse else 'Linear'}{'Futures' if day else 'Perpetual'}",
            "settleCoin": base if inverse else quote,
            "launchTime": "1585526400000", "deliveryTime": str(dated.delivery_ms(day)) if day else "0", "priceScale": "4", "fundingInterval": 480,
            "lotSizeFilter": {"qtyStep": step, "minOrderQty": step, "maxOrderQty": "1190.000"},
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        }  # fmt: skip

    def _check_category(self, query: Mapping[str, str]) -> None:
        if query.get("category", "linear") != self.category:
            raise Refused("Illegal category")

    def _symbol(self, query: Mapping[str, str]) -> str:
        self._check_category(query)
        symbol = self.symbol(query.get("symbol", ""))
        if symbol is None:
            raise Refused("params error: symbol invalid")
        return symbol

    # --- sockets ---

    def admit(self, session: Session) -> Reply | None:
        """Accept the market's own path only."""
        return None if session.path == f"/v5/public/{self.category}" else self.refusal(404)

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Handle ``ping``, ``subscribe`` and ``unsubscribe``; one invalid topic refuses the whole message."""
        try:
            command = msgspec.json.decode(text, type=_Command)
        except msgspec.MsgspecError:
            return [self._message("", "", "error:request parsing failed")]
        if command.op == "ping":
            return [self._pong(command.req_id)]
        if command.op not in {"subscribe", "unsubscribe"}:
            return [self._message(command.op, command.req_id, "error:invalid op")]
        if len(command.args) > self.most_topics:
            return [self._message(command.op, command.req_id, f"args size >{self.most_topics}")]
        wants = [self._want(topic) for topic in command.args]
        for topic, want in zip(command.args, wants, strict=True):
            if want is None:
                return [self._message(command.op, command.req_id, f"error:handler not found,topic:{topic}")]
        for want in filter(None, wants):
            if command.op == "subscribe":
                session.join(want)
            else:
                session.leave(want.key)
        return [self._message(command.op, command.req_id, None)]

    def _message(self, operation: str, req_id: str | int, refused: str | None) -> Any:
        message = "" if refused is None else refused
        return {"success": refused is None, "ret_msg": message, "conn_id": "sim", "req_id": req_id, "op": operation}

    def _pong(self, req_id: str | int) -> Any:
        return {"req_id": req_id, "op": "pong", "args": [str(Unit.MILLIS.of(self.now))], "conn_id": "sim"}

    def _want(self, topic: str) -> Want | None:
        found = _TOPIC.fullmatch(topic)
        symbol = self.symbol(found[3]) if found else None
        if found is None or symbol is None:
            return None
        if found[1] == "orderbook":
            return Want(topic, symbol, found[3], depth=int(found[2])) if found[2] in _DEPTHS else None
        interval = _interval(found[2])
        return Want(topic, symbol, found[3], interval) if interval else None

    def _push(self, want: Want, kind: str, data: Any) -> dict[str, Any]:
        return {"topic": want.key, "type": kind, "ts": Unit.MILLIS.of(self.now), "data": data}

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return one message for all candles, the running one last."""
        rows = []
        for each in candles:
            volume, turnover = self._volumes(want.symbol, each)
            rows.append({
                "start": Unit.MILLIS.of(each.open_time), "end": Unit.MILLIS.of(each.end) - 1,
                "interval": want.key.split(".")[1], "open": each.open, "close": each.close, "high": each.high,
                "low": each.low, "volume": volume, "turnover": turnover, "confirm": each.closed,
                "timestamp": Unit.MILLIS.of(self.now),
            })  # fmt: skip
        return [self._push(want, "snapshot", rows)]

    def book(self, session: Session, want: Want, state: BookState, tick: int) -> Sequence[Any]:
        """Return a snapshot, which begins each book."""
        return [self._push(want, "snapshot", self._whole(want.symbol, want.native, state, tick))]

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return the changes; a book of one level is always sent in full."""
        if want.depth == 1:
            return self.book(session, want, self.view.book(want.symbol, 1, after), after)
        change = self._whole(want.symbol, want.native, BookState(bids, asks), after)
        return [self._push(want, "delta", change) | {"cts": Unit.MILLIS.of(self.now)}]


def _interval(name: str) -> Interval | None:
    return Interval(_INTERVALS[name]) if name in _INTERVALS else None


def _number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise Refused(f"params error: {name} invalid")
    return int(text)


def _moment(query: Mapping[str, str], name: str) -> Micros | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise Refused(f"params error: {name} invalid")
    return Unit.MILLIS.micros(int(text))


class BybitSpotWire(_BybitWire):
    """Spot: ten topics per message, and its own form of pong."""

    id = "bybit_spot"
    market_type = MarketType.SPOT
    category = "spot"
    most_levels = (1, 200)
    most_topics = 10

    def _pong(self, req_id: str | int) -> Any:
        return {"success": True, "ret_msg": "pong", "conn_id": "sim", "req_id": req_id, "op": "ping"}


class BybitPerpetualWire(_BybitWire):
    """Linear, in USDT, or in USDC under the name of ``PERP``."""

    id = "bybit_perpetual"
    market_type = MarketType.FUTURES_USDT
    category = "linear"

    def symbol(self, native: str) -> str | None:
        """Return the symbol; ``BTCPERP`` is the market's ``BTCUSDC``."""
        symbol = f"{native.removesuffix('PERP')}USDC" if native.endswith("PERP") else native
        if self._native(symbol) == native and self.view.knows(symbol):
            return symbol
        return dated.find(self.view, native, self._native)

    def _native(self, symbol: str) -> str | None:
        pair, day = dated.split(symbol)
        ending = f"-{dated.day_month_year(day)}" if day else ""
        if pair.endswith("USDC"):
            return f"{pair.removesuffix('USDC')}{ending or 'PERP'}"
        return f"{pair}{ending}" if pair.endswith("USDT") else None


class BybitInverseWire(_BybitWire):
    """Inverse: sizes are in USD."""

    id = "bybit_inverse"
    market_type = MarketType.FUTURES_COIN
    category = "inverse"

    def symbol(self, native: str) -> str | None:
        """Return the symbol; it is the market's ``BTCUSD_PERP``."""
        symbol = f"{native}_PERP"
        return symbol if self.view.knows(symbol) else dated.find(self.view, native, self._native)

    def _native(self, symbol: str) -> str | None:
        pair, day = dated.split(symbol)
        return f"{pair}{dated.letter(day)}" if day else pair

    def _size(self, symbol: str, size: str) -> str:
        return str(int(size) * self.view.contract_value(symbol))
