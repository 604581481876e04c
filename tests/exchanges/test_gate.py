"""Gate.io: what is asked, and what was recorded; the rest is the same for all exchanges."""

from __future__ import annotations

import json

import pytest

from chandlery.adapter.live import CandleStream, Channel
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import InvalidSymbol, MalformedResponse, RateLimited, RequestRejected
from chandlery.core.gaps import Span
from chandlery.core.http import Response
from chandlery.core.instrument import ListingStatus
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE, SECOND
from fixtures.support import micros

SPOT, PERPETUAL, INVERSE = (ExchangeRegistry.create(each) for each in ("gate_spot", "gate_perpetual", "gate_inverse"))


def test_a_request_names_its_first_and_its_last_candle_and_no_limit():
    """A limit beside from and to would be refused."""
    span = Span(micros(2025, 1, 1) - 1, micros(2025, 1, 1, 0, 10))

    request = SPOT.candles_request("BTC_USDT", Interval.MINUTE_5, span)
    assert "https://api.gateio.ws/api/v4/spot/candlesticks" == request.url
    assert {
        "currency_pair": "BTC_USDT", "interval": "5m",
        "from": micros(2025, 1, 1) // SECOND, "to": micros(2025, 1, 1, 0, 5) // SECOND,
    } == request.params  # fmt: skip
    month = PERPETUAL.candles_request("BTC_USDT", Interval.MONTH_1, Span(micros(2025, 1, 1), micros(2025, 4, 1)))
    assert "https://api.gateio.ws/api/v4/futures/usdt/candlesticks" == month.url
    assert {
        "contract": "BTC_USDT", "interval": "30d",
        "from": micros(2025, 1, 1) // SECOND, "to": micros(2025, 3, 1) // SECOND,
    } == month.params  # fmt: skip


def test_contracts_that_expire_have_a_path_of_their_own():
    """Their list follows that of the perpetuals, also where it is empty; BTC settles none."""
    span = Span(micros(2025, 1, 1), micros(2025, 1, 1) + MINUTE)
    row = {"quanto_multiplier": "0.0001", "order_price_round": "0.1", "order_size_min": 1, "in_delisting": False}
    pages = [[row | {"name": "BTC_USDT", "status": "trading"}], [row | {"name": "BTC_USDT_20200814"}], []]
    read = [PERPETUAL.instruments(json.dumps(each).encode()) for each in pages]

    request = PERPETUAL.candles_request("BTC_USDT_20260327", Interval.MINUTE_1, span)
    assert "https://api.gateio.ws/api/v4/delivery/usdt/candlesticks" == request.url
    assert "BTC_USDT_20260327" == request.params["contract"]
    assert ["/delivery/usdt", None, None] == [cursor for _, cursor in read]
    assert "https://api.gateio.ws/api/v4/delivery/usdt/contracts" == PERPETUAL.instruments_request(read[0][1]).url
    assert [["BTC/USDT:USDT"], ["BTC/USDT:USDT-200814"], []] == [
        [str(each.instrument) for each in listings] for listings, _ in read
    ]
    assert (ListingStatus.LISTED, 0.0001, 1.0) == (
        read[1][0][0].status, read[1][0][0].contract_size, read[1][0][0].lot_size,
    )  # fmt: skip
    assert INVERSE.instruments(json.dumps([row | {"name": "BTC_USD"}]).encode())[1] is None
    with pytest.raises(InvalidSymbol):
        INVERSE.symbol("BTC/USD:BTC-260327")


def test_contracts_ask_for_decimal_sizes_on_both_roads():
    """Spot has no contracts, so it sends no header."""
    span = Span(0, MINUTE)
    for adapter in (PERPETUAL, INVERSE):
        assert {"X-Gate-Size-Decimal": "1"} == adapter.socket_headers()
        assert {"X-Gate-Size-Decimal": "1"} == adapter.candles_request("X", Interval.MINUTE_1, span).headers
    assert {} == SPOT.socket_headers() == SPOT.candles_request("X", Interval.MINUTE_1, span).headers


def test_addresses_and_commands_of_the_sockets():
    """One address for each currency of settlement; one subscription a message, without a time."""
    urls = [each.socket_url(Channel.BOOK) for each in (SPOT, PERPETUAL, INVERSE)]
    streams = [CandleStream("BTC_USD", Interval.MINUTE_1), CandleStream("BTC_USD", Interval.DAY_1)]

    assert ["wss://api.gateio.ws/ws/v4/", "wss://fx-ws.gateio.ws/v4/ws/usdt", "wss://fx-ws.gateio.ws/v4/ws/btc"] == urls
    assert [
        {"channel": "futures.candlesticks", "event": "subscribe", "payload": ["1m", "BTC_USD"]},
        {"channel": "futures.candlesticks", "event": "subscribe", "payload": ["1d", "BTC_USD"]},
    ] == [json.loads(each) for each in INVERSE.subscribe(streams)]
    assert [{"channel": "spot.obu", "event": "unsubscribe", "payload": ["ob.BTC_USDT.400"]}] == [
        json.loads(each) for each in SPOT.subscribe_book(["BTC_USDT"], 400, leave=True)
    ]
    assert {"channel": "spot.ping"} == json.loads(SPOT.ping() or "")


@pytest.mark.parametrize(
    ("adapter", "text"),
    [
        (PERPETUAL, "BTC_USD"),
        (PERPETUAL, "BTC/USDC"),
        (INVERSE, "ETH/USD:ETH"),
        (INVERSE, "BTC_USDT"),
        (SPOT, "BTCUSDT"),
    ],
    ids=lambda value: getattr(value, "id", value),
)
def test_what_a_market_does_not_settle_is_no_symbol_of_it(adapter, text):
    """USDT contracts are quoted in USDT, and BTC_USD is the only inverse one."""
    with pytest.raises(InvalidSymbol, match=adapter.id):
        adapter.symbol(text)


def test_refusals_of_the_exchange():
    """A pause that is asked for may be retried, a refusal not; who speaks otherwise is not understood."""
    busy = SPOT.error(Response(400, {}, b'{"label": "TOO_FAST", "message": "slow down"}'))
    old = SPOT.error(Response(400, {}, b'{"label": "INVALID_PARAM_VALUE", "message": "Candlestick too long ago."}'))

    assert isinstance(busy, RateLimited)
    assert isinstance(old, RequestRejected)
    assert "INVALID_PARAM_VALUE" == old.code
    assert SPOT.error(Response(404, {}, b"<html>")) is None
    assert SPOT.error(Response(200, {}, b"[]")) is None


def test_refusals_on_the_sockets():
    """The message carries an error, beside a result that says no more."""
    message = (
        b'{"channel":"spot.obu","event":"subscribe","error":{"code":2,"message":"Alert sub ob.X_Y.50"},"result":null}'
    )
    with pytest.raises(RequestRejected, match="Alert sub"):
        SPOT.book_updates(message)
    for body in (b'{"t":1,"s":"BTC_USDT","u":1}', b'{"t":1,"s":"ob.50","u":1}'):
        with pytest.raises(MalformedResponse, match="not a symbol and a depth"):
            SPOT.book_updates(b'{"event":"update","result":%b}' % body)
    candle = b'{"event":"update","result":[{"t":1,"o":1,"h":1,"l":1,"c":1,"v":1,"n":"7d_BTC_USDT"}]}'
    with pytest.raises(MalformedResponse, match="not an interval and a symbol"):
        PERPETUAL.live_rows(candle)


def test_pongs_say_nothing():
    """They come on a channel of their own, without an event."""
    pong = b'{"time":1,"channel":"spot.pong","event":"","error":null,"result":null}'

    assert () == SPOT.live_rows(pong) == SPOT.book_updates(pong)


def test_instruments_say_their_status_and_steps():
    """A contract that is being delisted will not come back; quanto contracts are not inverse."""
    pair = b'[{"id":"A_B","base":"A","quote":"B","precision":6,"amount_precision":3,"trade_status":"%b"}]'
    contract = (
        b'[{"name":"BTC_USD","quanto_multiplier":"0","order_price_round":"0.1","order_size_min":"0.1",%b},'
        b'{"name":"ETH_USD","quanto_multiplier":"0.000001","order_price_round":"0.01","order_size_min":1}]'
    )

    def inverse(rest: bytes) -> tuple[ListingStatus, float | None, float | None]:
        (only,), _ = INVERSE.instruments(contract % rest)
        return only.status, only.contract_size, only.lot_size

    (listed,), _ = SPOT.instruments(pair % b"sellable")
    (halted,), _ = SPOT.instruments(pair % b"untradable")
    assert (ListingStatus.LISTED, 1e-6, 1e-3, None) == (
        listed.status, listed.tick_size, listed.lot_size, listed.contract_size
    )  # fmt: skip
    assert ListingStatus.HALTED is halted.status
    assert (ListingStatus.LISTED, 1.0, 0.1) == inverse(b'"enable_decimal":true')
    assert (ListingStatus.DELISTED, 1.0, 1.0) == inverse(b'"in_delisting":true')
    assert (ListingStatus.HALTED, 1.0, 1.0) == inverse(b'"status":"suspend"')


# --- what was recorded -----------------------------------------------------------------------------------------------


def test_recorded_candles(recorded):
    """
    The candles of spot and of a perpetual, with the values that their recorder asserts.

    What is left out: a contract that expires, rows of 2021 without their base volume, and REST rows
    of 2023, which did not say yet whether they are closed.
    """
    lines = map(json.loads, (recorded / "crypto-msg-parser/derived/dev.jsonl").read_text().splitlines())
    known = {
        each["test"]: each["raw"].encode()
        for each in lines
        if each["exchange"] == "gate" and each["module"] == "candlestick"
    }

    (spot,) = SPOT.live_rows(known["spot"])
    (swap,) = PERPETUAL.live_rows(known["linear_swap"])
    assert {"spot", "linear_swap", "linear_future"} == set(known)
    assert ("BTC_USDT", Interval.MINUTE_1) == (spot.symbol, spot.interval)
    assert (1662803040 * SECOND, 21352.26, 21352.26, 21342.41, 21342.41, 0.1533, 3272.187909) == (
        spot.candle.open_time, spot.candle.open, spot.candle.high, spot.candle.low, spot.candle.close,
        spot.candle.volume, spot.candle.quote_asset_volume,
    )  # fmt: skip
    assert ("BTC_USDT", Interval.MINUTE_5) == (swap.symbol, swap.interval)
    assert (1662484200 * SECOND, 19347.3, 19377.0, 19088.1, 19174.6, 10937513.0) == (
        swap.candle.open_time, swap.candle.open, swap.candle.high, swap.candle.low, swap.candle.close,
        swap.candle.volume,
    )  # fmt: skip


def test_recorded_books(recorded):
    """The three messages of version 2: an acknowledgement, a whole book, an update; older ones are of other channels."""
    lines = map(json.loads, (recorded / "tardis-node/derived/dev.jsonl").read_text().splitlines())
    known = [each for each in lines if each["message"] and "spot.obu" in json.dumps(each["message"])]
    updates = [SPOT.book_updates(json.dumps(each["message"]).encode()) for each in known]

    def levels(side: list[dict[str, float]]) -> list[tuple[float, float]]:
        return [(level["price"], level["amount"]) for level in side]

    assert [0, 1, 1] == [len(each) for each in updates]
    for (update,), each in zip(updates[1:], known[1:], strict=True):
        (wanted,) = each["expected"]
        assert (wanted["symbol"], wanted["isSnapshot"]) == (update.symbol, update.is_snapshot)
        assert (levels(wanted["bids"]), levels(wanted["asks"])) == (update.bids, update.asks)
        assert each["message"]["result"]["t"] * 1000 == update.at
    assert (25847129970, 25847129996) == (updates[2][0].first, updates[2][0].last)


def test_recorded_pairs(recorded):
    """The list of 2021: each pair is a symbol of the adapter."""
    _, _, body = (recorded / "cryptofeed/master/GATEIO.0").read_text().partition(": ")
    listings, _ = SPOT.instruments(body.splitlines()[0].encode())

    assert 1458 == len(listings)
    assert all(SPOT.symbol(str(each.instrument)) == each.symbol for each in listings)
