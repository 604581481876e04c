"""HTX's swaps: what is their own."""

from __future__ import annotations

import json

import pytest

from chandlery.adapter.base import FundingColumns
from chandlery.core.errors import InvalidSymbol, MalformedResponse
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import DAY
from chandlery.exchanges.htx.swaps import HtxInverse, HtxPerpetual
from fixtures.support import micros

PERPETUAL, INVERSE = HtxPerpetual(), HtxInverse()
NOON = micros(2024, 1, 1, 12)


def test_a_page_of_funding_rates_that_may_leave_a_hole_is_an_error():
    """A full page is taken only if it begins with the oldest; a shorter one is put in order."""
    rows = [{"funding_time": str(NOON // 1000 + hour), "funding_rate": "0.0001"} for hour in range(100)]
    newest_first = json.dumps({"data": rows[::-1]}).encode()

    assert NOON == PERPETUAL.funding_rows(json.dumps({"data": rows}).encode()).open_time[0]
    with pytest.raises(MalformedResponse, match="the latest funding rates"):
        PERPETUAL.funding_rows(newest_first)
    assert NOON == PERPETUAL.funding_rows(json.dumps({"data": rows[1::-1]}).encode()).open_time[0]


def test_a_numbered_page_of_funding_rates():
    """As documented: number strings, the latest first, and how many pages there are."""
    row = {"avg_premium_index": "0.000049895833333333", "realized_rate": None, "contract_code": "BTC-USD"}
    rows = [
        row | {"funding_rate": "0.000100000000000000", "funding_time": "1603699200000"},
        row | {"funding_rate": "-0.000200000000000000", "funding_time": "1603670400000"},
    ]

    def page(number: int, rows: list[dict[str, str | None]] = rows) -> FundingColumns:
        data = {"total_page": 14, "current_page": number, "total_size": 28, "data": rows}
        return INVERSE.funding_rows(json.dumps({"status": "ok", "data": data, "ts": 1603699300000}).encode())

    assert ([1603670400000000, 1603699200000000], [-0.0002, 0.0001], False) == page(1)
    assert [False, True] == [page(number).last for number in (13, 14)]
    assert ([], [], True) == page(15, [])
    with pytest.raises(MalformedResponse, match=r"page 2 .* not ordered"):
        page(2, rows[::-1])
    request = INVERSE.funding_request("BTC-USD", Span(0, NOON), 3)
    assert {"contract_code": "BTC-USD", "page_index": 3, "page_size": 50} == request.params


def test_the_swaps_answer_for_two_years():
    """Older candles are not asked for."""
    oldest = INVERSE.oldest(Interval.MINUTE_1, NOON)

    assert oldest is not None
    assert 730 * DAY == NOON - oldest


def test_dated_contracts_are_listed_with_the_linear_swaps_and_after_the_coin_margined_ones():
    """Coin-margined ones that expire have a list and a path of their own, and are spelled differently."""
    row = {"symbol": "BTC", "contract_size": 0.001, "price_tick": 0.1, "contract_status": 1}
    linear = [
        row | {"contract_code": "BTC-USDT", "contract_type": "swap"},
        row | {"contract_code": "BTC-USDT-211203", "contract_type": "this_week"},
    ]
    inverse = [[row | {"contract_code": "BTC-USD"}], [row | {"contract_code": "BTC211126", "contract_size": 100}], []]

    listings, cursor = PERPETUAL.instruments(json.dumps({"data": linear}).encode())
    assert [("BTC-USDT", "BTC/USDT:USDT"), ("BTC-USDT-211203", "BTC/USDT:USDT-211203")] == [
        (each.symbol, str(each.instrument)) for each in listings
    ]
    assert cursor is None
    assert "all" == PERPETUAL.instruments_request().params["business_type"]
    pages = [INVERSE.instruments(json.dumps({"data": each}).encode()) for each in inverse]
    assert [["BTC/USD:BTC"], ["BTC/USD:BTC-211126"], []] == [
        [str(each.instrument) for each in listings] for listings, _ in pages
    ]
    assert 100 == pages[1][0][0].contract_size
    assert ["/api/v1/contract_contract_info", None, None] == [cursor for _, cursor in pages]
    assert "https://api.hbdm.com/api/v1/contract_contract_info" == INVERSE.instruments_request(pages[0][1]).url


def test_candles_of_coin_margined_contracts_that_expire_have_a_path_of_their_own():
    """The parameter is named as on spot; what is no day is no contract."""
    span = Span(NOON, NOON + 60_000_000)
    dated, swap = (INVERSE.candles_request(each, Interval.MINUTE_1, span) for each in ("BTC260327", "BTC-USD"))

    assert ("https://api.hbdm.com/market/history/kline", "BTC260327") == (dated.url, dated.params["symbol"])
    assert ("https://api.hbdm.com/swap-ex/market/history/kline", "BTC-USD") == (swap.url, swap.params["contract_code"])
    with pytest.raises(InvalidSymbol, match="BTC261327"):
        INVERSE.symbol("BTC261327")


def test_books_are_asked_for_by_their_changes():
    """Which begin with a snapshot."""
    (message,) = INVERSE.subscribe_book(["BTC-USD"], 20)
    topic = "market.BTC-USD.depth.size_20.high_freq"

    assert {"sub": topic, "id": topic, "data_type": "incremental"} == json.loads(message)
