"""
Check whether an exchange's sources agree with each other, and whether its data have changed since they were cached.

``compare`` compares monthly files, daily files, REST and candles built from minutes.
``recheck`` finds archive files that were replaced since they were cached, ``recheck_gaps`` gaps that have filled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from chandlery.cache.arrow_cache import UnifiedCacheManager
from chandlery.cache.reading import Cached
from chandlery.cache.series import SeriesKey
from chandlery.core.endpoints import key_of
from chandlery.core.errors import ArchiveError, UnsupportedRequest
from chandlery.core.gaps import Span, merge
from chandlery.core.interval import Interval
from chandlery.core.resampling import RESAMPLING, How
from chandlery.core.time import DAY, Clock, Micros
from chandlery.history.checks import Columns, places
from chandlery.history.interfaces import DataClientInterface, Parts
from chandlery.history.plan import ArchiveFile, archive_files
from chandlery.history.vision import VisionDataClient
from chandlery.tables.frame import open_times, slice_span
from chandlery.tables.part import Part, in_order
from chandlery.tables.resample import beginnings, resampled

_COMPARED = tuple(RESAMPLING)
_SUM_TOLERANCE = 1e-9
"""Relative; sums of floats differ in their last digits by the order of addition."""


class Disagreement(Struct, frozen=True, order=True):
    """One value of one candle on which sources differ; ``values`` are by source."""

    open_time: Micros
    column: str
    values: Mapping[str, float]


class Comparison(Struct, frozen=True):
    """
    The result of comparing sources.

    ``missing`` has, by source, the candles that it lacks and another source has.
    """

    sources: Sequence[str]
    candles: int
    disagreements: Sequence[Disagreement]
    missing: Mapping[str, Sequence[Span]]

    @property
    def agrees(self) -> bool:
        """True if all sources agree."""
        return not self.disagreements and not any(self.missing.values())


GAPS = "gaps"
"""The ``file`` of a restatement if candles appeared in gaps."""


class Restatement(Struct, frozen=True):
    """
    The changes of cached rows; ``None`` in a change stands for no row.

    ``file`` is an archive file that was replaced since it was cached, or ``"gaps"`` if candles appeared in
    cached gaps, by REST and thus without a SHA-256.
    """

    file: str
    before_sha256: str
    after_sha256: str
    noticed_at: Micros
    changes: Sequence[Change]


class Change(Struct, frozen=True, order=True):
    """One value before and after."""

    open_time: Micros
    column: str
    before: float | None
    after: float | None


Fetch: TypeAlias = Callable[[Sequence[Span], Cached], Awaitable[pa.Table]]


async def compare(
    rest: DataClientInterface | None,
    archive: VisionDataClient | None,
    minutes: VisionDataClient | None,
    span: Span,
    chunk: int,
) -> Comparison:
    """
    Compare monthly files, daily files, REST, and candles built from ``minutes`` on ``span``.

    A source without data in the span is left out. Raises what the sources raise.
    """
    if rest is None or archive is None:
        raise UnsupportedRequest("comparing sources needs REST and an archive; this series lacks one of them")
    interval = archive.interval
    tables: dict[str, pa.Table] = {}
    tables["monthly"] = await _of_files(archive, _files(span, Interval.MONTH_1), span)
    if interval.longest <= DAY:
        tables["daily"] = await _of_files(archive, _files(span, Interval.DAY_1), span)
    tables["rest"] = await _by_rest(rest, span, chunk)
    by_source = {name: _columns(table) for name, table in tables.items() if len(table)}
    if minutes is not None and interval.longest > Interval.MINUTE_1.longest:
        built = aggregate(_columns(await _of_files(minutes, archive_files(span, Interval.MINUTE_1), span)), interval)
        if len(built["open_time"]):
            by_source["minutes"] = built
    return _side_by_side(by_source, interval)


def aggregate(columns: Columns, interval: Interval) -> Columns:
    """Resample shorter candles, which are in order, to ``interval``; intervals without any are left out."""
    if not len(columns["open_time"]):
        return columns
    place = places(columns["open_time"], interval)
    first = beginnings(place)
    opens = np.array([interval.floor(int(time)) for time in columns["open_time"][first]], np.int64)
    return {"open_time": opens, **resampled(columns, first)}


async def recheck(archive: VisionDataClient, cache: UnifiedCacheManager, span: Span) -> list[Restatement]:
    """
    Check each archive file that cached rows of ``span`` came from for a new checksum.

    A file that was replaced is fetched, verified and cached in place of the old rows; the changes
    are added to the cache's ledger of restatements. A row that the new file lacks is reported as a
    change to ``None``, and stays in the cache.

    Raises:
        ArchiveError: A file was replaced by one that cannot be used; the cached rows stay.
    """
    key = SeriesKey(
        archive.provider,
        archive.market_type,
        archive.chart_type,
        archive.symbol,
        archive.interval,
        key_of(archive.origin),
    )
    found: list[Restatement] = []
    cached = await asyncio.to_thread(cache.load, key, span)
    for file, (name, sha256) in sorted(_files_used(cached, archive).items()):
        published = await archive.checksum(file)
        if published == sha256:
            continue
        parts = Parts()
        await archive.fetch_files([file], parts.take)
        fresh = Part.joined(parts, archive.chart_type)
        if not fresh.spans:
            reasons = "; ".join(event.detail for event in fresh.events)
            raise ArchiveError(f"{name} was replaced, and the new one cannot be used: {reasons}")
        changes = _changes(await asyncio.to_thread(_rows_of_file, cache, key, file, name), _columns(fresh.table))
        restated = Restatement(name, sha256, fresh.spans[0].sha256 or published, archive.shared.clock(), changes)
        await asyncio.to_thread(cache.store, key, fresh.table, fresh.spans)
        await asyncio.to_thread(cache.note_restatement, msgspec.json.encode(restated))
        found.append(restated)
    return found


async def recheck_gaps(
    cache: UnifiedCacheManager, key: SeriesKey, span: Span, fetch: Fetch, clock: Clock
) -> list[Restatement]:
    """
    Request the cached gaps of ``span`` again, including those stored for good.

    ``fetch`` reads spans by REST, stores final rows and returns all rows. Candles that appeared are added to the ledger.

    Raises what the exchange raises; the cached gaps then stay.
    """
    cached = await asyncio.to_thread(cache.load, key, span)
    gaps = merge(gap.span for gap in cached.gaps)
    if not gaps:
        return []
    appeared = _columns(await fetch(gaps, cached))
    changes = _changes({name: values[:0] for name, values in appeared.items()}, appeared)
    if not changes:
        return []
    found = Restatement(GAPS, "", "", clock(), changes)
    await asyncio.to_thread(cache.note_restatement, msgspec.json.encode(found))
    return [found]


def _rows_of_file(cache: UnifiedCacheManager, key: SeriesKey, file: ArchiveFile, name: str) -> Columns:
    """Return the cached rows that came from a file, without rows of the same time from other sources."""
    cached = cache.load(key, file.span)
    parts = [slice_span(cached.table, each.span) for each in cached.spans if each.file == name]
    return _columns(pa.concat_tables(parts))


def _files_used(cached: Cached, archive: VisionDataClient) -> dict[ArchiveFile, tuple[str, str]]:
    used: dict[ArchiveFile, tuple[str, str]] = {}
    for each in cached.spans:
        if each.file is None or each.sha256 is None:
            continue
        for monthly in (True, False):
            period = Interval.MONTH_1 if monthly else Interval.DAY_1
            file = ArchiveFile(period.floor(each.start), monthly=monthly)
            if archive.name_of(file) == each.file:
                used[file] = (each.file, each.sha256)
    return used


async def _by_rest(rest: DataClientInterface, span: Span, chunk: int) -> pa.Table:
    parts = Parts()
    failure = await rest.read_spans([span], parts.take, most=chunk)
    if failure is not None:
        raise failure
    return in_order([part.table for part in parts], rest.chart_type)


async def _of_files(archive: VisionDataClient, files: Sequence[ArchiveFile], span: Span) -> pa.Table:
    parts = Parts()
    await archive.fetch_files(files, parts.take)
    return slice_span(Part.joined(parts, archive.chart_type).table, span)


def _side_by_side(by_source: Mapping[str, Columns], interval: Interval) -> Comparison:
    empty = np.empty(0, np.int64)
    every: NDArray[np.int64] = np.unique(
        np.concatenate([empty, *(columns["open_time"] for columns in by_source.values())])
    )
    disagreements: list[Disagreement] = []
    missing: dict[str, list[Span]] = {}
    for name, columns in by_source.items():
        lacking = np.setdiff1d(every, columns["open_time"])
        missing[name] = [Span(int(time), interval.step(interval.floor(int(time)))) for time in lacking]
    for column in _COMPARED:
        values = {name: _at(columns, column, every) for name, columns in by_source.items()}
        stacked = np.vstack([*values.values()]) if values else np.empty((0, 0))
        if not stacked.size:
            continue
        low, high = np.fmin.reduce(stacked), np.fmax.reduce(stacked)
        allowed = _SUM_TOLERANCE * np.abs(high) if RESAMPLING[column] is How.SUM else 0.0
        disagreements += [
            Disagreement(
                int(every[i]), column, {name: float(value[i]) for name, value in values.items() if value[i] == value[i]}
            )
            for i in np.flatnonzero(high - low > allowed)
        ]
    return Comparison(
        tuple(by_source), len(every), sorted(disagreements, key=lambda each: (each.open_time, each.column)), missing
    )


def _at(columns: Columns, column: str, times: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the values of a column at ``times``; NaN where there is no candle."""
    values = np.full(len(times), np.nan)
    values[np.searchsorted(times, columns["open_time"])] = columns[column]
    return values


def _changes(before: Columns, after: Columns) -> list[Change]:
    every: NDArray[np.int64] = np.union1d(before["open_time"], after["open_time"])
    changes: list[Change] = []
    for column in _COMPARED:
        old, new = _at(before, column, every), _at(after, column, every)
        differs = (old != new) & ~(np.isnan(old) & np.isnan(new))
        changes += [
            Change(
                int(every[i]),
                column,
                None if np.isnan(old[i]) else float(old[i]),
                None if np.isnan(new[i]) else float(new[i]),
            )
            for i in np.flatnonzero(differs)
        ]
    return sorted(changes, key=lambda each: (each.open_time, each.column))


def _columns(table: pa.Table) -> Columns:
    return {"open_time": open_times(table)} | {name: table[name].to_numpy() for name in _COMPARED}


def _files(span: Span, period: Interval) -> list[ArchiveFile]:
    """Return every daily or monthly file that holds a part of ``span``."""
    files = []
    at = period.floor(span.start)
    while at < span.end:
        files.append(ArchiveFile(at, monthly=period is Interval.MONTH_1))
        at = period.step(at)
    return files
