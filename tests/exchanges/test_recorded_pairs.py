"""
Recorded messages, and what other projects made of them: the adapters make the same of every one that is theirs.

Every pair is either compared or left out for a reason that stands here, and all of them are counted.
The rates of ``supervik-funding`` are tables and no wire format, so there is nothing that an adapter could read.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from datetime import datetime
from itertools import pairwise
from urllib.parse import parse_qs

import pytest

from chandlery.adapter.books import BookSync, SnapshotSource
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.gaps import Span
from chandlery.core.instrument import ListingStatus
from chandlery.core.interval import Interval
from chandlery.core.query import ChartType
from chandlery.core.time import HOUR, micros_of
from chandlery.core.volume import VolumeFacts
from chandlery.tables.frame import table_of
from chandlery.tables.volume import converted

MS = 1000

TARDIS = {
    "ascendex": "ascendex_spot",
    "binance": "binance_spot",
    "binance-futures": "binance_perpetual",
    "bybit": "bybit_perpetual",
    "bybit-spot": "bybit_spot",
    "coinbase": "coinbase_spot",
    "crypto-com": "cryptocom_spot",
    "gate-io": "gate_spot",
    "gate-io-futures": "gate_perpetual",
    "huobi": "htx_spot",
    "huobi-dm-linear-swap": "htx_perpetual",
    "huobi-dm-swap": "htx_inverse",
    "hyperliquid": "hyperliquid_perpetual",
    "kraken": "kraken_spot",
    "kucoin": "kucoin_spot",
    "kucoin-futures": "kucoin_perpetual",
    "okex": "okx_spot",
    "okex-swap": "okx_perpetual",
}
"""Which adapter reads what tardis-node calls so."""

MARKETS = {
    "Spot": "spot",
    "LinearSwap": "perpetual",
    "LinearFuture": "perpetual",
    "InverseSwap": "inverse",
    "InverseFuture": "inverse",
    "EuropeanOption": "inverse",
}
"""Whose adapter reads which market of crypto-msg-parser: what expires is sent in the same form as what does not."""
NAMES = {"huobi": "htx", "okx_v3": "okx"}
"""What crypto-msg-parser calls otherwise."""
MISNAMED = {("mexc", "spot_update"): "LinearSwap"}
"""A test about several markets, of which another one than its name says was kept."""

LEFT_OUT = {
    "a version of the API that is gone": {
        "bybit": r'"orderBookL2|"topic":"(klineV2|candle)\.|"ret_code"',
        "gate": r'"method":"depth\.update"',
        "kraken": r"^\[",
        "mexc_spot": "",
        "mexc": r'"quantity":',
        "okx": r'^{"table":|"channel":"candle',
    },
    "a channel that is not subscribed to": {
        "binance": r'@depth\d+"|[bB]ookTicker"',
        "coinbase": r'"type":"(l2update|snapshot)"',
        "gate": r'\.(order_book|order_book_update|book_ticker)"',
        "htx": r'\.depth\.step\d+"|\.bbo"',
        "kucoin": r'/(level2|level2Snapshot|level3v2|candle|ticker|tickerV2):"?',
        "mexc": r'"push\.depth\.full"',
    },
    "a snapshot by REST, where the stream brings it": {"gate": r'^{"current":'},
}
"""Why a message is not compared, and by which pattern it is known, by id of the adapter or by its exchange."""

BEST_PRICES = re.compile(r'"orderbook\.1\.|"bbo-tbt"')
"""Channels of best prices that are books of one level."""
KEPT = re.compile(r'@depth"|\.mbp\.150"')
"""Changes of books that begin with a snapshot which is asked for."""

NOT_COMPARED = {
    # Changes follow each other by ``version``, the other project takes ``id``.
    "htx_perpetual": {"orderbook.seq_id"},
    "htx_inverse": {"orderbook.seq_id"},
    # The other project takes an interval off; the message itself was sent between what we say and the interval after.
    "mexc_inverse": {"candlestick_msg.begin_time"},
}

CONTRACTS = {
    # The messages of the socket bring no quote volume, so the size that the list had then is taken for certain.
    "gate_perpetual": VolumeFacts("BTC_USDT", "contracts", None, contract_size=0.0001, fixed=True),
    "htx_inverse": VolumeFacts("BTC-USD", "contracts", "base", inverse=True, contract_size=100.0),
    "mexc_inverse": VolumeFacts("BTC_USD", "contracts", "base", inverse=True, contract_size=100.0),
}
"""Units of the candles that the other project converts to the base asset."""
BOTH_SIDES = {"htx_inverse"}
"""Where the other project counts both sides of each trade, as the exchange sends it."""


def volumes_of(adapter, candle):
    """Volume and quote volume of a candle as the other project counts them."""
    if adapter.id not in CONTRACTS:
        return candle.volume, candle.quote_asset_volume
    columns = {name: [getattr(candle, name)] for name in ("open_time", "open", "high", "low", "close", "volume")}
    columns |= {"taker_buy_volume": [0.0], "taker_buy_quote_volume": [0.0], "count": [0], "close_time": [0]}
    columns["quote_asset_volume"] = [candle.quote_asset_volume or float("nan")]
    (row,) = converted(table_of(ChartType.KLINES, columns), CONTRACTS[adapter.id], "base").to_pylist()
    sides = 2 if adapter.id in BOTH_SIDES else 1
    return row["volume"] * sides, row["quote_asset_volume"] * sides if sides == 2 else None


def lines(path):
    return map(json.loads, path.read_text().splitlines())


def unwrapped(message):
    """Without the envelope of Binance's combined streams."""
    return message["data"] if "stream" in message else message


def packed(message):
    """Without spaces, as exchanges send it."""
    return json.dumps(message, separators=(",", ":"))


def reason_of(adapter, raw):
    """Why a message is left out; ``None`` where it is compared."""
    exchange = adapter.id.rpartition("_")[0]
    for reason, patterns in LEFT_OUT.items():
        for name in (adapter.id, exchange):
            if name in patterns and re.search(patterns[name], raw):
                return reason
    return None


# --- tardis-node: a raw message and what it is normalised to ---------------------------------------------------------


def tardis_reason(adapter, pair, raw):
    """Why a pair is left out; ``None`` where it is compared."""
    kinds = {each["type"] for each in pair["expected"]}
    if not kinds:
        return "kept until a snapshot comes" if KEPT.search(raw) else "made into nothing by the other project"
    if "book_change" not in kinds and not BEST_PRICES.search(raw):
        funding = any(each.get("fundingRate") is not None for each in pair["expected"])
        return "a funding rate of a ticker, where ours come by REST" if funding else "no book, candle or funding rate"
    return reason_of(adapter, raw)


def updates_of(adapter, message):
    """The updates of a message; what tardis fetched by REST, it stored as one of a stream."""
    if message.get("generated"):
        return [adapter.book_snapshot(message["stream"].partition("@")[0].upper(), packed(message["data"]).encode())]
    return adapter.book_updates(adapter.decode(packed(unwrapped(message)).encode()))


def assert_equal(adapter, update, theirs, kept):
    """Levels, flag and symbol are the same; a snapshot that was asked for, once it has caught up with what was kept."""
    assert theirs["symbol"] in {update.symbol, update.symbol.upper()}
    assert theirs["isSnapshot"] is update.is_snapshot
    bids, asks = ([(each["price"], each["amount"]) for each in theirs[side]] for side in ("bids", "asks"))
    if not update.is_snapshot or adapter.book_rule.snapshot is SnapshotSource.STREAM:
        assert (bids, asks) == (list(update.bids), list(update.asks))
        return
    sync = BookSync(update.symbol, adapter.book_rule)
    for each in kept:
        sync.feed(each)
    sync.snapshot(update)

    assert sync.book is not None
    assert sorted(level for level in bids if level[1]) == sorted(sync.book.bids(1000))
    assert sorted(level for level in asks if level[1]) == sorted(sync.book.asks(1000))


def test_books_as_tardis_normalises_them(recorded):
    """Symbol, flag, levels and time of every book, by message or by REST, of a channel that is ours."""
    found = Counter()
    kept = defaultdict(list)
    for pair in lines(recorded / "tardis-node/derived/dev.jsonl"):
        if pair["exchange"] not in TARDIS:
            found["none of our exchanges and markets"] += 1
            continue
        adapter = ExchangeRegistry.create(TARDIS[pair["exchange"]])
        reason = tardis_reason(adapter, pair, packed(pair["message"]))
        found[reason or adapter.id] += 1
        place = pair["test"], pair["mapper_for"]
        if reason == "kept until a snapshot comes":
            for update in updates_of(adapter, pair["message"]):
                kept[*place, update.symbol].append(update)
        if reason is not None:
            continue
        (update,), (theirs,) = updates_of(adapter, pair["message"]), pair["expected"]
        sent = None if theirs["timestamp"] == pair["local_timestamp"] else theirs["timestamp"]

        assert update.at == (None if sent is None else micros_of(datetime.fromisoformat(sent))), pair
        if theirs["type"] == "book_change":
            assert_equal(adapter, update, theirs, kept.pop((*place, update.symbol), []))
        else:
            assert theirs["symbol"] == update.symbol
            assert [(theirs["bidPrice"], theirs["bidAmount"])] == [each for each in update.bids if each[1]]
            assert [(theirs["askPrice"], theirs["askAmount"])] == [each for each in update.asks if each[1]]

    assert sum(found.values()) == 302
    assert found == {
        "none of our exchanges and markets": 121,
        "no book, candle or funding rate": 62,
        "made into nothing by the other project": 37,
        "a version of the API that is gone": 22,
        "a channel that is not subscribed to": 15,
        "a funding rate of a ticker, where ours come by REST": 14,
        "kept until a snapshot comes": 7,
        "binance_spot": 4,
        "bybit_perpetual": 4,
        "bybit_spot": 1,
        "cryptocom_spot": 3,
        "gate_spot": 2,
        "htx_spot": 4,
        "hyperliquid_perpetual": 2,
        "kraken_spot": 2,
        "okx_perpetual": 2,
    }


# --- crypto-msg-parser: a raw message and what is asserted of it -----------------------------------------------------

KINDS = {"l2_event", "l2_topk", "l2_orderbook", "l2_snapshot", "bbo", "candlestick", "before_20220311"}
"""The modules about books and candles, and one about all that there was before a date."""
FACT = re.compile(r"(?:orderbook|bbo_msg|candlestick_msg)\.[a-z]\w*(?:\[\d+\])?(?:\.\w+)?(?:\(\))?|extract_\w+")
BEST = re.compile(r"bbo_msg\.(ask|bid)_")
PERIODS = {"1min": "1m", "Min1": "1m", "1week": "1w"}
"""How exchanges spell intervals otherwise than we do."""
UNSAID = {"None", "received_at", "received_at.unwrap()"}
"""What stands for a value that the message lacks."""
UNUSED = {
    "bbo_msg.id",
    "bbo_msg.msg_type",
    "candlestick_msg.msg_type",
    "candlestick_msg.pair",
    "candlestick_msg.timestamp",
}
"""What says nothing more of a message, or what our books and candles do not have."""


def facts_of(held):
    """What is asserted of a message, by name; where several messages stand in a test, of this one alone."""
    groups = [[]]
    for text in held["asserts"]:
        if text.startswith("orderbook.asks.len()") and text.partition(",")[0] in " ".join(groups[-1]):
            groups.append([])
        groups[-1].append(text)
    facts = [dict(filter(None, map(fact_of, group))) for group in groups]
    if len(facts) > 1:
        facts = [each for each in facts if str(each["extract_timestamp"]) in held["raw"]]
    (found,) = facts
    return found


def fact_of(text):
    """The name and the value of an assertion, which may stand on either side; ``None`` where it is about something else."""
    name = FACT.search(text)
    if name is None:
        return None
    left, _, right = text.partition(", ")
    said = right if name.start() <= 1 else left
    name = BEST.sub(r"orderbook.\1s[0].", name[0]).removesuffix(".unwrap")
    return name, not text.startswith("!") if name == "orderbook.snapshot" else value_of(said)


def value_of(said):
    """A number, a text, ``None`` where the message does not say it, or ``...`` where it is computed."""
    said = said.removeprefix("Some(").removesuffix(")") if said.startswith("Some(") else said
    if said.startswith('"'):
        return said.split('"')[1]
    if said in UNSAID:
        return None
    try:
        return int(said) if said.isdigit() else float(said.replace("_", ""))
    except ValueError:
        return ...


def book_facts(update):
    """The same of an update of ours; ``quantity`` is in the unit of the wire."""
    at = None if update.at is None else update.at // MS
    facts = {
        "extract_symbol": update.symbol,
        "bbo_msg.symbol": update.symbol,
        "extract_timestamp": at,
        "bbo_msg.timestamp": at,
        "orderbook.timestamp": at,
        "orderbook.snapshot": update.is_snapshot,
        "orderbook.seq_id": update.last,
        "orderbook.prev_seq_id": update.previous,
    }
    for name, side in (("asks", update.asks), ("bids", update.bids)):
        facts[f"orderbook.{name}.len()"] = len(side)
        for place, (price, size) in enumerate(side):
            facts[f"orderbook.{name}[{place}].price"] = price
            facts[f"orderbook.{name}[{place}].quantity"] = size
    return facts


def near(value):
    """A value to compare with one that was converted, or lost its last digits."""
    return value if value is None else pytest.approx(value, rel=1e-9)


def candle_facts(adapter, row):
    """The same of a candle of ours, counted as the other project counts."""
    candle = row.candle
    volume, quote = volumes_of(adapter, candle)
    return {
        "extract_symbol": row.symbol,
        "candlestick_msg.symbol": row.symbol,
        "candlestick_msg.begin_time": candle.open_time,
        "candlestick_msg.period": row.interval,
        "candlestick_msg.open": candle.open,
        "candlestick_msg.high": candle.high,
        "candlestick_msg.low": candle.low,
        "candlestick_msg.close": candle.close,
        "candlestick_msg.volume": near(volume),
        "candlestick_msg.quote_volume": near(quote),
    }


def in_wire_units(facts):
    """With one ``quantity`` a level: in contracts where they are asserted, and in the base asset elsewhere."""
    found = {name: value for name, value in facts.items() if ".quantity_" not in name and value is not ...}
    for unit in ("base", "contract"):
        for name, value in facts.items():
            if name.endswith(f".quantity_{unit}") and isinstance(value, int | float):
                found[name.removesuffix(f"_{unit}")] = value
    return found


def assert_asserted(adapter, theirs, ours):
    """Whatever is asserted, but for the names that are known to mean something else, is so of ours."""
    names = theirs.keys() - UNUSED - NOT_COMPARED.get(adapter.id, set())

    assert names
    assert names <= ours.keys()
    assert {name: theirs[name] for name in names} == {name: ours[name] for name in names}


def assert_book_equal(adapter, held, theirs):
    message = unwrapped(json.loads(held["raw"]))
    if held["module"] == "l2_snapshot":
        update = adapter.book_snapshot(theirs.get("extract_symbol", "NONE"), held["raw"].encode())
    else:
        (update,) = adapter.book_updates(adapter.decode(packed(message).encode()))
    if {"E", "T"} <= message.keys():
        # When it was sent, where we say when it happened.
        theirs = {name: message["T"] if value == message["E"] else value for name, value in theirs.items()}
    assert_asserted(adapter, in_wire_units(theirs), book_facts(update))


def assert_candle_equal(adapter, held, theirs):
    message = unwrapped(json.loads(held["raw"]))
    (row,) = adapter.live_rows(adapter.decode(packed(message).encode()))
    opened, period = row.candle.open_time, theirs["candlestick_msg.period"]
    begun = theirs["candlestick_msg.begin_time"]
    theirs["candlestick_msg.begin_time"] = begun if begun is ... else begun * 10**6
    theirs["candlestick_msg.period"] = Interval(PERIODS.get(period, period))
    sent = theirs.pop("extract_timestamp", None) or message["ts"]

    # Gate's of 2022 have whole seconds alone, and not yet the milliseconds that are read.
    assert (None if adapter.id.startswith("gate") else sent * MS) == (row.candle.at and row.candle.at // MS * MS)
    assert opened <= sent * MS <= row.interval.step(opened)
    assert_asserted(adapter, theirs, candle_facts(adapter, row))


def test_books_and_candles_as_another_parser_asserts_them(recorded):
    """
    Every asserted value of the channels that are ours; a candle was sent while it ran.

    Of seven books, six by REST and one of an option, no more than the moment is asserted, or the symbol too.
    """
    found = Counter()
    for held in lines(recorded / "crypto-msg-parser/derived/dev.jsonl"):
        exchange = held["exchange"]
        market = MISNAMED.get((exchange, held["test"]), held["market_type"])
        name = f"{NAMES.get(exchange, exchange)}_{MARKETS.get(market)}"
        if name not in ExchangeRegistry.names():
            found["none of our exchanges and markets"] += 1
            continue
        if held["module"] not in KINDS or held["parser"] == "parse_trade":
            found["no book or candle"] += 1
            continue
        adapter = ExchangeRegistry.create(name)
        reason = reason_of(adapter, packed(json.loads(held["raw"])))
        found[reason or adapter.id] += 1
        if reason is None:
            compare = assert_candle_equal if held["module"] == "candlestick" else assert_book_equal
            compare(adapter, held, facts_of(held))

    assert sum(found.values()) == 267
    assert found == {
        "none of our exchanges and markets": 105,
        "no book or candle": 65,
        "a channel that is not subscribed to": 28,
        "a version of the API that is gone": 25,
        "a snapshot by REST, where the stream brings it": 3,
        "binance_inverse": 1,
        "binance_perpetual": 5,
        "binance_spot": 3,
        "gate_perpetual": 2,
        "gate_spot": 1,
        "htx_inverse": 4,
        "htx_perpetual": 1,
        "htx_spot": 2,
        "kucoin_inverse": 1,
        "kucoin_perpetual": 1,
        "kucoin_spot": 3,
        "mexc_inverse": 2,
        "mexc_perpetual": 2,
        "okx_inverse": 5,
        "okx_perpetual": 4,
        "okx_spot": 4,
    }


# --- ccxt: an answer by REST and what it is parsed to ----------------------------------------------------------------

CCXT = ["binance_spot", "okx_spot"]


def ccxt_pair(recorded, adapter_id, method):
    folder = recorded / "ankvik-ccxt-rs" / adapter_id.removesuffix("_spot")
    held = json.loads((folder / f"{method}.json").read_text())
    return ExchangeRegistry.create(adapter_id), packed(held["http_response"]).encode(), held["parsed_response"]


@pytest.mark.parametrize("adapter_id", CCXT)
def test_candles_as_ccxt_parses_them(recorded, adapter_id):
    """Every row, the running one among them."""
    adapter, body, theirs = ccxt_pair(recorded, adapter_id, "fetch_ohlcv_BTC_USDT")
    rows = adapter.candle_rows(body)
    ours = zip(rows.open_time, rows.open, rows.high, rows.low, rows.close, rows.volume, strict=True)

    assert theirs == [[opened // MS, *values] for opened, *values in ours]
    assert len(theirs) == 3


@pytest.mark.parametrize("adapter_id", CCXT)
def test_books_as_ccxt_parses_them(recorded, adapter_id):
    """Levels, moment and, where ccxt reads it, the number of the last change."""
    adapter, body, theirs = ccxt_pair(recorded, adapter_id, "fetch_order_book_BTC_USDT")
    book = adapter.book_snapshot(adapter.symbol(theirs["symbol"]), body)

    assert book.is_snapshot
    for side in ("bids", "asks"):
        assert [tuple(level[:2]) for level in theirs[side]] == getattr(book, side)
        assert len(theirs[side]) == 5
    assert theirs["timestamp"] == (None if book.at is None else book.at // MS)
    assert theirs["nonce"] in {None, book.last}


@pytest.mark.parametrize(("adapter_id", "key"), [("binance_spot", "symbols"), ("okx_spot", "data")])
def test_instruments_as_ccxt_parses_them(recorded, adapter_id, key):
    """
    Spelling, pair, steps and status.

    ccxt asked for several lists, of which the last alone was recorded, and it is of no spot pair: read
    here is what ccxt kept of each pair as it came.
    """
    adapter, last, theirs = ccxt_pair(recorded, adapter_id, "fetch_markets")
    listings, cursor = adapter.instruments(packed({key: [each["info"] for each in theirs]}).encode())

    assert cursor is None
    assert [
        (each["id"], each["symbol"], each["precision"]["price"], each["precision"]["amount"], each["active"])
        for each in theirs
    ] == [
        (each.symbol, str(each.instrument), each.tick_size, each.lot_size, each.status is ListingStatus.LISTED)
        for each in listings
    ]
    assert len(listings) == 5
    if adapter_id == "okx_spot":
        assert adapter.instruments(last) == ([], None)


# --- gocryptotrader: recorded HTTP of Binance spot -------------------------------------------------------------------

COLUMNS = {
    1: "open",
    2: "high",
    3: "low",
    4: "close",
    5: "volume",
    7: "quote_asset_volume",
    8: "count",
    9: "taker_buy_volume",
    10: "taker_buy_quote_volume",
}
"""The documented places of a kline."""


def binance_answers(recorded, path):
    """The recorded answers of one path that hold data, each with its query."""
    held = json.loads((recorded / "gocryptotrader/derived/binance_http_dev.json").read_text())
    for each in held["routes"][path]["GET"]:
        query = {name: values[0] for name, values in parse_qs(each["queryString"]).items()}
        yield query, each["data"]


def test_recorded_klines_of_binance(recorded):
    """Every value of every row, read apart by its documented place; each page is one that we would have asked for."""
    spot = ExchangeRegistry.create("binance_spot")
    read = bounded = 0
    for query, data in binance_answers(recorded, "/api/v3/klines"):
        rows = spot.candle_rows(packed(data).encode())
        interval = Interval(query["interval"])
        read += len(data)

        assert list(rows.open_time) == [row[0] * MS for row in data]
        assert list(rows.close_time) == [row[6] * MS for row in data]
        for place, name in COLUMNS.items():
            assert list(getattr(rows, name)) == [float(row[place]) for row in data], name
        assert all(interval.floor(opened) == opened for opened in rows.open_time)
        if "endTime" in query:
            bounded += 1
            span = Span(int(query["startTime"]) * MS, int(query["endTime"]) * MS + 1)
            request = spot.candles_request(query["symbol"], interval, span)

            assert request.url.endswith("/api/v3/klines")
            asked = {name: str(value) for name, value in request.params.items()}
            assert {**query, "limit": ""} == {**asked, "limit": ""}
            assert all(span.start <= opened < span.end for opened in rows.open_time)

    assert (read, bounded) == (3396, 12)


def test_two_recorded_pages_make_one_series(recorded):
    """1000 hours and 468: none twice, none missing at the seam, and the three hours of a halt of 2020-06-28 within."""
    spot = ExchangeRegistry.create("binance_spot")
    pages = [
        spot.candle_rows(packed(data).encode()).open_time
        for query, data in binance_answers(recorded, "/api/v3/klines")
        if query["interval"] == "1h" and query["symbol"] == "BTCUSDT" and len(data) in {1000, 468}
    ]
    steps = Counter(later - earlier for earlier, later in pairwise([*pages[0], *pages[1]]))

    assert [len(page) for page in pages] == [1000, 468]
    assert pages[1][0] - pages[0][-1] == HOUR
    assert steps == {HOUR: 1466, 4 * HOUR: 1}


def test_recorded_book_of_binance(recorded):
    """Every level that was kept of it, at most five a side."""
    ((query, data),) = binance_answers(recorded, "/api/v3/depth")
    spot = ExchangeRegistry.create("binance_spot")
    request, book = spot.book_request(query["symbol"], 1000), spot.book_snapshot(query["symbol"], packed(data).encode())

    assert request.url.endswith("/api/v3/depth")
    assert query == {name: str(value) for name, value in request.params.items()}
    for side in ("bids", "asks"):
        assert getattr(book, side) == [(float(price), float(size)) for price, size in data[side]]
        assert data[side]
    assert (book.last, book.is_snapshot) == (data["lastUpdateId"], True)
