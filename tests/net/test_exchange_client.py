"""The client of one exchange: its list of instruments."""

from __future__ import annotations

import re

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import HOUR, MINUTE, SECOND
from chandlery.net.exchange_client import ExchangeClient
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.net.tokens import Accounts
from chandlery.sim.server import SimServer
from fixtures.offline_adapter import MARKET, first_example, offline, signed_in


@pytest.mark.parametrize("exchange", offline())
async def test_every_exchange_tells_what_trades(exchange, tmp_path):
    """The example of each market trades; a symbol that nobody lists does not, whether or not there is a list."""
    limiter = RateLimiter(tmp_path)
    async with SimServer(MARKET, exchanges=(exchange,)) as sim, HttpClient(limiter=limiter) as http:
        adapter = ExchangeRegistry.create(exchange, sim.endpoints)
        client = ExchangeClient(adapter, Accounts(http, signed_in(exchange)).client(adapter), clock=sim.clock)
        example = adapter.symbol(first_example(adapter))

        assert await client.trades(example)
        assert not await client.trades(re.sub("BTC|XBT|btc|MSFT", "QQQ", example))


async def test_a_list_is_read_again_when_it_is_old(tmp_path):
    """Within ten minutes the list is remembered; afterwards it is read again."""
    now = [0]
    limiter = RateLimiter(tmp_path)
    async with SimServer(MARKET, exchanges=("binance_spot",)) as sim, HttpClient(limiter=limiter) as http:
        adapter = ExchangeRegistry.create("binance_spot", sim.endpoints)
        client = ExchangeClient(adapter, http, clock=lambda: now[0])
        for moment in (0, 10 * MINUTE - SECOND, 10 * MINUTE):
            now[0] = moment
            assert await client.trades("BTCUSDT")

        assert 2 == sum("exchangeInfo" in path for _, path, _ in sim.log)
    assert MARKET.knows(adapter.market_type, "BTCUSDT")


async def test_the_exchanges_clock_is_asked_again_when_the_local_one_was_set(tmp_path):
    """A step shows against the monotonic clock; until the exchange has told the time again, nothing is synchronised."""
    theirs, ours, ticks = [100 * HOUR], [3 * HOUR], [0.0]
    async with (
        SimServer(MARKET, exchanges=("binance_spot",), clock=lambda: theirs[0]) as sim,
        HttpClient(limiter=RateLimiter(tmp_path)) as http,
    ):
        adapter = ExchangeRegistry.create("binance_spot", sim.endpoints)
        client = ExchangeClient(adapter, http, clock=lambda: ours[0], ticks=lambda: ticks[0])
        assert not client.synchronised
        assert 100 * HOUR == await client.now()
        assert client.synchronised
        for step in (5 * MINUTE, -5 * MINUTE):
            ours[0] += step
            assert not client.synchronised
            assert 100 * HOUR == await client.now()
            assert client.synchronised
        ours[0] += 2 * HOUR
        theirs[0] += 2 * HOUR
        ticks[0] += 2 * 3600
        assert not client.synchronised, "an hour is the longest"


async def test_a_slow_answer_puts_the_exchanges_clock_behind_and_never_ahead(tmp_path):
    """How long it was on its way is unknown; a clock that is ahead would close candles early."""
    theirs, ours = 100 * HOUR, [0]

    def told():
        ours[0] += 30 * SECOND
        return theirs

    async with (
        SimServer(MARKET, exchanges=("binance_spot",), clock=told) as sim,
        HttpClient(limiter=RateLimiter(tmp_path)) as http,
    ):
        adapter = ExchangeRegistry.create("binance_spot", sim.endpoints)
        client = ExchangeClient(adapter, http, clock=lambda: ours[0], ticks=lambda: ours[0] / SECOND)

        assert theirs == await client.now()


async def test_an_answer_cut_short_is_read_on(tmp_path):
    """The rows of a page come in as many answers as it takes; the latest may not be published yet."""
    unlike = {"binance_spot": {"page_size": 40}}
    async with (
        SimServer(MARKET, exchanges=("binance_spot",), unlike=unlike) as sim,
        HttpClient(limiter=RateLimiter(tmp_path)) as http,
    ):
        adapter = ExchangeRegistry.create("binance_spot", sim.endpoints)
        client = ExchangeClient(adapter, http, clock=sim.clock)
        end = sim.clock() // HOUR * HOUR
        span = Span(end - 100 * MINUTE, end)

        answers = await client.settled_candles("BTCUSDT", Interval.MINUTE_1, span, size=1000, settled=end)

        opens = {opened for rows in answers for opened in rows.open_time}
        assert set(range(span.start, span.end, MINUTE)) <= opens
        assert len(answers) <= 4
