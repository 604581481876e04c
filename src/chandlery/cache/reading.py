"""Read the files of a series into one table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
from msgspec import Struct, structs

from chandlery.cache import day_file, files
from chandlery.cache.day_file import Label, Layout, NewerVersion
from chandlery.cache.merge import joined
from chandlery.cache.series import SeriesKey, day_of_name
from chandlery.core.errors import CacheError, CorruptCacheFile
from chandlery.core.gaps import Span, clipped
from chandlery.core.provenance import Event, EventKind, SourceSpan
from chandlery.core.query import ChartType
from chandlery.core.time import date_text
from chandlery.tables.frame import empty_table, is_wide, schema_of, slice_span, unwrap, wrap
from chandlery.tables.part import Part

_MOST_LAYOUTS = 64


class UnknownFile(Struct, frozen=True):
    """A file without a recorded origin: its time, and the sources that its label states."""

    span: Span
    spans: tuple[SourceSpan, ...]


class Cached(Part, frozen=True):
    """
    The cached data of a span; its spans and gaps are those of the files, its events report damaged ones.

    ``unknown`` are files that are otherwise ignored, since they record no origin.
    """

    unknown: Sequence[UnknownFile] = ()


class _File(Struct, frozen=True, order=True):
    span: Span
    path: str
    size: int


class _Found(Struct):
    """The results read so far."""

    labels: list[Label]
    tables: list[pa.Table]
    events: list[Event]
    unknown: list[UnknownFile]


def read_file(path: Path, key: SeriesKey, span: Span) -> tuple[Label, pa.Table]:
    """
    Return the label and the rows of one file of a series, which must only hold rows of ``span``.

    Raises:
        CorruptCacheFile: It is damaged or another file.
    """
    return _parse(path.read_bytes(), key, span)


def _parse(content: bytes, key: SeriesKey, span: Span) -> tuple[Label, pa.Table]:
    label, table = day_file.parse(content, key.folder.as_posix(), schema_of(key.chart_type))
    if not _fits(label, span):
        raise CorruptCacheFile(f"it contains times outside of {span}")
    return label, table


def _is_usable(label: Label, file: _File, found: _Found) -> bool:
    """Return whether the file records its origin; if not, add it to ``found.unknown``."""
    if not label.has_origin:
        found.unknown.append(UnknownFile(file.span, label.spans))
    return label.has_origin


def _fits(label: Label, span: Span) -> bool:
    return not label.spans or (span.start <= label.spans[0].start and label.spans[-1].end <= span.end)


class Reader:
    """
    Reads series, and caches byte layouts.

    Columns of numbers are read directly from the files into the memory of the result.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._layouts: dict[tuple[ChartType, int], Layout] = {}

    def read(self, folder: Path, key: SeriesKey, span: Span) -> Cached:
        """Read the data of ``span`` in the folder; damaged files are set aside."""
        found = _Found([], [], [], [])
        listed = _listed(folder, key, span)
        if not listed:
            return Cached(empty_table(key.chart_type), [], [], [])
        read = self._wide if is_wide(schema_of(key.chart_type)) else self._any
        table = read(key, listed, found)
        spans = clipped((each for label in found.labels for each in label.spans), span)
        return Cached(
            slice_span(table, span),
            joined(structs.replace(each, cached=True) for each in spans),
            joined(clipped((gap for label in found.labels for gap in label.gaps), span)),
            found.events,
            unknown=found.unknown,
        )

    def _any(self, key: SeriesKey, listed: list[_File], found: _Found) -> pa.Table:
        tables = [table for file in listed if (table := self._slowly(key, file, found)) is not None]
        return pa.concat_tables(tables).combine_chunks() if tables else empty_table(key.chart_type)

    def _wide(self, key: SeriesKey, listed: list[_File], found: _Found) -> pa.Table:
        schema = schema_of(key.chart_type)
        series = key.folder.as_posix()
        width = len(schema)
        # No file holds more rows than its bytes could; untouched memory costs nothing.
        columns = np.empty((width, sum(file.size // (8 * width) for file in listed)), np.int64)
        at = 0
        for file in listed:
            layout = self._layouts.get((key.chart_type, file.size))
            label = None
            if layout is not None and at + layout.rows <= columns.shape[1]:
                with suppress(OSError):  # the slow path reports it
                    label = layout.read(file.path, series, columns, at)
            if layout is not None and label is not None and _fits(label, file.span):
                if not _is_usable(label, file, found):
                    continue
                found.labels.append(label)
                at += layout.rows
                continue
            table = self._slowly(key, file, found)
            if table is None:
                continue
            if at + table.num_rows > columns.shape[1]:  # it has grown after it was listed
                columns = np.concatenate(
                    (columns[:, :at], np.empty((width, columns.shape[1] + table.num_rows), np.int64)), axis=1
                )
            for column, values in zip(columns, table.columns, strict=True):
                column[at : at + table.num_rows] = unwrap(values).view(np.int64)
            at += table.num_rows
        arrays = [wrap(field.type, column[:at]) for field, column in zip(schema, columns, strict=True)]
        return pa.Table.from_arrays(arrays, schema=schema)

    def _slowly(self, key: SeriesKey, file: _File, found: _Found) -> pa.Table | None:
        """Read one file without a known layout, and learn its layout."""
        try:
            content = Path(file.path).read_bytes()
            label, table = _parse(content, key, file.span)
        except FileNotFoundError:  # removed after it was listed
            return None
        except NewerVersion as error:
            found.events.append(self._event(file, f"{error}; not changed"))
            return None
        except CorruptCacheFile as error:
            return self._damaged(key, file, found, error)
        if is_wide(table.schema):
            if len(self._layouts) >= _MOST_LAYOUTS:
                self._layouts.clear()
            self._layouts[key.chart_type, len(content)] = Layout.learn(content)
        if not _is_usable(label, file, found):
            return None
        found.labels.append(label)
        return table

    def _damaged(self, key: SeriesKey, file: _File, found: _Found, error: CorruptCacheFile) -> pa.Table | None:
        """Set the file aside, unless another process has replaced it by a good one meanwhile."""
        path = Path(file.path)
        try:
            with files.locked(path.parent):
                try:
                    label, table = read_file(path, key, file.span)
                except CorruptCacheFile:
                    files.set_aside(path)
                else:
                    if not _is_usable(label, file, found):
                        return None
                    found.labels.append(label)
                    return table
            found.events.append(self._event(file, f"{error}; set aside"))
        except FileNotFoundError:
            found.events.append(self._event(file, f"{error}; set aside by another process"))
        except (OSError, CacheError) as problem:
            found.events.append(self._event(file, f"{error}; it cannot be set aside: {problem}"))
        return None

    def _event(self, file: _File, detail: str) -> Event:
        path = Path(file.path).relative_to(self._root).as_posix()
        return Event(file.span.start, file.span.end, EventKind.DAMAGED_CACHE_FILE, f"{path}: {detail}")


def _listed(folder: Path, key: SeriesKey, span: Span) -> list[_File]:
    """Return the files that may hold rows of ``span``, oldest first."""
    if not span:
        return []
    first, last = date_text(key.file_span(span.start).start), date_text(span.end - 1)
    try:
        with os.scandir(folder) as entries:
            return sorted(
                _File(key.file_span(day), entry.path, entry.stat().st_size)
                for entry in entries
                if first <= entry.name[:10] <= last
                and (day := day_of_name(entry.name)) is not None
                and not entry.is_dir()
            )
    except FileNotFoundError:
        return []
