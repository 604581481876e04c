"""All exchanges by name, against offline exchanges."""

from __future__ import annotations

import asyncio

import pytest

from chandlery.ccxt_bridge.client import CCXTExchangeClient
from chandlery.clients.native import NativeExchangeClient
from chandlery.clients.plugins import PluginRegistry
from chandlery.connector import DataSourceConnectorImpl
from chandlery.core.errors import (
    Closed,
    ExchangeUnavailable,
    InvalidInput,
    InvalidSymbol,
    UnknownName,
    UnsupportedRequest,
)
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.sim.faults import Fault, FaultKind
from chandlery.testing import no_waiting
from fixtures.ccxt_accounts import config_of
from fixtures.offline_adapter import MARKET

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
async def connector_of(settings_of, limiter):
    """Makes connectors, and closes them afterwards."""
    made = []

    def connector(sim, registry=None, **ccxt):
        made.append(DataSourceConnectorImpl(registry, settings_of(sim, **ccxt), limiter=limiter))
        return made[-1]

    yield connector
    for each in made:
        await each.close_all_plugins()


async def test_names_find_their_clients(offline, connector_of):
    """Ours where we have adapters, ccxt's for the rest and where it is named; each is made once and shared."""
    async with offline("binance_spot") as sim:
        connector = connector_of(sim)
        ours = connector.get_client("binance")

        assert isinstance(ours, NativeExchangeClient)
        assert connector.get_client("Binance") is ours is connector.get_client("native.binance")
        assert connector.get_client("binance_spot") is not ours
        assert isinstance(connector.get_client("ccxt.binance"), CCXTExchangeClient)
        assert connector.get_client("binance") is ours, "what is open does not change what a name means"
        assert isinstance(connector.get_client("bitfinex"), CCXTExchangeClient)
        assert connector.get_client("huobi") is connector.get_client("htx")


async def test_unknown_names(offline, connector_of):
    """What nobody reaches is refused; a family that does not reach it is told who does."""
    async with offline("binance_spot") as sim:
        connector = connector_of(sim)
        for name in ("nowhere", "", "ccxt.", "."):
            with pytest.raises(UnknownName, match="ccxt has no exchange"):
                connector.get_client(name)
        with pytest.raises(UnknownName, match=r"bitfinex is available as ccxt\.bitfinex"):
            connector.get_client("native.bitfinex")
        with pytest.raises(UnknownName, match=r"ccxt has no exchange"):
            connector.get_client("ccxt.tradestation")


async def test_what_was_added_comes_first(offline, connector_of, settings_of, limiter):
    """A plugin that somebody has added to the registry serves its exchange; two of them must be named."""
    async with offline("binance_spot") as sim:
        registry = PluginRegistry()
        added = CCXTExchangeClient(settings_of(sim).ccxt, "binance", limiter=limiter)
        registry.add_plugin(added)
        connector = connector_of(sim, registry)

        assert connector.get_client("binance") is added
        registry.add_plugin(NativeExchangeClient("binance", settings_of(sim), limiter=limiter))
        with pytest.raises(InvalidInput, match=r"ccxt\.binance and native\.binance"):
            connector.get_client("binance")
        assert connector.get_client("ccxt.binance") is added


async def test_a_series_is_resolved_whatever_its_spelling(offline, connector_of):
    """To the names under which data is stored, the client and whose data it is; what the exchange lacks is refused."""
    async with offline("binance_spot", "kraken_spot") as sim:
        connector = connector_of(sim)
        found = connector.resolve(SeriesId.parse(" Binance", "btc-usdt", "candles:1m"))

        assert SeriesId.of_candles("binance", "BTC/USDT", Interval.MINUTE_1) == found.id
        assert (connector.get_client("binance"), MARKET.origin) == (found.client, found.origin)
        assert found == connector.resolve(found.id)
        with pytest.raises(InvalidSymbol):
            connector.resolve(SeriesId.of_book("binance", "nonsense!"))
        with pytest.raises(UnsupportedRequest, match="kraken_spot"):
            connector.resolve(SeriesId.of_candles("kraken", "BTC/USDT", Interval.SECOND_1))


async def test_it_asks_the_client(offline, connector_of, last):
    """The documented calls go to the exchange that is named; coin and range come first."""
    async with offline("binance_spot", "okx_perpetual") as sim:
        connector = connector_of(sim)
        start, end = last(10, sim.clock)

        assert await connector.check_coin_availability("binance", "BTC/USDT")
        assert not await connector.check_coin_availability("binance", "NOPE/USDT")
        rows = await connector.fetch_historical_data("okx", "BTC/USDT:USDT", start, end, "1m")
        assert 10 == len(rows)
        assert {"okx"} == {row["exchange"] for row in rows}
        assert 10 == (await connector.fetch_candles("binance", "BTC/USDT", start, end)).num_rows
        with pytest.raises(InvalidSymbol):
            await connector.fetch_historical_data("binance", "NOPE/USDT", start, end)


async def test_the_documented_sequence(offline, settings_of, limiter, last):
    """The document's diagram: a plugin of ccxt's is registered, and a range is asked for by the exchange's name."""
    async with offline("cryptocom_spot") as sim:
        registry = PluginRegistry()
        registry.add_plugin(CCXTExchangeClient(config_of(sim, "cryptocom_spot"), "crypto_com", limiter=limiter))
        start_time, end_time = last(400, sim.clock)
        async with DataSourceConnectorImpl(registry, settings_of(sim)) as connector:
            rows = await connector.fetch_historical_data(
                exchange_name="crypto_com",
                coin_symbol="BTC/USDT",
                start_time=start_time,
                end_time=end_time,
                interval="1m",
            )

    assert 400 == len(rows)
    assert [] == registry.list_plugins()


async def test_it_streams(offline, connector_of):
    """Streams of several exchanges run side by side."""
    async with offline("binance_spot", "okx_spot") as sim:
        connector = connector_of(sim)
        told = {"binance": asyncio.Event(), "okx": asyncio.Event()}
        streams = [
            await connector.start_realtime_stream(
                name, "BTC/USDT", lambda _, entry: told[entry["exchange"]].set(), channel=channel, depth=5
            )
            for name, channel in (("binance", "candles"), ("okx", "book"))
        ]
        await asyncio.wait_for(asyncio.gather(*(each.wait() for each in told.values())), 20)
        for stream in streams:
            await stream.stop()


async def test_the_next_exchange_when_one_fails(offline, connector_of, last):
    """An exchange that is down is passed over, and the result says who answered."""
    down = Fault(FaultKind.SERVER_ERROR, path="binance_spot", times=None)
    async with offline("binance_spot", "okx_spot", faults=[down]) as sim:
        connector = connector_of(sim)
        with no_waiting():
            result = await connector.fetch_with_fallback("BTC/USDT", *last(20, sim.clock), exchanges=["binance", "okx"])

        assert ["okx"] == [span.exchange for span in result.spans]
        assert {"okx"} == {row["exchange"] for row in result.rows}
        assert 20 == len(result.rows)
        assert ["binance"] == [name for name, _ in result.failures]


async def test_all_exchanges_down(offline, connector_of, last):
    """Where none answers one error names each; an exchange that nobody knows is refused before any is asked."""
    down = Fault(FaultKind.RESET, times=None)
    async with offline("binance_spot", "okx_spot", faults=[down]) as sim:
        connector = connector_of(sim)
        with no_waiting(), pytest.raises(ExchangeUnavailable, match=r"(?s)binance: .*; okx: "):
            await connector.fetch_with_fallback("BTC/USDT", *last(20, sim.clock), exchanges=["binance", "okx"])
        sim.log.clear()
        with pytest.raises(UnknownName):
            await connector.fetch_with_fallback("BTC/USDT", *last(20, sim.clock), exchanges=["binance", "nowhere"])

        assert [] == list(sim.log)


async def test_closed(offline, connector_of, settings_of, limiter):
    """Closing closes every client, also those that others have added; a closed connector says so."""
    async with offline("binance_spot") as sim:
        registry = PluginRegistry()
        client = NativeExchangeClient("okx", settings_of(sim), limiter=limiter)
        registry.add_plugin(client)
        async with connector_of(sim, registry) as connector:
            ours = connector.get_client("binance")
        for each in (ours, client):
            with pytest.raises(Closed):
                await each.check_coin_availability("BTC/USDT")
        with pytest.raises(Closed):
            connector.get_client("binance")
