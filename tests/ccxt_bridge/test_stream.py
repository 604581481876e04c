"""Streams of ccxt's exchanges: watched or polled, cut and mended, against the offline exchange."""

from __future__ import annotations

import asyncio

import pytest

from chandlery.core.errors import UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import Unit
from chandlery.feed.events import Connected, Reconnecting
from chandlery.sim.faults import Fault, FaultKind
from fixtures.candle_feed import FAST, truth
from fixtures.ccxt_accounts import held
from fixtures.offline_adapter import MARKET

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


async def heard(client, coin, enough, **options):
    """What a stream tells until it is enough: entries and events in their order."""
    told, over = [], asyncio.Event()

    def take(_, entry):
        told.append(entry)
        if enough(told):
            over.set()

    stream = await client.start_realtime_stream(coin, take, on_event=take, **options)
    async with asyncio.timeout(40):
        await over.wait()
    await stream.stop()
    return [each for each in told if isinstance(each, dict)], [each for each in told if not isinstance(each, dict)]


def closed(told):
    """The closed candles among what was told."""
    return [each for each in told if isinstance(each, dict) and each["closed"]]


def check(entries, symbol, interval):
    """Closed candles follow each other without a hole, and are the market's."""
    rows = closed(entries)
    opens = [Unit.MILLIS.micros(row["timestamp"]) for row in rows]
    assert opens == [opens[0] + place * interval.longest for place in range(len(opens))]
    known = truth(MARKET, symbol, interval, Span(opens[0], opens[-1] + 1))
    assert [(each.open, each.high, each.low, each.close) for each in known] == [
        tuple(row[name] for name in ("open", "high", "low", "close")) for row in rows
    ]


async def test_closed_candles_are_final(offline, client_of):
    """Watched candles: each closed one once, in order, as REST has it, and the running one in between."""
    async with offline("binance_spot") as sim, client_of(sim, "binance_spot") as client:
        entries, events = await heard(client, "BTC/USDT", lambda told: len(closed(told)) >= 4, interval="1s")

        check(entries, "BTCUSDT", Interval.SECOND_1)
        assert Connected(1) == events[0]
        assert {None} == {each["at"] for each in entries}, "ccxt gives none"
        assert all(0 <= each["received_at"] - each["timestamp"] < 40_000 for each in entries)


async def test_through_a_cut(offline, client_of):
    """
    A lost connection is told, and costs no candle: what was missed is fetched and told.

    It is lost several times in a row, since ccxt replaces one by itself that it loses while nobody waits for news.
    """
    fault = Fault(FaultKind.DROP, path="binance_spot", after=5, times=6)
    async with offline("binance_spot", faults=[fault]) as sim, client_of(sim, "binance_spot", pace=FAST) as client:

        def enough(told):
            up = next((place for place, each in enumerate(told) if each == Connected(2)), None)
            return up is not None and fault.used == fault.times and len(closed(told[up:])) >= 3

        entries, events = await heard(client, "BTC/USDT", enough, interval="1s")

        check(entries, "BTCUSDT", Interval.SECOND_1)
        changes = [each for each in events if isinstance(each, Connected | Reconnecting)]
        assert all(isinstance(each, Reconnecting) for each in changes[1::2])
        assert [Connected(place + 1) for place in range(len(changes[::2]))] == changes[::2]


async def test_what_cannot_be_watched_is_polled(offline, client_of):
    """Where ccxt.pro watches no candles they are asked for; the same promise holds."""
    async with offline("coinbase_spot") as sim:
        async with client_of(sim, "coinbase_spot") as client:
            assert not client.exchange.has.get("watchOHLCV")
            entries, _ = await heard(client, "BTC/USD", lambda told: len(told) >= 3, interval="1m")

        assert {"coinbase"} == {entry["exchange"] for entry in entries}
        assert any(not entry["closed"] for entry in entries)


@pytest.mark.parametrize("exchange", ["binance_spot", "kraken_spot", "okx_spot", "coinbase_spot"])
async def test_books_are_whole_and_uncrossed(exchange, offline, client_of):
    """A book of so many levels, best first, whose best bid lies below its best ask; a copy each time."""
    async with offline(exchange) as sim, client_of(sim, exchange) as client:
        symbol = held(exchange)["symbol"]

        def enough(told):
            return len({str(each["bids"]) for each in told if isinstance(each, dict)}) >= 3

        entries, _ = await heard(client, symbol, enough, channel="book", depth=3)

    assert {symbol} == {entry["symbol"] for entry in entries}
    for entry in entries:
        bids, asks = ([price for price, _ in entry[side]] for side in ("bids", "asks"))
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert bids[0] < asks[0]
        assert 3 == len(bids) == len(asks)


async def test_a_slow_callback_loses_no_closed_candle(offline, client_of):
    """While a callback takes its time, running candles are passed over, and closed ones are all told."""
    async with offline("binance_spot") as sim, client_of(sim, "binance_spot") as client:
        told, over = [], asyncio.Event()

        async def slow(_, entry):
            told.append(entry)
            await asyncio.sleep(0.7)  # it is slow
            if len(closed(told)) >= 5:
                over.set()

        stream = await client.start_realtime_stream("BTC/USDT", slow, interval="1s")
        async with asyncio.timeout(40):
            await over.wait()
        await stream.stop()

        check(told, "BTCUSDT", Interval.SECOND_1)


async def test_what_does_not_pass_ends_the_start(offline, client_of):
    """An interval that the exchange has not is refused; an exchange without candles, too."""
    async with offline("kraken_spot") as sim, client_of(sim, "kraken_spot") as client:
        with pytest.raises(UnsupportedRequest, match="kraken has no 1s candles"):
            await client.start_realtime_stream("BTC/USD", lambda *_: None, interval="1s")
