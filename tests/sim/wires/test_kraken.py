"""The offline Kraken: its bounds, its names, its checksums."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND
from chandlery.sim.book import tick_of
from chandlery.sim.view import MarketView
from chandlery.sim.wire import Session, SimRequest
from chandlery.sim.wires.kraken import KrakenSpotWire
from fixtures.offline_adapter import MARKET
from fixtures.support import micros

NOW = micros(2025, 3, 12, 10, 20, 30)
VIEW = MarketView(MARKET, MarketType.SPOT, lambda: NOW)
WIRE = KrakenSpotWire(VIEW, ticks=lambda: 0.0)


def ask(path: str, **query: str) -> Any:
    """The body of an answer with the status 200."""
    reply = WIRE.answer(SimRequest("GET", f"/0/public/{path}", query, {}, b""))
    assert 200 == reply.status
    return json.loads(reply.body)


def tell(session: Session, **command: Any) -> list[Any]:
    """The answers to a command."""
    return [json.loads(WIRE.frame(each)) for each in WIRE.obey(session, json.dumps(command))]


def test_there_are_720_candles_whatever_is_asked():
    """The running one is the last of them, and ``last`` is the open of the one before."""
    result = ask("OHLC", pair="XBTUSD", interval="1", since="0")["result"]
    rows = result["XXBTZUSD"]

    assert 720 == len(rows)
    assert rows[-1][0] * SECOND == Interval.MINUTE_1.floor(NOW)
    assert result["last"] == rows[-2][0]


def test_since_is_exclusive_and_the_running_candle_always_there():
    """Candles open after it; one later than now leaves the running one."""
    opened = Interval.MINUTE_1.floor(NOW)
    since = (opened - 5 * MINUTE) // SECOND
    rows = ask("OHLC", pair="XBTUSD", since=str(since))["result"]["XXBTZUSD"]

    assert [opened // SECOND - 60 * back for back in (4, 3, 2, 1, 0)] == [row[0] for row in rows]
    assert 1 == len(ask("OHLC", pair="XBTUSD", since=str(NOW // SECOND + 1000))["result"]["XXBTZUSD"])


@pytest.mark.parametrize("name", ["XBTUSD", "XXBTZUSD", "BTC/USD", "XBT/USD"])
def test_bitcoin_has_several_names(name):
    """All of them are the market's BTCUSD."""
    assert "BTCUSD" == WIRE.symbol(name)


def test_pairs_without_a_class_keep_their_plain_name():
    """Only pairs of two old assets have the letters in front."""
    listed = ask("AssetPairs")["result"]

    assert {"XXBTZUSD", "XBTUSDT", "XETHZUSD", "SOLUSD"} <= set(listed)
    assert ("XBTUSD", "XBT/USD") == (listed["XXBTZUSD"]["altname"], listed["XXBTZUSD"]["wsname"])
    assert "XBT" == ask("Assets")["result"]["XXBT"]["altname"]


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("OHLC", {"pair": "NOSUCHUSD"}, "EQuery:Unknown asset pair"),
        ("OHLC", {"pair": "XBTUSD", "interval": "3"}, "EGeneral:Invalid arguments:interval"),
        ("OHLC", {"pair": "XBTUSD", "since": "yesterday"}, "EGeneral:Invalid arguments:since"),
        ("Depth", {}, "EQuery:Unknown asset pair"),
    ],
)
def test_refusals_have_the_status_200(path, query, said):
    """They stand in ``error``."""
    assert {"error": [said]} == ask(path, **query)


def test_an_unknown_path_and_failures_are_worded_alike():
    """With the status that they have."""
    unknown = WIRE.answer(SimRequest("GET", "/0/public/Nothing", {}, {}, b""))

    assert (404, b'{"error":["EGeneral:Unknown method"]}') == (unknown.status, unknown.body)
    assert b'{"error":["EAPI:Rate limit exceeded"]}' == WIRE.refusal(429).body
    assert b'{"error":["EService:Unavailable"]}' == WIRE.refusal(503).body


def test_a_snapshot_of_the_book_has_the_time_of_each_level():
    """As many levels as asked for."""
    book = ask("Depth", pair="XBTUSD", count="7")["result"]["XXBTZUSD"]

    assert [7, 7] == [len(book["asks"]), len(book["bids"])]
    assert NOW // SECOND == book["asks"][0][2]


def test_each_symbol_is_answered_for():
    """Subscriptions, refusals and the end of a subscription."""
    session = Session("/v2", {})
    params = {"channel": "ohlc", "symbol": ["BTC/USD", "NO/COIN"], "interval": 5, "snapshot": False}
    first, second = tell(session, method="subscribe", params=params, req_id=3)

    assert (True, "BTC/USD") == (first["success"], first["result"]["symbol"])
    assert (False, "Currency pair not supported NO/COIN") == (second["success"], second["error"])
    assert not tell(session, method="subscribe", params={**params, "symbol": ["BTC/USD"]})[0]["success"]
    assert not tell(session, method="subscribe", params={**params, "symbol": ["ETH/USD"], "interval": 7})[0]["success"]
    assert not tell(session, method="subscribe", params={"channel": "x", "symbol": ["ETH/USD"]})[0]["success"]
    assert ["ohlc/BTC/USD/5"] == list(session.wants)
    assert tell(session, method="unsubscribe", params=params)[0]["success"]
    assert {} == session.wants
    assert "pong" == tell(session, method="ping")[0]["method"]
    assert not tell(session, method="dance")[0]["success"]
    assert not json.loads(WIRE.frame(WIRE.obey(session, "no json")[0]))["success"]


def test_a_subscription_begins_with_past_candles():
    """The running one is the last; of whoever declines them none come."""
    for snapshot in (True, False):
        session = Session("/v2", {})
        params = {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 5, "snapshot": snapshot}
        _, *pushes = tell(session, method="subscribe", params=params)
        begins = [[each["interval_begin"] for each in push["data"]] for push in pushes]

        assert ["snapshot"] * snapshot == [push["type"] for push in pushes]
        assert all(len(each) == 20 and each == sorted(each) for each in begins)


def test_numbers_keep_their_digits_and_the_checksum_is_of_them():
    """Ten asks and ten bids, best first, without points and leading zeros; what falls out of the depth is not deleted."""
    session = Session("/v2", {})
    tell(session, method="subscribe", params={"channel": "book", "symbol": ["BTC/USD"], "depth": 10})
    (want,) = session.wants.values()
    tick = tick_of(NOW)
    state = VIEW.book("BTCUSD", 10, tick)
    (message,) = WIRE.book(session, want, state, tick)
    text = WIRE.frame(message)
    digits = "".join(f"{price}{size}".replace(".", "").lstrip("0") for price, size in state.asks[:1])

    assert f'"price":{state.bids[0][0]},"qty":{state.bids[0][1]}' in text
    assert digits.startswith(state.asks[0][0].replace(".", ""))
    whole = "".join(
        part.replace(".", "").lstrip("0") for side in (state.asks, state.bids) for row in side for part in row
    )
    assert zlib.crc32(whole.encode()) == json.loads(text)["data"][0]["checksum"]

    bids = [(f"{float(state.bids[-1][0]) - 1:.2f}", "0.00000"), (state.bids[0][0], "0.00000")]
    (update,) = WIRE.changes(session, want, bids, [], tick, tick)
    assert [state.bids[0][0]] == [f"{row['price']:.2f}" for row in json.loads(WIRE.frame(update))["data"][0]["bids"]]
    assert [] == list(WIRE.changes(session, want, bids[:1], [], tick, tick))


def test_a_connection_is_greeted_and_kept_alive():
    """The status comes at once, heartbeats to whoever has subscribed."""
    session = Session("/v2", {})

    assert "status" == WIRE.greeting(session)[0]["channel"]
    assert () == WIRE.heartbeat(session)
    tell(session, method="subscribe", params={"channel": "ohlc", "symbol": ["BTC/USD"]})
    assert [{"channel": "heartbeat"}] == WIRE.heartbeat(session)
    (want,) = session.wants.values()
    candles = VIEW.candles("BTCUSD", Interval.MINUTE_1, Span(NOW - 2 * MINUTE, NOW), 3, newest=True)
    (message,) = WIRE.candles(session, want, candles)
    sent = json.loads(WIRE.frame(message))["data"]

    assert "2025-03-12T10:20:00.000000000Z" == sent[-1]["interval_begin"]
    assert len(candles) == len(sent)
