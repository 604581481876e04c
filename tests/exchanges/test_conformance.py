"""All adapters, one behaviour: each against the wire of the offline exchange. Adding an exchange adds no line here."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chandlery.adapter.books import BookSync, Link, Outcome, SnapshotSource
from chandlery.adapter.live import Channel
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import ChandleryError, InvalidSymbol, RequestRejected
from chandlery.core.gaps import Span
from chandlery.core.instrument import Instrument, MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND
from chandlery.sim.book import tick_of
from chandlery.sim.wire import Want
from fixtures.offline_adapter import OfflineAdapter, offline, same, streams, values_of
from fixtures.support import micros

EACH = pytest.mark.parametrize("exchange", offline())
NOW = micros(2025, 3, 12, 10, 20, 30) + 500_000


@EACH
@settings(max_examples=40)
@given(data=st.data())
def test_rest_pages_are_the_market(exchange, data):
    """Whatever the interval and ``[start, end)``: every candle that the market has, each once, none besides."""
    facing = OfflineAdapter(exchange, NOW)
    interval = data.draw(st.sampled_from(list(facing.adapter.intervals)))
    count = data.draw(
        st.integers(0, 2 * facing.adapter.page_size + 5) if interval.longest < DAY else st.integers(0, 30)
    )
    oldest = facing.adapter.oldest(interval, NOW) or micros(2023, 1, 1)
    end = data.draw(st.integers(oldest, NOW + interval.longest))
    start = max(interval.step(interval.floor(end), -count) + data.draw(st.integers(0, interval.longest)), oldest)
    span = Span(start, max(start, end))

    same(facing.pages(interval, span), facing.expected(interval, span))


@EACH
def test_everything_that_is_retained_can_be_had(exchange):
    """From the oldest candle that the exchange declares to have, up to the running one."""
    facing = OfflineAdapter(exchange, NOW)
    for interval in facing.adapter.intervals:
        oldest = facing.adapter.oldest(interval, NOW)
        if oldest is not None and interval.longest <= HOUR and interval.count(oldest, NOW) <= 10_000:
            span = Span(oldest, NOW)
            same(facing.pages(interval, span), facing.expected(interval, span))


@EACH
def test_live_candles_are_those_of_rest(exchange):
    """The running candle and each that has closed, on every stream, are equal to what REST says of them."""
    facing = OfflineAdapter(exchange, NOW)
    for stream in streams(facing):
        session = facing.open(Channel.CANDLES)
        assert () == tuple(
            row
            for message in facing.tell(session, facing.adapter.subscribe([stream]))
            for row in facing.adapter.live_rows(message)
            if row.candle.closed
        )
        (want,) = session.wants.values()
        assert stream.interval is want.interval
        grid = facing.adapter.grid(stream.interval)
        facing.now = grid.step(grid.floor(NOW)) + SECOND
        span = Span(grid.floor(NOW), facing.now + 1)
        market = facing.view.candles(facing.symbol, stream.interval, span, 10, newest=False)
        rows = [
            row
            for message in facing.frames(facing.wire.candles(session, want, market), want.key)
            for row in facing.adapter.live_rows(message)
        ]
        facing_rest = facing.pages(stream.interval, span)
        facing.now = NOW

        assert {(facing.native, stream.interval)} == {(row.symbol, row.interval) for row in rows}
        assert len(market) == len({row.candle.open_time for row in rows})
        latest = {row.candle.open_time: values_of(row.candle) for row in rows}
        for opened, values in latest.items():
            assert values[:5] == facing_rest[opened][:5]
            assert None in (values[5], facing_rest[opened][5]) or values[5] == facing_rest[opened][5]
        final = {each.open_time for each in market if each.closed}
        assert {row.candle.open_time for row in rows if row.candle.closed} <= final
        if facing.adapter.live_closes:
            closed = {row.candle.open_time: row.candle.closed for row in rows}
            assert {each.open_time: each.closed for each in market} == closed


@EACH
def test_leaving_a_stream_ends_it(exchange):
    """What is unsubscribed from is no longer sent; the others stay."""
    facing = OfflineAdapter(exchange, NOW)
    wanted = streams(facing)[: 1 if facing.adapter.socket.one_interval else 2]
    if wanted:
        session = facing.open(Channel.CANDLES)
        facing.tell(session, facing.adapter.subscribe(wanted))
        assert len(wanted) == len(session.wants)
        facing.tell(session, facing.adapter.subscribe(wanted[:1], leave=True))

        assert [each.interval for each in wanted[1:]] == [want.interval for want in session.wants.values()]


@EACH
def test_a_refused_subscription_is_an_error(exchange):
    """Where the exchange says no, the adapter says so; where it is silent, nothing is made up."""
    facing = OfflineAdapter(exchange, NOW)
    unknown = facing.native.replace("BTC", "NOSUCHCOIN").replace("XBT", "NOSUCHCOIN").replace("btc", "nosuchcoin")
    for stream in streams(facing)[:1]:
        session = facing.open(Channel.CANDLES)
        messages = facing.tell(session, facing.adapter.subscribe([type(stream)(unknown, stream.interval)]))
        with contextlib.suppress(RequestRejected, InvalidSymbol):
            assert [] == [row for message in messages for row in facing.adapter.live_rows(message)]


# --- order books -----------------------------------------------------------------------------------------------------


def book_messages(facing: OfflineAdapter, depth: int) -> tuple[Any, Want, BookSync]:
    """A connection that is subscribed to a book, and the book of it that has begun."""
    rule = facing.adapter.book_rule
    session = facing.open(Channel.BOOK)
    sync = BookSync(facing.native, rule, depth=depth)
    for message in facing.tell(session, facing.adapter.subscribe_book([facing.native], depth)):
        for update in facing.adapter.book_updates(message):
            sync.feed(update)
    (want,) = session.wants.values()
    tick = tick_of(facing.now)
    for message in facing.frames(
        facing.wire.book(session, want, facing.view.book(want.symbol, want.depth, tick), tick)
    ):
        for update in facing.adapter.book_updates(message):
            sync.feed(update)
    return session, want, sync


def snapshot(facing: OfflineAdapter, session: Any, sync: BookSync, depth: int) -> None:
    """Fetch the snapshot by the way that the rule names."""
    if facing.adapter.book_rule.snapshot is SnapshotSource.REST:
        body = facing.body(facing.adapter.book_request(facing.native, depth))
        sync.snapshot(facing.adapter.book_snapshot(facing.native, body))
    elif facing.adapter.book_rule.snapshot is SnapshotSource.MESSAGE:
        for message in facing.tell(session, [facing.adapter.book_message(facing.native, depth)]):
            for update in facing.adapter.book_updates(message):
                sync.feed(update)


def advance(facing: OfflineAdapter, session: Any, want: Want, ticks: int = 1) -> list[bytes]:
    """What the stream sends while so many ticks go by."""
    messages: list[bytes] = []
    for _ in range(ticks):
        before = tick_of(facing.now)
        facing.now += 100_000
        bids, asks = facing.view.changes(want.symbol, want.depth, before, before + 1)
        messages += facing.frames(facing.wire.changes(session, want, bids, asks, before, before + 1))
    return messages


def assert_right(facing: OfflineAdapter, want: Want, sync: BookSync) -> None:
    """The book is the market's."""
    state = facing.view.book(want.symbol, want.depth, tick_of(facing.now))
    assert sync.book is not None
    unit = size_unit(facing)
    assert [(float(p), unit(q)) for p, q in state.bids] == sync.book.bids(want.depth)
    assert [(float(p), unit(q)) for p, q in state.asks] == sync.book.asks(want.depth)


def size_unit(facing: OfflineAdapter) -> Callable[[str], float]:
    """How the exchange counts the sizes of a book: as it counts volume, of linear contracts in lots."""
    if facing.adapter.market_type is MarketType.FUTURES_USDT and facing.adapter.volume_unit == "contracts":
        return lambda text: float(facing.view.contracts(facing.symbol, text))
    if facing.adapter.market_type is MarketType.FUTURES_COIN and facing.adapter.volume_unit == "quote":
        return lambda text: float(text) * facing.view.contract_value(facing.symbol)
    return float


CHECKED_LEVELS = 10
"""The fewest levels a side that a checksum is made of."""
BOOKS = pytest.mark.parametrize("exchange", offline(lambda each: each.book_rule))


@BOOKS
def test_a_book_that_is_kept_is_the_market(exchange):
    """Snapshot and updates, at every depth that is offered, give the market's book after each message."""
    for depth in ExchangeRegistry.get(exchange).book_depths:
        facing = OfflineAdapter(exchange, NOW)
        session, want, sync = book_messages(facing, depth)
        early = advance(facing, session, want, 3)
        snapshot_taken = False
        for message in early:
            for update in facing.adapter.book_updates(message):
                sync.feed(update)
            if not snapshot_taken:
                snapshot(facing, session, sync, depth)
                snapshot_taken = True
        for _ in range(30):
            for message in advance(facing, session, want):
                for update in facing.adapter.book_updates(message):
                    assert sync.feed(update) in {Outcome.APPLIED, Outcome.STALE, Outcome.DUPLICATE}
            assert_right(facing, want, sync)
        assert all(abs(update_at(facing, each) - facing.now) < MINUTE for each in advance(facing, session, want))


def update_at(facing: OfflineAdapter, message: bytes) -> int:
    """The moment of a message, or now where it says none."""
    return max((update.at or facing.now for update in facing.adapter.book_updates(message)), default=facing.now)


@BOOKS
@settings(max_examples=25)
@given(data=st.data())
def test_a_damaged_stream_never_gives_a_wrong_book(exchange, data):
    """Messages lost, doubled, swapped, or with a wrong checksum: the book is right, or there is none."""
    facing = OfflineAdapter(exchange, NOW)
    rule = facing.adapter.book_rule
    if rule.link is Link.NONE and rule.checksum is None and not rule.per_connection:
        return  # every message is a whole book
    depth = data.draw(st.sampled_from(facing.adapter.book_depths))
    session, want, sync = book_messages(facing, depth)
    first = advance(facing, session, want)
    for update in (update for message in first for update in facing.adapter.book_updates(message)):
        sync.feed(update)
    snapshot(facing, session, sync, depth)
    start = tick_of(facing.now)
    sent: list[tuple[int, bytes]] = []
    for offset in range(1, 12):
        facing.wire.skew = int(rule.checksum is not None and data.draw(st.integers(0, 9)) == 0)
        sent += [(start + offset, message) for message in advance(facing, session, want)]
        facing.wire.skew = 0
    order = data.draw(st.permutations(range(len(sent)))) if data.draw(st.booleans()) else range(len(sent))
    lost = data.draw(st.sets(st.integers(0, len(sent) - 1), max_size=3))
    if rule.per_connection:
        return  # the numbers of the connection are watched by the feed
    for index in order:
        if index in lost:
            continue
        tick, message = sent[index]
        for update in facing.adapter.book_updates(message):
            if sync.feed(update) is Outcome.APPLIED and sync.book is not None:
                # A checksum alone proves as many levels as it is made of.
                proved = want.depth if rule.link is not Link.NONE else min(want.depth, CHECKED_LEVELS)
                state = facing.view.book(want.symbol, proved, tick)
                assert [float(price) for price, _ in state.bids] == [price for price, _ in sync.book.bids(proved)]


# --- what else is asked ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exchange", offline(lambda each: each.funding_page_size))
@settings(max_examples=20)
@given(data=st.data())
def test_funding_rates_are_the_market(exchange, data):
    """Every rate in ``[start, end)``, page by page, by time or by number, from the end that the exchange begins with."""
    facing = OfflineAdapter(exchange, NOW)
    adapter = facing.adapter
    start = data.draw(st.integers(micros(2024, 6, 1) // SECOND, NOW // SECOND)) * SECOND
    left = whole = Span(start, min(start + data.draw(st.integers(1, 400 * DAY // SECOND)) * SECOND, NOW))
    found: dict[int, float] = {}
    page = 0
    while left:
        page += 1
        rows = adapter.funding_rows(facing.body(adapter.funding_request(facing.native, left, page)))
        assert list(rows.open_time) == sorted(rows.open_time)
        fresh = {at: rate for at, rate in zip(rows.open_time, rows.funding_rate, strict=True) if left.holds(at)}
        found |= fresh
        if adapter.funding_by_page:
            if rows.last or rows.open_time[0] <= left.start:
                break
            continue
        if len(fresh) < adapter.funding_page_size:
            break
        left = Span(left.start, min(fresh)) if adapter.funding_newest_first else Span(max(fresh) + 1, left.end)
    market = {at // 1000 * 1000: float(rate) for at, rate in facing.view.funding(facing.symbol, whole)}

    assert market == found


@EACH
def test_the_clock(exchange):
    """To a second at least."""
    facing = OfflineAdapter(exchange, NOW)

    assert abs(facing.adapter.clock(facing.ask(facing.adapter.server_time_request())) - NOW) <= SECOND


@EACH
def test_instruments(exchange):
    """Each has a spelling that the adapter knows, is of its market, and says what a contract is worth."""
    facing = OfflineAdapter(exchange, NOW)
    listings = []
    cursor: str | None = None
    while True:
        page, cursor = facing.adapter.instruments(facing.body(facing.adapter.instruments_request(cursor)))
        listings += page
        if cursor is None:
            break

    assert facing.native in {each.symbol for each in listings}
    for each in listings:
        assert facing.adapter.symbol(each.symbol) == each.symbol
        assert facing.adapter.symbol(str(each.instrument)) == each.symbol
        assert facing.adapter.market_type is each.instrument.market
        assert (each.contract_size is None) == (facing.adapter.market_type is MarketType.SPOT)


@EACH
def test_an_unknown_symbol_is_an_error(exchange):
    """The exchange's own words for it become our error."""
    facing = OfflineAdapter(exchange, NOW)
    unknown = facing.native.replace("BTC", "NOSUCHCOIN").replace("XBT", "NOSUCHCOIN").replace("btc", "nosuchcoin")
    interval = next(iter(facing.adapter.intervals))
    span = Span(interval.step(interval.floor(NOW), -3), NOW)
    response = facing.ask(facing.adapter.candles_request(unknown, interval, span))
    error = facing.adapter.error(response)

    assert isinstance(error, InvalidSymbol)
    assert exchange in str(error)


@EACH
def test_other_markets_are_refused(exchange):
    """A spot symbol is none of a perpetual's, nor the other way round."""
    adapter = ExchangeRegistry.create(exchange)
    for text in ("BTC/USDT:USDT", "BTC/USD:BTC"):
        if Instrument.parse(text).market is not adapter.market_type:
            with pytest.raises(InvalidSymbol):
                adapter.symbol(text)
    with pytest.raises(InvalidSymbol):
        adapter.symbol("no symbol at all")


# --- damage ----------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8) | st.just("NaN"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of every node of a JSON value."""
    found = [path]
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        found += nodes(child, (*path, key))
    return found


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    """The value with one node replaced."""
    if not path:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], by)
    return copy


def damaged(data: st.DataObject, body: bytes) -> bytes:
    """A body with one node replaced, or, where it is no JSON, with a few bytes changed."""
    try:
        value = json.loads(body)
    except ValueError:
        raw = bytearray(body)
        for at in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
            raw[at] = data.draw(st.integers(0, 255))
        return bytes(raw)
    return json.dumps(replaced(value, data.draw(st.sampled_from(nodes(value))), data.draw(JSON))).encode()


@EACH
@settings(max_examples=60)
@given(data=st.data())
def test_damaged_candles_are_errors_or_numbers(exchange, data):
    """One node of an answer replaced by anything: columns of one length, or our error, and nothing else."""
    facing = OfflineAdapter(exchange, NOW)
    interval = Interval.MINUTE_1
    request = facing.adapter.candles_request(facing.native, interval, Span(NOW - 4 * MINUTE, NOW))
    response = facing.ask(request)
    body = damaged(data, response.body)
    try:
        error = facing.adapter.error(type(response)(response.status, response.headers, body))
        columns = facing.adapter.candles(body, interval) if error is None else None
    except ChandleryError:
        return
    if columns is not None:
        lengths = {len(getattr(columns, name)) for name in ("open_time", "open", "high", "low", "close", "volume")}
        assert 1 == len(lengths)
        assert np.array(columns.open_time, np.int64).size == len(columns.open_time)


@EACH
@settings(max_examples=60)
@given(data=st.data())
def test_damaged_live_messages_are_errors_or_numbers(exchange, data):
    """The same for the messages of the sockets."""
    facing = OfflineAdapter(exchange, NOW)
    for stream in streams(facing)[:1]:
        session = facing.open(Channel.CANDLES)
        answers = facing.tell(session, facing.adapter.subscribe([stream]))
        (want,) = session.wants.values()
        market = facing.view.candles(
            facing.symbol, stream.interval, Span(NOW - 2 * stream.interval.longest, NOW), 2, newest=True
        )
        message = data.draw(
            st.sampled_from(answers + facing.frames(facing.wire.candles(session, want, market), want.key))
        )
        asked, end, line = message.rpartition(b"\n") if facing.adapter.streams_lines else (b"", b"", message)
        message = asked + end + damaged(data, line)
        try:
            rows = facing.adapter.live_rows(message)
        except ChandleryError:
            continue
        assert all(isinstance(row.candle.open, float) and isinstance(row.interval, Interval) for row in rows)


@BOOKS
@settings(max_examples=60)
@given(data=st.data())
def test_damaged_book_messages_are_errors_or_numbers(exchange, data):
    """No level is anything but finite, no price is zero."""
    facing = OfflineAdapter(exchange, NOW)
    session, want, _ = book_messages(facing, facing.adapter.book_depths[0])
    message = damaged(data, data.draw(st.sampled_from(advance(facing, session, want, 3))))
    try:
        updates = facing.adapter.book_updates(message)
    except ChandleryError:
        return
    for update in updates:
        for price, size in (*update.bids, *update.asks):
            assert price > 0
            assert 0 <= size < float("inf")
            assert price < float("inf")
