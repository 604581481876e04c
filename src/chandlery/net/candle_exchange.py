"""Read candles of an exchange page by page, independent of the transport."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container
from typing import Protocol

from chandlery.adapter.layout import CandleColumns
from chandlery.adapter.paging import Paging, places_of
from chandlery.core.gaps import Span
from chandlery.core.interval import Grid, Interval
from chandlery.core.time import Micros
from chandlery.net.clock import ExchangeClock


class CandleFacts(Protocol):
    """Declared properties of an exchange's candles; ``ExchangeAdapter`` implements it."""

    @property
    def page_size(self) -> int:
        """Number of candles of one answer, as an initial estimate."""

    @property
    def longest_request(self) -> Micros | None:
        """Longest time span of one request."""

    @property
    def launched(self) -> Micros:
        """Earliest time of any data."""

    @property
    def settle(self) -> Micros:
        """Time after its close during which a candle may be late or still change."""

    @property
    def sends_empty_candles(self) -> bool:
        """True if it sends candles for intervals without trades."""

    @property
    def intervals(self) -> Container[Interval]:
        """The intervals that it has candles of."""

    def grid(self, interval: Interval) -> Grid:
        """Return the grid of the open times."""

    def oldest(self, interval: Interval, now: Micros) -> Micros | None:
        """Return the oldest open time that it serves; ``None`` if there is no limit."""


class CandleExchange(ABC):
    """An exchange that serves candles and its time: our adapters by HTTP, and ccxt's exchanges."""

    def __init__(self, time: ExchangeClock) -> None:
        self._time = time

    @property
    @abstractmethod
    def facts(self) -> CandleFacts:
        """Declared properties of its candles."""

    @property
    def synchronised(self) -> bool:
        """True while ``guess`` is based on the exchange's clock; see ``ExchangeClock``."""
        return self._time.synchronised

    async def now(self) -> Micros:
        """Return the exchange's time; see ``ExchangeClock.now``."""
        return await self._time.now()

    def guess(self) -> Micros:
        """Return the exchange's time, extrapolated from its last answer; the local clock before the first."""
        return self._time.guess()

    @abstractmethod
    async def candles(self, symbol: str, interval: Interval, span: Span) -> CandleColumns:
        """Request the candles that open in ``span``. Return the rows of the answer, which may lack some and hold others."""

    @abstractmethod
    async def first_candles(self, symbol: str, interval: Interval) -> CandleColumns | None:
        """Request the page that begins at the oldest candle; ``None`` if the exchange has no such request."""

    @abstractmethod
    async def is_delisted(self, symbol: str) -> bool | None:
        """Return whether the exchange's list lacks the symbol or marks it as delisted; ``None`` without a list."""

    async def settled_candles(
        self, symbol: str, interval: Interval, span: Span, *, size: int, settled: Micros
    ) -> list[CandleColumns]:
        """
        Return the rows of ``span``, which is a page of ``size``, in as many answers as needed.

        Candles absent before ``settled`` are requested again, until answers bring nothing new; later ones may
        just not be published yet.
        """
        grid = self.facts.grid(interval)
        answers = [await self.candles(symbol, interval, span)]
        paging = Paging(grid, span.clip(Span(span.start, settled)), size, span)
        paging.add(span, places_of(grid, answers[0].open_time))
        while (asked := paging.next()) is not None:
            answers.append(await self.candles(symbol, interval, asked))
            paging.add(asked, places_of(grid, answers[-1].open_time))
        return answers
