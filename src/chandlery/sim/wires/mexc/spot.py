"""
MEXC spot on the wire, whose WebSockets push protobuf, and the shared base of MEXC's markets.

Sources: https://www.mexc.com/api-docs/spot-v3/market-data-endpoints/klinecandlestick-data and
https://www.mexc.com/api-docs/spot-v3/websocket-market-streams/diffdepth-stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import Micros, Unit
from chandlery.sim.book import Levels, tick_of
from chandlery.sim.kit import Refused, routed, whole
from chandlery.sim.pairs import pair_of
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import SimCandle
from chandlery.sim.wire import Session, SimRequest, Want, Wire
from chandlery.sim.wires.mexc import protobuf

SOCKET_NAMES = {
    "Min1": Interval.MINUTE_1,
    "Min5": Interval.MINUTE_5,
    "Min15": Interval.MINUTE_15,
    "Min30": Interval.MINUTE_30,
    "Min60": Interval.HOUR_1,
    "Hour4": Interval.HOUR_4,
    "Hour8": Interval.HOUR_8,
    "Day1": Interval.DAY_1,
}
_SPOT_NAMES = {"60m": Interval.HOUR_1, **{text: Interval(text) for text in ("1m", "5m", "15m", "30m", "4h", "1d")}}
_REFUSALS = {429: (429, "Too Many Requests"), 418: (418, "banned"), 404: (404, "Not Found")}
_SPOT_STREAMS = 30
_SPOT_PAGE = 500


class _SpotCommand(Struct):
    method: str
    params: list[str] = []


class MexcWire(Wire):
    """Shared behaviour of the markets."""

    def number(self, query: Mapping[str, str], name: str) -> int | None:
        """Parse an integer parameter; ``None`` if it is absent."""
        return whole(query, name, Refused(600, f"Parameter error: {name}"))

    def page(
        self, symbol: str, interval: Interval, start: Micros | None, end: Micros | None, most: int
    ) -> list[SimCandle]:
        """Return a page; without a start the newest candles before the end, which is exclusive."""
        before = self.now + 1 if end is None else min(end, self.now + 1)
        return self.view.candles(
            symbol, interval, Span(start or 0, max(before, start or 0)), most, newest=start is None
        )


class MexcSpotWire(MexcWire):
    """Spot: ``startTime`` is inclusive, ``endTime`` exclusive; at most 500 rows, whatever ``limit`` is."""

    id = "mexc_spot"
    market_type = MarketType.SPOT

    def symbol(self, native: str) -> str | None:
        """Return the symbol, which is the market's."""
        return native if self.view.knows(native) else None

    def answer(self, request: SimRequest) -> Reply:
        """Answer a request; refusals have a code and status 400."""
        paths: dict[str, Callable[[Mapping[str, str]], Any]] = {
            "/api/v3/klines": self._klines,
            "/api/v3/depth": self._depth,
            "/api/v3/exchangeInfo": self._info,
            "/api/v3/time": lambda _: {"serverTime": Unit.MILLIS.of(self.now)},
            "/api/v3/ping": lambda _: {},
            "/api/v1/contract/detail": lambda _: {"success": True, "code": 0, "data": []},
        }
        return routed(paths, request, lambda content: content, _refuse) or self.refusal(404)

    def refusal(self, status: int) -> Reply:
        """Return a code and a message."""
        code, message = _REFUSALS.get(status, (status, "Internal error"))
        return json_reply({"code": code, "msg": message}, status)

    def _known(self, query: Mapping[str, str]) -> str:
        symbol = self.symbol(query.get("symbol", ""))
        if symbol is None:
            raise Refused(-1121, "Invalid symbol.")
        return symbol

    def _klines(self, query: Mapping[str, str]) -> list[list[Any]]:
        symbol, interval = self._known(query), _SPOT_NAMES.get(query.get("interval", ""))
        if interval is None:
            raise Refused(-1120, "Invalid interval.")
        start, end, limit = (self.number(query, name) for name in ("startTime", "endTime", "limit"))
        since, until = (None if each is None else Unit.MILLIS.micros(each) for each in (start, end))
        most = min(_SPOT_PAGE if limit is None else limit, _SPOT_PAGE)
        return [
            [Unit.MILLIS.of(each.open_time), each.open, each.high, each.low, each.close, each.volume,
             Unit.MILLIS.of(each.end), each.quote]
            for each in self.page(symbol, interval, since, until, most)
        ]  # fmt: skip

    def _depth(self, query: Mapping[str, str]) -> dict[str, Any]:
        limit = self.number(query, "limit")
        tick = tick_of(self.now)
        state = self.view.book(self._known(query), min(100 if limit is None else limit, 5000), tick)
        return {
            "lastUpdateId": tick,
            "bids": state.bids,
            "asks": state.asks,
            "timestamp": Unit.MILLIS.of(self.now),
        }

    def _info(self, _query: Mapping[str, str]) -> dict[str, Any]:
        symbols = []
        for symbol in self.view.symbols():
            base, quote = pair_of(symbol)
            symbols.append(
                {
                    "symbol": symbol, "status": "1", "baseAsset": base, "quoteAsset": quote,
                    "baseAssetPrecision": len(f"{self.view.lot(symbol):f}".partition(".")[2]), "quotePrecision": 2,
                    "quoteAssetPrecision": 2, "baseSizePrecision": str(self.view.lot(symbol)),
                    "quoteAmountPrecision": "1", "maxQuoteAmount": "4000000", "isSpotTradingAllowed": True,
                    "isMarginTradingAllowed": False, "permissions": ["SPOT"], "orderTypes": ["LIMIT"], "filters": [],
                    "makerCommission": "0", "takerCommission": "0.0005", "tradeSideType": "1",
                }
            )  # fmt: skip
        return {"timezone": "CST", "serverTime": Unit.MILLIS.of(self.now), "rateLimits": [], "symbols": symbols}

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Return one answer per command, which repeats its names."""
        try:
            command = msgspec.json.decode(text, type=_SpotCommand)
        except msgspec.MsgspecError:
            return [{"id": 0, "code": 1, "msg": "msg format invalid"}]
        if command.method == "PING":
            return [{"id": 0, "code": 0, "msg": "PONG"}]
        refused = []
        for name in command.params:
            if command.method == "UNSUBSCRIPTION":
                session.leave(name)
            elif command.method != "SUBSCRIPTION" or not self._join(session, name):
                refused.append(name)
        said = f"Not Subscribed successfully! [{','.join(refused)}].  Reason： Blocked! "  # noqa: RUF001  # its own words
        return [{"id": 0, "code": 0, "msg": said if refused else ",".join(command.params)}]

    def _join(self, session: Session, name: str) -> bool:
        """Subscribe to a stream; return whether it exists and there is room."""
        parts = name.split("@")
        interval = None
        if parts[:2] == ["spot", "public.kline.v3.api.pb"] and len(parts) == 4:
            native, interval = parts[2], SOCKET_NAMES.get(parts[3])
            if interval is None:
                return False
        elif (
            parts[:2] == ["spot", "public.aggre.depth.v3.api.pb"] and len(parts) == 4 and parts[2] in {"100ms", "10ms"}
        ):
            native = parts[3]
        else:
            return False
        symbol = self.symbol(native)
        if symbol is None or len(session.wants) >= _SPOT_STREAMS or not session.path.startswith("/ws"):
            return False
        return session.join(Want(name, symbol, native, interval))

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return one push per candle; none says whether it is closed."""
        return [self._kline(want, each) for each in candles]

    def _kline(self, want: Want, each: SimCandle) -> bytes:
        return protobuf.kline(
            want.key,
            want.native,
            Unit.MILLIS.of(self.now),
            want.key.rpartition("@")[2],
            (Unit.SECONDS.of(each.open_time), Unit.SECONDS.of(each.end)),
            (each.open, each.close, each.high, each.low, each.volume, each.quote),
        )

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return the versions of the first and the last change; nothing if only the version changed."""
        sides = (((price, size if Decimal(size) else "0") for price, size in levels) for levels in (asks, bids))
        return [
            protobuf.depths(
                want.key,
                want.native,
                Unit.MILLIS.of(self.now),
                want.key.rpartition("@")[0],
                (before + 1, after),
                *sides,
            )
        ]


def _refuse(code: int, message: str) -> Reply:
    return json_reply({"code": code, "msg": message, "_extend": None}, 400)
