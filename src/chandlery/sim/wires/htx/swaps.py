"""
HTX's swaps on the wire, linear and coin-margined.

Sources: https://www.htx.com/en-us/opend/newApiPages/?id=8cb80aca-77b5-11ed-9966-0242ac110003 and
https://www.htx.com/en-us/opend/newApiPages/?id=5d5179ae-77b6-11ed-9966-0242ac110003 with their
neighbours; ccxt for ``/v5/market/funding_rate_history``, where ``next`` is assumed to begin with the oldest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.time import DAY, SECOND, Micros, Unit
from chandlery.sim import dated
from chandlery.sim.book import BookState, Levels
from chandlery.sim.kit import Refused
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import MarketView, SimCandle
from chandlery.sim.wire import Session, SimRequest, Want
from chandlery.sim.wires.htx.spot import HtxWire, number

_TWO_YEARS = 730 * DAY


class _SwapWire(HtxWire):
    """Swaps: numbers of trades count both sides."""

    symbol_key = "contract_code"
    clock_path = "/api/v1/timestamp"
    info_path: ClassVar[str]

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self._paths[self.info_path] = self._infos

    def _infos(self, query: Mapping[str, str]) -> Any:
        found = ((self._code(symbol), symbol) for symbol in self.view.symbols())
        rows = [self._info(code, symbol) for code, symbol in found if self.symbol(code) == symbol]
        kind = query.get("business_type", "swap")
        return {"data": [each for each in rows if kind in {"all", each.get("business_type", kind)}]}

    def _code(self, symbol: str) -> str:
        raise NotImplementedError

    def _size_of(self, symbol: str) -> Any:
        raise NotImplementedError

    def _info(self, code: str, symbol: str) -> dict[str, Any]:
        return {
            "symbol": code.partition("-")[0], "contract_code": code, "contract_size": self._size_of(symbol),
            "price_tick": 0.1, "delivery_date": "", "delivery_time": "", "create_date": "20201021",
            "contract_status": 1, "settlement_date": "1640764800000",
        }  # fmt: skip

    def _klines(self, query: Mapping[str, str]) -> Any:
        return self._candles(*self._native(query), query)

    def _candles(self, native: str, symbol: str, query: Mapping[str, str]) -> Any:
        """Return the latest ``size`` candles, or those from ``from`` to ``to``; of the last two years, oldest first."""
        interval = self._period(query)
        start, end = (self._whole(query, name) for name in ("from", "to"))
        limit, span = self._size(query), Span(self.now - _TWO_YEARS, self.now + 1)
        if "size" not in query:
            if start is None or end is None:
                raise Refused("invalid size")
            span = span.clip(Span(start * SECOND, max(start, end) * SECOND + 1))
            limit = 2000
            if self.view.grids[interval].count(span.start, span.end) > limit:
                raise Refused("invalid size,valid range: [1, 2000]")
        candles = self.view.candles(symbol, interval, span, limit, newest=True)
        return {"ch": f"market.{native}.kline.{query['period']}", "data": self._rows(symbol, candles)}

    def book(self, session: Session, want: Want, state: BookState, tick: int) -> Sequence[Any]:
        """Return a snapshot as the first message."""
        return [self._book_event(want, "snapshot", state.bids, state.asks, tick)]

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return the changes; ``version`` increases by one each time."""
        return [self._book_event(want, "update", bids, asks, after)]

    def _book_event(self, want: Want, event: str, bids: Levels, asks: Levels, version: int) -> Any:
        tick = {
            **self._levels(want.symbol, bids, asks), "ch": want.key, "event": event,
            "id": 10**11 + version, "mrid": 10**11 + version, "ts": self._now_ms, "version": version,
        }  # fmt: skip
        return {"ch": want.key, "tick": tick, "ts": self._now_ms}


class HtxPerpetualWire(_SwapWire):
    """Linear, settled in USDT."""

    id = "htx_perpetual"
    market_type = MarketType.FUTURES_USDT
    kline_path = "/linear-swap-ex/market/history/kline"
    info_path = "/linear-swap-api/v1/swap_contract_info"
    live_path = book_path = "/linear-swap-ws"
    funding_path = "/v5/market/funding_rate_history"

    def answer(self, request: SimRequest) -> Reply:
        """Answer a request; funding rates are of version 5, with another form of answers and errors."""
        if request.path != self.funding_path:
            return super().answer(request)
        try:
            return json_reply({"code": 200, "message": "Success", **self._funding(request.query)})
        except Refused as refused:
            return json_reply({"code": 1067, "message": str(refused), "ts": self._now_ms})

    def _funding(self, query: Mapping[str, str]) -> Any:
        native, symbol = self._native(query)
        start, end, limit = (self._whole(query, name) for name in ("start_time", "end_time", "limit"))
        limit = 10 if limit is None else limit
        if not 1 <= limit <= 100:
            raise Refused("The limit field is invalid.")
        limit = self.view.funding_limit(limit)
        span = Span(self._moment(start, 0), self._moment(end, self.now) + 1)
        rates = self.view.funding(symbol, span)
        page = rates[:limit] if query.get("direct", "next") == "next" else rates[::-1][:limit]
        return {
            "data": [
                {
                    "id": str(Unit.MILLIS.of(at)),
                    "contract_code": native,
                    "funding_rate": rate,
                    "funding_time": str(Unit.MILLIS.of(at)),
                }
                for at, rate in page
            ],
            "ts": self._now_ms,
        }

    def _moment(self, millis: int | None, default: Micros) -> Micros:
        return default if millis is None else Unit.MILLIS.micros(millis)

    def symbol(self, native: str) -> str | None:
        """Return the symbol for ``BTC-USDT``."""
        base, dash, quote = native.partition("-")
        if dash and quote == "USDT" and self.view.knows(f"{base}{quote}"):
            return f"{base}{quote}"
        return dated.find(self.view, native, self._code)

    def _code(self, symbol: str) -> str:
        pair, day = dated.split(symbol)
        return f"{pair.removesuffix('USDT')}-USDT" + (f"-{dated.digits(day)}" if day else "")

    def _size_of(self, symbol: str) -> Any:
        return number(self.view.lot(symbol))

    def _info(self, code: str, symbol: str) -> dict[str, Any]:
        day = dated.split(symbol)[1]
        pair = "-".join(code.split("-")[:2])
        if day is None:
            swap = {"support_margin_mode": "all", "business_type": "swap", "pair": pair, "contract_type": "swap"}
            return super()._info(code, symbol) | swap
        moment = str(dated.delivery_ms(day))
        ends = {"delivery_date": f"{day:%Y%m%d}", "delivery_time": moment, "settlement_date": moment}
        kind = {"support_margin_mode": "cross", "business_type": "futures", "pair": pair, "contract_type": "quarter"}
        return super()._info(code, symbol) | kind | ends

    def _volumes(self, symbol: str, candle: SimCandle) -> Mapping[str, Any]:
        return {
            "vol": 2 * self.view.contracts(symbol, candle.volume),
            "amount": number(2 * Decimal(candle.volume)),
            "trade_turnover": number(2 * Decimal(candle.quote)),
        }

    def _amount(self, symbol: str, size: str) -> Any:
        return self.view.contracts(symbol, size)


class HtxInverseWire(_SwapWire):
    """
    Settled in the coin, with a contract value in dollars.

    Contracts that expire have paths of their own; their sockets are not served.
    """

    id = "htx_inverse"
    market_type = MarketType.FUTURES_COIN
    kline_path = "/swap-ex/market/history/kline"
    info_path = "/swap-api/v1/swap_contract_info"
    live_path = book_path = "/swap-ws"
    expiring_path = "/api/v1/contract_contract_info"
    funding_path = "/swap-api/v1/swap_historical_funding_rate"

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        super().__init__(view, ticks=ticks, weight_limit=weight_limit)
        self._paths[self.expiring_path] = self._expiring
        self._paths["/market/history/kline"] = self._expiring_klines

    def answer(self, request: SimRequest) -> Reply:
        """Answer a request; reference data has its own form of errors."""
        if request.path != self.funding_path:
            return super().answer(request)
        try:
            return json_reply({"status": "ok", "data": self._funding(request.query), "ts": self._now_ms})
        except Refused as refused:
            return json_reply({"status": "error", "err_code": 1067, "err_msg": str(refused), "ts": self._now_ms})

    def _funding(self, query: Mapping[str, str]) -> Any:
        """Return pages numbered from the latest rate."""
        native, symbol = self._native(query)
        page, size = self._whole(query, "page_index") or 1, self._whole(query, "page_size") or 20
        if size > 50:
            raise Refused("The page_size field is invalid.")
        size = self.view.funding_limit(size)
        rates = self.view.funding(symbol, Span(0, self.now + 1))[::-1]
        coin = native.partition("-")[0]
        return {
            "total_page": -(-len(rates) // size),
            "current_page": page,
            "total_size": len(rates),
            "data": [
                {
                    "avg_premium_index": "0", "funding_rate": rate, "realized_rate": None,
                    "funding_time": str(Unit.MILLIS.of(at)), "contract_code": native, "symbol": coin, "fee_asset": coin,
                }
                for at, rate in rates[(page - 1) * size : page * size]
            ],
        }  # fmt: skip

    def _expiring(self, _: Mapping[str, str]) -> Any:
        """Return the contracts that expire; if the market has none, one that has been delivered: ccxt refuses an empty list."""
        found = [(each, day) for each in self.view.symbols() if (day := dated.split(each)[1])]
        gone = self._expiring_info("BTCUSD_200925", date(2020, 9, 25)) | {"contract_status": 8}
        return {"data": [self._expiring_info(*each) for each in found] or [gone]}

    def _expiring_info(self, symbol: str, day: date) -> dict[str, Any]:
        pair, _ = dated.split(symbol)
        ends = {"delivery_date": f"{day:%Y%m%d}", "delivery_time": str(dated.delivery_ms(day))}
        named = {"symbol": pair.removesuffix("USD"), "contract_type": "quarter"}
        return self._info(self._code(symbol), symbol) | named | ends

    def _expiring_klines(self, query: Mapping[str, str]) -> Any:
        native = query.get("symbol", "")
        symbol = dated.find(self.view, native, self._code)
        if symbol is None:
            raise Refused("invalid symbol")
        return self._candles(native, symbol, query)

    def symbol(self, native: str) -> str | None:
        """Return the symbol for ``BTC-USD``."""
        base, dash, quote = native.partition("-")
        symbol = f"{base}{quote}_PERP"
        return symbol if dash and quote == "USD" and self.view.knows(symbol) else None

    def _code(self, symbol: str) -> str:
        pair, day = dated.split(symbol)
        base = pair.removesuffix("USD")
        return f"{base}-USD" if day is None else f"{base}{dated.digits(day)}"

    def _size_of(self, symbol: str) -> Any:
        return self.view.contract_value(symbol)

    def _volumes(self, symbol: str, candle: SimCandle) -> Mapping[str, Any]:
        return {"vol": 2 * int(Decimal(candle.volume)), "amount": number(2 * Decimal(candle.quote))}
