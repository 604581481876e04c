"""Feeds of a group: none of them ends another, and none waits in silence."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager

import pytest
from msgspec import structs

from chandlery.adapter.books import BookRule
from chandlery.adapter.live import SocketRules
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import Closed, InvalidSymbol, RequestRejected, RequestTimeout
from chandlery.core.http import RateLimit
from chandlery.feed.audit import AuditKind
from chandlery.feed.book_feed import BookGroup, LiveBook
from chandlery.feed.candles_feed import FeedGroup
from chandlery.feed.events import Failed, Resynced
from chandlery.sim.faults import Fault, FaultKind
from chandlery.sim.server import SimServer, running
from fixtures.candle_feed import FAST, SPOT, Heard, everywhere, tasks_left
from fixtures.offline_adapter import first_example

MARKET = everywhere(12)
COINS = [f"C{number:03}" for number in range(12)]
EAGER = structs.replace(FAST, watch_every_s=0.01, quiet_s=5.0)
"""Looks after the books far more often than subscriptions are sent."""


def books(sim, exchange, base=None, **options):
    return BookGroup(exchange, endpoints={exchange: sim.endpoints[base or exchange]}, **{"pace": EAGER} | options)


async def both_change(*feeds, count=3):
    """Wait until each book has changed so often."""
    for feed in feeds:
        seen = 0
        async with asyncio.timeout(20):
            async for update in feed:
                seen += isinstance(update, LiveBook)
                if seen == count:
                    break


@pytest.mark.parametrize(
    ("exchange", "quote", "count"),
    [("htx_spot", "USDT", 11), ("coinbase_spot", "USD", 1), ("ascendex_spot", "USDT", 12)],
)
async def test_books_are_not_watched_before_they_are_subscribed_to(adapter_of, exchange, quote, count):
    """A watchdog that looks between two messages of the subscription ends nothing, however slow they go out."""
    rules = structs.replace(ExchangeRegistry.get(exchange).socket, per_message=1, messages=RateLimit(50, 1))
    adapter = adapter_of(exchange, socket=rules)
    async with SimServer(MARKET, exchanges=[exchange], tick_s=0.05) as sim:
        group = books(sim, adapter.id, exchange)
        feeds = [group.add(f"{coin}-{quote}") for coin in COINS[:count]]
        async with group:
            await both_change(*feeds)
            assert [True] * count == [feed.ready for feed in feeds]
            assert [0] * count == [feed.failures for feed in feeds]
    assert [] == tasks_left()


def breaks_for(method, symbol, times):
    """Wrap a method of an adapter that takes messages: it raises at those that name the symbol, so often."""
    left = [times]

    def wrapped(self, message):
        if symbol.encode() in bytes(message) and left[0]:
            left[0] -= 1
            raise KeyError(symbol)
        return method(self, message)

    return wrapped


async def test_a_message_that_cannot_be_handled_concerns_one_book(adapter_of):
    """An error of ours at one symbol's messages: its book begins anew, a growing pause later; the other goes on."""
    kind = ExchangeRegistry.get("bybit_spot")
    adapter = adapter_of("bybit_spot", book_updates=breaks_for(kind.book_updates, "ETHUSDT", 3))
    async with SimServer(MARKET, exchanges=["bybit_spot"], tick_s=0.02) as sim:
        group = books(sim, adapter.id, "bybit_spot")
        broken = group.add("ETH-USDT", on_update=(heard := Heard()))
        whole = group.add("BTC-USDT")
        async with group:
            await heard.until_event(Failed, 3)
            await both_change(broken, whole, count=10)
            assert (3, 0) == (broken.failures, whole.failures)
    last = max(each.at for each in broken.audit.entries if each.kind is AuditKind.FAILED)
    again = min(each.at for each in broken.audit.entries if each.kind is AuditKind.VALID and each.at > last)

    assert [Failed("KeyError: 'ETHUSDT'", count) for count in (1, 2, 3)] == heard.of(Failed)
    assert again - last > 10_000, "the third pause"
    assert 1 == whole.audit.resyncs + 1
    assert [] == tasks_left()


async def test_a_rule_that_fails_concerns_one_book(adapter_of):
    """A checksum that raises at one symbol's book: the other is valid all the time."""
    rule = ExchangeRegistry.get("kraken_spot").book_rule
    left = [2]

    def checksum(book):
        if "ETH" in book.symbol and left[0]:
            left[0] -= 1
            raise ZeroDivisionError
        return rule.checksum(book)

    adapter = adapter_of("kraken_spot", book_rule=structs.replace(rule, checksum=checksum))
    assert isinstance(adapter.book_rule, BookRule)
    async with SimServer(MARKET, exchanges=["kraken_spot"], tick_s=0.02) as sim:
        group = books(sim, adapter.id, "kraken_spot")
        broken, whole = group.add("ETH/USD", on_update=(heard := Heard())), group.add("BTC/USD")
        async with group:
            await heard.until_event(Resynced)
            await both_change(broken, whole, count=5)
    assert (2, 2) == (broken.failures, len(heard.of(Failed)))
    assert (0, 0) == (whole.failures, whole.audit.resyncs)


async def test_a_snapshot_that_fails_concerns_one_book(adapter_of):
    """An error of ours at what REST answers for one symbol: it is fetched again, and the other has its book at once."""
    kind = ExchangeRegistry.get(SPOT)
    left = [2]

    def book_snapshot(self, symbol, body):
        if symbol == "ETHUSDT" and left[0]:
            left[0] -= 1
            raise AttributeError("levels")
        return kind.book_snapshot(self, symbol, body)

    adapter = adapter_of(SPOT, book_snapshot=book_snapshot)
    async with SimServer(MARKET, exchanges=[SPOT], tick_s=0.02) as sim:
        group = books(sim, adapter.id, SPOT)
        broken, whole = group.add("ETH-USDT"), group.add("BTC-USDT")
        async with group:
            await both_change(broken, whole)
    assert (2, 0) == (broken.failures, whole.failures)


async def test_candles_that_cannot_be_handled_concern_one_series(sim_of, group_of, adapter_of):
    """An error of ours at one symbol's candles, live and by REST: it is filled anew; the other goes on."""
    kind = ExchangeRegistry.get(SPOT)
    adapter = adapter_of(SPOT, live_rows=breaks_for(kind.live_rows, "ETHUSDT", 2), live_shortcut=lambda *_: None)
    sim = await sim_of()
    group = group_of(sim, adapter=adapter)
    broken, whole = Heard(), Heard()
    feeds = [group.add("ETH-USDT", "1s", 10, on_update=broken), group.add("BTC-USDT", "1s", 10, on_update=whole)]
    await group.start()
    await broken.until_event(Failed, 2)
    await broken.until_closed(3)
    await whole.until_closed(3)

    assert (2, 0) == tuple(feed.failures for feed in feeds)
    assert [] == whole.of(Failed)


async def test_a_shortcut_that_fails_ends_nothing(sim_of, group_of, adapter_of):
    """The connection stays; what it was about is read the general way, and no candle is lost or told twice."""
    kind = ExchangeRegistry.get(SPOT)
    failed = []

    def live_shortcut(self, sinks, clock):
        take = kind.live_shortcut(self, sinks, clock)

        def broken(messages):
            yield from take(messages)
            failed.append(len(messages))
            raise KeyError("ours")

        return broken

    sim = await sim_of()
    group = group_of(sim, adapter=adapter_of(SPOT, live_shortcut=live_shortcut))
    heard = Heard()
    group.add("BTC-USDT", "1s", 20, on_update=heard)
    await group.start()
    await heard.until_closed(5)
    opens = [each.open_time for each in heard.closed]

    assert failed
    assert sorted(set(opens)) == opens
    assert 1 == group.sockets.bundles[0].connection.attempts


async def test_a_watchdog_that_fails_is_started_again(sim_of, group_of, adapter_of):
    """And the series go on meanwhile."""
    sim = await sim_of()
    group = group_of(sim)
    heard = Heard()
    group.add("BTC-USDT", "1s", 20, on_update=heard)
    await group.start()
    (bundle,) = group.sockets.bundles
    watchdogs, bundle._watchdogs = bundle._watchdogs, None
    await heard.until_event(Failed)
    bundle._watchdogs = watchdogs
    await heard.until_closed(3)


async def test_a_group_that_was_cancelled_from_outside_has_ended():
    """Iterations end, and it says that a new one is needed."""
    async with SimServer(MARKET, exchanges=[SPOT], tick_s=0.02) as sim:
        group = books(sim, SPOT)
        feed = group.add("BTC-USDT")
        await group.start()
        assert not group.ended
        (task,) = (each for each in asyncio.all_tasks() if each is group._task)
        task.cancel()
        async with asyncio.timeout(5):
            async for _ in feed:
                pass
        assert group.ended
        with pytest.raises(Closed):
            group.add("ETH-USDT")
        await group.stop()


@pytest.mark.parametrize("kind", [BookGroup, FeedGroup])
async def test_a_feed_that_is_removed_while_it_starts_is_not_waited_for(kind):
    """Its start raises at once, also where it began the group; that of the others goes on."""
    async with SimServer(MARKET, exchanges=[SPOT], tick_s=0.02) as sim:
        group = kind(SPOT, endpoints=sim.endpoints, pace=EAGER)
        first, second = group.add("BTC-USDT"), group.add("ETH-USDT")
        starting = asyncio.create_task(first.start())
        await asyncio.sleep(0)
        group.remove(first)
        with pytest.raises(Closed, match="BTCUSDT: removed"):
            await asyncio.wait_for(starting, 20)
        await second.start()
        third = group.add("SOL-USDT")
        starting = asyncio.create_task(third.start())
        await asyncio.sleep(0)
        group.remove(third)
        with pytest.raises(Closed, match="SOLUSDT: removed"):
            await asyncio.wait_for(starting, 1)
        assert second.ready
        await group.stop()


@pytest.mark.parametrize("kind", [BookGroup, FeedGroup])
@pytest.mark.parametrize("cleanly", [True, False])
def test_a_feed_whose_event_loop_has_ended_is_closed(kind, cleanly):
    """Neither ready nor to be started, or read, in another one."""
    with running(exchanges=[SPOT]) as sim:
        feed = kind(SPOT, endpoints=sim.endpoints).add("BTC-USDT")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(feed.start())
        assert feed.ready
        tasks = asyncio.all_tasks(loop)
        if cleanly:
            for each in tasks:
                each.cancel()
            loop.run_until_complete(asyncio.wait(tasks))
        for use in (feed.start, lambda: anext(aiter(feed))):
            with pytest.raises(Closed, match="event loop"):
                asyncio.run(_awaited(use))
        assert not asyncio.run(_ready(feed))
        if not cleanly:
            for each in tasks:
                each.cancel()
            loop.run_until_complete(asyncio.wait(tasks))
        loop.run_until_complete(feed.stop())
        loop.close()
        assert not feed.ready


async def _awaited(use):
    return await asyncio.wait_for(use(), 5)


async def _ready(feed):
    return feed.ready


@asynccontextmanager
async def refusing(status, words):
    """A server that answers everything with a status and a text; the endpoints that lead to it."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} No\r\nContent-Length: {len(words)}\r\nConnection: close\r\n\r\n"
        writer.write((head + words).encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield {"rest": f"http://{host}", "ws": f"ws://{host}"}
    finally:
        server.close()


@pytest.mark.parametrize("exchange", [each for each in ExchangeRegistry.names() if each != "tradestation"])
@pytest.mark.parametrize("status", [401, 404, 451])
async def test_a_handshake_that_is_refused_for_good_fails_the_start(exchange, status):
    """At once, with the status and the exchange's words, for books and for candles."""
    async with refusing(status, "not from here") as endpoints:
        for kind in [BookGroup, FeedGroup] if ExchangeRegistry.get(exchange).book_depths else [FeedGroup]:
            group = kind(exchange, endpoints={exchange: endpoints})
            group.add(first_example(group.network.adapter), on_update=(heard := Heard()))
            with pytest.raises(RequestRejected, match=str(status)):
                await asyncio.wait_for(group.start(), 5)
            assert heard.updates
    assert [] == tasks_left()


async def test_a_start_that_waits_says_for_what(caplog):
    """At once and again in the log, and in the time-out, whose cause is the error of the last attempt."""
    caplog.set_level(logging.WARNING, "chandlery")
    nowhere = {SPOT: {"rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9"}}
    group = BookGroup(SPOT, endpoints=nowhere, pace=FAST)
    group.add("BTC-USDT")
    starting = asyncio.create_task(group.start(timeout_s=2.5))
    async with asyncio.timeout(2):
        while f"{SPOT}: 127.0.0.1:9" not in caplog.text:
            await asyncio.sleep(0.02)
    with pytest.raises(
        RequestTimeout, match=r"no order book within 2\.5 s for BTCUSDT: 127\.0\.0\.1:9/ws: .*failed"
    ) as caught:
        await starting

    assert "Connect call failed" in str(caught.value.__cause__)
    assert "no order book after 2 s for BTCUSDT: 127.0.0.1:9" in caplog.text


async def test_a_request_that_is_tried_again_is_told_while_it_is(caplog, http_of):
    """The first failed attempt is logged, and is the cause of a time-out that comes before the last."""
    caplog.set_level(logging.WARNING, "chandlery")
    nowhere = {"htx_perpetual": {"rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9"}}
    group = FeedGroup("htx_perpetual", endpoints=nowhere, http=http_of(retry_count=50), pace=FAST)
    group.add("BTC-USDT", "1m")
    with pytest.raises(RequestTimeout, match=r"no history within 0\.5 s for BTC-USDT: GET 127\.0\.0\.1"):
        await group.start("polling", timeout_s=0.5)

    assert "htx_perpetual BTC-USDT 1m: the history is delayed: GET 127.0.0.1" in caplog.text


async def test_a_start_that_hears_nothing_at_all_says_so(sim_of, feed_of):
    """An exchange that neither answers nor refuses is named too."""
    sim = await sim_of(Fault(FaultKind.STALL, "klines", None, seconds=0.5))
    feed, _ = feed_of(sim)
    with pytest.raises(RequestTimeout, match=r"no history within 0\.3 s for BTCUSDT: nothing was refused"):
        await feed.start(timeout_s=0.3)


async def test_refusals_end_neither_the_connection_nor_another_book(adapter_of):
    """A book of a symbol that is not listed fails by itself, with the exchange's words, however often it is refused."""
    adapter = adapter_of("ascendex_spot", socket=SocketRules())
    async with SimServer(MARKET, exchanges=["ascendex_spot"], tick_s=0.05) as sim:
        group = books(sim, adapter.id, "ascendex_spot")
        good = group.add("BTC-USDT")
        async with group:
            for number in range(25):
                with pytest.raises((InvalidSymbol, RequestRejected), match=f"NOPE{number:02}/USDT"):
                    await group.add(f"NOPE{number:02}-USDT").start(timeout_s=20)
            await both_change(good)
            assert (0, 0, [good]) == (good.audit.disconnects, good.audit.resyncs, group.feeds)


async def test_a_socket_that_is_refused_fails_only_those_who_insist(sim_of, feed_of):
    """``websocket`` raises its reason; ``auto`` polls."""
    sim = await sim_of(
        Fault(FaultKind.SERVER_ERROR, "/ws", None, status=404), Fault(FaultKind.SLOW, "klines", None, seconds=0.2)
    )
    feed, _ = feed_of(sim)
    with pytest.raises(RequestRejected):
        await feed.start("websocket")
    feed, heard = feed_of(sim)
    await feed.start()
    await heard.until_closed(2, within_s=20)
