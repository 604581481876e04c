"""The offline MEXC, spot: its bounds, its page, its pushes."""

from __future__ import annotations

import json

import pytest

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE
from chandlery.exchanges.mexc.protobuf import read_push
from chandlery.sim.book import tick_of
from chandlery.sim.view import MarketView
from chandlery.sim.wire import Session, SimRequest
from chandlery.sim.wires.mexc.spot import MexcSpotWire
from fixtures.offline_adapter import MARKET
from fixtures.support import micros

NOW = micros(2025, 3, 12, 10, 20, 30)
OPENED = Interval.MINUTE_1.floor(NOW) // 1000
VIEW = MarketView(MARKET, MarketType.SPOT, lambda: NOW)
WIRE = MexcSpotWire(VIEW, ticks=lambda: 0.0)


def ask(path: str, **query: str):
    """Status and body of an answer."""
    reply = WIRE.answer(SimRequest("GET", path, query, {}, b""))
    return reply.status, json.loads(reply.body)


def tell(session: Session, method: str, *params: str) -> str:
    """What is said to a command."""
    (answer,) = WIRE.obey(session, json.dumps({"method": method, "params": params}))
    return answer["msg"]


def test_the_end_is_exclusive_and_the_start_is_not():
    """The close time is the next open."""
    minute = MINUTE // 1000
    bounds = {"startTime": str(OPENED - 3 * minute), "endTime": str(OPENED - minute)}
    status, rows = ask("/api/v3/klines", symbol="BTCUSDT", interval="1m", **bounds)

    assert 200 == status
    assert [OPENED - 3 * minute, OPENED - 2 * minute] == [row[0] for row in rows]
    assert [row[0] + minute for row in rows] == [row[6] for row in rows]


def test_a_page_has_500_candles_whatever_is_asked():
    """Without bounds the latest, the running one among them."""
    _, rows = ask("/api/v3/klines", symbol="BTCUSDT", interval="1m", limit="1000")

    assert (500, OPENED) == (len(rows), rows[-1][0])
    assert 2 == len(ask("/api/v3/klines", symbol="BTCUSDT", interval="60m", limit="2")[1])


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"symbol": "NOSUCHUSDT", "interval": "1m"}, -1121),
        ({"symbol": "BTCUSDT", "interval": "8h"}, -1120),
        ({"symbol": "BTCUSDT", "interval": "1m", "startTime": "now"}, 600),
    ],
)
def test_refusals_have_a_code(query, code):
    """And the status 400."""
    status, body = ask("/api/v3/klines", **query)

    assert (400, code) == (status, body["code"])


def test_an_unknown_path_and_failures_are_worded_alike():
    """With the status that they have."""
    assert (404, 404) == (ask("/api/v3/nothing")[0], ask("/api/v3/nothing")[1]["code"])
    assert 429 == json.loads(WIRE.refusal(429).body)["code"]
    assert 503 == WIRE.refusal(503).status


def test_a_book_has_the_tick_as_its_id():
    """As many levels as asked for."""
    _, book = ask("/api/v3/depth", symbol="BTCUSDT", limit="5")

    assert (tick_of(NOW), 5, 5) == (book["lastUpdateId"], len(book["bids"]), len(book["asks"]))


def test_an_answer_repeats_what_it_is_about():
    """Refusals as well, with the code 0; there is room for 30 streams."""
    session = Session("/ws", {})
    name = "spot@public.kline.v3.api.pb@BTCUSDT@Min1"

    assert name == tell(session, "SUBSCRIPTION", name)
    assert "Not Subscribed" in tell(session, "SUBSCRIPTION", name.replace("BTC", "NOSUCH"))
    assert "Not Subscribed" in tell(session, "SUBSCRIPTION", name.replace("Min1", "Min7"))
    assert "Not Subscribed" in tell(session, "SUBSCRIPTION", "spot@public.deals.v3.api.pb@BTCUSDT")
    assert [name] == list(session.wants)
    tell(session, "UNSUBSCRIPTION", name)
    assert {} == session.wants
    assert "PONG" == tell(session, "PING")
    assert 1 == WIRE.obey(session, "no json")[0]["code"]
    names = [
        f"spot@public.kline.v3.api.pb@{symbol}@{interval}"
        for symbol in VIEW.symbols()
        for interval in ("Min1", "Min5", "Min15", "Min30")
    ]
    tell(session, "SUBSCRIPTION", *names[:30])
    assert "Not Subscribed" in tell(session, "SUBSCRIPTION", names[30])


def test_data_are_protobuf():
    """A candle of which the name of the stream says the interval, and changes with their versions."""
    session = Session("/ws", {})
    tell(session, "SUBSCRIPTION", "spot@public.kline.v3.api.pb@BTCUSDT@Min1")
    tell(session, "SUBSCRIPTION", "spot@public.aggre.depth.v3.api.pb@100ms@BTCUSDT")
    line, book = session.wants.values()
    candles = VIEW.candles("BTCUSDT", Interval.MINUTE_1, Span(NOW - MINUTE, NOW), 2, newest=True)
    pushes = [read_push(WIRE.frame(each)) for each in WIRE.candles(session, line, candles)]
    tick = tick_of(NOW)
    bids = [(VIEW.book("BTCUSDT", 1, tick).bids[0][0], "0.00000")]
    (change,) = (read_push(each) for each in WIRE.changes(session, book, bids, [], tick, tick + 1))

    assert [OPENED // 1000] == [each.publicSpotKline.windowStart for each in pushes]
    assert {"Min1"} == {each.publicSpotKline.interval for each in pushes}
    assert (str(tick + 1), str(tick + 1)) == (change.publicAggreDepths.fromVersion, change.publicAggreDepths.toVersion)
    assert ["0"] == [each.quantity for each in change.publicAggreDepths.bids]


def test_the_list_of_symbols_says_their_digits():
    """And is empty of contracts, which another market has."""
    _, info = ask("/api/v3/exchangeInfo")

    assert "BTCUSDT" in {each["symbol"] for each in info["symbols"]}
    assert [] == ask("/api/v1/contract/detail")[1]["data"]
    assert {} == ask("/api/v3/ping")[1]
