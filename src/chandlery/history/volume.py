"""Volumes of past candles in the requested unit."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from chandlery.adapter.volume import turnover_unit
from chandlery.core.errors import UnsupportedRequest
from chandlery.core.query import ChartType
from chandlery.core.volume import require_volume_unit
from chandlery.history.interfaces import DataClientInterface
from chandlery.history.native import NativeClient
from chandlery.tables.part import Part
from chandlery.tables.volume import converted


async def volumes_in(unit: str, client: DataClientInterface) -> Callable[[Part], Part]:
    """
    Return the conversion of the client's candles to ``unit``, which also names the units of the result.

    The contract size, if needed, is that of the list.

    Raises:
        InvalidInput: The unit is unknown.
        UnsupportedRequest: The client has no candles, or does not declare the units of its volumes.
        ExchangeError: The list of instruments could not be fetched.
    """
    native = client if isinstance(client, NativeClient) and client.chart_type is ChartType.KLINES else None
    if require_volume_unit(unit) == "exchange":
        if native is None:
            return lambda part: part
        kind = type(native.adapter)
        return lambda part: structs.replace(part, volume_unit=kind.volume_unit, turnover_unit=turnover_unit(kind))
    if native is None:
        raise UnsupportedRequest(f"{client.symbol}: volume_unit={unit!r} needs candles of an exchange of chandlery")
    facts = await native.shared.exchange(type(native.adapter)).volume_facts(native.symbol)
    return lambda part: structs.replace(
        part, table=converted(part.table, facts, unit), volume_unit=unit, turnover_unit="quote"
    )
