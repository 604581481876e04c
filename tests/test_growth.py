"""Cost grows in a straight line with what is asked for, however thin the series is."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import numpy as np
import pytest

from chandlery.cache.arrow_cache import UnifiedCacheManager
from chandlery.cache.merge import disjoint, overlay, parts
from chandlery.cache.series import SeriesKey
from chandlery.ccxt_bridge.history import Market, MarketFacts, fetch
from chandlery.core.candle import CandleData
from chandlery.core.gaps import Gap, GapKind, Span, merge, subtract_each
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.provenance import Provenance, SourceSpan
from chandlery.core.query import ChartType, DataProvider
from chandlery.core.time import DAY, MINUTE
from chandlery.feed.resample import Resampler
from chandlery.feed.series import DataProcessor
from chandlery.history.assemble import assemble
from chandlery.history.checks import holes
from chandlery.net.clock import ExchangeClock
from chandlery.tables.frame import table_of
from chandlery.tables.part import Part
from fixtures.growth import MOST, exponents, operations, seconds

START = 19_800 * DAY
M = Interval.MINUTE_1
KEY = SeriesKey(DataProvider.BINANCE, MarketType.SPOT, ChartType.KLINES, "THINUSDT", M)


def span_of(count):
    return Span(START, START + count * MINUTE)


def thin_times(count):
    """The opens of a coin that is not traded in every second minute."""
    return np.arange(START, START + count * MINUTE, 2 * MINUTE)


def thin_gaps(count):
    return [Gap(int(at) + MINUTE, int(at) + 2 * MINUTE, GapKind.NO_TRADES, "none") for at in thin_times(count)]


def by_the_minute(count, source="rest"):
    """A source for each minute, as a cache that is topped up every minute gets."""
    return [SourceSpan(START + at * MINUTE, START + (at + 1) * MINUTE, source, at) for at in range(count)]


def table(times):
    columns = {name: np.ones(len(times), np.float64) for name in ChartType.KLINES.dtypes}
    whole = {"open_time": times, "close_time": times + MINUTE - 1, "count": np.ones(len(times), np.int64)}
    return table_of(ChartType.KLINES, columns | whole)


def subtracting(count):
    taken = [gap.span for gap in thin_gaps(count)]
    whole = [Span(at, at + MINUTE) for at in range(START, START + count * MINUTE, MINUTE)]
    return lambda: (merge(taken), list(subtract_each(whole, taken)))


def finding_holes(count):
    times = thin_times(count)
    return lambda: holes(times, M, span_of(count))


def ordering_sources(count):
    overlapping = [*by_the_minute(count), *by_the_minute(count, "other")]
    never = [gap.span for gap in thin_gaps(count)]
    return lambda: disjoint(overlapping, never)


def topping_up(count):
    content = Part(table(thin_times(count)), tuple(by_the_minute(count)), tuple(thin_gaps(count)))
    more = Part(content.table.slice(0, 0), (SourceSpan(span_of(count).end, span_of(count + 1).end, "rest", 1),))
    days = [Span(at, at + DAY) for at in range(START, span_of(count).end, DAY)]
    return lambda: (overlay(content, more), list(parts(content, days)))


def paging_through_ccxt(count):
    async def ask(interval, span, counts):
        return [
            [at // 1000, 1.0, 1.2, 0.9, 1.1, 10.0] for at in range(span.start, span.end, MINUTE) if at % (5 * MINUTE)
        ]

    async def now():
        return span_of(count).end + 10_000 * MINUTE

    async def listed():
        return True

    def work():
        clock = ExchangeClock(now, clock=lambda: span_of(count).end + 10_000 * MINUTE)
        market = Market(MarketFacts(frozenset({M}), 50, launched=0), ask, clock, is_listed=listed)
        asyncio.run(fetch(market, "acme X/Y", M, span_of(count)))

    return work


def following_a_thin_coin(count):
    def work():
        processor = DataProcessor(M, count)
        for at in thin_times(2 * count).tolist():
            processor.process(CandleData(at, 1.0, 2.0, 0.5, 1.5, 1.0), fetched=True)
            processor.absent([at + MINUTE])

    return work


def adding_parts_up(count):
    def work():
        resampler = Resampler(Interval.MONTH_1)
        for at in range(START, START + count * MINUTE, MINUTE):
            resampler.add(CandleData(at, 1.0, 2.0, 0.5, 1.5, 1.0))

    return work


def telling_the_provenance(count):
    spans, gaps = by_the_minute(count), thin_gaps(count)
    text = Provenance.of(spans, gaps).to_json()
    return lambda: (Provenance.of(spans, gaps).to_json(), Provenance.from_json(text).gaps)


def assembling(count):
    rows, gaps, spans = table(thin_times(count)), thin_gaps(count), by_the_minute(count)
    half = table(thin_times(count)[: count // 4])
    fetched = Part(half, spans[: count // 2], gaps[: count // 4])
    return lambda: (
        assemble(ChartType.KLINES, M, span_of(count), [Part(rows, spans, gaps)]),
        assemble(ChartType.KLINES, M, span_of(count), [Part(rows.slice(0, 0)), fetched]),
    )


def caching(count):
    rows, gaps, spans = table(thin_times(count)), thin_gaps(count), by_the_minute(count)

    def work():
        with tempfile.TemporaryDirectory() as folder:
            cache = UnifiedCacheManager(Path(folder))
            cache.store(KEY, rows, spans, gaps)
            cache.load(KEY, span_of(count))

    return work


LOOPS = [subtracting, ordering_sources, topping_up, paging_through_ccxt, following_a_thin_coin, adding_parts_up]
"""What the interpreter loops over."""
ALL = [*LOOPS, finding_holes, telling_the_provenance, assembling, caching]


@pytest.mark.parametrize("work", LOOPS, ids=lambda work: work.__name__)
def test_operations_grow_in_a_straight_line(work):
    """Ten times as much takes ten times as many operations; this counts them, so that it needs no quiet machine."""
    work(20)()  # what is made once
    found = exponents({count: operations(work(count)) for count in (200, 2_000)})

    assert max(found) <= MOST


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("work", ALL, ids=lambda work: work.__name__)
def test_time_grows_in_a_straight_line(work, capsys):
    """At n, 10 n and 100 n; what counts is the last step, since what is small lies in the processor's cache."""
    work(1_440)()
    costs = {count: seconds(work(count)) for count in (1_440, 14_400, 144_000)}
    found = exponents(costs)
    with capsys.disabled():
        told = ", ".join(f"{count:,}: {cost * 1e3:,.1f} ms" for count, cost in costs.items())
        print(f"\n{work.__name__:24} {told}; exponents {' '.join(f'{each:.2f}' for each in found)}")  # noqa: T201

    assert found[-1] <= MOST
