"""The verdict on a candle: what is accepted into a series, and why not."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from math import inf

from chandlery.core.candle import CandleData


class Verdict(Enum):
    """The result of processing a candle."""

    TAKEN = "taken"
    REPEATED = "repeated"
    """Equal to the stored one."""
    OUTDATED = "outdated"
    """Older than the stored state, or than the oldest stored candle."""
    CONTRADICTED = "contradicted"
    """Both are final but differ in a price or the volume. The first one stays until it is read again."""
    CORRECTED = "corrected"
    """It replaced a closed candle that only a clock, or the next candle, had closed."""
    NOT_FINITE = "not_finite"
    """A price or volume is NaN or infinite, or the volume is negative."""
    IMPOSSIBLE = "impossible"
    """The high is not the highest price, or the low not the lowest."""
    OFF_GRID = "off_grid"
    """Its open time is not aligned to the interval."""
    EARLY = "early"
    """It opens more than a day from now."""

    @property
    def is_reject(self) -> bool:
        """True if the candle itself is invalid."""
        return self in _REJECTS


_REJECTS = frozenset(set(Verdict) - {Verdict.TAKEN, Verdict.CORRECTED, Verdict.REPEATED, Verdict.OUTDATED})


def verdict_of_two(held: CandleData, candle: CandleData) -> Verdict:
    """Return the verdict on a candle when a candle that is not provisional is stored already."""
    if held == candle:
        return Verdict.REPEATED
    if not held.closed:
        return Verdict.TAKEN if candle.closed or candle.volume >= held.volume else Verdict.OUTDATED
    if not candle.closed:
        return Verdict.OUTDATED
    return Verdict.REPEATED if prices_of(held) == prices_of(candle) else Verdict.CONTRADICTED


def prices_of(candle: CandleData) -> tuple[float, ...]:
    """Return the columns that every exchange sends by REST and by socket; either may lack the others."""
    return candle.open, candle.high, candle.low, candle.close, candle.volume


def are_right(candles: Iterable[CandleData]) -> bool:
    """Return whether all are closed, and ``fault_of`` finds nothing in any."""
    return all(
        each.closed
        and -inf < (low := each.low) <= each.open <= (high := each.high) < inf
        and low <= each.close <= high
        and 0.0 <= each.volume < inf
        for each in candles
    )


def fault_of(candle: CandleData) -> Verdict | None:
    """Return the verdict on a candle whose values are impossible; ``None`` if they are possible."""
    fault = candle.fault()
    return None if fault is None else Verdict(fault)
