"""A collected coin that is not traded in every minute: its gaps are requested together, and only until they are proved."""

from __future__ import annotations

import pyarrow as pa
import pytest

from chandlery.core.candle import CandleData
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import DAY, HOUR, MINUTE
from chandlery.feed.events import Missing
from chandlery.net.clock import system_clock
from chandlery.service.historical.report import AnswerReport
from chandlery.sim.server import SimServer
from chandlery.tables.frame import open_times
from fixtures.candle_feed import truth
from fixtures.growth import MOST, exponents
from fixtures.monitored_service import ThinMarket
from fixtures.service import service_of

THIN = SeriesId.parse("kucoin", "THIN/USDT", "candles:1m")
MARKET = ThinMarket(7, symbols={MarketType.SPOT: ("BTCUSDT", "THINUSDT")})
M = Interval.MINUTE_1


@pytest.fixture
async def sim():
    """An offline exchange with a coin in which nobody trades in every fifth minute."""
    async with SimServer(MARKET, exchanges=["kucoin_spot"], tick_s=None) as running:
        yield running


@pytest.fixture
async def service(sim, tmp_path):
    """A service over it."""
    async with service_of(sim, tmp_path) as opened:
        yield opened


def traded(span):
    """The candles that the exchange has."""
    return truth(MARKET, "THINUSDT", M, span)


async def collect(service, span):
    """Put what the exchange has into the database, as if it had come live, each silent minute a gap that nobody has proved."""
    candles = traded(span)
    await service.candles.save(THIN, candles)
    return [each.open_time for each in candles]


async def page(service, sim, span):
    """The opens of a page and its gaps, and how many requests for candles it took."""
    sim.log.clear()
    report, tables = AnswerReport(), []
    resolved = service.collection.resolve(THIN)
    async for piece in service.historical.pieces(resolved, span, rows=1000):
        report.add(piece)
        tables.append(piece.table)
    opens = open_times(pa.concat_tables(tables)).tolist()
    silent = {at for gap in report.gaps for at in range(gap.start, gap.end, MINUTE)}
    assert {GapKind.NO_TRADES} == {gap.kind for gap in report.gaps}
    assert [*range(span.start, span.end, MINUTE)] == sorted([*opens, *silent])
    return opens, sum("candles" in path for _, path, _ in sim.log), report


def old(length, *, age=10 * DAY):
    """A span that ended so long ago."""
    end = (system_clock() - age) // HOUR * HOUR
    return Span(end - length, end)


async def test_an_hour_takes_two_requests_once(service, sim):
    """All holes by one call of the client; once they are proved, the database alone has all."""
    span = old(HOUR)
    opens = await collect(service, span)

    assert (opens, 2) == (await page(service, sim, span))[:2]
    sim.log.clear()
    again, count, report = await page(service, sim, span)
    assert (opens, 0) == (again, count)
    assert [] == [*sim.log]
    assert [("database", 48)] == [(each.source, each.rows) for each in report.sources]


@pytest.mark.parametrize("days", [(1, 10), pytest.param((10, 100), marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
async def test_requests_grow_with_the_pages_not_with_the_holes(service, sim, days):
    """Ten times the time takes at most ten times the requests, two a page; read again, it takes none."""
    counts = {}
    for length in days:
        span = old(length * DAY, age=20 * DAY * length)
        await collect(service, span)
        _, counts[length], report = await page(service, sim, span)
        assert length * 288 == len(report.gaps)
        assert 0 == (await page(service, sim, span))[1]

    assert max(exponents(counts)) <= MOST
    assert max(counts.values()) <= 4 * max(days)


async def test_young_gaps_are_not_believed(service, sim):
    """Those of the last hour are requested each time; those of the last two days until they are due again."""
    end = system_clock() // MINUTE * MINUTE - 5 * MINUTE
    young, middle = Span(end - 30 * MINUTE, end), old(HOUR, age=6 * HOUR)
    for span in (young, middle):
        await collect(service, span)
        await page(service, sim, span)
    now = system_clock()

    assert [] == await service.gaps.believed(THIN, young, now)
    proved = await service.gaps.believed(THIN, middle, now)
    assert set(range(middle.start, middle.end, MINUTE)) - {each.open_time for each in traded(middle)} == {
        gap.start for gap in proved
    }
    assert [] == await service.gaps.believed(THIN, middle, now + 8 * HOUR)
    assert (await page(service, sim, young))[1]


async def test_what_was_not_collected_is_left_to_the_clients_cache(service, sim):
    """Gaps of a stretch of which the database has no candle are not stored twice."""
    span = old(HOUR)
    await page(service, sim, span)

    assert [] == await service.gaps.find(THIN, span)
    assert 0 == (await page(service, sim, span))[1]


async def test_a_client_without_a_cache(service, sim):
    """Its answer is stored, gaps and candles alike, and it is called once."""
    client = service.connector.get_client("kucoin")
    storage = client._settings.storage.model_copy(update={"use_cache": False})
    client._settings = client._settings.model_copy(update={"storage": storage})
    span = old(HOUR)
    opens, _, _ = await page(service, sim, span)

    assert (opens, 0) == (await page(service, sim, span))[:2]
    assert [each.open_time for each in traded(span)] == opens


async def test_what_a_feed_has_proved_is_believed_by_its_age(service, sim):
    """A gap that was proved when it was old is not requested; a young one is, and a failure is never believed."""
    await service.collection.add_coin("THIN/USDT", "kucoin", ["candles:1m"])
    (stream_supervisor,) = service.collection.stream_supervisors()
    span = old(HOUR)
    opens = await collect(service, span)
    silent = [at for at in range(span.start, span.end, MINUTE) if at not in opens]
    for number, at in enumerate(silent):
        kind = GapKind.FETCH_FAILED if number == 0 else GapKind.NO_TRADES
        proved_at = at + (DAY * 3 if number < len(silent) - 1 else 2 * MINUTE)
        stream_supervisor._happened("THIN/USDT", Missing(Gap(at, at + MINUTE, kind, "live"), proved_at))
    await stream_supervisor._record()
    believed = await service.gaps.believed(THIN, span, system_clock())

    assert silent == [gap.start for gap in await service.gaps.find(THIN, span)]
    assert silent[1:-1] == [gap.start for gap in believed]


async def test_a_start_after_a_while_keeps_what_its_backfill_proved(service):
    """The gaps between the last candle that was collected and now need no request afterwards, unless they are young."""
    now = system_clock() // MINUTE * MINUTE
    span = Span(now - 5 * HOUR, now - 4 * HOUR)
    (last, *_) = traded(span)
    await service.candles.save(THIN, [CandleData(last.open_time, 1.0, 1.0, 1.0, 1.0, 1.0)])
    await service.collection.add_coin("THIN/USDT", "kucoin", ["candles:1m"])
    believed = await service.gaps.believed(THIN, Span(last.open_time, now), system_clock())

    known = {at for gap in believed for at in range(gap.start, gap.end, MINUTE)}
    opens = {each.open_time for each in traded(span)}
    assert set(range(last.open_time, span.end, MINUTE)) - opens <= known
    assert max(known) < now - 59 * MINUTE
