"""Stored candles that were read too early."""

from __future__ import annotations

from msgspec import structs

from chandlery.core.errors import ExchangeUnavailable
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import DAY, MINUTE, SECOND
from chandlery.service.collection.settling import changed, settle, unsettled
from fixtures.candle_feed import truth
from fixtures.service import MARKET, service_of
from fixtures.support import micros

START = micros(2025, 3, 12)
MINUTES = SeriesId.parse("binance", "BTC/USDT", "candles:1m")


def test_where_candles_may_not_be_final():
    """Before the end of the stream, and before now; once where both are near."""
    last = START + 59 * MINUTE
    long_ago = unsettled(Interval.MINUTE_1, last, START + DAY + 30 * SECOND)

    assert [Span(START + 49 * MINUTE, START + 60 * MINUTE), Span(START + DAY - 10 * MINUTE, START + DAY)] == long_ago
    assert [Span(START + 49 * MINUTE, START + 63 * MINUTE)] == unsettled(
        Interval.MINUTE_1, last, START + 63 * MINUTE + SECOND
    )


async def test_what_is_stored_otherwise(sim, tmp_path):
    """And neither what is stored so nor what is not stored at all."""
    span = Span(START, START + 5 * MINUTE)
    candles = truth(MARKET, "BTCUSDT", Interval.MINUTE_1, span, MarketType.SPOT)
    early = structs.replace(candles[3], volume=candles[3].volume / 2)
    async with service_of(sim, tmp_path) as service:
        await service.candles.save(MINUTES, [candles[0], candles[2], early, candles[4]])
        rows = await changed(service.connector, service.candles, MINUTES, span)

    assert [(START + 3 * MINUTE, candles[3].volume)] == [(row["timestamp"] * 1000, row["volume"]) for row in rows]


async def test_what_cannot_be_fetched_is_tried_again():
    """After the latest have settled, and then later; what was fetched is not fetched again."""
    spans, waited, fetched, restated = [Span(0, 1), Span(5, 6)], [], [], []

    async def sleep(seconds):
        waited.append(seconds)

    async def fetch(span):
        fetched.append(span.start)
        if len(fetched) == 2:
            raise ExchangeUnavailable("down")
        return [span.start]

    async def restate(rows):
        restated.extend(rows)

    await settle(spans, fetch, restate, sleep, iter([1.0, 2.0]))

    assert ([0, 5], [0, 5, 5], [121.0, 122.0]) == (restated, fetched, waited)
