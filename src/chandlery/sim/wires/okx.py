"""
OKX's three markets on the wire.

Source: https://www.okx.com/docs-v5/en/. Bars aligned to Hong Kong time are not served, and funding rates do not expire
after three months.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, ClassVar, Literal

import msgspec

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, Unit
from chandlery.sim import dated
from chandlery.sim.book import BookState, Levels, tick_of
from chandlery.sim.kit import Refused, routed
from chandlery.sim.pairs import pair_of
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import SimCandle
from chandlery.sim.wire import Session, SimRequest, Want, Wire

_BARS = {
    "1s": "1s", "1m": "1m", "3m": "3m", "5m": "5m", "15m": "15m", "30m": "30m", "1H": "1h", "2H": "2h", "4H": "4h",
    "6Hutc": "6h", "12Hutc": "12h", "1Dutc": "1d", "1Wutc": "1w", "1Mutc": "1M",
}  # fmt: skip
_CANDLES = {f"candle{bar}": interval for bar, interval in _BARS.items()}
_DEPTHS = {"books": 400, "books5": 5, "bbo-tbt": 1}
_LATEST_ROWS = 1440
_MOST_ROWS = 300
_MOST_RATES = 400
_MOST_LEVELS = 400
_SECONDS_RETENTION = 92 * DAY
_CHECKED = 25
_REFUSALS = {
    404: ("50404", "The requested resource does not exist"),
    418: ("50011", "Too Many Requests"),
    429: ("50011", "Too Many Requests"),
}


class _Arg(msgspec.Struct):
    channel: str
    instId: str = ""  # noqa: N815  # the exchange's spelling


class _Command(msgspec.Struct):
    op: Literal["subscribe", "unsubscribe"]
    args: list[_Arg] = []


class _OkxWire(Wire):
    """Shared behaviour: answers are an envelope with a code; candles and books have separate WebSockets."""

    dates_candles = False

    inst_type: ClassVar[str] = "SWAP"

    # --- symbols

    def symbol(self, native: str) -> str | None:
        """
        Return the symbol for ``BTC-USDT``; perpetuals end in ``-SWAP``, others in a date; ``USD`` is inverse,
        ``USD_UM`` linear.
        """
        base, _, rest = native.partition("-")
        symbol = self._of_pair(base, rest.removesuffix("-SWAP"))
        if self.view.knows(symbol) and self._native(symbol) == native:
            return symbol
        return dated.find(self.view, native, self._native)

    def _of_pair(self, base: str, quote: str) -> str:
        return f"{base}{quote}"

    def _native(self, symbol: str) -> str:
        return "-".join(self._split(symbol))

    def _ending(self, symbol: str) -> str:
        """Return the suffix of a contract's name."""
        day = dated.split(symbol)[1]
        return dated.digits(day) if day else "SWAP"

    def _split(self, symbol: str) -> tuple[str, str]:
        return pair_of(dated.split(symbol)[0])

    def _size(self, symbol: str, size: str) -> str:
        """Convert a size to the exchange's unit; zero is ``0``."""
        return size if float(size) else "0"

    # --- REST

    def answer(self, request: SimRequest) -> Reply:
        """Answer GET requests only."""
        paths = {
            "/api/v5/market/candles": self._candles,
            "/api/v5/market/history-candles": self._history,
            "/api/v5/market/books": self._book,
            "/api/v5/public/funding-rate-history": self._funding,
            "/api/v5/public/instruments": self._instruments,
            "/api/v5/public/time": self._time,
        }
        return routed(paths, request, lambda data: {"code": "0", "msg": "", "data": data}, _refuse) or self.refusal(404)

    def refusal(self, status: int) -> Reply:
        """Return a code and a message."""
        code, message = _REFUSALS.get(status, ("50001", "Service temporarily unavailable. Try again later"))
        return json_reply({"code": code, "msg": message, "data": []}, status)

    def _known(self, query: Mapping[str, str]) -> str:
        native = query.get("instId")
        if not native:
            raise Refused("50014", "Parameter instId can not be empty.")
        symbol = self.symbol(native)
        if symbol is None:
            raise Refused("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        return symbol

    def _number(self, query: Mapping[str, str], name: str, default: int) -> int:
        text = query.get(name, "")
        if text and not text.isdigit():
            raise Refused("51000", f"Parameter {name} error")
        return int(text) if text else default

    def _span(self, query: Mapping[str, str]) -> Span:
        """Return the range newer than ``before`` and older than ``after``, both exclusive."""
        before = self._number(query, "before", 0)
        after = self._number(query, "after", Unit.MILLIS.of(self.now) + 1)
        return Span(Unit.MILLIS.micros(before) + 1, max(Unit.MILLIS.micros(after), 1))

    def _candles(self, query: Mapping[str, str]) -> list[list[str]]:
        return self._page(query, history=False)

    def _history(self, query: Mapping[str, str]) -> list[list[str]]:
        return self._page(query, history=True)

    def _page(self, query: Mapping[str, str], *, history: bool) -> list[list[str]]:
        """Return the newest candles of the range, newest first: of the latest rows, or of years except one-second candles."""
        symbol = self._known(query)
        bar = query.get("bar") or "1m"
        if bar not in _BARS or (bar == "1s" and not history):
            raise Refused("51000", "Parameter bar error")
        interval, span = Interval(_BARS[bar]), self._span(query)
        if not history:
            grid = self.view.grids[interval]
            span = span.clip(Span(grid.step(grid.floor(self.now), 1 - _LATEST_ROWS), span.end))
        elif interval is Interval.SECOND_1:
            span = span.clip(Span(self.now - _SECONDS_RETENTION, span.end))
        limit = min(self._number(query, "limit", 100), _MOST_ROWS)
        return [self._row(symbol, each) for each in self.view.candles(symbol, interval, span, limit, newest=True)[::-1]]

    def _row(self, symbol: str, candle: SimCandle) -> list[str]:
        prices = (candle.open, candle.high, candle.low, candle.close)
        opened_ms = Unit.MILLIS.of(candle.open_time)
        return [str(opened_ms), *prices, *self._volumes(symbol, candle), str(int(candle.closed))]

    def _volumes(self, symbol: str, candle: SimCandle) -> tuple[str, str, str]:
        """Return ``vol``, ``volCcy`` and ``volCcyQuote``."""
        return candle.volume, candle.quote, candle.quote

    def _book(self, query: Mapping[str, str]) -> list[Any]:
        symbol, tick = self._known(query), tick_of(self.now)
        levels = self._number(query, "sz", 1)
        if not 1 <= levels <= _MOST_LEVELS:
            raise Refused("51000", "Parameter sz error")
        return [self._whole(symbol, self.view.book(symbol, levels, tick)) | {"seqId": tick}]

    def _funding(self, query: Mapping[str, str]) -> list[Any]:
        symbol = self._known(query)
        limit = self.view.funding_limit(min(self._number(query, "limit", _MOST_RATES), _MOST_RATES))
        rates = self.view.funding(symbol, self._span(query))[-limit:]
        return [
            {
                "instType": "SWAP",
                "instId": query["instId"],
                "formulaType": "noRate",
                "fundingRate": "0.0001",
                "realizedRate": rate,
                "fundingTime": str(Unit.MILLIS.of(moment)),
                "method": "current_period",
            }
            for moment, rate in rates[::-1]
        ]

    def _time(self, _query: Mapping[str, str]) -> list[Any]:
        return [{"ts": str(Unit.MILLIS.of(self.now))}]

    def _instruments(self, query: Mapping[str, str]) -> list[Any]:
        if query.get("instType") not in {"SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"}:
            raise Refused("51000", "Parameter instType error")
        found = map(self._instrument, self.view.symbols())
        return [each for each in found if each["instType"] == query["instType"]]

    def _instrument(self, symbol: str) -> dict[str, Any]:
        base, quote = self._split(symbol)
        day = dated.split(symbol)[1]
        return {
            "instType": "FUTURES" if day else self.inst_type, "instId": self._native(symbol),
            "expTime": str(dated.delivery_ms(day)) if day else "", "baseCcy": base, "quoteCcy": quote,
            "tickSz": "0.01", "lotSz": str(self.view.lot(symbol)), "minSz": str(self.view.lot(symbol)),
            "state": "live", "uly": "", "settleCcy": "", "ctVal": "", "ctMult": "", "ctValCcy": "", "ctType": "",
        }  # fmt: skip

    # --- sockets

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Acknowledge or refuse each channel separately."""
        if text == "ping":
            return ["pong"]
        try:
            command = msgspec.json.decode(text, type=_Command)
        except msgspec.MsgspecError:
            return [{"event": "error", "code": "60012", "msg": f"Invalid request: {text[:200]}", "connId": "a4d3ae55"}]
        answer = self._join if command.op == "subscribe" else self._leave
        return [answer(session, each) for each in command.args]

    def _join(self, session: Session, arg: _Arg) -> Mapping[str, Any]:
        symbol, bar = self.symbol(arg.instId), _CANDLES.get(arg.channel)
        interval = Interval(bar) if bar and session.path == "/business" else None
        depth = _DEPTHS.get(arg.channel) if session.path == "/public" else None
        if symbol is None or (interval is None and depth is None):
            message = f"Wrong URL or channel:{arg.channel},instId:{arg.instId} doesn't exist."
            return {"event": "error", "code": "60018", "msg": message, "connId": "a4d3ae55"}
        session.join(Want(f"{arg.channel}:{arg.instId}", symbol, arg.instId, interval, depth or 0))
        return {"event": "subscribe", "arg": msgspec.to_builtins(arg), "connId": "a4d3ae55"}

    def _leave(self, session: Session, arg: _Arg) -> Mapping[str, Any]:
        session.leave(f"{arg.channel}:{arg.instId}")
        return {"event": "unsubscribe", "arg": msgspec.to_builtins(arg), "connId": "a4d3ae55"}

    def _push(self, want: Want, data: Any, **more: str) -> Any:
        return {"arg": {"channel": want.key.partition(":")[0], "instId": want.native}, **more, "data": [data]}

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return one push per candle, with a row in the form of REST."""
        return [self._push(want, self._row(want.symbol, each)) for each in candles]

    def book(self, session: Session, want: Want, state: BookState, tick: int) -> Sequence[Any]:
        """Return the full book; only that of 400 levels is called a snapshot."""
        whole = self._whole(want.symbol, state) | {"seqId": tick}
        if want.depth < _MOST_LEVELS:
            return [self._push(want, whole | {"instId": want.native})]
        check = {"prevSeqId": -1, "checksum": self._checksum(want.symbol, state)}
        return [self._push(want, whole | check, action="snapshot")]

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return the changes with 400 levels; with fewer, the full book."""
        state = self.view.book(want.symbol, want.depth, after)
        if want.depth < _MOST_LEVELS:
            return self.book(session, want, state, after)
        check = {"prevSeqId": before, "seqId": after, "checksum": self._checksum(want.symbol, state)}
        return [self._push(want, self._whole(want.symbol, BookState(bids, asks)) | check, action="update")]

    def _whole(self, symbol: str, state: BookState) -> dict[str, Any]:
        sides = {
            name: [[price, self._size(symbol, size), "0", "1"] for price, size in side]
            for name, side in (("asks", state.asks), ("bids", state.bids))
        }
        return sides | {"ts": str(Unit.MILLIS.of(self.now))}

    def _checksum(self, symbol: str, state: BookState) -> int:
        """Return the signed CRC32 of alternating bids and asks, each as ``price:size``."""
        parts = [
            f"{price}:{self._size(symbol, size)}"
            for pair in zip_longest(state.bids[:_CHECKED], state.asks[:_CHECKED])
            for price, size in filter(None, pair)
        ]
        unsigned = zlib.crc32(":".join(parts).encode())
        return (unsigned ^ 0x80000000) - 0x80000000 + self.skew


class OkxSpotWire(_OkxWire):
    """Spot."""

    id = "okx_spot"
    market_type = MarketType.SPOT
    inst_type = "SPOT"


class OkxPerpetualWire(_OkxWire):
    """Linear: a contract is the market's lot."""

    id = "okx_perpetual"
    market_type = MarketType.FUTURES_USDT

    def _of_pair(self, base: str, quote: str) -> str:
        return f"{base}{quote.removesuffix('_UM')}"

    def _native(self, symbol: str) -> str:
        base, quote = self._split(symbol)
        return f"{base}-{'USD_UM' if quote == 'USD' else quote}-{self._ending(symbol)}"

    def _size(self, symbol: str, size: str) -> str:
        return str(self.view.contracts(symbol, size))

    def _volumes(self, symbol: str, candle: SimCandle) -> tuple[str, str, str]:
        return str(self.view.contracts(symbol, candle.volume)), candle.volume, candle.quote

    def _instrument(self, symbol: str) -> dict[str, Any]:
        base, quote = self._split(symbol)
        contract = {
            "uly": f"{base}-{quote}", "settleCcy": quote, "ctVal": str(self.view.lot(symbol)), "ctMult": "1",
            "ctValCcy": base, "ctType": "linear", "baseCcy": "", "quoteCcy": "", "lotSz": "1", "minSz": "1",
        }  # fmt: skip
        return super()._instrument(symbol) | contract


class OkxInverseWire(_OkxWire):
    """Inverse: contracts with a value in dollars."""

    id = "okx_inverse"
    market_type = MarketType.FUTURES_COIN

    def _of_pair(self, base: str, quote: str) -> str:
        return f"{base}{quote}_PERP"

    def _native(self, symbol: str) -> str:
        return f"{self._split(symbol)[0]}-USD-{self._ending(symbol)}"

    def _volumes(self, symbol: str, candle: SimCandle) -> tuple[str, str, str]:
        dollars = int(candle.volume) * self.view.contract_value(symbol)
        return candle.volume, candle.quote, str(dollars)

    def _instrument(self, symbol: str) -> dict[str, Any]:
        base, quote = self._split(symbol)
        contract = {
            "uly": f"{base}-{quote}", "settleCcy": base, "ctVal": str(self.view.contract_value(symbol)), "ctMult": "1",
            "ctValCcy": quote, "ctType": "inverse", "baseCcy": "", "quoteCcy": "", "lotSz": "1", "minSz": "1",
        }  # fmt: skip
        return super()._instrument(symbol) | contract


def _refuse(code: str, message: str) -> Reply:
    return json_reply({"code": code, "msg": message, "data": []}, 400 if code.startswith("50") else 200)
