"""The ends of a series, found by few requests."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.holes import Life
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import DAY, HOUR, MINUTE
from chandlery.history.bounds import Bounds
from chandlery.net.exchange_client import ExchangeClient
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.sim.server import SimServer
from fixtures.offline_adapter import MARKET, first_example

NOW = to_micros(datetime(2025, 3, 12, 10, 20, 30, tzinfo=UTC))


@pytest.fixture
async def bounds_of(tmp_path):
    """Makes the bounds of the bitcoin series of an offline exchange, and tells what it was asked."""
    opened = []

    async def make(exchange, interval=Interval.HOUR_1, **unlike):
        sim = SimServer(
            MARKET, exchanges=(exchange,), clock=lambda: NOW, tick_s=None, weight_limit=10**9, unlike={exchange: unlike}
        )
        http = HttpClient(limiter=RateLimiter(tmp_path))
        opened.extend([await sim.__aenter__(), http])
        adapter = ExchangeRegistry.create(exchange, sim.endpoints)
        symbol = adapter.symbol(first_example(adapter))
        client = ExchangeClient(adapter, http, clock=lambda: NOW)
        return Bounds(client, symbol, interval), sim, symbol

    yield make
    for each in reversed(opened):
        await (each.close() if isinstance(each, HttpClient) else each.__aexit__(None, None, None))


@pytest.mark.parametrize("exchange", ["binance_spot", "okx_spot", "bybit_perpetual", "gate_spot"])
@pytest.mark.parametrize("unlike", [{}, {"page_size": 7}, {"empty_once": 1}])
async def test_the_first_candle_by_a_few_requests(bounds_of, exchange, unlike):
    """The same first candle whatever answers hold, and though one comes empty."""
    bounds, sim, _ = await bounds_of(exchange, **unlike)
    told = await bounds.first(NOW)
    count = len(sim.log)
    plain, _, _ = await bounds_of(exchange)

    assert await plain.first(NOW) == told
    assert Life() != told
    assert count < (300 if unlike.get("page_size") else 60)


async def test_an_exchange_that_has_forgotten_its_first_candles_is_told_from_a_new_listing(bounds_of):
    """Months are older than hours: the hours before are no longer served, and not "not listed"."""
    bounds, _, _ = await bounds_of("binance_spot", memory=500)

    life = await bounds.first(NOW)

    assert Life(served_from=Interval.HOUR_1.floor(NOW) - 499 * HOUR) == life


async def test_the_last_candle_is_the_running_one_or_that_before_the_delisting(bounds_of):
    """Found by as few requests as the first one."""
    alive, sim, _ = await bounds_of("bybit_spot")
    assert Interval.HOUR_1.floor(NOW) == await alive.last(NOW)
    assert 1 == len(sim.log)

    ended = datetime(2024, 2, 3, 4, tzinfo=UTC)
    lives = {"BTCUSDT": [[datetime(2021, 1, 1, tzinfo=UTC), ended]]}
    gone, sim, _ = await bounds_of("bybit_spot", lives=lives, serves_delisted=True)

    assert to_micros(ended) - HOUR == await gone.last(NOW)
    assert len(sim.log) < 12
    assert "delisted" in await gone.delisted()
    assert DAY < NOW - to_micros(ended)


async def test_longer_candles_are_read_only_where_they_save_requests(bounds_of):
    """A day of minutes is a page or two, years of days are few pages; so neither hours nor months are requested."""
    ended = datetime(2024, 2, 3, 4, 5, tzinfo=UTC)
    lives = {"BTCUSDT": [[datetime(2021, 1, 1, tzinfo=UTC), ended]]}
    gone, sim, _ = await bounds_of("binance_spot", Interval.MINUTE_1, lives=lives, serves_delisted=True)

    assert to_micros(ended) - MINUTE == await gone.last(NOW)
    assert {"1m", "1d"} == {path.partition("interval=")[2].partition("&")[0] for _, path, _ in sim.log}
    assert len(sim.log) <= 8
