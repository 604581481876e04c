"""
Bitstamp spot on the wire: REST v2 and WebSocket v2.

Sources: https://www.bitstamp.net/api/ and https://www.bitstamp.net/websocket/v2/; undocumented details are those
measured by a public probe on 2026-09-15.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType, capitals, small_letters
from chandlery.core.interval import Interval
from chandlery.core.time import SECOND, Unit
from chandlery.sim.book import BookState, Levels, tick_of
from chandlery.sim.grids import Grid
from chandlery.sim.kit import Refused, whole
from chandlery.sim.pairs import pair_of
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import MarketView, SimCandle
from chandlery.sim.wire import Session, SimRequest, Want, Wire

_STEPS = {
    60: Interval.MINUTE_1, 180: Interval.MINUTE_3, 300: Interval.MINUTE_5, 900: Interval.MINUTE_15,
    1800: Interval.MINUTE_30, 3600: Interval.HOUR_1, 7200: Interval.HOUR_2, 14400: Interval.HOUR_4,
    21600: Interval.HOUR_6, 43200: Interval.HOUR_12, 86400: Interval.DAY_1, 259200: Interval.DAY_3,
}  # fmt: skip
_MOST_CANDLES = 1000
_LEVELS = 100
_LIMIT, _WINDOW_S = 10_000, 600
_MOST_BYTES = 512
_TURNS = {"bts:subscribe": "subscription", "bts:unsubscribe": "unsubscription"}
_TICK = 100_000
_PATH = re.compile(r"/api/v2/(\w+)/(?:([^/]+)/)?")
_CHANNEL = re.compile(r"(order_book|live_trades|diff_order_book|detail_order_book)_([^A-Z/\s]+)")
_NOT_FOUND = b"<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n</body>\r\n</html>\r\n"


class _Data(Struct):
    channel: str = ""


class _Command(Struct):
    event: str
    data: _Data = msgspec.field(default_factory=_Data)


class BitstampSpotWire(Wire):
    """
    Spot: candles up to an end, which overrides a start; full books by REST and WebSocket, which sends no candles.

    Steps are counted from 1970. A subscription of an unknown symbol in lower case is acknowledged, and stays silent.
    """

    id = "bitstamp_spot"
    market_type = MarketType.SPOT
    grids: ClassVar[Mapping[Interval, Grid]] = {interval: Grid(step * SECOND) for step, interval in _STEPS.items()}
    takes_unknown = True

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self._window = self._used = 0
        self._answers: Mapping[str, Callable[[str, Mapping[str, str]], Any]] = {
            "markets": lambda *_: [self._market(each) for each in self.view.symbols()],
            "ticker": lambda native, _: self._tickers(self.symbol(native)),
            "order_book": lambda native, _: self._whole_book(self.symbol(native)),
            "ohlc": lambda native, query: self._candles(self.symbol(native), query),
        }

    def symbol(self, native: str) -> str | None:
        """Return the symbol for ``btcusd``; paths may be in upper case, channels may not."""
        known = capitals(native)
        return known if self.view.knows(known) else None

    # --- REST --------------------------------------------------------------------------------------------------------

    def answer(self, request: SimRequest) -> Reply:
        """Answer at most 10,000 requests in ten minutes; unknown paths get a page in HTML."""
        window = int(self.ticks() // _WINDOW_S)
        self._window, self._used = window, self._used + 1 if window == self._window else 1
        if self._used > (self.weight_limit or _LIMIT):
            return self._refused("400.002", "Request rejected due to exceeded rate limit.", 400)
        found = _PATH.fullmatch(request.path)
        try:
            content = self._answers[found[1]](found[2] or "", request.query) if found else None
        except KeyError:
            content = None
        except Refused as refused:
            return json_reply({"status": "error", "reason": {refused.args[0]: [refused.args[1]]}}, 400)
        return Reply(404, _NOT_FOUND, {"Content-Type": "text/html"}) if content is None else json_reply(content)

    def refusal(self, status: int) -> Reply:
        """Return a code and its explanation."""
        if status in {429, 418}:
            return self._refused("400.002", "Request rejected due to exceeded rate limit.", status)
        return self._refused("500.001", "Unknown server error.", status)

    def _refused(self, code: str, explanation: str, status: int) -> Reply:
        return json_reply({"response_code": code, "response_explanation": explanation}, status)

    def _whole_book(self, symbol: str | None) -> Any:
        tick = tick_of(self.now)
        return None if symbol is None else self._book(self.view.book(symbol, _MOST_CANDLES, tick), tick)

    def _tickers(self, symbol: str | None) -> Any:
        """Return the ticker of a market; those of all markets if none is given."""
        return self._ticker(symbol) if symbol else [self._ticker(each) for each in self.view.symbols()]

    def _candles(self, symbol: str | None, query: Mapping[str, str]) -> Any:
        if symbol is None:
            return None
        step, limit, start, end = (
            whole(query, name, Refused(name, "Not a valid integer.")) for name in ("step", "limit", "start", "end")
        )
        for name, value in (("step", step), ("limit", limit)):
            if value is None:
                raise Refused(name, "Missing data for required field.")
        if step not in _STEPS:
            raise Refused("step", "Not a valid choice.")
        if limit is None or not 1 <= limit <= _MOST_CANDLES:
            raise Refused("limit", "Must be between 1 and 1000.")
        by_start = start is not None and end is None
        span = Span(start * SECOND if by_start and start else 0, self.now + 1 if end is None else (end + 1) * SECOND)
        candles = self.view.candles(symbol, _STEPS[step], span, limit, newest=not by_start)
        return {"data": {"pair": self._name(symbol), "ohlc": [_row(each) for each in candles]}}

    def _name(self, symbol: str) -> str:
        return "/".join(pair_of(symbol))

    def _market(self, symbol: str) -> dict[str, Any]:
        base, quote = pair_of(symbol)
        return {
            "name": f"{base}/{quote}", "market_symbol": small_letters(symbol), "base_currency": base,
            "base_decimals": 8, "counter_currency": quote, "counter_decimals": 2, "minimum_order_value": "10",
            "trading": "Enabled", "instant_order_counter_decimals": 2, "instant_and_market_orders": "Enabled",
            "description": f"{base} / {quote}", "market_type": "SPOT",
        }  # fmt: skip

    def _ticker(self, symbol: str) -> dict[str, str]:
        state = self.view.book(symbol, 1, tick_of(self.now))
        bid, ask = (side[0][0] if side else "0" for side in (state.bids, state.asks))
        return {
            "timestamp": str(Unit.SECONDS.of(self.now)), "bid": bid, "ask": ask, "last": bid, "side": "1",
            "pair": self._name(symbol), "market": self._name(symbol), "market_type": "SPOT",
        }  # fmt: skip

    def _book(self, state: BookState, tick: int) -> dict[str, Any]:
        """Return the book with the time of its last change, which is that of the tick."""
        at = tick * _TICK
        return {
            "timestamp": str(Unit.SECONDS.of(at)),
            "microtimestamp": str(at),
            "bids": [list(each) for each in state.bids],
            "asks": [list(each) for each in state.asks],
        }

    # --- sockets -----------------------------------------------------------------------------------------------------

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Handle a message with one channel; one that is too long closes the connection silently."""
        session.cut = len(text) > _MOST_BYTES
        try:
            command = msgspec.json.decode(text, type=_Command)
        except msgspec.MsgspecError:
            return [self._error("Incorrect JSON format.")]
        if command.event == "bts:heartbeat":
            return [{"event": "bts:heartbeat", "channel": "", "data": {"status": "success"}}]
        channel = command.data.channel
        if command.event not in _TURNS or not channel:
            return [self._error("Bad subscription string.")]
        found = _CHANNEL.fullmatch(channel)
        if found is None:
            return [self._error("Invalid channel provided.")]
        if command.event == "bts:unsubscribe":
            session.leave(channel)
        else:
            self._join(session, channel, *found.groups())
        return [{"event": f"bts:{_TURNS[command.event]}_succeeded", "channel": channel, "data": {}}]

    def _join(self, session: Session, channel: str, kind: str, native: str) -> None:
        """Subscribe to a channel; one too many closes the connection silently; trades and the like are not served."""
        symbol = self.symbol(native)
        if symbol is not None and kind in {"order_book", "diff_order_book"}:
            session.cut |= not session.join(Want(channel, symbol, native, depth=_LEVELS))

    def _error(self, message: str) -> dict[str, Any]:
        return {"event": "bts:error", "channel": "", "data": {"code": None, "message": message}}

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return nothing, since there is no such channel."""
        return ()

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return the full book or the changes; nothing if it has not changed."""
        if not (bids or asks):
            return ()
        whole_book = want.key.startswith("order_book_")
        state = self.view.book(want.symbol, want.depth, after) if whole_book else BookState(bids, asks)
        return [{"data": self._book(state, after), "channel": want.key, "event": "data"}]


def _row(each: SimCandle) -> dict[str, str]:
    return {
        "timestamp": str(Unit.SECONDS.of(each.open_time)), "open": each.open, "high": each.high, "low": each.low,
        "close": each.close, "volume": each.volume,
    }  # fmt: skip
