"""AscendEX: what is asked, and what was recorded; the rest is the same for all exchanges."""

from __future__ import annotations

import json

import pytest

from chandlery.adapter.books import BookSync, Outcome
from chandlery.adapter.live import CandleStream, Channel
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import InvalidSymbol, MalformedResponse, RequestRejected
from chandlery.core.gaps import Span
from chandlery.core.http import Response
from chandlery.core.instrument import ListingStatus
from chandlery.core.interval import Interval
from chandlery.core.time import SECOND
from fixtures.support import micros

SPOT = ExchangeRegistry.create("ascendex_spot")


def test_a_request_names_its_first_and_its_last_candle_and_a_whole_page():
    """Without a number of its own, the exchange might send ten; ``1m`` is the month."""
    span = Span(micros(2025, 1, 1), micros(2025, 3, 1))
    request = SPOT.candles_request("BTC/USDT", Interval.MONTH_1, span)

    assert "https://ascendex.com/api/pro/v1/barhist" == request.url
    assert {
        "symbol": "BTC/USDT", "interval": "1m", "n": 500,
        "from": micros(2025, 1, 1) // 1000, "to": micros(2025, 2, 1) // 1000,
    } == request.params  # fmt: skip


def test_a_command_names_ten_symbols_of_one_interval():
    """Streams of an interval share a message."""
    streams = [CandleStream(f"C{number}/USDT", Interval.MINUTE_1) for number in range(11)]
    commands = [json.loads(each) for each in SPOT.subscribe([*streams, CandleStream("A/B", Interval.HOUR_1)])]

    assert ["sub"] * 3 == [each["op"] for each in commands]
    assert [10, 1, 1] == [len(each["ch"].split(",")) for each in commands]
    assert ["bar:1:C10/USDT", "bar:60:A/B"] == [each["ch"] for each in commands[1:]]
    assert [{"op": "unsub", "ch": "depth:A/B,C/D"}] == [
        json.loads(each) for each in SPOT.subscribe_book(["A/B", "C/D"], 500, leave=True)
    ]
    assert "wss://ascendex.com/0/api/pro/v1/stream" == SPOT.socket_url(Channel.CANDLES)


def test_a_ping_is_answered():
    """The server's own alone."""
    assert '{"op":"pong"}' == SPOT.reply(b'{"m":"ping","hp":3}')
    assert SPOT.reply(b'{"m":"connected","type":"unauth"}') is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"code":5002,"message":"Invalid Symbol"}', InvalidSymbol),
        (b'{"code":100008,"reason":"SYMBOL_ERROR"}', InvalidSymbol),
        (b'{"code":100006,"reason":"INVALID_ARGUMENT"}', RequestRejected),
        (b'{"code":0,"data":[]}', type(None)),
        (b"<html>", type(None)),
    ],
)
def test_the_code_says_what_went_wrong(body, kind):
    """Whatever the status; 0 is none."""
    assert kind is type(SPOT.error(Response(200, {}, body)))


def test_refusals_on_the_sockets():
    """A code that is not 0, in whichever message."""
    refused = b'{"m":"depth-snapshot","code":100008,"reason":"SYMBOL_ERROR","info":"Unable to handle symbol"}'
    with pytest.raises(InvalidSymbol, match="SYMBOL_ERROR Unable to handle"):
        SPOT.book_updates(refused)
    with pytest.raises(MalformedResponse, match="not a symbol and an interval"):
        SPOT.live_rows(b'{"m":"bar","data":{"i":"1","ts":1,"o":1,"h":1,"l":1,"c":1,"v":1}}')
    with pytest.raises(MalformedResponse, match="without a symbol"):
        SPOT.book_updates(b'{"m":"depth","data":{"ts":1,"seqnum":1,"asks":[],"bids":[]}}')


def test_what_is_not_normal_does_not_trade():
    """Pairs alone: what else is listed is no spot."""
    one = '{"symbol":"%s","tickSize":"0.01","lotSize":"0.00001","statusCode":"%s"}'
    body = f'{{"code":0,"data":[{one % ("BTC/USDT", "Normal")},{one % ("A/B", "NoTrading")},{one % ("BTC-PERP", "Normal")}]}}'
    listings, cursor = SPOT.instruments(body.encode())

    assert cursor is None
    assert [("BTC/USDT", ListingStatus.LISTED), ("A/B", ListingStatus.HALTED)] == [
        (each.symbol, each.status) for each in listings
    ]
    assert (0.01, 1e-5, None) == (listings[0].tick_size, listings[0].lot_size, listings[0].contract_size)


def test_recorded_books(recorded):
    """
    Ten books of 2021: each snapshot is the state after the update of its number, and no number is left out.

    The list of products of that day is of a path that was replaced, so it is not read.
    """
    lines = (recorded / "cryptofeed/master/ASCENDEX.ws.1.0").read_text().splitlines()
    frames = [line.partition(": ")[2].encode() for line in lines if line[:1].isdigit()]
    assert SPOT.book_rule is not None
    books: dict[str, BookSync] = {}
    outcomes: list[Outcome] = []
    for update in (update for frame in frames for update in SPOT.book_updates(frame)):
        sync = books.setdefault(update.symbol, BookSync(update.symbol, SPOT.book_rule))
        outcomes.append(sync.feed(update))

    assert 2 == sum(SPOT.reply(frame) is not None for frame in frames)
    assert 10 == len(books)
    assert 287 == len(outcomes)
    assert not any(each.needs_snapshot for each in outcomes)
    for sync in books.values():
        assert sync.book is not None
        assert sync.book.at is not None
        assert abs(sync.book.at - 1618677610 * SECOND) < 60 * SECOND
