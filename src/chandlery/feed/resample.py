"""Resample live candles to a longer interval."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from msgspec import Struct

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.live import CandleStream
from chandlery.core.candle import CandleData
from chandlery.core.interval import Grid, Interval
from chandlery.core.time import Micros

_SUMS = ("volume", "quote_asset_volume", "taker_buy_volume", "taker_buy_quote_volume")


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
        self._before: _Total | None = None
        """Sum of all parts but the latest."""

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
            self._before = _added(self._before, self._parts[self._latest])
            self._latest = part.open_time
        elif part.open_time != self._latest:
            *before, self._latest = sorted(self._parts)
            self._before = _total(self._parts[each] for each in before)
        return _added(self._before, self._parts[self._latest]).candle(opened, part)


class _Total(Struct, frozen=True):
    """Exact decimal sums of consecutive parts; ``None`` for a value that one of them lacks."""

    open: float
    high: float
    low: float
    close: float
    sums: tuple[Decimal | None, ...]
    count: int | None

    def candle(self, opened: Micros, newest: CandleData) -> CandleData:
        """Return the running candle, with the times of the latest part."""
        sums = {name: None if each is None else float(each) for name, each in zip(_SUMS, self.sums, strict=True)}
        volume = sums.pop("volume") or 0.0
        return CandleData(
            opened, self.open, self.high, self.low, self.close, volume, count=self.count, closed=False,
            at=newest.at, received_at=newest.received_at, **sums,
        )  # fmt: skip


def _total(parts: Iterable[CandleData]) -> _Total | None:
    total = None
    for part in parts:
        total = _added(total, part)
    return total


def _added(total: _Total | None, part: CandleData) -> _Total:
    values = [getattr(part, name) for name in _SUMS]
    sums = tuple(None if value is None else Decimal(repr(value)) for value in values)
    if total is None:
        return _Total(part.open, part.high, part.low, part.close, sums, part.count)
    return _Total(
        total.open,
        max(total.high, part.high),
        min(total.low, part.low),
        part.close,
        tuple(None if a is None or b is None else a + b for a, b in zip(total.sums, sums, strict=True)),
        None if total.count is None or part.count is None else total.count + part.count,
    )


def live_stream(adapter: ExchangeAdapter, symbol: str, interval: Interval) -> CandleStream | None:
    """Return the stream for an interval: its own, else the longest one it can be resampled from; ``None`` without one."""
    sent = adapter.live_intervals
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
