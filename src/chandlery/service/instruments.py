"""Search in the instruments that exchanges list."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from msgspec import Struct
from pydantic import BaseModel, Field

from chandlery.clients.instruments import row_of, select
from chandlery.clients.interfaces import IDataSourceConnector
from chandlery.clients.markets import market_type
from chandlery.clients.names import canonical
from chandlery.core.errors import InvalidInput
from chandlery.core.instrument import ListingStatus
from chandlery.service.auth.guard import Reader
from chandlery.service.errors import refusals
from chandlery.service.known import known_parameters
from chandlery.service.label import Label

MOST = 10_000
"""Most instruments of one answer; no exchange lists as many."""

routes = APIRouter(
    prefix="/v1", tags=["exchanges"], dependencies=[Depends(known_parameters)], responses=refusals(401, 403, 422, 503)
)


class InstrumentRow(BaseModel):
    """An instrument as an exchange lists it."""

    exchange: str = Field(examples=["binance_spot"], description="Id of the market, or the name of a ccxt exchange.")
    market: str = Field(examples=["spot"], description="spot, linear or inverse.")
    symbol: str = Field(examples=["BTC/USDT"])
    exchange_symbol: str = Field(examples=["BTCUSDT"], description="The exchange's own spelling.")
    base: str
    quote: str
    settle: str | None
    kind: str = Field(examples=["spot"], description="spot, perpetual, or future for a contract that expires.")
    expiry: str | None = Field(examples=["2026-03-27"])
    status: str = Field(examples=["listed"], description="listed, upcoming, halted or delisted.")
    tick_size: float | None = Field(description="Step of the price.")
    lot_size: float | None = Field(description="Step of the size, in the exchange's unit.")
    contract_size: float | None = Field(
        description="Of a linear contract in the base asset, of an inverse one in quote."
    )
    volume_unit: str | None = Field(description="Unit of the volume of candles: base, quote or contracts.")
    listed_at: str | None = Field(description="Start of trading; null if the exchange does not state it.")
    delisted_at: str | None = Field(description="End of trading, also of an expiry ahead; null likewise.")


class Instruments(BaseModel):
    """Instruments that match a search, the most likely first."""

    instruments: list[InstrumentRow]
    total: int = Field(description="Number of matching instruments, which may exceed those of the answer.")
    origin: Label = None


class Found(Struct, frozen=True):
    """The first rows of a search, and the number of all."""

    instruments: list[dict[str, Any]]
    total: int
    origin: str | None
    """The server that answered in place of the exchange."""


class InstrumentSearch:
    """Search in the lists of exchanges, which clients cache for ten minutes."""

    def __init__(self, connector: IDataSourceConnector) -> None:
        self._connector = connector

    async def find(self, exchange: str, market: str | None, status: str | None, search: str, limit: int) -> Found:
        """
        Return the instruments of an exchange that match.

        Raises:
            InvalidInput: The exchange, the market or the status is unknown.
            UnsupportedRequest: The exchange publishes no list.
            ExchangeError: The exchange, or the connection to it, failed.
        """
        chosen = None if market is None else market_type(market)
        wanted = None if status is None else _status(status)
        client = self._connector.get_client(canonical(exchange))
        found = await client.instruments(chosen)
        replaced = client.origin(str(found[0][1].instrument)) if found else None
        origin = None if replaced is None else str(replaced)

        def matching() -> Found:
            names = {id(listing): name for name, listing in found}
            first = dict(reversed(found))
            units = {name: client.volume_unit(str(each.instrument)) for name, each in first.items()}
            listings = select((each for _, each in found), market=chosen, status=wanted, search=search)
            rows = [row_of(each, names[id(each)], units[names[id(each)]]) for each in listings[:limit]]
            return Found(rows, len(listings), origin)

        # An exchange lists thousands, whose search takes milliseconds.
        return await asyncio.to_thread(matching)


@routes.get("/instruments", response_model=Instruments, responses=refusals(404, 502, 504))
async def list_instruments(
    request: Request,
    subject: Reader,
    exchange: Annotated[str, Query(examples=["binance"], max_length=64)],
    market: Annotated[
        str | None, Query(max_length=20, description="spot, linear, inverse, or another name of one.")
    ] = None,
    status: Annotated[str | None, Query(max_length=20, description="listed, upcoming, halted or delisted.")] = None,
    search: Annotated[str, Query(max_length=64, examples=["btc perp"], description="Words that must all match.")] = "",
    limit: Annotated[int, Query(ge=1, le=MOST)] = 1_000,
) -> Response:
    """List the instruments of an exchange, or search in them; the list is at most ten minutes old."""
    find: InstrumentSearch = request.app.state.instruments
    found = await find.find(exchange, market, status, search, limit)
    body = await asyncio.to_thread(msgspec.json.encode, found)
    return Response(body, media_type="application/json")


def _status(text: str) -> ListingStatus:
    try:
        return ListingStatus(text.lower())
    except ValueError:
        known = ", ".join(each.value for each in ListingStatus)
        raise InvalidInput(f"status {text!r} is unknown; use one of {known}") from None
