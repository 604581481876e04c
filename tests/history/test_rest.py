"""The REST client by itself."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chandlery.core.errors import InvalidSymbol, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import to_micros
from chandlery.history.interfaces import Resources
from chandlery.history.rest import RestDataClient
from chandlery.net.http import HttpClient
from chandlery.net.portal import shared_portal


def at(*parts):
    """A UTC datetime."""
    return datetime(*parts, tzinfo=UTC)


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


def test_what_a_market_does_not_have_is_refused_at_once():
    """A symbol of another market, an interval that it lacks; nothing is opened."""
    with pytest.raises(InvalidSymbol, match="BTCUSD_PERP, BTC/USD:BTC or BTC-USD"):
        RestDataClient(symbol="BTCUSDT", interval=Interval.HOUR_1, market_type=MarketType.FUTURES_COIN)
    with pytest.raises(UnsupportedRequest, match="has no 1s candles"):
        RestDataClient(symbol="BTCUSDT", interval=Interval.SECOND_1, market_type=MarketType.FUTURES_USDT)
