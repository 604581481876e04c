"""Requests to one exchange: clock, candles, order books, list of instruments."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.layout import CandleColumns
from chandlery.adapter.volume import volume_facts
from chandlery.core.book import BookUpdate
from chandlery.core.errors import (
    ChandleryError,
    ExchangeError,
    InvalidInput,
    InvalidSymbol,
    MalformedResponse,
    RequestRejected,
    UnsupportedRequest,
    WrongMarket,
    suggest,
)
from chandlery.core.gaps import Span
from chandlery.core.instrument import Listing, ListingStatus
from chandlery.core.interval import Interval
from chandlery.core.nearest import may_be_meant
from chandlery.core.time import DAY, MINUTE, Clock, Micros
from chandlery.core.volume import VolumeFacts
from chandlery.net.candle_exchange import CandleExchange
from chandlery.net.clock import ExchangeClock, system_clock
from chandlery.net.http import HttpClient
from chandlery.net.tokens import Account

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

LIST_AGE = 10 * MINUTE
_MOST_PAGES = 1000
_LATELY = 7 * DAY
SUGGESTED_WITHIN_S = 3.0
"""Time limit of the list that is read for the nearest symbol, since an error waits for it."""


class ExchangeClient(CandleExchange):
    """
    One exchange over one HTTP client; share it between all users of the same exchange.

    ``clock`` is the local wall clock, corrected by the exchange's. ``ticks`` is a monotonic clock in
    seconds, which detects that the wall clock was set.
    """

    def __init__(
        self,
        adapter: ExchangeAdapter,
        http: HttpClient | Account,
        *,
        clock: Clock = system_clock,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(ExchangeClock(self._request_time, clock=clock, ticks=ticks))
        self.adapter = adapter
        self.http = http
        self._clock = clock
        self.listed_at: Micros | None = None
        """Time at which the list of instruments was read."""
        self._listings: Mapping[str, Listing] = {}
        self._listing = asyncio.Lock()

    @property
    def facts(self) -> ExchangeAdapter:
        """The declared properties of the adapter."""
        return self.adapter

    async def _request_time(self) -> Micros:
        adapter = self.adapter
        return await self.http.ask(adapter.server_time_request(), adapter.clock, error_of=adapter.failure)

    async def candles(self, symbol: str, interval: Interval, span: Span) -> CandleColumns:
        """Request the candles that open in ``span``. Return the rows of the answer, which may lack some and hold others."""
        adapter = self.adapter
        request = adapter.candles_request(symbol, interval, span)
        return await self.http.fetch(request, partial(adapter.candles, interval=interval), error_of=adapter.failure)

    async def first_candles(self, symbol: str, interval: Interval) -> CandleColumns | None:
        """Request the page that begins at the oldest candle; ``None`` if the exchange has no such request."""
        request = self.adapter.first_candle_request(symbol, interval)
        if request is None:
            return None
        parse = partial(self.adapter.candles, interval=interval)
        return await self.http.fetch(request, parse, error_of=self.adapter.failure)

    async def book(self, symbol: str, depth: int) -> BookUpdate:
        """Fetch the order book."""
        adapter = self.adapter
        return await self.http.fetch(
            adapter.book_request(symbol, depth), partial(adapter.book_snapshot, symbol), error_of=adapter.failure
        )

    async def listings(self) -> Mapping[str, Listing]:
        """
        Return the instruments by the exchange's spelling, at most ten minutes old.

        Raises:
            UnsupportedRequest: The exchange publishes no list.
        """
        async with self._listing:
            if self.listed_at is None or abs(self._clock() - self.listed_at) >= LIST_AGE:
                self._listings = await self._read_listings()
                self.listed_at = self._clock()
        return self._listings

    async def suggest(self, error: ChandleryError, text: str, *, within_s: float = SUGGESTED_WITHIN_S) -> None:
        """
        Add the listed symbol that ``text`` with one typing mistake means to the message of an ``InvalidSymbol``.

        The list is requested if the exchange refused the symbol, not if its spelling is refused before that.
        """
        if not isinstance(error, InvalidSymbol) or isinstance(error, WrongMarket) or not may_be_meant(text):
            return
        try:
            text = self.adapter.symbol(text)
            async with asyncio.timeout(within_s):
                await self.listings()
        except (InvalidInput, ExchangeError, TimeoutError) as missing:
            log.debug("no list for the nearest symbol of %s: %r", text, missing)
        suggest(error, self.adapter.names.nearest(text))

    async def _read_listings(self) -> Mapping[str, Listing]:
        adapter = self.adapter
        found: dict[str, Listing] = {}
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            request = adapter.instruments_request(cursor)
            page, cursor = await self.http.fetch(request, adapter.instruments, error_of=adapter.failure)
            found |= {each.symbol: each for each in page}
            if cursor is None:
                return found
        raise MalformedResponse(f"{adapter.id}: the list of instruments does not end after {_MOST_PAGES} pages")

    async def volume_facts(self, symbol: str) -> VolumeFacts:
        """Return the units of the volumes of a symbol, with its listed contract size if the volume is in contracts."""
        adapter = self.adapter
        if adapter.volume_unit != "contracts" or adapter.fixed_contract_size is not None:
            return volume_facts(type(adapter), symbol, None)
        listing = (await self.listings()).get(symbol)
        return volume_facts(type(adapter), symbol, None if listing is None else listing.contract_size)

    async def trades(self, symbol: str) -> bool:
        """Return whether a symbol is listed and trades; without a list, whether it has had candles within a week."""
        try:
            listing = (await self.listings()).get(symbol)
        except UnsupportedRequest:
            return await self._has_candles(symbol)
        return listing is not None and listing.status is ListingStatus.LISTED

    async def is_delisted(self, symbol: str) -> bool | None:
        """Return whether the exchange's list lacks the symbol or marks it as delisted; ``None`` without a list."""
        try:
            listing = (await self.listings()).get(symbol)
        except UnsupportedRequest:
            return None
        return listing is None or listing.status is ListingStatus.DELISTED

    async def _has_candles(self, symbol: str) -> bool:
        now = self._clock()
        try:
            rows = await self.candles(symbol, Interval.DAY_1, Span(Interval.DAY_1.floor(now - _LATELY), now))
        except (InvalidSymbol, RequestRejected):
            return False
        return bool(rows.open_time)
