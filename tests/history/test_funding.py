"""Funding rates by REST: pages, moments, and the time between them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from itertools import chain, repeat

import pytest
from aiohttp import web

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import MalformedResponse, UnsupportedRequest
from chandlery.core.gaps import GapKind, Span, merge
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.provenance import EventKind
from chandlery.core.query import ChartType
from chandlery.core.time import DAY, HOUR, to_datetime
from chandlery.history.async_manager import AsyncDataSourceManager
from chandlery.history.funding import BinanceFundingRateClient
from chandlery.history.interfaces import Resources
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.sim.server import SimServer
from chandlery.sim.view import MarketView
from fixtures.offline_adapter import DATED, MARKET

START = to_micros(datetime(2024, 5, 1, tzinfo=UTC))
NOW = to_micros(datetime(2025, 3, 12, 10, 20, 30, tzinfo=UTC))
limit = [1000]
"""How many rates an answer holds."""
rate = [repeat("0.00010000")]
"""The rates, in the order in which they are sent."""
NUMBERED = ["mexc_perpetual", "mexc_inverse", "htx_inverse"]


@pytest.fixture
async def contract():
    """An exchange that knows one contract, whose funding times a test lays down in ``due``."""
    limit[0], rate[0] = 1000, repeat("0.00010000")
    due = []
    asked = []

    async def answer(request):
        asked.append(dict(request.query))
        start, end, most = (int(request.query[name]) for name in ("startTime", "endTime", "limit"))
        rows = [each for each in due if start <= each // 1000 <= end][: min(most, limit[0])]
        return web.json_response(
            [
                {"symbol": "X", "fundingTime": each // 1000, "fundingRate": next(rate[0]), "markPrice": "1"}
                for each in rows
            ]
        )

    app = web.Application()
    app.router.add_get("/fapi/v1/fundingRate", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with HttpClient() as http:
        resources = Resources(http, lambda: START, {"binance_perpetual": {"rest": f"http://127.0.0.1:{port}"}})
        client = BinanceFundingRateClient(
            symbol="XUSDT", interval=Interval.HOUR_8, market_type=MarketType.FUTURES_USDT, resources=resources
        )
        yield client, due, asked
    await runner.cleanup()


async def test_no_rate_is_final_while_the_exchange_does_not_state_its_time(contract):
    """Nothing is stored that depends on a clock that may be wrong; this exchange has no clock."""
    client, due, _ = contract
    due += [START - number * 8 * HOUR for number in range(1, 9)]

    got = await client.fetch_span(Span(START - 2 * DAY, START))

    assert 6 == len(got.table)
    assert 0 == got.final_before


async def test_the_interval_is_the_time_since_the_funding_before(contract):
    """A contract that went from eight hours to four; times a few milliseconds late do not matter."""
    client, due, _ = contract
    due += [START - 8 * HOUR, START + 2000, START + 8 * HOUR, START + 12 * HOUR + 1000, START + 16 * HOUR]

    got = await client.fetch_span(Span(START, START + 24 * HOUR))

    assert ["8h", "8h", "4h", "4h"] == got.table["funding_interval"].to_pylist()
    assert [START + 2000, START + 8 * HOUR, START + 12 * HOUR + 1000, START + 16 * HOUR] == [
        int(each.value) // 1000 for each in got.table["open_time"].to_pylist()
    ]


async def test_the_first_funding_ever_is_measured_to_the_one_after_it(contract):
    """And of one that stands alone nobody knows: the setting of today says nothing about then."""
    client, due, _ = contract
    due += [START, START + 4 * HOUR]
    assert ["4h", "4h"] == (await client.fetch_span(Span(START, START + HOUR * 24))).table[
        "funding_interval"
    ].to_pylist()

    due[:] = [START]
    assert [""] == (await client.fetch_span(Span(START, START + HOUR * 24))).table["funding_interval"].to_pylist()


async def test_more_than_a_page_in_one_chunk(contract):
    """Hourly funding for four months is three pages, and nothing is lost between them; what was before is asked twice."""
    client, due, asked = contract
    due += [START + hour * HOUR for hour in range(120 * 24)]

    got = await client.fetch_chunk(Span(START, START + 120 * 24 * HOUR))

    assert due == [int(each.value) // 1000 for each in got.table["open_time"].to_pylist()]
    assert {"1h"} == set(got.table["funding_interval"].to_pylist())
    assert 3 + 2 == len(asked)


async def test_no_funding_is_an_empty_answer(contract):
    """Of the documented form."""
    client, _, _ = contract

    got = await client.fetch_span(Span(START, START + 24 * HOUR))

    assert ["open_time", "contracts", "funding_interval", "funding_rate"] == got.table.column_names
    assert 0 == len(got.table)


def opens(table):
    """The moments of an answer."""
    return [int(each.value) // 1000 for each in table["open_time"].to_pylist()]


async def test_a_page_shorter_than_declared_is_read_on(contract):
    """A month of 8h rates in answers of twenty: none is lost, and none is a gap."""
    client, due, asked = contract
    due += [START - 60 * DAY + n * 8 * HOUR for n in range(180)]
    limit[0] = 20

    got = await client.fetch_chunk(Span(START - 40 * DAY, START - 10 * DAY))

    assert due[60:150] == opens(got.table)
    assert () == tuple(got.gaps)
    assert len(asked) < 10


async def test_rates_that_the_exchange_lacks_are_a_gap(contract):
    """Longer than both intervals next to it; a change of the interval is none."""
    client, due, _ = contract
    hours = [*range(-480, -200, 8), *range(-176, -100, 8), *range(-100, -50, 4), *range(-50, 0, 1)]
    due += [START + hour * HOUR for hour in hours]

    got = await client.fetch_chunk(Span(START - 20 * DAY, START - HOUR))

    assert [(GapKind.HALT, START - 200 * HOUR, START - 176 * HOUR)] == [
        (gap.kind, gap.start, gap.end) for gap in got.gaps
    ]
    assert [START + hour * HOUR for hour in hours if -480 <= hour < -1] == opens(got.table)
    row = opens(got.table).index(START - 176 * HOUR)
    assert "8h" == got.table["funding_interval"].to_pylist()[row], "by the rate after it: the one before is missing"


async def test_two_rates_of_one_moment_are_an_event(contract):
    """The first one stays."""
    client, due, _ = contract
    due += [START - 80 * HOUR + n * 8 * HOUR for n in range(10)]
    due.insert(5, due[5])
    rate[0] = chain(repeat("0.0001", 5), ["0.0003"], repeat("0.0001"))

    got = await client.fetch_chunk(Span(START - 72 * HOUR, START - HOUR))

    assert EventKind.CONFLICTING_ROWS in {event.kind for event in got.events}
    assert sorted(set(due))[1:] == opens(got.table)


def client_of(exchange, resources, kind=BinanceFundingRateClient):
    """A client of the bitcoin contract of an exchange."""
    adapter = ExchangeRegistry.get(exchange)
    return kind(
        symbol=adapter.example.split(",")[0],
        interval=Interval.HOUR_8,
        market_type=adapter.market_type,
        provider=adapter.provider,
        resources=resources,
    )


@pytest.fixture
async def offline(exchange_id, tmp_path):
    """The offline exchange, its client, and what the market has; ``hours`` of its clock go by with each request."""

    class Clock:
        hours = 0

        def __call__(self):
            return NOW + len(sim.log) * self.hours * HOUR

    clock = Clock()
    sim = SimServer(MARKET, exchanges=[exchange_id], clock=clock, tick_s=None, weight_limit=10**9)
    async with sim, HttpClient(limiter=RateLimiter(tmp_path)) as http:
        market_type = ExchangeRegistry.get(exchange_id).market_type
        view = MarketView(MARKET, market_type, lambda: NOW)
        symbol = "BTCUSD_PERP" if market_type is MarketType.FUTURES_COIN else "BTCUSDT"
        client = client_of(exchange_id, Resources(http, clock, sim.endpoints))
        yield sim, clock, client, partial(view.funding, symbol)


def rates_of(table):
    """Moments, to the millisecond, and rates of an answer."""
    times = [int(each.value) // 1_000_000 for each in table["open_time"].to_pylist()]
    return list(zip(times, table["funding_rate"].to_pylist(), strict=True))


def pages_of(sim):
    """How many pages of funding rates were requested."""
    return sum("funding" in path for _, path, _ in sim.log)


def rates(known):
    """The same of the market."""
    return [(at // 1000, float(rate)) for at, rate in known]


@pytest.mark.parametrize("exchange_id", [*NUMBERED, "bybit_perpetual", "bybit_inverse"])
@pytest.mark.parametrize("span", [Span(NOW - 150 * DAY, NOW), Span(NOW - 130 * DAY, NOW - 100 * DAY)])
async def test_exchanges_that_begin_with_the_latest(offline, span):
    """All of a span, and nothing besides, whether their pages are bounded by time or numbered."""
    _, _, client, known = offline

    got = await client.fetch_span(span)

    assert rates(known(span)) == rates_of(got.table)
    assert len(got.table) >= 90
    assert {"8h"} == set(got.table["funding_interval"].to_pylist())
    assert [span] == merge(Span(each.start, each.end) for each in got.spans)


@pytest.mark.parametrize("exchange_id", NUMBERED)
async def test_numbered_pages_are_read_once_and_no_further_than_needed(offline):
    """However long the span: what it lacks is asked for in one go from the latest page to the one where it begins."""
    sim, _, client, _ = offline
    span = Span(NOW - 150 * DAY, NOW)

    await client.fetch_span(span)

    assert -(-152 * 3 // client.adapter.funding_page_size) == pages_of(sim)


@pytest.mark.parametrize("exchange_id", NUMBERED)
@pytest.mark.parametrize("hours", [8, 24, 200])
async def test_rates_that_are_new_while_pages_are_read(offline, hours):
    """They move the others to later pages: some come twice, none is lost, none stands twice in the answer."""
    sim, clock, client, known = offline
    clock.hours = hours
    span = Span(NOW - 100 * DAY, NOW)

    got = await client.fetch_span(span)

    assert rates(known(span)) == rates_of(got.table)
    assert len(sim.log) > 1


@pytest.mark.parametrize("exchange_id", ["htx_inverse"])
async def test_numbered_pages_end_with_the_first_rate_ever(offline):
    """A span that begins before the contract did is answered with what there is."""
    _, _, client, known = offline
    span = Span(to_micros(datetime(2010, 1, 1, tzinfo=UTC)), NOW)

    got = await client.fetch_span(span)

    assert rates(known(span)) == rates_of(got.table)


@pytest.mark.parametrize("exchange_id", NUMBERED)
async def test_numbered_pages_through_the_manager(offline, tmp_path):
    """One request for each page, and none for what is cached."""
    sim, clock, client, known = offline
    span = Span(NOW - 140 * DAY, NOW - 10 * DAY)
    kind = {"chart_type": ChartType.FUNDING_RATE, "output": "arrow"}
    async with AsyncDataSourceManager(
        client.market_type, provider=client.provider, clock=clock, endpoints=sim.endpoints, cache_dir=tmp_path / "cache"
    ) as manager:
        bounds = (to_datetime(span.start), to_datetime(span.end))
        first = await manager.get_data(client.symbol, *bounds, **kind)
        asked = len(sim.log)
        again = await manager.get_data(client.symbol, *bounds, **kind)

    assert first.equals(again)
    assert rates(known(span)) == rates_of(first)
    assert asked == len(sim.log)
    assert -(-142 * 3 // client.adapter.funding_page_size) == pages_of(sim)


@pytest.fixture
async def numbered(tmp_path):
    """An exchange whose pages a test lays down, as a function of their number; and a client that reads five at most."""
    pages = []

    async def answer(request):
        number = int(request.query["page_index"])
        times, count = pages[0](number)
        rows = [{"funding_time": str(each // 1000), "funding_rate": "0.0001"} for each in times]
        body = {"total_page": count, "current_page": number, "total_size": 1000, "data": rows}
        return web.json_response({"status": "ok", "data": body, "ts": 1})

    class Brief(BinanceFundingRateClient):
        most_pages = 5

    app = web.Application()
    app.router.add_get("/swap-api/v1/swap_historical_funding_rate", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    endpoints = {"htx_inverse": {"rest": f"http://127.0.0.1:{runner.addresses[0][1]}"}}
    async with HttpClient(limiter=RateLimiter(tmp_path), retry_count=0) as http:
        yield client_of("htx_inverse", Resources(http, lambda: START, endpoints), Brief), pages
    await runner.cleanup()


def day_before(number):
    """The three moments of the day that lies ``number`` days before the start, latest first."""
    return [START - number * DAY + hour * HOUR for hour in (16, 8, 0)]


async def test_numbered_pages_may_be_shorter_than_asked_for(numbered):
    """The exchange says which one is the last, so nothing is missed."""
    client, pages = numbered
    pages.append(lambda number: (day_before(number), 4))

    got = await client.fetch_span(Span(START - 30 * DAY, START))

    assert 12 == len(got.table)


@pytest.mark.parametrize(
    ("page", "error", "words"),
    [
        (lambda _: (day_before(1), 4), MalformedResponse, "no new funding rates on page 2"),
        (lambda number: ([] if number == 2 else day_before(number), 4), MalformedResponse, "no new .* on page 2"),
        (lambda number: (day_before(number)[::-1], 4), MalformedResponse, "not ordered from the latest"),
        (lambda number: (day_before(number), 1000), UnsupportedRequest, "more than 5 pages .* later start"),
    ],
    ids=["the same again", "an empty one amid others", "the oldest first", "too many"],
)
async def test_numbered_pages_that_lead_nowhere_are_errors(numbered, page, error, words):
    """Better than a hole in the answer, or no end of requests."""
    client, pages = numbered
    pages.append(page)

    with pytest.raises(error, match=words):
        await client.fetch_span(Span(START - 30 * DAY, START))


@pytest.mark.parametrize(("exchange", "symbol"), [(exchange, symbol) for exchange, symbol, _ in DATED])
async def test_a_contract_that_expires_has_none(exchange, symbol, tmp_path):
    """It is refused with that reason, before anything is requested: nothing answers at this address."""
    adapter = ExchangeRegistry.get(exchange)
    nowhere = {exchange: {"rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9", "origin": "nowhere"}}
    day = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 2, tzinfo=UTC)
    async with AsyncDataSourceManager(
        adapter.market_type, adapter.provider, cache_dir=tmp_path, endpoints=nowhere, retry_count=0
    ) as manager:
        with pytest.raises(UnsupportedRequest, match=f"{symbol} of {exchange} expires, so it has no funding rates"):
            await manager.get_data(symbol, *day, chart_type=ChartType.FUNDING_RATE)
