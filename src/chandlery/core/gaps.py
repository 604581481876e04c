"""Half-open time spans, their arithmetic, and the gaps in a series."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Self, TypeVar

from msgspec import Struct, structs

from chandlery.core.time import Micros, iso


class Span(Struct, frozen=True, order=True):
    """``start <= t < end``, in microseconds."""

    start: Micros
    end: Micros

    def __bool__(self) -> bool:
        """Return whether it contains any time."""
        return self.end > self.start

    def __str__(self) -> str:
        """Format both ends."""
        return f"[{iso(self.start)}, {iso(self.end)})"

    def holds(self, moment: Micros) -> bool:
        """Return whether ``moment`` lies in it."""
        return self.start <= moment < self.end

    def clip(self, other: Span) -> Span:
        """Return the intersection; empty if they do not overlap."""
        return Span(max(self.start, other.start), min(self.end, other.end))


class GapKind(Enum):
    """The reason why candles are absent."""

    HALT = "halt"
    """The exchange has none: requested again, it returns the neighbours but not these."""
    NO_TRADES = "no_trades"
    """The exchange sends no candle without trades."""
    NOT_LISTED = "not_listed"
    """Before the first candle of the instrument."""
    NOT_YET = "not_yet"
    """Closed too recently to be published yet."""
    NOT_IN_ARCHIVE = "not_in_archive"
    """Missing from the archive, which was the only allowed source; the exchange may have it."""
    DELISTED = "delisted"
    """After the last candle of an instrument that the exchange has delisted."""
    NO_LONGER_SERVED = "no_longer_served"
    """Older than the exchange still serves; it existed, but no source has it."""
    NOT_COLLECTED = "not_collected"
    """No connection received the order book, or the received updates could not be stored."""
    FETCH_FAILED = "fetch_failed"
    """The request failed; ``evidence`` is the failure."""

    @property
    def is_failure(self) -> bool:
        """True if the candles may exist, so that a result without them is incomplete."""
        return self in {GapKind.FETCH_FAILED, GapKind.NOT_IN_ARCHIVE, GapKind.NO_LONGER_SERVED}


class SpanInfo(Struct, frozen=True):
    """Information about the time ``start <= t < end``, e.g. its source or why it has no candles."""

    start: Micros
    end: Micros

    @property
    def span(self) -> Span:
        """The time covered."""
        return Span(self.start, self.end)

    def at(self, span: Span) -> Self:
        """Return the same about another time."""
        if self.start == span.start and self.end == span.end:
            return self
        return structs.replace(self, start=span.start, end=span.end)


_Info = TypeVar("_Info", bound=SpanInfo)


class Gap(SpanInfo, frozen=True, omit_defaults=True):
    """
    A hole in a series, and its known cause.

    ``recheck_at`` is when a stored gap that may still fill is requested again; ``None`` if it is final.
    """

    kind: GapKind
    evidence: str = ""
    recheck_at: Micros | None = None

    def __lt__(self, other: Gap) -> bool:
        """Order by place, then by kind; gaps that differ only in other fields are comparable too."""
        return (self.start, self.end, self.kind.value) < (other.start, other.end, other.kind.value)


def merge(spans: Iterable[Span]) -> list[Span]:
    """Merge spans that overlap or touch; in order."""
    merged: list[Span] = []
    for span in sorted(span for span in spans if span):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def subtract(whole: Span, taken: Iterable[Span]) -> list[Span]:
    """Return the parts of ``whole`` that lie in none of ``taken``, in order."""
    return next(subtract_each([whole], taken))


def subtract_each(spans: Iterable[Span], taken: Iterable[Span]) -> Iterator[list[Span]]:
    """Yield for each of ``spans`` its parts that lie in none of ``taken``, which is sorted only once."""
    gone = merge(taken)
    ends = [each.end for each in gone]
    for span in spans:
        left: list[Span] = []
        at = span.start
        for index in range(bisect_right(ends, at), len(gone)):
            each = gone[index]
            if each.start >= span.end:
                break
            if each.start > at:
                left.append(Span(at, each.start))
            at = each.end
        if at < span.end:
            left.append(Span(at, span.end))
        yield left


def subtract_all(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """Merge ``spans``, and return their parts that lie in none of ``taken``, in order."""
    return [left for each in subtract_each(merge(spans), taken) for left in each]


def common(spans: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """Return the times that lie in both, in order."""
    whole = merge(spans)
    return subtract_all(whole, subtract_all(whole, others))


def clipped(infos: Iterable[_Info], span: Span) -> list[_Info]:
    """Return the parts of ``infos`` that lie in ``span``."""
    found: list[_Info] = []
    for each in infos:
        start, end = max(each.start, span.start), min(each.end, span.end)
        if start < end:
            found.append(each.at(Span(start, end)))
    return found


def without(infos: Sequence[_Info], taken: Iterable[Span]) -> list[_Info]:
    """Return the parts of ``infos`` that lie in none of ``taken``."""
    left = subtract_each((each.span for each in infos), taken)
    return [each.at(span) for each, spans in zip(infos, left, strict=True) for span in spans]


def joined_gaps(gaps: Iterable[Gap]) -> list[Gap]:
    """
    Return the gaps in order, with adjacent gaps of one kind merged; the evidence is that of the first.

    If two overlap, the common part belongs to the one that begins first.
    """
    result: list[Gap] = []
    for gap in sorted(gaps):
        last = result[-1] if result else None
        if last is None or gap.start > last.end or (gap.start == last.end and gap.kind is not last.kind):
            result.append(Gap(gap.start, gap.end, gap.kind, gap.evidence))
        elif gap.end <= last.end:
            continue
        elif gap.kind is last.kind:
            result[-1] = Gap(last.start, gap.end, last.kind, last.evidence)
        else:
            result.append(Gap(last.end, gap.end, gap.kind, gap.evidence))
    return result
