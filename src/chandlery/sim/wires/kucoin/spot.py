"""
KuCoin's three markets on the wire.

Sources: https://www.kucoin.com/docs-new/websocket-api/base-info/introduction and the pages of market
data below https://www.kucoin.com/docs-new/rest.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import msgspec

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import SECOND, Unit
from chandlery.sim import dated
from chandlery.sim.book import BookState, Levels, tick_of
from chandlery.sim.pairs import pair_of
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import MarketView, SimCandle
from chandlery.sim.wire import Session, SimRequest, Want, Wire

Query: TypeAlias = Mapping[str, str]

_MOST_TOPICS, _TOPICS_A_MESSAGE = 300, 100
# Weeks and months of spot begin at other times than the market's, so they are not served.
NAMES = {
    "1min": "1m", "3min": "3m", "5min": "5m", "15min": "15m", "30min": "30m", "1hour": "1h", "2hour": "2h",
    "4hour": "4h", "6hour": "6h", "8hour": "8h", "12hour": "12h", "1day": "1d",
}  # fmt: skip
MINUTES = {
    "1": "1m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "120": "2h", "240": "4h", "480": "8h", "720": "12h",
    "1440": "1d", "10080": "1w",
}  # fmt: skip


class _Command(msgspec.Struct):
    id: str | int = ""
    type: str = ""
    topic: str = ""
    response: bool = False


def fine(data: Any) -> Reply:
    """Build a response with data."""
    return json_reply({"code": "200000", "data": data})


def refused(message: str, code: str = "400100", status: int = 200) -> Reply:
    """Build a refusal."""
    return json_reply({"code": code, "msg": message}, status)


def number(query: Query, name: str) -> int:
    """Parse a bound; 0 if it is absent."""
    text = query.get(name, "0")
    return int(text) if text.isdecimal() else 0


def split(symbol: str) -> tuple[str, str]:
    """Split a symbol into base and quote, also of an expiring contract."""
    return pair_of(dated.split(symbol)[0])


class KuCoinWire(Wire):
    """
    Shared behaviour: answers are ``{"code": "200000", "data": ...}``; WebSockets need a token, send a welcome, and have
    topics.
    """

    books: ClassVar[Mapping[str, int]]
    """Number of levels per side of each book channel."""
    candle_channel: ClassVar[str]
    candle_names: ClassVar[Mapping[str, str]] = NAMES
    unknown = ("Unsupported trading pair.", "400100")
    """Refusal of a symbol that is not traded."""

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self._tokens: deque[str] = deque(maxlen=1000)
        self._granted = 0
        self._paths: dict[str, Callable[[Query], Reply]] = {
            "/api/v1/timestamp": lambda _: fine(Unit.MILLIS.of(self.now)),
            "/api/v3/currencies": lambda _: fine([]),
        }

    def answer(self, request: SimRequest) -> Reply:
        """Answer POST for a token, and GET for the rest."""
        if (request.method, request.path) == ("POST", "/api/v1/bullet-public"):
            return self._grant(request.headers.get("host", ""))
        handler = self._paths.get(request.path)
        if handler is None or request.method != "GET":
            return refused("Not Found", "404000", 404)
        if "symbol" in request.query and self.symbol(request.query["symbol"]) is None:
            return refused(*self.unknown)
        return handler(request.query)

    def refusal(self, status: int) -> Reply:
        """Return a code that begins with the status."""
        texts = {429: "Too many requests. System-level rate limit exceeded."}
        return refused(texts.get(status, "Internal Server Error"), f"{status}000", status)

    def _grant(self, host: str) -> Reply:
        self._granted += 1
        self._tokens.append(f"{self.id}-{self._granted}==")
        server = {
            "endpoint": f"ws://{host}/{self.id}", "encrypt": False, "protocol": "websocket", "pingInterval": 18_000,
            "pingTimeout": 10_000,
        }  # fmt: skip
        return fine({"token": self._tokens[-1], "instanceServers": [server]})

    def forget_tokens(self) -> None:
        """Invalidate all tokens."""
        self._tokens.clear()

    def admit(self, session: Session) -> Reply | None:
        """Accept only connections with an issued token."""
        return None if session.query.get("token") in self._tokens else refused("token is expired", "401", 401)

    def greeting(self, session: Session) -> Sequence[Any]:
        """Return the welcome, before which commands are ignored."""
        return [{"id": session.query.get("connectId", "welcome"), "type": "welcome"}]

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Acknowledge every existing topic; one of an unknown symbol then stays silent."""
        try:
            command = msgspec.json.decode(text, type=_Command)
        except msgspec.MsgspecError as error:
            return [{"id": "0", "type": "error", "code": 400, "data": str(error)}]
        if command.type == "ping":
            return [{"id": command.id, "type": "pong", "timestamp": self.now}]
        if command.type not in {"subscribe", "unsubscribe"}:
            return [{"id": command.id, "type": "error", "code": 415, "data": "type is not supported"}]
        wrong = self._follow(session, command)
        if wrong is not None:
            return [{"id": command.id, "type": "error", "code": wrong[0], "data": wrong[1]}]
        return [{"id": command.id, "type": "ack"}] if command.response else []

    def _follow(self, session: Session, command: _Command) -> tuple[int, str] | None:
        """Execute a command; return its error, or ``None``."""
        channel, _, names = command.topic.partition(":")
        wants = {f"{channel}:{name}": self._want(channel, name) for name in names.split(",")}
        known = [want for want in wants.values() if want is not None]
        strange = self.view.unlike.refuses_whole and not all(want.symbol for want in known)
        if strange or len(known) != len(wants):
            return 404, f"topic {command.topic} is not found" if strange else "topic does not exist"
        if command.type == "unsubscribe":
            session.wants = {key: want for key, want in session.wants.items() if key not in wants}
            return None
        if len(known) > _TOPICS_A_MESSAGE or len(session.wants | wants) > _MOST_TOPICS:
            return 509, "exceed max subscription count limitation"
        for want in known:
            session.join(want)
        return None

    def _want(self, channel: str, name: str) -> Want | None:
        """Return the subscription of a topic, without a symbol of the market if it stays silent."""
        key = f"{channel}:{name}"
        if channel == self.candle_channel:
            native, _, spelling = name.rpartition("_")
            interval = self.candle_names.get(spelling)
            return Want(key, self.symbol(native) or "", native, Interval(interval)) if interval else None
        levels = self.books.get(channel)
        return Want(key, self.symbol(name) or "", name, depth=levels) if levels else None

    def _event(self, want: Want, subject: str, data: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "message", "topic": want.key, "subject": subject, "data": data}

    def book(self, session: Session, want: Want, state: BookState, tick: int) -> Sequence[Any]:
        """Return the first message of full-book channels; the channel of changes has no snapshot."""
        return [self.depth(want, tick)] if "Depth" in want.key else ()

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return the full book, whatever has changed."""
        return [self.depth(want, after)]

    @abstractmethod
    def depth(self, want: Want, tick: int) -> Any:
        """Return a message with the full book of a tick."""


class KuCoinSpotWire(KuCoinWire):
    """Spot: numbers are text, candle times are seconds, and the latest candle comes first."""

    id = "kucoin_spot"
    market_type = MarketType.SPOT
    candle_channel = "/market/candles"
    books: ClassVar[Mapping[str, int]] = {
        "/market/level2": 50,
        "/spotMarket/level2Depth5": 5,
        "/spotMarket/level2Depth50": 50,
    }

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self._paths |= {
            "/api/v1/market/candles": self._candles,
            "/api/v1/market/orderbook/level2_20": lambda query: self._book(query, 20),
            "/api/v1/market/orderbook/level2_100": lambda query: self._book(query, 100),
            "/api/v1/market/allTickers": lambda _: fine({"time": Unit.MILLIS.of(self.now), "ticker": []}),
            "/api/v3/margin/symbols": lambda _: fine({"timestamp": Unit.MILLIS.of(self.now), "items": []}),
            "/api/v1/isolated/symbols": lambda _: fine([]),
            "/api/v1/hf/accounts/opened": lambda _: fine(True),  # JSON's
            "/api/v2/symbols": lambda _: fine([self._listing(*split(each)) for each in self.view.symbols()]),
        }

    def symbol(self, native: str) -> str | None:
        """Return the symbol for ``BTC-USDT``."""
        base, dash, quote = native.partition("-")
        return base + quote if dash and self.view.knows(base + quote) else None

    def _listing(self, base: str, quote: str) -> Mapping[str, Any]:
        return {
            "symbol": f"{base}-{quote}", "name": f"{base}-{quote}", "baseCurrency": base, "quoteCurrency": quote,
            "baseMinSize": "0.00001", "baseIncrement": "0.00000001", "priceIncrement": "0.0001",
            "enableTrading": True,
        }  # fmt: skip

    def _candles(self, query: Query) -> Reply:
        """Return candles from ``startAt`` to before ``endAt``; at most 1500, the latest of them."""
        name, symbol = NAMES.get(query.get("type", "")), self.symbol(query.get("symbol", ""))
        if name is None or symbol is None:
            return refused("Incorrect candlestick type." if symbol else "symbol is required")
        span = Span(number(query, "startAt") * SECOND, number(query, "endAt") * SECOND or self.now + 1)
        rows = [self._row(each) for each in self.view.candles(symbol, Interval(name), span, 1500, newest=True)]
        return fine(rows[::-1])

    def _row(self, each: SimCandle) -> list[str]:
        opened = str(Unit.SECONDS.of(each.open_time))
        return [opened, each.open, each.close, each.high, each.low, each.volume, each.quote]

    def _book(self, query: Query, levels: int) -> Reply:
        tick = tick_of(self.now)
        state = self.view.book(self.symbol(query.get("symbol", "")) or "", levels, tick)
        sides = {"bids": state.bids, "asks": state.asks}
        return fine({"time": Unit.MILLIS.of(self.now), "sequence": str(tick), **sides})

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return one message per candle: add for a new one, update for the others."""
        last = candles[-1].open_time if len(candles) > 1 else -1
        return [
            self._event(
                want,
                f"trade.candles.{'add' if each.open_time == last else 'update'}",
                {"symbol": want.native, "candles": self._row(each), "time": self.now * 1000},
            )
            for each in candles
        ]

    def depth(self, want: Want, tick: int) -> Any:
        """Return a book as text, without a sequence number."""
        state = self.view.book(want.symbol, want.depth, tick)
        data = {"asks": state.asks, "bids": state.bids, "timestamp": Unit.MILLIS.of(self.now)}
        return self._event(want, "level2", data)

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return the full book, or the numbered changes; a size of 0 deletes."""
        if "Depth" in want.key:
            return super().changes(session, want, bids, asks, before, after)
        sides = {
            name: [[price, size if size.strip("0.") else "0", str(after)] for price, size in side]
            for name, side in (("asks", asks), ("bids", bids))
        }
        data = {"sequenceStart": before + 1, "sequenceEnd": after, "symbol": want.native, "changes": sides}
        return [self._event(want, "trade.l2update", data | {"time": Unit.MILLIS.of(self.now)})]
