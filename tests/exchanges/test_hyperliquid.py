"""Hyperliquid: what is its own, and what it really sent."""

from __future__ import annotations

import gzip
import json

import pytest

from chandlery.adapter.books import BookSync, Outcome
from chandlery.adapter.live import CandleStream
from chandlery.core.errors import InvalidSymbol, MalformedResponse, RequestRejected, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.http import Response
from chandlery.core.instrument import ListingStatus
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, MINUTE
from chandlery.exchanges.hyperliquid import HyperliquidPerpetual, HyperliquidSpot
from fixtures.support import micros

SPOT, PERPETUAL = HyperliquidSpot(), HyperliquidPerpetual()
NOON = micros(2024, 1, 1, 12)


def asked(request):
    """The question of a request."""
    assert ("POST", "https://api.hyperliquid.xyz/info") == (request.method, request.url)
    return json.loads(request.body)


@pytest.mark.parametrize(
    ("adapter", "text", "native"),
    [
        (PERPETUAL, "BTC", "BTC"),
        (PERPETUAL, "btc/usdc:usdc", "BTC"),
        (PERPETUAL, "BTC-USDC", "BTC"),
        (PERPETUAL, "kPEPE", "kPEPE"),
        (PERPETUAL, "KPEPE/USDC", "kPEPE"),
        (PERPETUAL, "kaito", "KAITO"),
        (PERPETUAL, "kNEWCOIN", "kNEWCOIN"),
        (SPOT, "BTC/USDC", "BTC-USDC"),
        (SPOT, "@142", "BTC-USDC"),
        (SPOT, "@7", "@7"),
        (SPOT, "purr/usdc", "PURR-USDC"),
    ],
)
def test_symbols(adapter, text, native):
    """Perpetuals are coins, some with a small k; spot pairs have a name or an index, never both."""
    assert native == adapter.symbol(text) == adapter.symbol(native)


@pytest.mark.parametrize(
    ("adapter", "text"),
    [
        (PERPETUAL, "BTC/USDT:USDT"),
        (PERPETUAL, "BTCUSDT"),
        (PERPETUAL, "@142"),
        (SPOT, "BTC"),
        (SPOT, "BTC/USDC:USDC"),
        (SPOT, "NOSUCHCOIN/USDC"),
        (SPOT, "@"),
    ],
)
def test_symbols_that_are_refused(adapter, text):
    """Perpetuals settle in USDC; a pair whose index is not known has to be called by it."""
    with pytest.raises(InvalidSymbol):
        adapter.symbol(text)


def test_pairs_are_asked_for_by_index():
    """But for the first, which has a name."""
    span = Span(NOON, NOON + MINUTE)
    coins = [
        asked(SPOT.candles_request(symbol, Interval.MINUTE_1, span))["req"]["coin"]
        for symbol in ("BTC-USDC", "PURR-USDC", "@7")
    ]
    (message,) = SPOT.subscribe([CandleStream("BTC-USDC", Interval.HOUR_1)])

    assert ["@142", "PURR/USDC", "@7"] == coins
    assert {"type": "candle", "coin": "@142", "interval": "1h"} == json.loads(message)["subscription"]
    assert ["BTC-USDC", "PURR-USDC", "@7"] == list(map(SPOT.symbol_of, coins))


def test_a_page_weighs_what_it_holds():
    """Twenty, and one for each sixty candles; funding rates one for each twenty."""
    page = PERPETUAL.candles_request("BTC", Interval.MINUTE_1, Span(NOON - 1, NOON + 600 * MINUTE))
    rates = PERPETUAL.funding_request("BTC", Span(NOON, NOON + 100 * HOUR))

    assert (30, 25) == (page.weight, rates.weight)
    assert {"startTime": NOON // 1000, "endTime": (NOON + 600 * MINUTE) // 1000 - 1} == {
        key: value for key, value in asked(page)["req"].items() if key.endswith("Time")
    }
    assert 45 == PERPETUAL.funding_request("BTC", Span(NOON, NOON + 90 * DAY)).weight


def test_weeks_are_left_out():
    """They open on Thursday there."""
    with pytest.raises(UnsupportedRequest, match="no 1w candles"):
        SPOT.interval_name(Interval.WEEK_1)


def test_refusals():
    """``null`` and plain text; what is subscribed to already is no error."""
    assert isinstance(SPOT.error(Response(200, {}, b"null")), InvalidSymbol)
    assert isinstance(SPOT.error(Response(422, {}, b"Failed to deserialize \xff")), RequestRejected)
    assert SPOT.error(Response(200, {}, b"[]")) is None
    with pytest.raises(RequestRejected, match="Invalid subscription"):
        PERPETUAL.live_rows(b'{"channel":"error","data":"Invalid subscription {}"}')
    assert () == PERPETUAL.live_rows(b'{"channel":"error","data":"Already subscribed: {}"}')
    with pytest.raises(MalformedResponse):
        PERPETUAL.live_rows(b'{"channel":"trades","data":[]}')


def test_lists_of_instruments():
    """A perpetual may be delisted; a bridged coin is called as its own; a pair of unknown tokens is malformed."""
    perpetuals, _ = PERPETUAL.instruments(
        b'{"universe":[{"name":"kPEPE","szDecimals":0,"maxLeverage":10},{"name":"OLD","szDecimals":2,"isDelisted":true}]}'
    )
    tokens = b'"tokens":[{"name":"USDC","szDecimals":8,"index":0},{"name":"UETH","szDecimals":4,"index":221}]'
    (pair,), _ = SPOT.instruments(b'{"universe":[{"name":"@151","tokens":[221,0],"index":151}],' + tokens + b"}")

    assert [("kPEPE", "kPEPE/USDC:USDC", 1.0), ("OLD", "OLD/USDC:USDC", 0.01)] == [
        (each.symbol, str(each.instrument), each.lot_size) for each in perpetuals
    ]
    assert [ListingStatus.LISTED, ListingStatus.DELISTED] == [each.status for each in perpetuals]
    assert ("ETH-USDC", "ETH/USDC", 0.0001, None) == (
        pair.symbol,
        str(pair.instrument),
        pair.lot_size,
        pair.contract_size,
    )
    with pytest.raises(MalformedResponse, match="unknown token, 5"):
        SPOT.instruments(b'{"universe":[{"name":"@1","tokens":[5,0]}],' + tokens + b"}")


# --- evidence --------------------------------------------------------------------------------------------------------


def test_recorded_books(recorded):
    """46 whole books of twenty levels a side: each is the best of its moment, none is crossed."""
    lines = gzip.decompress((recorded / "hftbacktest/hyperliquid/btcusd_20250126.gz").read_bytes()).splitlines()
    messages = [line.split(b" ", 1)[1] for line in lines]
    sync = BookSync("BTC", PERPETUAL.book_rule, depth=20)
    times = []
    for message in messages:
        if b'"channel":"l2Book"' not in message:
            continue
        (update,) = PERPETUAL.book_updates(message)
        times.append(update.at)

        assert Outcome.APPLIED is sync.feed(update)
        assert sync.book is not None
        assert (update.bids, update.asks) == (sync.book.bids(20), sync.book.asks(20))

    assert 46 == len(times)
    assert times == sorted(times)


def test_recorded_books_equal_what_another_parser_made_of_them(recorded):
    """An empty book and a full one."""
    lines = (recorded / "tardis-node/derived/dev.jsonl").read_text().splitlines()
    read = 0
    for pair in map(json.loads, lines):
        if pair["exchange"] != "hyperliquid" or pair["message"]["channel"] != "l2Book":
            continue
        (update,) = PERPETUAL.book_updates(json.dumps(pair["message"]).encode())
        (expected,) = pair["expected"]
        bids, asks = ([(each["price"], each["amount"]) for each in expected[side]] for side in ("bids", "asks"))
        read += 1

        assert (expected["symbol"], bids, asks) == (update.symbol, update.bids, update.asks)
        assert update.is_snapshot

    assert 2 == read


def test_candles_equal_what_another_feed_made_of_them(recorded):
    """A page by REST, and the same rows as another project reads them."""
    lines = (recorded / "hummingbot/derived/dev.jsonl").read_text().splitlines()
    fixtures = {
        each["fixture"]: each["value"]
        for each in map(json.loads, lines)
        if each["feed"] == "hyperliquid_perpetual_candles"
    }
    rows = PERPETUAL.candle_rows(json.dumps(fixtures["get_candles_rest_data_mock"]).encode())
    theirs = [[float(value) for value in row] for row in fixtures["get_fetch_candles_data_mock"]]
    ours = zip(rows.open_time, rows.open, rows.high, rows.low, rows.close, rows.volume, rows.count, strict=True)

    assert [[row[0] * 1_000_000, *row[1:6], row[7]] for row in theirs] == [list(row) for row in ours]
    assert all(end == opened + HOUR - 1000 for opened, end in zip(rows.open_time, rows.close_time, strict=True))
