"""Find the parts of a history of order books that were not collected."""

from __future__ import annotations

from collections.abc import Sequence

from chandlery.core.gaps import Gap, GapKind, Span, subtract_all
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Micros, iso
from chandlery.database.gaps import GapRepository
from chandlery.database.interfaces import IStorageManager

_EVER: Micros = 2**62


class BookHistory:
    """The bounds of the stored order books of each series, and the gaps in them."""

    def __init__(self, storage: IStorageManager, gaps: GapRepository) -> None:
        self._storage = storage
        self._gaps = gaps

    async def bounds(self, series: SeriesId) -> Span | None:
        """Return the span from the first to the last readable order book, which is at ``end``; ``None`` if none is stored."""
        last = await self._storage.get_latest_book(series.symbol, exchange=series.exchange)
        if last is None:
            return None
        page = await self._storage.get_book_page(series.symbol, 0, _EVER, 1, exchange=series.exchange)
        first = page.entries[0].timestamp if page.entries else page.damaged[0].start
        return Span(first, last.timestamp)

    async def gaps(self, series: SeriesId, span: Span, now: Micros, awaited: Micros = 0) -> list[Gap]:
        """
        Return every part of ``span``, up to ``now``, that was not collected, oldest first.

        ``awaited`` is the time after the last order book within which the next one is not overdue; 0 if nothing is collected.
        """
        recorded = await self._gaps.find(series, span)
        return uncollected(span, await self.bounds(series), recorded, now, awaited)


def uncollected(span: Span, stored: Span | None, recorded: Sequence[Gap], now: Micros, awaited: Micros) -> list[Gap]:
    """Compute ``BookHistory.gaps``; ``stored`` is from the first order book to the last, ``recorded`` are its gaps."""
    past = Span(span.start, min(span.end, now))
    if stored is None:
        others = [(past, "no order book is stored")]
    else:
        tail = Span(stored.end, max(stored.end, now))
        if tail.end - tail.start <= awaited:
            tail = Span(stored.end, stored.end)
        others = [
            (past.clip(Span(0, stored.start)), f"no order book is stored before {iso(stored.start)}"),
            (past.clip(tail), f"no order book is stored after {iso(stored.end)}"),
        ]
    known = [gap.span for gap in recorded]
    more = [
        Gap(left.start, left.end, GapKind.NOT_COLLECTED, evidence)
        for part, evidence in others
        if part
        for left in subtract_all([part], known)
    ]
    return sorted([*recorded, *more])
