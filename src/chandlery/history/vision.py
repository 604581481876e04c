"""The archive: download files, verify their checksums, and parse many at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import TypeVar

import numpy as np
from msgspec import Struct, structs

from chandlery.adapter.base import ExchangeAdapter
from chandlery.core.errors import ChandleryError, ChecksumMismatch, CorruptArchive, ExchangeUnavailable, NotFound
from chandlery.core.fork import require_polars
from chandlery.core.gaps import Gap, GapKind, Span, subtract
from chandlery.core.http import Request
from chandlery.core.provenance import Event, EventKind, SourceSpan
from chandlery.core.query import ChartType, DataSource
from chandlery.core.time import Micros, add_months, month_of
from chandlery.history.archive_csv import Body, body_of, in_micros, inflate, parse_csv, prove
from chandlery.history.checks import Columns, check, flawless, holes, require_grid
from chandlery.history.interfaces import Deliver, Parts, first_error
from chandlery.history.native import NativeClient
from chandlery.history.plan import ArchiveFile, archive_files
from chandlery.tables.frame import slice_span, table_of
from chandlery.tables.part import Part

_BATCH = 6 << 20
"""Size of zips collected before they are unzipped and parsed, while more is downloaded."""
_UNZIPPING = 2
"""Number of threads that unzip; more would only wait for each other."""
_HASHED_AT_ONCE = 1 << 18
"""Longer content is hashed in a thread; shorter content takes less time than starting one."""
_HELD_TEXT = 512 << 20
"""Limit on the text that waits to be parsed, in bytes."""
_ROW_TEXT = 130
"""Approximate length of a row."""
_AT_FIRST = 4
"""
Number of concurrent files while each takes less than ``_BRISK_S``.

More connections then cost more than they gain; a remote server needs many.
"""
_BRISK_S = 0.01

_MONTHS_BACK = (0, 1, 2, 4, 8, 16, 32, 64)

_T = TypeVar("_T")


class _Download(Struct, frozen=True):
    """The outcome of one file: its zip, later its content, and its checksum, or why it cannot be used."""

    file: ArchiveFile
    zipped: bytes = b""
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
    role = "archive"

    @classmethod
    def serves(cls, adapter: type[ExchangeAdapter]) -> bool:
        """Return whether the exchange declares an archive."""
        return adapter.archive_url is not None

    async def fetch_span(self, span: Span) -> Part:
        """
        Fetch the candles of ``span`` from the fewest files.

        Candles of missing or unusable files, and those that files lack, are gaps: the exchange itself was not asked.
        """
        parts = Parts()
        await self.fetch_files(archive_files(span, self.interval), parts.take)
        got = Part.joined(parts, self.chart_type)
        absent = subtract(span, [each.span for each in got.spans])
        gaps = [
            Gap(each.start, each.end, GapKind.NOT_IN_ARCHIVE, "the archive has no usable file with these candles")
            for each in absent
        ]
        return Part(slice_span(got.table, span), got.spans, gaps, got.events)

    async def fetch_files(self, files: Sequence[ArchiveFile], deliver: Deliver) -> None:
        """
        Deliver the candles of whole files, in the order of ``files``, several files to a result.

        A result's ``spans`` leave out candles that its files lack or contradict themselves on. If the
        archive itself fails, after retries, the remaining files are not requested; their spans stay
        unanswered.
        """
        try:
            await self._fetch_files(files, deliver)
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None

    async def _fetch_files(self, files: Sequence[ArchiveFile], deliver: Deliver) -> None:
        require_polars()
        ill = asyncio.Event()
        most_under_way = self.shared.max_concurrent_downloads
        under_way = asyncio.Semaphore(min(_AT_FIRST, most_under_way))
        text = max((self.interval.count(file.span.start, file.span.end) for file in files), default=1) * _ROW_TEXT
        most = max(1, _HELD_TEXT // text)
        held = asyncio.Semaphore(most)
        done = 0

        async def one(file: ArchiveFile) -> _Download:
            nonlocal done
            await held.acquire()
            async with under_way:
                download = await self._download(file, ill)
            done += 1
            return download

        async with asyncio.TaskGroup() as group:
            tasks = deque(group.create_task(one(file)) for file in files)
            widening = group.create_task(_widen(under_way, most_under_way - _AT_FIRST, lambda: done))
            batch: list[_Download] = []
            length = 0
            while tasks:
                batch.append(await tasks.popleft())
                length += len(batch[-1].zipped)
                if not tasks or len(batch) == most or length >= _BATCH:
                    batch = await self._unzipped(batch)
                    await deliver(await asyncio.to_thread(self._parse, batch))
                    for _ in batch:
                        held.release()
                    batch, length = [], 0
            widening.cancel()

    async def checksum(self, file: ArchiveFile) -> str:
        """Fetch the SHA-256 that the archive publishes for a file at present."""
        return await self._checksum(self._request(file).url)

    async def earlier(self, moment: Micros, first: Micros) -> Micros | None:
        """
        Find a month at or before ``moment``, and before that of ``first``, that has a file; ``None`` if there is none.

        It finds an earlier instrument of the same symbol. Few months are tried, at growing distances.
        """
        months = [add_months(month_of(moment), -back) for back in _MONTHS_BACK]
        for start in months:
            if self.adapter.launched <= start < month_of(first):
                try:
                    await self.checksum(ArchiveFile(start, monthly=True))
                except (NotFound, ChecksumMismatch):
                    continue
                return start
        return None

    async def _checksum(self, url: str) -> str:
        answer = await self.shared.http.send(Request(f"{url}.CHECKSUM"))
        words = answer.body.decode("ascii", "replace").split()
        if not words or len(words[0]) != 64:
            raise ChecksumMismatch(f"{url}.CHECKSUM contains no SHA-256")
        return words[0].lower()

    def _request(self, file: ArchiveFile) -> Request:
        return self.adapter.archive_request(self.symbol, self.interval, file.start, monthly=file.monthly)

    async def _download(self, file: ArchiveFile, ill: asyncio.Event) -> _Download:
        """Download a file; request it once more if it does not match its checksum."""
        events: list[Event] = []
        for _ in range(2):
            try:
                if ill.is_set():
                    raise ExchangeUnavailable("the archive failed for another file, so this one was not requested")
                zipped, sha256 = await self._proved(file)
            except ChecksumMismatch as error:
                events.append(Event(file.span.start, file.span.end, EventKind.BAD_CHECKSUM, str(error)))
            except NotFound as error:
                events.append(Event(file.span.start, file.span.end, EventKind.MISSING_ARCHIVE_FILE, str(error)))
                break
            except ChandleryError as error:
                ill.set()
                events.append(Event(file.span.start, file.span.end, EventKind.BAD_ARCHIVE, str(error)))
                break
            else:
                return _Download(
                    file, zipped, sha256=sha256, fetched_at=self.shared.clock(), events=events, usable=True
                )
        return _Download(file, events=events)

    async def _proved(self, file: ArchiveFile) -> tuple[bytes, str]:
        """Request file and checksum concurrently, since for a daily file the latency dominates."""
        request = self._request(file)
        zipped, expected = await asyncio.gather(
            _outcome(partial(self.shared.http.send, request)), _outcome(partial(self._checksum, request.url))
        )
        if isinstance(zipped, ChandleryError):
            raise zipped
        if isinstance(expected, NotFound):
            raise ChecksumMismatch(f"{request.url} has no .CHECKSUM, so it cannot be verified") from expected
        if isinstance(expected, ChandleryError):
            raise expected
        if len(zipped.body) > _HASHED_AT_ONCE:
            await asyncio.to_thread(prove, zipped.body, expected, request.url)
        else:
            prove(zipped.body, expected, request.url)
        return zipped.body, expected

    async def _unzipped(self, downloads: Sequence[_Download]) -> list[_Download]:
        """Unzip in few threads, each with a share, since handing over a daily file takes as long as unzipping it."""
        share = -(-len(downloads) // _UNZIPPING)
        shares = [downloads[at : at + share] for at in range(0, len(downloads), share)]
        parts = await asyncio.gather(*(asyncio.to_thread(self._unzip, each) for each in shares))
        return [each for part in parts for each in part]

    def _unzip(self, downloads: Sequence[_Download]) -> list[_Download]:
        return [self._opened(each) if each.usable else each for each in downloads]

    def _opened(self, download: _Download) -> _Download:
        try:
            # Process the whole text at once, while it is in the CPU cache.
            body = body_of(inflate(download.zipped, self.name_of(download.file)))
        except CorruptArchive as error:
            return _Download(download.file, events=[*download.events, self._corrupt(download.file, error)])
        return structs.replace(download, zipped=b"", body=body)

    def _parse(self, downloads: Sequence[_Download]) -> Part:
        events = [event for each in downloads for event in each.events]
        spans: list[SourceSpan] = []
        kept = self._candles([each for each in downloads if each.usable], spans, events)
        if not kept:
            return Part(None, events=events)
        whole = kept[0] if len(kept) == 1 else {name: np.concatenate([each[name] for each in kept]) for name in kept[0]}
        return Part(table_of(self.chart_type, whole), spans, events=events)

    def _candles(
        self, downloads: Sequence[_Download], spans: list[SourceSpan], events: list[Event]
    ) -> Sequence[Columns]:
        """Return consecutive pieces: a single one if no file has anomalies, else one for each file."""
        if not downloads:
            return []
        try:
            return self._read(downloads, spans, events)
        except CorruptArchive as error:
            if len(downloads) == 1:
                events.append(self._corrupt(downloads[0].file, error))
                return []
            return [columns for each in downloads for columns in self._candles([each], spans, events)]

    def _read(self, downloads: Sequence[_Download], spans: list[SourceSpan], events: list[Event]) -> Sequence[Columns]:
        bodies, wanted = [each.body for each in downloads], [each.file.span for each in downloads]
        found = parse_csv(bodies, self.adapter.archive_row)
        # Counting the lines takes as long as hashing, and is not needed if all rows are as expected.
        rows = [self.grid.count(span.start, span.end) for span in wanted]
        if len(found["open_time"]) == sum(rows):
            columns = in_micros(found, bodies, rows)
            if flawless(columns, [body.first for body in bodies], self.grid, wanted):
                spans += [self._source_span(each, each.file.span) for each in downloads]
                return [columns]
        rows = [body.rows for body in bodies]
        columns = in_micros(found, bodies, rows)
        kept = []
        for download, (begin, end) in zip(downloads, pairwise(accumulate(rows, initial=0)), strict=True):
            part = {name: values[begin:end] for name, values in columns.items()}
            kept.append(self._believe(download, part, spans, events))
        return kept

    def _corrupt(self, file: ArchiveFile, error: CorruptArchive) -> Event:
        return Event(file.span.start, file.span.end, EventKind.BAD_ARCHIVE, f"{self.name_of(file)}: {error}")

    def _believe(self, download: _Download, columns: Columns, spans: list[SourceSpan], events: list[Event]) -> Columns:
        file, name = download.file, self.name_of(download.file)
        require_grid(columns["open_time"], self.interval, self.grid)
        checked = check(columns, self.grid, file.span, name)
        events += checked.events
        missing = holes(checked.columns["open_time"], self.grid, file.span)
        if missing:
            count = sum(self.grid.count(hole.start, hole.end) for hole in missing)
            detail = f"{name}: {count} candles are not in the file"
            events.append(Event(missing[0].start, missing[-1].end, EventKind.MISSING_ROWS, detail))
        spans += [self._source_span(download, span) for span in subtract(file.span, missing)]
        return checked.columns

    def _source_span(self, download: _Download, span: Span) -> SourceSpan:
        return self.answered(span, download.fetched_at, self.name_of(download.file), download.sha256)

    def name_of(self, file: ArchiveFile) -> str:
        """Return the name of a file in provenance: the archive's name without its ending."""
        return f"{self.symbol}-{self.interval.slug}-{file}"


async def _widen(under_way: asyncio.Semaphore, more: int, count: Callable[[], int]) -> None:
    """Allow ``more`` concurrent files once the first few take longer than ``_BRISK_S``."""
    before, done = -_AT_FIRST, 0
    while done - before >= _AT_FIRST:
        await asyncio.sleep(_BRISK_S)
        before, done = done, count()
    for _ in range(more):
        under_way.release()


async def _outcome(call: Callable[[], Awaitable[_T]]) -> _T | ChandleryError:
    """
    Return the result, or the error as a value, so that the other of two requests is not cancelled.

    The call begins in here: a coroutine created before would never be awaited if this one is cancelled first.
    """
    try:
        return await call()
    except ChandleryError as error:
        return error
