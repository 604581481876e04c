"""The offline Bitstamp: which bound wins, whole books, and what it says of what it does not know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND
from chandlery.sim.book import tick_of
from chandlery.sim.reply import Reply
from chandlery.sim.view import MarketView
from chandlery.sim.wire import Session, SimRequest
from chandlery.sim.wires.bitstamp import BitstampSpotWire
from fixtures.offline_adapter import MARKET
from fixtures.support import micros

NOW = micros(2025, 3, 12, 10, 20, 30)
VIEW = MarketView(MARKET, MarketType.SPOT, lambda: NOW)
WIRE = BitstampSpotWire(VIEW, ticks=lambda: 0.0, weight_limit=10**9)
LAST = Interval.MINUTE_1.floor(NOW)


def ask(path: str, **query: int | str) -> Reply:
    """The answer to a request."""
    texts = {name: str(value) for name, value in query.items()}
    return WIRE.answer(SimRequest("GET", f"/api/v2/{path}/", texts, {}, b""))


def opens(**query: int | str) -> list[int]:
    """The opens of candles of a minute."""
    rows = json.loads(ask("ohlc/btcusd", step=60, **query).body)["data"]["ohlc"]
    return [int(row["timestamp"]) * SECOND for row in rows]


def tell(session: Session, content: Any) -> list[Any]:
    """The answers to a message."""
    text = content if isinstance(content, str) else json.dumps(content)
    return [json.loads(WIRE.frame(each)) for each in WIRE.obey(session, text)]


def subscribe(channel: str, event: str = "bts:subscribe") -> dict[str, Any]:
    """A command."""
    return {"event": event, "data": {"channel": channel}}


def test_the_end_wins_over_the_start():
    """It is inclusive; without it candles begin at the start; without either they are the latest."""
    start, end = (LAST - 50 * MINUTE) // SECOND, (LAST - 10 * MINUTE) // SECOND

    assert [LAST - back * MINUTE for back in (12, 11, 10)] == opens(limit=3, start=start, end=end)
    assert [LAST - back * MINUTE for back in (50, 49, 48)] == opens(limit=3, start=start)
    assert [LAST - back * MINUTE for back in (2, 1, 0)] == opens(limit=3)
    assert 1000 == len(opens(limit=1000))


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ({"step": 60}, "limit", "Missing data for required field."),
        ({"step": 60, "limit": 1001}, "limit", "Must be between 1 and 1000."),
        ({"step": 61, "limit": 1}, "step", "Not a valid choice."),
        ({"step": "x", "limit": 1}, "step", "Not a valid integer."),
    ],
)
def test_what_is_wrong_is_named(query, field, words):
    """With the documented words."""
    reply = ask("ohlc/btcusd", **query)

    assert 400 == reply.status
    assert {field: [words]} == json.loads(reply.body)["reason"]


def test_unknown_paths_and_markets_are_pages():
    """As the exchange's server sends them; a ticker of an unknown market is that of all."""
    for path in ("ohlc/nosuch", "order_book/nosuch", "nothing", "nothing/at_all"):
        reply = ask(path, step=60, limit=1)
        assert (404, "text/html") == (reply.status, reply.headers["Content-Type"])
    assert len(VIEW.symbols()) == len(json.loads(ask("ticker/nosuch").body))
    assert "BTC/USD" == json.loads(ask("ticker/BTCUSD").body)["pair"]


def test_there_is_a_limit():
    """Of requests in ten minutes, with a code of its own."""
    wire = BitstampSpotWire(VIEW, ticks=lambda: 0.0, weight_limit=2)
    replies = [wire.answer(SimRequest("GET", "/api/v2/ticker/btcusd/", {}, {}, b"")) for _ in range(3)]

    assert [200, 200, 400] == [each.status for each in replies]
    assert "400.002" == json.loads(replies[2].body)["response_code"]


def test_books_come_whole_and_changes_apart():
    """By channel; each has the microsecond of its tick, and a book that rests sends nothing."""
    session = Session("", {})
    for channel in ("order_book_btcusd", "diff_order_book_btcusd"):
        (answer,) = tell(session, subscribe(channel))
        assert {"event": "bts:subscription_succeeded", "channel": channel, "data": {}} == answer
    tick = tick_of(NOW)
    whole, diff = session.wants.values()
    bids, asks = VIEW.changes("BTCUSD", 100, tick, tick + 1)
    (book,) = WIRE.changes(session, whole, bids, asks, tick, tick + 1)
    (changes,) = WIRE.changes(session, diff, bids, asks, tick, tick + 1)

    assert VIEW.book("BTCUSD", 100, tick + 1).bids == [tuple(each) for each in book["data"]["bids"]]
    assert bids == [tuple(each) for each in changes["data"]["bids"]]
    assert str((tick + 1) * 100_000) == book["data"]["microtimestamp"] == changes["data"]["microtimestamp"]
    assert () == WIRE.changes(session, whole, [], [], tick, tick + 1)
    assert () == WIRE.candles(session, whole, [])
    tell(session, subscribe("order_book_btcusd", "bts:unsubscribe"))
    assert [diff] == list(session.wants.values())


def test_what_is_unknown_is_acknowledged_or_an_error():
    """A symbol in small letters is acknowledged and silent; other text is an error; too long a message ends it all."""
    session = Session("", {})

    assert "bts:subscription_succeeded" == tell(session, subscribe("order_book_nosuch"))[0]["event"]
    assert {} == session.wants
    for wrong, words in (
        (subscribe("order_book_BTCUSD"), "Invalid channel provided."),
        (subscribe(""), "Bad subscription string."),
        ({"event": "bts:ping"}, "Bad subscription string."),
        ("{", "Incorrect JSON format."),
    ):
        assert {"code": None, "message": words} == tell(session, wrong)[0]["data"]
    assert "success" == tell(session, {"event": "bts:heartbeat"})[0]["data"]["status"]
    assert not session.cut
    tell(session, subscribe("order_book_" + "x" * 512))
    assert session.cut
