"""Crypto.com: what was recorded, heartbeats, and bounds that are right either way."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow as pa
import pytest

from chandlery.adapter.books import BookSync, Outcome
from chandlery.adapter.live import Channel
from chandlery.core.errors import ExchangeUnavailable, InvalidSymbol, MalformedResponse, RateLimited, RequestRejected
from chandlery.core.gaps import Span
from chandlery.core.http import Response
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, to_datetime
from chandlery.exchanges.cryptocom import CryptocomPerpetual, CryptocomSpot
from chandlery.sim.book import tick_of
from fixtures.offline_adapter import OfflineAdapter, book_of
from fixtures.support import micros

SPOT, PERPETUAL = CryptocomSpot(), CryptocomPerpetual()
NOW = micros(2025, 3, 12, 10, 20, 30)

# --- what was recorded -----------------------------------------------------------------------------------------------


def test_recorded_messages(recorded):
    """All candles and books of 2021: of an address that is gone, with numbers in place of text, in the same form."""
    with pa.input_stream(recorded / "cryptofeed/v3/CRYPTO.COM.jsonl.zst", compression="zstd") as packed:
        lines = packed.read().decode().splitlines()
    messages = [json.loads(line) for line in lines]
    received = [each["data"].encode() for each in messages if each["t"] == "recv"]
    sent = [each["data"] for each in messages if each["t"] == "send"]
    found: Counter[str] = Counter()
    for message in received:
        if b'"candlestick"' in message:
            (row,) = SPOT.live_rows(message)
            assert row.interval is Interval.MINUTE_1
            assert row.candle.low <= row.candle.open <= row.candle.high
            found["candles"] += 1
        elif b'"channel":"book"' in message:
            (update,) = SPOT.book_updates(message)
            sync = BookSync(update.symbol, SPOT.book_rule, depth=150)
            assert Outcome.APPLIED is sync.feed(update)
            found["books"] += 1
        elif b"result" not in message:
            answer = SPOT.reply(message)
            assert answer is None or json.loads(answer) in map(json.loads, sent)
            found["heartbeats" if answer else "acknowledgements"] += 1
            assert () == SPOT.live_rows(message) == SPOT.book_updates(message)

    assert {"candles": 10, "books": 1525, "heartbeats": 1, "acknowledgements": 4} == found


def test_recorded_book_messages_as_tardis_reads_them(recorded):
    """Snapshots and changes of 2022, from before and after there were sequence numbers."""
    numbers = []
    for line in (recorded / "tardis-node/derived/dev.jsonl").read_text().splitlines():
        held = json.loads(line)
        result = held["message"].get("result") if held["exchange"] == "crypto-com" else None
        if not result or not result["channel"].startswith("book"):
            continue
        (update,) = SPOT.book_updates(json.dumps(held["message"]).encode())
        (expected,) = held["expected"]
        numbers.append((update.previous, update.last))
        assert (expected["symbol"], expected["isSnapshot"]) == (update.symbol, update.is_snapshot)
        assert expected["timestamp"] == to_datetime(update.at).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for side in ("bids", "asks"):
            assert [(each["price"], each["amount"]) for each in expected[side]] == getattr(update, side)

    assert (41261671840, 41261686400) in numbers
    assert 3 == len(numbers)


# --- what is asked ---------------------------------------------------------------------------------------------------


def test_bounds_are_right_whether_inclusive_or_not():
    """Neither is the open of a candle: each lies a millisecond ahead of one."""
    span = Span(micros(2024, 1, 1), micros(2024, 1, 1) + 300 * MINUTE)
    request = SPOT.candles_request("BTC_USDT", Interval.MINUTE_1, span)

    expected = {
        "instrument_name": "BTC_USDT",
        "timeframe": "1m",
        "count": 300,
        "start_ts": span.start // 1000 - 1,
        "end_ts": span.end // 1000 - 1,
    }
    assert ("https://api.crypto.com/exchange/v1/public/get-candlestick", expected) == (request.url, request.params)
    assert 300 == SPOT.page_size


@pytest.mark.parametrize(
    ("adapter", "text", "native"),
    [
        (SPOT, "btc_usdt", "BTC_USDT"),
        (SPOT, "BTC-USDT", "BTC_USDT"),
        (PERPETUAL, "BTC/USD:USD", "BTCUSD-PERP"),
        (PERPETUAL, "btcusd-perp", "BTCUSD-PERP"),
    ],
)
def test_spellings(adapter, text, native):
    """Pairs have an underscore, perpetuals end in -PERP."""
    assert native == adapter.symbol(text)


def test_perpetuals_are_in_dollars():
    """There is none in USDT, and the message says what there is."""
    with pytest.raises(InvalidSymbol, match="BTCUSD-PERP"):
        PERPETUAL.symbol("BTC/USDT:USDT")


@pytest.mark.parametrize(
    ("code", "error"),
    [(209, InvalidSymbol), (42901, RateLimited), (50001, ExchangeUnavailable), (40003, RequestRejected)],
)
def test_refusals(code, error):
    """By the code; 0 is none."""
    body = json.dumps({"id": -1, "method": "m", "code": code, "message": "words"}).encode()

    assert error is type(SPOT.error(Response(400, {}, body)))
    assert SPOT.error(Response(200, {}, b'{"code":0}')) is None


@pytest.mark.parametrize(("code", "error"), [(40107, RequestRejected), (42901, RateLimited)])
def test_refusals_on_sockets(code, error):
    """A subscription too many will not do later either; a message too many will."""
    body = json.dumps({"id": 1, "method": "subscribe", "code": code, "message": "words"}).encode()

    for read in (SPOT.live_rows, SPOT.book_updates):
        with pytest.raises(error, match="words"):
            read(body)


# --- what is understood ----------------------------------------------------------------------------------------------


def test_heartbeats_are_answered_with_their_id():
    """And nothing else is; one without an id is an error."""
    assert '{"id":5,"method":"public/respond-heartbeat"}' == SPOT.reply(b'{"id":5,"method":"public/heartbeat"}')
    assert SPOT.reply(b'{"id":5,"method":"subscribe","code":0,"message":"no public/heartbeat"}') is None
    with pytest.raises(MalformedResponse):
        SPOT.reply(b'{"method":"public/heartbeat"}')


def test_a_change_without_its_levels_is_an_error():
    """It is never taken for a snapshot, nor a snapshot without sides for an empty book."""
    head = '{"code":0,"result":{"instrument_name":"X","channel":'
    for text in (
        '"book.update","data":[{"t":1,"u":2,"pu":1,"bids":[],"asks":[]}]}}',
        '"book","data":[{"t":1,"u":2}]}}',
    ):
        with pytest.raises(MalformedResponse, match="lacks its sides"):
            SPOT.book_updates((head + text).encode())


def test_candles_of_a_length_that_was_not_asked_for_are_an_error():
    """Such as fortnights."""
    with pytest.raises(MalformedResponse, match="14D"):
        SPOT.live_rows(b'{"result":{"instrument_name":"X","interval":"14D","data":[]}}')


def test_the_clock_is_the_moment_of_a_book():
    """Without which there is none."""
    assert {"instrument_name": "BTC_USDT", "depth": 1} == SPOT.server_time_request().params
    assert "BTCUSD-PERP" == PERPETUAL.server_time_request().params["instrument_name"]
    with pytest.raises(MalformedResponse, match="without its time"):
        SPOT.server_time(b'{"result":{"data":[{"bids":[],"asks":[]}]}}')


def test_a_book_goes_on_after_subscribing_anew():
    """No unsubscribing is needed: the answer holds a new snapshot, which the changes that follow fit."""
    facing = OfflineAdapter("cryptocom_spot", NOW)
    session = facing.open(Channel.BOOK)
    subscription = facing.adapter.subscribe_book([facing.native], 50)
    facing.tell(session, subscription)
    (want,) = session.wants.values()
    facing.now += 1_000_000
    sync = BookSync(facing.native, facing.adapter.book_rule, depth=50)
    for message in facing.tell(session, subscription):
        for update in facing.adapter.book_updates(message):
            assert Outcome.APPLIED is sync.feed(update)
    before = tick_of(facing.now)
    facing.now += 100_000
    bids, asks = facing.view.changes(want.symbol, 50, before, before + 1)
    for message in facing.frames(facing.wire.changes(session, want, bids, asks, before, before + 1)):
        for update in facing.adapter.book_updates(message):
            assert Outcome.APPLIED is sync.feed(update)
    body = facing.body(facing.adapter.book_request(facing.native, 50))

    assert 2 == sync.applied
    assert book_of(facing.adapter.book_snapshot(facing.native, body)) == (
        dict(sync.book.bids(50)),
        dict(sync.book.asks(50)),
    )
