"""What KuCoin alone has: tokens, spellings, and messages that it really sent."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timedelta

import pytest

from chandlery.adapter.live import CandleStream, Channel
from chandlery.adapter.standing import Standing
from chandlery.core.errors import InvalidSymbol, MalformedResponse, RequestRejected
from chandlery.core.gaps import Span
from chandlery.core.http import Response
from chandlery.core.instrument import ListingStatus
from chandlery.core.interval import Interval
from chandlery.core.time import HOUR, MINUTE
from chandlery.exchanges.kucoin import KuCoinInverse, KuCoinPerpetual, KuCoinSpot
from fixtures.support import micros, moment

SPOT, PERPETUAL, INVERSE = KuCoinSpot(), KuCoinPerpetual(), KuCoinInverse()
FUNDINGS = "supervik-funding/BTC-USDT/BTC-USDT_kucoin_2021-01-01_2024-01-01_funding_history.csv"
TOKEN = json.dumps(
    {
        "code": "200000",
        "data": {
            "token": "2neAi+/==.Mc4c==",
            "instanceServers": [{"endpoint": "wss://ws-api-spot.kucoin.com/", "pingInterval": 18000}],
        },
    }
).encode()


def messages(recorded, module):
    """The raw messages of KuCoin in one module of the crypto-msg-parser extract, by test."""
    lines = (recorded / "crypto-msg-parser/derived/dev.jsonl").read_text().splitlines()
    held = [line for line in map(json.loads, lines) if (line["exchange"], line["module"]) == ("kucoin", module)]
    return {line["test"]: line["raw"].encode() for line in held}


# --- tokens and spellings --------------------------------------------------------------------------------------------


def test_a_socket_opens_with_the_token_of_a_new_request():
    """Where the answer says, or at the address that was given in its place; the token is quoted."""
    request = SPOT.handshake_request()
    moved = KuCoinSpot({"ws": "ws://127.0.0.1:1/kucoin_spot"})

    assert ("POST", "https://api.kucoin.com/api/v1/bullet-public", 10) == (request.method, request.url, request.weight)
    query = "?token=2neAi%2B%2F%3D%3D.Mc4c%3D%3D"
    assert f"wss://ws-api-spot.kucoin.com/{query}" == SPOT.socket_url(Channel.CANDLES, TOKEN)
    assert f"ws://127.0.0.1:1/kucoin_spot/{query}" == moved.socket_url(Channel.BOOK, TOKEN)
    for answer in (None, b'{"code":"200000","data":{"token":"x","instanceServers":[]}}'):
        with pytest.raises(MalformedResponse, match="not a token"):
            SPOT.socket_url(Channel.CANDLES, answer)


@pytest.mark.parametrize(
    ("adapter", "text", "native"),
    [
        (SPOT, "btc-usdt", "BTC-USDT"),
        (PERPETUAL, "BTC/USDT:USDT", "XBTUSDTM"),
        (PERPETUAL, "ETH-USDC", "ETHUSDCM"),
        (PERPETUAL, "xbtusdtm", "XBTUSDTM"),
        (INVERSE, "BTC-USD", "XBTUSDM"),
        (INVERSE, "ETH/USD:ETH", "ETHUSDM"),
    ],
)
def test_symbols(adapter, text, native):
    """Bitcoin is XBT where there are contracts."""
    assert native == adapter.symbol(text)


@pytest.mark.parametrize(
    ("adapter", "text"),
    [
        (PERPETUAL, "XBTUSDM"),
        (PERPETUAL, "BTC-USD"),
        (INVERSE, "XBTUSDTM"),
        (INVERSE, "BTC-USDT"),
        (PERPETUAL, "XBTMM21"),
        (PERPETUAL, "BTC/USDT:USDT-210625"),
    ],
)
def test_the_contracts_of_one_market_are_none_of_the_other(adapter, text):
    """They live on one host, which would answer."""
    with pytest.raises(InvalidSymbol, match=adapter.id):
        adapter.symbol(text)


@pytest.mark.parametrize(
    ("adapter", "start", "end"), [(SPOT, 1_741_774_860, 1_741_774_921), (INVERSE, 1_741_774_860_000, 1_741_774_920_001)]
)
def test_the_end_of_candles_lies_just_after_the_last_open(adapter, start, end):
    """So that it does not matter whether it is inclusive."""
    opened = micros(2025, 3, 12, 10, 21)
    for span in (Span(opened, opened + 2 * MINUTE), Span(opened - 1, opened + MINUTE + 1)):
        params = list(adapter.candles_request("X", Interval.MINUTE_1, span).params.values())

        assert [start, end] == params[-2:]


def test_pages_of_futures_are_as_short_as_other_clients_found_them():
    """500 candles are documented, 200 seen by three clients: what both allow is asked for."""
    assert {200} == {PERPETUAL.page_size, INVERSE.page_size}
    assert Standing.CONTRADICTED is PERPETUAL.standing["candles per request"].standing


def test_one_message_subscribes_to_a_candle_stream_or_to_a_hundred_books():
    """Lists of topics are documented for symbols alone."""
    candles = SPOT.subscribe([CandleStream("A-B", Interval.MINUTE_1), CandleStream("C-D", Interval.HOUR_1)])
    books = PERPETUAL.subscribe_book([f"A{number}USDTM" for number in range(101)], 50, leave=True)

    assert ["/market/candles:A-B_1min", "/market/candles:C-D_1hour"] == [json.loads(each)["topic"] for each in candles]
    assert {"id": "0", "type": "ping"} == json.loads(SPOT.ping())
    assert [100, 1] == [json.loads(each)["topic"].count("USDTM") for each in books]
    assert {"unsubscribe"} == {json.loads(each)["type"] for each in books}


def test_a_topic_that_is_refused_is_an_error():
    """With the code and the words of the exchange."""
    message = b'{"id":"p28","type":"error","code":404,"data":"topic does not exist"}'
    for read in (SPOT.live_rows, PERPETUAL.book_updates):
        with pytest.raises(RequestRejected, match="topic does not exist") as caught:
            read(message)

        assert 404 == caught.value.code


def test_a_candle_of_no_stream_is_refused():
    """The topic alone says of what it is."""
    row = '["1589968800","1","1","1","1","0","0"]'
    for topic in ("/market/candles:BTC-USDT_1min2", "/market/candles:_1min", ""):
        with pytest.raises(MalformedResponse, match="not a topic of candles"):
            SPOT.live_rows(f'{{"type":"message","topic":"{topic}","data":{{"candles":{row}}}}}'.encode())


def test_fetched_books():
    """Of spot at most 100 levels, of futures all."""
    paths = [SPOT.book_request("X", depth).url.rpartition("/")[2] for depth in (5, 20, 21, 1000)]

    assert ["level2_20", "level2_20", "level2_100", "level2_100"] == paths
    assert "https://api-futures.kucoin.com/api/v1/level2/snapshot" == PERPETUAL.book_request("X", 5).url


def test_what_is_no_error():
    """A fine code with any status, and what is none of the exchange's answers."""
    assert SPOT.error(Response(200, {}, b'{"code":"200000","data":[]}')) is None
    assert SPOT.error(Response(502, {}, b"<html>")) is None
    assert SPOT.live_rows(b'{"id":"1","type":"pong"}') == SPOT.book_updates(b'{"id":"x","type":"welcome"}') == ()


# --- what was recorded -----------------------------------------------------------------------------------------------


def test_recorded_candles(recorded):
    """All six of the capture; none says that it is closed. Weeks of spot begin on Thursdays, so they are not offered."""
    lines = (recorded / "cryptofeed/master/KUCOIN.ws.1.0").read_text().splitlines()
    pushes = [line for line in lines if '"/market/candles:' in line and " <- " not in line]
    found = [(line.partition(":")[0], SPOT.live_rows(line.partition(": ")[2].encode())) for line in pushes]
    rows = [row for _, held in found for row in held]
    moments = [float(came) for came, held in found for _ in held]
    last = rows[-1]

    assert (6, {Interval.MINUTE_1}) == (len(rows), {row.interval for row in rows})
    assert not any(row.candle.closed for row in rows)
    assert all(row.candle.low <= min(row.candle.open, row.candle.close) for row in rows)
    assert all(row.candle.high >= max(row.candle.open, row.candle.close) for row in rows)
    assert ("BCHSV-USDT", moment("2021-04-25T19:19:00")) == (last.symbol, last.candle.open_time)
    assert all(0 < came - row.candle.at / 10**6 < 1 for came, row in zip(moments, rows, strict=True))
    assert (243.17, 243.17, 243.137, 243.137, 9.51280965, 2313.0649225905) == (
        last.candle.open, last.candle.high, last.candle.low, last.candle.close, last.candle.volume,
        last.candle.quote_asset_volume,
    )  # fmt: skip
    # The candles of futures are left out: they are of a channel that was replaced.
    (week,) = SPOT.live_rows(messages(recorded, "candlestick")["spot"])
    assert (micros(2022, 5, 26), 29543.6, 2792095272.950902197) == (
        week.candle.open_time, week.candle.open, week.candle.quote_asset_volume,
    )  # fmt: skip
    assert week.candle.open_time != Interval.WEEK_1.floor(week.candle.open_time), "a Thursday"
    assert not {Interval.WEEK_1} & {*SPOT.intervals, *SPOT.live_intervals}


def test_recorded_books(recorded):
    """The best five of both kinds of market; single changes are left out, they are of channels that are not used."""
    raw = messages(recorded, "l2_topk")
    (spot,), (linear,) = SPOT.book_updates(raw["spot"]), PERPETUAL.book_updates(raw["linear_swap"])

    assert ("BTC-USDT", 1_653_989_906_722_000, None) == (spot.symbol, spot.at, spot.last)
    assert ((31530.1, 0.74468602), (31528.8, 0.15853762)) == (spot.bids[0], spot.bids[4])
    assert ((31530.2, 2.90121626), (31531.7, 0.09467136)) == (spot.asks[0], spot.asks[4])
    assert ("XBTUSDTM", 1_653_992_430_005_000, 1_643_184_485_510) == (linear.symbol, linear.at, linear.last)
    assert ((31607.0, 16350.0), (31612.0, 3185.0)) == (linear.bids[0], linear.asks[4])
    assert (5, 5) == (len(linear.bids), len(linear.asks))


def test_recorded_snapshots(recorded):
    """Milliseconds on spot, nanoseconds on futures; nine books of a capture are not crossed."""
    raw = messages(recorded, "l2_snapshot")
    spot, inverse = SPOT.book_snapshot("X", raw["spot"]), INVERSE.book_snapshot("Y", raw["inverse_swap"])
    lines = (recorded / "cryptofeed/master/KUCOIN.http.0.0").read_text().splitlines()
    books = [SPOT.book_snapshot("X", line.partition(": ")[2].encode()) for line in lines if line]

    assert (1_654_325_095_225_000, 1_630_423_725_254, 3) == (spot.at, spot.last, len(spot.bids))
    assert (1_654_326_900_579_981, 1_638_901_902_423) == (inverse.at, inverse.last)
    assert (29626.0, 2521.0) == inverse.asks[0]
    assert 9 == len(books)
    assert all(book.bids[0][0] < book.asks[0][0] for book in books)


def test_recorded_listings(recorded):
    """634 symbols of spot, one of which does not trade; the contracts of a recorded list that are perpetual."""
    (body, *_) = (recorded / "cryptofeed/master/KUCOIN.0").read_text().splitlines()
    spot, _ = SPOT.instruments(body.partition(": ")[2].encode())
    contracts = messages(recorded, "open_interest")["unknown"]
    (linear, _), (inverse, _) = PERPETUAL.instruments(contracts), INVERSE.instruments(contracts)

    assert (634, 633) == (len(spot), sum(each.status is ListingStatus.LISTED for each in spot))
    assert all(SPOT.symbol(str(each.instrument)) == each.symbol for each in spot)
    bitcoin = {each.symbol: each for each in (*linear, *inverse)}
    assert ("BTC/USDT:USDT", 0.001) == (str(bitcoin["XBTUSDTM"].instrument), bitcoin["XBTUSDTM"].contract_size)
    assert all(PERPETUAL.symbol(str(each.instrument)) == each.symbol for each in linear)
    assert all(INVERSE.symbol(str(each.instrument)) == each.symbol for each in inverse)


def test_recorded_funding_rates(recorded):
    """3285 rates, eight hours apart but for holes; written as the exchange answers, they come out in their order."""
    rows = list(csv.DictReader((recorded / FUNDINGS).read_text().splitlines()))
    known = [
        (moment((datetime.fromisoformat(row["Date"]) - timedelta(hours=3)).isoformat()), float(row["Funding Rate"]))
        for row in rows
    ]
    held = [
        {"symbol": "XBTUSDTM", "fundingRate": rate, "timepoint": at // 1000} for at, rate in sorted(known, reverse=True)
    ]
    columns = PERPETUAL.funding_rows(json.dumps({"code": "200000", "data": held}).encode())

    assert 3285 == len(columns.open_time)
    assert known == list(zip(columns.open_time, columns.funding_rate, strict=True))
    assert {4 * HOUR} == {at % (8 * HOUR) for at in columns.open_time}
