"""Verify, measure and clean the cache."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
from msgspec import Struct

from chandlery.cache import day_file, files
from chandlery.cache.day_file import Label
from chandlery.cache.index import CacheEntry, day_files, series_folders
from chandlery.cache.series import SeriesKey
from chandlery.core.errors import CorruptCacheFile
from chandlery.core.gaps import Span, merge
from chandlery.core.time import DAY, Micros
from chandlery.tables.frame import open_times, schema_of, slice_span


class CacheInfo(Struct, frozen=True):
    """Totals of the cache. ``set_aside`` is the number of damaged files that are no longer used."""

    folder: str
    series: int
    days: int
    rows: int
    bytes: int
    set_aside: int


class DamagedFile(Struct, frozen=True, order=True):
    """A damaged file; ``path`` is relative to the cache."""

    path: str
    reason: str


class Verification(Struct, frozen=True):
    """
    Result of a verification: ``files`` were read, of which those in ``damaged`` are not intact.

    ``set_aside`` were found damaged before; ``removed`` are left-overs of killed processes;
    ``unknown`` are intact but not used, since they record no origin.
    """

    files: int
    rows: int
    bytes: int
    damaged: list[DamagedFile]
    set_aside: int
    removed: int
    unknown: int = 0

    @property
    def ok(self) -> bool:
        """True if every file in use is intact."""
        return not self.damaged


class Adopted(Struct, frozen=True):
    """Number of files and rows adopted as the exchanges' own data."""

    files: int
    rows: int


class Cleaned(Struct, frozen=True):
    """Number of files and bytes removed."""

    files: int
    bytes: int


def info(root: Path, entries: Sequence[CacheEntry]) -> CacheInfo:
    """Return the totals of ``entries``, and the number of damaged files."""
    return CacheInfo(
        str(root),
        len(entries),
        sum(entry.days for entry in entries),
        sum(entry.rows for entry in entries),
        sum(entry.bytes for entry in entries),
        sum(len(_set_aside(folder)) for folder in series_folders(root)),
    )


def verify(root: Path) -> Verification:
    """Read and verify every file."""
    count, rows, size, set_aside, removed, unknown = 0, 0, 0, 0, 0, 0
    damaged: list[DamagedFile] = []
    with suppress(OSError):  # a cache that is only readable is verified too
        removed += len(_remove_leftovers(root))
    for folder in series_folders(root):
        with suppress(OSError):
            removed += len(_remove_leftovers(folder))
        set_aside += len(_set_aside(folder))
        series = folder.relative_to(root).as_posix()
        for day, entry in day_files(folder):
            with suppress(FileNotFoundError):  # removed after it was listed
                content = Path(entry.path).read_bytes()
                count += 1
                size += len(content)
                try:
                    label = _checked(content, series, day)
                    rows += label.rows
                    unknown += not label.has_origin
                except CorruptCacheFile as error:
                    damaged.append(DamagedFile(f"{series}/{entry.name}", str(error)))
    return Verification(count, rows, size, damaged, set_aside, removed, unknown)


def clean(root: Path, entries: Iterable[CacheEntry], before: Micros | None) -> Cleaned:
    """Remove damaged and half-written files, and the files of ``entries`` that end at or before ``before``."""
    unwanted = {entry.series for entry in entries}
    removed = _remove_leftovers(root)
    for folder in series_folders(root):
        removed += _remove_leftovers(folder)
        series = folder.relative_to(root).as_posix()
        with files.locked(folder):
            paths = _set_aside(folder)
            if series in unwanted:
                paths += [
                    Path(file.path) for day, file in day_files(folder) if before is None or _end(series, day) <= before
                ]
            removed += [_removed(path) for path in paths]
            if not any(path.name != files.LOCK for path in folder.iterdir()):
                files.remove_lock(folder)
        _remove_empty(folder, root)
    return Cleaned(len(removed), sum(removed))


def _end(series: str, day: Micros) -> Micros:
    key = SeriesKey.of_folder(series)
    return key.file_span(day).end if key else day + DAY


def _checked(content: bytes, series: str, day: Micros) -> Label:
    """Return the label of an intact file."""
    key = SeriesKey.of_folder(series)
    label, table = day_file.parse(content, series, schema_of(key.chart_type) if key else None)
    reason = _disorder(label, table, key.file_span(day) if key else None)
    if reason:
        raise CorruptCacheFile(reason)
    return label


def _disorder(label: Label, table: pa.Table, span: Span | None) -> str | None:
    covered = merge(each.span for each in label.spans)
    if span is not None and any(each.clip(span) != each for each in covered):
        return f"it contains times outside of {span}"
    if label.rows != table.num_rows or sum(slice_span(table, each).num_rows for each in covered) != table.num_rows:
        return "it has rows outside of its spans"
    if np.any(np.diff(open_times(table)) <= 0):
        return "its rows are not in order"
    return None


def _set_aside(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{files.DAMAGED}"))


def _remove_leftovers(folder: Path) -> list[int]:
    """Remove half-written files. Writers hold the lock of the folder, so no process is writing them while we hold it."""
    if not any(folder.glob(f".*{files.TEMPORARY}")):
        return []
    with files.locked(folder):
        return [_removed(path) for path in sorted(folder.glob(f".*{files.TEMPORARY}"))]


def _removed(path: Path) -> int:
    size = path.stat().st_size
    path.unlink()
    return size


def _remove_empty(folder: Path, root: Path) -> None:
    for each in (folder, *folder.parents):
        if each == root:
            return
        try:
            each.rmdir()
        except OSError:  # not empty
            return
