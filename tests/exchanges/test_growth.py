"""Rows and objects may grow: what an exchange adds changes nothing, and what it leaves out is absent where it may be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import pytest

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.books import SnapshotSource
from chandlery.adapter.live import CandleStream, Channel
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import MalformedResponse
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, MINUTE
from chandlery.sim.book import tick_of
from fixtures.offline_adapter import OfflineAdapter, offline
from fixtures.support import micros

NOW = micros(2025, 3, 12, 10, 20, 30) + 500_000
MAPS = {("kraken_spot", "books"): "result", ("kraken_spot", "instruments"): "result"}
"""Objects whose keys are pairs, so that one more would be a pair more."""
BY_COLUMN = {("mexc_perpetual", "candles"), ("mexc_inverse", "candles")}
"""Whose rows come as one array for each column, or as one flat array, by REST, so that an appended element is data."""


class Case(NamedTuple):
    """Messages of one kind, and what reads one."""

    messages: list[bytes]
    read: Callable[[bytes], Any]
    grow_rows: bool = True


def grows(facing: OfflineAdapter, kind: Callable[[OfflineAdapter], Case]) -> bool:
    """Return whether an appended element is none of the data."""
    return (facing.adapter.id, kind.__name__) not in BY_COLUMN


def candles(facing: OfflineAdapter) -> Case:
    """A page by REST."""
    interval = Interval.MINUTE_1
    body = facing.body(facing.adapter.candles_request(facing.native, interval, Span(NOW - 4 * MINUTE, NOW)))
    return Case([body], lambda message: facing.adapter.candles(message, interval), grows(facing, candles))


def live_candles(facing: OfflineAdapter) -> Case:
    """What a subscription brings."""
    interval = next(iter(facing.adapter.live_intervals))
    session = facing.open(Channel.CANDLES)
    facing.tell(session, facing.adapter.subscribe([CandleStream(facing.native, interval)]))
    (want,) = session.wants.values()
    market = facing.view.candles(facing.symbol, interval, Span(NOW - 2 * interval.longest, NOW), 2, newest=True)
    return Case(facing.frames(facing.wire.candles(session, want, market), want.key), facing.adapter.live_rows)


def live_books(facing: OfflineAdapter) -> Case:
    """A subscription's first messages and the changes after them, and a snapshot where one is asked for on the socket."""
    depth = facing.adapter.book_depths[0]
    session = facing.open(Channel.BOOK)
    messages = facing.tell(session, facing.adapter.subscribe_book([facing.native], depth))
    (want,) = session.wants.values()
    tick = tick_of(facing.now)
    messages += facing.frames(facing.wire.book(session, want, facing.view.book(want.symbol, want.depth, tick), tick))
    facing.now += 100_000
    bids, asks = facing.view.changes(want.symbol, want.depth, tick, tick + 1)
    messages += facing.frames(facing.wire.changes(session, want, bids, asks, tick, tick + 1))
    if facing.adapter.book_rule is not None and facing.adapter.book_rule.snapshot is SnapshotSource.MESSAGE:
        messages += facing.tell(session, [facing.adapter.book_message(facing.native, depth)])
    return Case(messages, facing.adapter.book_updates)


def books(facing: OfflineAdapter) -> Case:
    """A snapshot by REST."""
    body = facing.body(facing.adapter.book_request(facing.native, facing.adapter.book_depths[0]))
    return Case([body], lambda message: [facing.adapter.book_snapshot(facing.native, message)], grows(facing, books))


def funding(facing: OfflineAdapter) -> Case:
    """A page of rates."""
    body = facing.body(facing.adapter.funding_request(facing.native, Span(NOW - 2 * DAY, NOW)))
    return Case([body], facing.adapter.funding_rows)


def instruments(facing: OfflineAdapter) -> Case:
    """The list, or its first page."""
    return Case([facing.body(facing.adapter.instruments_request())], facing.adapter.instruments)


KINDS = {each.__name__: each for each in (candles, live_candles, live_books, books, funding, instruments)}


def has(exchange: str, kind: str) -> bool:
    """Whether an exchange has that kind of data."""
    adapter = ExchangeRegistry.get(exchange)
    rest_books = bool(adapter.book_depths) and adapter.book_request is not ExchangeAdapter.book_request
    return {
        "live_candles": bool(adapter.live_intervals),
        "live_books": bool(adapter.book_depths),
        "books": rest_books,
        "funding": adapter.funding_page_size > 0,
    }.get(kind, True)


def cases(kinds: Iterable[str]) -> list[Any]:
    """Every exchange with each of these kinds that it has."""
    return [
        pytest.param(*each.values, kind, marks=each.marks)
        for each in offline()
        for kind in kinds
        if has(each.values[0], kind)
    ]


EVERY = pytest.mark.parametrize(("exchange", "kind"), cases(KINDS))


@cache
def case_of(exchange: str, kind: str) -> Case:
    """The messages, made once."""
    return KINDS[kind](OfflineAdapter(exchange, NOW))


_NUMBER = "\u2400"
"""Around a number that is carried as text."""


def parts(message: bytes) -> tuple[bytes, Any]:
    """What stands before the JSON of a message, as the stream of a line, and the JSON; ``None`` where it is none."""
    head, end, line = message.rpartition(b"\n")
    try:
        return head + end, json.loads(line, parse_float=lambda digits: f"{_NUMBER}{digits}{_NUMBER}")
    except ValueError:
        return message, None


def written(head: bytes, value: Any) -> bytes:
    """The message again, numbers with the digits that they had."""
    return head + json.dumps(value, ensure_ascii=False).replace(f'"{_NUMBER}', "").replace(f'{_NUMBER}"', "").encode()


def grown(value: Any, *, rows: bool) -> Any:
    """With an unknown key in each object and an element more in each row, which is an array that holds values."""
    if isinstance(value, dict):
        return {**{key: grown(each, rows=rows) for key, each in value.items()}, "x-new": {"added": [1, "2", None]}}
    if isinstance(value, list):
        is_row = bool(value) and not any(isinstance(each, dict | list) for each in value)
        return [*(grown(each, rows=rows) for each in value), *(["new"] if is_row and rows else [])]
    return value


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The key of every object, and the last place of every row, with ``*`` for each array on the way."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield (*path, key)
            yield from paths(each, (*path, key))
    elif isinstance(value, list) and value:
        if not any(isinstance(each, dict | list) for each in value):
            for width in range(1, len(value)):
                yield (*path, width)
        for each in value[:1]:
            yield from paths(each, (*path, "*"))


def without(value: Any, path: Sequence[Any]) -> Any:
    """What a path names left out everywhere: a key of objects, or all places of rows from a width on."""
    if not path:
        return value
    head, *rest = path
    if head == "*":
        return [without(each, rest) for each in value] if isinstance(value, list) else value
    if isinstance(head, int):
        return value[:head] if isinstance(value, list) else value
    if not isinstance(value, dict) or head not in value:
        return value
    if rest:
        return {**value, head: without(value[head], rest)}
    return {key: each for key, each in value.items() if key != head}


def plain(value: Any) -> Any:
    """Columns, candles, updates and listings as dictionaries and lists."""
    if hasattr(value, "__struct_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def lost(whole: Any, part: Any, name: str = "") -> set[str]:
    """The fields that are ``None`` in ``part`` and not in ``whole``; those that differ otherwise are called wrong."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return set().union(*(lost(whole[key], part[key], key) for key in whole))
    if part is None and whole is not None:
        return {name}
    if isinstance(whole, list) and isinstance(part, list) and len(whole) == len(part):
        return set().union(*(lost(one, other, name) for one, other in zip(whole, part, strict=True)))
    return set() if whole == part else {f"wrong {name}"}


@EVERY
def test_what_is_added_changes_nothing(exchange, kind):
    """An element more in each row and an unknown key in each object: the result is equal."""
    case = case_of(exchange, kind)
    for message in case.messages:
        head, value = parts(message)
        if value is None:
            added = message + b"\xb8\x3e\x01"  # a field 999 of protobuf
        else:
            more = grown(value, rows=case.grow_rows)
            if (exchange, kind) in MAPS:
                del more[MAPS[exchange, kind]]["x-new"]
            added = written(head, more)
        assert plain(case.read(message)) == plain(case.read(added))


OPTIONAL = {
    "candles": {"close_time", "quote_asset_volume", "count", "taker_buy_volume", "taker_buy_quote_volume", "closed"},
    "live_candles": {"quote_asset_volume", "count", "taker_buy_volume", "taker_buy_quote_volume", "at"},
    "live_books": {"at"},
    "books": {"at"},
    "instruments": {"tick_size", "lot_size"},
}
"""The fields that may be missing."""
ELSEWHERE = {
    ("binance", "live_books"): {"at"},
    ("kucoin", "live_books"): {"at"},
    ("gate", "candles"): {"quote_asset_volume"},
    ("gate", "instruments"): {"lot_size"},
    ("htx", "instruments"): {"lot_size"},
    ("hyperliquid", "instruments"): {"lot_size"},
    ("kraken", "instruments"): {"tick_size"},
}
"""What is said twice, or stands before what a row needs, or is known without, so that no place left out takes it away."""
TELLING = {"wrong closed", "wrong symbol"}
"""What else a candle may lack: the next one closes it then, and one of no symbol is nobody's."""


@pytest.mark.parametrize(("exchange", "kind"), cases(OPTIONAL))
def test_what_is_left_out_is_absent_or_an_error(exchange, kind):
    """Each key of the objects, and the places of the rows from the last one on: optional ones are ``None`` then."""
    case = case_of(exchange, kind)
    absent: set[str] = set()
    there: set[str] = set()
    for message in case.messages:
        head, value = parts(message)
        if value is None:
            continue  # protobuf, which has a test of its own
        whole = plain(case.read(message))
        listed = whole[0] if kind == "instruments" else whole
        rows = [row.get("candle", row) for row in (listed if isinstance(listed, list) else [listed])]
        there |= {name for name in OPTIONAL[kind] for row in rows if row.get(name)}
        for path in set(paths(value)):
            try:
                read = plain(case.read(written(head, without(value, path))))
            except MalformedResponse:
                continue
            if read != []:  # as of an answer to a command
                absent |= lost(whole, read)

    assert there - ELSEWHERE.get((exchange.split("_")[0], kind), set()) <= absent
    assert kind not in {"candles", "live_candles"} or absent <= OPTIONAL[kind] | TELLING
