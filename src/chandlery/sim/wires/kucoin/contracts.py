"""
KuCoin's futures on the wire, linear and inverse.

Sources: those of ``kucoin``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import Unit
from chandlery.sim import dated
from chandlery.sim.book import tick_of
from chandlery.sim.reply import Reply
from chandlery.sim.view import MarketView, SimCandle
from chandlery.sim.wire import Session, Want
from chandlery.sim.wires.kucoin.spot import MINUTES, NAMES, KuCoinWire, Query, fine, number, refused, split


class _FuturesWire(KuCoinWire):
    """Futures: values are JSON numbers, and sizes whole contracts."""

    candle_channel = "/contractMarket/limitCandle"
    candle_names: ClassVar[Mapping[str, str]] = NAMES | {"1week": "1w"}
    unknown = ("Contract parameter invalid.", "100003")
    books: ClassVar[Mapping[str, int]] = {"/contractMarket/level2Depth5": 5, "/contractMarket/level2Depth50": 50}
    ending: ClassVar[str]
    """Suffix of the market's symbols."""
    quotes: ClassVar[tuple[str, ...]]
    is_inverse: ClassVar[bool]

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self._paths |= {
            "/api/v1/kline/query": self._candles,
            "/api/v1/level2/snapshot": self._book,
            "/api/v1/contract/funding-rates": self._funding,
            "/api/v1/contracts/active": lambda _: fine(
                [self._listing(each) for each in self.view.symbols() if self.symbol(self._native(each)) == each]
            ),
        }

    def symbol(self, native: str) -> str | None:
        """Return the symbol for ``XBTUSDTM``, where bitcoin is XBT."""
        pair = native.removesuffix("M")
        if pair == native or not pair.endswith(self.quotes) or pair.startswith("BTC"):
            return dated.find(self.view, native, self._native) if self.is_inverse else None
        symbol = ("BTC" + pair[3:] if pair.startswith("XBT") else pair) + self.ending
        return symbol if self.view.knows(symbol) else None

    def contracts(self, symbol: str, volume: str) -> int:
        """Convert a volume to contracts."""
        return int(volume) if self.is_inverse else self.view.contracts(symbol, volume)

    def multiplier(self, symbol: str) -> float:
        """Return the contract value: an amount of the base asset, or a negative amount of dollars."""
        return -float(self.view.contract_value(symbol)) if self.is_inverse else float(self.view.lot(symbol))

    def _native(self, symbol: str) -> str:
        base, quote = split(symbol)
        base, day = "XBT" if base == "BTC" else base, dated.split(symbol)[1]
        return f"{base}M{dated.letter(day)}" if day else f"{base}{quote}M"

    def _listing(self, symbol: str) -> Mapping[str, Any]:
        base, quote = split(symbol)
        base, day = "XBT" if base == "BTC" else base, dated.split(symbol)[1]
        return {
            "symbol": self._native(symbol), "rootSymbol": quote, "type": "FFICSX" if day else "FFWCSX",
            "expireDate": dated.delivery_ms(day) if day else None,
            "baseCurrency": base, "quoteCurrency": quote, "settleCurrency": base if self.is_inverse else quote,
            "lotSize": 1, "tickSize": 0.01, "multiplier": self.multiplier(symbol), "isInverse": self.is_inverse,
            "maxOrderQty": 1_000_000, "maxPrice": 1_000_000.0, "status": "Open", "nextFundingRateTime": 1_000,
        }  # fmt: skip

    def _candles(self, query: Query) -> Reply:
        """Return candles, both bounds inclusive; of more than 500 the first ones, or without a start the last."""
        name, symbol = MINUTES.get(query.get("granularity", "")), self.symbol(query.get("symbol", ""))
        if name is None or symbol is None:
            return refused("There are invalid parameters", "100001")
        start, end = number(query, "from") * 1000, number(query, "to") * 1000 or self.now
        candles = self.view.candles(symbol, Interval(name), Span(start, end + 1), 500, newest=not start)
        return fine([self._row(symbol, each) for each in candles])

    def _row(self, symbol: str, each: SimCandle) -> list[float]:
        prices = [float(text) for text in (each.open, each.high, each.low, each.close)]
        contracts = self.contracts(symbol, each.volume)
        turnover = -contracts * self.multiplier(symbol) if self.is_inverse else float(each.quote)
        return [Unit.MILLIS.of(each.open_time), *prices, contracts, turnover]

    def _sides(self, symbol: str, levels: int, tick: int) -> Mapping[str, Any]:
        """Return the book of a tick, numbered by it."""
        state = self.view.book(symbol, levels, tick)
        bids, asks = (
            [(price, self.contracts(symbol, size)) for price, size in side] for side in (state.bids, state.asks)
        )
        return {"bids": bids, "sequence": tick, "asks": asks}

    def _book(self, query: Query) -> Reply:
        native = query.get("symbol", "")
        sides = self._sides(self.symbol(native) or "", 50, tick_of(self.now))
        return fine({"symbol": native, **sides, "ts": self.now * 1000})

    def _funding(self, query: Query) -> Reply:
        """Return rates, both bounds inclusive; at most 100, the latest first."""
        symbol = self.symbol(query.get("symbol", ""))
        if symbol is None or not {"from", "to"} <= set(query):
            return refused("There are invalid parameters", "100001")
        span = Span(number(query, "from") * 1000, (number(query, "to") + 1) * 1000)
        return fine(
            [
                {"symbol": query["symbol"], "fundingRate": float(rate), "timepoint": Unit.MILLIS.of(moment)}
                for moment, rate in self.view.funding(symbol, span)[-self.view.funding_limit(100) :][::-1]
            ]
        )

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return one message per candle."""
        now = Unit.MILLIS.of(self.now)
        return [
            self._event(want, "candle.stick", {"symbol": want.native, "candles": self._live(want, each), "time": now})
            for each in candles
        ]

    def _live(self, want: Want, each: SimCandle) -> list[str]:
        """Return a live candle; as documented, the volume field holds another value, and the last field the contracts."""
        opened, contracts = Unit.SECONDS.of(each.open_time), self.contracts(want.symbol, each.volume)
        return [str(opened), each.open, each.close, each.high, each.low, f"{each.count}.0", str(contracts)]

    def depth(self, want: Want, tick: int) -> Any:
        """Return a book; prices are text, sizes numbers."""
        now = Unit.MILLIS.of(self.now)
        data = {**self._sides(want.symbol, want.depth, tick), "timestamp": now, "ts": now}
        return self._event(want, "level2", data) | {"sn": now}


class KuCoinPerpetualWire(_FuturesWire):
    """Linear: a contract is a lot of the base asset."""

    id = "kucoin_perpetual"
    market_type = MarketType.FUTURES_USDT
    is_inverse = False
    ending = ""
    quotes = ("USDT", "USDC")


class KuCoinInverseWire(_FuturesWire):
    """Inverse: a contract has a value in dollars."""

    id = "kucoin_inverse"
    market_type = MarketType.FUTURES_COIN
    is_inverse = True
    ending = "_PERP"
    quotes = ("USD",)
