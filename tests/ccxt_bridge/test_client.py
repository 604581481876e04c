"""Ccxt's exchanges as clients, against the offline exchange over real HTTP and sockets."""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.ccxt_bridge.client import CCXTExchangeClient
from chandlery.clients.settings import CCXTConfig, Credentials
from chandlery.core.errors import (
    ExchangeUnavailable,
    IncompleteData,
    InvalidRange,
    InvalidSymbol,
    RateLimited,
    UnknownName,
    UnsupportedRequest,
    WrongMarket,
)
from chandlery.core.gaps import GapKind
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.provenance import Provenance
from chandlery.history.async_manager import AsyncDataSourceManager
from chandlery.sim.faults import Fault, FaultKind
from chandlery.tables.frame import open_times
from chandlery.testing import no_waiting
from fixtures.candle_feed import Stopped
from fixtures.ccxt_accounts import SYNTHETIC, held
from fixtures.offline_adapter import signed_in

EXCHANGES = sorted(path.parent.name for path in SYNTHETIC.glob("*/ccxt.json"))
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.mark.parametrize("exchange", EXCHANGES)
async def test_its_candles_are_our_adapters(exchange, offline, client_of, last, tmp_path):
    """A range of several pages by ccxt equals what our adapter gives: the same opens, prices and volumes."""
    told = held(exchange)
    adapter = ExchangeRegistry.get(exchange)
    count = min(1234, (adapter.retained_candles or 10_000) - 20)
    async with offline(exchange) as sim:
        span = last(count, sim.clock)
        async with client_of(sim, exchange) as client:
            theirs = await client.fetch_candles(told["symbol"], *span)
        manager = AsyncDataSourceManager(
            adapter.market_type, adapter.provider, endpoints=sim.endpoints, cache_dir=tmp_path / "ours",
            credentials=signed_in(exchange), clock=sim.clock,
        )  # fmt: skip
        async with manager:
            ours = await manager.get_data(told["symbol"], *span, "1m", output="arrow", enforce_source="rest")

    assert open_times(ours).tolist() == open_times(theirs).tolist()
    assert len(ours) >= count - 1
    for name in ("open", "high", "low", "close"):
        assert ours.column(name).equals(theirs.column(name)), name
    volume = ours.column(told.get("volume", "volume")).to_numpy() * told.get("volume_times", 1)
    np.testing.assert_allclose(theirs.column("volume").to_numpy(), volume, rtol=1e-12)


async def test_what_an_exchange_no_longer_has(offline, client_of, last):
    """Kraken answers for the latest 720 alone: a longer range is incomplete, with the rest, and no silent hole."""
    async with offline("kraken_spot") as sim, client_of(sim, "kraken_spot") as client:
        start, end = last(1500, sim.clock)
        with pytest.raises(IncompleteData, match="the exchange serves data from") as caught:
            await client.fetch_candles("BTC/USD", start, end)
        rows = open_times(caught.value.data)

        assert 700 <= len(rows) <= 720
        assert to_micros(end) == Interval.MINUTE_1.step(int(rows[-1]))
        assert [GapKind.NO_LONGER_SERVED] == [gap.kind for gap in caught.value.missing]


async def test_where_nobody_traded_is_said(offline, client_of, last):
    """A halt of the market is a gap of the provenance, asked for twice, and no failure."""
    from chandlery.core.gaps import Span
    from chandlery.core.time import MINUTE
    from chandlery.sim.market import SyntheticMarket
    from chandlery.sim.server import wall_clock

    middle = Interval.MINUTE_1.floor(wall_clock()) - 100 * MINUTE
    halted = Span(middle, middle + 5 * MINUTE)
    market = SyntheticMarket(halts=[halted])
    async with offline("binance_spot", market=market) as sim, client_of(sim, "binance_spot") as client:
        table = await client.fetch_candles("BTC/USDT", *last(300, sim.clock))
        gaps = Provenance.from_json(table.schema.metadata[b"chandlery"]).gaps

        assert 295 == table.num_rows
        assert [(halted, GapKind.NO_TRADES)] == [(gap.span, gap.kind) for gap in gaps]


async def test_what_may_pass_is_tried_again(offline, client_of, last):
    """A page that fails is asked for again, and the series is whole."""
    faults = [Fault(FaultKind.SERVER_ERROR, path="klines", times=2), Fault(FaultKind.RESET, path="klines", after=3)]
    async with offline("binance_spot", faults=faults) as sim, client_of(sim, "binance_spot") as client:
        with no_waiting():
            rows = await client.fetch_historical_data("BTC/USDT", *last(1500, sim.clock))

        assert 1500 == len(rows)


async def test_a_page_that_fails_for_good_costs_no_row_of_the_others(offline, client_of, last):
    """What arrived is in the error, and what is missing is named with the reason."""
    faults = [Fault(FaultKind.RESET, path="klines", after=2, times=None)]
    async with offline("binance_spot", faults=faults) as sim, client_of(sim, "binance_spot") as client:
        with no_waiting(), pytest.raises(IncompleteData) as caught:
            await client.fetch_candles("BTC/USDT", *last(2500, sim.clock))

        assert 900 < len(caught.value.data) < 2500
        assert isinstance(caught.value.__cause__, ExchangeUnavailable)
        assert {GapKind.FETCH_FAILED} == {gap.kind for gap in caught.value.missing}


async def test_the_markets_are_loaded_once(offline, client_of):
    """However many ask at once; a failure is not remembered."""
    faults = [Fault(FaultKind.SERVER_ERROR, path="exchangeInfo", times=20)]
    async with offline("binance_spot", faults=faults) as sim, client_of(sim, "binance_spot") as client:
        with no_waiting(), pytest.raises(ExchangeUnavailable):
            await client.check_coin_availability("BTC/USDT")
        faults[0].times = 0
        sim.faults.clear()
        sim.log.clear()
        answers = await asyncio.gather(*(client.check_coin_availability("BTC/USDT") for _ in range(5)))

        assert [True] * 5 == answers
        assert 1 == sum("exchangeInfo" in path for _, path, _ in sim.log)


async def test_the_list_of_markets_is_read_again(offline, client_of):
    """After ten minutes: what was listed meanwhile is found, and what was delisted is known to be."""
    began = datetime(2026, 3, 2, 12, tzinfo=UTC)
    change = began + timedelta(minutes=5)
    unlike = {
        "binance_spot": {"lives": {"ETHUSDT": [[change, None]], "SOLUSDT": [[began - timedelta(days=90), change]]}}
    }
    clock = Stopped(to_micros(began))
    async with (
        offline("binance_spot", clock=clock, unlike=unlike) as sim,
        client_of(sim, "binance_spot") as client,
    ):
        listed = {}
        for minute in (0, 9, 11):
            clock.now = to_micros(began + timedelta(minutes=minute))
            listed[minute] = [await client.check_coin_availability(coin) for coin in ("ETH/USDT", "SOL/USDT")]

        assert {0: [False, True], 9: [False, True], 11: [True, False]} == listed


async def test_each_failure_is_its_own_error(offline, client_of, last):
    """A cut network, a limit, an unknown symbol and one of another market: distinct, one line, with what to do next."""
    cut = Fault(FaultKind.RESET, path="klines", times=None)
    async with offline("binance_spot") as sim, client_of(sim, "binance_spot") as client:
        span = last(3, sim.clock)
        with pytest.raises(InvalidSymbol, match="binance does not list BTC/USDX; did you mean BTC/USD"):
            await client.fetch_historical_data("BTC/USDX", *span)
        with pytest.raises(WrongMarket, match="of BTC/USDT it lists BTC/USDT"):
            await client.fetch_historical_data("BTC/USDT:USDT", *span)
        with pytest.raises(InvalidSymbol, match="write BTC/USDT for spot"):
            await client.check_coin_availability("BTCUSDT")
        sim.faults.append(cut)
        with no_waiting(), pytest.raises(ExchangeUnavailable, match="try again, or another exchange") as caught:
            await client.fetch_historical_data("BTC/USDT", *span)
        assert "\n" not in str(caught.value)
        assert "?" not in str(caught.value), "no query in a message"


async def test_a_limit_is_obeyed_by_everybody(offline, client_of, last, limiter):
    """Who is told to wait waits: the next request goes out when the pause is over, and others see it, too."""
    fault = Fault(FaultKind.TOO_MANY_REQUESTS, path="klines", retry_after=1)
    async with offline("binance_spot", faults=[fault]) as sim, client_of(sim, "binance_spot") as client:
        await client.check_coin_availability("BTC/USDT")
        began = asyncio.get_running_loop().time()
        rows = await client.fetch_historical_data("BTC/USDT", *last(3, sim.clock))
        took = asyncio.get_running_loop().time() - began

        assert 3 == len(rows)
        assert 1.0 <= took < 4.0
        assert not limiter.is_paused(f"127.0.0.1:{sim.port}")


def test_unknown_exchanges():
    """An exchange that ccxt does not know is refused at once; other spellings are understood."""
    with pytest.raises(UnknownName, match="ccxt has no exchange 'nowhere'"):
        CCXTExchangeClient(CCXTConfig(_env_file=None), "nowhere")

    assert "htx" == CCXTExchangeClient(CCXTConfig(_env_file=None), "huobi").get_exchange_name()
    assert "cryptocom" == CCXTExchangeClient(CCXTConfig(_env_file=None), "crypto_com").get_exchange_name()
    assert "kraken" == CCXTExchangeClient(CCXTConfig(_env_file=None, default_exchange="kraken")).get_exchange_name()


async def test_intervals_that_an_exchange_has_not(offline, client_of, last):
    """An interval that is one, and that the exchange lacks, is refused with those that it has, before anything is sent."""
    async with offline("kraken_spot") as sim, client_of(sim, "kraken_spot") as client:
        with pytest.raises(UnsupportedRequest, match="kraken has no 3m candles; it has 1m 5m"):
            await client.fetch_historical_data("BTC/USD", *last(3, sim.clock), "3m")
        start, end = last(3, sim.clock)
        with pytest.raises(InvalidRange, match="in the future"):
            await client.fetch_historical_data("BTC/USD", start + timedelta(days=9), end + timedelta(days=9))

        assert [] == list(sim.log)


async def test_order_books_that_an_exchange_has_not():
    """Refused without a request, by what ccxt declares; before ccxt is imported, nothing is known yet."""
    config = CCXTConfig(_env_file=None, default_contract_type="swap")
    client, other = CCXTExchangeClient(config, "mudrex"), CCXTExchangeClient(config, "okx")

    client.require_books("BTC/USDT:USDT")
    with pytest.raises(UnsupportedRequest, match="mudrex has no order books in ccxt"):
        await client.start_realtime_stream("BTC/USDT:USDT", print, channel="book")
    with pytest.raises(UnsupportedRequest, match="mudrex has no order books in ccxt"):
        client.require_books("BTC/USDT:USDT")
    assert other.exchange
    other.require_books("BTC/USDT:USDT")


async def test_the_keys_of_its_settings():
    """They belong to one exchange, the default one; keys that are given win."""
    config = CCXTConfig(_env_file=None, api_key="key", api_secret="secret")
    other = Credentials.of("other", "secret")
    clients = [
        CCXTExchangeClient(config, "binance"),
        CCXTExchangeClient(config, "binance", credentials=other),
        CCXTExchangeClient(config, "kraken"),
    ]

    assert ["key", "other", ""] == [client.exchange.apiKey or "" for client in clients]
    for client in clients:
        await client.close()


async def test_a_limit_without_an_end_is_raised(offline, client_of, last):
    """An exchange that always refuses for too many requests is an error of its own kind."""
    fault = Fault(FaultKind.TOO_MANY_REQUESTS, path="klines", retry_after=0, times=None)
    async with offline("binance_spot", faults=[fault]) as sim, client_of(sim, "binance_spot") as client:
        with no_waiting(), pytest.raises(RateLimited):
            await client.fetch_historical_data("BTC/USDT", *last(3, sim.clock))


async def test_secrets_show_nowhere(offline, client_of, caplog):
    """Neither an error, nor its context, nor any logger at any level holds the keys."""
    caplog.set_level(logging.DEBUG)
    account = Credentials.of("hunter2-key-0123456789", "hunter2-secret-0123456789", "hunter2-password")
    async with offline("binance_spot") as sim, client_of(sim, "binance_spot", credentials=account) as client:
        with no_waiting(), pytest.raises(Exception) as caught:  # noqa: PT011  # whatever it is, it must be silent
            await client.call("fetch_balance", retries=0)
        shown = [str(caught.value), repr(caught.value), repr(client), caplog.text]
        error = caught.value
        while error is not None:
            shown.append(repr(error))
            error = error.__cause__ or error.__context__

        assert not [each for each in shown if "hunter2" in each]


async def test_ccxt_is_imported_in_a_thread(tmp_path):
    """Importing it takes seconds, during which the event loop serves others."""
    script = """
import asyncio, sys, threading
from chandlery import CCXTConfig, CCXTExchangeClient

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "ccxt":
            print("imported in the main thread:", threading.current_thread() is threading.main_thread())
            raise ImportError("enough has been seen")

async def main():
    client = CCXTExchangeClient(CCXTConfig(_env_file=None, endpoints={"okx": {"https://www.okx.com": "http://127.0.0.1:9"}}), "okx")
    client.require_interval("BTC/USDT", None)
    print(client.origin("BTC/USDT"), "ccxt" in sys.modules)
    sys.meta_path.insert(0, Watch())
    try:
        await client.check_coin_availability("BTC/USDT")
    except Exception as error:
        print(type(error).__name__)

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, cwd=tmp_path
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)

    lines = ["127.0.0.1:9 False", "imported in the main thread: False", "MissingDependency"]
    assert lines == out.decode().splitlines()


async def test_without_ccxt_it_says_how_to_install_it(tmp_path):
    """Where ccxt is not installed one line says how to; nothing else of the library needs it."""
    script = """
import sys
sys.modules["ccxt"] = None
from chandlery import CCXTExchangeClient, Settings
try:
    CCXTExchangeClient(Settings.of(None).ccxt)
except Exception as error:
    print(type(error).__name__, error)
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 60)

    assert "MissingDependency ccxt is not installed; run: pip install 'chandlery[ccxt]'\n" == out.decode()
