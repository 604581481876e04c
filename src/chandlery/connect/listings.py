"""Which instruments an exchange lists, read now and then."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping

from chandlery.adapter.base import ExchangeAdapter
from chandlery.core.errors import InvalidSymbol, MalformedResponse, RequestRejected, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.instrument import Listing, ListingStatus
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, MINUTE, Clock, Micros
from chandlery.net.tokens import Accounts

READ_AGAIN_AFTER: Micros = 10 * MINUTE
"""How old a list may be."""

_MOST_PAGES = 1000
_LATELY = 7 * DAY


class Listings:
    """The lists of instruments of markets, each read once for all who ask within ten minutes."""

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock
        self._known: dict[str, tuple[Micros, Mapping[str, Listing]]] = {}
        self._reading: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def trades(self, adapter: ExchangeAdapter, symbol: str) -> bool:
        """Whether a symbol, in the exchange's spelling, is listed and trades."""
        try:
            adapter.instruments_request()
        except UnsupportedRequest:
            return await self._has_candles(adapter, symbol)
        listing = (await self.of(adapter)).get(symbol)
        return listing is not None and listing.status is ListingStatus.LISTED

    async def of(self, adapter: ExchangeAdapter) -> Mapping[str, Listing]:
        """The instruments of a market by the exchange's spelling."""
        async with self._reading[adapter.id]:
            read_at, known = self._known.get(adapter.id, (-READ_AGAIN_AFTER, {}))
            if self._clock() - read_at >= READ_AGAIN_AFTER:
                known = await self._read(adapter)
                self._known[adapter.id] = self._clock(), known
        return known

    async def _read(self, adapter: ExchangeAdapter) -> Mapping[str, Listing]:
        client = self._accounts.client(adapter)
        found: dict[str, Listing] = {}
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            request = adapter.instruments_request(cursor)
            page, cursor = await client.fetch(request, adapter.instruments, error_of=adapter.failure)
            found |= {each.symbol: each for each in page}
            if cursor is None:
                return found
        raise MalformedResponse(f"{adapter.id}: the list of instruments does not end after {_MOST_PAGES} pages")

    async def _has_candles(self, adapter: ExchangeAdapter, symbol: str) -> bool:
        """For exchanges that publish no list: whether it traded within a week."""
        now = self._clock()
        span = Span(Interval.DAY_1.floor(now - _LATELY), now)
        try:
            request = adapter.candles_request(symbol, Interval.DAY_1, span)
            rows = await self._accounts.client(adapter).fetch(
                request, lambda body: adapter.candles(body, Interval.DAY_1), error_of=adapter.failure
            )
        except (InvalidSymbol, RequestRejected):
            return False
        return bool(rows.open_time)
