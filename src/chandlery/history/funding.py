"""Funding rates by REST."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chandlery.adapter.base import ExchangeAdapter, FundingColumns
from chandlery.adapter.pages import rest_chunks
from chandlery.core.errors import ExchangeError, MalformedResponse, UnsupportedRequest
from chandlery.core.gaps import Gap, GapKind, Span, clipped, subtract
from chandlery.core.holes import Life, explain
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.provenance import Event, EventKind
from chandlery.core.query import ChartType, DataProvider
from chandlery.core.time import DAY, HOUR, MINUTE, Micros
from chandlery.history.bounds import Bounds
from chandlery.history.interfaces import Resources
from chandlery.history.native import NativeClient
from chandlery.tables.frame import table_of
from chandlery.tables.part import Part

_AROUND: Micros = 2 * DAY
"""Margin read on both sides of a span, so that its first and last rates have neighbours."""
_JITTER: Micros = MINUTE
"""Tolerance: rates are some milliseconds past the hour."""
_VAIN = 2
"""Number of answers that must agree that there are no rates."""


class BinanceFundingRateClient(NativeClient):
    """
    The funding rates of a perpetual.

    A row has the exchange's time of funding, which may be some milliseconds
    past the hour. ``funding_interval`` is the time since the previous funding, in whole hours; if that is missing,
    the time to the next, and empty if there is neither. It may change during the life of a perpetual.

    A span without rates that is longer than both adjacent intervals is a gap.
    """

    source = "rest"
    kind = ChartType.FUNDING_RATE
    page_size: int | None = 360
    """
    At three a day a chunk is 120 days, which is one page even if funding comes every three hours.

    ``None`` if pages are numbered from the latest: each chunk would read again all later pages.
    """
    most_pages: ClassVar[int] = 1000
    """Limit on numbered pages, which covers years even of hourly funding."""

    def __init__(
        self,
        *,
        symbol: str,
        interval: Interval,
        market_type: MarketType = MarketType.SPOT,
        provider: DataProvider | None = None,
        resources: Resources | None = None,
    ) -> None:
        """Refuse contracts that expire, and symbols that the exchange does not have; the default provider is Binance."""
        super().__init__(
            symbol=symbol, interval=interval, market_type=market_type, provider=provider, resources=resources
        )
        if self.adapter.expires(self.symbol):
            raise UnsupportedRequest(
                f"{self.symbol} of {self.adapter.id} expires, so it has no funding rates; perpetuals have, e.g. BTC/USDT:USDT"
            )
        self.exchange = self.shared.exchange(type(self.adapter))
        if self.adapter.funding_by_page:
            self.page_size = None

    @classmethod
    def serves(cls, adapter: type[ExchangeAdapter]) -> bool:
        """Return whether the exchange declares pages of funding rates."""
        return adapter.funding_page_size > 0

    async def fetch_span(self, span: Span) -> Part:
        """Fetch the funding rates in ``span``."""
        chunks = rest_chunks(span, self.kind.interval or self.interval, chunk=self.page_size)
        return Part.joined([await self.fetch_chunk(chunk) for chunk in chunks], self.chart_type)

    async def fetch_chunk(self, span: Span) -> Part:
        """
        Fetch the funding rates in ``span``, and a gap for each span that lacks rates.

        Raises:
            UnsupportedRequest: The span begins more than ``most_pages`` numbered pages ago.
        """
        now = await self._now_there()
        around = Span(max(span.start - _AROUND, 0), max(span.end, min(span.end + _AROUND, now)))
        rates = _Rates()
        if self.adapter.funding_by_page:
            await self._by_number(around, rates)
        else:
            await self._by_time(around, rates)
        times = np.array(sorted(rates.found), np.int64)
        holes = _funding_holes(times, Span(around.start, min(around.end, now)))
        found = [gap for hole in holes if hole.clip(span) for gap in await self._explained(hole, rates, now)]
        gaps = clipped(found, span)
        failed = [gap.span for gap in gaps if gap.kind.is_failure or gap.kind is GapKind.NOT_YET]
        at = self.shared.clock()
        return Part(
            self._table(times, rates.found, holes, span),
            [self.answered(each, at) for each in subtract(span, failed)],
            gaps,
            [event for event in rates.events if span.holds(event.start)],
            None if self.exchange.synchronised else 0,
        )

    async def _now_there(self) -> Micros:
        try:
            return await self.exchange.now()
        except ExchangeError:
            return self.exchange.guess()

    async def _page(self, span: Span, number: int = 1) -> FundingColumns:
        request = self.adapter.funding_request(self.symbol, span, number)
        return await self.exchange.http.fetch(request, self.adapter.funding_rows, error_of=self.adapter.failure)

    async def _by_time(self, wanted: Span, rates: _Rates) -> None:
        """
        Request rates until no new ones arrive: first the whole span, then each part without rates that is too long.

        The rows show how many rates a page holds, and whether it begins with the oldest.
        """
        vain: Counter[Span] = Counter()
        holes = [wanted]
        while holes:
            hole = holes[0]
            times = np.array(sorted(rates.found), np.int64)
            # With the rate before and after, so that an answer that has both proves that there is none between.
            asked = Span(_before(times, hole.start, wanted.start), _after(times, hole.end, wanted.end))
            if not rates.add(await self._page(asked), self.symbol):
                vain[hole] += 1
            times = np.array([each for each in sorted(rates.found) if wanted.holds(each)], np.int64)
            holes = [each for each in _funding_holes(times, wanted) if vain[each] < _VAIN]

    async def _by_number(self, wanted: Span, rates: _Rates) -> None:
        """Read numbered pages. A new rate meanwhile shifts others to the next page: one may repeat, but none is skipped."""
        for number in range(1, self.most_pages + 1):
            page = await self._page(wanted, number)
            fresh = rates.add(page, self.symbol)
            if page.last or min(page.open_time, default=wanted.end) <= wanted.start:
                return
            if not fresh:
                raise MalformedResponse(
                    f"{self.adapter.id} sent no new funding rates on page {number}, which is not the last"
                )
        raise UnsupportedRequest(
            f"{wanted} begins more than {self.most_pages} pages before the latest funding rate of {self.adapter.id}; give a later start"
        )

    async def _explained(self, hole: Span, rates: _Rates, now: Micros) -> list[Gap]:
        """Explain why there are no rates: before the first, after the last, or none between two."""
        first, last = min(rates.found, default=None), max(rates.found, default=None)
        life, doubt = (
            Life(),
            "the exchange returned no funding rate, and too few responses contain rates before and after",
        )
        try:
            if first is None or hole.start < first:
                life = await self._beginning(first, now)
        except ExchangeError as error:
            doubt = str(error)
        proof = "requested twice, the exchange sent no funding rate" if rates.brackets(hole) else None
        if last is not None and hole.end > last and first is not None and hole.start >= first:
            proof = "requested twice, the exchange sent no funding rate up to now"
        return explain(
            hole,
            self.kind.interval or self.interval,
            life,
            proof=proof,
            doubt=doubt,
            sends_empty=True,
            followed=last is not None and last >= hole.end,
            now=now,
            settle=HOUR,
        )

    async def _beginning(self, first: Micros | None, now: Micros) -> Life:
        """Find the beginning of the rates: that of the candles, or later if the exchange no longer serves older ones."""
        known = [each for each in self.adapter.intervals if each.longest <= DAY]
        candles = await Bounds(self.exchange, self.symbol, max(known, key=lambda each: each.longest)).first(now)
        listed = candles.first
        if first is None or listed is None:
            return Life(first=listed)
        return Life(first=first) if first - listed <= _AROUND else Life(first=listed, served_from=first)

    def _table(
        self, times: NDArray[np.int64], rates: Mapping[Micros, float], holes: Sequence[Span], span: Span
    ) -> pa.Table:
        ends = {hole.end for hole in holes}
        since = np.diff(times, prepend=times[:1]) if len(times) else times
        until = np.diff(times, append=times[-1:]) if len(times) else times
        after_gap = np.array([index == 0 or int(t) in ends for index, t in enumerate(times)], bool)
        hours = np.rint(np.where(after_gap, until, since) / HOUR).astype(int)
        inside = np.flatnonzero((times >= span.start) & (times < span.end))
        return table_of(
            self.chart_type,
            {
                "open_time": times[inside],
                "contracts": [self.symbol] * len(inside),
                "funding_interval": [f"{hours[index]}h" if hours[index] else "" for index in inside],
                "funding_rate": np.array([rates[int(times[index])] for index in inside], np.float64),
            },
        )


class _Rates:
    """The rates of several responses, and the spans between rates of one response."""

    def __init__(self) -> None:
        self.found: dict[Micros, float] = {}
        self.events: list[Event] = []
        self._answers: list[tuple[Micros, Micros]] = []

    def add(self, page: FundingColumns, symbol: str) -> bool:
        """Add an answer. Return whether it has a new rate. Of two rates at one time the first one stays."""
        fresh = False
        for moment, rate in zip(page.open_time, page.funding_rate, strict=True):
            known = self.found.setdefault(moment, rate)
            fresh = fresh or known is rate
            if known != rate:
                detail = f"{symbol}: two funding rates at the same time, {known} and {rate}"
                event = Event(moment, moment + 1, EventKind.CONFLICTING_ROWS, detail)
                self.events += [] if event in self.events else [event]
        if page.open_time:
            self._answers.append((min(page.open_time), max(page.open_time)))
        return fresh

    def brackets(self, hole: Span) -> bool:
        """Return whether two answers have rates before and after ``hole``."""
        return sum(first < hole.start and last >= hole.end for first, last in self._answers) >= _VAIN


def _funding_holes(times: NDArray[np.int64], span: Span) -> list[Span]:
    """
    Return the parts of ``span`` that lack rates; ``times`` is ascending.

    Such a part is longer than both adjacent intervals, and begins when the next rate was due.
    """
    if len(times) < 2:
        return [span] if span and not len(times) else []
    steps = np.diff(times)
    before = np.concatenate((steps[:1], steps[:-1]))
    after = np.concatenate((steps[1:], steps[-1:]))
    if len(steps) > 1:
        before[0], after[-1] = steps[1], steps[-2]
    usual = np.maximum(before, after)
    holes = [Span(int(times[at] + usual[at]), int(times[at + 1])) for at in np.flatnonzero(steps > usual + _JITTER)]
    if times[0] - span.start > steps[0] + _JITTER:
        holes.insert(0, Span(span.start, int(times[0])))
    if span.end - times[-1] > steps[-1] + _JITTER:
        holes.append(Span(int(times[-1] + steps[-1]), span.end))
    return holes


def _before(times: NDArray[np.int64], moment: Micros, otherwise: Micros) -> Micros:
    earlier = times[times < moment]
    return int(earlier[-1]) if len(earlier) else otherwise


def _after(times: NDArray[np.int64], moment: Micros, otherwise: Micros) -> Micros:
    later = times[times >= moment]
    return int(later[0]) + 1 if len(later) else otherwise
