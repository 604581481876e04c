"""Clients of third parties, called with the arguments that their methods take."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from chandlery.clients.documented import MOST_WAITING, accepted, fetch_rows, start_stream
from chandlery.clients.interfaces import IExchangeAPIClient
from chandlery.clients.settings import Settings
from chandlery.clients.streaming import RealtimeStream
from chandlery.connector import DataSourceConnectorImpl
from chandlery.core.errors import Closed, IncompleteData, MalformedResponse, RequestTimeout, UnsupportedRequest
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE
from chandlery.net.clock import system_clock
from chandlery.tables.frame import open_times
from fixtures.candle_tables import candles

OPTIONS = {"channel": "candles", "interval": "1m", "depth": None, "on_event": None}
CANDLE = {"timestamp": 0, **dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0), "closed": True}
BOOK = {"bids": [(1.0, 1.0)], "asks": [(2.0, 1.0)]}
DAY = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


async def streamed(begin, count, **options):
    """The first entries that come of a stream, which is stopped then."""
    told, over = [], asyncio.Event()

    def take(coin, entry):
        told.append((coin, entry))
        if len(told) >= count:
            over.set()

    stream = await start_stream(begin, "BTC/USDT", take, name="acme", **OPTIONS | options)
    async with asyncio.timeout(10):
        await over.wait()
    await stream.stop()
    return told


def test_arguments_that_a_method_takes():
    """All by name, or those alone; an interval that would get lost is refused."""

    async def all_of_them(coin, callback, **options): ...

    async def two(coin, callback): ...

    async def some(coin, callback, *, interval="1m", depth=None): ...

    assert accepted(all_of_them, **OPTIONS) == OPTIONS
    assert {} == accepted(two, **OPTIONS)
    assert {"interval": "1m", "depth": None} == accepted(some, **OPTIONS)
    assert {} == accepted(two, interval=Interval.MINUTE_1)
    with pytest.raises(UnsupportedRequest, match="has only 1m candles, not 1h"):
        accepted(two, interval="1h")


async def test_rows_without_an_interval():
    """A client that takes none has candles of a minute."""

    async def fetch(coin, start_time, end_time):
        return [CANDLE]

    assert [{"interval": "1m", **CANDLE}] == await fetch_rows(fetch, "BTC/USDT", *DAY, "1m")
    with pytest.raises(UnsupportedRequest):
        await fetch_rows(fetch, "BTC/USDT", *DAY, "1d")


async def test_entries_are_completed_and_those_of_the_other_channel_left_out():
    """What a client cannot know is None."""

    async def begin(coin, callback):
        while True:
            await callback(coin, BOOK)
            await callback(coin, CANDLE)

    (coin, candle), _ = await streamed(begin, 2)
    (_, book), _ = await streamed(begin, 2, channel="book")

    assert "BTC/USDT" == coin == candle["symbol"] == book["symbol"]
    assert ("1m", None, None, None) == tuple(candle[name] for name in ("interval", "count", "quote_asset_volume", "at"))
    assert abs(candle["received_at"] - system_clock() // 1000) < 20_000
    assert abs(book.pop("received_at") - system_clock() // 1000) < 20_000
    assert {**BOOK, "symbol": "BTC/USDT", "timestamp": None, "sequence": None} == book


async def test_a_client_that_returns_a_stream():
    """Its own end ends ours, and is ended with ours."""
    ended = asyncio.Event()

    async def begin(coin, callback, *, channel):
        async def run():
            try:
                while True:
                    callback(coin, CANDLE)
                    await asyncio.sleep(0.01)
            finally:
                ended.set()

        return RealtimeStream("theirs", run())

    assert 2 == len(await streamed(begin, 2))
    async with asyncio.timeout(5):
        await ended.wait()


async def test_what_a_client_raises_ends_the_stream():
    """Before it has begun, and later."""

    async def at_once(coin, callback):
        raise RequestTimeout("acme: no answer")

    async def later(coin, callback):
        callback(coin, CANDLE)
        await asyncio.sleep(0.01)
        raise RequestTimeout("acme: no answer")

    with pytest.raises(RequestTimeout, match="no answer"):
        await start_stream(at_once, "BTC/USDT", lambda *_: None, name="acme", **OPTIONS)
    stream = await start_stream(later, "BTC/USDT", lambda *_: None, name="acme", **OPTIONS)
    with pytest.raises(RequestTimeout, match="no answer"):
        await stream.wait()


async def test_a_row_that_is_no_candle_ends_the_stream():
    """The message names what it lacks."""

    async def begin(coin, callback):
        callback(coin, {"timestamp": 0, "open": 1.0})

    with pytest.raises(MalformedResponse, match="it lacks high, low, close, volume, closed"):
        await start_stream(begin, "BTC/USDT", lambda *_: None, name="acme", **OPTIONS)


async def test_a_callback_that_is_too_slow():
    """So many candles wait and no more; of order books the latest alone."""

    async def begin(coin, callback):
        for size in range(MOST_WAITING + 2):
            callback(coin, CANDLE)
            callback(coin, BOOK | {"sequence": size})

    with pytest.raises(Closed, match="10000 candles wait for the callback, which is too slow"):
        await start_stream(begin, "BTC/USDT", lambda *_: None, name="acme", **OPTIONS)
    ((_, book),) = await streamed(begin, 1, channel="book")
    assert MOST_WAITING + 1 == book["sequence"]


async def test_a_client_that_takes_all_must_return_a_stream():
    """It has no other way to end."""

    async def begin(coin, callback, *, channel, interval, depth, on_event): ...

    with pytest.raises(MalformedResponse, match="returned no RealtimeStream but None"):
        await start_stream(begin, "BTC/USDT", lambda *_: None, name="acme", **OPTIONS)


async def test_a_client_with_the_documented_methods_of_the_past():
    """Its family is its package; it is closed, and has no streams."""

    class Acme(IExchangeAPIClient):
        def get_exchange_name(self):
            return "acme"

        async def check_coin_availability(self, coin_symbol):
            return True

        async def fetch_historical_data(self, coin_symbol, start_time, end_time, interval):
            return [{"interval": interval, **CANDLE}]

    assert Acme.__module__.partition(".")[0] == Acme.family
    async with DataSourceConnectorImpl(settings=Settings(_env_file=None, env_file=None)) as connector:
        connector.registry.add_plugin(Acme())
        assert [{"interval": "1h", **CANDLE}] == await connector.fetch_historical_data("acme", "BTC/USDT", *DAY, "1h")
        with pytest.raises(UnsupportedRequest, match="acme has no streams"):
            await connector.start_realtime_stream("acme", "BTC/USDT", lambda *_: None)


async def test_what_a_client_answers_beside_the_range_is_left_out():
    """Rows and gaps alike; of a gap that reaches out of the range, its part in it stays."""
    span = Span(10 * MINUTE, 20 * MINUTE)
    missing = [Gap(19 * MINUTE, 30 * MINUTE, GapKind.FETCH_FAILED, "b"), Gap(0, 11 * MINUTE, GapKind.FETCH_FAILED, "a")]

    class Acme(IExchangeAPIClient):
        def get_exchange_name(self):
            return "acme"

        async def fetch_historical_data(self, coin, start, end, interval="1m"):
            raise NotImplementedError

        async def fetch_candles(self, coin, start, end, interval="1m"):
            raise IncompleteData("cut off", data=candles(25, 0), missing=missing)

        async def check_coin_availability(self, coin):
            return True

    part = await Acme().fetch_part("BTC/USDT", span, Interval.MINUTE_1)

    assert [minute * MINUTE for minute in range(10, 20)] == open_times(part.table).tolist()
    assert [Span(10 * MINUTE, 11 * MINUTE), Span(19 * MINUTE, 20 * MINUTE)] == [each.span for each in part.gaps]
