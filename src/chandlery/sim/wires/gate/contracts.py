"""
Gate.io's contracts on the wire, settled in USDT and in BTC, and those that expire.

Sources: https://www.gate.com/docs/developers/apiv4/en/ and https://www.gate.com/docs/developers/futures/ws/en/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import SECOND, Unit
from chandlery.sim import dated
from chandlery.sim.book import Levels
from chandlery.sim.pairs import pair_of
from chandlery.sim.view import MarketView, SimCandle
from chandlery.sim.wire import SimRequest, Want
from chandlery.sim.wires.gate.spot import STREAMED, GateSpotWire, Refused

_DELIVERY = "/delivery/usdt"
"""Path of the contracts that expire."""


class _GateContractsWire(GateSpotWire):
    """Contracts: rows are objects; sizes count contracts, as strings for clients that send ``X-Gate-Size-Decimal: 1``."""

    channel, key = "futures", "contract"
    unknown, listing = "CONTRACT_NOT_FOUND", "contracts"
    names: ClassVar[Mapping[str, Interval]] = {**STREAMED, "1w": Interval.WEEK_1, "30d": Interval.MONTH_1}
    most_candles, most_levels = 2000, 300
    kind: ClassVar[str] = "direct"

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self._paths[f"{self.prefix}/funding_rate"] = self._funding

    def size(self, symbol: str, volume: str) -> int:
        """Convert a volume to contracts."""
        return self.view.contracts(symbol, volume)

    def multiplier(self, native: str) -> str:
        """Return the value of a contract in the base asset."""
        return str(self.view.lot(native.replace("_", "")))

    def listed(self, native: str) -> dict[str, Any]:
        """Return one contract."""
        return {
            "name": native, "type": self.kind, "quanto_multiplier": self.multiplier(native),
            "mark_type": "index", "mark_price": "100", "index_price": "100", "last_price": "100",
            "order_price_round": "0.0001", "mark_price_round": "0.0001", "order_price_deviate": "0.5",
            "order_size_min": 1, "order_size_max": 1_000_000, "enable_decimal": False, "leverage_min": "1",
            "leverage_max": "100", "funding_interval": 28_800, "in_delisting": False, "status": "trading",
            "create_time": 1_546_300_800,
        }  # fmt: skip

    def row(self, symbol: str, each: SimCandle, *, decimal: bool) -> Any:
        """Return a candle as an object."""
        size = self.size(symbol, each.volume)
        return {
            "t": each.open_time // SECOND, "v": str(size) if decimal else size, "c": each.close, "h": each.high,
            "l": each.low, "o": each.open, "sum": each.quote,
        }  # fmt: skip

    def live(self, want: Want, each: SimCandle) -> Any:
        """Return a list of one candle."""
        size = str(self.size(want.symbol, each.volume))
        candle = {"t": each.open_time // SECOND, "v": size, "c": each.close, "h": each.high, "l": each.low}
        return [candle | {"o": each.open, "n": want.key, "a": each.volume}]

    def moment(self) -> float:
        """Return seconds with a fraction."""
        return Unit.MILLIS.of(self.now) / 1000

    def levels(self, levels: Levels) -> Sequence[Any]:
        """Return levels as objects."""
        return [{"p": price, "s": size} for price, size in levels]

    def sized(self, symbol: str, levels: Levels) -> Levels:
        """Return levels with sizes in contracts."""
        return [(price, str(self.size(symbol, size))) for price, size in levels]

    def _funding(self, request: SimRequest) -> list[Any]:
        """Return the latest rates first; a page too short for its span holds the latest part."""
        symbol, limit = self._wanted(request.query), self.view.funding_limit(self._limit(request.query, 100, 1000))
        start, end = self._bounds(request.query)
        rates = self.view.funding(symbol, Span(start or 0, end + SECOND))
        return [{"t": moment // SECOND, "r": rate} for moment, rate in rates[-limit:][::-1]]


class GatePerpetualWire(_GateContractsWire):
    """Settled in USDT. Contracts that expire have paths of their own; their sockets are not served."""

    id = "gate_perpetual"
    market_type = MarketType.FUTURES_USDT
    prefix = "/futures/usdt"

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self._paths[f"{_DELIVERY}/contracts"] = lambda _: [*map(self._delivered, filter(_expires, view.symbols()))]
        self._paths[f"{_DELIVERY}/candlesticks"] = self._delivery_candles

    def symbol(self, native: str) -> str | None:
        """Return the symbol if it is a perpetual quoted in USDT."""
        return super().symbol(native) if native.endswith("_USDT") else None

    def _delivery_candles(self, request: SimRequest) -> list[Any]:
        """Return candles of a contract that expires, which lack the turnover."""
        native = request.query.get(self.key, "")
        symbol = dated.find(self.view, native, self._dated_name)
        if symbol is None:
            raise Refused(f"Invalid contract: {native}", self.unknown)
        return [{key: each for key, each in row.items() if key != "sum"} for row in self._page(request, symbol)]

    def _dated_name(self, symbol: str) -> str:
        pair, day = dated.split(symbol)
        return "_".join(pair_of(pair)) + ("" if day is None else f"_20{dated.digits(day)}")

    def _delivered(self, symbol: str) -> dict[str, Any]:
        """Return one contract that expires, which has neither a status nor funding."""
        pair, day = dated.split(symbol)
        assert day is not None  # noqa: S101  # only such symbols are listed here
        listed = self.listed("_".join(pair_of(pair)))
        for key in ("status", "funding_interval", "enable_decimal"):
            del listed[key]
        return listed | {
            "name": self._dated_name(symbol), "underlying": listed["name"], "cycle": "QUARTERLY",
            "quanto_multiplier": str(self.view.lot(symbol)), "expire_time": dated.delivery_ms(day) // 1000,
        }  # fmt: skip


def _expires(symbol: str) -> bool:
    pair, day = dated.split(symbol)
    return day is not None and pair.endswith("USDT")


class GateInverseWire(_GateContractsWire):
    """Settled in BTC: only BTC_USD, whose contract is 1 USD."""

    id = "gate_inverse"
    market_type = MarketType.FUTURES_COIN
    prefix = "/futures/btc"
    kind = "inverse"

    def native(self, symbol: str) -> str | None:
        """Return the only symbol."""
        return "BTC_USD" if symbol == "BTCUSD_PERP" else None

    def symbol(self, native: str) -> str | None:
        """Return the only symbol."""
        return "BTCUSD_PERP" if native == "BTC_USD" and self.view.knows("BTCUSD_PERP") else None

    def size(self, symbol: str, volume: str) -> int:
        """Convert a volume to contracts of 1 USD."""
        return self.view.contracts(symbol, volume) * self.view.contract_value(symbol)

    def multiplier(self, native: str) -> str:
        """Return 0, as the exchange does."""
        return "0"
