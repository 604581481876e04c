"""Half-open spans of time, the arithmetic on them, and what is said of the holes in a series."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from enum import Enum

from msgspec import Struct

from chandlery.core.time import Micros, iso


class Span(Struct, frozen=True, order=True):
    """``start <= t < end``, in microseconds."""

    start: Micros
    end: Micros

    def __bool__(self) -> bool:
        """Whether any moment lies in it."""
        return self.end > self.start

    def __str__(self) -> str:
        """Both ends as text."""
        return f"[{iso(self.start)}, {iso(self.end)})"

    def holds(self, moment: Micros) -> bool:
        """Whether ``moment`` lies in it."""
        return self.start <= moment < self.end

    def clip(self, other: Span) -> Span:
        """What both have in common; empty where they do not meet."""
        return Span(max(self.start, other.start), min(self.end, other.end))


class GapKind(Enum):
    """Why candles are not there."""

    HALT = "halt"
    """The exchange has none: asked again, it still answers with its neighbours and not with these."""
    NO_TRADES = "no_trades"
    """The exchange sends no candle where nobody traded."""
    NOT_LISTED = "not_listed"
    """Before the first candle of the instrument."""
    NOT_YET = "not_yet"
    """Closed so short a time ago that the exchange may not have published it."""
    NOT_IN_ARCHIVE = "not_in_archive"
    """The archive, which alone was allowed, lacks it; whether the exchange has it was not asked."""
    DELISTED = "delisted"
    """After the last candle of an instrument that the exchange has delisted."""
    NO_LONGER_SERVED = "no_longer_served"
    """Older than what the exchange still answers for; it existed, and is nowhere to be had."""
    NOT_COLLECTED = "not_collected"
    """Of an order book: nobody listened, or what was heard could not be kept."""
    FETCH_FAILED = "fetch_failed"
    """It could not be fetched; ``evidence`` is the failure."""

    @property
    def is_failure(self) -> bool:
        """Whether the candles may exist all the same, so that a result without them is incomplete."""
        return self in {GapKind.FETCH_FAILED, GapKind.NOT_IN_ARCHIVE, GapKind.NO_LONGER_SERVED}


class Gap(Struct, frozen=True, omit_defaults=True):
    """
    A hole in a series, and what is known of its cause.

    ``recheck_at`` is when a stored gap that may still fill is requested again; ``None`` where it is final.
    """

    start: Micros
    end: Micros
    kind: GapKind
    evidence: str = ""
    recheck_at: Micros | None = None

    def __lt__(self, other: Gap) -> bool:
        """By place, then by kind; two that are alike can be compared too."""
        return (self.start, self.end, self.kind.value) < (other.start, other.end, other.kind.value)

    @property
    def span(self) -> Span:
        """Where it lies."""
        return Span(self.start, self.end)


def merge(spans: Iterable[Span]) -> list[Span]:
    """The same moments as the fewest spans, in order."""
    merged: list[Span] = []
    for span in sorted(span for span in spans if span):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def subtract(whole: Span, taken: Iterable[Span]) -> list[Span]:
    """What of ``whole`` lies in none of ``taken``, in order."""
    return next(subtract_each([whole], taken))


def subtract_each(spans: Iterable[Span], taken: Iterable[Span]) -> Iterator[list[Span]]:
    """What of each of ``spans`` lies in none of ``taken``; ``taken`` is sorted once, whatever the number of ``spans``."""
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
    """The parts of ``spans``, which are merged, that lie in none of ``taken``, in order."""
    return [left for each in subtract_each(merge(spans), taken) for left in each]


def joined_gaps(gaps: Iterable[Gap]) -> list[Gap]:
    """
    The same gaps in order, neighbours of one kind as one gap with the evidence of the first.

    Where two overlap, the part that both cover belongs to the one that begins first.
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
