"""``cache_metadata.json``, the index of the cache; built from the files, which are authoritative."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct, field

from chandlery.cache import day_file, files
from chandlery.cache.series import day_of_name, split_origin
from chandlery.core.errors import CorruptCacheFile
from chandlery.core.time import Micros

NAME = "cache_metadata.json"
_VERSION = 2
_DEPTH = 5
"""Number of folders from the cache, or from the folder of an origin, to the files of a series."""


class CacheEntry(Struct, frozen=True, order=True):
    """
    The totals of one series.

    ``series`` is its folder, relative to the cache: provider, market, chart type, symbol and
    interval, below a folder of the origin if the data are not the exchange's own. ``first`` and ``last`` are the days of the oldest and the newest of its ``days`` files.
    """

    series: str
    days: int
    rows: int
    bytes: int
    first: Micros
    last: Micros
    newest: int
    """Time of the last write of one of its files, in nanoseconds of the file system's clock."""
    unknown: int = 0
    """Number of files without a recorded origin, which are not used."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Provider, market, chart type, symbol and interval, as in the folder names."""
        return tuple(split_origin(self.series)[1].split("/"))

    @property
    def origin(self) -> str | None:
        """The origin of the data; ``None`` for the exchange's own."""
        return split_origin(self.series)[0]


class Change(Struct, frozen=True):
    """The difference between a written file and the one it replaced."""

    days: int
    rows: int
    bytes: int
    day: Micros
    newest: int
    unknown: int = 0


class _Index(Struct):
    version: int = _VERSION
    series: dict[str, CacheEntry] = field(default_factory=dict)


_decoder = msgspec.json.Decoder(_Index)


class CacheIndex:
    """The index of the cache in ``root``; any number of processes may use it concurrently."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def add(self, series: str, changes: Sequence[Change]) -> None:
        """Record written files."""
        if not changes:
            return
        with files.locked(self._root):
            index = self._read()
            known = index.series.get(series)
            days = [change.day for change in changes]
            index.series[series] = CacheEntry(
                series,
                sum((change.days for change in changes), known.days if known else 0),
                sum((change.rows for change in changes), known.rows if known else 0),
                sum((change.bytes for change in changes), known.bytes if known else 0),
                min([*days, known.first] if known else days),
                max([*days, known.last] if known else days),
                max([change.newest for change in changes] + ([known.newest] if known else [])),
                sum((change.unknown for change in changes), known.unknown if known else 0),
            )
            self._write(index)

    def entries(self) -> list[CacheEntry]:
        """
        Return an entry for each series, by name.

        Series whose files differ from the index are counted again.
        """
        if not self._root.is_dir():
            return []
        try:
            with files.locked(self._root):
                index = self._read()
                series = self._found(index)
                if series != index.series:
                    self._write(_Index(series=series))
        except OSError as error:
            if error.errno not in {errno.EROFS, errno.EACCES, errno.EPERM}:
                raise
            series = self._found(self._read())  # a read-only cache has its index recomputed on each call
        return sorted(series.values())

    def _found(self, index: _Index) -> dict[str, CacheEntry]:
        series = {}
        for folder in series_folders(self._root):
            name = folder.relative_to(self._root).as_posix()
            entry = index.series.get(name)
            if entry is None or not _is_current(entry, folder):
                entry = _counted(name, folder)
            if entry is not None:
                series[name] = entry
        return series

    def _read(self) -> _Index:
        try:
            index = _decoder.decode((self._root / NAME).read_bytes())
        except (FileNotFoundError, msgspec.MsgspecError):
            return _Index()
        return index if index.version == _VERSION else _Index()

    def _write(self, index: _Index) -> None:
        files.replace(self._root / NAME, msgspec.json.encode(index))


def series_folders(root: Path) -> Iterator[Path]:
    """Yield the folders of all series, by name."""
    below = ["[!.]*"] * (_DEPTH - 1)
    for pattern in ("[!.@]*", "@*/[!.@]*"):
        yield from (path for path in sorted(root.glob("/".join([pattern, *below]))) if path.is_dir())


def day_files(folder: Path) -> list[tuple[Micros, os.DirEntry[str]]]:
    """Return the day and the entry of each file of a series, oldest first."""
    with os.scandir(folder) as entries:
        found = [
            (day, entry) for entry in entries if (day := day_of_name(entry.name)) is not None and not entry.is_dir()
        ]
    return sorted(found, key=lambda each: each[0])


def _is_current(entry: CacheEntry, folder: Path) -> bool:
    stats = [file.stat() for _, file in day_files(folder)]
    return (
        len(stats) == entry.days
        and sum(each.st_size for each in stats) == entry.bytes
        and max((each.st_mtime_ns for each in stats), default=0) == entry.newest
    )


def _counted(series: str, folder: Path) -> CacheEntry | None:
    found = day_files(folder)
    if not found:
        return None
    rows, size, newest, unknown = 0, 0, 0, 0
    for _, file in found:
        stat = file.stat()
        size += stat.st_size
        newest = max(newest, stat.st_mtime_ns)
        try:
            label = day_file.read_label(file.path, series)
            rows += label.rows
            unknown += not label.has_origin
        except CorruptCacheFile:  # counted as a file without rows; loading it reports the damage
            continue
    return CacheEntry(series, len(found), rows, size, found[0][0], found[-1][0], newest, unknown)
