"""What reads candles of an exchange page by page, whoever sends the requests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container
from typing import Protocol

from chandlery.adapter.layout import CandleColumns
from chandlery.adapter.paging import Paging
from chandlery.core.gaps import Span
from chandlery.core.interval import Grid, Interval
from chandlery.core.time import Micros
from chandlery.net.clock import ExchangeClock


class CandleFacts(Protocol):
    """What is declared of an exchange's candles; see ``ExchangeAdapter``, which is one."""

    @property
    def page_size(self) -> int:
        """The most candles of one answer, as a first guess."""

    @property
    def longest_request(self) -> Micros | None:
        """The longest span of time that one request may name."""

    @property
    def launched(self) -> Micros:
        """Nothing is older than this."""

    @property
    def settle(self) -> Micros:
        """How long after its close a candle may be late or still change."""

    @property
    def sends_empty_candles(self) -> bool:
        """Whether it sends a candle where nobody traded."""

    @property
    def intervals(self) -> Container[Interval]:
        """The intervals that it has candles of."""

    def grid(self, interval: Interval) -> Grid:
        """The moments at which candles open."""

    def oldest(self, interval: Interval, now: Micros) -> Micros | None:
        """The oldest open that it answers for; ``None`` where it answers for all."""


class CandleExchange(ABC):
    """An exchange that answers requests for candles and tells the time: our adapters by HTTP, and ccxt's exchanges."""

    def __init__(self, time: ExchangeClock) -> None:
        self._time = time

    @property
    @abstractmethod
    def facts(self) -> CandleFacts:
        """What is declared of its candles."""

    @property
    def synchronised(self) -> bool:
        """True where ``guess`` rests on the exchange's clock; see ``ExchangeClock``."""
        return self._time.synchronised

    async def now(self) -> Micros:
        """The exchange's time; see ``ExchangeClock.now``."""
        return await self._time.now()

    def guess(self) -> Micros:
        """The exchange's time by its last answer; the local clock before the first."""
        return self._time.guess()

    @abstractmethod
    async def candles(self, symbol: str, interval: Interval, span: Span) -> CandleColumns:
        """The rows of one answer to a request for the candles that open in ``span``: perhaps fewer, perhaps others too."""

    @abstractmethod
    async def first_candles(self, symbol: str, interval: Interval) -> CandleColumns | None:
        """The rows of the request that begins at the oldest candle; ``None`` where the exchange has no such request."""

    @abstractmethod
    async def is_delisted(self, symbol: str) -> bool | None:
        """Whether the exchange's list lacks the symbol or calls it delisted; ``None`` where there is no list."""

    async def settled_candles(
        self, symbol: str, interval: Interval, span: Span, *, size: int, settled: Micros
    ) -> list[CandleColumns]:
        """
        The rows of ``span``, which is a page of ``size``, in as many answers as it takes.

        What is absent before ``settled`` is requested again, until answers bring nothing new; later candles may
        just not be published yet.
        """
        grid = self.facts.grid(interval)
        answers = [await self.candles(symbol, interval, span)]
        paging = Paging(grid, span.clip(Span(span.start, settled)), size, span)
        paging.add(span, answers[0].open_time)
        while (asked := paging.next()) is not None:
            answers.append(await self.candles(symbol, interval, asked))
            paging.add(asked, answers[-1].open_time)
        return answers
