"""
Coinbase Advanced Trade on the wire.

Sources: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels and
the pages of public endpoints below https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakSet

import msgspec

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import SECOND, Unit, iso
from chandlery.sim.book import BookState, Levels, tick_of
from chandlery.sim.pairs import pair_of
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import MarketView, SimCandle
from chandlery.sim.wire import Session, SimRequest, Want, Wire

_BUCKETS = 350
_GRANULARITIES = {
    "ONE_MINUTE": "1m", "FIVE_MINUTE": "5m", "FIFTEEN_MINUTE": "15m", "THIRTY_MINUTE": "30m", "ONE_HOUR": "1h",
    "TWO_HOUR": "2h", "FOUR_HOUR": "4h", "SIX_HOUR": "6h", "ONE_DAY": "1d",
}  # fmt: skip
_CANDLES = re.compile(r"/market/products/([^/]+)/candles")
_LONG_AGO = "1970-01-01T00:00:00Z"


class _Command(msgspec.Struct):
    type: str
    channel: str
    product_ids: list[str] = []


def _refused(error: str, message: str, status: int = 400) -> Reply:
    return json_reply({"error": error, "error_details": message, "message": message}, status)


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    return int(text) if text.isdecimal() else None


class CoinbaseSpotWire(Wire):
    """Spot: numbers are text, candles objects, the latest first; messages of a connection are numbered consecutively."""

    id = "coinbase_spot"
    market_type = MarketType.SPOT

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self._beating: WeakSet[Session] = WeakSet()

    def symbol(self, native: str) -> str | None:
        """Return the symbol for ``BTC-USD``."""
        base, dash, quote = native.partition("-")
        return base + quote if dash and self.view.knows(base + quote) else None

    def answer(self, request: SimRequest) -> Reply:
        """Answer public requests, and requests for the lists of currencies, which are empty."""
        if request.path.startswith("/v2/"):
            return json_reply({"data": {"rates": {}} if request.path.endswith("exchange-rates") else []})
        path = request.path.removeprefix("/api/v3/brokerage")
        candles = _CANDLES.fullmatch(path)
        if candles:
            return self._candles(candles[1], request.query)
        match path:
            case "/time":
                seconds, millis = (str(unit.of(self.now)) for unit in (Unit.SECONDS, Unit.MILLIS))
                return json_reply({"iso": iso(self.now), "epochSeconds": seconds, "epochMillis": millis})
            case "/market/products":
                spot = request.query.get("product_type", "SPOT") == "SPOT"
                products = [self._product(each) for each in self.view.symbols()] if spot else []
                return json_reply({"products": products, "num_products": len(products)})
            case "/market/product_book":
                return self._book(request.query)
        return _refused("NOT_FOUND", "Not Found", 404)

    def refusal(self, status: int) -> Reply:
        """Return an error name and a message."""
        words = {429: "RESOURCE_EXHAUSTED"}
        return _refused(words.get(status, "INTERNAL"), f"status {status}", status)

    def _product(self, symbol: str) -> Mapping[str, Any]:
        base, quote = pair_of(symbol)
        return {
            "product_id": f"{base}-{quote}", "base_currency_id": base, "quote_currency_id": quote, "status": "online",
            "product_type": "SPOT", "trading_disabled": False, "is_disabled": False, "price_increment": "0.01",
            "quote_increment": "0.01", "base_increment": "0.00000001", "base_min_size": "0.00000001",
        }  # fmt: skip

    def _candles(self, native: str, query: Mapping[str, str]) -> Reply:
        """Return candles, both bounds inclusive; a span of 350 candles or more is refused."""
        symbol, name = self.symbol(native), _GRANULARITIES.get(query.get("granularity", ""))
        start, end = _number(query, "start"), _number(query, "end")
        if symbol is None:
            return _refused("NOT_FOUND", f"Product {native} not supported", 404)
        if name is None or start is None or end is None:
            return _refused("INVALID_ARGUMENT", "start, end and granularity are required")
        interval = Interval(name)
        if (end - start) * SECOND >= _BUCKETS * interval.longest:
            return _refused("INVALID_ARGUMENT", f"number of candles requested should be less than {_BUCKETS}")
        span = Span(start * SECOND, (end + 1) * SECOND)
        return json_reply(
            {
                "candles": [_candle(each) for each in self.view.candles(symbol, interval, span, _BUCKETS, newest=True)][
                    ::-1
                ]
            }
        )

    def _book(self, query: Mapping[str, str]) -> Reply:
        native = query.get("product_id", "")
        symbol = self.symbol(native)
        if symbol is None:
            return _refused("NOT_FOUND", f"Product {native} not supported", 404)
        state = self.view.book(symbol, _number(query, "limit") or 1000, tick_of(self.now))
        sides = {
            name: [{"price": price, "size": size} for price, size in side]
            for name, side in (("bids", state.bids), ("asks", state.asks))
        }
        return json_reply({"pricebook": {"product_id": native, **sides, "time": iso(self.now)}})

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Return the list of all subscriptions, or a refusal for an unknown product."""
        try:
            command = msgspec.json.decode(text, type=_Command)
        except msgspec.MsgspecError as error:
            return [{"type": "error", "message": f"Malformed JSON: {error}"}]
        if command.type not in {"subscribe", "unsubscribe"}:
            return [{"type": "error", "message": "type must be subscribe or unsubscribe"}]
        leaves = command.type == "unsubscribe"
        if command.channel == "heartbeats":
            (self._beating.discard if leaves else self._beating.add)(session)
        elif command.channel not in {"candles", "level2"}:
            return [{"type": "error", "message": "channel is not supported"}]
        for native in command.product_ids if command.channel != "heartbeats" else ():
            wrong = self._follow(session, command.channel, native, leaves=leaves)
            if wrong:
                return [{"type": "error", "message": "failure to subscribe", "reason": wrong}]
        return [self._say(session, "subscriptions", {"subscriptions": self._listed(session)})]

    def _follow(self, session: Session, channel: str, native: str, *, leaves: bool) -> str | None:
        symbol, key = self.symbol(native), f"{channel}:{native}"
        if leaves:
            session.leave(key)
        elif symbol is None:
            return f"{native} is not a valid product"
        else:
            session.join(Want(key, symbol, native, Interval.MINUTE_5 if channel == "candles" else None))
        return None

    def _listed(self, session: Session) -> Mapping[str, list[str]]:
        listed: dict[str, list[str]] = {"heartbeats": ["heartbeats"]} if session in self._beating else {}
        for key in session.wants:
            channel, _, native = key.partition(":")
            listed.setdefault(channel, []).append(native)
        return listed

    def _say(self, session: Session, channel: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
        number, session.sequence = session.sequence, session.sequence + 1
        timestamp = iso(self.now)
        return {
            "channel": channel, "client_id": "", "timestamp": timestamp, "sequence_num": number, "events": [event]
        }  # fmt: skip

    def heartbeat(self, session: Session) -> Sequence[Any]:
        """Return heartbeats if they are subscribed."""
        if session not in self._beating:
            return ()
        return [self._say(session, "heartbeats", {"current_time": iso(self.now), "heartbeat_counter": "1"})]

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return all candles in one message, the latest first."""
        rows = [_candle(each) | {"product_id": want.native} for each in candles][::-1]
        return [self._say(session, "candles", {"type": "update", "candles": rows})]

    def book(self, session: Session, want: Want, state: BookState, tick: int) -> Sequence[Any]:
        """Return the full book."""
        return [self._levels(session, want, "snapshot", state.bids, state.asks, _LONG_AGO)]

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return the changes; a size of 0 deletes."""
        return [self._levels(session, want, "update", bids, asks, iso(self.now))]

    def _levels(
        self, session: Session, want: Want, kind: str, bids: Levels, asks: Levels, at: str
    ) -> Mapping[str, Any]:
        updates = [
            {"side": side, "event_time": at, "price_level": price, "new_quantity": size if size.strip("0.") else "0"}
            for side, levels in (("bid", bids), ("offer", asks))
            for price, size in levels
        ]
        return self._say(session, "l2_data", {"type": kind, "product_id": want.native, "updates": updates})


def _candle(each: SimCandle) -> dict[str, str]:
    return {
        "start": str(Unit.SECONDS.of(each.open_time)), "low": each.low, "high": each.high, "open": each.open,
        "close": each.close, "volume": each.volume,
    }  # fmt: skip
