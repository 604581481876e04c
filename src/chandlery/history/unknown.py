"""Cached data of older releases without a recorded origin: used once the archive verifies them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from msgspec import structs

from chandlery.cache.arrow_cache import UnifiedCacheManager
from chandlery.cache.reading import Cached
from chandlery.cache.series import SeriesKey
from chandlery.core.errors import ChandleryError
from chandlery.core.interval import Interval
from chandlery.core.provenance import Event, EventKind, SourceSpan
from chandlery.history.plan import ArchiveFile
from chandlery.history.vision import VisionDataClient

_log = logging.getLogger(__name__)
_warned: set[str] = set()
"""Caches for which this process has logged the warning."""


async def load_proved(
    cache: UnifiedCacheManager, key: SeriesKey, archive: VisionDataClient | None, load: Callable[[], Cached]
) -> Cached:
    """
    Return what ``load`` reads of the cache, in a thread, after adopting data of older releases that the archive verifies.

    Rows of an archive file are the exchange's own if the SHA-256 stored with them is still the
    published one. This takes one small request per file; then the rows are stored with their origin. Unverified
    data are not used, which an event reports.
    """
    cached = await asyncio.to_thread(load)
    if not cached.unknown or key.interval is Interval.DAY_3:
        return cached  # three-day candles had another grid, and are fetched again
    spans = [each for file in cached.unknown for each in file.spans]
    proved = await _proved(spans, archive)
    if proved:
        await asyncio.to_thread(cache.prove, key, cached.unknown, proved)
        cached = await asyncio.to_thread(load)
    return _noted(cached, cache) if cached.unknown else cached


async def _proved(spans: Iterable[SourceSpan], archive: VisionDataClient | None) -> set[tuple[str | None, str | None]]:
    if archive is None:
        return set()
    stored = {(each.file, each.sha256): file for each in spans if (file := _file_of(each, archive)) is not None}
    published = await asyncio.gather(*(_published(archive, file) for file in stored.values()))
    return {name for name, sha256 in zip(stored, published, strict=True) if name[1] == sha256}


def _file_of(span: SourceSpan, archive: VisionDataClient) -> ArchiveFile | None:
    for period in (Interval.MONTH_1, Interval.DAY_1):
        file = ArchiveFile(period.floor(span.start), monthly=period is Interval.MONTH_1)
        if span.sha256 is not None and archive.name_of(file) == span.file:
            return file
    return None


async def _published(archive: VisionDataClient, file: ArchiveFile) -> str | None:
    try:
        return await archive.checksum(file)
    except ChandleryError:
        # Nothing is verified then; the fetch that replaces it reports why the archive is unavailable.
        return None


def _noted(cached: Cached, cache: UnifiedCacheManager) -> Cached:
    first, last = cached.unknown[0].span, cached.unknown[-1].span
    detail = (
        f"{len(cached.unknown)} files of an older release have no origin, and are not used; "
        f"chandlery cache adopt {cache.root} marks them as the exchange's own data"
    )
    if str(cache.root) not in _warned:
        _warned.add(str(cache.root))
        _log.warning(detail)
    event = Event(first.start, last.end, EventKind.UNKNOWN_ORIGIN, detail)
    return structs.replace(cached, events=[*cached.events, event])
