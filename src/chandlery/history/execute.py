"""Carries out a plan: downloads and requests at once, repairs, and keeps what is final."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa
from msgspec import Struct, structs

from chandlery.adapter.pages import rest_chunks
from chandlery.core.errors import CacheError, ChandleryError, Closed, InvalidInput
from chandlery.core.gaps import Gap, GapKind, Span, merge, subtract
from chandlery.core.interval import Interval
from chandlery.core.provenance import Event, EventKind, SourceSpan
from chandlery.core.query import ChartType, DataSource
from chandlery.core.time import DAY, Micros, iso
from chandlery.history.interfaces import DataClientInterface, FetchResult, in_order
from chandlery.history.plan import Abilities, ArchiveFile, ArchiveStep, RestStep, Step
from chandlery.history.rest import RestDataClient
from chandlery.history.vision import VisionDataClient
from chandlery.storage.frame import slice_span

_KEPT_AT_ONCE = 50_000
"""How many rows are collected before the cache is written, so that a day is not rewritten for each page of it."""


class Progress(Struct, frozen=True):
    """How far a call is: ``done`` of ``total`` candles are settled, the last of them by ``source``."""

    done: int
    total: int
    source: str


Keep = Callable[[pa.Table, Sequence[SourceSpan], Sequence[Gap]], None]
"""Writes final rows to the cache; runs in a thread."""


class Execution:
    """One plan being carried out: ``parts`` is what came of it, in any order, ``failure`` the first thing that failed."""

    def __init__(
        self,
        *,
        chart_type: ChartType,
        interval: Interval,
        source: DataSource,
        abilities: Abilities,
        rest: DataClientInterface | None,
        archive: VisionDataClient | None,
        max_concurrent: int,
        final_before: Micros,
        keep: Keep | None,
        report: Callable[[Span, str], None],
    ) -> None:
        """``final_before`` is the moment from which on candles may still change and are not kept."""
        self.chart_type = chart_type
        self.interval = interval
        self.source = source
        self.abilities = abilities
        self.rest = rest
        self.archive = archive
        self.max_concurrent = max_concurrent
        self.final_before = final_before
        self.keep = keep
        self.report = report
        self.parts: list[FetchResult] = []
        self.failure: ChandleryError | None = None
        self._unkept: list[FetchResult] = []

    async def run(self, steps: Sequence[Step]) -> None:
        """
        Carry out the steps; what fails is noted as a gap, and the rest goes on.

        Raises:
            InvalidInput: Where the exchange says that the question itself is wrong.
        """
        by_archive = [step for step in steps if isinstance(step, ArchiveStep)]
        by_rest = [step.span for step in steps if isinstance(step, RestStep)]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._by_archive(by_archive))
                group.create_task(self._by_rest(by_rest))
        except BaseExceptionGroup as group_error:
            raise _first(group_error) from None
        finally:
            await self._flush()

    async def _by_archive(self, steps: Sequence[ArchiveStep]) -> None:
        if not steps or self.archive is None:
            return
        left = await self._listed(await self._files(steps))
        monthly = {step.file for step in steps if step.file.monthly}
        retried = self._daily_instead(left, monthly)
        if retried:
            left = merge([*subtract_all(left, [step.span for step in retried]), *await self._files(retried)])
        if self.source is DataSource.AUTO and self.rest is not None:
            await self._by_rest([chunk for span in left for chunk in self._chunks(span)])
        else:
            self._fail(left, GapKind.NOT_IN_ARCHIVE, "the archive has no usable file with these candles")

    async def _files(self, steps: Sequence[ArchiveStep]) -> list[Span]:
        """Fetch the files of ``steps``; what they do not answer."""
        wanted = merge(step.span for step in steps)
        answered: list[Span] = []

        async def deliver(part: FetchResult) -> None:
            await self._keep_later(part)
            got = [found for each in part.spans for span in wanted if (found := _clipped(each, span))]
            tables = [slice_span(part.table, span) for span in wanted] if part.table is not None else []
            self.parts.append(FetchResult(pa.concat_tables(tables) if tables else None, got, events=part.events))
            answered.extend(each.span for each in got)
            self._tell(got)

        if self.archive is not None:
            await self.archive.fetch_files(sorted({step.file for step in steps}), deliver)
        return subtract_all(wanted, answered)

    async def _listed(self, left: list[Span]) -> list[Span]:
        """``left`` without what lies before the first candle, which is one question instead of many."""
        if not left or self.source is not DataSource.AUTO or not isinstance(self.rest, RestDataClient):
            return left
        try:
            listed = await self.rest.first_open()
        except InvalidInput:
            raise
        except ChandleryError as error:
            # What is left goes to REST next, which meets the same failure and accounts for it span by span.
            self.failure = self.failure or error
            return left
        before = [part for span in left if listed and (part := span.clip(Span(0, listed)))]
        if before:
            at = self.rest.shared.clock()
            unlisted = FetchResult(
                None,
                [self.rest.answered(span, at) for span in before],
                [Gap(span.start, span.end, GapKind.NOT_LISTED, f"first candle {iso(listed or 0)}") for span in before],
            )
            self.parts.append(unlisted)
            self._unkept.append(unlisted)
            self._tell(unlisted.spans)
        return subtract_all(left, before)

    def _daily_instead(self, left: Sequence[Span], monthly: set[ArchiveFile]) -> list[ArchiveStep]:
        """The days of the months whose files are not to be had, where days have files."""
        if self.interval.longest > DAY:
            return []
        events = [event for part in self.parts for event in part.events]
        missing = {event.start for event in events if event.kind is EventKind.MISSING_ARCHIVE_FILE}
        months = [month for month in monthly if month.start in missing and not subtract(month.span, left)]
        return [
            ArchiveStep(Span(day, day + DAY), ArchiveFile(day, monthly=False))
            for month in sorted(months)
            for day in range(month.span.start, month.span.end, DAY)
        ]

    def _chunks(self, span: Span) -> Iterable[Span]:
        return rest_chunks(span, self.interval, chunk=self.abilities.chunk, longest=self.abilities.longest)

    async def _by_rest(self, chunks: Sequence[Span]) -> None:
        waiting = deque(chunks)
        rest = self.rest
        if rest is None or not waiting:
            return

        async def work() -> None:
            while waiting:
                await self._one_chunk(rest, waiting.popleft())

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.max_concurrent, len(waiting))):
                group.create_task(work())

    async def _one_chunk(self, rest: DataClientInterface, span: Span) -> None:
        try:
            got = await (rest.fetch_chunk(span) if isinstance(rest, RestDataClient) else rest.fetch_span(span))
        except (InvalidInput, Closed):
            raise
        except ChandleryError as error:
            self.failure = self.failure or error
            self._fail([span], GapKind.FETCH_FAILED, str(error))
            return
        self.parts.append(got)
        self._tell(got.spans)
        await self._keep_later(got)

    async def _keep_later(self, part: FetchResult) -> None:
        self._unkept.append(part)
        if sum(len(each.table) for each in self._unkept if each.table is not None) >= _KEPT_AT_ONCE:
            await self._flush()

    async def _flush(self) -> None:
        parts, self._unkept = self._unkept, []
        await self._write(parts)

    async def _write(self, parts: Sequence[FetchResult]) -> None:
        """Keep what is final of ``parts``, which come in any order."""
        if self.keep is None or not parts:
            return
        final = Span(0, self.final_before)
        spans = [found for part in parts for each in part.spans if (found := _clipped(each, final))]
        tables = [part.table for part in parts if part.table is not None and len(part.table)]
        if not spans:
            return
        table = in_order(tables, self.chart_type)
        gaps = [gap for part in parts for gap in part.gaps if not gap.kind.is_failure and gap.end <= final.end]
        try:
            await asyncio.to_thread(self.keep, table, spans, gaps)
        except CacheError as error:
            hull = Span(min(each.start for each in spans), max(each.end for each in spans))
            event = Event(hull.start, hull.end, EventKind.CACHE_NOT_WRITTEN, str(error))
            self.parts.append(FetchResult(None, events=[event]))

    def _fail(self, spans: Iterable[Span], kind: GapKind, evidence: str) -> None:
        gaps = [Gap(span.start, span.end, kind, evidence) for span in spans]
        if gaps:
            self.parts.append(FetchResult(None, gaps=gaps))

    def _tell(self, spans: Iterable[SourceSpan]) -> None:
        for each in spans:
            self.report(each.span, each.source)


def subtract_all(spans: Iterable[Span], taken: Sequence[Span]) -> list[Span]:
    """What of ``spans`` lies in none of ``taken``."""
    return [left for span in spans for left in subtract(span, taken)]


def _clipped(source: SourceSpan, span: Span) -> SourceSpan | None:
    part = source.span.clip(span)
    return structs.replace(source, start=part.start, end=part.end) if part else None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first single error in a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
