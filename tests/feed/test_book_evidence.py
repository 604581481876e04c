"""Recorded streams, fed as they came, give the books that their exchanges had: by best prices, checksums, or no gap."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec
import pyarrow as pa
import pytest

from chandlery.adapter.books import (
    BookRule,
    BookSync,
    Link,
    Outcome,
    SnapshotSource,
)
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.book import BookUpdate
from chandlery.exchanges.kraken import kraken_checksum
from chandlery.exchanges.okx import okx_checksum

CHECKED = {
    "kraken": BookRule(Link.NONE, SnapshotSource.STREAM, checksum=kraken_checksum, truncates=True),
    "okx": BookRule(Link.NONE, SnapshotSource.STREAM, checksum=okx_checksum),
    "bitget": BookRule(Link.NONE, SnapshotSource.STREAM, checksum=okx_checksum),  # Bitget has the rule of OKX
}


def levels(rows) -> list[tuple[float, float]]:
    """Price and size of rows that may hold more."""
    return [(float(row[0]), float(row[1])) for row in rows]


def digits(rows) -> list[tuple[str, str]]:
    """The same as they are written."""
    return [(row[0], row[1]) for row in rows]


def written(symbol, bids, asks, **more) -> BookUpdate:
    """An update of rows of text, with its digits."""
    return BookUpdate(symbol, levels(bids), levels(asks), bid_digits=digits(bids), ask_digits=digits(asks), **more)


class _Combined(msgspec.Struct):
    stream: str
    data: msgspec.Raw


class _Ticker(msgspec.Struct):
    u: int
    b: float
    a: float


def received(path) -> Iterator[str]:
    """What came in, of a capture with one event a line: ``seconds: message``, or ``url <- seconds: sent``."""
    for line in path.read_text().splitlines():
        if line and not line.startswith("wss:"):
            yield line.partition(": ")[2]


def fed(rule: BookRule, updates, *, depth=None) -> tuple[dict[str, BookSync], Counter[Outcome]]:
    """A book per symbol, and what became of all the messages."""
    syncs: dict[str, BookSync] = {}
    outcomes: Counter[Outcome] = Counter()
    for update in updates:
        sync = syncs.get(update.symbol)
        if sync is None:
            sync = syncs[update.symbol] = BookSync(update.symbol, rule, depth=depth)
        outcomes[sync.feed(update)] += 1
    return syncs, outcomes


@pytest.mark.parametrize(
    ("exchange", "file", "equal"),
    [
        ("binance_spot", "spot/btcusdt_20240808.gz", 3449),
        ("binance_perpetual", "usdm/ethusdt_20240808.gz", 6580),
        ("binance_inverse", "cm/ethusd_perp_20240808.gz", 22887),
    ],
)
def test_binance_books_have_the_best_prices_of_the_book_ticker(recorded, exchange, file, equal):
    """After every update that is applied; one that waited for its snapshot comes to the same book as one that had it first."""
    adapter = ExchangeRegistry.create(exchange)
    combined = msgspec.json.Decoder(_Combined)
    ticker = msgspec.json.Decoder(_Ticker, strict=False)
    live, early = BookSync("X", adapter.book_rule), BookSync("X", adapter.book_rule)
    updates: list[BookUpdate] = []
    tickers: list[_Ticker] = []
    with gzip.open(recorded / "hftbacktest" / file, "rb") as lines:
        for line in lines:
            body = line.split(b" ", 1)[1].strip()
            if body.startswith(b'{"lastUpdateId"'):
                snapshot = adapter.book_snapshot("X", body)
                assert Outcome.APPLIED is live.snapshot(snapshot)
                continue
            message = combined.decode(body)
            if message.stream.endswith("bookTicker"):
                tickers.append(ticker.decode(message.data))
            elif "@depth" in message.stream:
                updates += adapter.book_updates(bytes(message.data))
                live.feed(updates[-1])
    tickers.sort(key=lambda each: each.u)
    early.snapshot(snapshot)
    applied = agreed = at = 0
    for update in updates:
        if early.feed(update) is Outcome.APPLIED:
            while at + 1 < len(tickers) and tickers[at + 1].u <= update.last:
                at += 1
            applied += 1
            agreed += (tickers[at].b, tickers[at].a) == (early.book.best_bid, early.book.best_ask)

    assert (equal, equal) == (agreed, applied)
    assert {Outcome.STALE} == set(early.counts)
    assert {Outcome.WAITING, Outcome.STALE} == set(live.counts)
    assert [early.book.bids(20_000), early.book.asks(20_000)] == [live.book.bids(20_000), live.book.asks(20_000)]


def kraken_v1(text: str) -> Iterator[BookUpdate]:
    """An array whose objects belong to one message."""
    message = json.loads(text)
    if isinstance(message, list) and message[-2].startswith("book"):
        parts = {key: rows for part in message[1:-2] for key, rows in part.items()}
        yield written(
            message[-1],
            parts.get("bs") or parts.get("b", []),
            parts.get("as") or parts.get("a", []),
            is_snapshot="as" in parts,
            checksum=int(parts["c"]) if "c" in parts else None,
        )


def bitget(text: str) -> Iterator[BookUpdate]:
    """What OKX and Bitget write alike."""
    message = json.loads(text)
    if "data" in message and message["arg"]["channel"] == "books":
        for each in message["data"]:
            yield written(
                message["arg"]["instId"],
                each["bids"],
                each["asks"],
                is_snapshot=message["action"] == "snapshot",
                checksum=each["checksum"],
            )


def by_adapter(exchange: str, mark: str) -> Callable[[str], Sequence[BookUpdate]]:
    """The parser of an adapter, for those messages of a mixed capture that hold ``mark``."""
    adapter = ExchangeRegistry.create(exchange)
    return lambda text: adapter.book_updates(text.encode()) if mark in text else ()


@pytest.mark.parametrize(
    ("rule", "parse", "file", "depth", "checksums"),
    [
        ("kraken", kraken_v1, "KRAKEN.ws.50.0", 1000, 4269),
        ("bitget", bitget, "BITGET.ws.1.0", None, 443),
        ("bitget", bitget, "BITGET.ws.2.0", None, 194),
    ],
)
def test_every_checksum_of_a_capture_is_that_of_the_book(recorded, rule, parse, file, depth, checksums):
    """Of each message that carries one; a snapshot of Kraken v1 carries none."""
    updates = [update for text in received(recorded / "cryptofeed/master" / file) for update in parse(text)]
    syncs, outcomes = fed(CHECKED[rule], updates, depth=depth)

    assert checksums == sum(update.checksum is not None for update in updates)
    assert {Outcome.APPLIED: len(updates)} == outcomes
    assert all(sync.book is not None for sync in syncs.values())


def test_every_checksum_of_okx_is_that_of_the_book(recorded):
    """The capture is older than the sequence numbers, so the checksums alone must hold."""
    parse = by_adapter("okx_spot", '"books"')
    updates = [update for text in received(recorded / "cryptofeed/master/OKX.ws.1.0") for update in parse(text)]
    _, outcomes = fed(CHECKED["okx"], updates)

    assert 290 == sum(bool(update.checksum) for update in updates)
    assert {Outcome.APPLIED: 290} == outcomes


@pytest.fixture(scope="module")
def kraken_v2(recorded) -> list[BookUpdate]:
    """A minute of ten levels a side."""
    path = recorded / "kraken-v2-mhadiamiri/evidence/WO-008b-A3/captured_raw_text.json"
    parse = by_adapter("kraken_spot", '"book"')
    return [update for text in json.loads(path.read_text())["raw_text"] for update in parse(text)]


def test_every_checksum_of_kraken_v2_is_that_of_the_book(kraken_v2):
    """Ten levels a side: what is pushed out of them must be dropped."""
    _, outcomes = fed(ExchangeRegistry.get("kraken_spot").book_rule, kraken_v2, depth=10)

    assert 1254 == sum(bool(update.checksum) for update in kraken_v2)
    assert {Outcome.APPLIED: 1254} == outcomes


def test_kraken_v2_without_truncation_or_digits_fails_its_checksums(kraken_v2):
    """Both parts of the rule are needed."""
    rule = ExchangeRegistry.get("kraken_spot").book_rule
    floats = [
        msgspec.structs.replace(
            update,
            bid_digits=[(str(price), str(size)) for price, size in update.bids],
            ask_digits=[(str(price), str(size)) for price, size in update.asks],
        )
        for update in kraken_v2
    ]

    for changed, messages in ((msgspec.structs.replace(rule, truncates=False), kraken_v2), (rule, floats)):
        assert 1 == fed(changed, messages, depth=10)[1][Outcome.BAD_CHECKSUM]


def test_bybit_books_have_no_gap(recorded):
    """Four symbols on one socket, 2148 messages, each following the one before of its symbol."""
    compressed = pa.CompressedInputStream(pa.OSFile(str(recorded / "cryptofeed/v3/BYBIT.jsonl.zst")), "zstd")
    events = [json.loads(line) for line in io.TextIOWrapper(compressed, "utf-8")]
    parse = by_adapter("bybit_perpetual", '"topic":"orderbook.')
    updates = [update for event in events if event["t"] == "recv" for update in parse(event["data"])]
    syncs, outcomes = fed(ExchangeRegistry.get("bybit_perpetual").book_rule, updates)

    assert {Outcome.APPLIED: 2148} == outcomes
    assert {"BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT"} == set(syncs)
    assert [200] * 8 == [
        len(side(500)) for sync in syncs.values() if (book := sync.book) for side in (book.bids, book.asks)
    ]
