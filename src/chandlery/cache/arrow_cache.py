"""Cache of past rows: one Arrow file per day, shared by threads and processes."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import platformdirs
import pyarrow as pa
from msgspec import structs

from chandlery.cache import day_file, files, housekeeping, ledger
from chandlery.cache.day_file import Label, NewerVersion
from chandlery.cache.housekeeping import Adopted, CacheInfo, Cleaned, Verification
from chandlery.cache.index import CacheEntry, CacheIndex, Change, day_files
from chandlery.cache.merge import disjoint, fresh, overlay, parts, settled
from chandlery.cache.reading import Cached, Reader, UnknownFile, read_file
from chandlery.cache.series import SeriesKey
from chandlery.core.endpoints import UNKNOWN_ORIGIN
from chandlery.core.errors import CacheError, CorruptCacheFile, InvalidInput
from chandlery.core.gaps import Gap, Span, without
from chandlery.core.interval import Interval
from chandlery.core.provenance import SourceSpan
from chandlery.core.time import Micros
from chandlery.tables.frame import open_times, schema_of, slice_span
from chandlery.tables.part import Part


class UnifiedCacheManager:
    """
    The cache in one folder: ``PROVIDER/MARKET/CHART_TYPE/SYMBOL/INTERVAL/YYYY-MM-DD.arrow``.

    Any number of threads and processes may use one folder concurrently. The files are authoritative;
    ``cache_metadata.json`` is only an index, which is rebuilt from the files if it is wrong.
    """

    def __init__(self, cache_dir: Path | str | None = None) -> None:
        """
        Use ``cache_dir``, by default the user's cache folder; it is created by the first ``store``. ``~`` is the home folder.

        Raises:
            InvalidInput: It is not a path of a folder.
        """
        self.root = (
            platformdirs.user_cache_path("chandlery") if cache_dir is None else files.folder(cache_dir, "cache_dir")
        )
        self._index = CacheIndex(self.root)
        self._reader = Reader(self.root)

    def load(self, key: SeriesKey, span: Span) -> Cached:
        """
        Return all that the cache holds of ``span``.

        A damaged file is renamed to ``….damaged`` and reported in ``events``; its
        time is then not covered.

        Raises:
            InvalidSymbol: The symbol cannot be a folder's name.
            CacheError: The folder exists and cannot be read, or a symbolic link leads out of the cache.
        """
        folder = self._folder(key)
        with _told(folder, "read"):
            return self._reader.read(folder, key, span)

    def store(self, key: SeriesKey, table: pa.Table, spans: Sequence[SourceSpan], gaps: Sequence[Gap] = ()) -> None:
        """
        Store the rows of ``table`` that lie in ``spans``, which are then completely known.

        Stored data for other times stay; for these times the new rows, gaps and origins
        replace them. If ``spans`` overlap, the later one wins. Gaps that are failures are not
        stored, and their time does not count as known. ``table`` is oldest first, without duplicate times.

        Raises:
            InvalidInput: The table is not of the chart type, or not in order.
            InvalidSymbol: The symbol cannot be a folder's name.
            CacheError: A file cannot be written. Each file is then either old or new, never
                half-written.
        """
        _check(key, table)
        failures = [gap.span for gap in gaps if gap.kind.is_failure]
        known = disjoint(fresh(spans), failures)
        if not known:
            return
        # Combine the chunks once: slicing a table of many chunks for each file would copy all of it each time.
        new = Part(table.combine_chunks(), tuple(known), tuple(gap for gap in gaps if not gap.kind.is_failure))
        folder = self._folder(key)
        changes: list[Change] = []
        try:
            with _told(folder, "written to"), files.locked(folder):
                days = _file_spans(key, known)
                for span, each in zip(days, parts(new, days), strict=True):
                    changes.append(self._store_file(folder, key, span, each))  # recorded even if a later one fails
        finally:
            with suppress(OSError, CacheError):  # an outdated index is rebuilt when it is read
                self._index.add(key.folder.as_posix(), changes)

    def prove(
        self, key: SeriesKey, files: Iterable[UnknownFile], proved: Container[tuple[str | None, str | None]]
    ) -> None:
        """
        Adopt the verified part of files without a recorded origin: rows from archive files in ``proved``.

        ``proved`` has names with SHA-256. Gaps are not adopted, since nothing verifies them.
        """
        for file in files:
            with suppress(FileNotFoundError, CorruptCacheFile):  # another process was faster
                label, table = read_file(self._folder(key) / key.file_name(file.span), key, file.span)
                self.store(key, table, [each for each in _rows_only(label) if (each.file, each.sha256) in proved])

    def adopt(self) -> Adopted:
        """
        Adopt everything without a recorded origin as the exchanges' own data.

        Data known to be theirs take precedence. Gaps, and three-day candles,
        which older releases placed on another grid, are not adopted.
        """
        count = rows = 0
        for entry in self.entries():
            key = SeriesKey.of_folder(entry.series)
            if not entry.unknown or key is None or key.interval is Interval.DAY_3:
                continue
            for day, path in self.files(key):
                label, table = read_file(path, key, key.file_span(day))
                if label.has_origin:
                    continue
                own = structs.replace(key, origin=None)
                known = [] if key.origin is None else self.load(own, key.file_span(day)).covered
                spans = without(_rows_only(label), known)
                self.store(own, table, spans)
                count, rows = count + 1, rows + sum(slice_span(table, each.span).num_rows for each in spans)
                if key.origin is not None:
                    path.unlink(missing_ok=True)
        return Adopted(count, rows)

    def files(self, key: SeriesKey) -> list[tuple[Micros, Path]]:
        """Return the day and the path of each file of a series, oldest first."""
        return [(day, Path(entry.path)) for day, entry in day_files(self._folder(key))]

    def has_gaps(self, key: SeriesKey) -> bool:
        """Return whether any file of a series holds a gap; only labels are read, and damaged files are skipped."""
        folder = self._folder(key)
        with _told(folder, "read"):
            for _, entry in day_files(folder):
                with suppress(CorruptCacheFile):
                    if day_file.read_label(entry.path, key.folder.as_posix()).gaps:
                        return True
        return False

    def note_restatement(self, line: bytes) -> None:
        """Append a JSON line to the ledger of restatements."""
        with _told(self.root, "written to"):
            ledger.append(self.root, line)

    def restatements(self) -> list[bytes]:
        """Return the lines of the ledger, oldest first."""
        with _told(self.root, "read"):
            return ledger.lines(self.root)

    def entries(self) -> list[CacheEntry]:
        """Return an entry for each series, by name; a wrong index is corrected."""
        with _told(self.root, "read"):
            return self._index.entries()

    def info(self) -> CacheInfo:
        """Return the totals of the cache."""
        with _told(self.root, "read"):
            return housekeeping.info(self.root, self._index.entries())

    def verify(self) -> Verification:
        """
        Read every file and verify all of its bytes.

        Nothing is changed, except that half-written files of killed processes are
        removed.
        """
        with _told(self.root, "read"):
            return housekeeping.verify(self.root)

    def clean(self, entries: Iterable[CacheEntry] = (), *, before: Micros | None = None) -> Cleaned:
        """
        Remove damaged and half-written files, and the files of ``entries``.

        With ``before``, only those files of ``entries`` that end at or before it.
        """
        with _told(self.root, "written to"):
            cleaned = housekeeping.clean(self.root, entries, before)
            if self.root.is_dir():
                self._index.entries()
            return cleaned

    def _store_file(self, folder: Path, key: SeriesKey, span: Span, new: Part) -> Change:
        path = folder / key.file_name(span)
        both, old_rows, old_size, unknown = new, 0, 0, 0
        try:
            old_size = path.stat().st_size
            label, table = read_file(path, key, span)
            old_rows = table.num_rows
            if label.has_origin:
                both = overlay(Part(table, label.spans, label.gaps), new)
            else:
                unknown = -1
                self._leave_apart(path, key, without(_rows_only(label), [each.span for each in new.spans]))
        except FileNotFoundError:
            pass
        except NewerVersion as error:
            raise CacheError(f"{path} was not changed: {error}") from error
        except CorruptCacheFile:
            files.set_aside(path)
        both = settled(both, span)
        content = day_file.render(both.table, key.folder.as_posix(), both.spans, both.gaps)
        written = files.replace(path, content)
        rows = both.table.num_rows - old_rows
        return Change(int(not old_size), rows, written.st_size - old_size, span.start, written.st_mtime_ns, unknown)

    def _leave_apart(self, path: Path, key: SeriesKey, left: Sequence[SourceSpan]) -> None:
        """Move a file without a recorded origin to a folder of its own, if it has more than its replacement."""
        if left:
            apart = self._folder(structs.replace(key, origin=UNKNOWN_ORIGIN))
            apart.mkdir(parents=True, exist_ok=True)
            path.replace(apart / path.name)

    def _folder(self, key: SeriesKey) -> Path:
        folder = self.root / key.folder
        try:
            inside = folder.resolve().is_relative_to(self.root.resolve())
        except RuntimeError as error:
            raise CacheError(f"the path {folder} cannot be resolved: {error}") from error
        if not inside:
            raise CacheError(f"{folder} is outside of the cache, through a symbolic link")
        return folder


@contextmanager
def _told(folder: Path, verb: str) -> Iterator[None]:
    """Convert errors of the operating system to ``CacheError``."""
    try:
        yield
    except OSError as error:
        raise CacheError(f"the cache in {folder} cannot be {verb}: {error.strerror or error}") from error


def _rows_only(label: Label) -> list[SourceSpan]:
    """Return the spans of a file that have rows, without its gaps."""
    return without(label.spans, [gap.span for gap in label.gaps])


def _check(key: SeriesKey, table: pa.Table) -> None:
    expected = schema_of(key.chart_type)
    if not table.schema.equals(expected):
        raise InvalidInput(
            f"the table has the columns {table.schema.names}; {key.chart_type.name} needs {expected.names}, with their types"
        )
    if np.any(np.diff(open_times(table)) <= 0):
        raise InvalidInput(f"the rows of {key.symbol} are not oldest first, or have duplicate times")


def _file_spans(key: SeriesKey, spans: Iterable[SourceSpan]) -> list[Span]:
    found: dict[Span, None] = {}
    for span in spans:
        at = span.start
        while at < span.end:
            file_span = key.file_span(at)
            found[file_span] = None
            at = file_span.end
    return sorted(found)
