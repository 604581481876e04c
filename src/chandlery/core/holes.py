"""Classify holes as gaps: why candles are absent, and for how long that may be stored."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, structs

from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.interval import Grid
from chandlery.core.time import HOUR, Micros, iso

_YOUNG = HOUR
"""Gaps younger than this are never stored."""
_FINAL = 48 * HOUR
"""Proved gaps older than this are stored for good; between the two, until their age has doubled."""
UNCONFIRMED = "no candles of a longer interval confirm that the exchange has not dropped older data"


class Life(Struct, frozen=True):
    """
    The known bounds of a series.

    ``first`` is the open time of its first candle, ``ended`` the time from which a delisted instrument has
    none, ``served_from`` the oldest open time that the exchange still serves.
    """

    first: Micros | None = None
    ended: Micros | None = None
    served_from: Micros | None = None
    delisted_by: str = ""
    """Evidence that the instrument is delisted."""
    again: Micros | None = None
    """If an earlier instrument had the symbol: the open time of the first candle of the present one."""
    sure: bool = True
    """True if other candles confirm the first candle that the exchange serves; it may just have dropped earlier ones."""


def explain(
    hole: Span,
    grid: Grid,
    life: Life,
    *,
    proof: str | None,
    doubt: str = "",
    sends_empty: bool,
    followed: bool,
    now: Micros,
    settle: Micros,
) -> list[Gap]:
    """
    Split a hole into gaps, in order.

    ``proof`` is the evidence that the exchange has no candle there; ``None`` if that is not proved, and
    ``doubt`` is the reason. ``sends_empty`` is true if the exchange sends candles without trades. ``followed`` is
    true if a later candle was seen; if not, candles that closed within ``settle`` of ``now``, or within an hour, may still be published.
    """
    gaps: list[Gap] = []
    at, end = hole.start, hole.end

    def cut(until: Micros, kind: GapKind, evidence: str, *, recheck_at: Micros | None = None) -> None:
        nonlocal at
        if at < min(until, end):
            gaps.append(Gap(at, min(until, end), kind, evidence, recheck_at))
            at = min(until, end)

    again, unsure = (None, "") if life.sure else (now, f"; {UNCONFIRMED}")
    if life.served_from is not None:
        cut(life.served_from, GapKind.NO_LONGER_SERVED, f"the exchange serves data from {iso(life.served_from)} on")
    if life.first is not None:
        kind = GapKind.NOT_LISTED if life.sure else GapKind.FETCH_FAILED
        cut(life.first, kind, f"first candle {iso(life.first)}{unsure}")
    if life.again is not None:
        between = f"between two instruments of this symbol; listed again {iso(life.again)}{unsure}"
        cut(life.again, GapKind.DELISTED, between, recheck_at=again)
    recent = end if followed else min(end, grid.floor(now - max(settle, _YOUNG)))
    alive = recent if life.ended is None else min(recent, life.ended)
    if proof is None:
        cut(alive, GapKind.FETCH_FAILED, doubt)
    else:
        cut(alive, GapKind.HALT if sends_empty else GapKind.NO_TRADES, proof)
    if life.ended is not None:
        cut(end, GapKind.DELISTED, f"last candle before {iso(life.ended)}; {life.delisted_by}")
    cut(end, GapKind.NOT_YET, "closed a short while ago; the exchange may still publish it")
    return gaps


def storable(gaps: Iterable[Gap], grid: Grid, now: Micros) -> tuple[list[Gap], list[Span]]:
    """
    Return the parts of ``gaps`` that may be stored, each with the time of its next request, and the spans that may not.

    ``now`` is the time at which the gaps were proved. A gap is stored for good from an age of 48 h on; from
    1 h on until its age has doubled; before that, or if it is a failure or not certain, it is not stored.
    """
    stored: list[Gap] = []
    never: list[Span] = []
    young, final = grid.floor(now - _YOUNG), grid.floor(now - _FINAL)
    for gap in gaps:
        if gap.kind.is_failure or gap.kind is GapKind.NOT_YET or gap.recheck_at is not None:
            never.append(gap.span)
            continue
        if gap.start < final:
            stored.append(structs.replace(gap, end=min(gap.end, final), recheck_at=None))
        middle = gap.span.clip(Span(final, young))
        if middle:
            at = 2 * now - middle.end
            stored.append(structs.replace(gap, start=middle.start, end=middle.end, recheck_at=at))
        recent = gap.span.clip(Span(young, max(young, gap.end)))
        if recent:
            never.append(recent)
    return stored, never
