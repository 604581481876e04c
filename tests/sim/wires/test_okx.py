"""OKX's own rules, heard by aiohttp's client."""

from __future__ import annotations

import zlib

import pytest

from chandlery.core.time import MINUTE

SPOT, LINEAR, INVERSE = "okx_spot", "okx_perpetual", "okx_inverse"


@pytest.fixture
def ask(sim, http):
    """Ask one market; the status and the content."""

    async def send(exchange, path, **query):
        async with http.get(f"{sim.endpoints[exchange]['rest']}/api/v5{path}", params=query) as answer:
            return answer.status, await answer.json()

    return send


async def data(ask, exchange, path, **query):
    """What an envelope without an error holds."""
    status, content = await ask(exchange, path, **query)
    assert (200, "0") == (status, content["code"])
    return content["data"]


async def test_bounds_are_exclusive_and_rows_come_newest_first(ask, clock):
    """Of what is newer than ``before`` and older than ``after`` the newest come, 100 where nothing is said, 300 at most."""
    opened = clock.now // MINUTE * MINUTE // 1000
    path = "/market/history-candles"
    between = await data(ask, SPOT, path, instId="BTC-USDT", before=opened - 240_000, after=opened)
    few = await data(ask, SPOT, path, instId="BTC-USDT", before=opened - 240_000, limit=2)
    many = await data(ask, SPOT, path, instId="BTC-USDT", limit=500)

    assert [str(opened - count * 60_000) for count in (1, 2, 3)] == [row[0] for row in between]
    assert [(str(opened), "0"), (str(opened - 60_000), "1")] == [(row[0], row[8]) for row in few]
    assert (100, 300) == (len(await data(ask, SPOT, path, instId="BTC-USDT")), len(many))


async def test_what_is_kept(ask, clock):
    """The latest 1440 rows under one path, years under the other, but three months of seconds."""
    then = (clock.now - 1500 * MINUTE) // 1000
    long_ago = (clock.now - 93 * 1440 * MINUTE) // 1000

    assert [] == await data(ask, SPOT, "/market/candles", instId="BTC-USDT", after=then)
    assert 100 == len(await data(ask, SPOT, "/market/history-candles", instId="BTC-USDT", after=then))
    assert [] == await data(ask, SPOT, "/market/history-candles", instId="BTC-USDT", bar="1s", after=long_ago)


async def test_volumes_of_contracts(ask):
    """Contracts, the base asset, the quote currency."""
    (linear,) = await data(ask, LINEAR, "/market/candles", instId="BTC-USDT-SWAP", limit=1)
    (inverse,) = await data(ask, INVERSE, "/market/candles", instId="BTC-USD-SWAP", limit=1)

    assert float(linear[5]) * 0.001 == pytest.approx(float(linear[6]))
    assert float(linear[6]) * float(linear[4]) == pytest.approx(float(linear[7]), rel=0.01)
    assert float(inverse[5]) * 100 == float(inverse[7])
    assert float(inverse[6]) * float(inverse[4]) == pytest.approx(float(inverse[7]), rel=0.01)


@pytest.mark.parametrize(
    ("exchange", "path", "query", "expected"),
    [
        (SPOT, "/market/candles", {"instId": "NO-SUCH"}, (200, "51001")),
        (LINEAR, "/market/candles", {"instId": "BTC-USD-SWAP"}, (200, "51001")),
        (INVERSE, "/market/candles", {"instId": "BTC-USDT-SWAP"}, (200, "51001")),
        (SPOT, "/market/candles", {}, (400, "50014")),
        (SPOT, "/market/candles", {"instId": "BTC-USDT", "bar": "1D"}, (200, "51000")),
        (SPOT, "/market/candles", {"instId": "BTC-USDT", "after": "x"}, (200, "51000")),
        (SPOT, "/market/books", {"instId": "BTC-USDT", "sz": "401"}, (200, "51000")),
        (SPOT, "/public/instruments", {"instType": "BONDS"}, (200, "51000")),
        (SPOT, "/nothing", {}, (404, "50404")),
    ],
)
async def test_refusals(ask, exchange, path, query, expected):
    """Codes come in the envelope, most of them with status 200."""
    status, content = await ask(exchange, path, **query)

    assert expected == (status, content["code"])


async def test_candles_and_books_have_sockets_of_their_own(sim, http):
    """A channel on the wrong one does not exist; a text ping is answered."""
    for path, channel, other in (("business", "candle1m", "books"), ("public", "books", "candle1m")):
        async with http.ws_connect(f"{sim.endpoints[SPOT]['ws']}/{path}") as socket:
            await socket.send_str("ping")
            assert "pong" == await socket.receive_str(timeout=5)
            args = [{"channel": name, "instId": "BTC-USDT"} for name in (channel, other)]
            await socket.send_json({"op": "subscribe", "args": args})
            assert "subscribe" == (await socket.receive_json(timeout=5))["event"]
            assert "60018" == (await socket.receive_json(timeout=5))["code"]
            await socket.send_str("nonsense")
            assert "60012" == (await socket.receive_json(timeout=5))["code"]


async def test_books_are_a_snapshot_and_what_changed(sim, http, clock):
    """Numbers follow each other, and the checksum is the signed CRC32 of 25 levels in turn; five levels come whole."""
    async with http.ws_connect(f"{sim.endpoints[LINEAR]['ws']}/public") as socket:
        args = [{"channel": name, "instId": "BTC-USDT-SWAP"} for name in ("books", "books5")]
        await socket.send_json({"op": "subscribe", "args": args})
        for _ in args:
            await socket.receive_json(timeout=5)
        clock.now += 100_000
        await sim.tick()
        pushes = [await socket.receive_json(timeout=5) for _ in range(4)]
    (snapshot, update), fives = (
        [push for push in pushes if push["arg"]["channel"] == name] for name in ("books", "books5")
    )
    first, then = snapshot["data"][0], update["data"][0]
    text = ":".join(
        f"{level[0]}:{level[1]}" for pair in zip(first["bids"][:25], first["asks"][:25], strict=True) for level in pair
    )

    assert ("snapshot", "update", -1) == (snapshot["action"], update["action"], first["prevSeqId"])
    assert (first["seqId"], first["seqId"] + 1) == (then["prevSeqId"], then["seqId"])
    assert zlib.crc32(text.encode()) == first["checksum"] % 2**32
    assert first["checksum"] < 2**31
    assert {5} == {len(push["data"][0][side]) for push in fives for side in ("bids", "asks")}
    assert all(level[1].isdigit() for side in ("bids", "asks") for level in then[side])


async def test_funding_rates_come_newest_first(ask, clock):
    """The rate that was paid beside the one that had been predicted."""
    rates = await data(ask, LINEAR, "/public/funding-rate-history", instId="BTC-USDT-SWAP", limit=3)
    times = [int(each["fundingTime"]) for each in rates]

    assert times == sorted(times, reverse=True)
    assert times[0] <= clock.now // 1000
    assert 3 == len({each["realizedRate"] for each in rates} - {"0.0001"})
