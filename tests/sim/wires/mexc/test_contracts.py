"""The offline MEXC, contracts: columns, bounds, versions."""

from __future__ import annotations

import json

import pytest

from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND
from chandlery.sim.book import tick_of
from chandlery.sim.view import MarketView
from chandlery.sim.wire import Session, SimRequest
from chandlery.sim.wires.mexc.contracts import MexcInverseWire, MexcPerpetualWire
from fixtures.offline_adapter import MARKET
from fixtures.support import micros

NOW = micros(2025, 3, 12, 10, 20, 30)
OPENED = Interval.MINUTE_1.floor(NOW) // SECOND
LINEAR, INVERSE = (
    kind(MarketView(MARKET, kind.market_type, lambda: NOW), ticks=lambda: 0.0)
    for kind in (MexcPerpetualWire, MexcInverseWire)
)


def ask(path: str, *, wire=LINEAR, **query: str):
    """The body of an answer with the status 200."""
    reply = wire.answer(SimRequest("GET", f"/api/v1/contract/{path}", query, {}, b""))
    assert 200 == reply.status
    return json.loads(reply.body)


def test_candles_come_by_column_and_both_bounds_are_inclusive():
    """Volume is in contracts."""
    data = ask("kline/BTC_USDT", interval="Min1", start=str(OPENED - 120), end=str(OPENED - 60))["data"]

    assert [OPENED - 120, OPENED - 60] == data["time"]
    assert {2} == {len(column) for column in data.values()}
    assert all(isinstance(volume, int) for volume in data["vol"])


def test_a_page_has_2000_candles():
    """With an end alone, those nearest to it; without any bound, the latest."""
    assert (2000, OPENED) == (len(rows := ask("kline/BTC_USDT")["data"]["time"]), rows[-1])
    assert OPENED - 600 == ask("kline/BTC_USDT", end=str(OPENED - 600))["data"]["time"][-1]
    assert OPENED - 600 == ask("kline/BTC_USDT", start=str(OPENED - 600))["data"]["time"][0]


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("kline/NOSUCH_USDT", {}, 1001),
        ("kline/BTC_USD", {}, 1001),
        ("depth/BTCUSDT", {}, 1001),
        ("kline/BTC_USDT", {"interval": "Min3"}, 600),
        ("kline/BTC_USDT", {"start": "now"}, 600),
        ("funding_rate/history", {"symbol": "BTC_USD"}, 1001),
        ("funding_rate/history", {"symbol": "BTC_USDT", "page_size": "101"}, 600),
        ("funding_rate/BTC_USDT", {}, 600),
    ],
)
def test_refusals_have_the_status_200(path, query, code):
    """And a code; what is quoted in USD is no linear contract."""
    body = ask(path, **query)

    assert (False, code) == (body["success"], body["code"])


def test_funding_rates_are_paged_by_number():
    """The latest first, twenty where nothing is said; past the last page there are none."""
    ask_page = {"symbol": "BTC_USDT", "page_size": "100"}
    first, second = (ask("funding_rate/history", **ask_page, page_num=number)["data"] for number in ("1", "2"))
    times = [each["settleTime"] for each in first["resultList"] + second["resultList"]]
    beyond = str(first["totalPage"] + 1)

    assert (200, sorted(set(times), reverse=True)) == (len(times), times)
    assert NOW // 1000 - 8 * 3_600_000 < times[0] <= NOW // 1000
    assert (1, 2, 100) == (first["currentPage"], second["currentPage"], first["pageSize"])
    assert 0 <= 100 * first["totalPage"] - first["totalCount"] < 100
    assert 20 == len(ask("funding_rate/history", symbol="BTC_USDT")["data"]["resultList"])
    assert [] == ask("funding_rate/history", **ask_page, page_num=beyond)["data"]["resultList"]


def test_failures_are_worded_alike():
    """Too many requests have a code of their own."""
    assert 404 == LINEAR.answer(SimRequest("GET", "/api/v1/contract/nothing", {}, {}, b"")).status
    assert 510 == json.loads(LINEAR.refusal(429).body)["code"]
    assert 503 == json.loads(LINEAR.refusal(503).body)["code"]


def test_what_a_contract_is_worth():
    """A lot of the coin where it is linear, so many dollars where it is inverse."""
    linear = {each["symbol"]: each for each in ask("detail")["data"]}
    inverse = {each["symbol"]: each for each in ask("detail", wire=INVERSE)["data"]}

    assert (0.001, "USDT") == (linear["BTC_USDT"]["contractSize"], linear["BTC_USDT"]["settleCoin"])
    assert "BTC_USD" not in linear
    assert (100, "BTC") == (inverse["BTC_USD"]["contractSize"], inverse["BTC_USD"]["settleCoin"])
    assert {"symbols": [], "serverTime": NOW // 1000} == json.loads(
        LINEAR.answer(SimRequest("GET", "/api/v3/exchangeInfo", {}, {}, b"")).body
    )
    assert NOW // 1000 == ask("ping")["data"]


@pytest.mark.parametrize("wire", [LINEAR, INVERSE])
def test_subscriptions_are_answered_under_their_name(wire):
    """Errors have one name for all."""
    session = Session("/edge", {})
    symbol = "BTC_USDT" if wire is LINEAR else "BTC_USD"

    def tell(method: str, **param: str) -> tuple[str, str]:
        (answer,) = wire.obey(session, json.dumps({"method": method, "param": param}))
        return answer["channel"], answer["data"]

    assert ("rs.sub.kline", "success") == tell("sub.kline", symbol=symbol, interval="Min60")
    assert ("rs.sub.depth", "success") == tell("sub.depth", symbol=symbol)
    assert ("rs.error", "Contract doesn't exist!") == tell("sub.kline", symbol="NOSUCH_COIN")
    assert "rs.error" == tell("sub.kline", symbol=symbol, interval="Min7")[0]
    assert "rs.error" == tell("sub.trades", symbol=symbol)[0]
    assert ("pong", NOW // 1000) == tell("ping")
    assert "rs.error" == wire.obey(session, "no json")[0]["channel"]
    line, book = session.wants.values()
    candles = wire.view.candles(line.symbol, Interval.HOUR_1, Span(NOW - 60 * MINUTE, NOW), 2, newest=True)
    (push,) = (json.loads(wire.frame(each)) for each in wire.candles(session, line, candles))
    tick = tick_of(NOW)
    price = wire.view.book(book.symbol, 1, tick).bids[0][0]
    (change,) = (
        json.loads(wire.frame(each)) for each in wire.changes(session, book, [(price, "0")], [], tick, tick + 1)
    )

    assert ("push.kline", "Min60") == (push["channel"], push["data"]["interval"])
    assert ("push.depth", tick + 1, [[float(price), 0, 0]]) == (
        change["channel"],
        change["data"]["version"],
        change["data"]["bids"],
    )
    tell("unsub.kline", symbol=symbol, interval="Min60")
    tell("unsub.depth", symbol=symbol)
    assert {} == session.wants
