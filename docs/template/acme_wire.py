"""Server of Acme for the offline exchange, written from https://acme.example/docs and not from the adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.sim.book import BookState, Levels, tick_of
from chandlery.sim.pairs import pair_of
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import SimCandle
from chandlery.sim.wire import Session, SimRequest, Want, Wire

INTERVALS = {"1": Interval.MINUTE_1, "60": Interval.HOUR_1}


class AcmeWire(Wire):
    """Candles newest first, at most 500 per response; a whole book after each change."""

    id = "acme_spot"
    market_type = MarketType.SPOT
    dates_candles = False

    def symbol(self, native: str) -> str | None:
        """Return the market's symbol for one such as ``BTC_USDT``; ``None`` if it is unknown."""
        known = native.replace("_", "")
        return known if self.view.knows(known) else None

    def answer(self, request: SimRequest) -> Reply:
        """Answer a request by its path."""
        if request.path == "/time":
            return json_reply({"now": self.now // 1000})
        if request.path == "/pairs":
            pairs = map(pair_of, self.view.symbols())
            return json_reply({"pairs": [{"base": base, "quote": quote} for base, quote in pairs]})
        symbol = self.symbol(request.query.get("symbol", ""))
        if symbol is None:
            return json_reply({"error": "no such symbol"}, 400)
        if request.path == "/book":
            return json_reply(self.levels(self.view.book(symbol, 50, tick_of(self.now))))
        interval = INTERVALS.get(request.query.get("interval", ""))
        if interval is None:
            return json_reply({"error": "no such interval"}, 400)
        span = Span(int(request.query["from"]) * 1000, int(request.query["to"]) * 1000)
        candles = self.view.candles(symbol, interval, span, 500, newest=True)
        return json_reply({"candles": [self.row(each) for each in reversed(candles)]})

    def row(self, each: SimCandle) -> dict[str, Any]:
        """Format a candle."""
        opened = each.open_time // 1000
        return {"t": opened, "o": each.open, "h": each.high, "l": each.low, "c": each.close, "v": each.volume}

    def levels(self, state: BookState) -> dict[str, Any]:
        """Format a book."""
        return {"bids": state.bids, "asks": state.asks, "now": self.now // 1000}

    def refusal(self, status: int) -> Reply:
        """Return an error response."""
        return json_reply({"error": f"status {status}"}, status)

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Execute a command; ``BTC_USDT:1`` names candles, ``BTC_USDT:book`` a book."""
        command = msgspec.json.decode(text)
        for name in command.get("names", ()):
            native, _, what = name.partition(":")
            symbol = self.symbol(native)
            if symbol is None:
                return [{"channel": "error", "error": f"no such symbol {native}"}]
            if command["op"] == "join":
                session.join(Want(name, symbol, native, INTERVALS.get(what)))
            else:
                session.leave(name)
        return [{"channel": command["op"]}]

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return one message per candle."""
        about = {"channel": "candle", "symbol": want.native, "interval": want.interval and want.interval.value}
        return [{**about, "row": {**self.row(each), "x": each.closed}} for each in candles]

    def book(self, session: Session, want: Want, state: BookState, tick: int) -> Sequence[Any]:
        """Return the first book after a subscription."""
        return [{"channel": "book", "symbol": want.native, "row": self.levels(state)}]

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return the whole book after changes."""
        return self.book(session, want, self.view.book(want.symbol, want.depth, after), after)
