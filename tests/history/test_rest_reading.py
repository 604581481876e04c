"""Candles by REST from exchanges that behave otherwise than declared: all of them, or exactly what is missing."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import IncompleteData, InvalidSymbol, MalformedResponse
from chandlery.core.gaps import GapKind, Span
from chandlery.core.holes import UNCONFIRMED
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.provenance import EventKind, Provenance
from chandlery.core.time import DAY, HOUR, MINUTE, to_datetime
from chandlery.history.async_manager import AsyncDataSourceManager
from chandlery.history.interfaces import Resources
from chandlery.history.rest import RestDataClient
from chandlery.net.http import HttpClient
from chandlery.sim.faults import Fault, FaultKind
from chandlery.sim.server import SimServer
from fixtures.offline_adapter import MARKET, first_example

NOON = datetime(2025, 3, 12, 12, 0, 30, tzinfo=UTC)
MARKETS = ["binance_spot", "okx_spot", "kucoin_perpetual"]
"""Oldest first with an archive; newest first; the last rows of a span."""


class Exchange:
    """An offline exchange at a time that a test sets, and managers over it that share a cache."""

    def __init__(self, name, folder):
        self.now = to_micros(NOON)
        self.name = name
        self.adapter = ExchangeRegistry.get(name)
        self.folder = folder
        self.local_ahead = 0
        self.sim = SimServer(MARKET, exchanges=(name,), clock=lambda: self.now, tick_s=None, weight_limit=10**9)

    def contradict(self, **unlike):
        """From now on behave otherwise in this way, and in no other."""
        self.sim.differ({self.name: unlike})
        self.sim.log.clear()

    @property
    def pages(self):
        """How many pages of candles were requested since."""
        asked = [path for _, path, _ in self.sim.log if "/data/" not in path and "vision" not in path]
        return sum("kline" in path or "candle" in path for path in asked)

    async def get(self, start, end, interval="1m", symbol=None, **options):
        """Opens of the rows, and the account of them."""
        symbol = symbol or first_example(self.adapter)
        options = {"on_missing": "report", "enforce_source": "rest"} | options
        async with AsyncDataSourceManager(
            self.adapter.market_type,
            self.adapter.provider,
            cache_dir=self.folder,
            endpoints=self.sim.endpoints,
            clock=lambda: self.now + self.local_ahead,
            retry_count=0,
        ) as manager:
            frame = await manager.get_data(symbol, start, end, interval, **options)
        return [each // 1000 for each in frame.index.asi8.tolist()], Provenance.carried_by(frame.attrs)


@pytest.fixture
async def exchange_of(tmp_path):
    """Opens offline exchanges."""
    opened = []

    async def make(name="binance_spot"):
        exchange = Exchange(name, tmp_path / name)
        await exchange.sim.__aenter__()
        opened.append(exchange)
        return exchange

    yield make
    for each in opened:
        await each.sim.__aexit__(None, None, None)


def grid(start, end, step=MINUTE):
    """Every open of a range."""
    return list(range(to_micros(start), to_micros(end), step))


def ago(**time):
    """A moment before noon."""
    return NOON.replace(second=0) - timedelta(**time)


def kinds(account):
    """Kind and ends of each gap."""
    return [(gap.kind, to_datetime(gap.start), to_datetime(gap.end)) for gap in account.gaps]


@pytest.mark.parametrize("name", MARKETS)
async def test_pages_smaller_than_declared_lose_nothing(exchange_of, name):
    """Whichever end of a span the exchange begins with; the size that answers show is used, and published."""
    exchange = await exchange_of(name)
    exchange.contradict(page_size=100)

    opens, account = await exchange.get(ago(days=2), ago(days=1))

    assert grid(ago(days=2), ago(days=1)) == opens
    assert () == account.gaps
    assert EventKind.SHORT_PAGE in {event.kind for event in account.events}
    assert exchange.pages < 45
    exchange.contradict()
    again, account = await exchange.get(ago(days=2), ago(days=1))
    assert (opens, (), 0) == (again, account.gaps, exchange.pages)


async def test_pages_are_short_for_one_call_only(exchange_of):
    """A manager that lives on requests whole pages again once the exchange sends them."""
    exchange = await exchange_of("binance_spot")
    span = ("BTCUSDT", ago(days=2), ago(days=1), "1m", False, "rest")
    endpoints = exchange.sim.endpoints
    async with AsyncDataSourceManager(endpoints=endpoints, clock=lambda: exchange.now, use_cache=False) as manager:
        exchange.contradict(page_size=100)
        assert 1440 == len(await manager.get_data(*span))
        exchange.contradict()
        assert 1440 == len(await manager.get_data(*span))

    assert 2 == exchange.pages


@pytest.mark.parametrize("name", MARKETS)
async def test_a_page_that_comes_empty_once_is_requested_again(exchange_of, name):
    """An answer without rows proves nothing."""
    exchange = await exchange_of(name)
    for page in (1, 2, 3):
        exchange.contradict(empty_once=page)
        day = timedelta(days=page)
        opens, account = await exchange.get(ago(days=20) + day, ago(days=19) + day)

        assert grid(ago(days=20) + day, ago(days=19) + day) == opens
        assert () == account.gaps


@pytest.mark.parametrize("name", MARKETS)
async def test_a_request_that_fails_loses_no_row_of_its_page(exchange_of, name):
    """What answers before it held is returned; the rest is a failure, and comes with the next call."""
    exchange = await exchange_of(name)
    exchange.contradict(page_size=100)
    exchange.sim.faults.append(Fault(FaultKind.SERVER_ERROR, path="kline|candle", after=1, times=None))
    start, end = ago(hours=10), ago(hours=7)

    opens, account = await exchange.get(start, end)

    assert 90 < len(opens) <= 100
    assert set(opens) < set(grid(start, end))
    assert {GapKind.FETCH_FAILED} == {gap.kind for gap in account.gaps}
    assert 180 - len(opens) == sum(gap.end - gap.start for gap in account.gaps) // MINUTE
    exchange.sim.faults.clear()
    assert grid(start, end) == (await exchange.get(start, end))[0]


@pytest.mark.parametrize("name", MARKETS)
async def test_candles_that_come_ten_minutes_late_are_requested_again(exchange_of, name):
    """Nothing so young is stored as absent: half an hour later all are there."""
    exchange = await exchange_of(name)
    exchange.contradict(late_s=600)
    opens, account = await exchange.get(ago(minutes=60), ago(minutes=0))
    assert grid(ago(minutes=60), ago(minutes=10)) == opens
    assert [(ago(minutes=10), ago(minutes=0))] == [kind[1:] for kind in kinds(account)][:1] or 2 == len(account.gaps)

    exchange.now += 30 * MINUTE
    opens, account = await exchange.get(ago(minutes=60), ago(minutes=0))

    assert grid(ago(minutes=60), ago(minutes=0)) == opens
    assert () == account.gaps


async def test_a_gap_of_a_few_hours_is_requested_again_when_its_age_has_doubled(exchange_of):
    """Until then the cache answers for it; a candle that came meanwhile is found, in one request for all that are due."""
    exchange = await exchange_of()
    exchange.contradict(late_s=4 * 3600)
    absent = (ago(hours=4), ago(hours=2))
    await exchange.get(ago(hours=6), ago(hours=2))
    exchange.contradict()
    exchange.now += HOUR

    opens, account = await exchange.get(ago(hours=6), ago(hours=2))

    assert (GapKind.HALT, *absent) in kinds(account)
    assert 0 == exchange.pages
    exchange.now += 2 * HOUR
    opens, account = await exchange.get(ago(hours=6), ago(hours=2))
    assert grid(ago(hours=6), ago(hours=2)) == opens
    assert () == account.gaps
    assert 1 == exchange.pages


@pytest.mark.parametrize("name", MARKETS)
async def test_an_exchange_that_has_forgotten_returns_what_it_has(exchange_of, name):
    """The rest is no longer served, which is a failure and is never stored."""
    exchange = await exchange_of(name)
    exchange.contradict(memory=720)
    oldest = to_datetime(Interval.MINUTE_1.floor(exchange.now) - 719 * MINUTE)

    opens, account = await exchange.get(ago(hours=24), ago(hours=1))

    assert grid(oldest, ago(hours=1)) == opens
    assert [(GapKind.NO_LONGER_SERVED, ago(hours=24), oldest)] == kinds(account)
    with pytest.raises(IncompleteData):
        await exchange.get(ago(hours=24), ago(hours=1), on_missing="raise")
    exchange.contradict()
    opens, account = await exchange.get(ago(hours=24), ago(hours=1))
    assert (grid(ago(hours=24), ago(hours=1)), ()) == (opens, account.gaps)


async def test_the_longest_candles_show_what_is_forgotten_where_there_are_no_days(exchange_of):
    """Four hours are the longest of HTX: its first minute is not searched minute by minute from its launch on."""
    exchange = await exchange_of("htx_spot")
    exchange.contradict(memory=100)

    opens, account = await exchange.get(ago(hours=24), ago(hours=4))

    assert ([], [GapKind.NO_LONGER_SERVED]) == (opens, [gap.kind for gap in account.gaps])
    assert exchange.pages < 80, "it would be thousands"


@pytest.mark.parametrize(("name", "longest"), [("binance_spot", "1M"), ("okx_spot", "1M"), ("kucoin_perpetual", "1w")])
async def test_at_the_longest_interval_a_short_memory_is_no_beginning(exchange_of, name, longest):
    """Nothing confirms the first candle, as the evidence says: what is before it failed, and comes back when it is served again."""
    exchange = await exchange_of(name)
    assert Interval(longest) is max(exchange.adapter.intervals, key=lambda each: each.longest)
    exchange.contradict(memory=5)
    start, end = datetime(2023, 1, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)
    for _ in range(2):
        exchange.sim.log.clear()
        opens, account = await exchange.get(start, end, longest)

        assert [GapKind.FETCH_FAILED] == [gap.kind for gap in account.gaps]
        assert UNCONFIRMED in account.gaps[0].evidence
        assert exchange.pages > 0
    exchange.contradict()

    whole, account = await exchange.get(start, end, longest)

    assert () == account.gaps
    assert len(whole) > 4 >= len(opens) > 0
    assert opens == whole[-len(opens) :]


@pytest.mark.parametrize(("name", "longest"), [("okx_spot", "1M"), ("kucoin_perpetual", "1w"), ("mexc_spot", "1d")])
async def test_at_the_longest_interval_more_of_shorter_candles_confirm_the_beginning(exchange_of, name, longest):
    """An exchange that remembers more days than there are months has not forgotten older months; that is stored."""
    exchange = await exchange_of(name)
    assert Interval(longest) is max(exchange.adapter.intervals, key=lambda each: each.longest)
    start, end = datetime(2009, 1, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)
    requests = []
    for _ in range(2):
        exchange.sim.log.clear()
        _, account = await exchange.get(start, end, longest)
        requests.append(exchange.pages)

        assert [GapKind.NOT_LISTED] == [gap.kind for gap in account.gaps]
    assert requests[0] < 30
    assert 0 == requests[1]


async def test_a_candle_that_only_the_cache_has_does_not_make_late_ones_a_halt(exchange_of):
    """Of the last hour, a later candle from the exchange itself shows that its answers are not late."""
    exchange = await exchange_of("mexc_spot")
    await exchange.get(ago(minutes=4), ago(minutes=2))
    exchange.contradict(late_s=600)

    opens, account = await exchange.get(ago(minutes=30), ago(minutes=2))

    assert grid(ago(minutes=4), ago(minutes=2)) == opens[-2:]
    assert {GapKind.NOT_YET} == {gap.kind for gap in account.gaps}


async def test_what_is_cached_counts_also_before_the_exchanges_memory(exchange_of):
    """Kraken remembers 720 candles: what was stored earlier is returned, and only the rest is missing."""
    exchange = await exchange_of("kraken_spot")
    stored = (ago(hours=11), ago(hours=3))
    await exchange.get(*stored, symbol="BTC/USD")
    exchange.now += 10 * HOUR

    opens, account = await exchange.get(ago(hours=11, minutes=5), ago(hours=3), symbol="BTC/USD", enforce_source="auto")

    assert grid(*stored) == opens
    assert [(GapKind.NO_LONGER_SERVED, ago(hours=11, minutes=5), ago(hours=11))] == kinds(account)


@pytest.mark.parametrize("serves", [True, False])
async def test_a_delisted_symbol_has_one_gap_after_its_last_candle(exchange_of, serves):
    """Whether REST still has its candles or refuses the symbol: rows of the archive count, and it takes few requests."""
    exchange = await exchange_of()
    ended = datetime(2024, 9, 10, 3, tzinfo=UTC)
    exchange.contradict(lives={"BTCUSDT": [[datetime(2019, 1, 1, tzinfo=UTC), ended]]}, serves_delisted=serves)
    start, end = datetime(2024, 8, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)

    opens, account = await exchange.get(start, end, enforce_source="auto")

    assert grid(start, ended) == opens
    assert [(GapKind.DELISTED, ended, end)] == kinds(account)
    assert exchange.pages < 25
    assert len(exchange.sim.log) < 60


async def test_a_list_of_instruments_that_fails_costs_no_rows_and_few_requests(exchange_of):
    """That there are no more candles is proved without it; why there are none is asked again at the next call."""
    exchange = await exchange_of()
    ended = datetime(2024, 9, 10, 3, tzinfo=UTC)
    exchange.contradict(lives={"BTCUSDT": [[datetime(2019, 1, 1, tzinfo=UTC), ended]]}, serves_delisted=True)
    exchange.sim.faults.append(Fault(FaultKind.SERVER_ERROR, path="exchangeInfo", times=None))
    start, end = datetime(2024, 9, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)

    opens, account = await exchange.get(start, end)

    assert grid(start, ended) == opens
    assert [(GapKind.HALT, ended, end)] == kinds(account)
    assert exchange.pages < 40
    exchange.sim.faults.clear()
    opens, account = await exchange.get(start, end)
    assert grid(start, ended) == opens
    assert [(GapKind.DELISTED, ended, end)] == kinds(account)


async def test_a_symbol_of_which_nothing_is_known_is_an_error(exchange_of):
    """Neither archive nor REST has ever had it."""
    exchange = await exchange_of()
    exchange.contradict(lives={"BTCUSDT": []})

    with pytest.raises(InvalidSymbol):
        await exchange.get(ago(days=9), ago(days=8), enforce_source="auto")


async def test_a_symbol_that_is_used_again_is_not_unlisted_where_it_had_candles(exchange_of):
    """Rows of the first instrument stay; between the two lives it was delisted."""
    exchange = await exchange_of()
    first = [datetime(2021, 2, 4, 5, tzinfo=UTC), datetime(2022, 6, 5, 7, tzinfo=UTC)]
    second = [datetime(2025, 1, 6, 7, tzinfo=UTC), None]
    exchange.contradict(lives={"BTCUSDT": [first, second]})
    start, end = datetime(2022, 5, 1, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC)

    opens, account = await exchange.get(start, end, "1h", enforce_source="auto")

    assert grid(start, first[1], HOUR) + grid(second[0], end, HOUR) == opens
    assert GapKind.NOT_LISTED not in {gap.kind for gap in account.gaps}


@pytest.mark.parametrize(
    ("start", "end", "gone"),
    [
        ((2022, 6, 5), (2022, 6, 7), ((2022, 6, 5, 7), (2022, 6, 7))),
        ((2022, 6, 8), (2022, 6, 9), ((2022, 6, 8), (2022, 6, 9))),
        ((2023, 9, 1), (2023, 9, 3), ((2023, 9, 1), (2023, 9, 3))),
        ((2025, 1, 5), (2025, 1, 8), ((2025, 1, 5), (2025, 1, 6, 7))),
        ((2022, 6, 4), (2025, 1, 8), ((2022, 6, 5, 7), (2025, 1, 6, 7))),
    ],
    ids=["its beginning", "inside, the same month", "inside", "its end", "all of it"],
)
async def test_between_two_instruments_of_a_symbol_it_is_delisted(exchange_of, start, end, gone):
    """Whatever part of that time is requested; REST alone, which has forgotten the first one, stores no claim to the contrary."""
    exchange = await exchange_of()
    first = [datetime(2021, 2, 4, 5, tzinfo=UTC), datetime(2022, 6, 5, 7, tzinfo=UTC)]
    again = datetime(2025, 1, 6, 7, tzinfo=UTC)
    exchange.contradict(lives={"BTCUSDT": [first, [again, None]]})
    span = [datetime(*each, tzinfo=UTC) for each in (start, end)]
    wanted = [(GapKind.DELISTED, *(datetime(*each, tzinfo=UTC) for each in gone))]

    await exchange.get(*span, "1h", enforce_source="rest")
    for _ in range(2):
        opens, account = await exchange.get(*span, "1h", enforce_source="auto")

        assert wanted == kinds(account)
        assert "listed again 2025-01-06T07:00:00Z" in account.gaps[0].evidence
        assert grid(span[0], wanted[0][1], HOUR) + grid(wanted[0][2], span[1], HOUR) == opens


async def test_before_the_first_listing_no_earlier_instrument_is_supposed(exchange_of):
    """Though the archive has a file of that month."""
    exchange = await exchange_of()
    exchange.contradict(lives={"BTCUSDT": [[datetime(2025, 1, 6, 7, tzinfo=UTC), None]]})
    start, end = datetime(2024, 12, 30, tzinfo=UTC), datetime(2025, 1, 7, tzinfo=UTC)

    _, account = await exchange.get(start, end, "1h", enforce_source="auto")

    assert [(GapKind.NOT_LISTED, start, datetime(2025, 1, 6, 7, tzinfo=UTC))] == kinds(account)


@pytest.mark.parametrize("ahead", [-5 * MINUTE, 5 * MINUTE, 26 * HOUR, -26 * HOUR])
async def test_the_exchanges_clock_decides_what_is_closed(exchange_of, ahead):
    """However wrong the local one is: no running candle is returned or stored, and none that is closed is left out."""
    exchange = await exchange_of()
    exchange.local_ahead = ahead

    opens, _ = await exchange.get(ago(minutes=5), NOON + timedelta(minutes=3), enforce_source="auto")

    assert grid(ago(minutes=5), ago(minutes=0)) == opens
    exchange.local_ahead = 0
    exchange.now += 10 * MINUTE
    opens, account = await exchange.get(ago(minutes=5), NOON + timedelta(minutes=3), enforce_source="auto")
    assert grid(ago(minutes=5), ago(minutes=-4)) == opens
    assert () == account.gaps


async def test_three_days_open_where_the_exchange_opens_them(exchange_of):
    """Binance's on 2024-01-01; another grid is learnt from the rows, and the running candle is never returned."""
    exchange = await exchange_of()
    start, end = datetime(2023, 12, 30, tzinfo=UTC), datetime(2024, 1, 10, tzinfo=UTC)

    opens, account = await exchange.get(start, end, "3d", enforce_source="auto")
    assert grid(datetime(2024, 1, 1, tzinfo=UTC), end, 3 * DAY) == opens
    assert () == account.gaps

    exchange.contradict(anchor={"3d": 86400})
    opens, account = await exchange.get(ago(days=10), NOON, "3d")
    assert {2} == {opened // DAY % 3 for opened in opens}
    assert () == account.gaps
    assert opens[-1] + 3 * DAY <= exchange.now


async def test_a_range_that_ends_in_the_future_is_answered_up_to_now(exchange_of):
    """An event says up to when."""
    exchange = await exchange_of()

    _, account = await exchange.get(ago(hours=1), NOON + timedelta(days=1))

    (event,) = [each for each in account.events if each.kind is EventKind.ENDS_IN_FUTURE]
    assert Span(exchange.now, to_micros(NOON + timedelta(days=1))) == Span(event.start, event.end)
    assert MarketType.SPOT is exchange.adapter.market_type


async def test_a_client_alone_says_that_candles_open_elsewhere(exchange_of):
    """An error of ours; only a manager can start again on the grid of the rows."""
    exchange = await exchange_of()
    exchange.contradict(anchor={"3d": 86400})
    async with HttpClient() as http:
        resources = Resources(http, lambda: exchange.now, exchange.sim.endpoints)
        client = RestDataClient(symbol="BTCUSDT", interval=Interval.DAY_3, resources=resources)

        with pytest.raises(MalformedResponse, match="candles are aligned to 1970-01-03"):
            await client.fetch_span(Span(exchange.now - 30 * DAY, exchange.now))


class Recorder(ThreadPoolExecutor):
    """The threads of the event loop, and the names of what they were handed."""

    def __init__(self):
        super().__init__(2)
        self.names = set()

    def submit(self, work, /, *args, **options):
        function = work.args[0] if isinstance(work, partial) else work  # what asyncio.to_thread runs in its context
        function = function.func if isinstance(function, partial) else function
        self.names.add(getattr(function, "__qualname__", None))
        return super().submit(work, *args, **options)


@pytest.mark.parametrize("holes", [False, True])
async def test_only_pages_with_holes_are_processed_in_a_thread(exchange_of, holes):
    """To hand over a whole page would take as long as to process it."""
    exchange = await exchange_of()
    if holes:
        first, again = [datetime(2019, 1, 1, tzinfo=UTC), ago(hours=29, minutes=30)], [ago(hours=29), None]
        exchange.contradict(lives={"BTCUSDT": [first, again]})
    threads = Recorder()
    asyncio.get_running_loop().set_default_executor(threads)

    opens, account = await exchange.get(ago(hours=30), ago(hours=28))

    assert holes == ("RestReading._taken" in threads.names)
    assert holes == bool(account.gaps) == (len(opens) < 120)
