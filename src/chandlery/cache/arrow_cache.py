"""The cache of past rows: Arrow files of a day each, shared by threads and processes."""

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
from chandlery.cache.merge import Content, disjoint, fresh, overlay, parts, settled, without
from chandlery.cache.reading import Cached, Reader, UnknownFile, read_file
from chandlery.cache.series import SeriesKey
from chandlery.core.endpoints import UNKNOWN_ORIGIN
from chandlery.core.errors import CacheError, CorruptCacheFile, InvalidInput, InvalidSymbol
from chandlery.core.gaps import Gap, Span
from chandlery.core.interval import Interval
from chandlery.core.provenance import SourceSpan
from chandlery.core.time import Micros
from chandlery.tables.frame import open_times, schema_of, slice_span


class UnifiedCacheManager:
    """
    The cache in one folder: ``PROVIDER/MARKET/CHART_TYPE/SYMBOL/INTERVAL/YYYY-MM-DD.arrow``.

    Any number of threads and processes may use one folder at once. Each file is the truth about
    itself; ``cache_metadata.json`` is only an index, made anew from the files where it is wrong.
    """

    def __init__(self, cache_dir: Path | str | None = None) -> None:
        """
        Use ``cache_dir``, by default the user's cache folder; it is made at the first ``store``. ``~`` is the home folder.

        Raises:
            InvalidInput: It is no path of a folder.
        """
        self.root = (
            platformdirs.user_cache_path("chandlery") if cache_dir is None else files.folder(cache_dir, "cache_dir")
        )
        self._index = CacheIndex(self.root)
        self._reader = Reader(self.root)

    def load(self, key: SeriesKey, span: Span) -> Cached:
        """
        All that the cache holds of ``span``.

        A damaged file is set aside under the name ``….damaged`` and told of in ``events``; its
        moments are then not covered.

        Raises:
            InvalidSymbol: Where the symbol cannot be a folder's name.
            CacheError: Where the folder is there and cannot be read.
        """
        folder = self._folder(key)
        with _told(folder, "read"):
            return self._reader.read(folder, key, span)

    def store(self, key: SeriesKey, table: pa.Table, spans: Sequence[SourceSpan], gaps: Sequence[Gap] = ()) -> None:
        """
        Keep the rows of ``table`` that lie in ``spans``: these are now known completely.

        What is kept already of other moments stays; of these moments the new rows, gaps and origins
        take its place. Where ``spans`` overlap, the later one counts. A gap that is a failure is not
        kept, and its moments do not count as known. ``table`` is oldest first, no moment twice.

        Raises:
            InvalidInput: Where the table is not of the chart type, or not in order.
            InvalidSymbol: Where the symbol cannot be a folder's name.
            CacheError: Where it cannot be written; the files are then as they were, each of them
                old or new and none by halves.
        """
        _check(key, table)
        failures = [gap.span for gap in gaps if gap.kind.is_failure]
        known = disjoint(fresh(spans), failures)
        if not known:
            return
        # One piece of memory: to cut a table of many anew for each file would copy all of it each time.
        new = Content(table.combine_chunks(), tuple(known), tuple(gap for gap in gaps if not gap.kind.is_failure))
        folder = self._folder(key)
        changes: list[Change] = []
        try:
            with _told(folder, "written to"), files.locked(folder):
                days = _file_spans(key, known)
                for span, each in zip(days, parts(new, days), strict=True):
                    changes.append(self._store_file(folder, key, span, each))  # kept where a later one fails
        finally:
            with suppress(OSError, CacheError):  # an index that is behind is made anew when it is asked
                self._index.add(key.folder.as_posix(), changes)

    def prove(
        self, key: SeriesKey, files: Iterable[UnknownFile], proved: Container[tuple[str | None, str | None]]
    ) -> None:
        """
        Take over, from files that do not say whose data they hold, what came from archive files that were ``proved``.

        These are given by name and SHA-256. Gaps are left behind: nothing proves them.
        """
        for file in files:
            with suppress(FileNotFoundError, CorruptCacheFile):  # another process was faster
                label, table = read_file(self._folder(key) / key.file_name(file.span), key, file.span)
                self.store(key, table, [each for each in _rows_only(label) if (each.file, each.sha256) in proved])

    def adopt(self) -> Adopted:
        """
        Take everything for the exchanges' own data that does not say whose it is.

        What is known to be theirs stays where both have a moment. Gaps, and candles of three days,
        which older releases placed on another grid, are not taken.
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
        """The day and the path of each file of a series, oldest first."""
        return [(day, Path(entry.path)) for day, entry in day_files(self._folder(key))]

    def has_gaps(self, key: SeriesKey) -> bool:
        """Whether any file of a series holds a gap; only labels are read, and damaged files are passed over."""
        folder = self._folder(key)
        with _told(folder, "read"):
            for _, entry in day_files(folder):
                with suppress(CorruptCacheFile):
                    if day_file.read_label(entry.path, key.folder.as_posix()).gaps:
                        return True
        return False

    def note_restatement(self, line: bytes) -> None:
        """Add a line of JSON to the ledger of what changed after it was kept."""
        with _told(self.root, "written to"):
            ledger.append(self.root, line)

    def restatements(self) -> list[bytes]:
        """The lines of the ledger, oldest first."""
        with _told(self.root, "read"):
            return ledger.lines(self.root)

    def entries(self) -> list[CacheEntry]:
        """What there is of each series, by name; the index is put right where it is wrong."""
        with _told(self.root, "read"):
            return self._index.entries()

    def info(self) -> CacheInfo:
        """How much there is in all."""
        with _told(self.root, "read"):
            return housekeeping.info(self.root, self._index.entries())

    def verify(self) -> Verification:
        """
        Every file, read and checked to the last byte.

        Nothing is changed, save that what processes left half-written when they were killed is
        removed.
        """
        with _told(self.root, "read"):
            return housekeeping.verify(self.root)

    def clean(self, entries: Iterable[CacheEntry] = (), *, before: Micros | None = None) -> Cleaned:
        """
        Remove what was set aside or left half-written, and the files of ``entries``.

        Where ``before`` is given, of ``entries`` only the files that end at or before it.
        """
        with _told(self.root, "written to"):
            cleaned = housekeeping.clean(self.root, entries, before)
            if self.root.is_dir():
                self._index.entries()
            return cleaned

    def _store_file(self, folder: Path, key: SeriesKey, span: Span, new: Content) -> Change:
        path = folder / key.file_name(span)
        both, old_rows, old_size, unknown = new, 0, 0, 0
        try:
            old_size = path.stat().st_size
            label, table = read_file(path, key, span)
            old_rows = table.num_rows
            if label.has_origin:
                both = overlay(Content(table, label.spans, label.gaps), new)
            else:
                unknown = -1
                self._leave_apart(path, key, without(_rows_only(label), [each.span for each in new.spans]))
        except FileNotFoundError:
            pass
        except NewerVersion as error:
            raise CacheError(f"{path} stays as it is: {error}") from error
        except CorruptCacheFile:
            files.set_aside(path)
        both = settled(both, span)
        content = day_file.render(both.table, key.folder.as_posix(), both.spans, both.gaps)
        written = files.replace(path, content)
        rows = both.table.num_rows - old_rows
        return Change(int(not old_size), rows, written.st_size - old_size, span.start, written.st_mtime_ns, unknown)

    def _leave_apart(self, path: Path, key: SeriesKey, left: Sequence[SourceSpan]) -> None:
        """Move a file that does not say whose data it holds to a place of its own, where it holds more than its successor."""
        if left:
            apart = self._folder(structs.replace(key, origin=UNKNOWN_ORIGIN))
            apart.mkdir(parents=True, exist_ok=True)
            path.replace(apart / path.name)

    def _folder(self, key: SeriesKey) -> Path:
        folder = self.root / key.folder
        try:
            inside = folder.resolve().is_relative_to(self.root.resolve())
        except RuntimeError as error:
            raise CacheError(f"the cache in {folder} cannot be found: {error}") from error
        if not inside:
            raise InvalidSymbol(f"{folder} leads out of the cache by a symbolic link")
        return folder


@contextmanager
def _told(folder: Path, verb: str) -> Iterator[None]:
    """Errors of the operating system as ours."""
    try:
        yield
    except OSError as error:
        raise CacheError(f"the cache in {folder} cannot be {verb}: {error.strerror or error}") from error


def _rows_only(label: Label) -> list[SourceSpan]:
    """What a file covers with rows, without the gaps among them."""
    return without(label.spans, [gap.span for gap in label.gaps])


def _check(key: SeriesKey, table: pa.Table) -> None:
    expected = schema_of(key.chart_type)
    if not table.schema.equals(expected):
        raise InvalidInput(f"the table is not of {key.chart_type.name}: {table.schema.names}, not {expected.names}")
    if np.any(np.diff(open_times(table)) <= 0):
        raise InvalidInput(f"the rows of {key.symbol} are not oldest first, or hold a moment twice")


def _file_spans(key: SeriesKey, spans: Iterable[SourceSpan]) -> list[Span]:
    found: dict[Span, None] = {}
    for span in spans:
        at = span.start
        while at < span.end:
            file_span = key.file_span(at)
            found[file_span] = None
            at = file_span.end
    return sorted(found)
