"""Candles by REST: page after page, each looked at, and what is missing asked for again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.layout import CandleColumns
from chandlery.adapter.pages import rest_chunks
from chandlery.core.gaps import Gap, GapKind, Span, subtract
from chandlery.core.interval import Interval
from chandlery.core.provenance import Event
from chandlery.core.query import ChartType
from chandlery.core.time import Micros, iso
from chandlery.core.wire import Request
from chandlery.history.checks import Checked, Columns, check, holes
from chandlery.history.interfaces import FetchResult, joined
from chandlery.history.native import NativeClient
from chandlery.storage.frame import table_of

_INTEGERS = frozenset({"open_time", "close_time", "count"})


class RestDataClient(NativeClient):
    """Candles by the REST interface of an exchange."""

    source = "rest"
    kind = ChartType.KLINES
    _first_open: Micros | None = None

    def for_series(self, symbol: str, interval: Interval) -> RestDataClient:
        """A client of another series over the same connections."""
        return type(self)(
            symbol=symbol,
            interval=interval,
            market_type=self.market_type,
            provider=self.provider,
            resources=self.shared,
        )

    @classmethod
    def serves(cls, adapter: type[ExchangeAdapter]) -> bool:  # noqa: ARG003  # nothing to ask
        """Every exchange has it."""
        return True

    async def fetch_span(self, span: Span) -> FetchResult:
        """The final candles that open in ``span``; one page after the other."""
        closed = Span(span.start, min(span.end, self.interval.floor(await self.server_time())))
        chunks = rest_chunks(closed, self.interval, chunk=self.adapter.page_size, longest=self.adapter.longest_request)
        return joined(self.chart_type, [await self.fetch_chunk(chunk) for chunk in chunks])

    async def fetch_chunk(self, span: Span) -> FetchResult:
        """
        The candles that open in ``span``, which is one page at most.

        What the page lacks is asked for a second time. What then is still not there is a gap of
        the exchange's own making; what then still cannot be believed is a failure.
        """
        name = f"{self.symbol} {self.interval.value} by REST"
        first = await self._page(span, name)
        missing = holes(first.columns["open_time"], self.interval, span)
        if not missing:
            return self._result(span, first.columns, [], first.events)
        listed = await self.first_open()
        if listed is not None and missing[-1].end <= listed:
            gaps = [Gap(hole.start, hole.end, GapKind.NOT_LISTED, f"first candle {iso(listed)}") for hole in missing]
            return self._result(span, first.columns, gaps, first.events)
        again = await self._page(Span(missing[0].start, missing[-1].end), name)
        columns = merged(first.columns, again.columns)
        missing = holes(columns["open_time"], self.interval, span)
        gaps = [gap for hole in missing for gap in self._reasons(hole, span, listed, again.doubtful)]
        return self._result(span, columns, gaps, [*first.events, *again.events])

    async def running_candle(self, now: Micros) -> pa.Table:
        """The candle that is open at ``now``; no row where the exchange does not send it yet."""
        opened = self.interval.floor(now)
        span = Span(opened, self.interval.step(opened))
        page = await self._page(span, f"{self.symbol} {self.interval.value} by REST")
        return table_of(self.chart_type, whole(page.columns, self.interval))

    async def first_open(self) -> Micros | None:
        """The open of the oldest candle that the exchange has, asked for once; ``None`` where it has none."""
        if self._first_open is None:
            request = self.adapter.first_candle_request(self.symbol, self.interval)
            if request is None:
                self._first_open = await self._searched_first_open()
            else:
                rows = await self._rows(request, self.interval)
                self._first_open = min(rows.open_time, default=None)
        return self._first_open

    async def _searched_first_open(self) -> Micros | None:
        """The first month, in it the first day, in it the first candle: a dozen requests at most."""
        longer = [
            each
            for each in (Interval.MONTH_1, Interval.DAY_1)
            if each in self.adapter.intervals and each.longest > self.interval.longest
        ]
        found: Micros | None = None
        span = Span(self.adapter.launched, self.shared.clock())
        for interval in (*longer, self.interval):
            found = await self._first_in(Span(interval.floor(span.start), span.end), interval)
            if found is None:
                break
            span = Span(found, interval.step(found))
        return found

    async def _first_in(self, span: Span, interval: Interval) -> Micros | None:
        adapter = self.adapter
        for chunk in rest_chunks(span, interval, chunk=adapter.page_size, longest=adapter.longest_request):
            request = adapter.candles_request(self.symbol, interval, chunk)
            rows = await self._rows(request, interval)
            if rows.open_time:
                return min(rows.open_time)
        return None

    async def server_time(self) -> Micros:
        """The exchange's clock."""
        request = self.adapter.server_time_request()
        return await self.http.ask(request, self.adapter.clock, error_of=self.adapter.failure)

    async def _rows(self, request: Request, interval: Interval) -> CandleColumns:
        return await self.http.fetch(
            request, lambda body: self.adapter.candles(body, interval), error_of=self.adapter.failure
        )

    async def _page(self, span: Span, name: str) -> Checked:
        request = self.adapter.candles_request(self.symbol, self.interval, span)
        rows = await self._rows(request, self.interval)
        return check(within(arrays(rows), span), self.interval, span, name)

    def _reasons(self, hole: Span, span: Span, listed: Micros | None, doubtful: list[Span]) -> list[Gap]:
        begin = min(max(hole.start, listed or hole.start), hole.end)
        gaps = []
        if begin > hole.start:
            gaps.append(Gap(hole.start, begin, GapKind.NOT_LISTED, f"first candle {iso(begin)}"))
        rest = Span(begin, hole.end)
        failed = [part for each in doubtful if (part := each.clip(rest))]
        gaps += [
            Gap(
                part.start,
                part.end,
                GapKind.FETCH_FAILED,
                "the exchange sent rows that contradict each other or cannot be",
            )
            for part in failed
        ]
        recent = rest.end == span.end and rest.end > self.shared.clock() - self.adapter.settle
        kind = GapKind.NOT_YET if recent else GapKind.HALT if self.adapter.sends_empty_candles else GapKind.NO_TRADES
        evidence = "asked twice, the exchange sent no candle"
        return gaps + [Gap(part.start, part.end, kind, evidence) for part in subtract(rest, failed)]

    def _result(self, span: Span, columns: Columns, gaps: list[Gap], events: list[Event]) -> FetchResult:
        unanswered = [gap.span for gap in gaps if gap.kind.is_failure or gap.kind is GapKind.NOT_YET]
        at = self.shared.clock()
        spans = [self.answered(part, at) for part in subtract(span, unanswered)]
        return FetchResult(table_of(self.chart_type, whole(columns, self.interval)), spans, gaps, events)


def arrays(rows: CandleColumns) -> Columns:
    """The columns that the exchange sends."""
    sent = {name: getattr(rows, name) for name in CandleColumns.__struct_fields__}
    return {
        name: np.array(values, np.int64 if name in _INTEGERS else np.float64)
        for name, values in sent.items()
        if values is not None
    }


def within(columns: Columns, span: Span) -> Columns:
    """What opens in ``span``: some exchanges answer from its start to now."""
    times = columns["open_time"]
    inside = (times >= span.start) & (times < span.end)
    return columns if inside.all() else {name: values[inside] for name, values in columns.items()}


def whole(columns: Columns, interval: Interval) -> Columns:
    """With NaN for what the exchange does not send, 0 for the number of trades, and the close by the interval."""
    size = len(columns["open_time"])
    missing: dict[str, NDArray[Any]] = {}
    for name in CandleColumns.__struct_fields__:
        if name in columns:
            continue
        if name == "close_time":
            ends = [interval.step(int(opened)) - 1 for opened in columns["open_time"]]
            missing[name] = np.array(ends, np.int64)
        else:
            missing[name] = np.zeros(size, np.int64) if name == "count" else np.full(size, np.nan)
    return {**columns, **missing}


def merged(first: Columns, again: Columns) -> Columns:
    """Both readings; where both have a candle, the second's."""
    keep = ~np.isin(first["open_time"], again["open_time"])
    both = {name: np.concatenate([first[name][keep], again[name]]) for name in first}
    order = np.argsort(both["open_time"], kind="stable")
    return {name: values[order] for name, values in both.items()}
