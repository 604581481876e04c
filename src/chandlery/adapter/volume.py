"""The units of an exchange's volumes."""

from __future__ import annotations

from chandlery.adapter.base import ExchangeAdapter
from chandlery.core.instrument import MarketType
from chandlery.core.volume import VolumeFacts


def turnover_unit(adapter: type[ExchangeAdapter]) -> str | None:
    """Return the unit of ``quote_asset_volume``: ``quote``, or ``base`` if inverse; ``None`` if it is not sent."""
    if adapter.rest_row.quote_asset_volume is None:
        return None
    return "base" if adapter.market_type is MarketType.FUTURES_COIN else "quote"


def volume_facts(adapter: type[ExchangeAdapter], symbol: str, listed_size: float | None) -> VolumeFacts:
    """Return the units of the volumes of a symbol, whose listing states that contract size."""
    fixed = adapter.fixed_contract_size
    return VolumeFacts(
        name=f"{adapter.id} {symbol}",
        unit=adapter.volume_unit,
        turnover=turnover_unit(adapter),
        inverse=adapter.market_type is MarketType.FUTURES_COIN,
        contract_size=listed_size if fixed is None else fixed,
        fixed=fixed is not None,
    )
