"""A probe of the offline exchange: it agrees as documented, and names each contradiction."""

from __future__ import annotations

import asyncio

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.clients.native import NativeExchangeClient
from chandlery.clients.settings import Settings
from chandlery.core.errors import UnknownName
from chandlery.core.time import SECOND
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.probe import Options, Verdict, probe
from chandlery.probe.peer import beside, ccxt_client
from chandlery.probe.requests import Requester
from chandlery.sim import SimServer
from chandlery.sim.wires import wires
from chandlery.testing import no_waiting
from fixtures.offline_adapter import MARKET, signed_in
from fixtures.support import micros

NOW = micros(2025, 3, 20, 11, 30, 30)
EXCHANGE = "bybit_perpetual"
SYMBOL = "BTCUSDT"
BY_REST = {
    "page_size": {"page_size": 70},
    "empty_once": {"empty_once": 2},
    "late_s": {"late_s": 600},
    "anchor 1d": {"anchor": {"1d": 57_600}},
    "memory": {"memory": 200},
    "clock_skew_s": {"clock_skew_s": -90},
    "extra_columns": {"extra_columns": 2},
    "fewer_columns": {"fewer_columns": 1},
    "symbols": {"symbols": ["币安人生USDT"]},
    "lives": {"lives": {SYMBOL: [["2020-01-01T00:00:00Z", "2024-01-01T00:00:00Z"]]}},
    "funding_page_size": {"funding_page_size": 40},
    "funding_hours": {"funding_hours": [["2025-03-10T00:00:00Z", 4]]},
}
BY_SOCKET = {
    "close_delay_s": {"close_delay_s": 12},
    "late_update_ms": {"late_update_ms": 9_000},
    "late_s live": {"late_s": 20},
    "refused": {"refused": [SYMBOL]},
    "close_on_subscribe": {"close_on_subscribe": 1},
}


class Probing:
    """A probe whose time passes only while it waits."""

    def __init__(self, folder):
        self.now = NOW
        self._paced = NOW
        self._limiter = RateLimiter(folder, clock=lambda: self._paced, sleep=self._pace)

    async def _pace(self, seconds):
        """Limits are kept in a time of their own, in which waiting takes none."""
        self._paced += round(seconds * SECOND) + 1
        await asyncio.sleep(0)

    async def __call__(self, exchange, unlike, *, close_s=0.0, book_s=0.0):
        """The findings of one probe, by name."""
        sim = SimServer(
            MARKET, exchanges=[exchange], clock=lambda: self.now, tick_s=None, weight_limit=10**9,
            unlike={exchange: unlike},
        )  # fmt: skip

        async def sleep(seconds):
            self.now += round(seconds * SECOND)
            await sim.tick()
            await asyncio.sleep(0.01)

        async with sim, HttpClient(limiter=self._limiter, retry_count=0) as http:
            options = Options(
                sim.endpoints, signed_in(exchange) or None, close_s=close_s, book_s=book_s, tolerance_s=3.0
            )
            return await probe(exchange, http, options, clock=lambda: self.now, sleep=sleep)


@pytest.fixture
def probing(tmp_path):
    with no_waiting():
        yield Probing(tmp_path)


def test_each_contradiction_is_tried():
    """Those that have no name of their own here are met under another, or are about several subscriptions."""
    from chandlery.sim import Unlike

    named = {name.split()[0] for name in [*BY_REST, *BY_SOCKET]}
    others = {"behind_s", "serves_delisted", "refuses_whole", "closes_at"}
    assert others == set(Unlike.__struct_fields__) - named


@pytest.mark.parametrize("name", BY_REST)
async def test_a_contradiction_by_rest_is_named(probing, name):
    """It differs; without it nothing did."""
    found = await probing(EXCHANGE, BY_REST[name])

    assert name in {each.name for each in found.differences}
    assert not {each.name for each in found.differences} - {name} & set(BY_REST)


async def test_rest_that_is_behind_is_late(probing):
    """Whether it has the candle that ran then makes no difference to when the next one can be had."""
    found = await probing(EXCHANGE, {"behind_s": 600})

    assert "late_s" in {each.name for each in found.differences}


@pytest.mark.parametrize("name", BY_SOCKET)
async def test_a_contradiction_by_socket_is_named(probing, name):
    """It differs, by the delay or the words that were seen."""
    found = await probing(EXCHANGE, BY_SOCKET[name], close_s=35.0)

    assert name in {each.name for each in found.differences}


@pytest.mark.parametrize("exchange", ["binance_spot", "bybit_perpetual", "kraken_spot"])
async def test_a_documented_exchange_agrees(probing, exchange):
    """Nothing differs; sockets, closes and books are looked at too."""
    found = await probing(exchange, {}, close_s=35.0, book_s=4.0)

    assert [] == found.differences
    names = {each.name for each in found.findings if each.verdict is Verdict.AGREES}
    assert {"clock_skew_s", "order", "bounds", "anchor 1d", "unknown_symbol", "late_s live", "book"} <= names


@pytest.mark.soak
@pytest.mark.parametrize("exchange", wires())
async def test_every_documented_exchange_agrees(probing, exchange):
    """Nothing differs at any of them."""
    found = await probing(exchange, {}, close_s=35.0, book_s=4.0)

    assert [] == found.differences


async def test_another_client_beside_ours(tmp_path):
    """Where both read the same, the other vouches for the recording."""
    sim = SimServer(MARKET, exchanges=["okx_spot"], clock=lambda: NOW, tick_s=None)
    async with sim, HttpClient(limiter=RateLimiter(tmp_path)) as http:
        settings = Settings(endpoints=sim.endpoints)

        async def other(ask):
            return await beside(ask, lambda _: NativeExchangeClient("okx_spot", settings, clock=lambda: NOW))

        options = Options(sim.endpoints, close_s=0, book_s=0, peers={"ccxt": other})
        found = await probe("okx_spot", http, options, clock=lambda: NOW)

    assert [("10 of 10 prices are those of okx_spot", "agrees")] == [
        (each.measured, each.verdict.value) for each in found.findings if each.name == "ccxt"
    ]
    (vouched,) = [each for each in found.bundle.recordings if each.expect]
    assert 10 == len(vouched.expect)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
async def test_ccxt_has_a_client_of_the_same_market():
    """Contracts where the market is one."""
    adapter = ExchangeRegistry.create("okx_perpetual")
    client = ccxt_client(Requester(adapter, None, lambda: NOW, "BTC-USDT-SWAP"))
    assert "okx" == client.get_exchange_name()
    await client.close()


async def test_an_exchange_out_of_reach(tmp_path):
    """Each measurement says why it failed, and none ends the probe."""
    endpoints = {EXCHANGE: {"rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9"}}
    with no_waiting():
        async with HttpClient(limiter=RateLimiter(tmp_path), retry_count=0) as http:
            found = await probe(EXCHANGE, http, Options(endpoints, close_s=1.0, book_s=1.0), sleep=asyncio.sleep)

    assert {"clock", "page", "listing", "socket candles", "socket book"} <= {each.name for each in found.differences}
    assert all("127.0.0.1" in each.measured for each in found.differences if each.name == "clock")


async def test_an_unknown_exchange(tmp_path):
    """It is refused, with those that there are."""
    async with HttpClient(limiter=RateLimiter(tmp_path)) as http:
        with pytest.raises(UnknownName, match="okx_spot"):
            await probe("nowhere", http)
    assert "okx_spot" in ExchangeRegistry.names()
