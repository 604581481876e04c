"""What every client keeps, whichever way it reaches the exchange: one class of tests, inherited by each."""

from __future__ import annotations

import asyncio
import inspect
import json
from abc import abstractmethod
from datetime import timedelta
from pathlib import Path

import pytest

from chandlery.ccxt_bridge.client import CCXTExchangeClient
from chandlery.clients.interfaces import IExchangeAPIClient
from chandlery.clients.native import NativeExchangeClient
from chandlery.clients.rows import table_of_rows
from chandlery.core.errors import Closed, InvalidRange, InvalidSymbol, UnknownInterval, WrongMarket
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import MINUTE, Unit
from fixtures.candle_feed import truth
from fixtures.offline_adapter import MARKET

SYNTHETIC = Path(__file__).parent.parent / "exchanges" / "synthetic"
FIELDS = {
    "exchange", "symbol", "interval", "timestamp", "open", "high", "low", "close", "volume",
    "quote_asset_volume", "count", "taker_buy_volume", "taker_buy_quote_volume", "closed", "received_at", "at",
}  # fmt: skip


class IExchangeAPIClientTests:
    """The contract; ``client_for`` makes a client of the offline Binance, spot alone."""

    @abstractmethod
    def client_for(self, sim, settings, limiter):
        """A client that reaches that offline exchange."""

    @pytest.fixture
    async def sim(self, offline):
        async with offline("binance_spot") as sim:
            yield sim

    @pytest.fixture
    async def client(self, sim, settings_of, limiter):
        async with self.client_for(sim, settings_of, limiter) as client:
            yield client

    async def test_it_is_a_client(self, client):
        """It has a family and the exchange's name."""
        assert isinstance(client, IExchangeAPIClient)
        assert client.family
        assert "binance" in client.get_exchange_name()
        assert not inspect.isabstract(type(client))

    @pytest.mark.parametrize("coin", ["BTC/USDT", "BTC-USDT"])
    async def test_rows_are_the_market_s(self, client, sim, last, coin):
        """The rows of a range of several pages: every field, each closed candle once, oldest first, the market's."""
        start, end = last(2345, sim.clock)
        rows = await client.fetch_historical_data(coin, start, end, "1m")
        opens = [Unit.MILLIS.micros(row["timestamp"]) for row in rows]
        known = truth(MARKET, "BTCUSDT", Interval.MINUTE_1, Span(opens[0], opens[-1] + MINUTE))

        assert 2345 == len(rows)
        assert all(set(row) == FIELDS for row in rows)
        assert round(start.timestamp()) == opens[0] // 1_000_000
        assert [(each.open_time, each.open, each.high, each.low, each.close, each.volume) for each in known] == [
            (opened, *(row[name] for name in ("open", "high", "low", "close", "volume")))
            for opened, row in zip(opens, rows, strict=True)
        ]
        assert {("BTC/USDT", "1m", True)} == {(row["symbol"], row["interval"], row["closed"]) for row in rows}
        json.dumps(rows[0])

    async def test_rows_and_columns_agree(self, client, sim, last):
        """The columnar form holds the same candles."""
        span = last(30, sim.clock)
        table = await client.fetch_candles("BTC/USDT", *span)
        rows = await client.fetch_historical_data("BTC/USDT", *span)

        assert table_of_rows(rows).to_pandas().equals(table.replace_schema_metadata(None).to_pandas())
        part = await client.fetch_part("BTC/USDT", Span(*map(to_micros, span)), Interval.MINUTE_1)
        assert table.replace_schema_metadata(None).to_pandas().equals(part.table.to_pandas())
        assert not part.gaps

    async def test_the_running_candle_is_left_out(self, client, sim, last):
        """A range that reaches past now ends with the last candle that has closed."""
        start, end = last(3, sim.clock)
        rows = await client.fetch_historical_data("BTC/USDT", start, end + timedelta(minutes=5))

        assert all(Unit.MILLIS.micros(row["timestamp"]) + MINUTE <= sim.clock() for row in rows)
        assert len(rows) >= 3

    async def test_availability(self, client):
        """What is listed and trades is available; what is not listed is not."""
        assert await client.check_coin_availability("BTC/USDT")
        assert not await client.check_coin_availability("NOPE/USDT")

    @pytest.mark.parametrize(
        ("coin", "error"),
        [("NOPE/USDT", InvalidSymbol), ("nonsense!", InvalidSymbol)],
    )
    async def test_unknown_symbols(self, client, sim, last, coin, error):
        """A symbol that the exchange does not list is refused."""
        with pytest.raises(error) as caught:
            await client.fetch_historical_data(coin, *last(3, sim.clock))

        assert not isinstance(caught.value, WrongMarket)
        assert "\n" not in str(caught.value)

    async def test_a_symbol_of_another_market(self, client, sim, last):
        """A symbol that is one in another market is an error of its own."""
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
    async def test_streams(self, client, channel):
        """A stream calls back with the coin as it was asked for, until it is stopped; then never again."""
        told, enough = [], asyncio.Event()

        def take(coin, entry):
            told.append((coin, entry))
            if len(told) >= 3:
                enough.set()

        stream = await client.start_realtime_stream("BTC-USDT", take, channel=channel, depth=5)
        await asyncio.wait_for(enough.wait(), 20)
        await stream.stop()
        count, others, later = len(told), [], asyncio.Event()

        def take_later(_, entry):
            others.append(entry)
            if len(others) >= 3:
                later.set()

        stream = await client.start_realtime_stream("ETH-USDT", take_later, channel=channel, depth=5)
        await asyncio.wait_for(later.wait(), 20)
        await stream.stop()

        assert count == len(told)
        assert {"BTC-USDT"} == {coin for coin, _ in told}
        assert {"BTC/USDT"} == {entry["symbol"] for _, entry in told}
        if channel == "book":
            assert all(entry["bids"][0][0] < entry["asks"][0][0] for _, entry in told)
            assert all(len(entry["bids"]) == 5 for _, entry in told)
        else:
            assert all(set(entry) == FIELDS for _, entry in told)

    async def test_closing(self, client, sim, last):
        """Closing ends the streams; what is closed says so, and closing again is nothing."""
        stream = await client.start_realtime_stream("BTC/USDT", lambda *_: None)
        await client.close()
        await client.close()

        assert not stream.running
        with pytest.raises(Closed):
            await client.fetch_historical_data("BTC/USDT", *last(3, sim.clock))


class TestNative(IExchangeAPIClientTests):
    """Over adapters of ours."""

    def client_for(self, sim, settings_of, limiter):
        """The market's own client."""
        return NativeExchangeClient("binance_spot", settings_of(sim), limiter=limiter)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
class TestCCXT(IExchangeAPIClientTests):
    """Over ccxt."""

    def client_for(self, sim, settings_of, limiter):
        """Ccxt's class, told where the offline exchange is."""
        held = json.loads((SYNTHETIC / "binance_spot" / "ccxt.json").read_text())
        addresses = {old: new.format(**sim.endpoints["binance_spot"]) for old, new in held["urls"]}
        settings = settings_of(
            sim, endpoints={"binance": addresses}, options={"binance": held["options"]}, enable_rate_limit=False
        )
        return CCXTExchangeClient(settings.ccxt, "binance", limiter=limiter)
