"""The REST client by itself."""

from __future__ import annotations

import re
from typing import ClassVar

import pytest
from aiohttp import web

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.layout import CandleLayout
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import InvalidSymbol, UnsupportedRequest
from chandlery.core.gaps import GapKind, Span
from chandlery.core.http import Request
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.query import DataProvider
from chandlery.core.time import SECOND, Unit
from chandlery.history.async_manager import AsyncDataSourceManager
from chandlery.history.interfaces import Resources
from chandlery.history.rest import RestDataClient
from chandlery.net.http import HttpClient
from chandlery.net.portal import shared_portal
from fixtures.support import at


@pytest.fixture
async def resources(exchange):
    """Connections to the offline exchange."""
    async with HttpClient() as http:
        yield Resources(http, exchange.server.clock, exchange.endpoints)


async def test_a_span_of_many_pages_comes_whole_and_closed(exchange, resources):
    """The running candle at its end is left out by the exchange's clock."""
    client = RestDataClient(symbol="BTCUSDT", interval=Interval.MINUTE_1, resources=resources)

    got = await client.fetch_span(Span(to_micros(at(2025, 3, 18)), to_micros(at(2025, 3, 21))))

    expected = exchange.expected(Interval.MINUTE_1, at(2025, 3, 18), at(2025, 3, 20, 12))
    assert expected["open_time"].tolist() == (got.table["open_time"].to_numpy().astype("int64") // 1000).tolist()
    assert expected["close"].tolist() == got.table["close"].to_pylist()


async def test_it_serves_other_series_over_the_same_connections(exchange, resources):
    """As the manager does with a client that it is given."""
    client = RestDataClient(symbol="BTCUSDT", interval=Interval.MINUTE_1, resources=resources)

    other = client.for_series("ETH/USDT", Interval.DAY_1)

    assert ("ETHUSDT", Interval.DAY_1) == (other.symbol, other.interval)
    assert client.shared is other.shared


def test_a_manager_uses_the_client_that_it_is_given(exchange):
    """For any series, over that client's connections."""
    resources = Resources(HttpClient(), exchange.server.clock, exchange.endpoints)
    client = RestDataClient(symbol="BTCUSDT", interval=Interval.MINUTE_1, resources=resources)

    frame = exchange.manager(rest_client=client).get_data("ETHUSDT", at(2025, 3, 18), at(2025, 3, 20), "1h")

    exchange.assert_same(frame, Interval.HOUR_1, at(2025, 3, 18), at(2025, 3, 20), symbol="ETHUSDT")
    assert resources.http.requests > 0
    shared_portal().run(resources.http.close())


def test_the_documented_synchronous_fetch(exchange):
    """A frame of the documented form, over connections of the client's own; closed by whoever opened them."""
    resources = Resources(HttpClient(), exchange.server.clock, exchange.endpoints)
    client = RestDataClient(symbol="BTCUSDT", interval=Interval.HOUR_1, resources=resources)

    frame = client.fetch(at(2024, 5, 1), at(2024, 5, 3))

    exchange.assert_same(frame, Interval.HOUR_1, at(2024, 5, 1), at(2024, 5, 3))
    assert ["rest"] == [each.source for each in frame.attrs["chandlery"].spans]
    client.close_sync()
    shared_portal().run(resources.http.close())


TOY = DataProvider.register("TOY")


class Toy(ExchangeAdapter):
    """Six places a row, seconds, newest first, no candle where nobody traded, two rows a page."""

    provider = TOY
    market_type = MarketType.SPOT
    rest_url = "http://127.0.0.1"
    ws_url = ""
    intervals: ClassVar = {Interval.HOUR_1: "60"}
    page_size = 2
    limits = ()
    sends_empty_candles = False
    rest_row = CandleLayout(0, 1, 2, 3, 4, 5, unit=Unit.SECONDS)

    native = re.compile("[A-Z]+")
    example = "GOLD"

    def spelled(self, instrument):
        return instrument.base

    def candles_request(self, symbol, interval, span):
        return Request(f"{self.rest_url}/candles", {"from": span.start // SECOND, "to": span.end // SECOND})

    def candle_rows(self, body):
        return self.rest_row.columns_of_json(body)

    def first_candle_request(self, symbol, interval):
        return Request(f"{self.rest_url}/candles", {"from": 0, "to": 2**40})

    def server_time_request(self):
        return Request(f"{self.rest_url}/time")

    def server_time(self, body):
        return int(body) * SECOND

    def error(self, response):
        return None


@pytest.fixture
def toy():
    """The exchange is known while a test needs it."""
    ExchangeRegistry.register("toy_spot")(Toy)
    yield
    ExchangeRegistry._adapters.pop("toy_spot")


async def test_an_exchange_that_sends_less_and_the_other_way_round(toy, tmp_path):
    """Newest first, no quote volume, no close: what is not sent is NaN, and a hole may be an hour without trades."""
    opens = [int(at(2024, 5, 1, hour).timestamp()) for hour in range(2, 12) if hour != 5]

    async def answer(request):
        start, end = int(request.query["from"]), int(request.query["to"])
        return web.json_response([[t, "2", "3", "1", "2", "7"] for t in reversed(opens) if start <= t < end])

    async def clock(_):
        return web.Response(text=str(int(at(2024, 5, 1, 12).timestamp())))

    app = web.Application()
    app.router.add_get("/candles", answer)
    app.router.add_get("/time", clock)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoints = {"toy_spot": {"rest": f"http://127.0.0.1:{runner.addresses[0][1]}"}}
    options = {
        "provider": TOY,
        "cache_dir": tmp_path,
        "endpoints": endpoints,
        "clock": lambda: to_micros(at(2024, 5, 1, 12)),
    }

    async with AsyncDataSourceManager(**options) as manager:
        frame = await manager.get_data("GOLD", at(2024, 5, 1), at(2024, 5, 1, 12), "1h", on_missing="report")
    await runner.cleanup()

    assert opens == [int(moment.timestamp()) for moment in frame.index]
    assert {(2.0, 3.0, 1.0, 2.0, 7.0)} == set(
        frame[["open", "high", "low", "close", "volume"]].itertuples(index=False, name=None)
    )
    assert frame["quote_asset_volume"].isna().all()
    assert at(2024, 5, 1, 2, 59, 59, 999999) == frame["close_time"].iloc[0]
    gaps = frame.attrs["chandlery"].gaps
    # It has candles of one length: no others show that it has not forgotten older ones.
    assert [GapKind.FETCH_FAILED, GapKind.NO_TRADES] == [gap.kind for gap in gaps]
    assert [
        Span(to_micros(at(2024, 5, 1)), to_micros(at(2024, 5, 1, 2))),
        Span(to_micros(at(2024, 5, 1, 5)), to_micros(at(2024, 5, 1, 6))),
    ] == [gap.span for gap in gaps]


def test_what_a_market_does_not_have_is_refused_at_once():
    """A symbol of another market, an interval that it lacks; nothing is opened."""
    with pytest.raises(InvalidSymbol, match="BTCUSD_PERP, BTC/USD:BTC or BTC-USD"):
        RestDataClient(symbol="BTCUSDT", interval=Interval.HOUR_1, market_type=MarketType.FUTURES_COIN)
    with pytest.raises(UnsupportedRequest, match="has no 1s candles"):
        RestDataClient(symbol="BTCUSDT", interval=Interval.SECOND_1, market_type=MarketType.FUTURES_USDT)
