"""HTTP endpoints of collected coins."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Query, Request

from chandlery.clients.markets import in_market
from chandlery.core.series_id import SeriesId
from chandlery.service.auth.guard import Collector, Reader
from chandlery.service.collection.interfaces import IDataCollectionManager
from chandlery.service.collection.schemas import Availability, Coin, CoinRequest, Coins
from chandlery.service.errors import refusals
from chandlery.service.known import MARKET_HELP, SymbolText, known_parameters

routes = APIRouter(
    prefix="/v1",
    tags=["collection"],
    dependencies=[Depends(known_parameters)],
    responses=refusals(401, 403, 422, 503),
)


async def _manager(request: Request) -> IDataCollectionManager:
    manager: IDataCollectionManager = request.app.state.collection
    return manager


Collection: TypeAlias = Annotated[IDataCollectionManager, Depends(_manager)]
Exchange: TypeAlias = Annotated[str, Query(examples=["binance"], max_length=64)]


async def _symbol(
    exchange: Exchange,
    symbol: Annotated[SymbolText, Query(examples=["BTC/USDT"])],
    market: Annotated[str | None, Query(max_length=20, description=MARKET_HELP)] = None,
) -> str:
    return symbol if market is None else in_market(exchange, symbol, market)


Symbol: TypeAlias = Annotated[str, Depends(_symbol)]
"""Symbol in any spelling; with a ``market``, in the one that names it."""


@routes.get("/coins")
async def list_coins(subject: Reader, collection: Collection) -> Coins:
    """List the collected coins, and the state of each stream."""
    return Coins(coins=[Coin.of(each) for each in collection.list_coins()])


@routes.post("/coins", status_code=201, responses=refusals(400, 404, 408, 413, 502, 504))
async def add_coin(subject: Collector, collection: Collection, coin: CoinRequest) -> Coin:
    """Start collecting a coin, or further channels of one; the response shows whether the streams run."""
    return Coin.of(await collection.begin(coin.symbol, coin.exchange, coin.channels))


@routes.delete("/coins", status_code=204, responses=refusals(404))
async def remove_coin(
    subject: Collector,
    collection: Collection,
    exchange: Exchange,
    symbol: Symbol,
    channel: Annotated[
        str | None, Query(examples=["book"], max_length=64, description="All channels if omitted.")
    ] = None,
) -> None:
    """Stop collecting a coin, or one channel of it; collected data stays stored."""
    await collection.remove_coin(symbol, exchange, channel)


@routes.get("/availability", responses=refusals(404, 502, 504))
async def availability(
    request: Request, subject: Reader, collection: Collection, exchange: Exchange, symbol: Symbol
) -> Availability:
    """Check whether an exchange trades a coin now."""
    available = await collection.is_available(symbol, exchange)
    origin = request.app.state.resolve(SeriesId.of_book(exchange, symbol)).origin
    return Availability(exchange=exchange, symbol=symbol, available=available, origin=origin)
