"""OKX: what was recorded, how symbols are told apart, and how a book begins."""

from __future__ import annotations

import json
import re
from collections import Counter
from zlib import crc32

import pytest
from msgspec import structs

from chandlery.adapter.books import BookSync, Link, Outcome, SnapshotSource
from chandlery.adapter.live import Channel
from chandlery.core.book import BookUpdate, OrderBook
from chandlery.core.errors import ExchangeUnavailable, InvalidSymbol, MalformedResponse, RateLimited, RequestRejected
from chandlery.core.gaps import Span
from chandlery.core.http import Response
from chandlery.core.instrument import ListingStatus
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, Unit, to_datetime
from chandlery.exchanges.okx import OkxInverse, OkxPerpetual, OkxSpot, okx_checksum
from chandlery.sim.book import tick_of
from fixtures.offline_adapter import OfflineAdapter, book_of
from fixtures.support import micros

SPOT, PERPETUAL, INVERSE = OkxSpot(), OkxPerpetual(), OkxInverse()
NOW = micros(2025, 3, 12, 10, 20, 30)

# --- what was recorded -----------------------------------------------------------------------------------------------


def test_recorded_books_have_their_checksums(recorded):
    """Every message of a future, a perpetual and a spot pair leaves the book with the checksum that it says."""
    # Recorded in 2022: messages had no sequence numbers yet.
    rule = structs.replace(SPOT.book_rule, link=Link.NONE, snapshot=SnapshotSource.STREAM)
    books: dict[str, BookSync] = {}
    outcomes: Counter[Outcome] = Counter()
    deepest = 0
    for line in (recorded / "cryptofeed/master/OKX.ws.1.0").read_text().splitlines():
        moment, _, message = line.partition(": ")
        if not moment[0].isdigit() or '"channel":"books"' not in message:
            continue
        for update in SPOT.book_updates(message.encode()):
            assert update.checksum
            sync = books.setdefault(update.symbol, BookSync(update.symbol, rule))
            outcomes[sync.feed(update)] += 1
            deepest = max(deepest, len(sync.book.bids(500)), len(sync.book.asks(500)))

    assert {Outcome.APPLIED: 290} == outcomes
    assert {"BTC-USD-220527", "UNI-USD-SWAP", "BTC-USDT"} == books.keys()
    assert 400 == deepest, "what falls out of the 400 levels is deleted by a message of its own"


def written(bids: str, asks: str) -> OrderBook:
    """A book of levels as they are written."""
    book = OrderBook("X")
    digits = [[tuple(each.split("/")) for each in side.split()] for side in (bids, asks)]
    levels = [[(float(price), float(size)) for price, size in side] for side in digits]
    book.apply(BookUpdate("X", *levels, is_snapshot=True, bid_digits=digits[0], ask_digits=digits[1]))
    return book


def test_the_checksum_is_made_of_the_levels_in_turn():
    """What one side lacks is left out, as in the text that OKX's page gives."""
    book = written("3366.1/7", "3366.8/9 3368/8 3372/8")
    text = b"3366.1:7:3366.8:9:3368:8:3372:8"

    assert crc32(text) == okx_checksum(book) % 2**32
    assert 0 == okx_checksum(OrderBook("X"))


def test_the_checksum_has_a_sign():
    """Half of all are negative."""
    signs = {okx_checksum(written(f"{price}/1", "")) < 0 for price in range(1, 20)}

    assert {True, False} == signs


def test_recorded_candles_as_an_outside_client_read_them(recorded):
    """REST candles of 2026, the running one among them."""
    held = json.loads((recorded / "ankvik-ccxt-rs/okx/fetch_ohlcv_BTC_USDT.json").read_text())
    rows = SPOT.candle_rows(json.dumps(held["http_response"]).encode())
    columns = zip(rows.open_time, rows.open, rows.high, rows.low, rows.close, rows.volume, strict=True)

    assert held["parsed_response"] == [[Unit.MILLIS.of(row[0]), *row[1:]] for row in columns]
    assert 11047910.127089599 == rows.quote_asset_volume[0]


def test_recorded_book_as_an_outside_client_read_it(recorded):
    """A REST book of 2026, with its sequence number."""
    held = json.loads((recorded / "ankvik-ccxt-rs/okx/fetch_order_book_BTC_USDT.json").read_text())
    book = SPOT.book_snapshot("BTC-USDT", json.dumps(held["http_response"]).encode())
    theirs = held["parsed_response"]

    assert [row[:2] for row in theirs["bids"]] == [list(level) for level in book.bids]
    assert [row[:2] for row in theirs["asks"]] == [list(level) for level in book.asks]
    assert (theirs["timestamp"] * 1000, 71066999493) == (book.at, book.last)


def test_recorded_instruments_as_an_outside_client_read_them(recorded):
    """Listings of 2026: spelling, pair and steps; options are none of ours."""
    held = json.loads((recorded / "ankvik-ccxt-rs/okx/fetch_markets.json").read_text())
    theirs = held["parsed_response"]
    listings, _ = SPOT.instruments(json.dumps({"code": "0", "data": [each["info"] for each in theirs]}).encode())
    options = json.dumps(held["http_response"]).encode()

    assert [
        (each["id"], each["symbol"], each["precision"]["price"], each["precision"]["amount"], each["active"])
        for each in theirs
    ] == [
        (each.symbol, str(each.instrument), each.tick_size, each.lot_size, each.status is ListingStatus.LISTED)
        for each in listings
    ]
    assert 5 == len(listings)
    assert [[], [], []] == [adapter.instruments(options)[0] for adapter in (SPOT, PERPETUAL, INVERSE)]


def test_recorded_lists_of_instruments(recorded):
    """All of 2022: 513 pairs, and 166 perpetuals that are linear or inverse, each with its contract."""
    lines = (recorded / "cryptofeed/master/OKX.0").read_text().splitlines()
    bodies = {kind: next(line.partition(": ")[2] for line in lines if f"={kind} " in line) for kind in ("SPOT", "SWAP")}
    swaps = {each["instId"]: each for each in json.loads(bodies["SWAP"])["data"]}
    spot, linear, inverse = (
        {each.symbol: each for each in adapter.instruments(bodies[kind].encode())[0]}
        for adapter, kind in ((SPOT, "SPOT"), (PERPETUAL, "SWAP"), (INVERSE, "SWAP"))
    )

    assert (513, 126, 40) == (len(spot), len(linear), len(inverse))
    for name, found in (("linear", linear), ("inverse", inverse)):
        assert found.keys() == {each for each, held in swaps.items() if held["ctType"] == name}
        for symbol, listing in found.items():
            held = swaps[symbol]
            assert listing.instrument.settle == held["settleCcy"]
            assert listing.contract_size == float(held["ctVal"]) * float(held["ctMult"])
    assert (0.01, 100.0) == (linear["BTC-USDT-SWAP"].contract_size, inverse["BTC-USD-SWAP"].contract_size)


def test_recorded_book_messages_as_tardis_reads_them(recorded):
    """Updates and best prices of 2021 and 2022; other channels and the retired v3 are left out."""
    found = 0
    for line in (recorded / "tardis-node/derived/dev.jsonl").read_text().splitlines():
        held = json.loads(line)
        channel = held["message"].get("arg", {}).get("channel", "") if isinstance(held["message"], dict) else ""
        if not held["exchange"].startswith("okex") or channel not in {"books-l2-tbt", "bbo-tbt"}:
            continue
        (update,) = SPOT.book_updates(json.dumps(held["message"]).encode())
        for expected in held["expected"]:
            found += 1
            assert expected["symbol"] == update.symbol
            assert expected["timestamp"] == _iso_ms(update.at)
            if expected["type"] == "book_ticker":
                assert [(expected["bidPrice"], expected["bidAmount"])] == update.bids
                assert [(expected["askPrice"], expected["askAmount"])] == update.asks
            else:
                assert expected["isSnapshot"] == update.is_snapshot
                for side in ("bids", "asks"):
                    assert [(each["price"], each["amount"]) for each in expected[side]] == getattr(update, side)

    assert 2 == found


def _iso_ms(at: int) -> str:
    return to_datetime(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_recorded_book_messages_as_another_parser_reads_them(recorded):
    """Books of 400 and 5 levels, best prices, and REST books; candles then had two columns less, and are left out."""
    found = 0
    for line in (recorded / "crypto-msg-parser/derived/dev.jsonl").read_text().splitlines():
        held = json.loads(line)
        if held["exchange"] != "okx" or held["module"] not in {"l2_event", "l2_topk", "bbo", "l2_snapshot"}:
            continue
        raw = held["raw"].encode()
        update = SPOT.book_snapshot("X", raw) if held["module"] == "l2_snapshot" else SPOT.book_updates(raw)[0]
        text = "\n".join(held["asserts"])
        found += 1
        assert update.is_snapshot
        (moment,) = re.findall(r"(\d+), extract_timestamp", text)
        assert int(moment) * 1000 == update.at
        for side, count in re.findall(r"orderbook\.(asks|bids)\.len\(\), (\d+)", text):
            assert int(count) == len(getattr(update, side))
        for side, place, price in re.findall(r"orderbook\.(asks|bids)\[(\d)\]\.price, ([\d.]+)", text):
            assert float(price) == getattr(update, side)[int(place)][0]
        for price, side in re.findall(r"([\d.]+), bbo_msg\.(ask|bid)_price", text):
            assert [float(price)] == [level[0] for level in getattr(update, f"{side}s")]

    assert 13 == found


# --- symbols and requests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "text", "native"),
    [
        (SPOT, "btc-usdt", "BTC-USDT"),
        (SPOT, "BTC/USDT", "BTC-USDT"),
        (PERPETUAL, "BTC-USDT", "BTC-USDT-SWAP"),
        (PERPETUAL, "BTC/USDC:USDC", "BTC-USDC-SWAP"),
        (PERPETUAL, "BTC/USD:USD", "BTC-USD_UM-SWAP"),
        (INVERSE, "BTC-USD", "BTC-USD-SWAP"),
        (INVERSE, "BTC/USD:BTC", "BTC-USD-SWAP"),
    ],
)
def test_spellings(adapter, text, native):
    """A perpetual ends in SWAP; in dollars it is inverse, and linear only with UM."""
    assert native == adapter.symbol(text)


@pytest.mark.parametrize(
    ("adapter", "text"),
    [(SPOT, "BTC-USDT-SWAP"), (PERPETUAL, "BTC-USD-SWAP"), (INVERSE, "BTC-USDT-SWAP"), (INVERSE, "BTC-USDT")],
)
def test_symbols_of_other_markets(adapter, text):
    """``BTC-USD-SWAP`` is never taken for a linear perpetual, nor ``BTC-USDT`` for an inverse one."""
    with pytest.raises(InvalidSymbol, match=f"{adapter.id}|not an instrument"):
        adapter.symbol(text)


def test_bounds_are_exclusive_and_go_back():
    """``after`` is the end, ``before`` lies a millisecond ahead of the start; days are those of UTC."""
    span = Span(micros(2024, 1, 1), micros(2024, 1, 31))
    request = PERPETUAL.candles_request("BTC-USDT-SWAP", Interval.DAY_1, span)

    expected = {
        "instId": "BTC-USDT-SWAP",
        "bar": "1Dutc",
        "limit": 300,
        "after": span.end // 1000,
        "before": span.start // 1000 - 1,
    }
    assert ("https://www.okx.com/api/v5/market/history-candles", expected) == (request.url, request.params)


def test_seconds_are_kept_for_three_months():
    """Older ones are refused before they are asked for; everything else is kept for ever."""
    assert NOW - 89 * DAY == SPOT.oldest(Interval.SECOND_1, NOW)
    assert SPOT.oldest(Interval.MINUTE_1, NOW) is None


@pytest.mark.parametrize(
    ("code", "error"),
    [("51001", InvalidSymbol), ("50011", RateLimited), ("50013", ExchangeUnavailable), ("51000", RequestRejected)],
)
def test_refusals_come_with_status_200(code, error):
    """The code of the envelope says what is wrong."""
    body = json.dumps({"code": code, "msg": "words", "data": []}).encode()

    assert error is type(SPOT.error(Response(200, {}, body)))
    assert SPOT.error(Response(200, {}, b'{"code":"0","data":[]}')) is None


@pytest.mark.parametrize(("code", "error"), [("60018", RequestRejected), ("60014", RateLimited)])
def test_refusals_on_sockets(code, error):
    """A channel that does not exist will not do later either; a message too many will; notices are no refusals."""
    body = json.dumps({"event": "error", "code": code, "msg": "words", "connId": "a4d3ae55"}).encode()
    notice = b'{"event":"notice","code":"64008","msg":"The connection will soon be closed","connId":"a4d3ae55"}'

    for read in (SPOT.live_rows, SPOT.book_updates):
        assert () == read(notice)
        with pytest.raises(error, match="words"):
            read(body)


@pytest.mark.parametrize("action", ["", '"action":"renew",'])
def test_a_change_is_never_taken_for_a_whole_book(action):
    """Of 400 levels every message says which of the two it is."""
    text = f'{{"arg":{{"channel":"books","instId":"BTC-USDT"}},{action}"data":[{{"bids":[],"asks":[],"ts":"1"}}]}}'

    with pytest.raises(MalformedResponse):
        SPOT.book_updates(text.encode())


def test_candles_of_a_channel_that_was_not_asked_for_are_an_error():
    """Those that begin in Hong Kong are never taken for others."""
    row = ["1597017600000", "1", "1", "1", "1", "1", "1", "1", "0"]

    with pytest.raises(MalformedResponse, match="candle1D"):
        SPOT.live_rows(json.dumps({"arg": {"channel": "candle1D", "instId": "BTC-USDT"}, "data": [row]}).encode())


def test_pings_are_text():
    """``pong`` is no JSON, and holds neither candles nor books."""
    assert "ping" == SPOT.ping()
    assert ((), ()) == (SPOT.live_rows(b"pong"), SPOT.book_updates(b"pong"))


def test_what_is_announced_has_no_numbers_yet():
    """Its steps and its contract are empty text; what is for tests is left out; text that is no number is an error."""
    blank = {"instType": "SWAP", "ctVal": "", "ctMult": "", "tickSz": "", "lotSz": ""}

    def listed(**more):
        return PERPETUAL.instruments(json.dumps({"code": "0", "data": [blank | more]}).encode())[0]

    (listing,) = listed(instId="ETH-USD_UM-SWAP", state="preopen")
    assert ("ETH/USD:USD", ListingStatus.UPCOMING) == (str(listing.instrument), listing.status)
    assert (None, None, None) == (listing.contract_size, listing.tick_size, listing.lot_size)
    assert ListingStatus.HALTED is listed(instId="A-USDT-SWAP", state="suspend")[0].status
    assert [] == listed(instId="A-USDT-SWAP", state="test")
    with pytest.raises(MalformedResponse, match="not a number"):
        listed(instId="A-USDT-SWAP", state="live", tickSz="much")


# --- against the offline exchange ------------------------------------------------------------------------------------


@pytest.mark.parametrize("exchange", ["okx_spot", "okx_perpetual", "okx_inverse"])
def test_a_book_begins_without_a_snapshot_of_the_channel(exchange):
    """What was announced for 2026: the first messages are kept until the one of REST comes."""
    facing = OfflineAdapter(exchange, NOW)
    session = facing.open(Channel.BOOK)
    facing.tell(session, facing.adapter.subscribe_book([facing.native], 400))
    (want,) = session.wants.values()
    sync = BookSync(facing.native, facing.adapter.book_rule)
    for step in range(10):
        before = tick_of(facing.now)
        facing.now += 100_000
        bids, asks = facing.view.changes(want.symbol, want.depth, before, before + 1)
        for message in facing.frames(facing.wire.changes(session, want, bids, asks, before, before + 1)):
            for update in facing.adapter.book_updates(message):
                sync.feed(update)
        if step == 4:
            assert sync.book is None
            body = facing.body(facing.adapter.book_request(facing.native, 400))
            assert Outcome.APPLIED is sync.snapshot(facing.adapter.book_snapshot(facing.native, body))
    body = facing.body(facing.adapter.book_request(facing.native, 400))

    assert sync.book is not None
    assert 5 + 1 == sync.applied
    assert book_of(facing.adapter.book_snapshot(facing.native, body)) == (
        dict(sync.book.bids(400)),
        dict(sync.book.asks(400)),
    )
