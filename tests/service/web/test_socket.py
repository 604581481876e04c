"""The socket, as its clients see it."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import pyarrow as pa
import pytest
from yarl import URL

from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import MINUTE, SECOND
from chandlery.net.clock import system_clock
from chandlery.service.web import socket as door
from chandlery.service.web.application import application
from chandlery.service.web.server import serving
from chandlery.tables.frame import open_times
from fixtures.candle_feed import truth
from fixtures.service import MARKET, bound_socket, connected, served, service_of
from fixtures.service_accounts import wrong_tokens
from fixtures.waiting import until

BTC = {"exchange": "binance", "symbol": "BTC/USDT"}
SECONDS = {**BTC, "interval": "1s"}


def ago(seconds):
    """So long ago, in milliseconds."""
    return int((time.time() - seconds) * 1000)


async def test_books_and_candles(client):
    """One connection, many subscriptions; what is told says of which it is."""
    await client.say("subscribe", channel="book", id="b", **BTC)
    await client.say("subscribe", channel="candles", id="c", **SECONDS)
    told = {message["id"]: message for message in [await client.until("subscribed") for _ in range(2)]}
    assert {"type": "subscribed", "id": "b", "channel": "book", "origin": "offline-7", **BTC} == told["b"]
    assert {"type": "subscribed", "id": "c", "channel": "candles", "origin": "offline-7", **SECONDS} == told["c"]
    book = await client.until("realtime_data", lambda each: each["channel"] == "book")
    candle = await client.until("realtime_data", lambda each: each["channel"] == "candles" and each["data"]["closed"])
    live = await client.until("realtime_data", lambda each: each["channel"] == "candles" and each["data"]["at"])

    assert 25 == len(book["data"]["bids"])
    assert book["data"]["bids"][0][0] < book["data"]["asks"][0][0]
    assert {"open", "high", "low", "close", "volume", "timestamp", "received_at", "at"} <= set(candle["data"])
    assert all(abs(live["data"][name] - ago(0)) < 20_000 for name in ("received_at", "at"))


async def test_until_unsubscribed(client, running):
    """Then nothing more of it comes, though it does to others; again is a mistake that is named."""
    await client.say("subscribe", channel="book", **BTC)
    await client.until("realtime_data")
    await client.say("unsubscribe", channel="book", **BTC)
    await client.until("unsubscribed")
    await client.say("unsubscribe", channel="book", id=3, **BTC)
    error = await client.until("error")
    assert (3, "invalid_input") == (error["id"], error["code"])
    count = len(client.told)
    async with connected(running[1]) as other:
        await other.say("subscribe", channel="book", **BTC)
        for _ in range(5):
            await other.until("realtime_data")
    await client.say("ping")
    await client.until("pong")

    assert count + 1 == len(client.told)


async def test_the_past_in_numbered_chunks(client, running):
    """Each row once, in order, as the exchange has it; then the account of it. The coin is collected from then on."""
    end = Interval.MINUTE_1.floor(system_clock()) - 10 * MINUTE
    start = end - 12_000 * MINUTE
    await client.say("request_historical", **BTC, interval="1m", start=start // 1000, end=end // 1000, id=1)
    complete = await client.until("historical_data_complete")
    chunks = client.of("historical_data_chunk")
    rows = [row for chunk in chunks for row in chunk["rows"]]

    assert [*range(1, 25)] == [chunk["number"] for chunk in chunks]
    assert (1, 24, 12_000, False, []) == tuple(complete[each] for each in ("id", "chunks", "rows", "following", "gaps"))
    assert 12_000 == sum(source["rows"] for source in complete["sources"])
    expected = truth(MARKET, "BTCUSDT", Interval.MINUTE_1, Span(start, end))
    assert [each.open_time // 1000 for each in expected] == [row[0] for row in rows]
    at = chunks[0]["columns"].index("close")
    assert [each.close for each in expected] == [row[at] for row in rows]
    (coin,) = running[0].collection.list_coins()
    assert ("candles:1m",) == tuple(each.channel for each in coin.channels)


async def test_the_past_as_arrow(client):
    """Binary messages, each a whole stream that says which chunk it is; the same rows as JSON."""
    asked = {**BTC, "interval": "1m", "start": ago(86_400 * 3), "end": ago(86_400)}
    await client.say("request_historical", **asked, format="arrow", id="x")
    complete = await client.until("historical_data_complete")
    streams = [pa.ipc.open_stream(each["arrow"]) for each in client.of("binary")]
    heads = [json.loads(each.schema.metadata[b"chandlery"]) for each in streams]
    table = pa.concat_tables([each.read_all().replace_schema_metadata(None) for each in streams])

    assert complete["rows"] == table.num_rows == 2880
    assert [("historical_data_chunk", "x", 1)] == [(each["type"], each["id"], each["number"]) for each in heads]
    await client.say("request_historical", **asked)
    await client.until("historical_data_complete")
    rows = [row for chunk in client.of("historical_data_chunk") for row in chunk["rows"]]
    assert [row[0] for row in rows] == [each // 1000 for each in open_times(table).tolist()]


@pytest.mark.parametrize("back", [2, 30])
async def test_the_past_goes_on_into_live_without_a_seam(client, back):
    """No hole and no double, with the exchange's numbers, also for a coin that is only collected from then on."""
    await client.say("request_historical", **SECONDS, start=ago(back), follow=True)
    complete = await client.until("historical_data_complete")
    assert complete["following"]

    def closed():
        return [each["data"] for each in client.of("realtime_data") if each["data"]["closed"]]

    while len(closed()) < 4:
        await client.next()
    columns = client.of("historical_data_chunk")[0]["columns"]
    past = [
        dict(zip(columns, row, strict=True)) for chunk in client.of("historical_data_chunk") for row in chunk["rows"]
    ]
    opens = [row["open_time"] for row in past] + [row["timestamp"] for row in closed()]
    span = Span(opens[0] * 1000, opens[-1] * 1000 + SECOND)

    assert opens == [each.open_time // 1000 for each in truth(MARKET, "BTCUSDT", Interval.SECOND_1, span)]
    assert [row["close"] for row in [*past, *closed()]] == [
        each.close for each in truth(MARKET, "BTCUSDT", Interval.SECOND_1, span)
    ]
    assert [] == client.of("gap")


async def test_a_followed_series_may_be_left_at_any_moment(client):
    """Also while its first live candle is waited for; then it may be asked for anew."""
    minutes = {**BTC, "interval": "1m"}
    for _ in range(20):
        await client.say("request_historical", **minutes, start=ago(600), follow=True)
        await client.until("historical_data_complete")
        await client.say("request_historical", **minutes, start=ago(600), follow=True)
        assert "unsubscribe first" in (await client.until("error"))["message"]
        await client.say("unsubscribe", channel="candles", **minutes)
        await client.until("unsubscribed")


async def test_following_a_book(client, running):
    """What was kept, then what is live."""
    await client.say("subscribe", channel="book", **BTC)
    await client.until("realtime_data")
    await client.say("unsubscribe", channel="book", **BTC)
    await client.until("unsubscribed")
    series = SeriesId.of_book("binance", "BTC/USDT")
    async with asyncio.timeout(10):
        resolved = running[0].collection.resolve(series)
        while not (await running[0].historical.get_books(resolved, Span(0, 2**60), 2)).entries:
            await asyncio.sleep(0.05)
    client.told.clear()
    await client.say("request_historical", **BTC, channel="book", start=ago(60), follow=True)
    complete = await client.until("historical_data_complete")
    await client.until("realtime_data")

    assert complete["rows"] > 50
    assert {"side", "level", "price", "size"} <= set(client.of("historical_data_chunk")[0]["columns"])


async def test_the_latest(client):
    """Of any series, collected or not; nothing where there is none."""
    await client.say("most_current", **BTC, interval="1m", id=1)
    candle = await client.until("most_current_data")
    await client.say("most_current", **BTC, channel="book", id=2)
    book = await client.until("most_current_data")

    assert candle["data"]["close"] > 0
    assert (2, None) == (book["id"], book["data"])


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "dance"}, "invalid_input"),
        ({"type": "subscribe", "channel": "trades", **BTC}, "unknown_name"),
        ({"type": "subscribe", "channel": "candles", **BTC, "interval": "7m"}, "unknown_interval"),
        ({"type": "subscribe", "channel": "book", "exchange": "nowhere", "symbol": "BTC/USDT"}, "unknown_name"),
        ({"type": "subscribe", "channel": "book", "exchange": "binance", "symbol": "?"}, "invalid_symbol"),
        ({"type": "request_historical", **BTC, "start": "yesterday"}, "invalid_range"),
        ({"type": "request_historical", **BTC, "start": "2024-01-02", "end": "2024-01-01"}, "invalid_range"),
        ({"type": "request_historical", **BTC, "start": "2999-01-01"}, "invalid_range"),
        ({"type": "request_historical", **BTC, "start": "2024-01-01", "format": "xml"}, "invalid_input"),
        ({"type": "request_historical", **BTC, "start": 1, "end": 2, "follow": True}, "invalid_input"),
        ({"type": "most_current", "exchange": "binance", "symbol": ""}, "invalid_symbol"),
    ],
)
async def test_mistakes_are_told_and_end_nothing(client, message, code):
    """With the id of the message; what was subscribed to goes on."""
    await client.say("subscribe", channel="book", **BTC)
    await client.until("realtime_data")
    await client.socket.send_json({**message, "id": "m"})
    error = await client.until("error")

    assert ("m", code, False) == (error["id"], error["code"], error["retryable"])
    await client.until("realtime_data")


async def test_too_many_requests_at_once(client):
    """Are refused by name; the others are answered."""
    for number in range(60):
        await client.say("request_historical", **BTC, interval="1m", start=ago(86_400 * 20), id=number)
    await client.until("error", lambda each: "in progress" in each["message"])
    await client.until("historical_data_complete")


async def test_what_is_no_text(client):
    """Closes the connection: nothing else could be meant."""
    await client.socket.send_bytes(b"x")

    assert 1003 == (await client.until("closed"))["code"]


async def test_pages_of_other_sites(running):
    """Where nobody needs a token, any page of a browser here could call; only the service's own are heard."""
    service, session = running
    for origin in (
        "https://elsewhere.example",
        "http://localhost:3000",
        "http://127.0.0.1:9999",
        "http://[::1",
        "null",
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await session.ws_connect("/v1/ws", headers={"Origin": origin})
    async with connected(session, headers={"Origin": service.url}) as client:
        await client.say("ping")
        await client.until("pong")


async def test_the_service_stops(sim, tmp_path):
    """Clients are told by the code for it."""
    bound, url = bound_socket()
    async with aiohttp.ClientSession(url) as session:
        async with serving(application(service_of(sim, tmp_path, url)), bound):
            socket, other = await session.ws_connect("/v1/ws"), await session.ws_connect("/v1/ws")
            await socket.send_json({"type": "subscribe", "channel": "book", **BTC})
            await socket.receive()
            closing = [asyncio.create_task(_drained(each)) for each in (socket, other)]

        assert [1001, 1001] == await asyncio.gather(*closing)


async def _drained(socket):
    while (await socket.receive()).type not in {
        aiohttp.WSMsgType.CLOSE,
        aiohttp.WSMsgType.CLOSED,
        aiohttp.WSMsgType.CLOSING,
    }:
        pass
    return socket.close_code


@pytest.fixture
async def guarded(sim, tmp_path, hashes):
    """A service that asks for tokens."""
    async with served(sim, tmp_path, no_auth=False, hashes=hashes) as both:
        yield both


async def token_of(service, *scopes):
    """A token for a new client."""
    client, secret = await service.accounts.create_client("bot", scopes)
    return (await service.accounts.login("client", client.id, secret)).text


async def test_a_token_in_the_header_or_in_a_message(guarded):
    """Both let in; before that nothing is answered."""
    service, session = guarded
    token = await token_of(service, "read", "collect")
    async with connected(session, headers={"Authorization": f"Bearer {token}"}) as client:
        await client.say("subscribe", channel="book", **BTC)
        await client.until("realtime_data")
    async with connected(session) as client:
        await client.say("subscribe", channel="book", **BTC, id=1)
        error = await client.until("error")
        assert (1, "invalid_token") == (error["id"], error["code"])
        await client.say("auth", token=token, id=2)
        told = await client.until("authenticated")
        assert (2, ["collect", "read"]) == (told["id"], told["scopes"])
        assert 800 < told["expires_in"] <= 900
        await client.say("subscribe", channel="book", **BTC)
        await client.until("realtime_data")


async def test_every_wrong_token_is_refused(guarded):
    """In the header it closes the connection, in a message it is an error; a long one is not even looked at."""
    service, session = guarded
    for name, token in (await wrong_tokens(service.accounts, system_clock, service.url)).items():
        headers = {"Authorization": f"Bearer {token}"}
        if name == "too long":
            with pytest.raises(aiohttp.WSServerHandshakeError, match="431"):
                await session.ws_connect("/v1/ws", headers=headers)
        elif token:
            async with connected(session, headers=headers) as client:
                assert door.UNAUTHORIZED == (await client.until("closed"))["code"], name
        async with connected(session) as client:
            await client.say("auth", token=token)
            if len(token) > 4_000:
                assert 1009 == (await client.until("closed"))["code"]
            else:
                assert (await client.until("error"))["code"] in {"invalid_token", "token_expired"}, name


async def test_scopes(guarded):
    """Who may read subscribes to what is collected; to have more collected takes another scope."""
    service, session = guarded
    reader, collector = await token_of(service, "read"), await token_of(service, "collect")
    async with connected(session, headers={"Authorization": f"Bearer {reader}"}) as client:
        for kind, more in (("subscribe", {"channel": "book"}), ("request_historical", {"start": ago(60)})):
            await client.say(kind, **BTC, **more)
            error = await client.until("error")
            assert ("insufficient_scope", True) == (error["code"], "collect" in error["message"])
        await service.collection.add_coin("BTC/USDT", "binance", ["book"])
        await client.say("subscribe", channel="book", **BTC)
        await client.until("realtime_data")
    async with connected(session, headers={"Authorization": f"Bearer {collector}"}) as client:
        await client.say("most_current", **BTC)
        assert "insufficient_scope" == (await client.until("error"))["code"]


async def test_a_connection_ends_with_its_token_unless_it_is_renewed(sim, tmp_path, hashes):
    """Time is the service's own, which is nearly over for the first token."""

    class Ahead:
        ahead = 0

        def __call__(self):
            return system_clock() + self.ahead

    clock = Ahead()
    async with served(sim, tmp_path, no_auth=False, hashes=hashes, clock=clock) as (service, session):
        client_id, secret = await service.accounts.create_client("bot", ["read"])

        async def token():
            return (await service.accounts.login("client", client_id.id, secret)).text

        first = await token()
        clock.ahead = 15 * MINUTE - 2 * SECOND
        headers = {"Authorization": f"Bearer {first}"}
        async with connected(session, headers=headers) as one, connected(session, headers=headers) as other:
            await one.say("auth", token=await token())
            await one.until("authenticated")
            closed = await other.until("closed")
            await one.say("ping")
            await one.until("pong")

    assert door.UNAUTHORIZED == closed["code"]


async def test_somebody_elses_token_is_not_taken(guarded):
    """A connection stays that of whom it was opened by."""
    service, session = guarded
    headers = {"Authorization": f"Bearer {await token_of(service, 'read')}"}
    async with connected(session, headers=headers) as client:
        await client.say("auth", token=await token_of(service, "admin"))
        assert "another account" in (await client.until("error"))["message"]


async def test_a_slow_reader_is_closed_and_slows_nobody(sim, tmp_path):
    """One that takes nothing ends with a code of its own; another is told of everything in time."""
    async with served(sim, tmp_path, slow_client_s=0.3) as (service, session):  # noqa: SIM117  # the client ends first
        async with connected(session) as fast, session.ws_connect("/v1/ws", max_msg_size=0) as slow:
            for one in (fast.socket, slow):
                await one.send_json({"type": "subscribe", "channel": "candles", **SECONDS})
            await fast.until("subscribed")
            subscribed = SeriesId.parse("binance", "BTC/USDT", "candles:1s")
            await until(lambda: service.broadcaster.count(subscribed) == 2)
            reading = asyncio.create_task(fast.until("pong"))
            await flood(service, subscribed)
            await until(lambda: service.broadcaster.count(subscribed) == 1)
            await fast.say("ping")
            await reading
            assert 100 <= len([each for each in fast.of("realtime_data") if "padding" in each["data"]])
            metrics = await (await session.get("/metrics")).text()

    assert "chandlery_slow_clients_closed_total 1.0" in metrics


def masked(opcode, payload):
    """A frame of a client whose mask changes nothing, of at most 125 bytes."""
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


@pytest.mark.parametrize("frames", [masked(0xA, b"") * 40_000, masked(1, b"{}") * 30_000], ids=["pongs", "messages"])
async def test_many_small_frames_hold_nobody_up(sim, tmp_path, frames):
    """However many come at once, each turn of the loop is a short one."""
    longest_s = 0.0

    async def turns():
        nonlocal longest_s
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            longest_s = max(longest_s, time.thread_time() - began)

    async with served(sim, tmp_path) as (service, _), asyncio.timeout(20):
        url = URL(service.url)
        reader, writer = await asyncio.open_connection(url.host, url.port, limit=1 << 24)
        writer.write(
            f"GET /v1/ws HTTP/1.1\r\nHost: {url.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        watching = asyncio.create_task(turns())
        writer.write(frames + masked(1, b'{"type":"ping","id":"after all"}'))
        await reader.readuntil(b"after all")
        watching.cancel()
        writer.close()

    assert longest_s < 0.03


async def flood(service, series):
    """More closed candles than a socket takes unread."""
    from chandlery.service.collection.broadcaster import Update

    padding = "x" * 100_000
    for number in range(100):
        service.broadcaster.publish(Update(series, "closed", {"timestamp": number, "closed": True, "padding": padding}))
        await asyncio.sleep(0.01)


async def test_before_auth_little_is_taken(guarded):
    """Small messages, and few of them; whole or in fragments; who has shown a token may send large ones."""
    service, session = guarded
    async with connected(session) as client:
        await client.say("ping", id="x" * 4_000)
        await client.until("pong")
        await client.say("ping", id="x" * 4_096)
        assert 1009 == (await client.until("closed"))["code"]
    async with connected(session) as client:
        for _ in range(100):
            await client.say("ping")
            await client.until("pong")
        await client.say("ping")
        assert 1008 == (await client.until("closed"))["code"]
    async with connected(session) as client:
        for _ in range(5_000):
            client.socket._writer.transport.write(b"\x01\x80" + bytes(4) if not _ else b"\x00\x80" + bytes(4))
        assert 1009 == (await client.until("closed"))["code"]
    async with connected(session) as client:
        await client.say("auth", token=await token_of(service, "read"))
        await client.until("authenticated")
        for _ in range(200):
            await client.say("ping", id="x" * 10_000)
        for _ in range(200):
            await client.until("pong")


async def test_text_that_is_none(running, caplog):
    """Closes the connection, and is no fault of the service."""
    _, session = running
    async with connected(session) as client:
        await client.socket._writer.send_frame(b"\xff\xfe", aiohttp.WSMsgType.TEXT)
        assert 1007 == (await client.until("closed"))["code"]
    assert not [each for each in caplog.records if each.exc_info]
