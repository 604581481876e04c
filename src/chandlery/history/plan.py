"""Plan which source serves which part of a range; pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from chandlery.adapter.pages import rest_chunks
from chandlery.core.errors import UnsupportedRequest
from chandlery.core.gaps import Span, merge, subtract
from chandlery.core.interval import Grid, Interval
from chandlery.core.query import DataSource
from chandlery.core.time import DAY, HOUR, Micros, add_months, date_text, day_of, iso, month_of


class ArchiveFile(Struct, frozen=True, order=True):
    """One file of the archive: a UTC day, or a calendar month."""

    start: Micros
    monthly: bool

    @property
    def span(self) -> Span:
        """The time of its candles."""
        return Span(self.start, add_months(self.start, 1) if self.monthly else self.start + DAY)

    def __str__(self) -> str:
        """Format as ``2024-01`` or ``2024-01-31``."""
        return date_text(self.start)[: 7 if self.monthly else 10]


class CacheStep(Struct, frozen=True):
    """A span that is read from the cache."""

    span: Span


class ArchiveStep(Struct, frozen=True):
    """A span that is read from ``file``."""

    span: Span
    file: ArchiveFile


class RestStep(Struct, frozen=True):
    """One REST request."""

    span: Span


class BeyondStep(Struct, frozen=True):
    """A span older than ``oldest``, the first open time that the exchange still serves, which no other source has."""

    span: Span
    oldest: Micros


Step: TypeAlias = CacheStep | ArchiveStep | RestStep | BeyondStep


class SourceLimits:
    """The documented constants of a manager; a subclass of it may override them."""

    VISION_DATA_DELAY_HOURS = 48
    """Age in hours from which data are expected in the archive."""
    REST_CHUNK_SIZE = 1000
    """Largest number of candles of one REST request."""
    REST_MAX_CHUNKS = 5
    """Number of REST requests above which the archive is tried first, even if it may not have the data yet."""


class Abilities(Struct, frozen=True):
    """
    The abilities of the sources of a series.

    ``delay`` is the age from which data are expected in the archive, ``earliest`` the age from which a
    file may exist. ``chunk`` is the number of candles that one REST request returns, ``longest``
    the longest span of a request, ``max_chunks`` the number of requests up to which REST is preferred to a file
    that may not exist yet. ``oldest`` is the first open time that REST serves.
    """

    rest: bool = True
    archive: bool = False
    delay: Micros = 48 * HOUR
    earliest: Micros = 24 * HOUR
    chunk: int | None = 1000
    longest: Micros | None = None
    max_chunks: int = 5
    oldest: Micros | None = None


def plan(
    wanted: Span,
    interval: Grid,
    *,
    covered: Sequence[Span],
    now: Micros,
    source: DataSource,
    abilities: Abilities,
) -> list[Step]:
    """
    Return the steps for ``wanted``, in order, adjacent, without overlaps or holes.

    Time in ``covered`` is read from the cache. The rest is read from the archive if that serves
    it, by month if a whole month is wanted and by day otherwise, else from REST.

    Raises:
        UnsupportedRequest: The sources that ``source`` allows cannot serve the range.
    """
    steps: list[Step] = [CacheStep(found) for span in merge(covered) if (found := span.clip(wanted))]
    for hole in subtract(wanted, covered):
        if source is DataSource.VISION:
            _require(abilities.archive, "the archive", hole)
            steps += _archive_steps(hole, interval, whole_months_only=False)
        elif source is DataSource.REST or not abilities.archive:
            _require(abilities.rest, "REST", hole)
            steps += _rest_steps(hole, interval, abilities)
        else:
            steps += _mixed_steps(hole, interval, abilities, now)
    return sorted(steps, key=lambda step: step.span)


def require_served(steps: Sequence[Step]) -> None:
    """
    Check that some source has a part of the planned range.

    Raises:
        UnsupportedRequest: All of it is older than the exchange still serves.
    """
    beyond = [step for step in steps if isinstance(step, BeyondStep)]
    if beyond and len(beyond) == len(steps):
        wanted = Span(beyond[0].span.start, beyond[-1].span.end)
        raise UnsupportedRequest(
            f"{wanted} ends before {iso(beyond[0].oldest)}, the oldest candle that this exchange serves; give a later range"
        )


def archive_files(span: Span, interval: Grid) -> list[ArchiveFile]:
    """Return the fewest files that hold all of ``span``: months that lie wholly in it, else days."""
    steps = _archive_steps(span, interval, whole_months_only=False)
    return [step.file for step in steps if isinstance(step, ArchiveStep)]


def _require(able: bool, source: str, hole: Span) -> None:  # noqa: FBT001  # a plain condition
    if not able:
        raise UnsupportedRequest(
            f"{source} was requested for {hole}, but does not serve this series; use DataSource.AUTO"
        )


def _has_daily_files(interval: Grid) -> bool:
    return interval.longest <= DAY


def _mixed_steps(hole: Span, interval: Grid, abilities: Abilities, now: Micros) -> list[Step]:
    relied = Span(hole.start, min(hole.end, day_of(now - abilities.delay)))
    recent = Span(max(relied.end, hole.start), hole.end)
    steps = _archive_steps(relied, interval, whole_months_only=True, now=now, abilities=abilities) if relied else []
    if not recent:
        return steps
    if not abilities.rest:
        return _archive_steps(hole, interval, whole_months_only=False)
    chunks = _rest_steps(recent, interval, abilities)
    if len(chunks) > abilities.max_chunks and _has_daily_files(interval):
        tried = Span(recent.start, min(recent.end, day_of(now - abilities.earliest)))
        if tried:
            left = Span(tried.end, recent.end)
            return (
                steps
                + _archive_steps(tried, interval, whole_months_only=True)
                + (_rest_steps(left, interval, abilities) if left else [])
            )
    return steps + chunks


def _archive_steps(
    span: Span,
    interval: Grid,
    *,
    whole_months_only: bool,
    now: Micros | None = None,
    abilities: Abilities | None = None,
) -> list[Step]:
    """
    Plan ``span`` by archive files.

    Intervals over a day only have monthly files. With ``whole_months_only``, the ends
    of such a span that are not whole months go to REST.
    """
    steps: list[Step] = []
    at = span.start
    while at < span.end:
        month = ArchiveFile(month_of(at), monthly=True)
        whole = month.span.clip(span) == month.span and (now is None or _month_published(month) <= now)
        if whole or (not _has_daily_files(interval) and not whole_months_only):
            file = month
        elif _has_daily_files(interval):
            file = ArchiveFile(day_of(at), monthly=False)
        else:
            part = month.span.clip(Span(at, span.end))
            steps += _rest_steps(part, interval, abilities or Abilities())
            at = part.end
            continue
        part = file.span.clip(Span(at, span.end))
        steps.append(ArchiveStep(part, file))
        at = part.end
    return steps


def _month_published(month: ArchiveFile) -> Micros:
    """Return when the file of a month is expected: two days after the first Monday after its end."""
    return Interval.WEEK_1.ceil(month.span.end) + 2 * DAY


def _rest_steps(span: Span, interval: Grid, abilities: Abilities) -> list[Step]:
    steps: list[Step] = []
    if abilities.oldest is not None and span.start < abilities.oldest:
        steps.append(BeyondStep(Span(span.start, min(span.end, abilities.oldest)), abilities.oldest))
        span = Span(steps[0].span.end, span.end)
    chunks = rest_chunks(span, interval, chunk=abilities.chunk, longest=abilities.longest)
    return [*steps, *(RestStep(chunk) for chunk in chunks)]
