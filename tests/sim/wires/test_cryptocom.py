"""Crypto.com's own rules, heard by aiohttp's client."""

from __future__ import annotations

import pytest

from chandlery.core.time import MINUTE, SECOND
from fixtures.support import listing

SPOT, LINEAR = "cryptocom_spot", "cryptocom_perpetual"


@pytest.fixture
def market():
    return listing(*(f"C{number}USDT" for number in range(401)))


@pytest.fixture
def ask(sim, http):
    """Ask one market; the status and the content."""

    async def send(exchange, method, **query):
        url = f"{sim.endpoints[exchange]['rest']}/exchange/v1/public/{method}"
        async with http.get(url, params=query) as answer:
            return answer.status, await answer.json()

    return send


@pytest.fixture
async def socket(sim, http):
    async with http.ws_connect(f"{sim.endpoints[SPOT]['ws']}/market") as opened:
        yield opened


async def test_bounds_are_exclusive_and_the_latest_come_oldest_first(ask, clock):
    """25 where nothing is said, 300 at most, of the last day alone."""
    opened = clock.now // MINUTE * MINUTE // 1000
    bounds = {"start_ts": opened - 240_000, "end_ts": opened}
    pages = [
        [
            row["t"]
            for row in (await ask(SPOT, "get-candlestick", instrument_name="BTC_USDT", **query))[1]["result"]["data"]
        ]
        for query in (bounds, bounds | {"count": 2}, {}, {"count": 500}, {"timeframe": "1h", "count": 300})
    ]

    assert [opened - count * 60_000 for count in (3, 2, 1)] == pages[0]
    assert [opened - count * 60_000 for count in (2, 1)] == pages[1]
    assert [25, 300, 24] == [len(page) for page in pages[2:]]
    assert pages[2][-1] == opened


@pytest.mark.parametrize(
    ("exchange", "method", "query", "expected"),
    [
        (SPOT, "get-candlestick", {"instrument_name": "BTCUSDT"}, (400, 40004)),
        (LINEAR, "get-candlestick", {"instrument_name": "BTC_USDT"}, (400, 40004)),
        (LINEAR, "get-candlestick", {"instrument_name": "BTCUSDT-PERP"}, (400, 40004)),
        (SPOT, "get-candlestick", {}, (400, 40004)),
        (SPOT, "get-candlestick", {"instrument_name": "BTC_USDT", "timeframe": "3m"}, (400, 40004)),
        (SPOT, "get-candlestick", {"instrument_name": "BTC_USDT", "start_ts": "x"}, (400, 40004)),
        (SPOT, "get-valuations", {"instrument_name": "BTC_USDT", "valuation_type": "funding_hist"}, (400, 40004)),
        (SPOT, "nothing", {}, (404, 40002)),
    ],
)
async def test_refusals(ask, exchange, method, query, expected):
    """Codes and statuses of the documentation's table."""
    status, content = await ask(exchange, method, **query)

    assert expected == (status, content["code"])


async def test_instruments(ask):
    """Pairs are those of the market; perpetuals are in dollars, whatever the market names."""
    spot, linear = [(await ask(each, "get-instruments"))[1]["result"]["data"] for each in (SPOT, LINEAR)]

    assert ("BTC_USDT", "CCY_PAIR", "BTC", "USDT") == _named(spot[0])
    assert ("BTCUSD-PERP", "PERPETUAL_SWAP", "BTC", "USD") == _named(linear[0])


def _named(instrument):
    return tuple(instrument[key] for key in ("symbol", "inst_type", "base_ccy", "quote_ccy"))


async def test_legacy_periods(ask):
    """``M5`` is ``5m``, ``D1`` is ``1D``."""
    found = {}
    for name in ("M5", "5m", "D1", "1D"):
        query = {"instrument_name": "BTC_USDT", "timeframe": name, "start_ts": 0, "count": 3}
        found[name] = (await ask(SPOT, "get-candlestick", **query))[1]["result"]

    assert found["M5"]["data"] == found["5m"]["data"]
    assert found["D1"]["data"] == found["1D"]["data"]
    assert "M5" == found["M5"]["interval"]


async def test_funding_rates(ask):
    """Of the last thirty days, three a day; 25 where nothing else is said."""
    query = {"instrument_name": "BTCUSD-PERP", "valuation_type": "funding_hist"}
    usual = (await ask(LINEAR, "get-valuations", **query))[1]["result"]["data"]
    more = (await ask(LINEAR, "get-valuations", **query, count=300))[1]["result"]["data"]

    assert (25, 90) == (len(usual), len(more))
    assert more[-25:] == usual
    assert [row["t"] for row in more] == sorted(row["t"] for row in more)


async def test_candles_begin_with_some_that_have_been(sim, socket, clock):
    """The first push brings several, later ones what has changed; none says that it is closed."""
    channel = "candlestick.1m.BTC_USDT"
    await socket.send_json({"id": 3, "method": "subscribe", "params": {"channels": [channel]}})
    assert {"id": 3, "method": "subscribe", "code": 0} == await socket.receive_json(timeout=5)
    first = (await socket.receive_json(timeout=5))["result"]
    clock.now += 40 * SECOND
    await sim.tick()
    assert "public/heartbeat" == (await socket.receive_json(timeout=5))["method"]
    then = (await socket.receive_json(timeout=5))["result"]

    assert (channel, "candlestick", "1m") == (first["subscription"], first["channel"], first["interval"])
    assert 20 == len(first["data"])
    assert first["data"][-1]["t"] == then["data"][0]["t"]
    assert [60_000] == [then["data"][1]["t"] - then["data"][0]["t"]]


async def test_books_are_whole_unless_changes_are_asked_for(sim, socket, clock):
    """By ``book_subscription_type``; changes are numbered, and a size of zero is just that."""
    types = {"book.BTC_USDT.10": "SNAPSHOT", "book.ETH_USDT.50": "SNAPSHOT_AND_UPDATE"}
    for number, (channel, kind) in enumerate(types.items()):
        params = {"channels": [channel], "book_subscription_type": kind}
        await socket.send_json({"id": number, "method": "subscribe", "params": params})
        assert 0 == (await socket.receive_json(timeout=5))["code"]
    for _ in range(20):
        clock.now += 100_000
        await sim.tick()
    pushes = []
    while len(pushes) < 42:
        message = await socket.receive_json(timeout=5)
        pushes += [message["result"]] if "result" in message else []
    whole, changes = ([push for push in pushes if push["subscription"] == channel] for channel in types)
    updates = [push["data"][0] for push in changes[1:]]

    assert {"book"} == {push["channel"] for push in whole}
    assert {10} == {len(push["data"][0]["bids"]) for push in whole}
    assert ["book"] + ["book.update"] * 20 == [push["channel"] for push in changes]
    assert [changes[0]["data"][0]["u"], *(each["u"] for each in updates[:-1])] == [each["pu"] for each in updates]
    assert "0" in {level[1] for each in updates for level in each["update"]["bids"]}


async def test_subscriptions_are_refused_as_a_whole(socket):
    """A channel that does not exist, a message that is none, a method that is unknown, too many."""
    for channels, code in (
        (["candlestick.1m.BTC_USDT", "candlestick.3m.BTC_USDT"], 40004),
        (["book.BTC_USDT.20"], 40004),
        (["ticker.BTC_USDT"], 40004),
        (["book.BTCUSDT.10"], 40003),
        ([f"candlestick.1m.C{number}_USDT" for number in range(401)], 40107),
    ):
        await socket.send_json({"id": 1, "method": "subscribe", "params": {"channels": channels}})
        assert code == (await socket.receive_json(timeout=5))["code"]
    await socket.send_str("nonsense")
    said = await socket.receive_json(timeout=5)
    assert (-1, 40003) == (said["id"], said["code"])
    await socket.send_json({"id": 1, "method": "public/respond-heartbeat"})
    await socket.send_json({"id": 7, "method": "dance"})
    said = await socket.receive_json(timeout=5)
    assert (7, 40002) == (said["id"], said["code"])
