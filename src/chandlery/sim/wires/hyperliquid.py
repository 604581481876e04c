"""
Hyperliquid's two markets on the wire.

Sources: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint and
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions.

Where the documentation is silent: both bounds are inclusive; an unknown coin gets the answer ``null``, and closes a
WebSocket silently, as seen in September 2026.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import Micros, Unit
from chandlery.sim.book import BookState, Levels, tick_of
from chandlery.sim.kit import Refused
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import MarketView, SimCandle
from chandlery.sim.wire import Session, SimRequest, Want, Wire

_INTERVALS = frozenset(["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d", "3d", "1M"])
"""Supported intervals; weeks, which begin on Thursday there, are not in the market."""
_KEPT = 5000
_LEVELS, _FAST_LEVELS = 20, 5
_RATES = 500
_LIMIT, _WINDOW_S = 1200, 60.0
_LIGHT = frozenset({"l2Book", "exchangeStatus"})
_NO_JSON = b"Failed to deserialize the JSON body into the target type"


class _Request(msgspec.Struct, rename="camel"):
    """Request, or the ``req`` within it."""

    type: str = ""
    coin: str = ""
    interval: str = ""
    start_time: int | None = None
    end_time: int | None = None
    req: _Request | None = None


class _Subscription(msgspec.Struct):
    type: str
    coin: str = ""
    interval: str = ""
    fast: bool = False


class _Command(msgspec.Struct):
    method: str
    subscription: _Subscription | None = None


class _HyperliquidWire(Wire):
    """Shared behaviour of both markets."""

    dates_candles = False

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self._window = -1
        self._used = 0
        self._answers: dict[str, Callable[[_Request], Any]] = {
            "candleSnapshot": self._candles,
            "l2Book": self._book,
            "fundingHistory": self._funding,
            "exchangeStatus": lambda _: {"specialStatuses": None, "time": Unit.MILLIS.of(self.now)},
            "meta": lambda _: self._meta(),
            "metaAndAssetCtxs": lambda _: self._with_contexts(self._meta()),
            "spotMeta": lambda _: self._spot_meta(),
            "spotMetaAndAssetCtxs": lambda _: self._with_contexts(self._spot_meta()),
        }

    @abstractmethod
    def listed(self, coin: str) -> str | None:
        """Return the market's symbol of a coin."""

    def answer(self, request: SimRequest) -> Reply:
        """Answer requests, which are all posted to one path."""
        if request.path != "/info" or request.method != "POST":
            return Reply(404, b"", {"Content-Type": "text/plain"})
        try:
            asked = msgspec.json.decode(request.body, type=_Request)
            content = self._answers[asked.type](asked)
        except (msgspec.MsgspecError, KeyError, Refused):
            return Reply(422, _NO_JSON, {"Content-Type": "text/plain"})
        return self.refusal(429) if self._spent(asked.type, content) else json_reply(content)

    def _spent(self, kind: str, content: Any) -> bool:
        """Return whether a request exceeds the limit; the size of its response counts, too."""
        window = int(self.ticks() // _WINDOW_S)
        weight = 2 if kind in _LIGHT else 20
        if isinstance(content, list):
            weight += len(content) // {"candleSnapshot": 60, "fundingHistory": 20}.get(kind, 1 << 62)
        self._window, self._used = window, weight + (self._used if window == self._window else 0)
        return self._used > (self.weight_limit or _LIMIT)

    def refusal(self, status: int) -> Reply:
        """Return only a status."""
        return Reply(status, b"null", {"Content-Type": "application/json"})

    # --- REST ---

    def _candles(self, asked: _Request) -> Any:
        req = asked.req
        if req is None or req.start_time is None or req.interval not in _INTERVALS:
            raise Refused
        symbol, interval = self.listed(req.coin), Interval(req.interval)
        if symbol is None:
            return None
        grid = self.view.grids[interval]
        oldest = grid.step(grid.floor(self.now), 1 - _KEPT)
        span = Span(max(Unit.MILLIS.micros(req.start_time), oldest), self._end(req.end_time))
        known = self.view.candles(symbol, interval, span, _KEPT, newest=True)
        return [self._candle(req.coin, interval, each) for each in known]

    def _end(self, end_time: int | None) -> Micros:
        return (self.now if end_time is None else Unit.MILLIS.micros(end_time)) + 1

    def _candle(self, coin: str, interval: Interval, each: SimCandle) -> dict[str, Any]:
        return {
            "t": Unit.MILLIS.of(each.open_time), "T": Unit.MILLIS.of(each.end) - 1, "s": coin, "i": interval.value,
            "o": each.open, "c": each.close, "h": each.high, "l": each.low, "v": each.volume, "n": each.count,
        }  # fmt: skip

    def _book(self, asked: _Request) -> Any:
        symbol, tick = self.listed(asked.coin), tick_of(self.now)
        return None if symbol is None else self._levels(asked.coin, self.view.book(symbol, _LEVELS, tick))

    def _levels(self, coin: str, state: BookState) -> dict[str, Any]:
        sides = [[{"px": price, "sz": size, "n": 1} for price, size in side] for side in (state.bids, state.asks)]
        return {"coin": coin, "time": Unit.MILLIS.of(self.now), "levels": sides}

    def _funding(self, asked: _Request) -> Any:
        symbol = self.listed(asked.coin)
        if asked.start_time is None:
            raise Refused
        if symbol is None:
            return None
        rates = self.view.funding(symbol, Span(Unit.MILLIS.micros(asked.start_time), self._end(asked.end_time)))
        return [
            {"coin": asked.coin, "fundingRate": rate, "premium": "0.0", "time": Unit.MILLIS.of(moment)}
            for moment, rate in rates[: self.view.funding_limit(_RATES)]
        ]

    def _meta(self) -> dict[str, Any]:
        return {"universe": []}

    def _spot_meta(self) -> dict[str, Any]:
        return {"tokens": [{"name": "USDC", "szDecimals": 8, "weiDecimals": 8, "index": 0}], "universe": []}

    def _with_contexts(self, meta: dict[str, Any]) -> Any:
        context = {"markPx": "1.0", "midPx": "1.0", "prevDayPx": "1.0", "dayNtlVlm": "0.0", "funding": "0.0"}
        places = max((each.get("index", at) for at, each in enumerate(meta["universe"])), default=-1) + 1
        return [meta, [context] * places]

    def _decimals(self, symbol: str) -> int:
        return len(f"{self.view.lot(symbol):f}".partition(".")[2])

    # --- sockets ---

    def admit(self, session: Session) -> Reply | None:
        """Accept the one path of all streams."""
        return None if session.path == "/ws" else self.refusal(404)

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Handle ``ping``, ``subscribe`` and ``unsubscribe``; one subscription per message."""
        try:
            command = msgspec.json.decode(text, type=_Command)
        except msgspec.MsgspecError:
            return [{"channel": "error", "data": f"Error parsing JSON into valid websocket request: {text}"}]
        if command.method == "ping":
            return [{"channel": "pong"}]
        asked = command.subscription
        want = self._want(asked) if asked else None
        if asked is not None and self.listed(asked.coin) is None:
            session.cut = True
            return ()
        if asked is None or want is None or command.method not in {"subscribe", "unsubscribe"}:
            return [{"channel": "error", "data": f"Invalid subscription {text}"}]
        if (want.key in session.wants) is (command.method == "subscribe"):
            return [{"channel": "error", "data": f"Already {command.method}d: {want.key}"}]
        if command.method == "subscribe":
            session.join(want)
        else:
            session.leave(want.key)
        echo = {key: value for key, value in msgspec.structs.asdict(asked).items() if value}
        return [{"channel": "subscriptionResponse", "data": {"method": command.method, "subscription": echo}}]

    def _want(self, asked: _Subscription) -> Want | None:
        symbol = self.listed(asked.coin)
        if symbol is None:
            return None
        if asked.type == "l2Book":
            key, depth = (":fast", _FAST_LEVELS) if asked.fast else ("", _LEVELS)
            return Want(f"l2Book:{asked.coin}{key}", symbol, asked.coin, depth=depth)
        if asked.type != "candle" or asked.interval not in _INTERVALS:
            return None
        return Want(f"candle:{asked.coin}:{asked.interval}", symbol, asked.coin, Interval(asked.interval))

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return one message per candle; none says whether it is closed."""
        if want.interval is None:
            return ()
        return [{"channel": "candle", "data": self._candle(want.native, want.interval, each)} for each in candles]

    def book(self, session: Session, want: Want, state: BookState, tick: int) -> Sequence[Any]:
        """Return the full book."""
        return [{"channel": "l2Book", "data": self._levels(want.native, state)}]

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return the full book each time; there are no updates."""
        return self.book(session, want, self.view.book(want.symbol, want.depth, after), after)


class HyperliquidSpotWire(_HyperliquidWire):
    """Spot pairs, all but the first named by their index."""

    id = "hyperliquid_spot"
    market_type = MarketType.SPOT
    _PAIRS = (
        ("PURR/USDC", "PURR", 0), ("@107", "HYPE", 107), ("@142", "BTC", 142), ("@151", "ETH", 151), ("@156", "SOL", 156),
    )  # fmt: skip
    _TOKENS: ClassVar[Mapping[str, str]] = {"BTC": "UBTC", "ETH": "UETH"}

    def symbol(self, native: str) -> str | None:
        """Return the symbol, by index or by pair."""
        base = native.replace("-", "/").removesuffix("/USDC")
        return self.listed(next((name for name, each, _ in self._PAIRS if each == base), native))

    def listed(self, coin: str) -> str | None:
        """Return pairs in USDC."""
        symbol = next((f"{base}USDC" for name, base, _ in self._PAIRS if name == coin), "")
        return symbol if self.view.knows(symbol) else None

    def _spot_meta(self) -> dict[str, Any]:
        meta = super()._spot_meta()
        for name, base, index in self._PAIRS:
            symbol = self.listed(name)
            if symbol is None:
                continue
            token = {"name": self._TOKENS.get(base, base), "szDecimals": self._decimals(symbol), "weiDecimals": 8}
            place = len(meta["tokens"])
            meta["tokens"].append({**token, "index": place})
            meta["universe"].append({"name": name, "tokens": [place, 0], "index": index, "isCanonical": index == 0})
        return meta


class HyperliquidPerpetualWire(_HyperliquidWire):
    """Perpetuals, named by their coin and settled in USDC."""

    id = "hyperliquid_perpetual"
    market_type = MarketType.FUTURES_USDT
    _COIN = re.compile(r"k?[^\W_a-z]+")

    def symbol(self, native: str) -> str | None:
        """Return the symbol of the coin."""
        return self.listed(native)

    def listed(self, coin: str) -> str | None:
        """Return the symbol; coins counted in thousands have a lower-case k."""
        symbol = f"{coin.upper()}USDC"
        return symbol if self._COIN.fullmatch(coin) and self.view.knows(symbol) else None

    def _meta(self) -> dict[str, Any]:
        bases = dict.fromkeys(re.sub(r"(USDT|USDC|USD)$", "", symbol) for symbol in self.view.symbols())
        known = [(base, self.listed(base)) for base in bases]
        return {
            "universe": [
                {"name": base, "szDecimals": self._decimals(symbol), "maxLeverage": 50}
                for base, symbol in known
                if symbol
            ]
        }
