"""Execute a plan: download and request concurrently, repair, and cache final rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from msgspec import Struct, structs

from chandlery.cache.arrow_cache import UnifiedCacheManager
from chandlery.cache.reading import Cached
from chandlery.core.errors import CacheError, ChandleryError
from chandlery.core.gaps import Gap, GapKind, Span, clipped, merge, subtract_all, without
from chandlery.core.holes import storable
from chandlery.core.interval import Grid
from chandlery.core.provenance import Event, EventKind, SourceSpan
from chandlery.core.query import DataSource
from chandlery.core.time import DAY, Micros, day_of, iso
from chandlery.history.interfaces import Seen, first_error, in_body
from chandlery.history.plan import ArchiveFile, ArchiveStep, BeyondStep, RestStep, Step
from chandlery.history.series import Series
from chandlery.tables.frame import open_times, slice_span
from chandlery.tables.part import Part, in_order

_KEPT_AT_ONCE = 50_000
"""Number of rows collected before the cache is written, so that a day is not rewritten for each page of it."""


class Progress(Struct, frozen=True):
    """Progress of a call: ``done`` of ``total`` candles are settled, the last of them by ``source``."""

    done: int
    total: int
    source: str


Report: TypeAlias = Callable[[Span, str], None]
"""Takes a settled span, and its source."""


def reporter(progress: Callable[[Progress], None], grid: Grid, wanted: Span) -> Report:
    """Return a function that reports to ``progress`` each span that is settled, and its source."""
    total = grid.count(wanted.start, wanted.end)
    done = 0

    def report(span: Span, source: str) -> None:
        nonlocal done
        part = span.clip(wanted)
        done = min(total, done + (grid.count(part.start, part.end) if part else 0))
        progress(Progress(done, total, source))

    return report


class Execution:
    """The execution of one plan: ``parts`` are its results, in any order, ``failure`` the first error."""

    def __init__(
        self,
        series: Series,
        *,
        cached: Cached,
        cache: UnifiedCacheManager | None,
        now: Micros,
        most: int,
        report: Report | None,
        source: DataSource | None = None,
    ) -> None:
        """
        ``now`` is the time at the exchange, ``most`` limits the candles of one request.

        ``source`` replaces that of the series.
        """
        self.grid = series.grid
        self._series = series
        self._chart_type = series.key.chart_type
        self._source = source or series.source
        self._cached = cached
        self._cache = cache
        self._now = now
        self._most = most
        self._report = report
        self._final_before = now - series.client.settle
        """Time from which rows may still change and are not stored."""
        if self._chart_type.interval is None:
            self._final_before = self.grid.floor(self._final_before)
        self.parts: list[Part] = []
        self.failure: ChandleryError | None = None
        self._unkept: list[Part] = []

    async def run(self, steps: Sequence[Step]) -> None:
        """
        Execute the steps. A failure becomes a gap, and the other steps continue.

        Raises:
            InvalidInput: The exchange rejects the query itself.
        """
        by_archive = [step for step in steps if isinstance(step, ArchiveStep)]
        by_rest = [step.span for step in steps if isinstance(step, RestStep)]
        for step in steps:
            if isinstance(step, BeyondStep):
                evidence = f"the exchange serves data from {iso(step.oldest)} on"
                self._fail([step.span], GapKind.NO_LONGER_SERVED, evidence)
        try:
            async with asyncio.TaskGroup() as group:
                parts = (self._by_archive(by_archive), self._by_rest(by_rest))
                await in_body([group.create_task(each) for each in parts])
        except BaseExceptionGroup as group_error:
            raise first_error(group_error) from None
        finally:
            await self._flush()

    async def _by_archive(self, steps: Sequence[ArchiveStep]) -> None:
        if not steps or self._series.archive is None:
            return
        left: Sequence[Span] = await self._files(steps)
        monthly = {step.file for step in steps if step.file.monthly}
        left = await self._trimmed(left)
        retried = self._daily_instead(left, monthly)
        if retried:
            left = merge([*subtract_all(left, [step.span for step in retried]), *await self._files(retried)])
        if self._source is DataSource.AUTO and self._series.rest is not None:
            await self._by_rest(left)
        else:
            self._fail(left, GapKind.NOT_IN_ARCHIVE, "the archive has no usable file with these candles")

    async def _files(self, steps: Sequence[ArchiveStep]) -> list[Span]:
        """Fetch the files of ``steps``. Return the spans that they do not cover."""
        wanted = merge(step.span for step in steps)
        answered: list[Span] = []

        async def deliver(part: Part) -> None:
            await self._keep_later(part)
            table = in_order([slice_span(part.table, span) for span in wanted], self._chart_type)
            got = [each for span in wanted for each in clipped(part.spans, span)]
            self.parts.append(Part(table, got, events=part.events))
            answered.extend(each.span for each in got)
            self._notify(got)

        if self._series.archive is not None:
            await self._series.archive.fetch_files(sorted({step.file for step in steps}), deliver)
        return subtract_all(wanted, answered)

    async def _trimmed(self, left: Sequence[Span]) -> Sequence[Span]:
        """Drop from ``left`` what lies beyond the ends of the series; finding these takes few requests."""
        if not left or self._source is not DataSource.AUTO or self._series.rest is None:
            return left
        return await self._series.rest.trim_spans(left, self._take, self._seen())

    def _seen(self) -> Seen:
        """Return the first and the last candle that cache and archive have."""
        known: list[Micros] = []
        for table in (self._cached.table, *(part.table for part in self.parts)):
            if len(table):
                times = open_times(table)
                known += [int(times[0]), int(times[-1])]
        earlier = (
            self._series.archive.earlier
            if self._series.archive is not None and self._source is DataSource.AUTO
            else None
        )
        return Seen(min(known, default=None), max(known, default=None), earlier)

    def _daily_instead(self, left: Sequence[Span], monthly: set[ArchiveFile]) -> list[ArchiveStep]:
        """Return steps for the days of the months whose files are missing or unusable, if there are daily files."""
        if self.grid.longest > DAY:
            return []
        unusable = {EventKind.MISSING_ARCHIVE_FILE, EventKind.BAD_CHECKSUM, EventKind.BAD_ARCHIVE}
        events = [event for part in self.parts for event in part.events]
        failed = {event.start for event in events if event.kind in unusable}
        months = [month for month in monthly if month.start in failed]
        return [
            ArchiveStep(part, ArchiveFile(day, monthly=False))
            for month in sorted(months)
            for span in left
            if (common := span.clip(month.span))
            for day in range(day_of(common.start), common.end, DAY)
            if (part := common.clip(Span(day, day + DAY)))
        ]

    async def _by_rest(self, spans: Sequence[Span]) -> None:
        if self._series.rest is None or not spans:
            return
        failure = await self._series.rest.read_spans(
            spans, self._take, concurrent=self._series.resources.max_concurrent, seen=self._seen(), most=self._most
        )
        self.failure = self.failure or failure

    async def _take(self, part: Part) -> None:
        self.parts.append(part)
        self._notify(part.spans)
        await self._keep_later(part)

    async def _keep_later(self, part: Part) -> None:
        self._unkept.append(part)
        if sum(len(each.table) for each in self._unkept) >= _KEPT_AT_ONCE:
            await self._flush()

    async def _flush(self) -> None:
        parts, self._unkept = self._unkept, []
        if self._cache is None or not parts:
            return
        failed = await asyncio.to_thread(self._store, self._cache, parts)
        if failed is not None:
            self.parts.append(Part(None, events=[failed]))

    def _store(self, cache: UnifiedCacheManager, parts: Sequence[Part]) -> Event | None:
        """Cache what is final of ``parts``, which are in any order. Return the event that this failed."""
        final = self._final(parts)
        if not final.spans:
            return None
        try:
            cache.store(self._series.key, final.table, final.spans, final.gaps)
        except CacheError as error:
            start, end = min(each.start for each in final.spans), max(each.end for each in final.spans)
            return Event(start, end, EventKind.CACHE_NOT_WRITTEN, str(error))
        return None

    def _final(self, parts: Sequence[Part]) -> Part:
        """Return all rows of ``parts``, and those of their spans and gaps that are final."""
        spans: list[SourceSpan] = []
        gaps: list[Gap] = []
        for part in parts:
            final = Span(0, self._final_before if part.final_before is None else part.final_before)
            stored, young = storable(map(self._certain, part.gaps), self.grid, self._now) if part.gaps else ([], [])
            final_spans = clipped(part.spans, final)
            spans += without(final_spans, young) if young else final_spans
            gaps += [gap for gap in stored if gap.end <= final.end]
        return Part(in_order([part.table for part in parts], self._chart_type), spans, gaps)

    def _certain(self, gap: Gap) -> Gap:
        """Mark a gap as not storable if the archive was not allowed and may have candles of an earlier instrument."""
        alone = self._source is DataSource.REST and self._series.archive is not None
        return structs.replace(gap, recheck_at=self._now) if alone and gap.kind is GapKind.NOT_LISTED else gap

    def _fail(self, spans: Iterable[Span], kind: GapKind, evidence: str) -> None:
        gaps = [Gap(span.start, span.end, kind, evidence) for span in spans]
        if gaps:
            self.parts.append(Part(None, gaps=gaps))

    def _notify(self, spans: Iterable[SourceSpan]) -> None:
        if self._report is not None:
            for each in spans:
                self._report(each.span, each.source)
