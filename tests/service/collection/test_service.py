"""Collecting coins from an offline exchange."""

from __future__ import annotations

import asyncio
import re
import threading

import pytest
from msgspec import structs

from chandlery.clients.rows import row_of_candle
from chandlery.core.candle import CandleData
from chandlery.core.errors import InvalidInput, InvalidSymbol, StorageFull, UnknownName, UnsupportedRequest
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import HOUR, SECOND
from chandlery.net.clock import system_clock
from chandlery.service.collection.book_proof import PROVED_WITHIN_S
from chandlery.service.collection.broadcaster import Update
from chandlery.service.metrics import Metrics
from chandlery.sim.faults import Fault, FaultKind
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.server import SimServer
from chandlery.tables.frame import open_times
from fixtures.candle_feed import truth
from fixtures.full_disk import with_room, without_room
from fixtures.service import MARKET, FastClock, offline, service_of, service_with
from fixtures.waiting import until

SECONDS = SeriesId.parse("binance", "BTC/USDT", "candles:1s")
BOOK = SeriesId.of_book("binance", "BTC/USDT")
EVER = Span(0, 2**60)


class Reader:
    """Remembers what it took."""

    def __init__(self):
        self.taken: list[Update] = []

    def take(self, update):
        """Remember it."""
        self.taken.append(update)

    def closed(self):
        """The opens of closed candles, in seconds."""
        return [each.content["timestamp"] // 1000 for each in self.taken if each.kind == "closed"]


@pytest.fixture
async def service(sim, tmp_path):
    """An open one."""
    async with service_of(sim, tmp_path) as opened:
        yield opened


def channel(service, name="candles:1s"):
    """How a stream of the only coin is doing."""
    (coin,) = service.collection.list_coins()
    return next(each for each in coin.channels if each.channel == name)


async def kept(service, series=SECONDS):
    """The opens of the closed candles in the database, in seconds."""
    table = await service.candles.table(series, EVER, 100_000)
    return [each // SECOND for each in open_times(table).tolist()]


def in_a_row(opens):
    """Whether each follows the one before it."""
    return opens == [*range(opens[0], opens[0] + len(opens))]


async def test_a_coin_is_collected(service):
    """Any spelling of it; its streams run when this returns, and say how they are doing."""
    status = await service.collection.add_coin("btc-usdt", "Binance", ["book", "candles:1s"])

    assert ("binance", "BTC/USDT") == (status.exchange, status.symbol)
    assert ["running", "running"] == [each.state for each in status.channels]
    await until(lambda: channel(service).messages > 2 and channel(service, "book").lag_ms is not None)
    assert abs(channel(service, "book").lag_ms) < 5000
    assert channel(service, "book").last_message > status.since


async def test_candles_are_kept_before_they_are_told(service):
    """Who hears of a closed candle finds it in the database; each once, in order, with the exchange's numbers."""
    reader = Reader()
    await service.collection.stream_realtime_data(SECONDS, reader)
    await until(lambda: len(reader.closed()) >= 3)
    told, there = reader.closed(), await kept(service)

    assert in_a_row(told)
    assert set(told) <= set(there)
    table = await service.candles.table(SECONDS, EVER, 10)
    span = Span(told[0] * SECOND, (told[-1] + 1) * SECOND)
    expected = [each.close for each in truth(MARKET, "BTCUSDT", Interval.SECOND_1, span, MarketType.SPOT)]
    assert expected == table.column("close").to_pylist()[: len(expected)]


async def test_order_books_are_kept_on_the_grid(service):
    """Whole ones, at every full interval of the clock."""
    await service.collection.add_coin("BTC/USDT", "binance", ["book"])
    entries = await until_books(service, 3)

    at = [entry.timestamp for entry in entries]
    assert at == list(range(at[0], at[0] + len(at) * SECOND, SECOND))
    assert at[0] % SECOND == 0
    assert all(len(entry.data.bids) > service.settings.book_levels for entry in entries)
    # They change every 50 ms; each is taken within half a second after its moment.
    assert all(-2 * SECOND < entry.data.received_at - entry.timestamp < SECOND for entry in entries)
    assert all(abs(entry.data.received_at - entry.data.at) < SECOND for entry in entries)


async def test_with_nothing_set_books_are_stored_every_five_minutes(sim, tmp_path, caplog):
    """At the full five minutes of the clock, one after the other; the start logs it, and the last one's age is a metric."""
    caplog.set_level("INFO", "chandlery.service")
    clock = FastClock(1_796_038_000 * SECOND, 60)
    async with service_with(sim, tmp_path, clock=clock, sleep=clock.sleep) as service:
        await service.collection.add_coin("BTC/USDT", "binance")
        at = [entry.timestamp for entry in await until_books(service, 3)]
        gaps = await service.gaps.find(BOOK, EVER)
        metrics = Metrics()
        metrics.service = service
        found = re.search(rb"^chandlery_snapshot_age_seconds{.*} (.*)$", metrics.text(), re.MULTILINE)

    assert [0] * len(at) == [each % (300 * SECOND) for each in at]
    # On this clock a busy machine may be late by more than the five seconds that a snapshot may be.
    missing = set(range(at[0], at[-1], 300 * SECOND)) - set(at)
    assert [] == [each for each in missing if not any(gap.start < each <= gap.end for gap in gaps)]
    assert 0 <= float(found.group(1)) < 600
    assert "order books are stored every 300 s" in caplog.text


async def test_the_age_of_the_last_book_outlives_a_restart(sim, tmp_path):
    """It is read from the database until the next one is stored."""
    async with service_of(sim, tmp_path) as first:
        await first.collection.add_coin("BTC/USDT", "binance", ["book"])
        (stored, *_) = await until_books(first, 1)
    async with service_of(sim, tmp_path, snapshot_interval="1h") as second:
        (stream_supervisor,) = second.collection.stream_supervisors()
        assert stored.timestamp <= await until(lambda: stream_supervisor.last_snapshot) < system_clock()


@pytest.mark.parametrize(
    ("coin", "exchange", "channels", "error"),
    [
        ("BTC/USDT", "nowhere", ["book"], InvalidInput),
        ("???", "binance", ["book"], InvalidSymbol),
        ("BTC/USDT", "binance", ["trades"], UnknownName),
        ("BTC/USDT", "binance", ["candles:7m"], UnknownName),
        ("BTC/USDT", "binance", [], InvalidInput),
        ("BTC/USDT:USDT", "binance", ["candles:1s"], UnsupportedRequest),
    ],
)
async def test_what_cannot_be_is_refused(service, coin, exchange, channels, error):
    """Before anything is noted."""
    with pytest.raises(error):
        await service.collection.add_coin(coin, exchange, channels)

    assert [] == service.collection.list_coins()


async def test_a_coin_that_trades_no_more(tmp_path):
    """It is refused, though the exchange has its candles still."""
    life = [["2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"]]
    unlike = {"binance_spot": {"lives": {"BTCUSDT": life}, "serves_delisted": True}}
    async with (
        SimServer(MARKET, exchanges=["binance_spot"], unlike=unlike) as sim,
        service_of(sim, tmp_path) as service,
    ):
        with pytest.raises(InvalidSymbol, match="binance does not trade BTC/USDT now"):
            await service.collection.add_coin("BTC/USDT", "binance")
        assert [] == service.collection.list_coins()


async def test_a_coin_that_does_not_trade(tmp_path):
    """It is refused as everywhere, and nothing is noted."""
    market = SyntheticMarket(7, symbols={MarketType.SPOT: ["ETHUSDT"]})
    async with SimServer(market, exchanges=["binance_spot"]) as sim, service_of(sim, tmp_path) as service:
        assert not await service.collection.check_availability("BTC/USDT", "binance")
        with pytest.raises(InvalidSymbol, match="binance_spot does not know the symbol"):
            await service.collection.add_coin("BTC/USDT", "binance")
        assert [] == service.collection.list_coins()


async def test_removed(service):
    """Its streams end; what was collected stays; again it is named."""
    reader, other = Reader(), Reader()
    await service.collection.stream_realtime_data(SECONDS, reader)
    await service.collection.stream_realtime_data(structs.replace(SECONDS, symbol="ETH/USDT"), other)
    await until(reader.closed)
    await service.collection.remove_coin("BTC/USDT", "binance")
    count, so_far = len(reader.taken), len(other.closed())
    await until(lambda: len(other.closed()) >= so_far + 2)

    assert count == len(reader.taken)
    assert await kept(service)
    assert ["ETH/USDT"] == [coin.symbol for coin in service.collection.list_coins()]
    with pytest.raises(UnknownName):
        await service.collection.remove_coin("BTC/USDT", "binance")


async def test_a_restart_backfills(sim, tmp_path):
    """The list is known again, candles of the time between are fetched, and the book's is a gap."""
    async with service_of(sim, tmp_path) as first:
        await first.collection.add_coin("BTC/USDT", "binance", ["book", "candles:1s"])
        before = await until_kept(first, 2)
        await until(lambda: first.broadcaster.latest(BOOK))
        await until_books(first, 1)
        (*_, last) = await until_books(first, 1)
    ended = system_clock()
    await until(lambda: system_clock() - ended > 1.1 * SECOND)
    async with service_of(sim, tmp_path) as second:
        begun = system_clock()
        await until(lambda: channel(second).state == "running" and channel(second, "book").gaps)
        back = system_clock()
        after = await until_kept(second, len(before) + 3)
        gaps = await second.gaps.find(BOOK, EVER)

    assert in_a_row(after)
    assert after[0] == before[0]
    assert [GapKind.NOT_COLLECTED] == [gap.kind for gap in gaps]
    assert last.timestamp <= gaps[0].start < ended
    assert begun < gaps[0].end <= back


async def test_a_snapshot_that_is_due_before_the_stream_runs_again_is_part_of_one_gap(service):
    """That from the last book that is kept on; where the stream has run before, it is a gap of its own."""
    await service.collection.add_coin("BTC/USDT", "binance", ["book"])
    (stream_supervisor,) = service.collection.stream_supervisors()
    await until_books(service, 1)
    await stream_supervisor.end()
    gaps, at = stream_supervisor.gaps, system_clock()
    stream_supervisor._resumed = False
    await stream_supervisor.snapshot(at)
    assert gaps == stream_supervisor.gaps
    stream_supervisor._resumed = True
    await stream_supervisor.snapshot(at)
    assert gaps + 1 == stream_supervisor.gaps


async def test_snapshots_that_were_due_while_the_process_was_held_up_are_a_gap(sim, tmp_path):
    """A clock that jumps 30 s ahead, as after a suspension: each full second after the first has its book, or is in a gap."""
    ahead = 0
    async with service_of(sim, tmp_path, clock=lambda: system_clock() + ahead) as service:
        await service.collection.add_coin("BTC/USDT", "binance", ["book"])
        await until_books(service, 1)
        ahead = 30 * SECOND
        jumped = system_clock() + ahead
        async with asyncio.timeout(20):
            while (stored := {each.timestamp for each in await until_books(service, 1)}) and max(stored) < jumped:
                await asyncio.sleep(0.05)  # it is in a file
        gaps = await service.gaps.find(BOOK, EVER)

    missing = [at for at in range(min(stored), max(stored), SECOND) if at not in stored]
    assert len(missing) > 20
    assert [] == [at for at in missing if not any(gap.start < at <= gap.end for gap in gaps)]


def check_honest(stored, gaps):
    """Each moment between the first and the last has its book, received just before it, or lies in a gap; none has both."""
    at = [each.timestamp for each in stored]
    missing = [each for each in range(at[0], at[-1], SECOND) if each not in at]
    assert [] == [each for each in missing if not any(gap.start < each < gap.end for gap in gaps)]
    assert [] == [each for each in at if any(gap.start < each < gap.end for gap in gaps)]
    for each in stored:
        assert -2 * SECOND < each.data.received_at - each.timestamp <= SECOND // 2 + SECOND // 10


async def test_a_suspended_process_stores_nothing_under_moments_that_are_over(service):
    """All stands still for seconds, as by SIGSTOP: the time since the last stored moment is one gap, and the next one goes on."""
    await service.collection.add_coin("BTC/USDT", "binance", ["book"])
    await until_books(service, 2)
    count = len(await until_books(service, 2))
    threading.Event().wait(3.6)  # the event loop stands still
    stored = await until_books(service, count + 3)
    gaps = await service.gaps.find(BOOK, EVER)

    (long,) = (
        each for each in gaps if each.end - each.start > 3 * SECOND
    )  # a busy machine has shorter ones of its own
    assert long.start in {each.timestamp for each in stored}
    check_honest(stored, gaps)


@pytest.mark.parametrize("step", [50 * SECOND, HOUR])
async def test_a_clock_that_is_set_forward(sim, tmp_path, step):
    """No book is stored under a moment that was never the clock's: the time between is one gap."""
    ahead = 0
    async with service_of(sim, tmp_path, clock=lambda: system_clock() + ahead) as service:
        await service.collection.add_coin("BTC/USDT", "binance", ["book"])
        await until_books(service, 2)
        count = len(await until_books(service, 2))
        ahead = step
        stored = await until_books(service, count + 3)
        gaps = await service.gaps.find(BOOK, EVER)

    assert 1 == len(gaps)
    assert gaps[0].start in {each.timestamp for each in stored}
    assert step - SECOND < gaps[0].end - gaps[0].start < step + 2 * SECOND
    check_honest(stored, gaps)


@pytest.mark.parametrize("step", [50 * SECOND, HOUR])
async def test_a_clock_that_is_set_back(sim, tmp_path, step):
    """It goes on with the next full moment of that clock, and not when the old one comes again."""
    ahead = step
    async with service_of(sim, tmp_path, clock=lambda: system_clock() + ahead) as service:
        await service.collection.add_coin("BTC/USDT", "binance", ["book"])
        early = {each.timestamp for each in await until_books(service, 2)}
        ahead = 0
        back = system_clock()
        async with asyncio.timeout(20):
            while len(later := [each for each in await until_books(service, 2) if each.timestamp < min(early)]) < 3:
                await asyncio.sleep(0.05)  # it is in a file
        gaps = await service.gaps.find(BOOK, EVER)

    assert back - SECOND < later[0].timestamp < back + 3 * SECOND
    check_honest(later, gaps)
    assert all(gap.start < gap.end for gap in gaps)


async def test_a_silent_exchange(tmp_path):
    """The connection stays, with its heartbeats, and tells of no book any more: ten seconds later there is none, which is a gap."""
    fault = Fault(FaultKind.STALLED_SOCKET, path="binance_spot", after=60, times=1)
    async with offline("binance_spot", faults=[fault]) as sim, service_of(sim, tmp_path) as service:
        await service.collection.add_coin("BTC/USDT", "binance", ["book"])
        async with asyncio.timeout(40):
            while not (gaps := await service.gaps.find(BOOK, EVER)):
                await asyncio.sleep(0.1)  # it is in a file
        stored = await until_books(service, 2)

    last = stored[-1].data
    assert "no update of the order book for" in gaps[0].evidence
    assert stored[-1].timestamp - last.received_at <= (PROVED_WITHIN_S + 1) * SECOND
    assert gaps[0].end - last.received_at > PROVED_WITHIN_S * SECOND
    assert last.received_at == max(each.data.received_at for each in stored)


async def until_kept(service, count):
    """So many closed candles, once they are kept."""
    async with asyncio.timeout(20):
        while len(found := await kept(service)) < count:
            await asyncio.sleep(0.05)  # it is in a file
    return found


async def until_books(service, count):
    """So many order books, once they are kept."""
    async with asyncio.timeout(45):
        while len(found := await service.storage.get_raw_data_range("BTC/USDT", 0, 2**60)) < count:
            await asyncio.sleep(0.05)  # it is in a file
    return found


async def test_a_stream_that_fails_is_begun_again_without_a_hole(service):
    """What closed meanwhile is fetched and told before what comes then; the other stream runs on."""
    reader = Reader()
    await service.collection.stream_realtime_data(SECONDS, reader)
    await service.collection.add_coin("ETH/USDT", "binance", ["candles:1s"])
    await until(lambda: len(reader.closed()) >= 2)
    stream_supervisor = next(each for each in service.collection.stream_supervisors() if each.series == SECONDS)
    await stream_supervisor._stream.end()
    await until(lambda: stream_supervisor.running and not stream_supervisor._seam.held)
    await until(lambda: len(reader.closed()) >= 6)

    assert in_a_row(reader.closed())
    assert ["running", "running"] == [each.channels[0].state for each in service.collection.list_coins()]


@pytest.mark.soak
async def test_a_candle_that_was_stored_when_the_stream_ended_is_published(sim, tmp_path):
    """The stream may end between the two; the next one begins after the last that was published."""
    reader = Reader()
    async with service_of(sim, tmp_path, sleep=lambda seconds: asyncio.sleep(max(seconds, 2.5))) as service:
        await service.collection.stream_realtime_data(SECONDS, reader)
        await until(reader.closed)
        (stream_supervisor,) = service.collection.stream_supervisors()
        await stream_supervisor._stream.end()
        following = (reader.closed()[-1] + 1) * SECOND
        candles = truth(MARKET, "BTCUSDT", Interval.SECOND_1, Span(following, following + SECOND))
        await service.candles.save(SECONDS, candles)
        told = len(reader.closed())
        await until(lambda: len(reader.closed()) > told)

    assert in_a_row(reader.closed())


async def test_what_comes_while_what_was_missed_is_fetched(service):
    """Live candles wait; a hole before the first of them is backfilled before it is published."""
    reader = Reader()
    await service.collection.stream_realtime_data(SECONDS, reader)
    await until(reader.closed)
    (stream_supervisor,) = service.collection.stream_supervisors()
    await stream_supervisor.end()
    told, last = len(reader.closed()), reader.closed()[-1]
    stream_supervisor._seam, stream_supervisor._may_lack = stream_supervisor._new_seam(), True
    span = Span((last + 1) * SECOND, (last + 6) * SECOND)
    await until(lambda: system_clock() > span.end + SECOND)
    rows = [
        row_of_candle(each, "binance", "BTC/USDT", Interval.SECOND_1)
        for each in truth(MARKET, "BTCUSDT", Interval.SECOND_1, span)
    ]
    for row in rows[3:]:
        await stream_supervisor._take("BTC/USDT", row)
    assert told == len(reader.closed())
    await stream_supervisor._process_all(stream_supervisor._seam.past(span.start))

    assert list(range(last + 1, last + 6)) == reader.closed()[told:]
    assert set(reader.closed()) <= set(await kept(service))


async def test_backfilled_candles_are_published_to_those_who_want_them(service):
    """All of them, in order; without subscribers only the last one, as the latest."""
    await service.collection.add_coin("BTC/USDT", "binance", ["candles:1s"])
    (stream_supervisor,) = service.collection.stream_supervisors()
    await until_kept(service, 3)
    await stream_supervisor.end()
    table = await service.candles.table(SECONDS, EVER, 3)
    opens, broadcaster, reader = [each // 1000 for each in open_times(table).tolist()], service.broadcaster, Reader()
    before = broadcaster.published
    stream_supervisor._processor.publish_stored(SECONDS, table)
    assert (before + 1, opens[-1]) == (broadcaster.published, broadcaster.latest(SECONDS).content["timestamp"])
    broadcaster.subscribe(SECONDS, reader)
    stream_supervisor._processor.publish_stored(SECONDS, table)
    stream_supervisor._processor.publish_stored(SECONDS, table.slice(3))

    assert opens == [each.content["timestamp"] for each in reader.taken]


async def test_a_candle_that_was_closed_too_early_is_stored_as_it_ended(tmp_path):
    """The last trades of a minute come after the first of the next: what is stored and published is replaced."""
    clock, reader = FastClock(1_796_038_000 * SECOND, 20), Reader()
    late = {"hyperliquid_perpetual": {"late_update_ms": 4000}}
    series = SeriesId.parse("hyperliquid", "BTC/USDC:USDC", "candles:1m")
    async with (
        offline("hyperliquid_perpetual", clock=clock, unlike=late) as sim,
        service_of(sim, tmp_path, clock=clock) as service,
    ):
        await service.collection.stream_realtime_data(series, reader)
        (stream_supervisor,) = service.collection.stream_supervisors()
        await until(lambda: stream_supervisor.restated >= 2)
        restated = [each.content["timestamp"] * 1000 for each in reader.taken if each.kind == "restated"]
        table = await service.candles.table(series, EVER, 1000)
        metrics = Metrics()
        metrics.service = service
        counted = metrics.text()
    stored = dict(zip(open_times(table).tolist(), table.column("volume").to_pylist(), strict=True))
    span = Span(restated[0], restated[-1] + 1)
    right = {
        each.open_time: each.volume
        for each in truth(
            sim.view("hyperliquid_perpetual").market, "BTCUSDC", Interval.MINUTE_1, span, MarketType.FUTURES_USDT
        )
    }

    assert right == {opened: stored[opened] for opened in right}
    assert set(restated) <= set(right)
    assert re.search(rb"^chandlery_stream_restated_total{.*} [2-9]", counted, re.MULTILINE)


async def test_a_restart_corrects_what_was_stored_too_early(sim, tmp_path):
    """A while after the stream has begun again, the candles that closed before its end are compared and replaced."""
    reader = Reader()
    async with service_of(sim, tmp_path) as first:
        await first.collection.stream_realtime_data(SECONDS, reader)
        await until(lambda: len(reader.closed()) >= 2)
    opened = reader.closed()[0] * SECOND
    (right,) = truth(MARKET, "BTCUSDT", Interval.SECOND_1, Span(opened, opened + 1))

    async def soon(seconds):
        await asyncio.sleep(seconds / 100 if seconds > 100 else seconds)

    async with service_of(sim, tmp_path, sleep=soon) as second:
        await second.candles.save(SECONDS, [structs.replace(right, volume=right.volume / 2)])
        await second.collection.stream_realtime_data(SECONDS, reader)
        await until(lambda: any(each.kind == "restated" for each in reader.taken))
        table = await second.candles.table(SECONDS, Span(opened, opened + 1), 1)

    assert [right.volume] == table.column("volume").to_pylist()
    assert [opened] == [each.content["timestamp"] * 1000 for each in reader.taken if each.kind == "restated"]


async def test_what_is_restated_while_it_waits_is_stored_once(service):
    """Entries that are held back change where they wait."""
    await service.collection.add_coin("BTC/USDT", "binance", ["candles:1s"])
    (stream_supervisor,) = service.collection.stream_supervisors()
    await stream_supervisor.end()
    row = {"timestamp": 1000, "volume": 1.0, "closed": True}
    seam = stream_supervisor._seam = stream_supervisor._new_seam()
    await stream_supervisor._take("BTC/USDT", row)
    await stream_supervisor._restate([row | {"volume": 2.0}, {"timestamp": 0, "volume": 3.0, "closed": True}])

    assert [2.0] == [each["volume"] for each in seam.past(SECOND)]
    assert [3.0] == [each["volume"] for each in stream_supervisor._to_restate]


async def test_a_database_that_takes_nothing(service):
    """The stream fails loudly and nobody is told what is not kept; with room it goes on, and nothing is missing."""
    reader = Reader()
    await service.collection.stream_realtime_data(SECONDS, reader)
    await until(reader.closed)
    await without_room(service.database)
    await fill(service)
    await until(lambda: channel(service).failures)
    assert "StorageFull" in channel(service).error
    assert set(reader.closed()) <= set(await kept(service))
    assert service.database.failure is not None
    await with_room(service.database)
    await until(lambda: channel(service).state == "running")
    count = len(reader.closed())
    await until(lambda: len(reader.closed()) >= count + 3)

    assert in_a_row(reader.closed())
    assert set(reader.closed()) <= set(await kept(service))


async def fill(service):
    """Write old candles until nothing more fits beside the new ones."""
    error = None
    for number in range(10_000):
        try:
            await service.candles.save(SECONDS, [CandleData(number * SECOND, 1.0, 1.0, 1.0, 1.0, 1.0)])
        except StorageFull as full:
            error = full
            break
    assert error is not None


async def test_an_exchange_that_cannot_be_reached(tmp_path):
    """Its coin fails and is tried again and again; that of another goes on."""
    async with offline(faults=[Fault(FaultKind.SERVER_ERROR, "ETHUSDT")]) as sim, service_of(sim, tmp_path) as service:
        await service.collection.add_coin("BTC/USDT", "binance", ["candles:1s"])
        waiting = asyncio.create_task(service.collection.add_coin("ETH/USDT", "binance", ["candles:1s"]))
        reader = Reader()
        await service.collection.stream_realtime_data(SECONDS, reader)
        await until(lambda: len(reader.closed()) >= 2)
        waiting.cancel()
        await asyncio.wait({waiting})

    assert in_a_row(reader.closed())


async def test_gaps_and_snapshots_at_the_same_moment(service):
    """Each is kept, though the stream and the clock of the snapshots both record what is missing."""
    await service.collection.add_coin("BTC/USDT", "binance", ["book"])
    (stream_supervisor,) = service.collection.stream_supervisors()
    gaps = [Gap(at * SECOND, (at + 1) * SECOND, GapKind.NOT_COLLECTED, "x") for at in range(0, 6, 2)]
    for each in gaps:
        stream_supervisor._gaps.add(each)
    await asyncio.gather(*(stream_supervisor.snapshot(at * SECOND) for at in (1, 2, 3)))
    entries = await service.storage.get_raw_data_range("BTC/USDT", 0, 10 * SECOND)

    assert None is stream_supervisor.error
    assert [SECOND, 2 * SECOND, 3 * SECOND] == [each.timestamp for each in entries]
    assert gaps == (await service.gaps.find(BOOK, EVER))[:3]


async def test_offline_nothing_real_is_reached(sim, tmp_path):
    """Exchanges that we have no adapter of, and ours by way of others, are refused."""
    async with service_of(sim, tmp_path, offline=True) as service:
        for exchange in ("ccxt.binance", "bitfinex"):
            with pytest.raises(UnknownName, match="native"):
                await service.collection.check_availability("BTC/USDT", exchange)
        assert await service.collection.check_availability("BTC/USDT", "binance")


async def test_too_frequent_snapshots_are_refused(sim, tmp_path):
    """Before anything runs."""
    with pytest.raises(InvalidInput, match="snapshot interval is 0"):
        service_of(sim, tmp_path, snapshot_interval=0)


async def test_the_books_of_an_exchange_come_back(tmp_path):
    """Their group ends under them, by whatever it may be: each of its streams is started again, candles included."""
    async with SimServer(MARKET, exchanges=["htx_spot"], tick_s=0.05) as sim, service_of(sim, tmp_path) as service:
        coins = [f"{base}/USDT" for base in ("BTC", "ETH", "SOL")]
        await asyncio.gather(*(service.collection.add_coin(coin, "htx", ["book", "candles:1m"]) for coin in coins))
        stream_supervisors = service.collection.stream_supervisors()
        await until(lambda: all(stream_supervisor.running for stream_supervisor in stream_supervisors), timeout_s=30)
        live = service.connector.get_client("htx")._live
        ended = [live._books["htx_spot"], live._candles["htx_spot"]]
        for group in ended:
            group._task.cancel()
        await until(lambda: all(stream_supervisor.failures for stream_supervisor in stream_supervisors), timeout_s=30)
        await until(
            lambda: all(
                stream_supervisor.running and stream_supervisor.error is None
                for stream_supervisor in stream_supervisors
            ),
            timeout_s=60,
        )

        assert not {*map(id, ended)} & {id(live._books["htx_spot"]), id(live._candles["htx_spot"])}
        assert 6 == len(stream_supervisors)


async def test_a_coin_whose_exchange_is_gone_is_listed_all_the_same(service):
    """As after the plugin of an exchange was removed: nobody knows whose data it would be."""
    await service.collection.add_coin("BTC/USDT", "binance", ["book"])
    await service.collection.coins.add_coin("BTC/USD", "gone", ("book",))

    assert {"binance": "offline-7", "gone": None} == {
        each.exchange: each.origin for each in service.collection.list_coins()
    }
