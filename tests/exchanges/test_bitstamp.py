"""What is Bitstamp's own: books that somebody recorded, and refusals in several forms."""

from __future__ import annotations

import json

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import ExchangeUnavailable, InvalidSymbol, RateLimited, RequestRejected
from chandlery.core.gaps import Span
from chandlery.core.http import Response
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND
from fixtures.support import micros

BITSTAMP = ExchangeRegistry.create("bitstamp_spot")


def test_recorded_books_are_understood(recorded):
    """Ten by REST, best first, each a little older than its answer; their id is the microsecond of their last change."""
    lines = (recorded / "cryptofeed/master/BITSTAMP.http.0.0").read_text().splitlines()
    seen = 0
    for line in filter(None, lines):
        url, _, rest = line.partition(" -> ")
        received, _, body = rest.partition(": ")
        update = BITSTAMP.book_snapshot(url.rpartition("/")[2], body.encode())
        seen += 1

        assert update.is_snapshot
        assert update.last == update.at == int(json.loads(body)["microtimestamp"])
        assert 0 < float(received) * SECOND - update.at < 3 * SECOND
        assert [*update.bids] == sorted(update.bids, reverse=True)
        assert [*update.asks] == sorted(update.asks)
        assert update.bids[0][0] < update.asks[0][0]
        assert min(len(update.bids), len(update.asks)) > 20
    assert 10 == seen


def test_other_channels_of_a_recording_hold_no_book(recorded):
    """Changes, trades and answers to commands are no whole books."""
    lines = (recorded / "cryptofeed/master/BITSTAMP.ws.1.0").read_text().splitlines()
    messages = [line.partition(": ")[2].encode() for line in lines if "<-" not in line and ": " in line]

    assert 747 == len(messages)
    assert [()] * 747 == [BITSTAMP.book_updates(each) for each in messages]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, b"", InvalidSymbol),
        (404, b"<html><title>404 Not Found</title></html>", InvalidSymbol),
        (404, b'{"message": "Not found."}', InvalidSymbol),
        (404, b"not from here", RequestRejected),
        (400, b'{"response_code": "400.067", "response_explanation": "exceeded client rate limit"}', RateLimited),
        (400, b'{"response_code": "500.009"}', ExchangeUnavailable),
        (400, b'{"status": "error", "reason": {"limit": ["Must be between 1 and 1000."]}}', RequestRejected),
        (400, b'{"status": "error", "reason": "Invalid nonce", "code": "API0004"}', RequestRejected),
    ],
)
def test_refusals_have_several_forms(status, body, kind):
    """Codes, words, pages, nothing at all; a status below 400 refuses nothing."""
    assert kind is type(BITSTAMP.error(Response(status, {}, body)))
    assert BITSTAMP.error(Response(200, {}, body)) is None


def test_no_more_candles_are_asked_for_than_the_span_has():
    """The end is a second after the last open, whichever way it is meant; spans may be off the grid."""
    start = micros(2025, 3, 12, 10)
    request = BITSTAMP.candles_request("btcusd", Interval.MINUTE_1, Span(start - 1, start + 3 * MINUTE + 1))

    assert "https://www.bitstamp.net/api/v2/ohlc/btcusd/" == request.url
    first = start // SECOND
    assert {"step": "60", "limit": 4, "start": first, "end": first + 181} == dict(request.params)


def test_subscriptions_fit_into_a_message():
    """Each is one message, far below the 512 bytes that the exchange reads."""
    messages = BITSTAMP.subscribe_book(["btcusd", "x" * 32], 100)

    assert 2 == len(messages)
    assert max(map(len, messages)) < 200
    assert '{"event":"bts:unsubscribe","data":{"channel":"order_book_btcusd"}}' in BITSTAMP.subscribe_book(
        ["btcusd"], 100, leave=True
    )
