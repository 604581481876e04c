"""What every client keeps, whichever way it reaches the exchange: the published tests, and what ours promise besides."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from chandlery.ccxt_bridge.client import CCXTExchangeClient
from chandlery.clients.native import NativeExchangeClient
from chandlery.core.errors import Closed, InvalidRange, InvalidSymbol, UnknownInterval, WrongMarket
from chandlery.core.interval import Interval
from chandlery.testing import ClientTests
from fixtures.candle_feed import truth
from fixtures.offline_adapter import MARKET

SYNTHETIC = Path(__file__).parent.parent / "exchanges" / "synthetic"
FIELDS = {
    "exchange", "symbol", "interval", "timestamp", "open", "high", "low", "close", "volume",
    "quote_asset_volume", "count", "taker_buy_volume", "taker_buy_quote_volume", "closed", "received_at", "at",
}  # fmt: skip


class OurClientTests(ClientTests):
    """Clients of the offline Binance, spot alone; ``client_for`` makes one."""

    count = 2345

    def known(self, span):
        """The market's."""
        return truth(MARKET, "BTCUSDT", Interval.MINUTE_1, span)

    @pytest.fixture
    async def sim(self, offline):
        async with offline("binance_spot") as sim:
            yield sim

    @pytest.fixture
    async def client(self, sim, settings_of, limiter):
        async with self.client_for(sim, settings_of, limiter) as client:
            yield client

    async def test_every_field_is_there(self, client, sim, last):
        """Also where the exchange does not send it, and under any spelling of the coin."""
        (row,) = await client.fetch_historical_data("BTC-USDT", *last(1, sim.clock), "1m")

        assert FIELDS == set(row)
        assert "BTC/USDT" == row["symbol"]
        assert "binance" in client.get_exchange_name()

    async def test_a_symbol_that_is_none_and_one_of_another_market(self, client, sim, last):
        """The latter is an error of its own."""
        with pytest.raises(InvalidSymbol) as caught:
            await client.fetch_historical_data("nonsense!", *last(3, sim.clock))
        assert not isinstance(caught.value, WrongMarket)
        with pytest.raises(InvalidSymbol) as caught:
            await client.fetch_historical_data("NOPE/USDT", *last(3, sim.clock))
        assert not isinstance(caught.value, WrongMarket)
        with pytest.raises(WrongMarket):
            await client.fetch_historical_data("BTC/USDT:USDT", *last(3, sim.clock))

    async def test_bad_ranges(self, client, sim, last):
        """Naive moments and ranges that hold nothing are refused before anything is sent."""
        start, end = last(3, sim.clock)
        with pytest.raises(InvalidRange, match="time zone"):
            await client.fetch_historical_data("BTC/USDT", start.replace(tzinfo=None), end)
        with pytest.raises(InvalidRange):
            await client.fetch_historical_data("BTC/USDT", end, start)

    async def test_bad_intervals(self, client, sim, last):
        """What is no interval is refused."""
        with pytest.raises(UnknownInterval):
            await client.fetch_historical_data("BTC/USDT", *last(3, sim.clock), "7m")

    @pytest.mark.parametrize("channel", ["candles", "book"])
    async def test_a_stream_names_the_coin_as_it_was_asked_for(self, client, channel):
        """Entries have ccxt's spelling, every field, and as many levels as were asked for."""
        heard = Heard()
        stream = await client.start_realtime_stream("BTC-USDT", heard, channel=channel, depth=5)
        await heard.until(3)
        await stream.stop()

        assert {"BTC-USDT"} == {coin for coin, _ in heard.entries}
        assert {"BTC/USDT"} == {entry["symbol"] for _, entry in heard.entries}
        if channel == "book":
            assert all(len(entry[side]) == 5 for _, entry in heard.entries for side in ("bids", "asks"))
        else:
            assert all(set(entry) == FIELDS for _, entry in heard.entries)

    async def test_what_is_closed_says_so(self, client, sim, last):
        """It fetches nothing any more."""
        await client.close()
        with pytest.raises(Closed):
            await client.fetch_historical_data("BTC/USDT", *last(3, sim.clock))


class Heard:
    """The entries of a stream."""

    def __init__(self):
        self.entries = []
        self._news = asyncio.Event()

    def __call__(self, coin, entry):
        self.entries.append((coin, entry))
        self._news.set()

    async def until(self, count):
        async with asyncio.timeout(20):
            while len(self.entries) < count:
                self._news.clear()
                await self._news.wait()


class TestNative(OurClientTests):
    """Over adapters of ours."""

    def client_for(self, sim, settings_of, limiter):
        """The market's own client."""
        return NativeExchangeClient("binance_spot", settings_of(sim), limiter=limiter)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
class TestCCXT(OurClientTests):
    """Over ccxt."""

    def client_for(self, sim, settings_of, limiter):
        """Ccxt's class, told where the offline exchange is."""
        held = json.loads((SYNTHETIC / "binance_spot" / "ccxt.json").read_text())
        addresses = {old: new.format(**sim.endpoints["binance_spot"]) for old, new in held["urls"]}
        settings = settings_of(
            sim, endpoints={"binance": addresses}, options={"binance": held["options"]}, enable_rate_limit=False
        )
        return CCXTExchangeClient(settings.ccxt, "binance", limiter=limiter)
