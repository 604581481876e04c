"""Candles made of shorter ones."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from chandlery.core.candle import CandleData
from chandlery.core.interval import Interval
from chandlery.core.time import Micros

_SUMS = ("volume", "quote_asset_volume", "taker_buy_volume", "taker_buy_quote_volume")


class Combiner:
    """
    The running candle of an interval, out of those of a shorter one that come.

    It knows only what it has been given, so no candle that it makes is closed: the exchange's own is.
    """

    def __init__(self, interval: Interval) -> None:
        self.interval = interval
        self._parts: dict[Micros, CandleData] = {}
        self._opened: Micros = -1
        self._latest: Micros = -1
        self._before: list[CandleData] = []
        """All parts but the latest, as one."""

    def add(self, part: CandleData) -> CandleData | None:
        """The candle of which the part is one, as far as it is known; ``None`` where the part is outdated."""
        opened = self.interval.floor(part.open_time)
        if opened < self._opened:
            return None
        if opened > self._opened:
            self._opened, self._latest = opened, -1
            self._parts, self._before = {}, []
        held = self._parts.get(part.open_time)
        if held is not None and (held.closed or (part.volume < held.volume and not part.closed)):
            return None
        self._parts[part.open_time] = part
        if part.open_time != self._latest:
            *before, self._latest = sorted(self._parts)
            self._before = [combined([self._parts[each] for each in before], opened)] if before else []
        return combined([*self._before, self._parts[self._latest]], opened)


def combined(parts: Sequence[CandleData], opened: Micros) -> CandleData:
    """One candle that opens at ``opened`` and is not closed, of its parts in order; sums are exact in their digits."""
    sums = {name: _sum([getattr(part, name) for part in parts]) for name in _SUMS}
    counts = [part.count for part in parts]
    return CandleData(
        opened,
        parts[0].open,
        max(part.high for part in parts),
        min(part.low for part in parts),
        parts[-1].close,
        sums.pop("volume") or 0.0,
        count=None if None in counts else sum(count or 0 for count in counts),
        closed=False,
        **sums,
    )


def _sum(values: list[float | None]) -> float | None:
    if None in values:
        return None
    return float(sum((Decimal(repr(value)) for value in values), Decimal(0)))
