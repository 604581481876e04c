"""The archive: files are downloaded, proved against their checksum, and parsed many at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import numpy as np
from msgspec import Struct, structs

from chandlery.adapter.base import ExchangeAdapter
from chandlery.core.errors import ChandleryError, ChecksumMismatch, CorruptArchive, ExchangeUnavailable, NotFound
from chandlery.core.gaps import Span, subtract
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

_BATCH_BYTES = 1 << 20
"""How much is collected before it is unzipped and parsed, while more is downloaded."""
_BATCHES_AT_ONCE = 3
"""So that some are unzipped and parsed while one is written to the cache."""
_HELD_TEXT = 512 << 20
"""How much text may wait to be parsed."""
_ROW_TEXT = 130
"""About how long a row is."""

_T = TypeVar("_T")

Deliver = Callable[[FetchResult], Awaitable[None]]


class _Download(Struct, frozen=True):
    """One file: its zip and what it is to hash to, then its text; or why it cannot be used."""

    file: ArchiveFile
    zipped: bytes = b""
    sha256: str = ""
    fetched_at: Micros = 0
    text: bytes | None = None
    events: Sequence[Event] = ()
    suspect: bool = False
    """It is not what the checksum says, and may be so when asked for again."""


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

        Files that are missing or cannot be used leave their moments unanswered, with an event.
        """
        parts: list[FetchResult] = []

        async def keep(part: FetchResult) -> None:
            parts.append(part)

        await self.fetch_files(archive_files(span, self.interval), keep)
        got = joined(self.chart_type, parts)
        return FetchResult(slice_span(got.table, span), got.spans, got.gaps, got.events)

    async def fetch_files(self, files: Sequence[ArchiveFile], deliver: Deliver) -> None:
        """
        Give ``deliver`` the candles of whole files, in the order of ``files``, several to a result.

        A result's ``spans`` leave out what its files lack or contradict themselves on. When the
        archive itself fails, after retries, the files that are left are not asked for; they stay
        unanswered.
        """
        ill = asyncio.Event()
        waiting = deque(files)
        running: deque[asyncio.Task[_Download]] = deque()
        batch: list[_Download] = []
        passing_on: deque[asyncio.Task[None]] = deque()
        ahead = self._ahead(files)
        async with asyncio.TaskGroup() as group:
            while waiting or running:
                while waiting and len(running) < ahead:
                    running.append(group.create_task(self._download(waiting.popleft(), ill)))
                batch.append(await running.popleft())
                if not running or sum(len(each.zipped) for each in batch) >= _BATCH_BYTES:
                    if len(passing_on) == _BATCHES_AT_ONCE:
                        await passing_on.popleft()
                    before = passing_on[-1] if passing_on else None
                    passing_on.append(group.create_task(self._pass_on(batch, ill, deliver, before)))
                    batch = []

    async def _pass_on(
        self, batch: Sequence[_Download], ill: asyncio.Event, deliver: Deliver, before: asyncio.Task[None] | None
    ) -> None:
        """Deliver after ``before``. A file that does not match its checksum is asked for once more."""
        opened = await asyncio.to_thread(self._open, batch)
        for place, first in enumerate(opened):
            if first.suspect:
                (second,) = await asyncio.to_thread(self._open, [await self._download(first.file, ill)])
                opened[place] = structs.replace(second, events=[*first.events, *second.events])
        parsed = await asyncio.to_thread(self._parse, opened)
        if before is not None:
            await before
        await deliver(parsed)

    async def checksum(self, file: ArchiveFile) -> str:
        """The SHA-256 that the archive publishes for a file now."""
        request = self._request(file)
        said = await self.shared.http.send(Request(f"{request.url}.CHECKSUM"))
        words = said.body.decode("ascii", "replace").split()
        if not words or len(words[0]) != 64:
            raise ChecksumMismatch(f"{request.url}.CHECKSUM does not hold a SHA-256")
        return words[0].lower()

    def _ahead(self, files: Sequence[ArchiveFile]) -> int:
        longest = max((self.interval.count(file.span.start, file.span.end) for file in files), default=1)
        return max(1, min(self.shared.max_concurrent_downloads, _HELD_TEXT // (longest * _ROW_TEXT + 1)))

    def _request(self, file: ArchiveFile) -> Request:
        return self.adapter.archive_request(self.symbol, self.interval, file.start, monthly=file.monthly)

    async def _download(self, file: ArchiveFile, ill: asyncio.Event) -> _Download:
        try:
            if ill.is_set():
                raise ExchangeUnavailable("the archive failed for another file, so this one was not asked for")
            zipped, sha256 = await self._with_checksum(file)
        except ChecksumMismatch as error:
            return _refused(file, EventKind.BAD_CHECKSUM, error, suspect=True)
        except NotFound as error:
            return _refused(file, EventKind.MISSING_ARCHIVE_FILE, error)
        except ChandleryError as error:
            ill.set()
            return _refused(file, EventKind.BAD_ARCHIVE, error)
        return _Download(file, zipped, sha256, self.shared.clock())

    async def _with_checksum(self, file: ArchiveFile) -> tuple[bytes, str]:
        """Both at once: for a file of a day the way there and back takes longer than all else."""
        request = self._request(file)
        zipped, expected = await asyncio.gather(_outcome(self.shared.http.send(request)), _outcome(self.checksum(file)))
        if isinstance(zipped, ChandleryError):
            raise zipped
        if isinstance(expected, NotFound):
            raise ChecksumMismatch(f"{request.url} has no .CHECKSUM, so it cannot be proved") from expected
        if isinstance(expected, ChandleryError):
            raise expected
        return zipped.body, expected

    def _open(self, downloads: Sequence[_Download]) -> list[_Download]:
        return [self._opened(each) if each.sha256 else each for each in downloads]

    def _opened(self, download: _Download) -> _Download:
        try:
            text = inflate(download.zipped, download.sha256, self._request(download.file).url)
        except ChecksumMismatch as error:
            return _refused(download.file, EventKind.BAD_CHECKSUM, error, suspect=True)
        except CorruptArchive as error:
            return _refused(download.file, EventKind.BAD_ARCHIVE, error, suspect=True)
        return structs.replace(download, zipped=b"", text=text)

    def _parse(self, downloads: Sequence[_Download]) -> FetchResult:
        events = [event for each in downloads for event in each.events]
        usable = [(each, each.text) for each in downloads if each.text is not None]
        spans: list[SourceSpan] = []
        kept: list[Columns] = []
        parsed = parse_csv([text for _, text in usable], self.adapter.archive_row)
        for (download, _), columns in zip(usable, parsed, strict=True):
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


def _refused(file: ArchiveFile, kind: EventKind, error: ChandleryError, *, suspect: bool = False) -> _Download:
    return _Download(file, events=[Event(file.span.start, file.span.end, kind, str(error))], suspect=suspect)


async def _outcome(awaitable: Awaitable[_T]) -> _T | ChandleryError:
    """The result, or the error as a value, so that the other of two requests is not cancelled."""
    try:
        return await awaitable
    except ChandleryError as error:
        return error
