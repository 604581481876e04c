"""What the offline Gate.io answers, by its documentation."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND
from chandlery.sim.book import tick_of
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.view import MarketView
from chandlery.sim.wire import Session, SimRequest, Want
from chandlery.sim.wires.gate.contracts import GateInverseWire, GatePerpetualWire
from chandlery.sim.wires.gate.spot import GateSpotWire
from fixtures.support import micros

NOW = micros(2025, 3, 12, 10, 20, 30)
MARKET = SyntheticMarket()


def wire(kind: Any = GateSpotWire, **options: Any) -> Any:
    """A market of the offline exchange."""
    return kind(MarketView(MARKET, kind.market_type, lambda: NOW), ticks=lambda: 0.0, **options)


def ask(of: Any, path: str, headers: dict[str, str] | None = None, **query: object) -> tuple[int, Any]:
    """Status and content of an answer; ``from`` is spelled ``start``."""
    texts = {{"start": "from"}.get(key, key): str(value) for key, value in query.items()}
    reply = of.answer(SimRequest("GET", path, texts, headers or {}, b""))
    return reply.status, json.loads(reply.body)


def test_a_page_without_bounds_is_the_latest_hundred():
    """Rows are strings, oldest first, and the last of them is not closed."""
    status, rows = ask(wire(), "/spot/candlesticks", currency_pair="BTC_USDT", interval="1m")

    assert (200, 100) == (status, len(rows))
    assert str(NOW // SECOND - 30) == rows[-1][0]
    assert ["true"] * 99 + ["false"] == [row[7] for row in rows]
    assert all(float(row[4]) <= float(row[5]) <= float(row[3]) for row in rows)


def test_both_bounds_are_inclusive():
    """From and to are opens that are both in the answer; a start between two opens names the later one."""
    opened = micros(2025, 3, 12) // SECOND

    def opens(start: int, to: int) -> list[int]:
        _, rows = ask(wire(), "/spot/candlesticks", currency_pair="BTC_USDT", interval="5m", start=start, to=to)
        return [int(row[0]) for row in rows]

    assert [opened, opened + 300, opened + 600] == opens(opened, opened + 600)
    assert [opened + 300] == opens(opened + 1, opened + 599)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"limit": 10, "to": 1}, "limit conflicts"),
        ({"limit": 1001}, "`limit` value: 1001"),
        ({"start": NOW // SECOND - 1000 * 60, "to": NOW // SECOND}, None),
        ({"start": NOW // SECOND - 1001 * 60, "to": NOW // SECOND}, "Maximum 1000 data points"),
        ({"start": NOW // SECOND - 10_001 * 60, "to": NOW // SECOND - 10_000 * 60}, "Maximum 10000 points"),
        ({"interval": "3m"}, "`interval` value: 3m"),
        ({"start": "soon"}, "`from` value: soon"),
    ],
)
def test_what_is_refused(query, said):
    """A limit beside bounds, more than a page, what is too old, and what is no value."""
    status, content = ask(wire(), "/spot/candlesticks", **{"currency_pair": "BTC_USDT", "interval": "1m", **query})

    assert (200 if said is None else 400) == status
    assert said is None or (said in content["message"] and "INVALID_PARAM_VALUE" == content["label"])


def test_unknown_symbols_and_paths():
    """Pairs and contracts have labels of their own."""
    contracts = "/futures/btc/candlesticks"

    assert "INVALID_CURRENCY_PAIR" == ask(wire(), "/spot/candlesticks", currency_pair="BTCUSDT")[1]["label"]
    assert "MISSING_REQUIRED_PARAM" == ask(wire(), "/spot/candlesticks")[1]["label"]
    assert "CONTRACT_NOT_FOUND" == ask(wire(GateInverseWire), contracts, contract="ETH_USD")[1]["label"]
    status, content = ask(wire(), contracts)
    assert (404, "NOT_FOUND") == (status, content["label"])


def test_the_header_turns_sizes_into_strings():
    """Without it they are whole numbers; an inverse contract is 1 USD."""
    perpetual, inverse = wire(GatePerpetualWire), wire(GateInverseWire)
    path, query = "/futures/usdt/candlesticks", {"contract": "BTC_USDT", "interval": "1h", "limit": 1}
    (plain,), (decimal,) = (ask(perpetual, path, headers, **query)[1] for headers in ({}, {"x-gate-size-decimal": "1"}))

    assert str(plain["v"]) == decimal["v"]
    assert isinstance(plain["v"], int)
    (row,) = ask(inverse, "/futures/btc/candlesticks", contract="BTC_USD", interval="1h", limit=1)[1]
    assert 0 == row["v"] % 100
    (contract,) = ask(inverse, "/futures/btc/contracts")[1]
    assert ("BTC_USD", "inverse", "0") == (contract["name"], contract["type"], contract["quanto_multiplier"])


def test_two_hundred_requests_of_a_path_in_ten_seconds():
    """Each path is counted by itself; the headers say what is left."""
    of = wire(weight_limit=2)
    answers = [of.answer(SimRequest("GET", "/spot/time", {}, {}, b"")) for _ in range(3)]

    assert [200, 200, 429] == [each.status for each in answers]
    assert ["1", "0", "0"] == [each.headers["X-Gate-RateLimit-Requests-Remain"] for each in answers]
    assert 200 == of.answer(SimRequest("GET", "/spot/currency_pairs", {}, {}, b"")).status


def test_funding_rates_come_latest_first():
    """A page that is too short for its span holds the latest of it; bounds are inclusive seconds."""
    of = wire(GatePerpetualWire)
    start, end = micros(2025, 3, 1) // SECOND, micros(2025, 3, 3) // SECOND

    def moments(**query: int) -> list[int]:
        return [row["t"] for row in ask(of, "/futures/usdt/funding_rate", contract="BTC_USDT", **query)[1]]

    every = [end - 8 * 3600 * turn for turn in range(7)]
    assert every == moments(start=start, to=end)
    assert every[:3] == moments(start=start, to=end, limit=3)
    assert 100 == len(moments())


def test_a_book_begins_with_all_of_it_on_version_2_alone():
    """The older channel has no snapshot; a stream is subscribed to once."""
    of, session = wire(GatePerpetualWire), Session("/usdt", {})

    def tell(channel: str, *payload: str, event: str = "subscribe") -> Any:
        text = json.dumps({"time": 1, "id": 7, "channel": channel, "event": event, "payload": payload})
        (answer,) = of.obey(session, text)
        return answer

    assert {"status": "success"} == tell("futures.obu", "ob.BTC_USDT.50")["result"]
    assert "Alert sub ob.BTC_USDT.50" == tell("futures.obu", "ob.BTC_USDT.50")["error"]["message"]
    assert 2 == tell("futures.obu", "ob.BTC_USDT.77")["error"]["code"]
    assert 2 == tell("futures.order_book_update", "BTC_USDT", "20ms", "100")["error"]["code"]
    assert 2 == tell("futures.candlesticks", "1s", "BTC_USDT")["error"]["code"]
    assert 2 == tell("futures.obu", "ob.BTC_USDT.400", event="api")["error"]["code"]
    assert 7 == tell("futures.order_book_update", "BTC_USDT", "100ms", "100")["id"]
    assert 1 == of.obey(session, "{")[0]["error"]["code"]
    assert "futures.pong" == of.obey(session, '{"channel": "futures.ping"}')[0]["channel"]
    new, old = session.wants.values()
    tick = tick_of(NOW)
    (whole,) = of.book(session, new, of.view.book("BTCUSDT", 50, tick), tick)
    (change,) = of.changes(session, old, [("1.5", "0.000")], [], 5, 6)
    assert (True, tick, 50) == (whole["result"]["full"], whole["result"]["u"], len(whole["result"]["b"]))
    assert () == of.book(session, old, of.view.book("BTCUSDT", 50, tick), tick)
    assert (6, 6, [{"p": "1.5", "s": "0"}]) == tuple(change["result"][key] for key in ("U", "u", "b"))
    tell("futures.obu", "ob.BTC_USDT.50", event="unsubscribe")
    assert [old] == list(session.wants.values())


def test_the_snapshot_by_rest():
    """With the id that updates count on from, where it is asked for."""
    tick = tick_of(NOW)
    _, book = ask(wire(), "/spot/order_book", currency_pair="BTC_USDT", limit=5, with_id="true")
    _, contracts = ask(wire(GatePerpetualWire), "/futures/usdt/order_book", contract="BTC_USDT")

    assert (tick, 5, NOW // 1000) == (book["id"], len(book["bids"]), book["current"])
    assert (10, {"p", "s"}, NOW / SECOND) == (len(contracts["asks"]), set(contracts["asks"][0]), contracts["update"])
    assert "id" not in contracts


def test_live_candles_are_named_by_their_subscription():
    """Spot sends one that says whether it is closed, contracts a list that does not."""
    spot, perpetual = wire(), wire(GatePerpetualWire)
    candles = spot.view.candles("BTCUSDT", Interval.MINUTE_1, Span(NOW - MINUTE, NOW), 2, newest=True)
    (message,) = spot.candles(Session("/", {}), Want("1m_BTC_USDT", "BTCUSDT", "BTC_USDT", Interval.MINUTE_1), candles)
    (other,) = perpetual.candles(
        Session("/usdt", {}), Want("1m_BTC_USDT", "BTCUSDT", "BTC_USDT", Interval.MINUTE_1), candles
    )

    assert ("spot.candlesticks", "1m_BTC_USDT", False) == (
        message["channel"], message["result"]["n"], message["result"]["w"]
    )  # fmt: skip
    assert [{"t", "v", "c", "h", "l", "o", "n", "a"}] == [set(each) for each in other["result"]]
    assert MarketType.FUTURES_USDT is perpetual.market_type


def test_contracts_that_expire_are_below_a_path_of_their_own():
    """Each of the two kinds is unknown below the path of the other, and to the sockets; a row has no turnover."""
    symbols = ["BTCUSDT", "BTCUSDT_260327", "BTCUSDC_260327"]
    view = MarketView(SyntheticMarket(symbols={MarketType.FUTURES_USDT: symbols}), MarketType.FUTURES_USDT, lambda: NOW)
    gate = GatePerpetualWire(view, ticks=lambda: 0.0)
    rows = {
        (path, name): ask(gate, f"/{path}/usdt/candlesticks", contract=name, interval="1m", limit=2)
        for path in ("futures", "delivery")
        for name in ("BTC_USDT", "BTC_USDT_20260327")
    }
    listed = [ask(gate, f"/{path}/usdt/contracts")[1] for path in ("futures", "delivery")]

    assert {200: 2, 400: 2} == Counter(status for status, _ in rows.values())
    assert "CONTRACT_NOT_FOUND" == rows["futures", "BTC_USDT_20260327"][1]["label"]
    assert "CONTRACT_NOT_FOUND" == rows["delivery", "BTC_USDT"][1]["label"]
    assert "sum" in rows["futures", "BTC_USDT"][1][0]
    assert ["t", "v", "c", "h", "l", "o"] == list(rows["delivery", "BTC_USDT_20260327"][1][0])
    assert [["BTC_USDT"], ["BTC_USDT_20260327"]] == [[each["name"] for each in page] for page in listed]
    assert 1_774_598_400 == listed[1][0]["expire_time"]
    (told,) = gate.obey(
        Session("/v4/ws/usdt", {}),
        '{"channel":"futures.candlesticks","event":"subscribe","payload":["1m","BTC_USDT_20260327"]}',
    )
    assert {"status": "fail"} == told["result"]
