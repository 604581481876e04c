"""The nearest symbol in the errors of unknown ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import InvalidSymbol, UnknownName
from chandlery.core.query import CandleQuery
from chandlery.history.interfaces import Resources


@asynccontextmanager
async def suggestions(resources: Resources, query: CandleQuery) -> AsyncIterator[None]:
    """Add the nearest symbol of the market to an ``InvalidSymbol`` of the block."""
    try:
        yield
    except InvalidSymbol as error:
        try:
            adapter = ExchangeRegistry.of_market(query.provider, query.market_type)
        except UnknownName:
            raise error from None  # the market of a third party's client
        await resources.exchange(adapter).suggest(error, query.symbol)
        raise
