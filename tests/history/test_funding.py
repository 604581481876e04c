"""Funding rates by REST: pages, moments, and the time between them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from aiohttp import web

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import HOUR
from chandlery.history.funding import BinanceFundingRateClient
from chandlery.history.interfaces import Resources
from chandlery.net.http import HttpClient

START = to_micros(datetime(2024, 5, 1, tzinfo=UTC))


@pytest.fixture
async def contract():
    """An exchange that knows one contract, whose funding times a test lays down in ``due``."""
    due = []
    asked = []

    async def answer(request):
        asked.append(dict(request.query))
        start, end, limit = (int(request.query[name]) for name in ("startTime", "endTime", "limit"))
        rows = [each for each in due if start <= each // 1000 <= end][:limit]
        return web.json_response(
            [
                {"symbol": "X", "fundingTime": each // 1000, "fundingRate": "0.00010000", "markPrice": "1"}
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
    """And one that stands alone has the usual eight hours."""
    client, due, _ = contract
    due += [START, START + 4 * HOUR]
    assert ["4h", "4h"] == (await client.fetch_span(Span(START, START + HOUR * 24))).table[
        "funding_interval"
    ].to_pylist()

    due[:] = [START]
    assert ["8h"] == (await client.fetch_span(Span(START, START + HOUR * 24))).table["funding_interval"].to_pylist()


async def test_more_than_a_page_in_one_chunk(contract):
    """Hourly funding for four months is three pages, and nothing is lost between them."""
    client, due, asked = contract
    due += [START + hour * HOUR for hour in range(120 * 24)]

    got = await client.fetch_chunk(Span(START, START + 120 * 24 * HOUR))

    assert due == [int(each.value) // 1000 for each in got.table["open_time"].to_pylist()]
    assert {"1h"} == set(got.table["funding_interval"].to_pylist())
    assert 3 == len(asked)


async def test_no_funding_is_an_empty_answer(contract):
    """Of the documented form."""
    client, _, _ = contract

    got = await client.fetch_span(Span(START, START + 24 * HOUR))

    assert ["open_time", "contracts", "funding_interval", "funding_rate"] == got.table.column_names
    assert 0 == len(got.table)
