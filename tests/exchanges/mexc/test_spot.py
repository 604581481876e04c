"""MEXC spot: its pages, its pushes, its refusals."""

from __future__ import annotations

import json

import pytest

from chandlery.core.errors import ExchangeUnavailable, InvalidSymbol, MalformedResponse, RateLimited, RequestRejected
from chandlery.core.gaps import Span
from chandlery.core.http import Response
from chandlery.core.instrument import ListingStatus
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE
from chandlery.exchanges.mexc.protobuf import push_class
from chandlery.exchanges.mexc.spot import MexcSpot
from fixtures.support import micros

MEXC = MexcSpot()
START = micros(2025, 3, 12, 10)


def test_recorded_candles_are_understood(recorded):
    """The page in another project's tests, and what that project makes of it."""
    held = [json.loads(line) for line in (recorded / "hummingbot/derived/dev.jsonl").read_text().splitlines()]
    by_fixture = {each["fixture"]: each["value"] for each in held if each["feed"] == "mexc_spot_candles"}
    columns = MEXC.candle_rows(json.dumps(by_fixture["get_candles_rest_data_mock"]).encode())
    rows = zip(
        columns.open_time,
        columns.open,
        columns.high,
        columns.low,
        columns.close,
        columns.volume,
        columns.quote_asset_volume,
        strict=True,
    )

    assert [
        (round(row[0]) * 1_000_000, *map(float, row[1:7])) for row in by_fixture["get_fetch_candles_data_mock"]
    ] == list(rows)
    assert 5 == len(columns.open_time)


@pytest.mark.parametrize("late", [0, 1, MINUTE - 1])
def test_the_end_of_a_page_is_between_two_opens(late):
    """So it does not matter whether the exchange takes it as inclusive."""
    params = MEXC.candles_request("BTCUSDT", Interval.MINUTE_1, Span(START, START + 3 * MINUTE - late)).params

    assert START == params["startTime"] * 1000
    assert START + 2 * MINUTE < params["endTime"] * 1000 < START + 3 * MINUTE
    assert 500 == params["limit"]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, -1121, InvalidSymbol),
        (200, 429, RateLimited),
        (200, 510, RateLimited),
        (200, 503, ExchangeUnavailable),
        (400, 700008, RequestRejected),
    ],
)
def test_codes_say_what_went_wrong(status, code, kind):
    """Whatever the status."""
    assert kind is type(MEXC.error(Response(status, {}, json.dumps({"code": code, "msg": "said"}).encode())))


def test_answers_without_a_code_are_no_errors():
    """A page, a list with the code 200, and what is no JSON."""
    assert MEXC.error(Response(200, {}, b"[[1,2]]")) is None
    assert MEXC.error(Response(200, {}, b'{"code":200,"data":[]}')) is None
    assert MEXC.error(Response(403, {}, b"<html>")) is None
    assert MEXC.error(Response(200, {}, b'{"code":5,"msg":"\xff"}')) is None


def test_a_subscription_that_is_blocked_is_an_error():
    """Its code is 0 all the same; a pong is nothing."""
    blocked = '{"id":0,"code":0,"msg":"Not Subscribed successfully! [x].  Reason： Blocked! "}'.encode()  # noqa: RUF001

    with pytest.raises(RequestRejected, match="Blocked"):
        MEXC.live_rows(blocked)
    with pytest.raises(RequestRejected, match="no"):
        MEXC.book_updates(b'{"id":0,"code":1,"msg":"no"}')
    assert () == MEXC.live_rows(b'{"id":0,"code":0,"msg":"PONG"}')


def test_a_push_of_the_documentation_is_understood():
    """A change of the book, with the versions that it holds; it is no candle."""
    push = push_class()(symbol="BTCUSDT", sendTime=1736411507002)
    depths = push.publicAggreDepths
    depths.fromVersion = depths.toVersion = "10589632359"
    depths.bids.add(price="92877.58", quantity="0.00000000")
    (update,) = MEXC.book_updates(push.SerializeToString())

    assert ([(92877.58, 0.0)], []) == (update.bids, update.asks)
    assert (10589632359, 10589632359) == (update.first, update.last)
    assert 1736411507002000 == update.at
    assert () == MEXC.live_rows(push.SerializeToString())


@pytest.mark.parametrize(("field", "value"), [("interval", "Min7"), ("openingPrice", "nan"), ("windowStart", -1)])
def test_a_kline_that_is_none_is_an_error(field, value):
    """An interval that there is not, a price that is no number, a time before all."""
    push = push_class()(symbol="BTCUSDT")
    kline = push.publicSpotKline
    kline.interval, kline.windowStart = "Min1", 1736410500
    for name in ("openingPrice", "closingPrice", "highestPrice", "lowestPrice", "volume", "amount"):
        setattr(kline, name, "1.5")
    assert 1 == len(MEXC.live_rows(push.SerializeToString()))
    setattr(kline, field, value)

    with pytest.raises(MalformedResponse):
        MEXC.live_rows(push.SerializeToString())


def test_a_kline_without_its_turnover_is_one():
    """Protobuf leaves out what is empty."""
    push = push_class()(symbol="BTCUSDT")
    push.publicSpotKline.interval, push.publicSpotKline.windowStart = "Min1", 1736410500
    for name in ("openingPrice", "closingPrice", "highestPrice", "lowestPrice", "volume"):
        setattr(push.publicSpotKline, name, "1.5")
    (row,) = MEXC.live_rows(push.SerializeToString())

    assert (1.5, None) == (row.candle.volume, row.candle.quote_asset_volume)


def test_listings_have_the_status_of_the_exchange():
    """1 is online, 2 a pause, 3 offline; precisions are digits."""
    symbol = {
        "symbol": "OGNUSDT",
        "baseAsset": "OGN",
        "baseAssetPrecision": "2",
        "quoteAsset": "USDT",
        "quoteAssetPrecision": "4",
    }
    body = json.dumps({"symbols": [{**symbol, "status": status} for status in ("1", "2", "3", "ENABLED")]})
    listings, cursor = MEXC.instruments(body.encode())

    assert cursor is None
    assert [
        ListingStatus.LISTED,
        ListingStatus.HALTED,
        ListingStatus.DELISTED,
        ListingStatus.HALTED,
    ] == [each.status for each in listings]
    assert (1e-4, 1e-2) == (listings[0].tick_size, listings[0].lot_size)
