"""
MEXC's contracts on the wire.

Sources: https://www.mexc.com/api-docs/futures/market-endpoints/get-candlestick-data with its neighbours and
https://www.mexc.com/api-docs/futures/websocket-api/order-book-depth. A page has at most 100 funding rates, as in ccxt;
the documentation says 1000.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.time import Unit
from chandlery.sim.book import Levels, tick_of
from chandlery.sim.kit import Refused
from chandlery.sim.pairs import pair_of
from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.view import SimCandle
from chandlery.sim.wire import Session, SimRequest, Want
from chandlery.sim.wires.mexc.spot import SOCKET_NAMES, MexcWire

_PAGE = 2000
_FUNDING_PAGE = 100


class _Param(Struct):
    symbol: str = ""
    interval: str = "Min1"


class _ContractCommand(Struct):
    method: str
    param: _Param = msgspec.field(default_factory=_Param)


class _ContractWire(MexcWire):
    """Contracts: bounds in seconds, both inclusive; columns instead of rows; refusals have status 200."""

    def answer(self, request: SimRequest) -> Reply:
        """Return everything under ``data``."""
        if request.path == "/api/v3/exchangeInfo":
            return json_reply({"serverTime": Unit.MILLIS.of(self.now), "symbols": []})
        name, _, native = request.path.removeprefix("/api/v1/contract/").partition("/")
        paths: dict[str, Callable[[str, Mapping[str, str]], Any]] = {
            "kline": self._kline,
            "depth": self._depth,
            "funding_rate": self._funding,
            "detail": lambda *_: self._detail(),
            "ping": lambda *_: Unit.MILLIS.of(self.now),
        }
        handler = paths.get(name) if request.path.startswith("/api/v1/contract/") else None
        if handler is None:
            return self.refusal(404)
        try:
            return json_reply({"success": True, "code": 0, "data": handler(native, request.query)})
        except Refused as refused:
            code, message = refused.args
            return json_reply({"success": False, "code": code, "message": message})

    def refusal(self, status: int) -> Reply:
        """Return a code; too many requests have their own."""
        code, message = (
            (510, "Requests are too frequent") if status in {429, 418} else (status, "System internal error!")
        )
        return json_reply({"success": False, "code": code, "message": message}, status)

    def _known(self, native: str) -> str:
        symbol = self.symbol(native)
        if symbol is None:
            raise Refused(1001, "Contract does not exist!")
        return symbol

    def _kline(self, native: str, query: Mapping[str, str]) -> dict[str, Any]:
        symbol, interval = self._known(native), SOCKET_NAMES.get(query.get("interval", "Min1"))
        if interval is None:
            raise Refused(600, "Parameter error")
        start, end = (self.number(query, name) for name in ("start", "end"))
        candles = self.page(
            symbol,
            interval,
            None if start is None else Unit.SECONDS.micros(start),
            None if end is None else Unit.SECONDS.micros(end) + 1,
            _PAGE,
        )
        columns = {name: [_raw(getattr(each, name)) for each in candles] for name in ("open", "close", "high", "low")}
        return {
            "time": [Unit.SECONDS.of(each.open_time) for each in candles],
            **columns,
            "vol": [self.view.contracts(symbol, each.volume) for each in candles],
            "amount": [_raw(each.quote) for each in candles],
        }

    def _depth(self, native: str, query: Mapping[str, str]) -> dict[str, Any]:
        symbol, limit, tick = self._known(native), self.number(query, "limit"), tick_of(self.now)
        state = self.view.book(symbol, limit or 50, tick)
        return {
            "asks": self._levels(symbol, state.asks),
            "bids": self._levels(symbol, state.bids),
            "version": tick,
            "timestamp": Unit.MILLIS.of(self.now),
        }

    def _funding(self, name: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Return pages numbered from the latest rate."""
        if name != "history":
            raise Refused(600, "Parameter error")
        native = query.get("symbol", "")
        symbol = self._known(native)
        number, size = self.number(query, "page_num") or 1, self.number(query, "page_size") or 20
        if size > _FUNDING_PAGE:
            raise Refused(600, "Parameter error: page_size")
        size = self.view.funding_limit(size)
        rates = self.view.funding(symbol, Span(0, self.now + 1))[::-1]
        return {
            "pageSize": size,
            "totalCount": len(rates),
            "totalPage": -(-len(rates) // size),
            "currentPage": number,
            "resultList": [
                {"symbol": native, "fundingRate": _raw(rate), "settleTime": Unit.MILLIS.of(at), "collectCycle": 8}
                for at, rate in rates[(number - 1) * size : number * size]
            ],
        }

    def _levels(self, symbol: str, levels: Levels) -> list[list[Any]]:
        """Return price, contracts and number of orders."""
        sizes = [self.view.contracts(symbol, size) for _, size in levels]
        return [[_raw(price), size, 1 if size else 0] for (price, _), size in zip(levels, sizes, strict=True)]

    def _detail(self) -> list[dict[str, Any]]:
        return [self._contract(native) for native in map(self._native, self.view.symbols()) if self.symbol(native)]

    def _contract(self, native: str) -> dict[str, Any]:
        base, quote = native.split("_")
        symbol = self._known(native)
        inverse = self.market_type is MarketType.FUTURES_COIN
        size = self.view.contract_value(symbol) if inverse else float(self.view.lot(symbol))
        return {
            "symbol": native, "displayNameEn": f"{native} PERPETUAL", "baseCoin": base,
            "quoteCoin": quote, "settleCoin": base if inverse else quote, "contractSize": size, "minLeverage": 1,
            "maxLeverage": 125, "priceScale": 2, "volScale": 0, "amountScale": 4, "priceUnit": 0.01, "volUnit": 1,
            "minVol": 1, "maxVol": 1000000, "takerFeeRate": 0.0006, "makerFeeRate": 0.0002, "state": 0,
            "apiAllowed": False,
        }  # fmt: skip

    def _native(self, symbol: str) -> str:
        return "_".join(pair_of(symbol.removesuffix("_PERP")))

    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Return ``rs.`` with the method, or ``rs.error``."""
        now_ms = Unit.MILLIS.of(self.now)
        try:
            command = msgspec.json.decode(text, type=_ContractCommand)
        except msgspec.MsgspecError:
            return [{"channel": "rs.error", "data": "Bad request", "ts": now_ms}]
        if command.method == "ping":
            return [{"channel": "pong", "data": now_ms}]
        verb, _, kind = command.method.partition(".")
        native, interval = command.param.symbol, SOCKET_NAMES.get(command.param.interval)
        symbol = self.symbol(native) if session.path.startswith("/edge") else None
        if symbol is None:
            return [{"channel": "rs.error", "data": "Contract doesn't exist!", "ts": now_ms}]
        if verb not in {"sub", "unsub"} or kind not in {"kline", "depth"} or interval is None:
            return [{"channel": "rs.error", "data": f"Unknown subscription {command.method}", "ts": now_ms}]
        key = f"depth@{native}" if kind == "depth" else f"kline@{native}@{command.param.interval}"
        if verb == "unsub":
            session.leave(key)
        else:
            session.join(Want(key, symbol, native, None if kind == "depth" else interval))
        return [{"channel": f"rs.{command.method}", "data": "success", "ts": now_ms}]

    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """Return one push per candle; none says whether it is closed."""
        return [
            self._push(
                "push.kline",
                want,
                {
                    "symbol": want.native, "interval": want.key.rpartition("@")[2], "t": Unit.SECONDS.of(each.open_time),
                    "o": _raw(each.open), "c": _raw(each.close), "h": _raw(each.high), "l": _raw(each.low),
                    "a": _raw(each.quote), "q": self.view.contracts(want.symbol, each.volume), "ro": _raw(each.open),
                    "rc": _raw(each.close), "rh": _raw(each.high), "rl": _raw(each.low),
                },
            )
            for each in candles
        ]  # fmt: skip

    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """Return each version once; its changes may be empty."""
        sides = {"asks": self._levels(want.symbol, asks), "bids": self._levels(want.symbol, bids)}
        return [self._push("push.depth", want, {**sides, "version": after})]

    def _push(self, channel: str, want: Want, data: Mapping[str, Any]) -> dict[str, Any]:
        return {"channel": channel, "data": data, "symbol": want.native, "ts": Unit.MILLIS.of(self.now)}


class MexcPerpetualWire(_ContractWire):
    """Linear contracts of one lot."""

    id = "mexc_perpetual"
    market_type = MarketType.FUTURES_USDT

    def symbol(self, native: str) -> str | None:
        """Return the symbol for ``BTC_USDT``; those quoted in USD are inverse."""
        base, _, quote = native.partition("_")
        return f"{base}{quote}" if quote not in {"", "USD"} and self.view.knows(f"{base}{quote}") else None


class MexcInverseWire(_ContractWire):
    """Contracts of 100 or 10 USD."""

    id = "mexc_inverse"
    market_type = MarketType.FUTURES_COIN

    def symbol(self, native: str) -> str | None:
        """Return the symbol for ``BTC_USD``."""
        base, _, quote = native.partition("_")
        return f"{base}USD_PERP" if quote == "USD" and self.view.knows(f"{base}USD_PERP") else None


def _raw(text: str) -> Raw:
    """Return a number with all of its digits."""
    return Raw(text.encode())
