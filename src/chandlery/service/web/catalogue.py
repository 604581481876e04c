"""HTTP endpoints of the capability matrix."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from chandlery.adapter.capabilities import all_capabilities, capabilities
from chandlery.service.auth.guard import Reader
from chandlery.service.errors import refusals
from chandlery.service.known import known_parameters

routes = APIRouter(
    prefix="/v1",
    tags=["exchanges"],
    dependencies=[Depends(known_parameters)],
    responses=refusals(401, 403, 422),
)


class Exchange(BaseModel):
    """One row of the capability matrix; docs/exchanges.md defines each field."""

    id: str = Field(examples=["binance_spot"])
    aliases: list[str]
    provider: str
    market: str = Field(examples=["spot"])
    intervals: list[str] = Field(examples=[["1m", "1h"]], description="Candles available by REST.")
    page_size: int
    retention_days: float | None
    retained_candles: int | None
    archive: bool
    volume_unit: str = Field(examples=["base"])
    turnover_unit: str | None = Field(
        description="Unit of quote_asset_volume: quote, or base in inverse markets; null if it is not sent."
    )
    sends_empty_candles: bool
    live_intervals: list[str]
    live_closes: bool
    rest_closes: bool
    funding: bool
    book_depths: list[int]
    book_check: str | None
    unverified: list[str]


class Exchanges(BaseModel):
    """Capability matrix."""

    exchanges: list[Exchange]


def _plain(row: Any) -> Exchange:
    return Exchange(**row.to_dict())


@routes.get("/exchanges")
async def exchanges(subject: Reader) -> Exchanges:
    """List the capabilities of each exchange."""
    return Exchanges(exchanges=[_plain(each) for each in all_capabilities()])


@routes.get("/exchanges/{exchange_id}", responses=refusals(404, 422))
async def exchange(subject: Reader, exchange_id: str) -> Exchange:
    """Return the capabilities of one exchange."""
    return _plain(capabilities(exchange_id))
