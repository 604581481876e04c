"""
Binance's three markets on the wire.

Sources: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams and the pages
of the futures' streams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, Unit
from chandlery.sim.book import Levels, tick_of
from chandlery.sim.grids import GRIDS, Grid
from chandlery.sim.reply import Reply, error_reply, json_reply
from chandlery.sim.venues import VENUES, Venue
from chandlery.sim.view import MarketView, SimCandle
from chandlery.sim.wire import Session, SimRequest, Want, Wire
from chandlery.sim.wires.binance.account import signed_answer
from chandlery.sim.wires.binance.rest import Rest


class _Command(msgspec.Struct):
    method: str
    params: list[str] = []
    id: int | str | None = None


_REFUSALS = {
    429: (-1003, "Too many requests."),
    418: (-1003, "Way too many requests; IP banned."),
}
BINANCE_GRIDS = {**GRIDS, Interval.DAY_3: Grid(3 * DAY, DAY)}
"""Grids of candles; those of three days open on 2024-01-01 and every third day from there."""
_INTERNAL = (-1001, "Internal error; unable to process your request. Please try again.")
_MOST_LEVELS = {True: 5000, False: 1000}


class _BinanceWire(Wire):
    """Streams are named ``btcusdt@kline_1m`` and ``btcusdt@depth@100ms``; books have no snapshot of their own."""

    grids = BINANCE_GRIDS
    takes_unknown = True
    depth_prefix: ClassVar[str] = ""
    """Path prefix of book streams."""

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self.venue: Venue = VENUES[self.id]
        self._rest = Rest(self.venue, view, ticks=ticks, weight_limit=weight_limit, depth=self._depth)

    def symbol(self, native: str) -> str | None:
        """Return the symbol, which is the market's."""
        return native if self.view.knows(native) else None

    def answer(self, request: SimRequest) -> Reply:
        """Answer GET requests; account endpoints need a signature."""
        signed = signed_answer(self.id, self.accounts, request, Unit.MILLIS.of(self.now))
        return signed or self._rest.answer(request.path, request.query)

    def refusal(self, status: int) -> Reply:
        """Return a code and a message."""
        return error_reply(*_REFUSALS.get(status, _INTERNAL), status)

    def _depth(self, symbol: str, limit: int) -> Reply:
        tick = tick_of(self.now)
        state = self.view.book(symbol, limit, tick)
        body: dict[str, Any] = {"lastUpdateId": tick}
        if not self.venue.is_spot:
            body |= {"E": Unit.MILLIS.of(self.now), "T": Unit.MILLIS.of(self.now)}
        return json_reply(body | {"bids": state.bids, "asks": state.asks})

    def greeting(self, session: Session) -> Sequence[Any]:
        """Send nothing; subscribe to the streams in the address."""
        names = session.query.get("streams", "").split("/")
        kind, _, raw = self._below_prefix(session.path).strip("/").partition("/")
        for name in names if kind == "stream" else raw.split("/"):
            self._join(session, name)
        return ()

    def _below_prefix(self, path: str) -> str:
        for prefix in {self.venue.stream_prefix, self.depth_prefix} - {""}:
            path = path.removeprefix(prefix)
        return path

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Handle SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS; every subscription is acknowledged."""
        try:
            command = msgspec.json.decode(text, type=_Command)
        except msgspec.MsgspecError as error:
            return [{"error": {"code": 2, "msg": f"Invalid request: {error}"}, "id": None}]
        result: list[str] | None = None
        if command.method == "SUBSCRIBE":
            for name in command.params:
                self._join(session, name)
        elif command.method == "UNSUBSCRIBE":
            for name in command.params:
                session.leave(name)
        elif command.method == "LIST_SUBSCRIPTIONS":
            result = list(session.wants)
        else:
            message = f"Invalid request: unknown method {command.method}"
            return [{"error": {"code": 2, "msg": message}, "id": command.id}]
        return [{"result": result, "id": command.id}]

    def _join(self, session: Session, name: str) -> None:
        """Subscribe to a stream of the path's kind; an invalid one is listed but stays silent, as on the exchange."""
        if not name:
            return
        symbol, _, kind = name.partition("@")
        known = symbol == symbol.lower() and self.view.knows(symbol.upper())
        interval = self.venue.interval(kind.removeprefix("kline_")) if kind.startswith("kline_") else None
        prefix = self.venue.stream_prefix if interval else self.depth_prefix
        heard = session.path.startswith((f"{prefix}/ws", f"{prefix}/stream"))
        speaks = known and heard and (interval is not None or kind in {"depth", "depth@100ms"})
        session.join(Want(name, symbol.upper() if speaks else "", symbol.upper(), interval))

    def _out(self, session: Session, want: Want, event: Mapping[str, Any]) -> Any:
        combined = self._below_prefix(session.path).startswith("/stream")
        return {"stream": want.key, "data": event} if combined else event

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return one event per candle, with times in milliseconds."""
        return [self._out(session, want, self._kline(want, each)) for each in candles]

    def _kline(self, want: Want, each: SimCandle) -> Mapping[str, Any]:
        opens_ms = Unit.MILLIS.of(each.open_time)
        candle = {
            "t": opens_ms, "T": Unit.MILLIS.of(each.end) - 1, "s": want.native,
            "i": want.interval.value if want.interval else "", "f": opens_ms, "L": opens_ms + each.count - 1,
            "o": each.open, "c": each.close, "h": each.high, "l": each.low, "v": each.volume, "n": each.count,
            "x": each.closed, "q": each.quote, "V": each.taker, "Q": each.taker_quote, "B": "0",
        }  # fmt: skip
        return {"e": "kline", "E": Unit.MILLIS.of(self.now), "s": want.native, "k": candle}

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return the changes; futures add the time and the previous id."""
        now_ms = Unit.MILLIS.of(self.now)
        event: dict[str, Any] = {"e": "depthUpdate", "E": now_ms, "s": want.native, "U": before + 1, "u": after}
        if not self.venue.is_spot:
            event |= {"T": now_ms, "pu": before}
        if self.venue.is_inverse:
            event["ps"] = want.native.partition("_")[0]
        return [self._out(session, want, event | {"b": bids, "a": asks})]


class BinanceSpotWire(_BinanceWire):
    """Spot wire."""

    id = "binance_spot"
    market_type = MarketType.SPOT


class BinancePerpetualWire(_BinanceWire):
    """USD-M: books under ``/public``, candles under ``/market``."""

    id = "binance_perpetual"
    market_type = MarketType.FUTURES_USDT
    depth_prefix = "/public"


class BinanceInverseWire(_BinanceWire):
    """COIN-M."""

    id = "binance_inverse"
    market_type = MarketType.FUTURES_COIN
