"""Past candles through ccxt: page after page, each looked at, and what is missing asked for again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from chandlery.adapter.layout import CandleLayout
from chandlery.core.errors import MalformedResponse
from chandlery.core.gaps import Gap, GapKind, Span, subtract, subtract_each
from chandlery.core.interval import Interval
from chandlery.core.provenance import Event, SourceSpan
from chandlery.core.query import ChartType
from chandlery.core.time import Clock, Micros, iso
from chandlery.history.checks import Checked, Columns, check, holes
from chandlery.history.columns import arrays, merged, whole, within
from chandlery.history.interfaces import FetchResult
from chandlery.storage.frame import table_of

Rows: TypeAlias = Sequence[Sequence[Any]]

Ask: TypeAlias = Callable[[Span, bool], Awaitable[Rows]]
"""Asks for the candles of a span that one answer should hold, and, or not, says how many."""

ROW = CandleLayout(0, 1, 2, 3, 4, 5)
"""How ccxt writes a candle of any exchange."""

SOURCE = "ccxt"

_NONE: Columns = arrays(ROW.columns([]))
"""The columns of no candle."""


class History:
    """
    The candles of one market.

    ``page_size`` is how many candles one answer should hold; one that holds fewer is asked on from its
    end. ``listed`` is the moment before which there are none, where the exchange tells it. ``clock``
    is this machine's, for the provenance.
    """

    def __init__(
        self, name: str, interval: Interval, ask: Ask, page_size: int, *, listed: Micros | None, clock: Clock
    ) -> None:
        self._name = f"{name} {interval.value} by ccxt"
        self._interval = interval
        self._ask = ask
        self._page_size = page_size
        self._listed = listed
        self._clock = clock
        self._events: list[Event] = []
        self._doubtful: list[Span] = []
        self._counts = True
        """Whether to say how many: there are exchanges that then answer with the latest, whatever was asked for."""
        self._first_heard: Micros | None = None
        """The open of the oldest candle in any answer, also of such as were not asked for."""

    async def fetch(self, span: Span, now: Micros) -> FetchResult:
        """
        The candles that open in ``span`` and have closed by ``now``, and why others are not there.

        Where the exchange seems not to answer for the beginning of the span any more that is a failure,
        and no hole of its own making.
        """
        interval = self._interval
        closed = Span(interval.ceil(span.start), min(interval.ceil(span.end), interval.floor(now)))
        pages = []
        at = closed.start
        while at < closed.end:
            page = Span(at, min(interval.step(at, self._page_size), closed.end))
            pages.append(await self._page(page))
            at = page.end
        columns = {name: np.concatenate([page[name] for page in pages]) for name in pages[0]} if pages else _NONE
        missing = holes(columns["open_time"], interval, closed)
        gaps = [
            gap
            for hole, believed in zip(missing, subtract_each(missing, self._doubtful), strict=True)
            for gap in self._reasons(hole, believed, closed, now)
        ]
        failed = [gap.span for gap in gaps if gap.kind.is_failure]
        fetched_at = self._clock()
        spans = [SourceSpan(each.start, each.end, SOURCE, fetched_at) for each in subtract(closed, failed)]
        return FetchResult(table_of(ChartType.KLINES, whole(columns, interval)), spans, gaps, self._events)

    async def _page(self, page: Span) -> Columns:
        """Ask for a page, and for what it lacks, until it was asked for in vain both with and without a count."""
        columns = _NONE
        wanted = page
        vain = 0
        while wanted and vain < 2:
            before = len(columns["open_time"])
            counts = self._counts != (vain == 1)
            checked = await self._answer(wanted, counts=counts)
            columns = merged(columns, checked.columns)
            self._events += checked.events
            self._doubtful += checked.doubtful
            if len(columns["open_time"]) > before:
                self._counts, vain = counts, 0
            else:
                vain += 1
            missing = holes(columns["open_time"], self._interval, page)
            wanted = Span(missing[0].start, missing[-1].end) if missing else Span(page.end, page.end)
        return columns

    async def _answer(self, span: Span, *, counts: bool) -> Checked:
        rows = await self._ask(span, counts)
        try:
            columns = arrays(ROW.columns([row[:6] for row in rows]))
        except (TypeError, ValueError, IndexError) as error:
            raise MalformedResponse(f"{self._name}: rows that are no candles: {error}") from error
        times = columns["open_time"]
        if len(times):
            oldest = int(times.min())
            self._first_heard = oldest if self._first_heard is None else min(oldest, self._first_heard)
        return check(within(columns, span), self._interval, span, self._name)

    def _reasons(self, hole: Span, believed: Sequence[Span], span: Span, now: Micros) -> list[Gap]:
        """Why a hole is one, part by part; of what is not ``believed``, rows came that cannot be."""
        interval = self._interval
        gaps = [
            Gap(part.start, part.end, GapKind.FETCH_FAILED, "the exchange sent rows that cannot be")
            for part in subtract(hole, believed)
        ]
        for part in believed:
            kind, evidence = GapKind.NO_TRADES, "asked twice, the exchange sent no candle"
            first = self._first_heard
            if self._listed is not None and part.end <= interval.ceil(self._listed):
                kind, evidence = GapKind.NOT_LISTED, f"listed {iso(self._listed)}"
            elif part.start == span.start and first is not None and first >= part.end:
                kind, evidence = GapKind.NOT_LISTED, f"the exchange has nothing before {iso(first)}"
                if interval.count(first, now) <= self._page_size:
                    kind, evidence = (
                        GapKind.FETCH_FAILED,
                        f"{evidence}, one answer back from now: it may answer for no more",
                    )
            gaps.append(Gap(part.start, part.end, kind, evidence))
        return gaps
