"""Search in lists of instruments."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from chandlery.adapter.names import Names
from chandlery.clients.interfaces import IExchangeAPIClient
from chandlery.clients.markets import MARKETS
from chandlery.core.errors import ExchangeError, InvalidInput, InvalidSymbol, UnsupportedRequest
from chandlery.core.instrument import Instrument, Listing, ListingStatus, MarketType
from chandlery.core.time import HOUR, MINUTE, Micros, iso
from chandlery.net.exchange_client import SUGGESTED_WITHIN_S

MARKET_NAMES = {MarketType.SPOT: "spot", MarketType.FUTURES_USDT: "linear", MarketType.FUTURES_COIN: "inverse"}
"""The name of each market in answers."""
_PERPETUAL = {"perp", "perpetual", "perpetuals", "swap", "swaps"}
_EXPIRES = {"future", "dated", "delivery"}


def select(
    listings: Iterable[Listing],
    *,
    market: MarketType | None = None,
    status: ListingStatus | None = None,
    search: str = "",
) -> list[Listing]:
    """
    Return the listings of a market and a status that match all words of ``search``, the most likely first.

    A word is the beginning of an asset, part of a symbol in either spelling, a market (``linear``), or ``perp`` or
    ``future`` for contracts that do not, or do, expire. Assets that equal a word come first, then active
    instruments, then those of short names; otherwise the order is alphabetical.
    """
    words = search.lower().split()
    found = [
        each
        for each in listings
        if market in {None, each.instrument.market}
        and status in {None, each.status}
        and all(_matches(each, word) for word in words)
    ]
    return sorted(found, key=lambda each: _rank(each, words))


def listing_status(status: ListingStatus | str) -> ListingStatus:
    """
    Return the status of a name, in any case.

    Raises:
        InvalidInput: It is none.
    """
    if isinstance(status, ListingStatus):
        return status
    try:
        return ListingStatus(status.strip().lower())
    except ValueError:
        known = ", ".join(each.value for each in ListingStatus)
        raise InvalidInput(f"status {status!r} is unknown; use one of {known}") from None


async def nearest_listed(client: IExchangeAPIClient, coin: str, *, within_s: float = SUGGESTED_WITHIN_S) -> str | None:
    """
    Return the instrument of a client's list that a text with one typing mistake means.

    ``None`` if there is none, or if the list was not read ``within_s`` seconds.
    """
    try:
        async with asyncio.timeout(within_s):
            found = await client.instruments(_market_of(coin))
    except (UnsupportedRequest, ExchangeError, TimeoutError):
        return None
    names = Names()
    await asyncio.to_thread(names.learn, [listing for _, listing in found])
    return names.nearest(coin)


def _market_of(coin: str) -> MarketType | None:
    try:
        return Instrument.parse(coin).market
    except InvalidSymbol:
        return None


def row_of(listing: Listing, exchange: str, volume_unit: str | None) -> dict[str, Any]:
    """Return a listing as JSON values; ``exchange`` is the id of the market, as in ``binance_spot``."""
    instrument = listing.instrument
    return {
        "exchange": exchange,
        "market": MARKET_NAMES[instrument.market],
        "symbol": str(instrument),
        "exchange_symbol": listing.symbol,
        "base": instrument.base,
        "quote": instrument.quote,
        "settle": instrument.settle,
        "kind": listing.kind,
        "expiry": None if instrument.expiry is None else instrument.expiry.isoformat(),
        "status": listing.status.value,
        "tick_size": listing.tick_size,
        "lot_size": listing.lot_size,
        "contract_size": listing.contract_size,
        "volume_unit": volume_unit,
        "listed_at": _date(listing.listed_at),
        "delisted_at": _date(listing.delisted_at),
        "funding_interval": _length(listing.funding_interval),
    }


def _date(moment: Micros | None) -> str | None:
    return None if moment is None else iso(moment)


def _length(interval: Micros | None) -> str | None:
    """Return an interval as in funding rates, ``8h``; in minutes if it is not whole hours."""
    if interval is None:
        return None
    return f"{interval // HOUR}h" if interval % HOUR == 0 else f"{interval // MINUTE}m"


def _matches(listing: Listing, word: str) -> bool:
    instrument = listing.instrument
    assets = (instrument.base, instrument.quote, instrument.settle or "")
    return (
        any(asset.lower().startswith(word) for asset in assets)
        or word in listing.symbol.lower()
        or word in str(instrument).lower()
        or (word in _PERPETUAL and listing.kind == "perpetual")
        or (word in _EXPIRES and listing.kind == "future")
        or (word not in _PERPETUAL and MARKETS.get(word) is instrument.market)
    )


def _rank(listing: Listing, words: list[str]) -> tuple[Any, ...]:
    instrument = listing.instrument
    bases = [word == instrument.base.lower() for word in words]
    others = [word in {instrument.quote.lower(), (instrument.settle or "").lower()} for word in words]
    inactive = listing.status is not ListingStatus.LISTED
    return (not any(bases), -sum(others), inactive, len(instrument.base), str(instrument), listing.symbol)
