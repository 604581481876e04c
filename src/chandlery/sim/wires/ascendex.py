"""
AscendEX's spot market on the wire.

Source: https://ascendex.github.io/ascendex-pro-api/, as of 2022-05-19.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import Unit
from chandlery.sim.book import Levels, tick_of
from chandlery.sim.kit import Refused, routed, whole
from chandlery.sim.pairs import pair_of
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import MarketView, SimCandle
from chandlery.sim.wire import Session, SimRequest, Want, Wire

_INTERVALS = {
    "1": Interval.MINUTE_1, "5": Interval.MINUTE_5, "15": Interval.MINUTE_15, "30": Interval.MINUTE_30,
    "60": Interval.HOUR_1, "120": Interval.HOUR_2, "240": Interval.HOUR_4, "360": Interval.HOUR_6,
    "720": Interval.HOUR_12, "1d": Interval.DAY_1, "1w": Interval.WEEK_1, "1m": Interval.MONTH_1,
}  # fmt: skip
_MOST, _DEFAULT = 500, 10
"""Maximum and default number of bars per page."""
_REASONS = {
    100001: "INVALID_HTTP_INPUT",
    100005: "INVALID_WS_REQUEST_DATA",
    100006: "INVALID_ARGUMENT",
    100008: "SYMBOL_ERROR",
    100013: "INVALID_NUM_FORMAT",
    200002: "TOO_MANY_ATTEMPTS",
    510001: "SERVER_ERROR",
}
_STATUS = {429: 200002, 418: 200002, 404: 100001}
_MOST_SYMBOLS = 10
"""Maximum number of symbols in one subscription."""


class _Command(msgspec.Struct):
    op: str
    id: str | None = None
    ch: str = ""
    action: str = ""
    args: dict[str, Any] = {}


class AscendexSpotWire(Wire):
    """
    Spot. Symbols are ``BTC/USDT``; bounds are milliseconds, both inclusive; a page begins with the latest bar.

    It pings with every tick. Refusals have the status 200 and a code.
    """

    id = "ascendex_spot"
    dates_candles = False
    market_type = MarketType.SPOT

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self._paths: dict[str, Callable[[Mapping[str, str]], Any]] = {
            "/api/pro/v1/barhist": self._bars,
            "/api/pro/v1/barhist/info": lambda _: [
                {"name": name, "intervalInMillis": Unit.MILLIS.of(each.micros or 30 * 86_400_000_000)}
                for name, each in _INTERVALS.items()
            ],
            "/api/pro/v1/depth": lambda query: self._snapshot(self._wanted(query), query["symbol"]),
            "/api/pro/v1/exchange-info": self._latency,
            "/api/pro/v1/cash/products": self._products,
        }

    def symbol(self, native: str) -> str | None:
        """Return ``BTCUSDT`` for ``BTC/USDT``."""
        base, _, quote = native.partition("/")
        symbol = f"{base}{quote}"
        return symbol if quote and self.view.knows(symbol) else None

    # --- REST --------------------------------------------------------------------------------------------------------

    def answer(self, request: SimRequest) -> Reply:
        """Return data under ``data`` with code 0, or another code and a reason."""
        return routed(self._paths, request, lambda data: {"code": 0, "data": data}, _refuse) or self.refusal(404)

    def refusal(self, status: int) -> Reply:
        """Return a code and its reason."""
        code = _STATUS.get(status, 510001)
        return json_reply({"code": code, "reason": _REASONS[code], "message": f"Status {status}"}, status)

    def _wanted(self, query: Mapping[str, Any]) -> str:
        native = query.get("symbol")
        if not native:
            raise Refused(100001, "symbol is missing")
        symbol = self.symbol(str(native))
        if symbol is None:
            raise Refused(100008, f"Unable to handle symbol {native}")
        return symbol

    def _number(self, query: Mapping[str, str], name: str) -> int | None:
        return whole(query, name, Refused(100013, f"{name} is no number: {query.get(name)}"))

    def _bars(self, query: Mapping[str, str]) -> list[Any]:
        """Return bars from the latest at ``to`` back to ``from``, at most ``n``."""
        symbol, name = self._wanted(query), query.get("interval", "")
        interval = _INTERVALS.get(name)
        if interval is None:
            raise Refused(100006, f"Invalid interval {name}")
        start, to, n = (self._number(query, each) for each in ("from", "to", "n"))
        if n is None:
            n = _DEFAULT if start is None else _MOST
        end = self.now if to is None else Unit.MILLIS.micros(to)
        span = Span(Unit.MILLIS.micros(start or 0), end + 1)
        candles = self.view.candles(symbol, interval, span, min(n, _MOST), newest=True) if n else []
        return [_bar(query["symbol"], name, each) for each in reversed(candles)]

    def _snapshot(self, symbol: str, native: str) -> dict[str, Any]:
        tick = tick_of(self.now)
        state = self.view.book(symbol, 500, tick)
        return self._depth("depth-snapshot", native, tick, state.bids, state.asks)

    def _latency(self, query: Mapping[str, str]) -> dict[str, int]:
        sent = self._number(query, "requestTime")
        if sent is None:
            raise Refused(100001, "requestTime is missing")
        now = Unit.MILLIS.of(self.now)
        return {"requestTimeEcho": sent, "requestReceiveAt": now, "latency": now - sent}

    def native(self, symbol: str) -> str | None:
        """Return the exchange's spelling of the market's symbol."""
        name = "/".join(pair_of(symbol))
        return name if self.symbol(name) == symbol else None

    def _products(self, _: Mapping[str, str]) -> list[Any]:
        return [self._product(native) for native in map(self.native, self.view.symbols()) if native]

    def _product(self, native: str) -> dict[str, Any]:
        return {
            "symbol": native, "displayName": native, "domain": "USDS", "minNotional": "5", "maxNotional": "400000",
            "statusCode": "Normal", "statusMessage": "", "tickSize": "0.0001", "useTick": False,
            "lotSize": str(self.view.lot(native.replace("/", ""))), "useLot": False, "commissionType": "Quote",
            "commissionReserveRate": "0.001",
        }  # fmt: skip

    # --- sockets -----------------------------------------------------------------------------------------------------

    def greeting(self, session: Session) -> Sequence[Any]:
        """Return a welcome without login."""
        return [{"m": "connected", "type": "unauth"}]

    def heartbeat(self, session: Session) -> Sequence[Any]:
        """Return a ping, which the client must answer."""
        return [{"m": "ping", "hp": 3}]

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Handle ``sub``, ``unsub``, ``req`` of a snapshot and ``ping``; a ``pong`` has no answer."""
        command, ids = None, dict[str, str]()
        try:
            command = msgspec.json.decode(text, type=_Command)
            ids = {} if command.id is None else {"id": command.id}
            return self._answers(session, command, ids)
        except msgspec.MsgspecError as error:
            return [_error("error", 100005, str(error), {})]
        except Refused as refused:
            about = "error" if command is None or command.op == "req" else command.op
            code, message = refused.args
            return [_error(about, code, message, ids)]

    def _answers(self, session: Session, command: _Command, ids: Mapping[str, str]) -> Sequence[Any]:
        match command.op:
            case "pong":
                return ()
            case "ping":
                return [{"m": "pong", "code": 0, "ts": Unit.MILLIS.of(self.now), "hp": 3}]
            case "sub":
                for want in self._wants(command.ch):
                    session.join(want)
                return [{"m": "sub", **ids, "ch": command.ch, "code": 0}]
            case "unsub":
                for key in [key for key in session.wants if _matches(command.ch, key)]:
                    session.leave(key)
                return [{"m": "unsub", **ids, "ch": command.ch, "code": 0}]
            case "req" if command.action == "depth-snapshot":
                return [self._snapshot(self._wanted(command.args), str(command.args["symbol"]))]
        raise Refused(100005, f"Invalid request action: {command.action or command.op}")

    def _wants(self, channel: str) -> list[Want]:
        """Parse ``bar:1:BTC/USDT,ETH/USDT`` or ``depth:BTC/USDT``."""
        kind, *rest = channel.split(":")
        interval = _INTERVALS.get(rest[0]) if kind == "bar" and len(rest) == 2 else None
        if not (interval or (kind == "depth" and len(rest) == 1)):
            raise Refused(100005, f"Invalid channel: {channel}")
        natives = rest[-1].split(",")
        if len(natives) > _MOST_SYMBOLS:
            raise Refused(100005, f"More than {_MOST_SYMBOLS} symbols: {channel}")
        prefix = channel.removesuffix(rest[-1])
        return [Want(prefix + each, self._wanted({"symbol": each}), each, interval) for each in natives]

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return candles in the form of REST."""
        return [_bar(want.native, want.key.split(":")[1], each) for each in candles]

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return consecutively numbered changes; a snapshot must be requested."""
        return [self._depth("depth", want.native, after, bids, asks)]

    def _depth(self, about: str, native: str, tick: int, bids: Levels, asks: Levels) -> dict[str, Any]:
        sides = {
            name: [(price, size if float(size) else "0") for price, size in side]
            for name, side in (("asks", asks), ("bids", bids))
        }
        return {"m": about, "symbol": native, "data": {"ts": Unit.MILLIS.of(self.now), "seqnum": tick, **sides}}


def _bar(native: str, name: str, each: SimCandle) -> dict[str, Any]:
    values = {"o": each.open, "c": each.close, "h": each.high, "l": each.low, "v": each.volume}
    return {"m": "bar", "s": native, "data": {"i": name, "ts": Unit.MILLIS.of(each.open_time), **values}}


def _error(about: str, code: int, info: str, ids: Mapping[str, str]) -> dict[str, Any]:
    return {"m": about, **ids, "code": code, "reason": _REASONS[code], "info": info}


def _matches(channel: str, key: str) -> bool:
    """Return whether ``bar``, ``bar:1``, ``bar:*:BTC/USDT`` or ``bar:1:BTC/USDT,ETH/USDT`` matches a subscription."""
    parts = zip(channel.split(":"), key.split(":"), strict=False)
    return all(wanted == "*" or part in wanted.split(",") for wanted, part in parts)


def _refuse(code: int, message: str) -> Reply:
    return json_reply({"code": code, "reason": _REASONS[code], "message": message})
