"""
Crypto.com's two markets on the wire.

Source: https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html. Undocumented details follow ccxt: both bounds
are exclusive. Funding rates come every eight hours, not every hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import msgspec

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, SECOND, Unit
from chandlery.sim import dated
from chandlery.sim.book import BookState, Levels, tick_of
from chandlery.sim.kit import Refused
from chandlery.sim.pairs import pair_of
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import SimCandle
from chandlery.sim.wire import Session, SimRequest, Want, Wire

_PERIODS = {
    "1m": "1m", "5m": "5m", "15m": "15m", "30m": "30m", "1h": "1h", "2h": "2h", "4h": "4h", "12h": "12h",
    "1D": "1d", "7D": "1w", "1M": "1M",
}  # fmt: skip
_LEGACY = {"M1": "1m", "M5": "5m", "M15": "15m", "M30": "30m", "H1": "1h", "H2": "2h", "H4": "4h", "H12": "12h"} | {
    "D1": "1D",
    "1d": "1D",
}
_DEPTHS = {"10": 10, "50": 50}
_MOST_ROWS = 300
_USUAL_ROWS = 25
_MOST_STREAMS = 400
_HISTORY = 20
"""Number of past candles on subscription; the exchange sends up to 300."""
_BEAT = 30 * SECOND
_WHOLE = " SNAPSHOT"
"""Suffix of the key of a subscription to full books."""
_BAD_ARGUMENT = (40004, "MISSING_OR_INVALID_ARGUMENT")
_REFUSALS = {
    404: (40002, "METHOD_NOT_FOUND"),
    418: (42901, "TOO_MANY_REQUESTS"),
    429: (42901, "TOO_MANY_REQUESTS"),
}


class _Params(msgspec.Struct):
    channels: list[str] = []
    book_subscription_type: str = "SNAPSHOT"


class _Command(msgspec.Struct):
    method: str
    id: int | str = -1
    params: _Params = msgspec.field(default_factory=_Params)


def _refuse(code: int, message: str) -> NoReturn:
    raise Refused(code, message)


class _CryptocomWire(Wire):
    """Shared behaviour: REST and WebSocket answers have the same envelope of id, method, code and result."""

    inst_type: ClassVar[str]

    # --- symbols

    def symbol(self, native: str) -> str | None:
        """Return the market's symbol, which lacks separators and suffixes."""
        symbol = self._plain(native)
        if self.view.knows(symbol) and self._native(symbol) == native:
            return symbol
        return dated.find(self.view, native, self._native)

    def _plain(self, native: str) -> str:
        return native.replace("_", "")

    def _native(self, symbol: str) -> str:
        return "_".join(self._split(symbol))

    def _split(self, symbol: str) -> tuple[str, str]:
        return pair_of(dated.split(symbol)[0])

    # --- REST

    def answer(self, request: SimRequest) -> Reply:
        """Answer GET requests only."""
        methods: dict[str, Callable[[Mapping[str, str]], Mapping[str, Any]]] = {
            "public/get-candlestick": self._candlestick,
            "public/get-book": self._get_book,
            "public/get-instruments": self._instruments,
            "public/get-valuations": self._valuations,
        }
        method = request.path.removeprefix("/exchange/v1/")
        handler = methods.get(method)
        if handler is None or request.method != "GET" or not request.path.startswith("/exchange/v1/"):
            return self.refusal(404)
        try:
            return json_reply({"id": -1, "method": method, "code": 0, "result": handler(request.query)})
        except Refused as refused:
            code, message = refused.args
            return json_reply({"id": -1, "method": method, "code": code, "message": message}, 400)

    def refusal(self, status: int) -> Reply:
        """Return a code and a message."""
        code, message = _REFUSALS.get(status, (50001, "ERR_INTERNAL"))
        return json_reply({"id": -1, "method": "ERROR", "code": code, "message": message}, status)

    def _known(self, query: Mapping[str, str]) -> str:
        native = query.get("instrument_name")
        if not native:
            _refuse(*_BAD_ARGUMENT)
        return self.symbol(native) or _refuse(40004, "Invalid instrument_name")

    def _number(self, query: Mapping[str, str], name: str, default: int) -> int:
        text = query.get(name, "")
        if text and not text.isdigit():
            _refuse(*_BAD_ARGUMENT)
        return int(text) if text else default

    def _span(self, query: Mapping[str, str], usual: int) -> Span:
        """Return the range after ``start_ts`` and before ``end_ts``; by default the usual duration until now."""
        start = self._number(query, "start_ts", Unit.MILLIS.of(self.now - usual))
        end = self._number(query, "end_ts", Unit.MILLIS.of(self.now) + 1)
        return Span(Unit.MILLIS.micros(start) + 1, max(Unit.MILLIS.micros(end), 1))

    def _count(self, query: Mapping[str, str]) -> int:
        return min(self._number(query, "count", _USUAL_ROWS), _MOST_ROWS)

    def _candlestick(self, query: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the latest candles of the range, oldest first."""
        symbol, name = self._known(query), query.get("timeframe") or "M1"
        period = _PERIODS.get(_LEGACY.get(name, name)) or _refuse(*_BAD_ARGUMENT)
        interval, span, count = Interval(period), self._span(query, DAY), self._count(query)
        rows = [self._row(each) for each in self.view.candles(symbol, interval, span, count, newest=True)]
        return {"interval": name, "data": rows, "instrument_name": query["instrument_name"]}

    def _row(self, candle: SimCandle) -> Mapping[str, Any]:
        return {
            "o": candle.open, "h": candle.high, "l": candle.low, "c": candle.close, "v": candle.volume,
            "t": Unit.MILLIS.of(candle.open_time),
        }  # fmt: skip

    def _get_book(self, query: Mapping[str, str]) -> Mapping[str, Any]:
        symbol, depth = self._known(query), min(self._number(query, "depth", 50), 50)
        state = self.view.book(symbol, depth, tick_of(self.now))
        data = _sides(state) | {"t": Unit.MILLIS.of(self.now)}
        return {"depth": depth, "data": [data], "instrument_name": query["instrument_name"]}

    def _valuations(self, query: Mapping[str, str]) -> Mapping[str, Any]:
        symbol = self._known(query)
        if query.get("valuation_type") != "funding_hist" or self.market_type is MarketType.SPOT:
            _refuse(*_BAD_ARGUMENT)
        rates = self.view.funding(symbol, self._span(query, 30 * DAY))[-self.view.funding_limit(self._count(query)) :]
        data = [{"v": rate, "t": Unit.MILLIS.of(moment)} for moment, rate in rates]
        return {"data": data, "instrument_name": query["instrument_name"]}

    def _instruments(self, _query: Mapping[str, str]) -> Mapping[str, Any]:
        return {"data": [self._instrument(each) for each in self._listed()]}

    def _listed(self) -> list[str]:
        return self.view.symbols()

    def _instrument(self, symbol: str) -> Mapping[str, Any]:
        base, quote = self._split(symbol)
        day = dated.split(symbol)[1]
        return {
            "symbol": self._native(symbol), "inst_type": "FUTURE" if day else self.inst_type, "display_name": f"{base}/{quote}",
            "base_ccy": base, "quote_ccy": quote, "price_tick_size": "0.01",
            "qty_tick_size": str(self.view.lot(symbol)), "max_leverage": "50", "tradable": True,
            "expiry_timestamp_ms": dated.delivery_ms(day) if day else 0, "contract_size": "1", "underlying_symbol": f"{base}{quote}-INDEX",
        }  # fmt: skip

    # --- sockets

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Acknowledge or refuse a command as a whole."""
        try:
            command = msgspec.json.decode(text, type=_Command)
        except msgspec.MsgspecError:
            return [{"id": -1, "method": "ERROR", "code": 40003, "message": "INVALID_REQUEST", "original": text}]
        head = {"id": command.id, "method": command.method}
        match command.method:
            case "subscribe":
                try:
                    return [head | {"code": 0}, *self._subscribe(session, command.params)]
                except Refused as refused:
                    code, message = refused.args
                    return [head | {"code": code, "message": message}]
            case "unsubscribe":
                for channel in command.params.channels:
                    session.leave(channel)
                    session.leave(channel + _WHOLE)
                return [head | {"code": 0}]
            case "public/respond-heartbeat":
                return ()
            case _:
                return [head | {"code": 40002, "message": "METHOD_NOT_FOUND"}]

    def _subscribe(self, session: Session, params: _Params) -> list[Any]:
        """Subscribe; candles begin with some past ones, and a repeated subscription to a book resends its snapshot."""
        whole = params.book_subscription_type == "SNAPSHOT"
        found = [want for each in params.channels if (want := self._want(each, whole=whole)) is not None]
        if len(found) < len(params.channels):
            _refuse(40004, f"invalid channel {params.channels}")
        if len({*session.wants, *(want.key for want in found)}) > _MOST_STREAMS:
            _refuse(40107, "EXCEED_MAX_SUBSCRIPTIONS")
        again = {want.key for want in found} & session.wants.keys()
        pushes: list[Any] = []
        for want in found:
            session.join(want)
            if want.interval is not None:
                span = Span(0, self.now + 1)
                past = self.view.live(want.symbol, want.interval, span, _HISTORY)
                pushes += self.candles(session, want, past)
            elif want.key in again:
                tick = tick_of(self.now)
                pushes += self.book(session, want, self.view.book(want.symbol, want.depth, tick), tick)
        return pushes

    def _want(self, channel: str, *, whole: bool) -> Want | None:
        match channel.split("."):
            case ["candlestick", name, native]:
                symbol, period = self._traded(native), _PERIODS.get(_LEGACY.get(name, name))
                return Want(channel, symbol, native, Interval(period)) if period else None
            case ["book", native, depth]:
                symbol, levels = self._traded(native), _DEPTHS.get(depth)
                key = channel + _WHOLE * whole
                return Want(key, symbol, native, None, levels) if levels else None
            case _:
                return None

    def _traded(self, native: str) -> str:
        return self.symbol(native) or _refuse(40003, "Unknown symbol")

    def _push(self, want: Want, channel: str, data: Sequence[Any], **more: Any) -> Any:
        subscription = want.key.removesuffix(_WHOLE)
        names = {"instrument_name": want.native, "subscription": subscription, "channel": channel}
        return {"id": -1, "method": "subscribe", "code": 0, "result": names | more | {"data": data}}

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return all candles in one push, each with its update time; none says whether it is closed."""
        name = want.key.split(".")[1]
        sent = {"ut": Unit.MILLIS.of(self.now)}
        return [self._push(want, "candlestick", [{**self._row(each), **sent} for each in candles], interval=name)]

    def book(self, session: Session, want: Want, state: BookState, tick: int) -> Sequence[Any]:
        """Return a snapshot."""
        now_ms = Unit.MILLIS.of(self.now)
        data = _sides(state) | {"tt": now_ms, "t": now_ms, "u": tick}
        return [self._push(want, "book", [data], depth=want.depth)]

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return the changes, or the full book if changes were not requested."""
        if want.key.endswith(_WHOLE):
            return self.book(session, want, self.view.book(want.symbol, want.depth, after), after)
        now_ms = Unit.MILLIS.of(self.now)
        data = {"update": _sides(BookState(bids, asks)), "tt": now_ms, "t": now_ms, "u": after, "pu": before}
        return [self._push(want, "book.update", [data | {"cs": 0}], depth=want.depth)]

    def heartbeat(self, session: Session) -> Sequence[Any]:
        """Return a heartbeat at once and every half minute; an answer is optional."""
        turn = self.now // _BEAT
        if session.sequence == turn:
            return ()
        session.sequence = turn
        return [{"id": Unit.MILLIS.of(self.now), "method": "public/heartbeat", "code": 0}]


def _sides(state: BookState) -> dict[str, Any]:
    return {
        name: [[price, size if float(size) else "0", "1" if float(size) else "0"] for price, size in side]
        for name, side in (("asks", state.asks), ("bids", state.bids))
    }


class CryptocomSpotWire(_CryptocomWire):
    """Spot."""

    id = "cryptocom_spot"
    market_type = MarketType.SPOT
    inst_type = "CCY_PAIR"


class CryptocomPerpetualWire(_CryptocomWire):
    """Linear, quoted in dollars only."""

    id = "cryptocom_perpetual"
    market_type = MarketType.FUTURES_USDT
    inst_type = "PERPETUAL_SWAP"

    def _plain(self, native: str) -> str:
        return native.removesuffix("-PERP")

    def _native(self, symbol: str) -> str:
        (base, quote), day = self._split(symbol), dated.split(symbol)[1]
        return f"{base}{quote}-{dated.digits(day)}" if day else f"{base}USD-PERP"

    def _listed(self) -> list[str]:
        """Return the symbols, quoted in dollars even if traded in another currency."""
        symbols = self.view.symbols()
        found = dict.fromkeys(f"{self._split(each)[0]}USD" for each in symbols)
        ending = [each for each in symbols if dated.split(each)[1] and self._split(each)[1] == "USD"]
        return [*(each for each in found if self.view.knows(each)), *ending]
