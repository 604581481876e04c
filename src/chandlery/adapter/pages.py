"""Split spans into requests that an exchange answers completely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from chandlery.adapter.base import FundingColumns
from chandlery.core.errors import MalformedResponse
from chandlery.core.gaps import Span
from chandlery.core.interval import Grid
from chandlery.core.time import Micros


def rest_chunks(span: Span, interval: Grid, *, chunk: int | None, longest: Micros | None = None) -> Iterator[Span]:
    """Split ``span`` into adjacent parts of at most ``chunk`` candles and a length of at most ``longest``."""
    limits = [] if chunk is None else [chunk]
    if longest is not None:
        limits.append(longest // interval.longest)
    if not limits:
        yield span
        return
    size = max(min(limits), 1)
    at = span.start
    while at < span.end:
        end = min(interval.step(interval.floor(at), size), span.end)
        yield Span(at, end)
        at = end


def numbered_page(rates: Sequence[tuple[Micros, float]], number: int, count: int) -> FundingColumns:
    """
    Convert page ``number`` of ``count`` of funding rates, given as sent, latest first.

    Raises:
        MalformedResponse: They are in another order, so that further pages would lead away from the wanted rates.
    """
    if any(later < earlier for (later, _), (earlier, _) in pairwise(rates)):
        raise MalformedResponse(f"page {number} of funding rates is not ordered from the latest to the oldest")
    oldest_first = rates[::-1]
    return FundingColumns([t for t, _ in oldest_first], [rate for _, rate in oldest_first], last=number >= count)
