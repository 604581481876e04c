"""Resample live candles to a longer interval."""

from __future__ import annotations

from decimal import Decimal
from operator import attrgetter
from typing import Any, TypeAlias

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.live import CandleStream
from chandlery.core.candle import CandleData
from chandlery.core.interval import Grid, Interval
from chandlery.core.resampling import RESAMPLING, How, columns_of, followed
from chandlery.core.time import Micros

_Values: TypeAlias = dict[str, Any]
"""The values of a candle by column."""
_SUMS = tuple(name for name in columns_of(How.SUM) if name != "count")
_values_of = attrgetter(*RESAMPLING)


class Resampler:
    """
    The running candle of an interval, built from candles of a shorter one.

    It is never marked as closed, since parts may be missing; the exchange's own candle is.
    """

    def __init__(self, interval: Grid) -> None:
        self.interval = interval
        self._parts: dict[Micros, CandleData] = {}
        self._opened: Micros = -1
        self._latest: Micros = -1
        self._before: _Values | None = None
        """The candle of all parts but the latest; its sums are exact."""

    def add(self, part: CandleData) -> CandleData | None:
        """Add a part. Return the candle that contains it, from the parts so far; ``None`` if the part is outdated."""
        opened = self.interval.floor(part.open_time)
        if opened < self._opened:
            return None
        if opened > self._opened:
            self._opened, self._latest = opened, -1
            self._parts, self._before = {}, None
        held = self._parts.get(part.open_time)
        if held is not None and (held.closed or (part.volume < held.volume and not part.closed)):
            return None
        self._parts[part.open_time] = part
        if part.open_time > self._latest >= 0:
            self._before = _extended(self._before, self._parts[self._latest])
            self._latest = part.open_time
        elif part.open_time != self._latest:
            *before, self._latest = sorted(self._parts)
            self._before = None
            for each in before:
                self._before = _extended(self._before, self._parts[each])
        values = _extended(self._before, self._parts[self._latest])
        for name in _SUMS:
            if (value := values[name]) is not None:
                values[name] = float(value)
        return CandleData(opened, closed=False, at=part.at, received_at=part.received_at, **values)


def _extended(before: _Values | None, part: CandleData) -> _Values:
    """Return the candle of the parts before ``part`` and of ``part``, with decimal sums, which are exact."""
    values = dict(zip(RESAMPLING, _values_of(part), strict=True))
    for name in _SUMS:
        if (value := values[name]) is not None:
            values[name] = Decimal(repr(value))
    return values if before is None else followed(before, values)


def live_stream(adapter: ExchangeAdapter, symbol: str, interval: Interval) -> CandleStream | None:
    """Return the stream for an interval: its own, else the longest one it can be resampled from; ``None`` without one."""
    sent = adapter.live_intervals if adapter.is_streamed(symbol) else {}
    if interval in sent:
        return CandleStream(symbol, interval)
    grid = adapter.grid(interval)
    finer = [each for each in sent if each is not interval and consists(grid, adapter.grid(each))]
    return CandleStream(symbol, max(finer, key=lambda each: each.longest)) if finer else None


def consists(interval: Grid, finer: Grid) -> bool:
    """Return whether every candle of ``interval`` consists of whole candles of ``finer``."""
    if finer.micros is None or finer is interval:
        return False
    if interval.micros is None:
        return finer.micros <= Interval.DAY_1.longest and Interval.DAY_1.longest % finer.micros == 0
    return interval.micros % finer.micros == 0 and (interval.anchor - finer.anchor) % finer.micros == 0
