"""Volumes of candles in the requested unit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import TypeAlias

import pyarrow as pa
from msgspec import structs

from chandlery.clients.interfaces import ResolvedSeries
from chandlery.core.errors import UnsupportedRequest
from chandlery.core.volume import require_volume_unit
from chandlery.service.historical.interfaces import Piece
from chandlery.tables.volume import converted

Conversion: TypeAlias = Callable[[pa.Table], pa.Table]


async def volumes_in(unit: str, series: ResolvedSeries) -> Conversion | None:
    """
    Return the conversion of the candles of a series to ``unit``; ``None`` if they stay as the exchange sends them.

    Raises:
        InvalidInput: The unit is unknown.
        UnsupportedRequest: The client does not declare the units of its volumes.
        ExchangeError: The list of instruments, which has the contract size, could not be fetched.
    """
    if require_volume_unit(unit) == "exchange":
        return None
    facts = await series.client.volume_facts(series.id.symbol)
    if facts is None:
        raise UnsupportedRequest(f"the unit of volumes of {series.id.symbol} at {series.id.exchange} is not known")
    return partial(converted, facts=facts, unit=unit)


async def in_unit(pieces: AsyncGenerator[Piece, None], convert: Conversion) -> AsyncGenerator[Piece, None]:
    """Yield the pieces with their volumes converted, in a thread."""
    async with aclosing(pieces):
        async for piece in pieces:
            yield structs.replace(piece, table=await asyncio.to_thread(convert, piece.table))
