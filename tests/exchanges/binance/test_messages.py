"""What Binance's sockets send, and the fast way through it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chandlery.core.book import BookUpdate
from chandlery.core.errors import MalformedResponse, RequestRejected
from chandlery.core.interval import Interval
from chandlery.exchanges.binance.markets import BinanceSpot

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-9, 2**53),
    st.just(10**20),
    st.text(max_size=3),
    st.sampled_from(["1.5", "nan", "inf", "1m"]),
)
BOOK = {"E": 5, "U": 3, "u": 4, "b": [["1.5", "2"]], "a": [["1.6", "0"]]}
LEVELS = st.lists(st.lists(st.sampled_from(["1.5", "0", "-1", "nan", "inf", 2, None]), max_size=3), max_size=3)
RIGHT = dict.fromkeys("ohlcvqVQ", "1.5") | {"t": 60_000, "i": "1m", "n": 2, "x": False}


@given(
    st.sampled_from([{}, {"error": {"code": 1, "msg": "no"}}, {"error": None}, {"error": 1}, {"s": 1}, {"k": None}]),
    st.dictionaries(st.sampled_from([*RIGHT, "zzz"]), VALUES, max_size=2),
    st.sampled_from(["AAAUSDT", "BBBUSDT", "CCCUSDT"]),
    st.sampled_from([None, b"", b"}", b"\xff", b"[]"]),
    st.booleans(),
)
def test_the_shortcut_of_klines(top, fields, symbol, garbage, takes):
    """A message whose only candle has a sink goes there, as ``live_rows`` reads it; any other is left alone."""
    told = []

    def sink(candle):
        told.append(candle)
        return takes

    adapter = BinanceSpot()
    take = adapter.live_shortcut(
        {"AAAUSDT": (Interval.MINUTE_1, sink), "BBBUSDT": (Interval.HOUR_1, sink)}, lambda: 7_000
    )
    message = garbage or json.dumps({"e": "kline", "E": 5, "s": symbol, "k": RIGHT | fields, **top}).encode()
    left = list(take([message]))
    wanted = [
        structs.replace(row.candle, received_at=7)
        for row in read(adapter.live_rows, message)
        if (row.symbol, row.interval) in {("AAAUSDT", Interval.MINUTE_1), ("BBBUSDT", Interval.HOUR_1)}
    ]

    assert repr(wanted) == repr(told)
    assert ([] if wanted and takes else [0]) == left


@given(st.lists(st.sampled_from(["1", "2", "other", "null", "broken", "half", "two"]), max_size=12))
def test_the_shortcuts_of_many_messages(kinds):
    """Those that nothing is wrong with are taken in order, and each other one is left before the next is looked at."""
    log = []

    def sink(candle):
        log.append(candle.close)
        return True

    def kline(close, symbol="AAAUSDT"):
        return json.dumps({"e": "kline", "s": symbol, "k": RIGHT | {"c": close}}).encode()

    special = {"null": b"{}", "broken": b"{", "half": b'{"s":[1', "two": b"{},{}", "other": kline("3", "BBBUSDT")}
    messages = [special.get(kind) or kline(kind) for kind in kinds]
    for place in BinanceSpot().live_shortcut({"AAAUSDT": (Interval.MINUTE_1, sink)}, lambda: 7_000)(messages):
        log += [row.candle.close for row in read(BinanceSpot().live_rows, messages[place]) if row.symbol == "AAAUSDT"]

    assert [float(kind) for kind in kinds if kind in {"1", "2"}] == log


@given(
    st.dictionaries(st.sampled_from([*BOOK, "pu", "zzz"]), st.one_of(VALUES, LEVELS), max_size=2),
    st.sampled_from(["AAAUSDT", "BBBUSDT"]),
    st.sampled_from([None, b"", b"}", b"\xff", b"[]", b'{"result":null,"id":1}']),
    st.booleans(),
)
def test_the_shortcut_of_books(fields, symbol, garbage, takes):
    """The same of updates, as ``book_updates`` reads them; levels with more places than two are left to that."""
    told = []

    def sink(bids, asks, first, last, previous, at):
        told.append(BookUpdate("AAAUSDT", bids, asks, first=first, last=last, previous=previous, at=at))
        return takes

    adapter = BinanceSpot()
    take = adapter.book_shortcut({"AAAUSDT": sink})
    message = garbage or json.dumps(BOOK | {"e": "depthUpdate", "s": symbol} | fields).encode()
    left = list(take([message]))
    wanted = [each for each in read(adapter.book_updates, message) if each.symbol == "AAAUSDT"]

    rows = [row for side in ("b", "a") if isinstance(fields.get(side), list) for row in fields[side]]
    is_wide = garbage is None and any(isinstance(row, list) and len(row) > 2 for row in rows)
    assert ([] if is_wide else wanted) == told
    assert ([] if wanted and takes and not is_wide else [0]) == left


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in ("n", "t") for value in (10**20, "99999999999999999999", "nan")]
    + [("o", value) for value in ("1e301", "nan", "inf", "-Infinity")],
)
def test_numbers_that_nothing_could_store_are_no_candle(name, value):
    """Neither by the shortcut nor by the general way."""
    adapter, told = BinanceSpot(), []
    message = json.dumps({"e": "kline", "s": "AAAUSDT", "k": RIGHT | {name: value}}).encode()
    assert [] == read(adapter.live_rows, message)
    list(adapter.live_shortcut({"AAAUSDT": (Interval.MINUTE_1, told.append)}, lambda: 7_000)([message]))

    assert [] == told


def read(reader, message):
    """What the general way finds in a message; nothing where it is refused."""
    try:
        return reader(message)
    except (MalformedResponse, RequestRejected):
        return []
