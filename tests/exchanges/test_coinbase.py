"""What Coinbase alone has: products with two names, heartbeats, and messages numbered by connection."""

# The recorded captures are of an interface that was retired, so there is nothing of them to compare with.

from __future__ import annotations

import json

import pytest

from chandlery.adapter.books import BookSync, ConnectionSequence, Outcome
from chandlery.adapter.live import CandleStream
from chandlery.core.errors import InvalidSymbol, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.http import Response
from chandlery.core.instrument import ListingStatus
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE
from chandlery.exchanges.coinbase import CoinbaseSpot
from fixtures.support import micros

SPOT = CoinbaseSpot()
AT = "2023-02-09T20:32:50.714964855Z"


def said(number, channel="l2_data", kind="update", updates=()):
    """A message as the documentation shows it."""
    rows = [
        {"side": side, "event_time": AT, "price_level": price, "new_quantity": size} for side, price, size in updates
    ]
    event = {"type": kind, "product_id": "BTC-USD", "updates": rows}
    beat = {"current_time": AT, "heartbeat_counter": "3049"}
    events = [event if channel == "l2_data" else beat]
    whole = {"channel": channel, "client_id": "", "timestamp": AT, "sequence_num": number, "events": events}
    return json.dumps(whole).encode()


def test_a_subscription_comes_with_heartbeats():
    """Without them a quiet channel is closed; they are never left, since others may need them."""
    streams = [CandleStream("BTC-USD", Interval.MINUTE_5)]
    heartbeats = {"type": "subscribe", "channel": "heartbeats"}

    assert [heartbeats, {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "candles"}] == [
        json.loads(each) for each in SPOT.subscribe(streams)
    ]
    assert [{"type": "unsubscribe", "product_ids": ["BTC-USD"], "channel": "level2"}] == [
        json.loads(each) for each in SPOT.subscribe_book(["BTC-USD"], 1000, leave=True)
    ]
    with pytest.raises(UnsupportedRequest, match="sends no 1m candles; it sends 5m"):
        SPOT.subscribe([CandleStream("BTC-USD", Interval.MINUTE_1)])


def test_products_in_usdc_go_by_the_name_in_usd():
    """What is sent of BTC-USDC says BTC-USD, so that is what must be asked for; two have books of their own."""
    with pytest.raises(UnsupportedRequest, match="send BTC-USDC as BTC-USD; use that symbol"):
        SPOT.subscribe_book(["BTC-USDC"], 1000)
    assert 2 == len(SPOT.subscribe_book(["USDT-USDC", "EURC-USDC"], 1000))


def test_every_message_of_a_connection_counts():
    """Those of other channels are updates of no symbol, so that a missing one is seen, and only that."""
    sync, sequence = BookSync("BTC-USD", SPOT.book_rule), ConnectionSequence()
    levels = [("bid", "21921.73", "0.06317902"), ("offer", "21921.74", "1")]
    messages = [
        said(0, "subscriptions"),
        said(1, kind="snapshot", updates=levels),
        said(2, "heartbeats"),
        said(3, updates=[("bid", "21921.73", "0")]),
        said(5, "heartbeats"),
    ]
    follows, symbols = [], []
    for update in (update for message in messages for update in SPOT.book_updates(message)):
        follows.append(sequence.follows(update.last))
        symbols.append(update.symbol)
        if update.symbol:
            assert sync.feed(update) is Outcome.APPLIED

    assert [True, True, True, True, False] == follows
    assert ["", "BTC-USD", "", "BTC-USD", ""] == symbols
    assert ([], [(21921.74, 1.0)]) == (sync.book.bids(9), sync.book.asks(9))
    assert micros(2023, 2, 9, 20, 32, 50) + 714_965 == sync.book.at
    assert () == SPOT.book_updates(b'{"channel":"subscriptions"}')


def test_a_refusal_is_an_error():
    """The sockets' with its reason, those of REST with their code; what is no refusal is none."""
    with pytest.raises(InvalidSymbol, match="failure to subscribe NOPE-USD is not a valid product"):
        SPOT.live_rows(b'{"type":"error","message":"failure to subscribe","reason":"NOPE-USD is not a valid product"}')
    body = b'{"error":"INVALID_ARGUMENT","error_details":"number of candles requested should be less than 350"}'
    refused = SPOT.error(Response(400, {}, body))

    assert ("INVALID_ARGUMENT", 400) == (refused.code, refused.status)
    assert "less than 350" in str(refused)
    assert SPOT.error(Response(200, {}, b"[]")) is None
    assert SPOT.error(Response(404, {}, b"<html>")) is None


@pytest.mark.parametrize(("cut", "late"), [(0, 0), (1, 1), (59 * 1_000_000, 30 * 1_000_000)])
def test_the_end_of_candles_lies_just_after_the_last_open(cut, late):
    """So that it does not matter whether it is inclusive; and nothing older than now may be answered."""
    opened = micros(2025, 3, 12, 10, 21)
    request = SPOT.candles_request("BTC-USD", Interval.MINUTE_1, Span(opened - cut, opened + MINUTE + 1 + late))

    assert "https://api.coinbase.com/api/v3/brokerage/market/products/BTC-USD/candles" == request.url
    assert {"start": 1_741_774_860, "end": 1_741_774_921, "granularity": "ONE_MINUTE"} == request.params
    assert {"Cache-Control": "no-cache"} == request.headers


def test_listings():
    """What is online trades, unless that is disabled; futures are no spot."""
    products = [
        {"product_id": "BTC-USD", "status": "online", "price_increment": "0.01", "base_increment": "0.00000001"},
        {"product_id": "A-USD", "status": "online", "trading_disabled": True},
        {"product_id": "B-USD", "status": "delisted"},
        {"product_id": "C-USD", "status": "offline"},
        {"product_id": "BIT-28NOV25-CDE", "status": "online", "product_type": "FUTURE"},
    ]
    listings, _ = SPOT.instruments(json.dumps({"products": products}).encode())

    assert ["BTC-USD", "A-USD", "B-USD", "C-USD"] == [each.symbol for each in listings]
    assert ("BTC/USD", 0.01, 1e-8) == (str(listings[0].instrument), listings[0].tick_size, listings[0].lot_size)
    assert [ListingStatus.LISTED, ListingStatus.HALTED, ListingStatus.DELISTED, ListingStatus.HALTED] == [
        each.status for each in listings
    ]


def test_a_fetched_book():
    """Objects of price and size, with a time and no number."""
    held = {"product_id": "BTC-USD", "bids": [{"price": "1.5", "size": "2"}], "asks": [], "time": AT}
    book = SPOT.book_snapshot("BTC-USD", json.dumps({"pricebook": held}).encode())

    assert ([(1.5, 2.0)], [], None) == (book.bids, book.asks, book.last)
    assert {"product_id": "BTC-USD", "limit": 1000} == SPOT.book_request("BTC-USD", 5000).params
