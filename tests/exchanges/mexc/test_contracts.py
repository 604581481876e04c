"""MEXC's contracts: columns, versions, and which of the two markets a symbol belongs to."""

from __future__ import annotations

import json

import pytest

from chandlery.adapter.base import FundingColumns
from chandlery.core.errors import InvalidSymbol, MalformedResponse, RequestRejected
from chandlery.core.gaps import Span
from chandlery.core.instrument import ListingStatus
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND
from chandlery.exchanges.mexc.contracts import MexcInverse, MexcPerpetual
from fixtures.support import micros

LINEAR, INVERSE = MexcPerpetual(), MexcInverse()
START = micros(2025, 3, 12, 10)


def test_recorded_candles_are_understood(recorded):
    """The page in another project's tests, and what that project makes of it; the prices of before are left out."""
    held = [json.loads(line) for line in (recorded / "hummingbot/derived/dev.jsonl").read_text().splitlines()]
    by_fixture = {each["fixture"]: each["value"] for each in held if each["feed"] == "mexc_perpetual_candles"}
    body = json.dumps(by_fixture["get_candles_rest_data_mock"]).encode()
    columns = LINEAR.candle_rows(body)
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

    assert [(row[0] * SECOND, *row[1:7]) for row in by_fixture["get_fetch_candles_data_mock"]] == list(rows)
    assert 4 == len(columns.open_time)


def recordings(folder):
    """What another project recorded of MEXC, by kind and test; spot's JSON of those days is not sent any more."""
    lines = [json.loads(line) for line in (folder / "crypto-msg-parser/derived/dev.jsonl").read_text().splitlines()]
    return {(each["module"], each["test"]): each["raw"].encode() for each in lines if each["exchange"] == "mexc"}


def test_recorded_books_are_understood(recorded):
    """A change of an inverse contract's book, and a snapshot; whole books of a few levels are not subscribed to."""
    raws = recordings(recorded)
    (update,) = INVERSE.book_updates(raws["l2_event", "inverse_swap_update"])
    snapshot = LINEAR.book_snapshot("BTC_USDT", raws["l2_snapshot", "linear_swap"])

    assert ("BTC_USD", [(39944.0, 943.0)], []) == (update.symbol, update.bids, update.asks)
    assert (2768205529, 2768205529, 1647000870946000) == (update.first, update.last, update.at)
    assert (5216820883, 1654328706778000, True) == (snapshot.last, snapshot.at, snapshot.is_snapshot)
    assert [(29675.5, 59944.0), (29675.0, 29676.0), (29674.5, 15455.0)] == snapshot.bids
    assert () == LINEAR.book_updates(raws["l2_topk", "linear_swap"])


def test_a_recorded_inverse_candle_counts_contracts_and_coins(recorded):
    """2539 contracts of 100 dollars are, at that price, the 8.0759 coins that stand beside them."""
    (row,) = INVERSE.live_rows(recordings(recorded)["candlestick", "inverse_swap"])
    candle = row.candle

    assert ("BTC_USD", Interval.MINUTE_1, 1654083720000000) == (row.symbol, row.interval, candle.open_time)
    assert (31439.5, 31439.5, 31439.0, 31439.5) == (candle.open, candle.high, candle.low, candle.close)
    assert 2539.0 == candle.volume
    assert candle.quote_asset_volume == pytest.approx(100 * candle.volume / candle.close, rel=1e-4)
    assert not candle.closed


def test_changes_that_were_merged_hold_several_versions():
    """``begin`` is the first of them, where it is sent."""
    data = '{"asks":[[39146.5,11264,1]],"bids":[],"end":4895965272,"begin":4895965271,"version":4895965272}'
    (update,) = LINEAR.book_updates(f'{{"channel":"push.depth","data":{data},"symbol":"BTC_USDT"}}'.encode())

    assert (4895965271, 4895965272, None) == (update.first, update.last, update.at)


def test_a_numbered_page_of_funding_rates():
    """As documented: the latest first, and how many pages there are; one past the last is empty."""
    rows = [
        {"symbol": "BTC_USDT", "fundingRate": 0.000021, "settleTime": 1761868800000, "collectCycle": 8},
        {"symbol": "BTC_USDT", "fundingRate": -0.000001, "settleTime": 1761840000000, "collectCycle": 8},
    ]

    def page(number: int, rows: list[dict[str, object]] = rows) -> FundingColumns:
        data = {"pageSize": 2, "totalCount": 1620, "totalPage": 810, "currentPage": number, "resultList": rows}
        return LINEAR.funding_rows(json.dumps({"success": True, "code": 0, "data": data}).encode())

    assert ([1761840000000000, 1761868800000000], [-0.000001, 0.000021], False) == page(1)
    assert [False, True] == [page(number).last for number in (809, 810)]
    assert ([], [], True) == page(811, [])
    with pytest.raises(MalformedResponse, match=r"page 2 .* not ordered"):
        page(2, rows[::-1])
    request = INVERSE.funding_request("BTC_USD", Span(0, START), 3)
    assert request.url.endswith("/api/v1/contract/funding_rate/history")
    assert {"symbol": "BTC_USD", "page_num": 3, "page_size": 100} == request.params


@pytest.mark.parametrize("late", [0, 1, MINUTE - 1])
def test_the_end_of_a_page_is_between_two_opens(late):
    """So it does not matter whether the exchange takes it as inclusive."""
    span = Span(START - late, START + 3 * MINUTE - late)
    request = LINEAR.candles_request("BTC_USDT", Interval.MINUTE_1, span)

    assert request.url.endswith("/api/v1/contract/kline/BTC_USDT")
    assert START == request.params["start"] * SECOND
    assert START + 2 * MINUTE < request.params["end"] * SECOND < START + 3 * MINUTE


def test_columns_of_different_lengths_are_an_error():
    """A value without its time, or the other way round, cannot be placed."""
    data = {name: [1] for name in ("time", "open", "high", "low", "close", "vol", "amount")}

    with pytest.raises(MalformedResponse, match="different lengths"):
        LINEAR.candle_rows(json.dumps({"data": {**data, "close": [1, 2]}}).encode())


def test_what_is_quoted_in_usd_is_inverse():
    """The two markets have no symbol in common."""
    assert "BTC_USDT" == LINEAR.symbol("btc/usdt") == LINEAR.symbol("BTC/USDT:USDT")
    assert "BTC_USD" == INVERSE.symbol("BTC-USD") == INVERSE.symbol("BTC/USD:BTC")
    for adapter, text in ((LINEAR, "BTC_USD"), (LINEAR, "BTC/USD"), (INVERSE, "BTC_USDT"), (INVERSE, "BTC/USDT")):
        with pytest.raises(InvalidSymbol):
            adapter.symbol(text)


def test_listings_are_those_of_the_market():
    """By what a contract is settled in; one that is neither enabled nor paused will not trade again."""
    contract = {"quoteCoin": "USDT", "settleCoin": "USDT", "contractSize": 0.0001, "priceUnit": 0.5, "volUnit": 1}
    contracts = [
        {**contract, "symbol": "BTC_USDT", "baseCoin": "BTC", "state": 0},
        {**contract, "symbol": "LUNA_USDT", "baseCoin": "LUNA", "state": 3},
        {**contract, "symbol": "ETH_USDT", "baseCoin": "ETH", "state": 4},
        {
            **contract,
            "symbol": "BTC_USD",
            "baseCoin": "BTC",
            "quoteCoin": "USD",
            "settleCoin": "BTC",
            "contractSize": 100,
            "state": 0,
        },
    ]
    body = json.dumps({"success": True, "code": 0, "data": contracts}).encode()
    linear, _ = LINEAR.instruments(body)
    (inverse,), _ = INVERSE.instruments(body)

    assert [ListingStatus.LISTED, ListingStatus.DELISTED, ListingStatus.HALTED] == [each.status for each in linear]
    assert (0.0001, 0.5, 1.0) == (linear[0].contract_size, linear[0].tick_size, linear[0].lot_size)
    assert ("BTC/USD:BTC", 100.0) == (str(inverse.instrument), inverse.contract_size)


def test_a_subscription_that_fails_is_an_error():
    """In the exchange's words; a pong is nothing."""
    with pytest.raises(RequestRejected, match="Contract doesn't exist!"):
        LINEAR.live_rows(b'{"channel":"rs.error","data":"Contract doesn\'t exist!","ts":"1587442022003"}')
    assert () == LINEAR.live_rows(b'{"channel":"pong","data":1587453241453}')


def test_books_are_asked_for_unmerged():
    """So that each version comes; the end of a subscription names the contract alone."""
    (on,), (off,) = (LINEAR.subscribe_book(["BTC_USDT"], 1000, leave=leave) for leave in (False, True))

    assert {"method": "sub.depth", "param": {"symbol": "BTC_USDT", "compress": False}} == json.loads(on)
    assert {"method": "unsub.depth", "param": {"symbol": "BTC_USDT"}} == json.loads(off)
