"""The archive: files are downloaded, proved against their checksum, and parsed many at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from typing import TypeVar

import numpy as np
from msgspec import Struct

from chandlery.adapter.base import ExchangeAdapter
from chandlery.core.errors import ChandleryError, ChecksumMismatch, CorruptArchive, ExchangeUnavailable, NotFound
from chandlery.core.gaps import Gap, GapKind, Span, subtract
from chandlery.core.provenance import Event, EventKind, SourceSpan
from chandlery.core.query import ChartType, DataSource
from chandlery.core.time import Micros
from chandlery.core.wire import Request
from chandlery.history.archive_csv import Body, body_of, inflate, parse_csv
from chandlery.history.checks import Columns, check, flawless, holes
from chandlery.history.interfaces import FetchResult, joined
from chandlery.history.native import NativeClient
from chandlery.history.plan import ArchiveFile, archive_files
from chandlery.storage.frame import slice_span, table_of

_BATCH_TEXT = 16 << 20
"""How much text is collected before it is parsed, while more is downloaded."""
_HELD_TEXT = 512 << 20
"""How much may wait to be parsed, as text."""
_ROW_TEXT = 130
"""About how long a row is."""
_AT_FIRST = 4
"""
How many files are under way at once where each takes less than ``_BRISK_S``.

Making more connections costs more than they gain then; a server that is far away needs many.
"""
_BRISK_S = 0.01

_T = TypeVar("_T")

Deliver = Callable[[FetchResult], Awaitable[None]]


class _Download(Struct, frozen=True):
    """The outcome of one file: what is in it and the checksum of its zip, or why it cannot be used."""

    file: ArchiveFile
    body: Body = Body()
    sha256: str = ""
    fetched_at: Micros = 0
    events: Sequence[Event] = ()
    usable: bool = False


class VisionDataClient(NativeClient):
    """Candles of the archive that an exchange publishes as files by day and by month."""

    source = "vision"
    kind = ChartType.KLINES
    data_source = DataSource.VISION

    @classmethod
    def serves(cls, adapter: type[ExchangeAdapter]) -> bool:
        """Those that declare an archive."""
        return adapter.archive_url is not None

    async def fetch_span(self, span: Span) -> FetchResult:
        """
        The candles of ``span`` from the fewest files.

        What files lack, that are missing or cannot be used, is a gap: the exchange itself was not asked.
        """
        parts: list[FetchResult] = []

        async def keep(part: FetchResult) -> None:
            parts.append(part)

        await self.fetch_files(archive_files(span, self.interval), keep)
        got = joined(self.chart_type, parts)
        absent = subtract(span, [each.span for each in got.spans])
        gaps = [
            Gap(each.start, each.end, GapKind.NOT_IN_ARCHIVE, "the archive has no usable file with these candles")
            for each in absent
        ]
        return FetchResult(slice_span(got.table, span), got.spans, gaps, got.events)

    async def fetch_files(self, files: Sequence[ArchiveFile], deliver: Deliver) -> None:
        """
        Give ``deliver`` the candles of whole files, in the order of ``files``, several to a result.

        A result's ``spans`` leave out what its files lack or contradict themselves on. When the
        archive itself fails, after retries, the files that are left are not asked for; they stay
        unanswered.
        """
        ill = asyncio.Event()
        most_under_way = self.shared.max_concurrent_downloads
        under_way = asyncio.Semaphore(min(_AT_FIRST, most_under_way))
        text = max((self.interval.count(file.span.start, file.span.end) for file in files), default=1) * _ROW_TEXT
        most = max(1, _HELD_TEXT // text)
        held = asyncio.Semaphore(most)

        async def one(file: ArchiveFile) -> _Download:
            await held.acquire()
            async with under_way:
                return await self._download(file, ill)

        async with asyncio.TaskGroup() as group:
            tasks = deque(group.create_task(one(file)) for file in files)
            widening = group.create_task(_widen(under_way, most_under_way - _AT_FIRST, list(tasks)))
            batch: list[_Download] = []
            length = 0
            while tasks:
                batch.append(await tasks.popleft())
                length += len(batch[-1].body.text)
                if not tasks or len(batch) == most or length >= _BATCH_TEXT:
                    await deliver(await asyncio.to_thread(self._parse, batch))
                    for _ in batch:
                        held.release()
                    batch, length = [], 0
            widening.cancel()

    async def checksum(self, file: ArchiveFile) -> str:
        """The SHA-256 that the archive publishes for a file now."""
        return await self._checksum(self._request(file).url)

    async def _checksum(self, url: str) -> str:
        said = await self.shared.http.send(Request(f"{url}.CHECKSUM"))
        words = said.body.decode("ascii", "replace").split()
        if not words or len(words[0]) != 64:
            raise ChecksumMismatch(f"{url}.CHECKSUM does not hold a SHA-256")
        return words[0].lower()

    def _request(self, file: ArchiveFile) -> Request:
        return self.adapter.archive_request(self.symbol, self.interval, file.start, monthly=file.monthly)

    async def _download(self, file: ArchiveFile, ill: asyncio.Event) -> _Download:
        """A file that does not match its checksum, or is no zip, is asked for once more."""
        events: list[Event] = []
        for _ in range(2):
            try:
                if ill.is_set():
                    raise ExchangeUnavailable("the archive failed for another file, so this one was not asked for")
                body, sha256 = await self._proved(file)
            except (ChecksumMismatch, CorruptArchive) as error:
                kind = EventKind.BAD_CHECKSUM if isinstance(error, ChecksumMismatch) else EventKind.BAD_ARCHIVE
                events.append(Event(file.span.start, file.span.end, kind, str(error)))
            except NotFound as error:
                events.append(Event(file.span.start, file.span.end, EventKind.MISSING_ARCHIVE_FILE, str(error)))
                break
            except ChandleryError as error:
                ill.set()
                events.append(Event(file.span.start, file.span.end, EventKind.BAD_ARCHIVE, str(error)))
                break
            else:
                return _Download(file, body, sha256, self.shared.clock(), events, usable=True)
        return _Download(file, events=events)

    async def _proved(self, file: ArchiveFile) -> tuple[Body, str]:
        """Both at once: for a file of a day the way there and back takes longer than all else."""
        request = self._request(file)
        zipped, expected = await asyncio.gather(
            _outcome(self.shared.http.send(request)), _outcome(self._checksum(request.url))
        )
        if isinstance(zipped, ChandleryError):
            raise zipped
        if isinstance(expected, NotFound):
            raise ChecksumMismatch(f"{request.url} has no .CHECKSUM, so it cannot be proved") from expected
        if isinstance(expected, ChandleryError):
            raise expected
        async with self.shared.unzipping:
            return await asyncio.to_thread(_unzipped, zipped.body, expected, request.url), expected

    def _parse(self, downloads: Sequence[_Download]) -> FetchResult:
        events = [event for each in downloads for event in each.events]
        spans: list[SourceSpan] = []
        kept = self._candles([each for each in downloads if each.usable], spans, events)
        if not kept:
            return joined(self.chart_type, [FetchResult(None, events=events)])
        whole = kept[0] if len(kept) == 1 else {name: np.concatenate([each[name] for each in kept]) for name in kept[0]}
        return FetchResult(table_of(self.chart_type, whole), spans, events=events)

    def _candles(
        self, downloads: Sequence[_Download], spans: list[SourceSpan], events: list[Event]
    ) -> Sequence[Columns]:
        """In pieces that follow each other: one where nothing is to be said of any file, else one of each file."""
        if not downloads:
            return []
        try:
            columns = parse_csv([each.body for each in downloads], self.adapter.archive_row)
        except CorruptArchive as error:
            if len(downloads) > 1:
                return [columns for each in downloads for columns in self._candles([each], spans, events)]
            file = downloads[0].file
            events.append(
                Event(file.span.start, file.span.end, EventKind.BAD_ARCHIVE, f"{self.name_of(file)}: {error}")
            )
            return []
        rows = [each.body.rows for each in downloads]
        if flawless(columns, rows, self.interval, [each.file.span for each in downloads]):
            spans += [self._source_span(each, each.file.span) for each in downloads]
            return [columns]
        kept = []
        for download, end in zip(downloads, accumulate(rows), strict=True):
            part = {name: values[end - download.body.rows : end] for name, values in columns.items()}
            kept.append(self._believe(download, part, spans, events))
        return kept

    def _believe(self, download: _Download, columns: Columns, spans: list[SourceSpan], events: list[Event]) -> Columns:
        file, name = download.file, self.name_of(download.file)
        checked = check(columns, self.interval, file.span, name)
        events += checked.events
        missing = holes(checked.columns["open_time"], self.interval, file.span)
        if missing:
            count = sum(self.interval.count(hole.start, hole.end) for hole in missing)
            detail = f"{name}: {count} candles are not in the file"
            events.append(Event(missing[0].start, missing[-1].end, EventKind.MISSING_ROWS, detail))
        spans += [self._source_span(download, span) for span in subtract(file.span, missing)]
        return checked.columns

    def _source_span(self, download: _Download, span: Span) -> SourceSpan:
        name = self.name_of(download.file)
        return SourceSpan(span.start, span.end, self.source, download.fetched_at, name, download.sha256)

    def name_of(self, file: ArchiveFile) -> str:
        """How provenance names a file: the archive's name without its ending."""
        return f"{self.symbol}-{self.interval.slug}-{file}"


async def _widen(under_way: asyncio.Semaphore, more: int, tasks: Sequence[asyncio.Task[_Download]]) -> None:
    """Let so many ``more`` be under way as soon as the first few are not done, one like the other, within ``_BRISK_S``."""
    before, done = -_AT_FIRST, 0
    while done - before >= _AT_FIRST:
        await asyncio.sleep(_BRISK_S)
        before, done = done, sum(task.done() for task in tasks)
    for _ in range(more):
        under_way.release()


def _unzipped(zipped: bytes, expected: str, url: str) -> Body:
    """What needs the whole text is done while it is in the processor's cache."""
    return body_of(inflate(zipped, expected, url))


async def _outcome(awaitable: Awaitable[_T]) -> _T | ChandleryError:
    """The result, or the error as a value, so that the other of two requests is not cancelled."""
    try:
        return await awaitable
    except ChandleryError as error:
        return error
