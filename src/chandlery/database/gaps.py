"""The table ``gaps`` of holes in collected series."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Micros
from chandlery.database.series_ids import SeriesIds

_TOUCHING = """
    SELECT start, stop, kind, evidence FROM gaps
    WHERE series = ? AND start > ? - (SELECT max(stop - start) FROM gaps WHERE series = ?)
    AND start < ? AND stop > ? AND believed_until >= ? ORDER BY start, stop LIMIT ?
"""
_RECORD = "INSERT OR REPLACE INTO gaps (series, start, stop, kind, evidence, believed_until) VALUES (?, ?, ?, ?, ?, ?)"
_REPLACE = "DELETE FROM gaps WHERE series = ? AND start >= ? AND start < ? AND stop <= ?"
_FOR_GOOD: Micros = 2**63 - 1
_ALL = -1
"""No limit."""
_MANY = 500
"""Number of gaps from which a thread builds them; for fewer, handing over takes longer."""


class GapRepository:
    """The table ``gaps``, of the series that ``ids`` number."""

    def __init__(self, ids: SeriesIds) -> None:
        self._database = ids.database
        self._ids = ids

    async def record(self, series: SeriesId, gap: Gap) -> None:
        """Store a gap; returns once it is committed."""
        row = (await self._ids.of(series), gap.start, gap.end, gap.kind.value, gap.evidence, 0)
        await self._database.write((_RECORD, [row]))

    async def grow(self, series: SeriesId, gap: Gap) -> None:
        """Store a gap in place of those within it, such as its previous states; returns once it is committed."""
        number = await self._ids.of(series)
        row = (number, gap.start, gap.end, gap.kind.value, gap.evidence, 0)
        await self._database.write((_REPLACE, [(number, gap.start, gap.end, gap.end)]), (_RECORD, [row]))

    async def settle(self, series: SeriesId, gaps: Iterable[Gap]) -> None:
        """Store proved gaps in place of those within them; each is valid until its ``recheck_at``, or for good."""
        number = await self._ids.of(series)
        rows = [
            (number, each.start, each.end, each.kind.value, each.evidence, each.recheck_at or _FOR_GOOD)
            for each in gaps
        ]
        if rows:
            await self._database.write((_REPLACE, [(number, row[1], row[2], row[2]) for row in rows]), (_RECORD, rows))

    async def find(self, series: SeriesId, span: Span) -> list[Gap]:
        """Return the gaps that overlap ``span``, oldest first."""
        return await self._touching(series, span, 0, _ALL)

    async def believed(self, series: SeriesId, span: Span, now: Micros, *, limit: int = _ALL) -> list[Gap]:
        """Return the first ``limit`` gaps that are proved and need not be requested again by ``now``."""
        return await self._touching(series, span, now + 1, limit)

    async def _touching(self, series: SeriesId, span: Span, until: Micros, limit: int) -> list[Gap]:
        number = await self._ids.find(series)
        if number is None:
            return []
        parameters = (number, span.start, number, span.end, span.start, until, limit)
        rows: list[Any] = await self._database.read(_TOUCHING, parameters)
        # An illiquid coin has very many.
        return _gaps(rows) if len(rows) < _MANY else await asyncio.to_thread(_gaps, rows)


def _gaps(rows: Iterable[tuple[Micros, Micros, str, str]]) -> list[Gap]:
    return [Gap(start, end, GapKind(kind), evidence) for start, end, kind, evidence in rows]
