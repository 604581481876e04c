"""Kraken: the digits and checksums of what it really sent, its names, and its refusals."""

from __future__ import annotations

import json

import pytest

from chandlery.adapter.books import BookSync, Outcome
from chandlery.adapter.live import CandleStream
from chandlery.core.book import OrderBook
from chandlery.core.errors import ExchangeUnavailable, InvalidSymbol, MalformedResponse, RateLimited, RequestRejected
from chandlery.core.http import Response
from chandlery.core.instrument import ListingStatus
from chandlery.core.interval import Interval
from chandlery.exchanges.kraken import KrakenSpot, kraken_checksum
from fixtures.support import moment

KRAKEN = KrakenSpot()


def test_every_recorded_checksum_is_that_of_the_book(recorded):
    """1254 messages of a book of ten levels, the snapshot among them; 122 are heartbeats and the like."""
    capture = recorded / "kraken-v2-mhadiamiri/evidence/WO-008b-A3/captured_raw_text.json"
    held = json.loads(capture.read_text())
    sync = BookSync("BTC/USD", KRAKEN.book_rule, depth=held["depth"])
    updates = [update for text in held["raw_text"] for update in KRAKEN.book_updates(text.encode())]

    assert 1254 == len(updates)
    assert {"BTC/USD"} == {update.symbol for update in updates}
    assert [True] + [False] * 1253 == [update.is_snapshot for update in updates]
    for update in updates:
        assert Outcome.APPLIED is sync.feed(update)
        assert update.checksum == kraken_checksum(sync.book)


def test_the_checksum_of_the_documentation():
    """The guide's book, with a level beyond the tenth: a number that went through a float would lose the zeros at its end."""
    asks = (
        "45285.2 0.00100000 45286.4 1.54571953 45286.6 1.54571109 45289.6 1.54560911 45290.2 0.15890660 "
        "45291.8 1.54553491 45294.7 0.04454749 45296.1 0.35380000 45297.5 0.09945542 45299.5 0.18772827 99999.0 1.0"
    )
    bids = (
        "45283.5 0.10000000 45283.4 1.54582015 45282.1 0.10000000 45281.0 0.10000000 45280.3 1.54592586 "
        "45279.0 0.07990000 45277.6 0.03310103 45277.5 0.30000000 45277.3 1.54602737 45276.6 0.15445238 1.0 1.0"
    )

    def side(text: str) -> str:
        numbers = iter(text.split())
        return ",".join(f'{{"price":{price},"qty":{next(numbers)}}}' for price in numbers)

    message = (
        '{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD",'
        f'"bids":[{side(bids)}],"asks":[{side(asks)}],"checksum":3310070434}}]}}'
    )
    (update,) = KRAKEN.book_updates(message.encode())
    book = OrderBook("BTC/USD")
    book.apply(update)

    assert 3310070434 == update.checksum == kraken_checksum(book)


def test_recorded_book_messages_are_understood(recorded):
    """The v2 book messages among the pairs of another project; v1, which it also has, is not spoken any more."""
    lines = (recorded / "tardis-node/derived/dev.jsonl").read_text().splitlines()
    seen = 0
    for line in lines:
        held = json.loads(line)
        if "map kraken v2 messages" != held["test"] or "book" != held["message"].get("channel"):
            continue
        (update,) = KRAKEN.book_updates(json.dumps(held["message"]).encode())
        (expected,) = held["expected"]
        seen += 1

        assert expected["symbol"] == update.symbol
        assert expected["isSnapshot"] == update.is_snapshot
        assert [(each["price"], each["amount"]) for each in expected["bids"]] == update.bids
        assert [(each["price"], each["amount"]) for each in expected["asks"]] == update.asks
        assert moment(expected["timestamp"].removesuffix("Z")) == update.at
    assert 2 == seen


def test_recorded_pairs_are_listed(recorded):
    """Every pair that has a name on the sockets; REST's name of each is what the adapter makes of the symbol."""
    text = (recorded / "cryptofeed/master/KRAKEN.0").read_text()
    body, _ = json.JSONDecoder().raw_decode(text[text.index('{"error"') :])
    listings, cursor = KRAKEN.instruments(json.dumps(body).encode())
    named = {each["wsname"]: each["altname"] for each in body["result"].values() if "wsname" in each}
    by_symbol = {each.symbol: each for each in listings}

    assert cursor is None
    assert 293 == len(listings) == len(named)
    assert set(named.values()) == {KRAKEN.book_request(each.symbol, 10).params["pair"] for each in listings}
    assert all(each.symbol == KRAKEN.symbol(str(each.instrument)) == str(each.instrument) for each in listings)
    assert {ListingStatus.LISTED} == {each.status for each in listings}
    assert (0.1, 1e-8) == (by_symbol["BTC/USD"].tick_size, by_symbol["BTC/USD"].lot_size)


@pytest.mark.parametrize("text", ["BTC/USD", "btc/usd", "BTC-USD", "XBT/USD", "xbt-usd"])
def test_bitcoin_has_one_name(text):
    """XBT is BTC; DOGE is XDG to REST alone."""
    assert "BTC/USD" == KRAKEN.symbol(text)
    assert "XBTUSD" == KRAKEN.book_request(KRAKEN.symbol(text), 10).params["pair"]
    assert "DOGE/BTC" == KRAKEN.symbol("XDG/XBT")
    assert "XDGXBT" == KRAKEN.book_request("DOGE/BTC", 10).params["pair"]


def test_names_of_rest_are_refused():
    """Where base ends and quote begins, ``XBTUSD`` does not say."""
    with pytest.raises(InvalidSymbol, match=r"it has e\.g\. BTC/USD"):
        KRAKEN.symbol("XBTUSD")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("EQuery:Unknown asset pair", InvalidSymbol),
        ("EAPI:Rate limit exceeded", RateLimited),
        ("EGeneral:Too many requests", RateLimited),
        ("EService:Busy", ExchangeUnavailable),
        ("EGeneral:Invalid arguments", RequestRejected),
    ],
)
def test_errors_come_with_status_200(said, kind):
    """What went wrong stands in the body."""
    assert kind is type(KRAKEN.error(Response(200, {}, json.dumps({"error": [said]}).encode())))
    assert KRAKEN.error(Response(200, {}, b'{"error":[],"result":{}}')) is None
    assert KRAKEN.error(Response(502, {}, b"<html>")) is None
    assert KRAKEN.error(Response(200, {}, b'{"error":["\xff"]}')) is None


def test_streams_of_one_interval_share_a_message():
    """Symbols are named together, intervals are not; nothing but later candles is asked for."""
    streams = [CandleStream("BTC/USD", Interval.MINUTE_1), CandleStream("ETH/USD", Interval.MINUTE_1)]
    first, second = KRAKEN.subscribe([*streams, CandleStream("SOL/USD", Interval.HOUR_1)])

    assert {"channel": "ohlc", "symbol": ["BTC/USD", "ETH/USD"], "interval": 1, "snapshot": True} == json.loads(first)[
        "params"
    ]
    assert 60 == json.loads(second)["params"]["interval"]
    assert "unsubscribe" == json.loads(KRAKEN.subscribe(streams, leave=True)[0])["method"]


@pytest.mark.parametrize("level", ['{"price":"1.5","qty":1}', '{"price":0,"qty":1}', '{"price":1,"qty":1e400}'])
def test_levels_that_are_no_numbers_are_errors(level):
    """Digits are kept as they are, but not whatever they are."""
    message = f'{{"channel":"book","type":"update","data":[{{"symbol":"X/Y","bids":[{level}],"asks":[]}}]}}'

    with pytest.raises(MalformedResponse, match="levels of an order book"):
        KRAKEN.book_updates(message.encode())


def test_candles_of_two_pairs_are_an_error():
    """An answer is for the one pair that was asked for."""
    with pytest.raises(MalformedResponse, match="one pair"):
        KRAKEN.candle_rows(b'{"error":[],"result":{"A":[],"B":[],"last":1}}')
    with pytest.raises(MalformedResponse, match="not a valid time"):
        KRAKEN.book_updates(
            b'{"channel":"book","data":[{"symbol":"X/Y","bids":[],"asks":[],"timestamp":"9999-01-01T00:00:00Z"}]}'
        )
