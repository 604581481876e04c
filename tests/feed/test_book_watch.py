"""The ages of live order books: too old for those who say how old one may be, silent, or only of a quiet market."""

from __future__ import annotations

import asyncio
import re
from math import inf

import pytest
from msgspec import structs

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.book import BookUpdate
from chandlery.core.errors import InvalidInput
from chandlery.core.time import HOUR, SECOND
from chandlery.feed.audit import AuditKind
from chandlery.feed.book_feed import BookGroup, LiveBook, OrderBookFeed
from chandlery.feed.book_stream import BookStream
from chandlery.feed.book_watch import ALIVE_WITHIN_S, BookWatch
from chandlery.feed.events import Outdated, Resynced
from chandlery.feed.network import NetworkClient
from chandlery.net.clock import system_clock
from chandlery.sim import SimServer, SyntheticMarket
from fixtures.candle_feed import FAST, Stopped

MARKET = SyntheticMarket()
SECOND_NS = 1_000_000_000


def offline(exchange="binance_spot", **options):
    """An exchange whose books change every ``tick_s``."""
    return SimServer(MARKET, exchanges=[exchange], **{"tick_s": 0.02} | options)


@pytest.mark.parametrize("exchange", ["binance_spot", "kraken_spot", "htx_spot"])
async def test_a_book_that_is_too_old_is_none_until_the_next_message(exchange):
    """That is published once each time; the message that makes it valid again comes with the book."""
    told = []
    symbol = "BTC/USD" if exchange == "kraken_spot" else "BTC-USDT"
    async with offline(exchange, tick_s=0.6) as sim:
        feed = OrderBookFeed(
            exchange,
            symbol,
            endpoints=sim.endpoints,
            max_age_s=0.2,
            on_update=lambda update: told.append((type(update), feed.ready, feed.book is not None)),
        )
        async with feed, asyncio.timeout(20):
            while sum(kind is Outdated for kind, *_ in told) < 3:
                await asyncio.sleep(0.02)  # the exchange's time passes

    kinds = "".join({Outdated: "o", Resynced: "r", LiveBook: "b"}.get(kind, "?") for kind, *_ in told)
    assert re.fullmatch("[^o]*(or(b+)){2}o.*", kinds)
    assert {(False, False)} == {tuple(states) for kind, *states in told if kind is Outdated}
    assert {(True, True)} == {tuple(states) for kind, *states in told if kind in {Resynced, LiveBook}}
    assert 3 == sum(each.kind is AuditKind.OUTDATED for each in feed.audit.entries)


async def test_without_a_bound_a_book_stays_valid():
    """However long nothing comes; its age tells."""
    async with offline(tick_s=30) as sim, OrderBookFeed("binance_spot", "BTC-USDT", endpoints=sim.endpoints) as feed:
        async with asyncio.timeout(20):
            while feed.book.age_ms < 400:
                await asyncio.sleep(0.02)
        assert feed.ready


async def test_a_book_goes_on_the_fast_way_after_it_was_too_old():
    """As soon as a message has made it valid."""
    ahead = 0
    async with offline() as sim:
        feed = OrderBookFeed(
            "binance_spot",
            "BTC-USDT",
            endpoints=sim.endpoints,
            clock=lambda: system_clock() + ahead,
            max_age_s=60,
        )
        async with feed, asyncio.timeout(20):
            ahead = HOUR
            feed.stream.look_at_age()
            assert not feed.ready
            (bundle,) = feed.group._bundles
            bundle.on_outdated(feed.stream)
            while not feed.ready:
                await asyncio.sleep(0.01)  # until the next message
            followed = feed.stream.sync.followed
            while feed.stream.sync.followed < followed + 3:
                await asyncio.sleep(0.01)  # until some more


@pytest.mark.parametrize("bound", [0, -1.0, float("nan")])
async def test_a_bound_that_is_none_is_refused(bound):
    """At once."""
    with pytest.raises(InvalidInput, match="max_age_s"):
        OrderBookFeed("binance_spot", "BTC-USDT", max_age_s=bound)


@pytest.mark.parametrize("off", [-HOUR, 0, HOUR])
async def test_the_first_book_has_the_exchanges_time_and_the_local_one(off):
    """Binance's snapshots of spot name no time: it is that of the request, by the exchange's clock, whatever the local one says."""
    first = []
    async with offline() as sim:
        feed = OrderBookFeed(
            "binance_spot",
            "BTC-USDT",
            endpoints=sim.endpoints,
            clock=lambda: system_clock() + off,
            on_update=lambda update: (
                first.append((update.at, update.received_at, update.age_ms, update.to_arrow(1)))
                if isinstance(update, LiveBook)
                else None
            ),
        )
        began = system_clock()
        async with feed, asyncio.timeout(20):
            while not first:
                await asyncio.sleep(0.01)  # until it is published
        ended = system_clock()
    at, received_at, age_ms, table = first[0]

    assert began - SECOND <= at <= ended
    assert began + off <= received_at <= ended + off
    assert 0 <= age_ms < 5000
    assert {b"at": str(at).encode(), b"received_at": str(received_at).encode()}.items() <= table.schema.metadata.items()
    assert feed.audit.entries[0].invalid_ms < 20_000


def test_an_age_that_cannot_be_told_is_infinite():
    """The clock was set back since the last message, or nobody notes messages."""
    now = [100 * SECOND_NS]
    book = LiveBook("X", clock=lambda: now[0])
    assert (None, inf) == (book.received_at, book.age_ms)

    book.received_ns = now[0]
    now[0] += SECOND_NS // 2
    assert (100 * SECOND, 500.0) == (book.received_at, book.age_ms)
    now[0] -= SECOND_NS
    assert inf == book.age_ms


def test_a_book_is_shown_by_its_best_prices():
    """In a line, and as a table in a notebook."""
    book = LiveBook("X", clock=lambda: SECOND_NS)
    assert "<LiveBook X bid None ask None, of unknown age>" == repr(book)

    book.apply(BookUpdate("X", [(1.5, 2.0), (1.0, 3.0)], [(1.75, 4.0)], is_snapshot=True))
    book.received_ns = SECOND_NS // 2
    assert "<LiveBook X bid 1.5 ask 1.75, 500 ms old>" == repr(book)
    assert "<td>2.0</td><td>1.5</td><td>1.75</td><td>4.0</td>" in book._repr_html_()
    assert "<td>3.0</td><td>1.0</td><td></td><td></td>" in book._repr_html_()


class Wire:
    """A connection whose frames the test makes."""

    def __init__(self):
        self.last_frame_at = None
        self.asked = 0

    def frame(self):
        """One more comes."""
        self.last_frame_at = asyncio.get_running_loop().time()

    def ask_for_life(self):
        """Count."""
        self.asked += 1


class Seen:
    """Does nothing about what is seen."""

    def on_silent(self, stream): ...

    def on_shallow(self, stream): ...

    def on_outdated(self, stream): ...

    def on_look_failed(self, stream, error):
        raise error


class Looks:
    """Sleeps, and counts how often."""

    def __init__(self):
        self.count = 0
        self._news = asyncio.Event()

    async def __call__(self, seconds):
        self.count += 1
        self._news.set()
        await asyncio.sleep(seconds)

    async def all_over_again(self):
        """Wait until what sleeps in between has looked at everything once more."""
        wanted = self.count + 2
        async with asyncio.timeout(10):
            while self.count < wanted:
                self._news.clear()
                await self._news.wait()


async def watched(clock, updates, frames):
    """Watch a book of so many updates, then so many frames that are about others; the book, the connection."""
    network = NetworkClient(ExchangeRegistry.create("binance_spot"), clock=clock)
    stream = BookStream(network, "X", 5, publish=lambda _: None, on_begun=lambda: None)
    stream.take_snapshot(BookUpdate("X", [(1.0, 1.0)], [(2.0, 1.0)], is_snapshot=True, last=0, at=0))
    wire = Wire()
    wire.frame()
    looks = Looks()
    watch = BookWatch(wire, {"X": stream}, Seen(), clock=clock, sleep=looks, pace=structs.replace(FAST, quiet_s=60))
    watch.listen(stream)
    task = asyncio.create_task(watch.silences())
    for number in range(1, updates + 1):
        await asyncio.sleep(0.01)  # updates come at a pace
        stream.take(BookUpdate("X", [(1.0, 1.0 + number)], [], first=number, last=number, at=number))
    for _ in range(frames):
        clock.now += SECOND
        await looks.all_over_again()
        wire.frame()
    await looks.all_over_again()
    task.cancel()
    await asyncio.wait({task})
    await network.close()
    return stream, wire


async def test_heartbeats_prove_a_quiet_book():
    """A book of which nothing has come yet is as young as its connection."""
    stream, _ = await watched(Stopped(1000 * SECOND), 0, 10)

    assert 10_000.0 == stream.held.age_ms
    assert stream.silent_s <= 1


async def test_heartbeats_prove_no_book_that_has_fallen_silent():
    """One that changed a hundred times a second and stands still is as old as its last message, whatever else comes."""
    stream, _ = await watched(Stopped(1000 * SECOND), 20, 30)

    assert 30_000.0 == stream.held.age_ms
    assert stream.silent_s >= 5


async def test_a_silence_that_the_clock_has_jumped_over_is_not_proved_by_what_came_before():
    """The frames before a suspension prove the time before it, not the one after it."""
    clock = Stopped(1000 * SECOND)
    stream, _ = await watched(clock, 0, 3)
    clock.now += HOUR
    assert stream.silent_s >= 3600
    clock.now -= 2 * HOUR
    assert inf == stream.silent_s


async def test_a_silent_connection_is_asked_for_a_frame():
    """By the ping of the protocol where the exchange has none of its own: the answer is a heartbeat."""
    assert ALIVE_WITHIN_S < 10
    for exchange in ("binance_spot", "mexc_spot"):
        async with offline(exchange, tick_s=30) as sim:
            group = BookGroup(exchange, endpoints=sim.endpoints)
            group.add("BTC-USDT")
            async with group, asyncio.timeout(20):
                (bundle,) = group._bundles
                before = bundle.connection.last_frame_at
                bundle.connection.ask_for_life()
                while bundle.connection.last_frame_at == before:
                    await asyncio.sleep(0.01)  # until it comes
                closing = asyncio.create_task(bundle.connection._connection.socket.close())
                await asyncio.sleep(0)  # it has said so, and is not closed yet
                bundle.connection.ask_for_life()
                await closing
        assert bundle.connection.last_frame_at is None
