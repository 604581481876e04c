"""Funding rates by REST."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chandlery.adapter.base import ExchangeAdapter
from chandlery.core.gaps import Span
from chandlery.core.provenance import SourceSpan
from chandlery.core.query import ChartType
from chandlery.core.time import DAY, HOUR, Micros
from chandlery.history.interfaces import FetchResult, joined
from chandlery.history.native import NativeClient
from chandlery.history.plan import rest_chunks
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
    page_size = 360
    """At three a day a chunk is 120 days, which is one page even where funding comes every three hours."""

    @classmethod
    def serves(cls, adapter: type[ExchangeAdapter]) -> bool:
        """Those that declare pages of funding rates."""
        return adapter.funding_page_size > 0

    async def fetch_span(self, span: Span) -> FetchResult:
        """The funding rates at the moments in ``span``."""
        chunks = rest_chunks(span, self.kind.interval or self.interval, chunk=self.page_size)
        return joined(self.chart_type, [await self.fetch_chunk(chunk) for chunk in chunks])

    async def fetch_chunk(self, span: Span) -> FetchResult:
        """The funding rates at the moments in ``span``, page after page."""
        times: list[Micros] = []
        rates: list[float] = []
        at = max(span.start - _BEFORE, 0)
        while at < span.end:
            request = self.adapter.funding_request(self.symbol, Span(at, span.end))
            page = await self.shared.http.fetch(request, self.adapter.funding_rows, error_of=self.adapter.error)
            fresh = [
                (t, rate)
                for t, rate in sorted(zip(page.open_time, page.funding_rate, strict=True))
                if at <= t < span.end
            ]
            times += [t for t, _ in fresh]
            rates += [rate for _, rate in fresh]
            if not fresh or len(page.open_time) < self.adapter.funding_page_size:
                break
            at = times[-1] + 1
        return FetchResult(
            self._table(np.array(times, np.int64), np.array(rates, np.float64), span),
            [SourceSpan(span.start, span.end, self.source, self.shared.clock())],
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
