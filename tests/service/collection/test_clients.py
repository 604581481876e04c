"""Collecting through every kind of client: our adapters, ccxt's exchanges, and plugins with the documented methods only."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from chandlery.clients.interfaces import IExchangeAPIClient
from chandlery.clients.streaming import RealtimeStream
from chandlery.core.errors import UnsupportedRequest
from chandlery.core.gaps import GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import MINUTE, SECOND, Unit, to_datetime
from chandlery.net.clock import system_clock
from chandlery.sim import SimServer
from chandlery.tables.candle_rows import TIMES, times_of
from chandlery.tables.frame import open_times
from fixtures.ccxt_accounts import config_of
from fixtures.offline_adapter import EXPIRING
from fixtures.service import offline, service_of
from fixtures.waiting import until

EVER = Span(0, 2**60)
COIN = "BTC/USDT"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


class Ended(Exception):
    """What a test ends a plugin's stream with."""


class Bare:
    """
    What a plugin has by the documents: candles of minutes, a stream that mixes candles and books, and no other arguments.

    An hour of the exchange passes in three seconds: the last of its candles closed a while ago.
    """

    def __init__(self):
        self.begun = Unit.MILLIS.of(Interval.MINUTE_1.floor(system_clock())) - 10**9
        self.started = asyncio.get_running_loop().time()
        self.failing = False
        self.tasks = set()

    @property
    def minutes(self):
        """How many candles there are so far."""
        return 100 + int((asyncio.get_running_loop().time() - self.started) * 20)

    def get_exchange_name(self):
        return "acme"

    async def check_coin_availability(self, coin):
        return coin == COIN

    async def fetch_historical_data(self, coin, start, end):
        opens = [self.begun + 60_000 * each for each in range(self.minutes)]
        return [self.candle(each) for each in opens if start <= to_datetime(each * 1000) < end]

    async def start_realtime_stream(self, coin, callback):
        await self.stream(coin, callback)

    def candle(self, opened):
        return {"timestamp": opened, **dict.fromkeys(("open", "high", "low", "close"), 1.5), "volume": 2.0}

    async def stream(self, coin, callback):
        last = self.minutes
        while True:
            if self.failing:
                raise Ended
            callback(coin, {"bids": [(1.0, 1.0), (0.5, 3.0)], "asks": [(2.0, 1.0)]})
            for each in range(last, self.minutes):
                callback(coin, self.candle(self.begun + 60_000 * each) | {"closed": True})
            last = self.minutes
            await asyncio.sleep(0.03)


class Plugin(Bare, IExchangeAPIClient):
    """Its stream runs until it is cancelled."""


class Background(Bare, IExchangeAPIClient):
    """Its stream runs on in the background."""

    async def start_realtime_stream(self, coin, callback):
        self.tasks.add(asyncio.create_task(self.stream(coin, callback)))

    async def close(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


class Streaming(Bare, IExchangeAPIClient):
    """It takes the channel, and returns a stream."""

    family = "acme_labs"

    async def start_realtime_stream(
        self, coin, callback, *, channel="candles", interval="1m", depth=None, on_event=None
    ):
        async def run():
            while True:
                if self.failing:
                    raise Ended
                if channel == "book":
                    entry = {"bids": [(1.0, 1.0), (0.5, 3.0)], "asks": [(2.0, 1.0)], "timestamp": None, "sequence": 7}
                    await callback(coin, entry)
                await asyncio.sleep(0.03)

        return RealtimeStream(f"acme {coin} {channel}", run())


@asynccontextmanager
async def collecting(kind, tmp_path):
    """A service that can reach an exchange by a client of a kind, and the name that the exchange has there."""
    async with (
        offline("binance_spot") as sim,
        service_of(sim, tmp_path, ccxt=config_of(sim, "binance_spot")) as service,
    ):
        if isinstance(kind, type):
            service.connector.registry.add_plugin(kind())
        yield service, {"native": "binance", "ccxt": "ccxt.binance"}.get(kind, "acme")


async def books(service, name):
    return await service.storage.get_raw_data_range(COIN, 0, 2**60, exchange=name)


KINDS = ["native", "ccxt", Plugin, Background, Streaming]


@pytest.mark.parametrize("kind", KINDS)
async def test_order_books_are_stored_under_the_name_by_which_the_coin_was_added(kind, tmp_path):
    """One at each full second, uncrossed, with the time it was received; no moment is called a gap."""
    async with collecting(kind, tmp_path) as (service, name):
        status = await service.collection.add_coin(COIN, name, ["book"])
        assert ["running"] == [each.state for each in status.channels]
        async with asyncio.timeout(20):
            while len(stored := await books(service, name)) < 3:
                await asyncio.sleep(0.05)  # it is in a file
        gaps = await service.gaps.find(SeriesId.of_book(name, COIN), EVER)

    assert [] == gaps
    assert [stored[0].timestamp + SECOND * each for each in range(len(stored))] == [each.timestamp for each in stored]
    assert {name} == {each.exchange for each in stored}
    for each in stored:
        assert each.data.bids[0][0] < each.data.asks[0][0]
        assert -2 * SECOND < each.data.received_at - each.timestamp < SECOND


@pytest.mark.parametrize("kind", ["native", "ccxt", Plugin, Background])
async def test_candles_are_stored_in_a_row_and_fetched_after_a_restart(kind, tmp_path):
    """Each closed candle once, in order; what closed while nothing ran is fetched."""
    channel = "candles:1m" if isinstance(kind, type) else "candles:1s"
    length = MINUTE if isinstance(kind, type) else SECOND

    async def table(service, name):
        return await service.candles.table(SeriesId.parse(name, COIN, channel), EVER, 100_000)

    client = kind() if isinstance(kind, type) else None
    async with offline("binance_spot") as sim:
        for wanted in (3, 8):
            async with service_of(sim, tmp_path, ccxt=config_of(sim, "binance_spot")) as service:
                if client is not None:
                    service.connector.registry.add_plugin(client)
                name = {"native": "binance", "ccxt": "ccxt.binance"}.get(kind, "acme")
                await service.collection.add_coin(COIN, name, [channel])
                async with asyncio.timeout(30):
                    while (stored := await table(service, name)).num_rows < wanted:
                        await asyncio.sleep(0.05)  # it is in a file

    opens = open_times(stored).tolist()
    received, sent = (times_of(stored, each) for each in TIMES)
    assert [opens[0] + length * each for each in range(len(opens))] == opens
    assert (kind == "native") == any(sent), "only an exchange's own messages have its time"
    assert any(received), "what was fetched after the restart has no time"
    assert all(abs(each - system_clock()) < 60 * SECOND for each in [*received, *sent] if each is not None)


@pytest.mark.parametrize("kind", [Plugin, Streaming])
async def test_a_plugin_whose_stream_ends_is_started_again_and_the_time_between_is_a_gap(kind, tmp_path):
    """The last book that came is not stored as that of later moments."""
    async with collecting(kind, tmp_path) as (service, name):
        await service.collection.add_coin(COIN, name, ["book"])
        client = service.connector.get_client(name)
        async with asyncio.timeout(20):
            while len(await books(service, name)) < 2:
                await asyncio.sleep(0.05)  # it is in a file
        client.failing = True
        await until(lambda: service.collection.list_coins()[0].channels[0].failures >= 2)
        failed_at = system_clock()
        client.failing = False
        async with asyncio.timeout(20):
            while (await books(service, name))[-1].timestamp < failed_at + SECOND:
                await asyncio.sleep(0.05)  # it is in a file
        stored = {each.timestamp for each in await books(service, name)}
        gaps = await service.gaps.find(SeriesId.of_book(name, COIN), EVER)

    assert gaps
    assert {GapKind.NOT_COLLECTED} == {gap.kind for gap in gaps}
    missing = [at for at in range(min(stored), max(stored), SECOND) if at not in stored]
    assert [] == [at for at in missing if not any(gap.start < at <= gap.end for gap in gaps)]


async def test_a_silent_plugin_has_no_valid_book(tmp_path):
    """A book that came longer than a minute ago is not stored as that of now."""
    ahead = 0
    series = SeriesId.of_book("acme", COIN)
    async with (
        offline("binance_spot") as sim,
        service_of(sim, tmp_path, clock=lambda: system_clock() + ahead) as service,
    ):
        service.connector.registry.add_plugin(Once())
        await service.collection.add_coin(COIN, "acme", ["book"])
        async with asyncio.timeout(20):
            while not await books(service, "acme"):
                await asyncio.sleep(0.05)  # it is in a file
        ahead = 90 * SECOND
        silent_from = system_clock() + ahead
        async with asyncio.timeout(20):
            while max((gap.end for gap in await service.gaps.find(series, EVER)), default=0) < silent_from:
                await asyncio.sleep(0.05)  # it is in a file
        assert max(each.timestamp for each in await books(service, "acme")) < silent_from


async def test_intervals_that_a_plugin_lacks_are_refused_before_anything_is_noted(tmp_path):
    """A client that takes no interval has candles of a minute alone."""
    async with collecting(Plugin, tmp_path) as (service, name):
        with pytest.raises(UnsupportedRequest, match="has only 1m candles, not 5m"):
            await service.collection.add_coin(COIN, name, ["candles:5m"])
        assert [] == service.collection.list_coins()


@pytest.mark.parametrize(
    ("exchange", "coin"),
    [("gate", "BTC/USDT:USDT-260327"), ("htx", "BTC/USD:BTC-260327"), ("htx_inverse", "BTC260327")],
)
async def test_order_books_that_an_exchange_does_not_send_are_refused_before_anything_is_noted(
    exchange, coin, tmp_path
):
    """These contracts have candles, which are polled, and no live books."""
    async with (
        SimServer(EXPIRING, exchanges=["gate_perpetual", "htx_inverse"], tick_s=0.05) as sim,
        service_of(sim, tmp_path) as service,
    ):
        with pytest.raises(UnsupportedRequest, match=r"no live order books of BTC.*, which expires"):
            await service.collection.add_coin(coin, exchange, ["candles:1m", "book"])
        assert [] == service.collection.list_coins()
        added = await service.collection.add_coin(coin, exchange, ["candles:1m"])
        assert ["running"] == [each.state for each in added.channels]


class Once(Bare, IExchangeAPIClient):
    """Its stream sends one order book."""

    async def stream(self, coin, callback):
        callback(coin, {"bids": [(1.0, 1.0)], "asks": [(2.0, 1.0)]})
        await asyncio.Event().wait()
