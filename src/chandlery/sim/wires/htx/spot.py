"""
HTX's spot market on the wire, and what it shares with the swaps.

Sources: https://www.htx.com/en-us/opend/newApiPages/?id=7ec4a4da-7773-11ed-9966-0242ac110003 with its
neighbours; ccxt for ``/market/history/candles``.

Days, weeks and months, which begin at 16:00 UTC, are not served. Every book channel sends on each tick, as the exchange
does for those of 150 and 400 levels, and has at most as many levels as the market's book. Where the documentation is
silent: all bounds are inclusive, a span of more candles than a page is refused, and limits are not counted.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import msgspec

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import SECOND, Unit
from chandlery.sim.book import Levels, tick_of
from chandlery.sim.kit import Refused, routed, whole
from chandlery.sim.pairs import pair_of
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import MarketView, SimCandle
from chandlery.sim.wire import Session, SimRequest, Want, Wire

_PERIODS = {"1min": "1m", "5min": "5m", "15min": "15m", "30min": "30m", "60min": "1h", "4hour": "4h"}
_PING_EVERY_S = 5.0
_MOST_MISSED = 2
_REFUSALS = {429: "too-many-requests", 418: "too-many-requests", 404: "not-found"}
_TOPIC = re.compile(r"market\.([\w-]+)\.(?:kline\.(\w+)|mbp\.(5|20|150|400)|depth\.size_(20|150)\.high_freq)", re.ASCII)


class _Command(msgspec.Struct):
    id: Any = None
    sub: str | list[str] = []
    unsub: str | list[str] = []
    req: str | None = None
    ping: int | None = None
    pong: int | None = None


class _Pulse(msgspec.Struct):
    """Time of the last ping, and the number of unanswered ones."""

    at_s: float
    missed: int = 0


def number(value: str | Decimal | int) -> msgspec.Raw:
    """Return a decimal as a JSON number with all its digits."""
    return msgspec.Raw(format(Decimal(value), "f").encode())


class HtxWire(Wire):
    """Shared behaviour: candles are objects of numbers, errors have status 200, every frame is compressed."""

    symbol_key: ClassVar[str]
    kline_path: ClassVar[str]
    clock_path: ClassVar[str]
    book_path: ClassVar[str]
    """Path of book streams."""
    live_path: ClassVar[str]

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self._pulses: WeakKeyDictionary[Session, _Pulse] = WeakKeyDictionary()
        self._paths: dict[str, Callable[[Mapping[str, str]], Any]] = {
            self.kline_path: self._klines,
            self.kline_path.replace("history/kline", "depth"): self._depth,
            self.clock_path: self._clock,
        }

    @property
    def _now_ms(self) -> int:
        return Unit.MILLIS.of(self.now)

    def refusal(self, status: int) -> Reply:
        """Return a code and a message."""
        return self._error(_REFUSALS.get(status, "system-error"), "system error", status)

    def _error(self, code: str, words: str, status: int = 200) -> Reply:
        return json_reply({"status": "error", "err-code": code, "err-msg": words, "data": None}, status)

    def answer(self, request: SimRequest) -> Reply:
        """Answer GET requests only."""
        return routed(
            self._paths, request, lambda answer: {"status": "ok", "ts": self._now_ms, **answer}, self._refuse
        ) or self.refusal(404)

    def _refuse(self, words: str) -> Reply:
        return self._error("invalid-parameter", words)

    def _clock(self, _: Mapping[str, str]) -> Any:
        return {}

    def _native(self, query: Mapping[str, str]) -> tuple[str, str]:
        native = query.get(self.symbol_key, "")
        symbol = self.symbol(native)
        if symbol is None:
            raise Refused("invalid symbol")
        return native, symbol

    def _period(self, query: Mapping[str, str]) -> Interval:
        if query.get("period") not in _PERIODS:
            raise Refused("invalid period")
        return Interval(_PERIODS[query["period"]])

    def _whole(self, query: Mapping[str, str], name: str) -> int | None:
        number = whole(query, name, Refused(f"invalid {name}"))
        if number is not None and number >= 10**14:
            raise Refused(f"invalid {name}")
        return number

    def _size(self, query: Mapping[str, str]) -> int:
        size = self._whole(query, "size")
        if size is not None and not 1 <= size <= 2000:
            raise Refused("invalid size,valid range: [1, 2000]")
        return 150 if size is None else size

    def _klines(self, query: Mapping[str, str]) -> Any:
        raise NotImplementedError

    def _rows(self, symbol: str, candles: Sequence[SimCandle]) -> list[dict[str, Any]]:
        return [
            {
                "id": Unit.SECONDS.of(each.open_time),
                "open": number(each.open), "close": number(each.close), "low": number(each.low),
                "high": number(each.high), "count": each.count, **self._volumes(symbol, each),
            }
            for each in candles
        ]  # fmt: skip

    def _volumes(self, symbol: str, candle: SimCandle) -> Mapping[str, Any]:
        raise NotImplementedError

    def _depth(self, query: Mapping[str, str]) -> Any:
        native, symbol = self._native(query)
        step = query.get("type", "step0")
        if step not in {"step0", "step6"}:
            raise Refused("invalid type")
        tick = tick_of(self.now)
        state = self.view.book(symbol, 20 if step == "step6" else 150, tick)
        levels = self._levels(symbol, state.bids, state.asks)
        return {"ch": f"market.{native}.depth.{step}", "tick": {"version": tick, "ts": self._now_ms, **levels}}

    def _levels(self, symbol: str, bids: Levels, asks: Levels) -> dict[str, Any]:
        return {
            name: [[number(price), self._amount(symbol, size)] for price, size in side]
            for name, side in (("bids", bids), ("asks", asks))
        }

    def _amount(self, symbol: str, size: str) -> Any:
        return number(size)

    def admit(self, session: Session) -> Reply | None:
        """Accept only the paths of candles and books."""
        return None if session.path in {self.live_path, self.book_path} else self.refusal(404)

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Handle sub, unsub and req with one topic, or sub and unsub with several; pings and pongs."""
        try:
            command = msgspec.json.decode(text, type=_Command)
        except msgspec.MsgspecError:
            return [self._complaint(None, "not json string")]
        if command.pong is not None:
            self._pulses.pop(session, None)
            return ()
        if command.ping is not None:
            return [{"pong": command.ping}]
        joins, leaves = ([each] if isinstance(each, str) else each for each in (command.sub, command.unsub))
        said = [self._join(session, topic, command.id) for topic in joins]
        said += [self._leave(session, topic, command.id) for topic in leaves]
        return said + ([self._pull(session, command.req, command.id)] if command.req else [])

    def _complaint(self, tag: Any, words: str) -> Any:
        return {"status": "error", "ts": self._now_ms, "id": tag, "err-code": "bad-request", "err-msg": words}

    def _want(self, session: Session, topic: str) -> Want | str:
        """Parse a topic of this path; return an error text if it is invalid."""
        found = _TOPIC.fullmatch(topic)
        if found is None:
            return f"invalid topic {topic}"
        native, period, *depths = found.groups()
        symbol = self.symbol(native)
        if symbol is None:
            return f"invalid symbol {native}"
        depth = depths[0 if self.market_type is MarketType.SPOT else 1]
        if period in _PERIODS and session.path == self.live_path:
            return Want(topic, symbol, native, Interval(_PERIODS[period]))
        if depth and session.path == self.book_path:
            return Want(topic, symbol, native, depth=int(depth))
        return f"invalid topic {topic}"

    def _join(self, session: Session, topic: str, tag: Any) -> Any:
        want = self._want(session, topic)
        if isinstance(want, str):
            return self._complaint(tag, want)
        if not session.join(want):
            return self._complaint(tag, "429 too many request")
        return {"id": tag, "status": "ok", "subbed": topic, "ts": self._now_ms}

    def _leave(self, session: Session, topic: str, tag: Any) -> Any:
        if topic not in session.wants:
            return self._complaint(tag, f"unsub with not subbed topic {topic}")
        session.leave(topic)
        return {"id": tag, "status": "ok", "unsubbed": topic, "ts": self._now_ms}

    def _pull(self, session: Session, topic: str, tag: Any) -> Any:
        return self._complaint(tag, f"invalid topic {topic}")

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return one message per candle; none says whether it is closed."""
        return [{"ch": want.key, "ts": self._now_ms, "tick": row} for row in self._rows(want.symbol, candles)]

    def heartbeat(self, session: Session) -> Sequence[Any]:
        """Return a ping every five seconds; a client with two unanswered pings is disconnected."""
        pulse = self._pulses.get(session)
        now = self.ticks()
        if pulse is not None and now - pulse.at_s < _PING_EVERY_S:
            return ()
        if pulse is not None and pulse.missed >= _MOST_MISSED:
            raise ConnectionError
        self._pulses[session] = _Pulse(now, 1 if pulse is None else pulse.missed + 1)
        return [{"ping": self._now_ms}]

    def frame(self, content: Any) -> bytes:
        """Return compressed JSON."""
        return gzip.compress(msgspec.json.encode(content), 1, mtime=0)


class HtxSpotWire(HtxWire):
    """Spot: symbols in lower case; books at a path of their own, with snapshots on request."""

    id = "htx_spot"
    market_type = MarketType.SPOT
    symbol_key = "symbol"
    kline_path = "/market/history/kline"
    clock_path = "/v1/common/timestamp"
    live_path = "/ws"
    book_path = "/feed"

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self._paths |= {
            "/market/history/candles": self._history,
            "/v1/common/symbols": lambda _: {"data": [self._listing(each) for each in self.view.symbols()]},
        }

    def symbol(self, native: str) -> str | None:
        """Return the symbol, in lower case without a separator."""
        symbol = native.upper()
        return symbol if native.islower() and self.view.knows(symbol) else None

    def _clock(self, _: Mapping[str, str]) -> Any:
        return {"data": self._now_ms}

    def _listing(self, symbol: str) -> dict[str, Any]:
        base, quote = pair_of(symbol)
        return {
            "base-currency": base.lower(), "quote-currency": quote.lower(), "symbol": symbol.lower(),
            "price-precision": 4, "amount-precision": -int(self.view.lot(symbol).as_tuple().exponent), "value-precision": 8,
            "symbol-partition": "main", "state": "online", "min-order-amt": 0.0001, "max-order-amt": 1000,
            "min-order-value": 5, "api-trading": "enabled", "tags": "",
        }  # fmt: skip

    def _klines(self, query: Mapping[str, str]) -> Any:
        """Return only the latest candles."""
        native, symbol = self._native(query)
        candles = self.view.candles(symbol, self._period(query), Span(0, self.now + 1), self._size(query), newest=True)
        return {"ch": f"market.{native}.kline.{query['period']}", "data": self._rows(symbol, candles)[::-1]}

    def _history(self, query: Mapping[str, str]) -> Any:
        """Return the oldest candles since ``from``; at most a thousand, and none if more are requested."""
        native, symbol = self._native(query)
        interval, size = self._period(query), self._size(query)
        start, end = (self._whole(query, name) for name in ("from", "to"))
        span = Span((start or 0) * SECOND, self.now + 1 if end is None else end * SECOND + 1)
        candles = self.view.candles(symbol, interval, span, size, newest=start is None) if size <= 1000 else []
        return {"ch": f"market.{native}.kline.{query['period']}", "data": self._rows(symbol, candles)[::-1]}

    def _volumes(self, symbol: str, candle: SimCandle) -> Mapping[str, Any]:
        return {"amount": number(candle.volume), "vol": number(candle.quote)}

    def _pull(self, session: Session, topic: str, tag: Any) -> Any:
        want = self._want(session, topic)
        if isinstance(want, str) or want.interval is not None or want.depth == 400:
            return self._complaint(tag, want if isinstance(want, str) else f"invalid topic {topic}")
        tick = tick_of(self.now)
        state = self.view.book(want.symbol, want.depth, tick)
        data = {"seqNum": tick, **self._levels(want.symbol, state.bids, state.asks)}
        return {"id": tag, "rep": topic, "status": "ok", "ts": self._now_ms, "data": data}

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return the changes; with 150 and 400 levels an unchanged side is an empty list."""
        levels = self._levels(want.symbol, bids, asks)
        if want.depth < 150:
            levels = {name: side for name, side in levels.items() if side}
        return [
            {"ch": want.key, "ts": self._now_ms, "tick": {"seqNum": after, "prevSeqNum": before, **levels}},
        ]
