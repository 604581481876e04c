"""Choose the requests for a page of candles, and find which of its holes their answers prove; pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from chandlery.core.gaps import Span
from chandlery.core.interval import Grid
from chandlery.core.time import Micros

_PROOFS = 2
"""Number of answers that must agree that there is no row."""


_FEW_PAGES = 8
"""Number of pages below which one request less matters."""


class _Hole(NamedTuple):
    """Places without a row: ``start <= place < end``."""

    start: int
    end: int


class Paging:
    """
    One page of candles, read until its rows are present or proved to be absent.

    Request the span of ``next``, pass the places of the answer's rows to ``add``, until ``next`` is ``None``. Every request is
    one candle wider than the page on both sides, if ``page_size`` and ``bounds`` (the time that may be
    requested) allow it. A short answer counts as a page limit until the opposite is proved: requests continue while
    answers bring missing rows.

    A hole is proved when two answers each hold a row before it and a row after it. A hole without such a
    neighbour is ``open`` at the end. With ``thorough`` it is also requested twice, each time by a request with
    at most one known row, so that no page limit can cut it.
    """

    def __init__(
        self, grid: Grid, span: Span, page_size: int, bounds: Span | None = None, *, thorough: bool = False
    ) -> None:
        self.page_size = page_size
        """Number of rows of one answer: as given, or fewer once an answer has shown it."""
        self.thorough = thorough
        self._grid = grid
        self._start, self._end = grid.place(grid.ceil(span.start)), grid.place(grid.ceil(span.end))
        outer = bounds or Span(grid.moment(self._start - 1), grid.moment(self._end + 1))
        self._first, self._last = grid.place(grid.ceil(outer.start)), grid.place(grid.ceil(outer.end))
        self._have: set[int] = set()
        self._answers: list[tuple[int, int]] = []
        """First and last place of the rows of each answer that has any."""
        self._asked: list[tuple[int, int, int, int, int]] = []
        """For each request: start, end, and of its rows the number, the first and the last."""
        self._vain = 0
        self._holes: list[_Hole] = [_Hole(self._start, self._end)] if self._start < self._end else []

    def next(self) -> Span | None:
        """Return the span of the next request; ``None`` if no more are needed."""
        if not self._asked:
            return self._wide(self._start, self._end) if self._holes else None
        weak = [hole for hole in self._holes if self._proofs(hole) < _PROOFS]
        if not weak:
            return None
        if not self.thorough:
            tried = self._vain and len(self._asked) >= _PROOFS
            return None if tried else self._around(weak)
        inner = [hole for hole in weak if self._proofs(hole)]
        if inner and self._vain <= _PROOFS:
            return self._around(inner)
        edges = [hole for hole in weak if not self._proofs(hole) and self._bare(hole) < _PROOFS]
        if edges and self._vain <= 2 * _PROOFS:
            return self._around(edges[:1])
        return None

    def add(self, asked: Span, rows: Sequence[int]) -> bool:
        """Add the rows of an answer to a request for ``asked``, as ``places_of`` returns them. Return whether any was missing."""
        grid = self._grid
        start, end = grid.place(grid.ceil(asked.start)), grid.place(grid.ceil(asked.end))
        inside = _within(rows, start, end)
        first, last = (inside[0], inside[-1]) if inside else (end, start - 1)
        wanted = _within(rows, self._start, self._end)
        new = not self._have.issuperset(wanted)
        self._have.update(rows)
        before = sum(1 for hole in self._holes if self._proofs(hole) >= _PROOFS)
        if rows:
            self._answers.append((rows[0], rows[-1]))
        self._asked.append((start, end, len(inside), first, last))
        self._holes = self._find_holes() if len(wanted) < self._end - self._start else []
        proved = sum(1 for hole in self._holes if self._proofs(hole) >= _PROOFS) > before
        self._vain = 0 if new or proved else self._vain + 1
        if len(self._asked) > 1:
            self._learn_page_size()
        return new

    @property
    def complete(self) -> bool:
        """True if there are no holes."""
        return not self._holes

    @property
    def proved(self) -> list[Span]:
        """The holes that two answers prove, oldest first."""
        return [self._span(hole) for hole in self._holes if self._proofs(hole) >= _PROOFS]

    @property
    def open(self) -> list[Span]:
        """Holes without a row before or after them in these answers, oldest first."""
        return [self._span(hole) for hole in self._holes if self._proofs(hole) < _PROOFS]

    @property
    def bare(self) -> list[Span]:
        """Open holes that two requests with at most one known row have covered."""
        return [self._span(h) for h in self._holes if self._proofs(h) < _PROOFS and self._bare(h) >= _PROOFS]

    def _find_holes(self) -> list[_Hole]:
        have = _within(sorted(self._have), self._start, self._end)
        if len(have) == self._end - self._start:
            return []
        edges = [self._start - 1, *have, self._end]
        return [_Hole(place + 1, following) for place, following in pairwise(edges) if following - place > 1]

    def _proofs(self, hole: _Hole) -> int:
        return sum(1 for first, last in self._answers if first < hole.start and last >= hole.end)

    def _bare(self, hole: _Hole) -> int:
        return sum(1 for start, end, rows, _, _ in self._asked if rows <= 1 and start <= hole.start and hole.end <= end)

    def _around(self, holes: Sequence[_Hole]) -> Span:
        """Return a request for holes; if they exceed a page, for the part that begins or ends at a known row."""
        first, last = holes[0], holes[-1]
        start = first.start
        if last.end - start > self.page_size and start - 1 not in self._have and first.end in self._have:
            start = max(start, first.end - self.page_size)
        return self._wide(start, last.end)

    def _wide(self, start: int, end: int) -> Span:
        """Return a request for places with their neighbours, at most a page; if there are more, the oldest."""
        end = min(end, start + max(self.page_size, 1))
        room = self.page_size - (end - start)
        left = 1 if room >= 1 and start > self._first else 0
        right = 1 if room - left >= 1 and end < self._last else 0
        return Span(self._grid.moment(start - left), self._grid.moment(end + right))

    def _learn_page_size(self) -> None:
        """
        Lower the page size if an answer was cut: a later one brought rows of its request beyond its first or last.

        A single such row may have been published in between, so there must be more.
        """
        have: Sequence[int] | None = None
        for start, end, rows, first, last in self._asked[:-1]:
            if 1 < rows < self.page_size:
                have = have or sorted(self._have)
                if len(_within(have, start, first)) + len(_within(have, last + 1, end)) > 1:
                    self.page_size = rows

    def _span(self, hole: _Hole) -> Span:
        return Span(self._grid.moment(hole.start), self._grid.moment(hole.end))


def candles_of_a_page(grid: Grid, spans: Iterable[Span], page_size: int, *, wide: bool) -> int:
    """
    Return into how many candles to split ``spans`` for answers of ``page_size`` candles.

    A page leaves room for a candle on both sides, whose rows prove holes at its ends. A short reading does without
    if that saves a request and it need not be ``wide``: a hole at an end then costs one request more.
    """
    inner = max(page_size - 2, 1)
    count = sum(grid.count(span.start, span.end) for span in spans)
    fewer = -(-count // page_size) < min(-(-count // inner), _FEW_PAGES)
    return page_size if fewer and not wide else inner


def places_of(grid: Grid, opens: Iterable[Micros]) -> list[int]:
    """Return the places of the candles that open at ``opens``, which are in any order; ascending, without duplicates."""
    return sorted({*grid.places(opens)})


def _within(places: Sequence[int], start: int, end: int) -> Sequence[int]:
    """Return those of ascending places that are in ``start <= place < end``."""
    return places[bisect_left(places, start) : bisect_left(places, end)]
