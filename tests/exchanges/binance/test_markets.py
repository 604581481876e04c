"""Binance's three markets: what is asked, what is understood, and that nothing else gets through."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.adapter.layout import CandleColumns
from chandlery.core.errors import (
    ChandleryError,
    InvalidSymbol,
    MalformedResponse,
    RequestRejected,
    UnsupportedRequest,
)
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Response
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND
from chandlery.exchanges.binance.markets import SPOT_MICROS_SINCE, BinanceInverse, BinancePerpetual, BinanceSpot
from chandlery.history.checks import check
from fixtures.support import micros

SPOT, PERPETUAL, INVERSE = BinanceSpot(), BinancePerpetual(), BinanceInverse()
MARKETS = [SPOT, PERPETUAL, INVERSE]
EACH = pytest.mark.parametrize("adapter", MARKETS, ids=lambda adapter: adapter.id)
MS = 1_000


def row(opened_ms: int, close_ms: int) -> list[object]:
    """A row as the documentation shows it, written by hand."""
    return [opened_ms, "0.0163", "0.8", "0.0157", "0.0158", "148976.1", close_ms, "2434.2", 308, "1756.9", "28.5", "0"]


# --- what is asked ---------------------------------------------------------------------------------------------------


@given(
    st.sampled_from(MARKETS),
    st.sampled_from(Interval),
    st.integers(micros(2018, 1, 1), micros(2026, 1, 1)),
    st.integers(1, 1500),
    st.integers(0, DAY),
)
def test_a_request_names_exactly_the_opens_of_its_span(adapter, interval, start, count, cut):
    """Both bounds are inclusive on the wire; no open outside the span is asked for, none inside is left out."""
    if interval not in adapter.intervals:
        return
    first = interval.ceil(start)
    span = Span(
        start, max(start + 1, interval.step(first, min(count, adapter.page_size)) - cut % (interval.micros or DAY))
    )
    params = adapter.candles_request("BTCUSDT", interval, span).params

    asked = interval.count(params["startTime"] * MS, params["endTime"] * MS + 1)
    assert interval.count(span.start, span.end) == asked
    assert span.start <= params["startTime"] * MS < span.start + MS
    assert params["endTime"] * MS < span.end <= (params["endTime"] + 1) * MS
    assert asked <= params["limit"] <= adapter.page_size


@pytest.mark.parametrize(
    ("adapter", "path", "page"),
    [
        (SPOT, "https://api.binance.com/api/v3/klines", 1000),
        (PERPETUAL, "https://fapi.binance.com/fapi/v1/klines", 1500),
        (INVERSE, "https://dapi.binance.com/dapi/v1/klines", 1500),
    ],
    ids=lambda value: getattr(value, "id", ""),
)
def test_a_full_page(adapter, path, page):
    """The whole request, as it goes out; the end is always sent, since COIN-M counts back from it."""
    span = Span(micros(2024, 1, 1), micros(2024, 1, 1) + page * MINUTE)
    request = adapter.candles_request("X", Interval.MINUTE_1, span)

    expected = {
        "symbol": "X",
        "interval": "1m",
        "startTime": span.start // MS,
        "endTime": span.end // MS - 1,
        "limit": page,
    }
    assert (path, expected, "GET") == (request.url, request.params, request.method)
    assert adapter.page_size == page
    assert adapter.limits == request.limits


@pytest.mark.parametrize(
    ("count", "weight"), [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10), (1500, 10)]
)
def test_what_a_page_costs(count, weight):
    """Two on spot, whatever the limit; one, two, five or ten by limit on the futures."""
    span = Span(micros(2024, 1, 1), micros(2024, 1, 1) + count * MINUTE)

    assert [weight] * 2 == [each.candles_request("X", Interval.MINUTE_1, span).weight for each in (PERPETUAL, INVERSE)]
    assert 2 == SPOT.candles_request("X", Interval.MINUTE_1, span).weight


def test_limits_and_spans_of_the_markets():
    """6000 a minute on spot, 2400 on each of the futures; COIN-M answers at most 200 days at once."""
    assert [(RateLimit(6000, 60),), (RateLimit(2400, 60),), (RateLimit(2400, 60),)] == [each.limits for each in MARKETS]
    assert [None, None, 200 * DAY] == [each.longest_request for each in MARKETS]
    assert ["base", "base", "contracts"] == [each.volume_unit for each in MARKETS]


def test_only_spot_has_seconds():
    """The futures refuse 1s before anything is sent."""
    assert "1s" == SPOT.interval_name(Interval.SECOND_1)
    for futures in (PERPETUAL, INVERSE):
        with pytest.raises(UnsupportedRequest, match="no 1s candles; it has 1m 3m"):
            futures.interval_name(Interval.SECOND_1)


@EACH
def test_a_month_is_spelled_as_a_month(adapter):
    """``1M``, never ``1m``."""
    assert ("1m", "1M") == (adapter.interval_name(Interval.MINUTE_1), adapter.interval_name(Interval.MONTH_1))


@EACH
def test_the_oldest_candle_is_asked_for_from_the_beginning(adapter):
    """A start and no end: one candle, the oldest from there."""
    request = adapter.first_candle_request("X", Interval.DAY_1)

    if adapter is INVERSE:
        assert request is None, "its pages count back from their end, so the first candle is searched for"
        return
    assert {"symbol": "X", "interval": "1d", "startTime": 0, "limit": 1} == request.params
    assert (2 if adapter is SPOT else 1) == request.weight


def test_funding_is_asked_for_by_page_and_only_of_perpetuals():
    """Both bounds inclusive, a thousand a page, under a budget of its own; spot has none."""
    request = PERPETUAL.funding_request("BTCUSDT", Span(micros(2024, 1, 1), micros(2024, 1, 2)))

    expected = {
        "symbol": "BTCUSDT",
        "startTime": micros(2024, 1, 1) // MS,
        "endTime": micros(2024, 1, 2) // MS - 1,
        "limit": 1000,
    }
    assert ("https://fapi.binance.com/fapi/v1/fundingRate", expected) == (request.url, request.params)
    assert (RateLimit(500, 300),) == request.limits
    with pytest.raises(UnsupportedRequest, match="binance_spot has no funding rates"):
        SPOT.funding_request("BTCUSDT", Span(0, 1))
    with pytest.raises(UnsupportedRequest):
        SPOT.funding_rows(b"[]")


@pytest.mark.parametrize(
    ("adapter", "interval", "monthly", "path"),
    [
        (SPOT, Interval.MINUTE_1, False, "/data/spot/daily/klines/X/1m/X-1m-2024-02-01.zip"),
        (SPOT, Interval.MONTH_1, True, "/data/spot/monthly/klines/X/1mo/X-1mo-2024-02.zip"),
        (PERPETUAL, Interval.HOUR_12, True, "/data/futures/um/monthly/klines/X/12h/X-12h-2024-02.zip"),
        (INVERSE, Interval.DAY_1, False, "/data/futures/cm/daily/klines/X/1d/X-1d-2024-02-01.zip"),
    ],
)
def test_where_the_archive_keeps_a_file(adapter, interval, monthly, path):
    """By market, day or month, symbol and interval; the month's interval is spelled ``1mo`` there."""
    request = adapter.archive_request("X", interval, micros(2024, 2, 1), monthly=monthly)

    assert f"https://data.binance.vision{path}" == request.url


# --- symbols ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "text", "native"),
    [
        (SPOT, "BTCUSDT", "BTCUSDT"),
        (SPOT, "btcusdt", "BTCUSDT"),
        (SPOT, "BTC/USDT", "BTCUSDT"),
        (SPOT, "BTC-USDT", "BTCUSDT"),
        (PERPETUAL, "BTCUSDT", "BTCUSDT"),
        (PERPETUAL, "BTC/USDT", "BTCUSDT"),
        (PERPETUAL, "BTC/USDT:USDT", "BTCUSDT"),
        (PERPETUAL, "BTCUSDT_240329", "BTCUSDT_240329"),
        (INVERSE, "BTCUSD_PERP", "BTCUSD_PERP"),
        (INVERSE, "BTC/USD:BTC", "BTCUSD_PERP"),
        (INVERSE, "BTC-USD", "BTCUSD_PERP"),
        (INVERSE, "BTCUSD_240329", "BTCUSD_240329"),
        (PERPETUAL, "BTC/USDT:USDT-240329", "BTCUSDT_240329"),
        (PERPETUAL, "BTCBUSD_210129", "BTCBUSD_210129"),
        (INVERSE, "BTC/USD:BTC-240329", "BTCUSD_240329"),
        (SPOT, "币安人生/usdt", "币安人生USDT"),
        (PERPETUAL, "币安人生usdt", "币安人生USDT"),
    ],
)
def test_symbols_that_are_understood(adapter, text, native):
    """The exchange's spelling, ccxt's, and a dash between the two."""
    assert native == adapter.symbol(text)


@pytest.mark.parametrize(
    ("adapter", "text"),
    [
        (SPOT, "BTC/USDT:USDT"),
        (SPOT, "BTC/USD:BTC"),
        (SPOT, "BTCUSD_PERP"),
        (SPOT, "BTCUSDT_240329"),
        (PERPETUAL, "BTC/USD:BTC"),
        (PERPETUAL, "BTCUSD_PERP"),
        (PERPETUAL, "BTCUSD_240329"),
        (INVERSE, "BTC/USDT:USDT"),
        (INVERSE, "BTC/USDT:USDT-240329"),
        (SPOT, "BTC/USDT:USDT-240329"),
        (INVERSE, "BTCUSD"),
        (INVERSE, "BTC-USD-SWAP"),
        *[
            (market, text)
            for market in MARKETS
            for text in ["", "BTC", "../../etc", "BTC\0USDT", "BTC USDT", "CON", "a/b/c"]
        ],
    ],
)
def test_symbols_that_are_refused(adapter, text):
    """Another market's symbol is never bent into one of this market; nor is what could leave a folder."""
    with pytest.raises(InvalidSymbol):
        adapter.symbol(text)


@given(st.sampled_from(MARKETS), st.text(max_size=40))
def test_a_symbol_holds_no_punctuation_but_underscores(adapter, text):
    """Whatever is typed, the outcome is safe in a URL and in a path, and understood again as itself."""
    try:
        symbol = adapter.symbol(text)
    except InvalidSymbol:
        return

    assert symbol.isprintable()
    assert all(letter > "~" or letter.isalnum() or letter == "_" for letter in symbol)
    assert symbol == adapter.symbol(symbol)


# --- what is understood ----------------------------------------------------------------------------------------------


@EACH
def test_a_row_of_the_documentation(adapter):
    """Each of the twelve places, the last of which means nothing."""
    columns = adapter.candle_rows(json.dumps([row(1499040000000, 1499644799999)]).encode())

    expected = CandleColumns(
        [1499040000000 * MS],
        (0.0163,),
        (0.8,),
        (0.0157,),
        (0.0158,),
        (148976.1,),
        [1499644799999 * MS],
        (2434.2,),
        (308,),
        (1756.9,),
        (28.5,),
    )
    assert expected == columns


def test_close_time_is_what_the_archive_writes():
    """Spot: the last millisecond until 2024, the last microsecond from 2025 on; futures: the last millisecond."""
    before, since = SPOT_MICROS_SINCE - HOUR, SPOT_MICROS_SINCE
    body = json.dumps([row(opened // MS, (opened + HOUR) // MS - 1) for opened in (before, since)]).encode()

    assert [before + HOUR - MS, since + HOUR - 1] == SPOT.candle_rows(body).close_time
    assert [before + HOUR - MS, since + HOUR - MS] == PERPETUAL.candle_rows(body).close_time


def test_funding_rates_of_the_documentation():
    """Time and rate; a few milliseconds past the hour stay as they are."""
    body = (
        b'[{"symbol":"BTCUSDT","fundingRate":"-0.03750000","fundingTime":1570608000003,"markPrice":"34287.54619963"}]'
    )

    assert ([1570608000003 * MS], [-0.0375]) == tuple(PERPETUAL.funding_rows(body)[:2])


@pytest.mark.parametrize("rate", ['"nan"', '"inf"', '"-Infinity"', "null", '""', "true"])
def test_a_funding_rate_that_is_no_number_is_malformed(rate):
    """It never becomes a value."""
    with pytest.raises(MalformedResponse):
        PERPETUAL.funding_rows(b'[{"fundingRate":%s,"fundingTime":1570608000000}]' % rate.encode())


@EACH
def test_the_clock(adapter):
    """Milliseconds; anything else is malformed."""
    assert 1499827319559 * MS == adapter.server_time(b'{"serverTime": 1499827319559}')
    for body in (b"", b"{}", b"[]", b'{"serverTime": "x"}', b'{"serverTime": -1}', b'{"serverTime": 1e300}'):
        with pytest.raises(MalformedResponse):
            adapter.server_time(body)


@EACH
def test_what_an_error_body_says(adapter):
    """An unknown symbol is the caller's mistake; other codes are passed on; a body without a code says nothing."""
    unknown = adapter.error(Response(400, {}, b'{"code":-1121,"msg":"Invalid symbol."}'))
    refused = adapter.error(Response(400, {}, b'{"code":-1100,"msg":"Illegal characters."}'))

    assert isinstance(unknown, InvalidSymbol)
    assert isinstance(refused, RequestRejected)
    assert (400, -1100) == (refused.status, refused.code)
    assert "Illegal characters. (code -1100)" in str(refused)
    assert not unknown.retryable
    assert not refused.retryable
    for body in (b"", b"<html>", b"[]", b"{}", b'{"message":"x"}', b"\xff"):
        assert adapter.error(Response(502, {}, body)) is None


# --- damage ----------------------------------------------------------------------------------------------------------

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["nan", "inf", "-inf", "Infinity", "-1", "1e999", "1e-999", "0x10", "1_0", " 1", "\uff19", ""])
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=13) | st.dictionaries(st.text(max_size=4), inner), max_leaves=14
)


def nodes(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """The path of each node of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, each in inner for found in nodes(each, (*path, key)))]


def replaced(value: object, path: tuple[object, ...], by: object) -> object:
    """The value with another one at that path."""
    if not path:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], by)
    return copy


ROWS = [row(micros(2024, 12, 31, hour) // MS, micros(2024, 12, 31, hour + 1) // MS - 1) for hour in range(3)]
RATES = [{"symbol": "X", "fundingRate": "0.0001", "fundingTime": micros(2024, 1, 1, hour) // MS} for hour in (0, 8, 16)]


@given(st.sampled_from(MARKETS), st.sampled_from(nodes(ROWS)), ANYTHING)
def test_damaged_candles_are_finite_or_refused(adapter, path, anything):
    """Whatever stands in place of one node: believable candles come out, or our error, and nothing else."""
    try:
        columns = adapter.candle_rows(json.dumps(replaced(ROWS, path, anything)).encode())
    except MalformedResponse:
        return
    arrays = {
        name: np.array(getattr(columns, name), np.int64 if name in {"open_time", "close_time", "count"} else np.float64)
        for name in adapter.rest_row.places()
        if getattr(columns, name) is not None
    }
    span = Span(micros(2024, 12, 31), micros(2024, 12, 31, 3))
    good = check(arrays, Interval.HOUR_1, span, "a damaged page").columns

    assert all(np.isfinite(values).all() for values in good.values())
    assert all((good[name] >= 0).all() for name in good.keys() & {"volume", "quote_asset_volume", "count"})
    assert all(span.holds(opened) for opened in good["open_time"].tolist())
    assert (good["low"] <= good["high"]).all()


@given(st.sampled_from(nodes(RATES)), ANYTHING)
def test_damaged_funding_is_finite_or_refused(path, anything):
    """The same for funding rates."""
    try:
        columns = PERPETUAL.funding_rows(json.dumps(replaced(RATES, path, anything)).encode())
    except MalformedResponse:
        return

    assert np.isfinite(columns.funding_rate).all()
    assert len(columns.funding_rate) == len(np.array(columns.open_time, np.int64))


@given(st.sampled_from(MARKETS), ANYTHING, st.binary(max_size=20))
def test_damaged_errors_and_clocks_raise_nothing_of_their_own(adapter, anything, junk):
    """An error body is understood or says nothing; a clock is a moment or malformed."""
    for body in (json.dumps(anything).encode(), json.dumps({"code": anything, "serverTime": anything}).encode(), junk):
        assert isinstance(adapter.error(Response(400, {}, body)), ChandleryError | None)
        try:
            assert adapter.server_time(body) >= 0
        except MalformedResponse:
            continue


# --- evidence --------------------------------------------------------------------------------------------------------


def test_recorded_candles_equal_what_ccxt_made_of_them(recorded):
    """A recorded answer of spot, read here and by ccxt, gives the same numbers."""
    evidence = json.loads((recorded / "ankvik-ccxt-rs/binance/fetch_ohlcv_BTC_USDT.json").read_text())
    columns = SPOT.candle_rows(json.dumps(evidence["http_response"]).encode())
    ours = zip(columns.open_time, columns.open, columns.high, columns.low, columns.close, columns.volume, strict=True)

    assert evidence["parsed_response"] == [[opened // MS, *values] for opened, *values in ours]
    assert list(columns.close_time) == [opened + HOUR - 1 for opened in columns.open_time]


def test_recorded_klines_are_read_whole(recorded):
    """Each recorded answer: every row, every value, on the grid of the interval that was asked for."""
    evidence = json.loads((recorded / "gocryptotrader/derived/binance_http_dev.json").read_text())
    exchanges = evidence["routes"]["/api/v3/klines"]["GET"]
    read = 0
    for exchange in exchanges:
        if not isinstance(exchange["data"], list):
            continue
        interval = Interval(parse_qs(exchange["queryString"])["interval"][0])
        columns = SPOT.candle_rows(json.dumps(exchange["data"]).encode())
        read += len(columns.open_time)

        assert [each[0] * MS for each in exchange["data"]] == list(columns.open_time)
        assert all(opened == interval.floor(opened) for opened in columns.open_time)
        for name, place in SPOT.rest_row.places().items():
            if name not in {"open_time", "close_time"}:
                assert [float(each[place]) for each in exchange["data"]] == list(getattr(columns, name)), name
        assert all(
            -SECOND < end - interval.step(opened) < 0
            for opened, end in zip(columns.open_time, columns.close_time, strict=True)
        )

    assert read > 1000


def test_recorded_pages_are_the_answers_to_our_requests(recorded):
    """The rows of a recorded page are within what its query asked, bounds included."""
    evidence = json.loads((recorded / "gocryptotrader/derived/binance_http_dev.json").read_text())
    checked = 0
    for exchange in evidence["routes"]["/api/v3/klines"]["GET"]:
        query = {name: values[0] for name, values in parse_qs(exchange["queryString"]).items()}
        if {"startTime", "endTime"} <= set(query) and exchange["data"]:
            opens = [each[0] for each in exchange["data"]]
            checked += 1

            assert int(query["startTime"]) <= opens[0]
            assert opens[-1] <= int(query["endTime"])
            assert opens == sorted(set(opens))

    if not checked:
        pytest.skip("no recorded query has both bounds")
