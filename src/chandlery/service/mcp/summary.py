"""Statistics of consecutive candles."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa

from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import Micros, iso
from chandlery.service.mcp.schemas import Summary
from chandlery.tables.frame import open_times

_DIGITS = 8


class RunningSummary:
    """Incremental summary of candles, so that memory is bounded by one piece for any range."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.rows = 0
        self._first: Micros = 0
        self._last: Micros = 0
        self._open = self._close = math.nan
        self._high, self._low = -math.inf, math.inf
        self._volume = 0.0
        self._returns = 0
        self._mean = self._squares = 0.0

    def add(self, table: pa.Table) -> None:
        """Add candles that follow the previous ones."""
        if not table.num_rows:
            return
        times = open_times(table)
        closes = table.column("close").to_numpy()
        if not self.rows:
            self._first, self._open = int(times[0]), float(table.column("open")[0].as_py())
            before = closes
        else:
            before = np.concatenate(([self._close], closes))
        self._add_returns(before)
        self.rows += table.num_rows
        self._last, self._close = int(times[-1]), float(closes[-1])
        self._high = max(self._high, float(table.column("high").to_numpy().max()))
        self._low = min(self._low, float(table.column("low").to_numpy().min()))
        self._volume += float(table.column("volume").to_numpy().sum())

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
        known = self.rows > 0
        return Summary(
            start=iso(self.span.start),
            end=iso(self.span.end),
            rows=self.rows,
            expected_rows=interval.count(self.span.start, self.span.end),
            first=iso(self._first) if known else None,
            last=iso(self._last) if known else None,
            open=self._open if known else None,
            high=self._high if known else None,
            low=self._low if known else None,
            close=self._close if known else None,
            volume=round(self._volume, _DIGITS),
            change=round(self._close / self._open - 1, _DIGITS) if known and self._open else None,
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
