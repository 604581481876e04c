"""HTX: what is its own, and what it really sent."""

from __future__ import annotations

import ast
import gzip
import json
from collections import Counter

import pytest

from chandlery.adapter.books import BookSync, Outcome
from chandlery.adapter.live import Channel
from chandlery.core.errors import ExchangeUnavailable, InvalidSymbol, MalformedResponse, RateLimited, RequestRejected
from chandlery.core.gaps import Span
from chandlery.core.http import Response
from chandlery.core.instrument import ListingStatus
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE
from chandlery.exchanges.htx.spot import HtxSpot
from chandlery.exchanges.htx.swaps import HtxInverse, HtxPerpetual
from fixtures.support import micros

SPOT, PERPETUAL, INVERSE = HtxSpot(), HtxPerpetual(), HtxInverse()
NOON = micros(2024, 1, 1, 12)


def test_a_span_is_asked_for_by_inclusive_seconds():
    """Spot says besides how many, of the endpoint that takes a time; the swaps must not."""
    spot = SPOT.candles_request("btcusdt", Interval.MINUTE_1, Span(NOON - 1, NOON + 2 * MINUTE))
    swap = PERPETUAL.candles_request("BTC-USDT", Interval.HOUR_4, Span(NOON, NOON + 1))
    noon = NOON // 1_000_000

    assert spot.url.endswith("/market/history/candles")
    assert {"symbol": "btcusdt", "period": "1min", "from": noon, "to": noon + 119, "size": 2} == spot.params
    assert {"contract_code": "BTC-USDT", "period": "4hour", "from": noon, "to": noon} == swap.params


def test_what_begins_at_midnight_in_singapore_is_left_out():
    """Days, weeks and months do not begin where ours do."""
    for adapter in (SPOT, PERPETUAL, INVERSE):
        assert not {Interval.DAY_1, Interval.WEEK_1, Interval.MONTH_1} & (
            set(adapter.intervals) | set(adapter.live_intervals)
        )


@pytest.mark.parametrize(
    ("adapter", "text", "native"),
    [
        (SPOT, "BTC/USDT", "btcusdt"),
        (SPOT, "ETH-BTC", "ethbtc"),
        (SPOT, "BTCUSDT", "btcusdt"),
        (PERPETUAL, "btc-usdt", "BTC-USDT"),
        (PERPETUAL, "BTC/USDT:USDT", "BTC-USDT"),
        (INVERSE, "BTC/USD:BTC", "BTC-USD"),
    ],
)
def test_spellings(adapter, text, native):
    """Spot in lower case, the swaps with a dash."""
    assert native == adapter.symbol(text)


@pytest.mark.parametrize(
    ("adapter", "text"),
    [(SPOT, "BTC-USDT-SWAP"), (PERPETUAL, "BTC-USD"), (INVERSE, "BTC-USDT"), (PERPETUAL, "BTC/EUR")],
)
def test_symbols_of_other_markets_are_refused(adapter, text):
    """Also where they are spelled alike but for the quote."""
    with pytest.raises(InvalidSymbol):
        adapter.symbol(text)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ('{"status":"ok","data":[]}', type(None)),
        ('{"code":200,"message":"Success","data":[]}', type(None)),
        ('{"status":"error","err-code":"invalid-parameter","err-msg":"invalid symbol"}', InvalidSymbol),
        ('{"status":"error","err-code":"invalid-parameter","err-msg":"invalid period"}', RequestRejected),
        ('{"status":"error","err_code":1032,"err_msg":"The number of access exceeded the limit."}', RateLimited),
        ('{"status":"error","err_code":1332,"err_msg":"The contract doesn\'t exist."}', InvalidSymbol),
        ('{"code":1067,"message":"The limit field is invalid."}', RequestRejected),
        ('{"status":"error","err-code":"bad-request","err-msg":"429 too many request"}', RateLimited),
        ('{"status":"error","err-code":"invalid-parameter","err-msg":"request timeout"}', ExchangeUnavailable),
        ("<html>", type(None)),
    ],
)
def test_refusals_come_with_status_200(body, error):
    """In three spellings."""
    assert error is type(PERPETUAL.error(Response(200, {}, body.encode())))


def test_a_ping_is_answered():
    """With its own number; nothing else is."""
    assert '{"pong":1618678073643}' == SPOT.reply(b'{"ping":1618678073643}')
    for message in (b'{"id":1,"status":"ok"}', b'{"ping":"x"}', b'{"ch":"market.btcusdt.kline.1min"}'):
        assert SPOT.reply(message) is None


def test_frames_are_unpacked():
    """A frame that is damaged, cut off or not to be believed is an error; text is left as it is."""
    packed = gzip.compress(b'{"ping":1}')

    assert b'{"ping":1}' == SPOT.decode(packed) == SPOT.decode(b'{"ping":1}')
    for frame in (packed[:-9], b"\x1f\x8b\x00garbage\xff", gzip.compress(b" " * (2**24 + 1))):
        with pytest.raises(MalformedResponse):
            SPOT.decode(frame)


def test_books_of_spot_have_a_path_of_their_own():
    """The swaps speak of everything at one."""
    assert ["wss://api.huobi.pro/ws", "wss://api.huobi.pro/feed"] == [SPOT.socket_url(each) for each in Channel]
    assert {"wss://api.hbdm.com/swap-ws"} == {INVERSE.socket_url(each) for each in Channel}


# --- what it really sent ---------------------------------------------------------------------------------------------


def lines(path):
    """The JSON lines of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_recorded_frames(recorded):
    """Each is unpacked; acknowledgements are nothing, pings are answered. Depth steps and trades are not used here."""
    raw = (recorded / "cryptofeed/master/HUOBI.ws.44.0").read_text().splitlines()
    received = [line.partition(": ")[2] for line in raw]
    messages = [SPOT.decode(ast.literal_eval(each)) for each in received if each.startswith(("b'", 'b"'))]
    used = [message for message in messages if b'"ch":' not in message]

    assert (362, 26) == (len(messages), len(used))
    assert (
        [()] * 26 == [SPOT.live_rows(message) for message in used] == [SPOT.book_updates(message) for message in used]
    )
    assert 6 == sum(SPOT.reply(message) is not None for message in messages)


def test_recorded_symbols(recorded):
    """All of spot's, of which 55 are gone."""
    body = (recorded / "cryptofeed/master/HUOBI.0").read_text().splitlines()[0].partition(": ")[2]
    found, cursor = SPOT.instruments(body.encode())

    assert cursor is None
    assert Counter({ListingStatus.LISTED: 883, ListingStatus.DELISTED: 55}) == Counter(each.status for each in found)
    assert ("yeebtc", "YEE/BTC", 1e-10, 0.01) == (
        found[0].symbol,
        str(found[0].instrument),
        found[0].tick_size,
        found[0].lot_size,
    )
    assert all(SPOT.symbol(each.symbol) == each.symbol for each in found)


def test_recorded_candles(recorded):
    """Spot as it is, the swaps halved: of both sides of each trade, since every recorded trade is an even number."""
    known = [each for each in lines(recorded / "crypto-msg-parser/derived/dev.jsonl") if each["exchange"] == "huobi"]
    spot, inverse = (each["raw"].encode() for each in known if each["module"] == "candlestick")
    (candle,), (contract,) = SPOT.live_rows(spot), INVERSE.live_rows(inverse)
    swaps = [
        trade["amount"]
        for each in known
        if each["module"] == "trade" and each["market_type"] in {"InverseSwap", "LinearSwap"}
        for trade in json.loads(each["raw"])["tick"]["data"]
    ]

    assert ("btcusdt", Interval.MINUTE_1, 1654081320 * 10**6) == (
        candle.symbol,
        candle.interval,
        candle.candle.open_time,
    )
    assert (31545.71, 0.015443758717188892, 487.1844552, 4) == (
        candle.candle.low,
        candle.candle.volume,
        candle.candle.quote_asset_volume,
        candle.candle.count,
    )
    assert 341 == contract.candle.volume
    assert contract.candle.quote_asset_volume == pytest.approx(341 * 100 / 20635.1, rel=1e-9)
    assert len(swaps) > 1
    assert not any(amount % 2 for amount in swaps)


def test_recorded_books(recorded):
    """Snapshots and updates of spot and swaps; those of contracts that expire have the same form."""
    known = [
        each
        for each in lines(recorded / "crypto-msg-parser/derived/dev.jsonl")
        if each["exchange"] == "huobi" and each["module"] == "l2_event"
    ]
    for each in known:
        (update,) = (SPOT if each["market_type"] == "Spot" else INVERSE).book_updates(each["raw"].encode())
        sizes = f"orderbook.asks.len(), {len(update.asks)}", f"orderbook.bids.len(), {len(update.bids)}"
        word = "orderbook.snapshot" if update.is_snapshot else "!orderbook.snapshot"

        assert {*sizes, word} <= set(each["asserts"])
        assert f"orderbook.timestamp, {update.at // 1000}" in each["asserts"]
    assert 5 == len(known)


def test_recorded_spot_book_follows(recorded):
    """What came before the snapshot is dropped, what came after is caught up with; then messages are missing."""
    pairs = [each for each in lines(recorded / "tardis-node/derived/dev.jsonl") if each["exchange"] == "huobi"]
    messages = [json.dumps(each["message"]).encode() for each in pairs if "mbp.150" in json.dumps(each["message"])]
    updates = [update for message in messages for update in SPOT.book_updates(message)]
    snapshot = next(each for each in updates if each.is_snapshot)
    # The file does not keep the order in which they came.
    changes = sorted((each for each in updates if not each.is_snapshot), key=lambda each: each.last)
    sync = BookSync("btcusdt", SPOT.book_rule, depth=150)

    assert (7, 6) == (len(updates), len(changes))
    assert [Outcome.WAITING] * 5 == [sync.feed(each) for each in changes[:5]]
    assert Outcome.APPLIED is sync.snapshot(snapshot)
    assert snapshot.last == changes[1].last
    assert sync.book is not None
    assert changes[4].last == sync.book.last
    assert (2, 4) == (sync.counts[Outcome.STALE] + sync.counts[Outcome.DUPLICATE], sync.applied)
    assert Outcome.GAP is sync.feed(changes[5])
