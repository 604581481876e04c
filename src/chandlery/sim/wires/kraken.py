"""
Kraken spot on the wire: REST v0 and WebSocket v2.

Sources: https://docs.kraken.com/api-reference/market-data/get-ohlc-data,
https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ohlc,
https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/book and
https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw, Struct

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import Micros, Unit, to_datetime
from chandlery.sim.book import BookState, Levels, tick_of
from chandlery.sim.kit import Refused, routed
from chandlery.sim.pairs import QUOTES, pair_of
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import SimCandle
from chandlery.sim.wire import Session, SimRequest, Want, Wire

_KEPT = 720
"""Number of candles per interval, including the running one."""
_HISTORY = 20
"""Number of candles in a snapshot, which is undocumented."""
_INTERVALS = {
    1: Interval.MINUTE_1,
    5: Interval.MINUTE_5,
    15: Interval.MINUTE_15,
    30: Interval.MINUTE_30,
    60: Interval.HOUR_1,
    240: Interval.HOUR_4,
    1440: Interval.DAY_1,
}
_DEPTHS = (10, 25, 100, 500, 1000)
_OLD_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
_NEW_NAMES = {"XBT": "BTC", "XDG": "DOGE"}
_LEGACY = {"BTC": "XXBT", "ETH": "XETH", "LTC": "XLTC", "XRP": "XXRP", "DOGE": "XXDG", "USD": "ZUSD", "EUR": "ZEUR"}
"""Assets whose names have a class prefix."""
_REFUSALS = {429: "EAPI:Rate limit exceeded", 418: "EGeneral:Temporary lockout", 404: "EGeneral:Unknown method"}


class _Params(Struct):
    channel: str = ""
    symbol: list[str] = []
    interval: int = 1
    depth: int = 10
    snapshot: bool = True


class _Command(Struct):
    method: str
    params: _Params = msgspec.field(default_factory=_Params)
    req_id: int | None = None


class KrakenSpotWire(Wire):
    """
    Spot: candles after ``since`` up to the running one, at most the latest 720; books with a checksum.

    Levels pushed out of the subscribed depth by better ones are not deleted: the client has to drop them.
    """

    id = "kraken_spot"
    market_type = MarketType.SPOT

    def symbol(self, native: str) -> str | None:
        """Return the symbol of ``BTC/USD``, or of REST's ``XBTUSD`` and ``XXBTZUSD``."""
        for name in (native, self._split(native)):
            base, _, quote = name.partition("/")
            symbol = _NEW_NAMES.get(base, base) + _NEW_NAMES.get(quote, quote)
            if quote and self.view.knows(symbol):
                return symbol
        return None

    def _split(self, pair: str) -> str:
        """Split a pair of REST into base and quote."""
        names = {**{old: new for new, old in _OLD_NAMES.items()}, **{old: new for new, old in _LEGACY.items()}}
        for quote in (*names, *QUOTES):
            base = pair.removesuffix(quote)
            if base and base != pair:
                return f"{names.get(base, base)}/{names.get(quote, quote)}"
        return pair

    def _pair(self, symbol: str) -> dict[str, str]:
        """Return the names of a market's symbol."""
        base, quote = pair_of(symbol)
        old = [_OLD_NAMES.get(each, each) for each in (base, quote)]
        legacy = base in _LEGACY and quote in _LEGACY
        assets = [_LEGACY.get(each, each) for each in (base, quote)]
        return {
            "id": "".join(assets if legacy else old),
            "altname": "".join(old),
            "wsname": "/".join(old),
            "base": assets[0],
            "quote": assets[1],
        }

    # --- REST --------------------------------------------------------------------------------------------------------

    def answer(self, request: SimRequest) -> Reply:
        """Answer a request, always with status 200."""
        paths = {
            "/0/public/OHLC": self._ohlc,
            "/0/public/Depth": self._depth,
            "/0/public/Time": self._time,
            "/0/public/AssetPairs": self._pairs,
            "/0/public/Assets": self._assets,
        }
        return routed(paths, request, lambda result: {"error": [], "result": result}, _refuse) or self.refusal(404)

    def refusal(self, status: int) -> Reply:
        """Return an array of errors."""
        return json_reply({"error": [_REFUSALS.get(status, "EService:Unavailable")]}, status)

    def _known(self, query: Mapping[str, str]) -> str:
        symbol = self.symbol(query.get("pair", ""))
        if symbol is None:
            raise Refused("EQuery:Unknown asset pair")
        return symbol

    def _number(self, query: Mapping[str, str], name: str, default: int) -> int:
        text = query.get(name, str(default))
        if not text.removeprefix("-").isdecimal():
            raise Refused(f"EGeneral:Invalid arguments:{name}")
        return int(text)

    def _ohlc(self, query: Mapping[str, str]) -> dict[str, Any]:
        symbol = self._known(query)
        interval = _INTERVALS.get(self._number(query, "interval", 1))
        if interval is None:
            raise Refused("EGeneral:Invalid arguments:interval")
        since = Unit.SECONDS.micros(self._number(query, "since", 0))
        candles = self.view.candles(symbol, interval, Span(0, self.now + 1), _KEPT, newest=True)
        rows = [
            [Unit.SECONDS.of(each.open_time), each.open, each.high, each.low, each.close, _vwap(each), each.volume,
             each.count]
            for each in candles
            if each.open_time > since or each is candles[-1]
        ]  # fmt: skip
        last = Unit.SECONDS.of(candles[-2].open_time) if len(candles) > 1 else 0
        return {self._pair(symbol)["id"]: rows, "last": last}

    def _depth(self, query: Mapping[str, str]) -> dict[str, Any]:
        symbol = self._known(query)
        state = self.view.book(symbol, min(self._number(query, "count", 100), 500), tick_of(self.now))
        seconds = Unit.SECONDS.of(self.now)
        sides = {"asks": state.asks, "bids": state.bids}
        book = {name: [[price, size, seconds] for price, size in levels] for name, levels in sides.items()}
        return {self._pair(symbol)["id"]: book}

    def _time(self, _query: Mapping[str, str]) -> dict[str, Any]:
        moment = to_datetime(self.now)
        return {"unixtime": Unit.SECONDS.of(self.now), "rfc1123": moment.strftime("%a, %d %b %y %H:%M:%S +0000")}

    def _pairs(self, _query: Mapping[str, str]) -> dict[str, Any]:
        listed = {}
        for symbol in self.view.symbols():
            names = self._pair(symbol)
            state = self.view.book(symbol, 1, tick_of(self.now))
            digits = [len(text.partition(".")[2]) for text in (state.bids or [("1.00", "1.00000000")])[0]]
            listed[names.pop("id")] = {
                **names, "aclass_base": "currency", "aclass_quote": "currency", "lot": "unit", "cost_decimals": 5,
                "pair_decimals": digits[0], "lot_decimals": digits[1], "lot_multiplier": 1, "leverage_buy": [],
                "leverage_sell": [], "fees": [[0, 0.4]], "fees_maker": [[0, 0.25]], "ordermin": "0.00005",
                "costmin": "0.5", "tick_size": str(Decimal(1).scaleb(-digits[0])), "status": "online",
            }  # fmt: skip
        return listed

    def _assets(self, _query: Mapping[str, str]) -> dict[str, Any]:
        names = {
            name
            for symbol in self.view.symbols()
            for key, name in self._pair(symbol).items()
            if key in {"base", "quote"}
        }
        altnames = {legacy: _OLD_NAMES.get(new, new) for new, legacy in _LEGACY.items()}
        return {
            name: {"aclass": "currency", "altname": altnames.get(name, name), "decimals": 10, "display_decimals": 5,
                   "status": "enabled"}
            for name in sorted(names)
        }  # fmt: skip

    # --- sockets -----------------------------------------------------------------------------------------------------

    def greeting(self, session: Session) -> Sequence[Any]:
        """Return the protocol version."""
        about = {"version": "2.0.10", "system": "online", "api_version": "v2", "connection_id": 1}
        return [{"channel": "status", "type": "update", "data": [about]}]

    def heartbeat(self, session: Session) -> Sequence[Any]:
        """Return a heartbeat after a subscription."""
        return [{"channel": "heartbeat"}] if session.wants else ()

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Return an answer for each symbol."""
        now = self._rfc3339(self.now)
        try:
            command = msgspec.json.decode(text, type=_Command)
        except msgspec.MsgspecError:
            return [{"error": "Malformed request", "success": False, "time_in": now, "time_out": now}]
        about: dict[str, Any] = {"method": command.method, "time_in": now, "time_out": now}
        if command.req_id is not None:
            about["req_id"] = command.req_id
        if command.method == "ping":
            return [about | {"method": "pong"}]
        if command.method not in {"subscribe", "unsubscribe"}:
            return [about | {"error": "Method not supported", "success": False}]
        answers: list[Any] = []
        for native in command.params.symbol:
            answers.append(about | self._turn(session, command, native))
            if answers[-1]["success"] and command.method == "subscribe":
                answers += self._snapshot(session, command.params, native)
        return answers

    def _snapshot(self, session: Session, params: _Params, native: str) -> Sequence[Any]:
        """Return past candles and the running one; a book's snapshot follows with the next tick."""
        want = session.wants[f"{params.channel}/{native}/{params.interval}"] if params.channel == "ohlc" else None
        if want is None or want.interval is None or not params.snapshot:
            return ()
        candles = self.view.live(want.symbol, want.interval, Span(0, self.now + 1), _HISTORY)
        return [self._ohlc_message("snapshot", want, candles)] if candles else ()

    def _turn(self, session: Session, command: _Command, native: str) -> dict[str, Any]:
        """Subscribe or unsubscribe one symbol, and return the answer."""
        params = command.params
        is_book = params.channel == "book"
        measure = ("depth", params.depth) if is_book else ("interval", params.interval)
        result: dict[str, Any] = {"channel": params.channel, "symbol": native, measure[0]: measure[1]}
        key = f"{params.channel}/{native}/{measure[1]}"
        if command.method == "unsubscribe":
            session.leave(key)
            return {"success": True, "result": result}
        symbol = self.symbol(native) if "/" in native else None
        refusal = self._refusal(session, params, native, key)
        if symbol is None or refusal:
            error = refusal if symbol else f"Currency pair not supported {native}"
            return {"success": False, "error": error, "symbol": native}
        session.join(Want(key, symbol, native, None if is_book else _INTERVALS[params.interval], params.depth))
        return {"success": True, "result": result | {"snapshot": params.snapshot}}

    def _refusal(self, session: Session, params: _Params, native: str, key: str) -> str | None:
        """Return the reason why a known symbol cannot be subscribed to; ``None`` if it can."""
        is_book = params.channel == "book"
        if params.channel not in {"book", "ohlc"}:
            return "Channel not supported"
        if (params.depth if is_book else params.interval) not in (_DEPTHS if is_book else _INTERVALS):
            return f"Subscription {'depth' if is_book else 'interval'} not supported"
        if key in session.wants:
            return "Already subscribed"
        if not is_book and any(known.startswith(f"ohlc/{native}/") for known in session.wants):
            return "Already subscribed to one ohlc interval on this symbol"
        return None

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return one message for all candles; none says whether it is closed."""
        return [self._ohlc_message("update", want, candles)]

    def _ohlc_message(self, kind: str, want: Want, candles: Sequence[SimCandle]) -> dict[str, Any]:
        minutes = next((number for number, each in _INTERVALS.items() if each is want.interval), 0)
        data = [
            {"symbol": want.native, "open": _raw(each.open), "high": _raw(each.high), "low": _raw(each.low),
             "close": _raw(each.close), "trades": each.count, "volume": _raw(each.volume), "vwap": _raw(_vwap(each)),
             "interval_begin": f"{to_datetime(each.open_time):%Y-%m-%dT%H:%M:%S}.000000000Z", "interval": minutes,
             "timestamp": self._rfc3339(each.end)}
            for each in candles
        ]  # fmt: skip
        return {"channel": "ohlc", "type": kind, "timestamp": self._rfc3339(self.now), "data": data}

    def book(self, session: Session, want: Want, state: BookState, tick: int) -> Sequence[Any]:
        """Return the snapshot."""
        return [self._message("snapshot", want, state.bids, state.asks, state)]

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return the changes; only levels within the depth are deleted."""
        state = self.view.book(want.symbol, want.depth, after)
        bids = [each for each in bids if len(state.bids) < want.depth or _is_within(each, state.bids, -1)]
        asks = [each for each in asks if len(state.asks) < want.depth or _is_within(each, state.asks, 1)]
        return [self._message("update", want, bids, asks, state)] if bids or asks else ()

    def _message(self, kind: str, want: Want, bids: Levels, asks: Levels, state: BookState) -> dict[str, Any]:
        book = {
            "symbol": want.native,
            "bids": [{"price": _raw(price), "qty": _raw(size)} for price, size in bids],
            "asks": [{"price": _raw(price), "qty": _raw(size)} for price, size in asks],
            "checksum": (_checksum(state) + self.skew) & 0xFFFFFFFF,
            "timestamp": self._rfc3339(self.now),
        }
        return {"channel": "book", "type": kind, "data": [book]}

    def _rfc3339(self, moment: Micros) -> str:
        return f"{to_datetime(moment):%Y-%m-%dT%H:%M:%S.%f}Z"


def _raw(text: str) -> Raw:
    """Return a number with all of its digits."""
    return Raw(text.encode())


def _vwap(candle: SimCandle) -> str:
    volume = Decimal(candle.volume)
    return f"{Decimal(candle.quote) / volume:.4f}" if volume else candle.close


def _is_within(level: tuple[str, str], side: Levels, sign: int) -> bool:
    """Return whether a level is part of the side, or was deleted from within it."""
    return sign * Decimal(level[0]) <= sign * Decimal(side[-1][0])


def _checksum(state: BookState) -> int:
    digits = [
        text.replace(".", "").lstrip("0") for side in (state.asks, state.bids) for level in side[:10] for text in level
    ]
    return zlib.crc32("".join(digits).encode())


def _refuse(words: str) -> Reply:
    return json_reply({"error": [words]})
