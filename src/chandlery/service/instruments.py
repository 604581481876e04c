"""Search in the instruments that exchanges list."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeAlias

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from msgspec import Struct
from pydantic import BaseModel, Field

from chandlery.clients.instruments import listing_status, row_of, select
from chandlery.clients.interfaces import IDataSourceConnector, IExchangeAPIClient
from chandlery.clients.markets import market_type, markets_of
from chandlery.clients.names import canonical
from chandlery.clients.native import NativeExchangeClient
from chandlery.core.errors import StorageError
from chandlery.core.instrument import Listing, MarketType
from chandlery.core.listing_changes import ListingChange
from chandlery.core.moment import TIME_HELP, to_micros
from chandlery.core.time import Clock, Micros, iso
from chandlery.database.listings import ListingRepository
from chandlery.service.auth.guard import Reader
from chandlery.service.errors import refusals
from chandlery.service.known import known_parameters
from chandlery.service.label import Label

MOST = 10_000
"""Most instruments of one answer; no exchange lists as many."""

Listener: TypeAlias = Callable[[str, Sequence[ListingChange]], None]

log = logging.getLogger(__name__)

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
    funding_interval: str | None = Field(
        examples=["8h"], description="Time between fundings; null if the list does not state it."
    )


class Instruments(BaseModel):
    """Instruments that match a search, the most likely first."""

    instruments: list[InstrumentRow]
    total: int = Field(description="Number of matching instruments, which may exceed those of the answer.")
    listed_at: str | None = Field(description="Time at which the oldest of the lists was read; null if unknown.")
    origin: Label = None


class Found(Struct, frozen=True):
    """The first rows of a search, and the number of all."""

    instruments: list[dict[str, Any]]
    total: int
    listed_at: str | None
    """Time at which the oldest of the lists was read."""
    origin: str | None
    """The server that answered in place of the exchange."""


class Past(Struct, frozen=True):
    """The first rows of a search in past lists, the number of all, and the times of the first and the last list."""

    at: str
    instruments: list[dict[str, Any]]
    total: int
    first_at: str
    last_at: str


class InstrumentSearch:
    """Search in the lists of exchanges, which clients cache for ten minutes; every list that is read is stored."""

    def __init__(self, connector: IDataSourceConnector, stored: ListingRepository, clock: Clock) -> None:
        self._connector = connector
        self._stored = stored
        self._clock = clock
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with a market and the changes of its list, once they are stored. Return what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def read(self, exchange: str, market: MarketType | None) -> list[tuple[str, Listing]]:
        """
        Return the instruments of an exchange, each with the id of its market, after what changed is stored.

        Raises:
            UnknownName: The exchange is unknown.
            UnsupportedRequest: The exchange publishes no list.
            ExchangeError: The exchange, or the connection to it, failed.
        """
        client = self._connector.get_client(canonical(exchange))
        found = await client.instruments(market)
        if client.family == NativeExchangeClient.family:  # others do not say which list an instrument is of
            await self._store(found, client)
        return found

    async def universe(
        self, exchange: str, market: str | None, status: str | None, search: str, at: Micros, limit: int
    ) -> Past:
        """
        Return the instruments of an exchange that match, as they were listed at ``at``.

        Raises:
            InvalidInput: The exchange, the market or the status is unknown.
            InvalidRange: No list of a market was stored by then.
            StorageError: It cannot be read.
        """
        wanted = None if status is None else listing_status(status)
        markets = markets_of(exchange, market)
        lists = [await self._stored.universe(each.id, at) for each in markets]

        def matching() -> Past:
            units = {each.id: each.volume_unit for each in markets}
            names = {id(listing): each.market for each in lists for listing in each.listings}
            found = select((listing for each in lists for listing in each.listings), status=wanted, search=search)
            rows = [row_of(each, names[id(each)], units[names[id(each)]]) for each in found[:limit]]
            first, last = max(each.first_at for each in lists), min(each.last_at for each in lists)
            return Past(iso(at), rows, len(found), iso(first), iso(last))

        return await asyncio.to_thread(matching)

    async def _store(self, found: list[tuple[str, Listing]], client: IExchangeAPIClient) -> None:
        lists: dict[str, dict[str, Listing]] = {}
        for market, listing in found:
            lists.setdefault(market, {})[listing.symbol] = listing
        for market, listings in lists.items():
            read_at = client.listed_at(next(iter(listings.values())).instrument.market)
            try:
                changes = await self._stored.record(market, listings, self._clock() if read_at is None else read_at)
            except StorageError as error:
                log.warning("the list of the instruments of %s is not stored: %s", market, error)
                continue
            for listener in self._listeners if changes else ():
                listener(market, changes)

    async def find(self, exchange: str, market: str | None, status: str | None, search: str, limit: int) -> Found:
        """
        Return the instruments of an exchange that match.

        Raises:
            InvalidInput: The exchange, the market or the status is unknown.
            UnsupportedRequest: The exchange publishes no list.
            ExchangeError: The exchange, or the connection to it, failed.
        """
        chosen = None if market is None else market_type(market)
        wanted = None if status is None else listing_status(status)
        client = self._connector.get_client(canonical(exchange))
        found = await self.read(exchange, chosen)
        replaced = client.origin(str(found[0][1].instrument)) if found else None
        origin = None if replaced is None else str(replaced)
        read_at = client.listed_at(chosen)
        listed_at = None if read_at is None else iso(read_at)

        def matching() -> Found:
            names = {id(listing): name for name, listing in found}
            first = dict(reversed(found))
            units = {name: client.volume_unit(str(each.instrument)) for name, each in first.items()}
            listings = select((each for _, each in found), market=chosen, status=wanted, search=search)
            rows = [row_of(each, names[id(each)], units[names[id(each)]]) for each in listings[:limit]]
            return Found(rows, len(listings), listed_at, origin)

        # An exchange lists thousands, whose search takes milliseconds.
        return await asyncio.to_thread(matching)


class PastInstruments(BaseModel):
    """Instruments as they were listed at a time, those that were delisted since among them."""

    at: str
    instruments: list[InstrumentRow]
    total: int = Field(description="Number of matching instruments, which may exceed those of the answer.")
    first_at: str = Field(description="Time of the first stored list of all these markets.")
    last_at: str = Field(description="Time of the last one.")


@routes.get("/universe", response_model=PastInstruments, responses=refusals(404))
async def list_universe(
    request: Request,
    subject: Reader,
    exchange: Annotated[str, Query(examples=["binance_perpetual"], max_length=64)],
    at: Annotated[str, Query(examples=["2026-01-01"], description=f"Time of the lists: {TIME_HELP}")],
    market: Annotated[str | None, Query(max_length=20, description="spot, linear or inverse.")] = None,
    status: Annotated[
        str | None, Query(max_length=20, description="listed, upcoming, halted or delisted at that time.")
    ] = None,
    search: Annotated[str, Query(max_length=64, examples=["btc perp"], description="Words that must all match.")] = "",
    limit: Annotated[int, Query(ge=1, le=MOST)] = MOST,
) -> Response:
    """
    Return the instruments of an exchange as they were listed at a time, without survivorship bias.

    Lists are stored from the first run of the service on; earlier times are refused.
    """
    find: InstrumentSearch = request.app.state.instruments
    moment = to_micros(at, name="at", now=request.app.state.clock())
    found = await find.universe(exchange, market, status, search, moment, limit)
    body = await asyncio.to_thread(msgspec.json.encode, found)
    return Response(body, media_type="application/json")


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
