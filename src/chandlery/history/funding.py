"""Funding rates by REST."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chandlery.adapter.base import ExchangeAdapter, FundingColumns
from chandlery.adapter.pages import rest_chunks
from chandlery.core.errors import MalformedResponse, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import ChartType, DataProvider
from chandlery.core.time import DAY, HOUR, Micros
from chandlery.history.interfaces import FetchResult, Resources, joined
from chandlery.history.native import NativeClient
from chandlery.storage.frame import table_of

_BEFORE: Micros = DAY
"""How far before a span is read too, so that its first rate has a predecessor to be measured from."""


class BinanceFundingRateClient(NativeClient):
    """
    The funding rates of a perpetual.

    A row stands at the moment of funding, as the exchange gives it: it may lie some milliseconds
    past the hour. ``funding_interval`` is the time since the funding before, to the hour.
    """

    source = "rest"
    kind = ChartType.FUNDING_RATE
    page_size: int | None = 360
    """
    At three a day a chunk is 120 days, which is one page even where funding comes every three hours.

    ``None`` where pages are numbered from the latest: each chunk would read again what lies after it.
    """
    most_pages: ClassVar[int] = 1000
    """How far back numbered pages are read, which is years even of hourly funding."""

    def __init__(
        self,
        *,
        symbol: str,
        interval: Interval,
        market_type: MarketType = MarketType.SPOT,
        provider: DataProvider | None = None,
        resources: Resources | None = None,
    ) -> None:
        """Refuse symbols that the exchange does not have; without a provider it is Binance."""
        super().__init__(
            symbol=symbol, interval=interval, market_type=market_type, provider=provider, resources=resources
        )
        if self.adapter.funding_by_page:
            self.page_size = None

    @classmethod
    def serves(cls, adapter: type[ExchangeAdapter]) -> bool:
        """Those that declare pages of funding rates."""
        return adapter.funding_page_size > 0

    async def fetch_span(self, span: Span) -> FetchResult:
        """The funding rates at the moments in ``span``."""
        chunks = rest_chunks(span, self.kind.interval or self.interval, chunk=self.page_size)
        return joined(self.chart_type, [await self.fetch_chunk(chunk) for chunk in chunks])

    async def fetch_chunk(self, span: Span) -> FetchResult:
        """
        The funding rates at the moments in ``span``, page after page.

        Raises:
            UnsupportedRequest: Where the span begins more than ``most_pages`` numbered pages ago.
        """
        wanted = Span(max(span.start - _BEFORE, 0), span.end)
        found = await (self._by_number(wanted) if self.adapter.funding_by_page else self._by_time(wanted))
        times = sorted(found)
        rates = [found[t] for t in times]
        return FetchResult(
            self._table(np.array(times, np.int64), np.array(rates, np.float64), span),
            [self.answered(span, self.shared.clock())],
        )

    async def _page(self, span: Span, number: int = 1) -> FundingColumns:
        request = self.adapter.funding_request(self.symbol, span, number)
        return await self.http.fetch(request, self.adapter.funding_rows, error_of=self.adapter.failure)

    async def _by_time(self, left: Span) -> dict[Micros, float]:
        found: dict[Micros, float] = {}
        while left:
            page = await self._page(left)
            fresh = {t: rate for t, rate in zip(page.open_time, page.funding_rate, strict=True) if left.holds(t)}
            found |= fresh
            if not fresh or len(page.open_time) < self.adapter.funding_page_size:
                break
            newest_first = self.adapter.funding_newest_first
            left = Span(left.start, min(fresh)) if newest_first else Span(max(fresh) + 1, left.end)
        return found

    async def _by_number(self, wanted: Span) -> dict[Micros, float]:
        """A rate that is new meanwhile moves others to the next page, so one may come twice, but none is skipped."""
        found: dict[Micros, float] = {}
        for number in range(1, self.most_pages + 1):
            page = await self._page(wanted, number)
            known = len(found)
            found |= zip(page.open_time, page.funding_rate, strict=True)
            if page.last or min(page.open_time, default=wanted.end) <= wanted.start:
                return {t: rate for t, rate in found.items() if wanted.holds(t)}
            if len(found) == known:
                raise MalformedResponse(
                    f"{self.adapter.id} sent no further funding rates on page {number}, not the last"
                )
        raise UnsupportedRequest(
            f"{wanted} begins more than {self.most_pages} pages of funding rates of {self.adapter.id} ago; give a later start"
        )

    def _table(self, times: NDArray[np.int64], rates: NDArray[np.float64], span: Span) -> pa.Table:
        hours = np.rint(np.diff(times) / HOUR).astype(int)
        since = np.concatenate([hours[:1], hours]) if len(times) > 1 else np.full(len(times), self._usual_hours())
        inside = times >= span.start
        return table_of(
            self.chart_type,
            {
                "open_time": times[inside],
                "contracts": [self.symbol] * int(inside.sum()),
                "funding_interval": [f"{hour}h" for hour in since[inside]],
                "funding_rate": rates[inside],
            },
        )

    def _usual_hours(self) -> int:
        interval = self.kind.interval
        return (interval.longest if interval else 8 * HOUR) // HOUR
