"""Statistics of consecutive candles."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.resampling import followed
from chandlery.core.time import Micros, iso
from chandlery.service.mcp.schemas import Summary
from chandlery.tables.frame import open_times
from chandlery.tables.resample import resampled

_DIGITS = 8
_COLUMNS = ("open", "high", "low", "close", "volume")


class RunningSummary:
    """Incremental summary of candles, so that memory is bounded by one piece for any range."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.rows = 0
        self._first: Micros = 0
        self._last: Micros = 0
        self._candle: Mapping[str, float] = {}
        """All candles as one."""
        self._returns = 0
        self._mean = self._squares = 0.0

    def add(self, table: pa.Table) -> None:
        """Add candles that follow the previous ones."""
        if not table.num_rows:
            return
        times = open_times(table)
        closes = table.column("close").to_numpy()
        if not self.rows:
            self._first = int(times[0])
        self._add_returns(np.concatenate(([self._candle["close"]], closes)) if self.rows else closes)
        self.rows += table.num_rows
        self._last = int(times[-1])
        one = resampled({name: table.column(name).to_numpy() for name in _COLUMNS}, np.zeros(1, np.intp))
        candle = {name: float(values[0]) for name, values in one.items()}
        self._candle = followed(self._candle, candle) if self._candle else candle

    def _add_returns(self, closes: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
        positive = closes[closes > 0]
        returns = np.diff(np.log(positive))
        if not len(returns):
            return
        count, mean = len(returns), float(returns.mean())
        together = self._returns + count
        delta = mean - self._mean
        # Merge of two variances, by Chan, Golub and LeVeque.
        self._squares += float(((returns - mean) ** 2).sum()) + delta**2 * self._returns * count / together
        self._mean += delta * count / together
        self._returns = together

    def summary(self, interval: Interval) -> Summary:
        """Return the summary."""
        known, candle = self.rows > 0, self._candle
        return Summary(
            start=iso(self.span.start),
            end=iso(self.span.end),
            rows=self.rows,
            expected_rows=interval.count(self.span.start, self.span.end),
            first=iso(self._first) if known else None,
            last=iso(self._last) if known else None,
            open=candle.get("open"),
            high=candle.get("high"),
            low=candle.get("low"),
            close=candle.get("close"),
            volume=round(candle.get("volume", 0.0), _DIGITS),
            change=round(candle["close"] / candle["open"] - 1, _DIGITS) if candle.get("open") else None,
            volatility=round(math.sqrt(self._squares / (self._returns - 1)), _DIGITS) if self._returns > 1 else None,
        )


class SummaryBuckets:
    """Summary of a range in a limited number of buckets with equally many candles."""

    def __init__(self, span: Span, interval: Interval, most: int) -> None:
        count = interval.count(span.start, span.end)
        self.candles = max(-(-count // most), 1)
        opens = [interval.step(span.start, at) for at in range(0, count, self.candles)]
        self._starts = np.array(opens, dtype=np.int64)
        self.whole = RunningSummary(span)
        self.parts = [RunningSummary(Span(at, end)) for at, end in zip(opens, [*opens[1:], span.end], strict=True)]

    def add(self, table: pa.Table) -> None:
        """Add candles to their buckets."""
        self.whole.add(table)
        bounds = [*np.searchsorted(open_times(table), self._starts).tolist(), table.num_rows]
        for part, first, end in zip(self.parts, bounds[:-1], bounds[1:], strict=True):
            if end > first:
                part.add(table.slice(first, end - first))
