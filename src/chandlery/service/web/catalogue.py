"""What each exchange can do, over HTTP."""

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
    """One row of the capability matrix; what each field means, docs/exchanges.md says."""

    id: str = Field(examples=["binance_spot"])
    aliases: list[str]
    provider: str
    market: str = Field(examples=["spot"])
    intervals: list[str] = Field(examples=[["1m", "1h"]], description="Candles that can be had by REST.")
    page_size: int
    retention_days: float | None
    retained_candles: int | None
    archive: bool
    volume_unit: str = Field(examples=["base"])
    sends_empty_candles: bool
    live_intervals: list[str]
    live_closes: bool
    rest_closes: bool
    funding: bool
    book_depths: list[int]
    book_check: str | None
    unverified: list[str]


class Exchanges(BaseModel):
    """The capability matrix."""

    exchanges: list[Exchange]


def _plain(row: Any) -> Exchange:
    return Exchange(**row.to_dict())


@routes.get("/exchanges")
async def exchanges(subject: Reader) -> Exchanges:
    """What each exchange can do: the capability matrix."""
    return Exchanges(exchanges=[_plain(each) for each in all_capabilities()])


@routes.get("/exchanges/{exchange_id}", responses=refusals(404, 422))
async def exchange(subject: Reader, exchange_id: str) -> Exchange:
    """What one exchange can do."""
    return _plain(capabilities(exchange_id))
