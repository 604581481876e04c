"""The archive: files are downloaded, proved against their checksum, and parsed many at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
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
from chandlery.history.archive_csv import inflate, parse_csv
from chandlery.history.checks import Columns, check, holes
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

_T = TypeVar("_T")

Deliver = Callable[[FetchResult], Awaitable[None]]


class _Download(Struct, frozen=True):
    """The outcome of one file: its text and the checksum of its zip, or why it cannot be used."""

    file: ArchiveFile
    text: bytes = b""
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
        under_way = asyncio.Semaphore(self.shared.max_concurrent_downloads)
        text = max((self.interval.count(file.span.start, file.span.end) for file in files), default=1) * _ROW_TEXT
        most = max(1, _HELD_TEXT // text)
        held = asyncio.Semaphore(most)

        async def one(file: ArchiveFile) -> _Download:
            await held.acquire()
            async with under_way:
                return await self._download(file, ill)

        async with asyncio.TaskGroup() as group:
            tasks = deque(group.create_task(one(file)) for file in files)
            batch: list[_Download] = []
            while tasks:
                batch.append(await tasks.popleft())
                if not tasks or len(batch) == most or sum(len(each.text) for each in batch) >= _BATCH_TEXT:
                    await deliver(await asyncio.to_thread(self._parse, batch))
                    for _ in batch:
                        held.release()
                    batch = []

    async def checksum(self, file: ArchiveFile) -> str:
        """The SHA-256 that the archive publishes for a file now."""
        request = self._request(file)
        said = await self.shared.http.send(Request(f"{request.url}.CHECKSUM"))
        words = said.body.decode("ascii", "replace").split()
        if not words or len(words[0]) != 64:
            raise ChecksumMismatch(f"{request.url}.CHECKSUM does not hold a SHA-256")
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
                text, sha256 = await self._proved(file)
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
                return _Download(file, text, sha256, self.shared.clock(), events, usable=True)
        return _Download(file, events=events)

    async def _proved(self, file: ArchiveFile) -> tuple[bytes, str]:
        """Both at once: for a file of a day the way there and back takes longer than all else."""
        request = self._request(file)
        zipped, expected = await asyncio.gather(_outcome(self.shared.http.send(request)), _outcome(self.checksum(file)))
        if isinstance(zipped, ChandleryError):
            raise zipped
        if isinstance(expected, NotFound):
            raise ChecksumMismatch(f"{request.url} has no .CHECKSUM, so it cannot be proved") from expected
        if isinstance(expected, ChandleryError):
            raise expected
        async with self.shared.unzipping:
            return await asyncio.to_thread(inflate, zipped.body, expected, request.url), expected

    def _parse(self, downloads: Sequence[_Download]) -> FetchResult:
        events = [event for each in downloads for event in each.events]
        usable = [each for each in downloads if each.usable]
        spans: list[SourceSpan] = []
        kept: list[Columns] = []
        parsed = parse_csv([each.text for each in usable], self.adapter.archive_row)
        for download, columns in zip(usable, parsed, strict=True):
            if isinstance(columns, CorruptArchive):
                detail = f"{self.name_of(download.file)}: {columns}"
                events.append(Event(download.file.span.start, download.file.span.end, EventKind.BAD_ARCHIVE, detail))
            else:
                kept.append(self._believe(download, columns, spans, events))
        if not kept:
            return joined(self.chart_type, [FetchResult(None, events=events)])
        whole = {name: np.concatenate([columns[name] for columns in kept]) for name in kept[0]}
        return FetchResult(table_of(self.chart_type, whole), spans, events=events)

    def _believe(self, download: _Download, columns: Columns, spans: list[SourceSpan], events: list[Event]) -> Columns:
        file, name = download.file, self.name_of(download.file)
        checked = check(columns, self.interval, file.span, name)
        events += checked.events
        missing = holes(checked.columns["open_time"], self.interval, file.span)
        if missing:
            count = sum(self.interval.count(hole.start, hole.end) for hole in missing)
            detail = f"{name}: {count} candles are not in the file"
            events.append(Event(missing[0].start, missing[-1].end, EventKind.MISSING_ROWS, detail))
        spans += [
            SourceSpan(span.start, span.end, self.source, download.fetched_at, name, download.sha256)
            for span in subtract(file.span, missing)
        ]
        return checked.columns

    def name_of(self, file: ArchiveFile) -> str:
        """How provenance names a file: the archive's name without its ending."""
        return f"{self.symbol}-{self.interval.slug}-{file}"


async def _outcome(awaitable: Awaitable[_T]) -> _T | ChandleryError:
    """The result, or the error as a value, so that the other of two requests is not cancelled."""
    try:
        return await awaitable
    except ChandleryError as error:
        return error
