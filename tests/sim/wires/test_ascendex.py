"""What the offline AscendEX answers, by its documentation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE
from chandlery.sim.book import tick_of
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.view import MarketView
from chandlery.sim.wire import Session, SimRequest, Want
from chandlery.sim.wires.ascendex import AscendexSpotWire
from fixtures.support import micros

NOW = micros(2025, 3, 12, 10, 20, 30)
VIEW = MarketView(SyntheticMarket(), AscendexSpotWire.market_type, lambda: NOW)
WIRE = AscendexSpotWire(VIEW, ticks=lambda: 0.0)


def ask(path: str, **query: object) -> tuple[int, dict[str, Any]]:
    """Status and content of an answer; ``from`` is spelled ``start``."""
    texts = {{"start": "from"}.get(key, key): str(value) for key, value in query.items()}
    reply = WIRE.answer(SimRequest("GET", f"/api/pro/v1/{path}", texts, {}, b""))
    return reply.status, json.loads(reply.body)


def opens(**query: object) -> list[int]:
    """The opens of a page of minutes, in minutes before now."""
    _, content = ask("barhist", symbol="BTC/USDT", interval="1", **query)
    return [(Interval.MINUTE_1.floor(NOW) - row["data"]["ts"] * 1000) // MINUTE for row in content["data"]]


def test_pages():
    """The latest first, both bounds inclusive; ten where nothing is said, five hundred at most."""
    to = (NOW - 5 * MINUTE) // 1000
    exact = (Interval.MINUTE_1.floor(NOW) - 7 * MINUTE) // 1000

    assert list(range(10)) == opens()
    assert list(range(5, 15)) == opens(to=to)
    assert [5, 6, 7] == opens(to=to, start=exact)
    assert [5, 6] == opens(to=to, start=exact + 1)
    assert [5, 6] == opens(to=to, start=exact, n=2)
    assert [5, 6, 7] == opens(to=to, start=exact, n=10)
    assert list(range(500)) == opens(start=0) == opens(n=1000)
    assert [] == opens(n=0)


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("barhist", {"symbol": "BTCUSDT", "interval": "1"}, 100008),
        ("barhist", {"interval": "1"}, 100001),
        ("barhist", {"symbol": "BTC/USDT", "interval": "3"}, 100006),
        ("barhist", {"symbol": "BTC/USDT", "interval": "1", "n": "x"}, 100013),
        ("exchange-info", {}, 100001),
        ("depth", {"symbol": "BTC-USDT"}, 100008),
    ],
)
def test_refusals_have_a_code_and_the_status_200(path, query, code):
    """The reason says the same in words."""
    status, content = ask(path, **query)

    assert (200, code) == (status, content["code"])
    assert content["reason"].isupper()


def test_other_paths():
    """Who asks for what is not there is told so; the rest is data below ``data``."""
    assert 404 == ask("nothing")[0]
    assert 429 == WIRE.refusal(429).status
    assert NOW // 1000 == ask("exchange-info", requestTime=1)[1]["data"]["requestReceiveAt"]
    assert 2_592_000_000 == ask("barhist/info")[1]["data"][-1]["intervalInMillis"]
    assert "BTC/USDT" in {each["symbol"] for each in ask("cash/products")[1]["data"]}
    book = ask("depth", symbol="BTC/USDT")[1]["data"]
    assert ("depth-snapshot", tick_of(NOW)) == (book["m"], book["data"]["seqnum"])


def tell(session: Session, **command: Any) -> list[Any]:
    """The answers to a message."""
    return list(WIRE.obey(session, json.dumps(command)))


def test_subscriptions():
    """Several symbols in one message, ten at most; wildcards end several."""
    session = Session("/0/api/pro/v1/stream", {})
    many = ",".join(["BTC/USDT"] * 11)

    assert [{"m": "connected", "type": "unauth"}] == list(WIRE.greeting(session))
    assert [{"m": "sub", "id": "a", "ch": "bar:1:BTC/USDT,ETH/USDT", "code": 0}] == tell(
        session, op="sub", id="a", ch="bar:1:BTC/USDT,ETH/USDT"
    )
    assert 0 == tell(session, op="sub", ch="depth:BTC/USDT")[0]["code"]
    assert 0 == tell(session, op="sub", ch="bar:60:BTC/USDT")[0]["code"]
    assert ["bar:1:BTC/USDT", "bar:1:ETH/USDT", "depth:BTC/USDT", "bar:60:BTC/USDT"] == list(session.wants)
    for channel, code in ((f"depth:{many}", 100005), ("bar:2:BTC/USDT", 100005), ("depth:BTCUSDT", 100008)):
        (refused,) = tell(session, op="sub", ch=channel)
        assert ("sub", code) == (refused["m"], refused["code"])
    tell(session, op="unsub", ch="bar:1:ETH/USDT")
    assert ["bar:1:BTC/USDT", "depth:BTC/USDT", "bar:60:BTC/USDT"] == list(session.wants)
    tell(session, op="unsub", ch="bar:*:BTC/USDT")
    assert ["depth:BTC/USDT"] == list(session.wants)


def test_pings_and_requests():
    """A ping has a pong in either direction; a snapshot has the number of its tick."""
    session = Session("/0/api/pro/v1/stream", {})
    (snapshot,) = tell(session, op="req", action="depth-snapshot", args={"symbol": "BTC/USDT"})

    assert ["ping"] == [each["m"] for each in WIRE.heartbeat(session)]
    assert [] == tell(session, op="pong")
    assert ["pong"] == [each["m"] for each in tell(session, op="ping")]
    assert ("depth-snapshot", tick_of(NOW), 50) == (
        snapshot["m"], snapshot["data"]["seqnum"], len(snapshot["data"]["bids"])
    )  # fmt: skip
    for message in ({"op": "req", "action": "x"}, {"op": 1}):
        (refused,) = tell(session, **message)
        assert ("error", 100005) == (refused["m"], refused["code"])


def test_updates_and_bars():
    """One number for each message of a symbol; a level that is gone has the size 0."""
    session = Session("/0/api/pro/v1/stream", {})
    book = Want("depth:BTC/USDT", "BTCUSDT", "BTC/USDT")
    (change,) = WIRE.changes(session, book, [("1.5", "0.00000")], [("1.6", "0.20000")], 7, 8)
    candles = VIEW.candles("BTCUSDT", Interval.HOUR_1, Span(0, NOW), 1, newest=True)
    (bar,) = WIRE.candles(session, Want("bar:60:BTC/USDT", "BTCUSDT", "BTC/USDT", Interval.HOUR_1), candles)

    assert {"ts": NOW // 1000, "seqnum": 8, "asks": [("1.6", "0.20000")], "bids": [("1.5", "0")]} == change["data"]
    assert ("bar", "BTC/USDT", "60") == (bar["m"], bar["s"], bar["data"]["i"])
    assert () == WIRE.book(session, book, VIEW.book("BTCUSDT", 50, 8), 8)
