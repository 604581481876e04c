"""Order books kept over real sockets, whatever happens to them."""

from __future__ import annotations

import asyncio
import time

import pytest
from msgspec import structs

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import (
    ChandleryError,
    Closed,
    InvalidInput,
    InvalidSymbol,
    RequestTimeout,
    UnknownName,
    UnsupportedRequest,
)
from chandlery.feed.audit import AuditKind
from chandlery.feed.backoff import PACE
from chandlery.feed.book_feed import BookGroup, LiveBook, OrderBookFeed
from chandlery.feed.events import Connected, Failed, Reconnecting, Rejected, Resynced, Resyncing
from chandlery.sim import Fault, FaultKind, SimServer, SyntheticMarket
from chandlery.sim.view import MarketView
from chandlery.sim.wires import wires
from fixtures.support import micros

MARKETS = pytest.mark.parametrize("exchange", ["binance_spot", "binance_perpetual", "binance_inverse"])
PAIR = {"binance_inverse": "BTC-USD"}
MARKET = SyntheticMarket()
SPEED = 10


class Fast:
    """A clock that runs ten times as fast as time."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self) -> int:
        return micros(2025, 3, 12, 10) + round((time.monotonic() - self._began) * SPEED * 1e6)


def offline(exchange, *faults):
    """The offline exchange, whose books change every 10 ms."""
    return SimServer(MARKET, exchanges=[exchange], clock=Fast(), tick_s=0.01, faults=faults)


def made(sim, exchange, **options):
    return OrderBookFeed(exchange, PAIR.get(exchange, "BTC-USDT"), endpoints=sim.endpoints, clock=sim.clock, **options)


def is_the_markets(feed):
    """Whether the book is the one that the market has at the book's own id."""
    book = feed.book
    wire = wires()["binance_spot" if feed.exchange == "shallow_spot" else feed.exchange]
    view = MarketView(MARKET, wire.market_type, lambda: 0)
    state = view.book(wire(view, ticks=lambda: 0.0).symbol(feed.symbol), 50, book.last)
    return [[(float(price), float(size)) for price, size in side] for side in (state.bids, state.asks)] == [
        book.bids(50),
        book.asks(50),
    ]


async def changes(feed, count, *, within_s=20.0):
    """So many changed books, each looked at; what came between them."""
    seen, between = 0, []
    async with asyncio.timeout(within_s):
        async for update in feed:
            if isinstance(update, LiveBook):
                assert not update.is_crossed
                assert is_the_markets(feed)
                seen += 1
                if seen == count:
                    break
            else:
                between.append(update)
    return between


@MARKETS
async def test_a_book_is_there_and_stays_right(exchange):
    """After ``start`` there is a book, and each that follows is the market's."""
    async with offline(exchange) as sim:
        feed = made(sim, exchange)
        assert feed.book is None
        async with feed:
            assert feed.ready
            assert [] == await changes(feed, 40)
            assert (0, 0) == (feed.audit.gaps, feed.audit.resyncs)
            assert feed.book.best_bid < feed.book.mid < feed.book.best_ask
    assert [] == sim.subscriptions[exchange]


@MARKETS
async def test_a_gap_is_mended_for_that_symbol_alone(exchange):
    """Updates that are lost make the book invalid until a new snapshot; another symbol's book goes on."""
    fault = Fault(FaultKind.SKIPPED_UPDATE, path="(?i)btc", after=5, times=3)
    async with offline(exchange, fault) as sim:
        group = BookGroup(exchange, endpoints=sim.endpoints, clock=sim.clock)
        broken = group.add(PAIR.get(exchange, "BTC-USDT"))
        whole = group.add(PAIR.get(exchange, "BTC-USDT").replace("BTC", "ETH"))
        async with group:
            events = await changes(broken, 60)
            await changes(whole, 5)
            audits = broken.audit, whole.audit

    kinds = [type(event) for event in events]
    assert kinds.count(Resyncing) == audits[0].gaps == kinds.count(Resynced) >= 1
    assert (0, 0) == (audits[1].gaps, audits[1].resyncs)
    gap = next(entry for entry in audits[0].entries if entry.kind is AuditKind.GAP)
    assert gap.came > gap.expected
    assert audits[0].invalid_ms(0) > 0


@MARKETS
@pytest.mark.parametrize("kind", [FaultKind.DUPLICATE, FaultKind.OUT_OF_ORDER, FaultKind.GARBAGE, FaultKind.DROP])
async def test_no_fault_gives_a_wrong_book(exchange, kind):
    """Doubled, swapped, unreadable, cut off: every book that is served is the market's."""
    fault = Fault(kind, path=exchange, probability=0.1, times=4)
    async with offline(exchange, fault) as sim, made(sim, exchange) as feed:
        events = await changes(feed, 60)
    kinds = {type(event) for event in events}

    if kind is FaultKind.DROP:
        assert {Reconnecting, Connected, Resynced} <= kinds
    elif kind is FaultKind.GARBAGE:
        assert Rejected in kinds


async def test_a_connection_that_is_lost_takes_the_book_with_it():
    """Between the loss and the next snapshot there is no book."""
    books = []
    async with offline("binance_spot", Fault(FaultKind.DROP, path="btc", after=10, times=1)) as sim:
        feed = made(sim, "binance_spot", on_update=lambda update: books.append((update, feed.book)))
        async with feed:
            await changes(feed, 40)
    lost = next(index for index, (update, _) in enumerate(books) if isinstance(update, Reconnecting))
    back = next(index for index, (update, _) in enumerate(books) if index > lost and isinstance(update, Resynced))

    assert all(book is None for _, book in books[lost:back])
    assert 1 == feed.audit.disconnects


async def test_a_snapshot_that_fails_is_asked_for_again():
    """The REST side may be down for a while; the book comes as soon as it is back."""
    fault = Fault(FaultKind.BAD_JSON, path="/depth", times=2)
    async with offline("binance_spot", fault) as sim, made(sim, "binance_spot") as feed:
        await changes(feed, 3)
        assert 3 == sum(path.startswith("/binance_spot/api/v3/depth") for _, path, _ in sim.log)


async def test_events_that_nobody_takes_are_bounded_and_counted():
    """A reader that sleeps keeps the latest events; what gave way is counted."""
    async with offline("binance_spot") as sim, made(sim, "binance_spot") as feed:
        reader = aiter(feed)
        for number in range(1010):
            feed.stream.say(Rejected(str(number), ""))
        kept = [await anext(reader) for _ in range(1000)]

    assert 10 == feed.dropped
    assert ["10", "1009"] == [kept[0].reason, kept[-1].reason]


async def test_an_arrow_table_of_the_top():
    """Bids then asks, best first, with symbol and id in the metadata."""
    async with offline("binance_spot") as sim, made(sim, "binance_spot") as feed:
        book = feed.book
        table, best, last = book.to_arrow(3), [book.best_bid, book.best_ask], str(book.last).encode()

    assert ["bid"] * 3 + ["ask"] * 3 == table["side"].to_pylist()
    assert [0, 1, 2] * 2 == table["level"].to_pylist()
    assert best == [table["price"][0].as_py(), table["price"][3].as_py()]
    assert {b"symbol": b"BTCUSDT", b"last": last}.items() <= table.schema.metadata.items()


async def test_mistakes_are_refused_at_once():
    """Unknown exchanges, symbols and depths, before anything is sent."""
    with pytest.raises(UnknownName):
        OrderBookFeed("nowhere_spot", "BTC-USDT")
    with pytest.raises(InvalidSymbol):
        OrderBookFeed("binance_spot", "BTC USDT")
    with pytest.raises(UnsupportedRequest, match="1000 levels, not 1001"):
        OrderBookFeed("binance_spot", "BTC-USDT", 1001)
    with pytest.raises(UnsupportedRequest):
        OrderBookFeed("binance_spot", "BTC-USDT", 0)


async def test_a_symbol_that_is_not_traded_fails_the_start():
    """The exchange's refusal is raised, and nothing stays open."""
    market = SyntheticMarket(symbols={})
    async with SimServer(market, exchanges=["binance_spot"]) as sim:
        feed = OrderBookFeed("binance_spot", "BTC-USDT", endpoints=sim.endpoints)
        with pytest.raises(ChandleryError, match="does not know the symbol"):
            await feed.start(timeout_s=10)

        assert [] == sim.subscriptions["binance_spot"]


async def test_a_start_in_vain_ends_in_time():
    """Nobody listens there: the time-out is kept, and the feed cannot be started again."""
    feed = OrderBookFeed(
        "binance_spot", "BTC-USDT", endpoints={"binance_spot": {"rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9"}}
    )
    began = time.monotonic()
    with pytest.raises(RequestTimeout):
        await feed.start(timeout_s=0.5)

    assert time.monotonic() - began < 5
    with pytest.raises(Closed):
        await feed.start()


async def test_what_a_callback_raises_ends_nothing():
    """It is counted and told to readers; the book goes on, and so does the callback."""
    seen = []

    def fail(update):
        seen.append(update)
        raise ValueError("no more")

    async with offline("binance_spot") as sim:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        feed = made(sim, "binance_spot", on_update=fail)
        events = aiter(feed)
        await feed.start()
        await changes(feed, 20)
        while not isinstance(update := await anext(events), Failed):
            pass
        assert feed.failures == len(seen) >= 20
        await feed.stop()

    assert Failed("on_update: ValueError: no more", 1) == update
    assert (0, 0) == (feed.audit.failures, feed.audit.resyncs)


@pytest.mark.parametrize("exchange", ["binance_spot", "bybit_spot", "htx_spot"])
async def test_feeds_come_and_go_while_the_group_runs(exchange):
    """One is added to the same connection and begins at once, another is removed; the rest go on."""
    async with offline(exchange) as sim:
        group = BookGroup(exchange, endpoints=sim.endpoints, clock=sim.clock)
        first = group.add("BTC-USDT")
        async with group:
            second = group.add("ETH-USDT")
            await second.start(timeout_s=20)
            await changes(second, 3)
            await changes(first, 3)
            with pytest.raises(InvalidInput, match="already"):
                group.add("ETH/USDT")
            group.remove(first)
            assert first.book is None
            await changes(second, 3)
            assert [second] == group.feeds
        assert 1 == first.audit.disconnects


async def test_a_book_that_is_crossed_begins_anew():
    """It is not served from then on; the audit names the reason, and a snapshot brings it back."""
    async with offline("binance_spot") as sim, made(sim, "binance_spot") as feed:
        await changes(feed, 5)
        book = feed.book
        assert not feed.stream.sync.follow([(book.best_ask, 1.0)], [], book.last + 1, book.last + 1, None, None)
        assert feed.book is None
        events = await changes(feed, 5)

    assert [Resyncing("crossed")] == [each for each in events if isinstance(each, Resyncing)]
    assert [AuditKind.CROSSED] == [each.kind for each in feed.audit.entries if each.kind is not AuditKind.VALID]
    assert Resynced in {type(each) for each in events}


@pytest.fixture
def shallow():
    """An exchange whose snapshots hold fifty levels, of a book that has more."""

    @ExchangeRegistry.register("shallow_spot")
    class Shallow(ExchangeRegistry.get("binance_spot")):
        """Binance with less."""

        book_depths = (50,)

    yield "shallow_spot"
    del ExchangeRegistry._adapters["shallow_spot"]


async def test_a_book_whose_prices_have_moved_far_is_renewed(shallow):
    """Levels that no message was about may be missing beyond the reach of the snapshot: a new one takes over, unseen."""
    async with offline("binance_spot") as sim:
        endpoints = {shallow: sim.endpoints["binance_spot"]}
        async with OrderBookFeed(shallow, "BTC-USDT", endpoints=endpoints, clock=sim.clock) as feed:
            async with asyncio.timeout(20):
                while not feed.audit.renewals:
                    await changes(feed, 5)
            events = await changes(feed, 10)

    assert [] == events
    assert (0, 0) == (feed.audit.gaps, feed.audit.resyncs)


async def test_a_whole_book_is_not_renewed():
    """Where the snapshot held every level that there was, none can be missing."""
    async with offline("binance_spot") as sim, made(sim, "binance_spot") as feed:
        await changes(feed, 150)

    assert 0 == feed.audit.renewals


@pytest.mark.parametrize(
    ("exchange", "kinds"), [("binance_spot", {AuditKind.DISCONNECTED}), ("htx_perpetual", {AuditKind.SILENT})]
)
async def test_a_socket_that_falls_silent(exchange, kinds):
    """REST is asked, or where it has no book the socket itself, before anybody trusts a book that has stood still."""
    fault = Fault(FaultKind.NO_DATA, path=exchange, after=30, times=1)
    async with offline(exchange, fault) as sim:
        group = BookGroup(
            exchange,
            endpoints=sim.endpoints,
            clock=sim.clock,
            pace=structs.replace(PACE, quiet_s=0.3, watch_every_s=0.1),
        )
        feed = group.add("BTC-USDT")
        async with group, asyncio.timeout(20):
            heard = 0
            async for update in feed:
                if kinds & {entry.kind for entry in feed.audit.entries} and isinstance(update, LiveBook):
                    heard += 1
                    if heard == 5:
                        break
