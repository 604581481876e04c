"""Limits and symbols of the offline exchange."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chandlery.core.interval import Interval
from chandlery.core.time import Micros, Unit
from chandlery.sim import dated
from chandlery.sim.market import Market
from chandlery.sim.venues import Venue, base_of

_NEVER_MS = 4_133_404_800_000
"""2100-12-25, the expiry of a contract without one."""
_SHARES = frozenset({"TSLA", "NVDA", "AAPL"})


def exchange_info(
    venue: Venue, market: Market, listed: Sequence[str], now: Micros, weight_limit: int
) -> dict[str, Any]:
    """Return the content of ``/exchangeInfo``, as far as clients read it to learn the symbols."""
    limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight_limit}
    symbols = [_symbol(venue, market, symbol) for symbol in listed]
    return {
        "timezone": "UTC",
        "serverTime": Unit.MILLIS.of(now),
        "rateLimits": [limit],
        "exchangeFilters": [],
        "symbols": symbols,
    }


def _symbol(venue: Venue, market: Market, symbol: str) -> dict[str, Any]:
    pair, base = symbol.split("_", maxsplit=1)[0], base_of(symbol)
    quote = pair.removeprefix(base)
    entry: dict[str, Any] = {
        "symbol": symbol,
        "baseAsset": base,
        "quoteAsset": quote,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "status": "TRADING",
        "orderTypes": ["LIMIT", "MARKET"],
        "filters": _filters(venue),
    }
    if venue.is_spot:
        return entry | {"isSpotTradingAllowed": True, "isMarginTradingAllowed": False, "permissions": ["SPOT"]}
    listed = market.first(venue.market_type, symbol, Interval.MINUTE_1) or 0
    day = dated.split(symbol)[1]
    entry |= {
        "pair": pair,
        "contractType": "CURRENT_QUARTER" if day else "TRADIFI_PERPETUAL" if base in _SHARES else "PERPETUAL",
        "marginAsset": base if venue.is_inverse else quote,
        "pricePrecision": 4,
        "quantityPrecision": 0 if venue.is_inverse else 3,
        "onboardDate": Unit.MILLIS.of(listed),
        "deliveryDate": dated.delivery_ms(day) if day else _NEVER_MS,
        "underlyingType": "COIN",
        "timeInForce": ["GTC", "IOC", "FOK"],
    }
    if venue.is_inverse:
        return entry | {"contractStatus": "TRADING", "contractSize": 100 if base == "BTC" else 10}
    return entry


def _filters(venue: Venue) -> list[dict[str, str]]:
    step = "1" if venue.is_inverse else "0.00001000" if venue.is_spot else "0.001"
    return [
        {"filterType": "PRICE_FILTER", "minPrice": "0.0001", "maxPrice": "1000000", "tickSize": "0.0001"},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000000", "stepSize": step},
        {"filterType": "MIN_NOTIONAL", "minNotional": "5", "notional": "5"},
    ]
