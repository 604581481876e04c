"""What chandlery writes is what ``docs/formats.md`` describes: every field of either is in the other, with its type."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sqlite3
import struct
import zlib
from functools import cache
from pathlib import Path

import aiohttp
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chandlery.cli.app import run
from chandlery.core.candle import CandleData
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.instrument import Instrument, Listing, ListingStatus, MarketType
from chandlery.core.interval import Interval
from chandlery.core.provenance import EventKind
from chandlery.core.query import ChartType, DataProvider
from chandlery.core.series_id import SeriesId
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND, to_datetime
from chandlery.database.books import RawDataRepositoryImpl
from chandlery.database.candles import CandleRepository
from chandlery.database.coins import CoinRepository, CollectedCoin
from chandlery.database.gaps import GapRepository
from chandlery.database.listings import ListingRepository
from chandlery.database.raw import BookSnapshot, RawOrderBookEntry
from chandlery.database.series_ids import SeriesIds
from chandlery.database.sqlite import FILE_NAME, SqliteDatabase
from chandlery.history.manager import DataSourceManager
from chandlery.net.clock import system_clock
from chandlery.service.collection.broadcaster import Update, gap_content
from chandlery.service.historical.interfaces import Piece, Source
from chandlery.service.historical.report import AnswerReport
from chandlery.service.web.messages import Message
from chandlery.sim.faults import Fault, FaultKind
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.server import SimServer, running
from chandlery.tables.frame import empty_table
from fixtures.service import connected, served
from fixtures.service_accounts import quick_hashes

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "formats.md"
_KIND = re.compile(r"`([^`]+)`|\[[^\]]+\]\(#([\w-]+)\)")
_PLAIN = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list, "object": dict}
_STRUCTS = {"uint8": "B", "uint32": "I", "int64": "q"}
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?Z")

NOW = system_clock()
TODAY = Interval.DAY_1.floor(NOW)
START = TODAY - 20 * DAY
HALT = Span(START + 2 * HOUR, START + 3 * HOUR)
"""So old that it is proved for good."""
YOUNG = Span(Interval.HOUR_1.floor(NOW) - 6 * HOUR, Interval.HOUR_1.floor(NOW) - 5 * HOUR)
"""So young that it will be asked for again."""
MARKET = SyntheticMarket(7, halts=[HALT, YOUNG])
EXCHANGES = ("binance_spot", "binance_perpetual", "coinbase_spot")
BTC = {"exchange": "binance", "symbol": "BTC/USDT"}


@cache
def tables():
    """The first table below each heading, by the heading's anchor: a dict a row, under the names in its head."""
    found = {}
    for part in re.split(r"^#+ ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        lines = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
        if lines:
            head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines())
            anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            found[anchor] = [dict(zip(head, row, strict=True)) for row in rows]
    return found


def fields(anchor):
    """The rows of a table by the name of their field."""
    rows = tables()[anchor]
    names = [(row.get("field") or row["column"]).strip("`") for row in rows]
    assert len(names) == len({*names})
    return dict(zip(names, rows, strict=True))


def version(name):
    """The version of a format, as the page has it."""
    (row,) = [row for row in tables()["versions"] if f"[{name}]" in row["format"]]
    return int(row["version"])


class Seen:
    """Checks JSON against the tables, and remembers which of their fields had a value."""

    def __init__(self):
        self.fields = {}

    def check(self, anchor, value):
        """It is an object of that table, with each of its fields and no other."""
        seen = self.fields.setdefault(anchor, set())
        known = fields(anchor)
        assert [] == [name for name in value if name not in known], f"{anchor} has more than the page"
        for name, row in known.items():
            where = f"{anchor}.{name}"
            if name not in value:
                assert "`absent`" in row["missing"], f"{where} is not there"
            elif value[name] is None:
                assert "`null`" in row["missing"], f"{where} is null"
            else:
                assert value[name] != "" or '`""`' in row["missing"], f"{where} is empty"
                self._fits(where, row["type"], value[name])
                seen.add(name)

    def _fits(self, where, cell, value):
        container, _, inner = cell.partition(" of ")
        if inner:
            assert type(value) is _PLAIN[container.strip("`")], where
            for each in value.values() if isinstance(value, dict) else value:
                self._fits(where, inner, each)
            return
        plain = [kind for kind, _ in _KIND.findall(cell) if kind]
        linked = [anchor for _, anchor in _KIND.findall(cell) if anchor]
        if len(linked) > 1:  # the one that its fields look like
            linked = [max(linked, key=lambda anchor: len(fields(anchor).keys() & value.keys()))]
        for anchor in linked:
            self.check(anchor, value)
        if plain == ["[number, number]"]:
            assert [float, float] == [type(each) for each in value], where
        elif plain:
            assert type(value) in {_PLAIN[kind] for kind in plain}, f"{where} is {value!r}"

    def assert_whole(self, *anchors):
        """Each field of these tables has had a value; what is written of them nowhere is not on the page."""
        unseen = {anchor: fields(anchor).keys() - self.fields.get(anchor, set()) for anchor in anchors}
        assert {} == {anchor: names for anchor, names in unseen.items() if names}


@pytest.fixture
def seen():
    """A check that remembers."""
    return Seen()


TIMES = ("received_at", "at")
"""What candles of the service have besides."""
MORE = (*TIMES, "nominal_time")
"""What candles and funding rates of the service have besides."""


def names_of(anchor, more=()):
    """The columns of the table in their order, but for optional ones that are not among ``more``."""
    return [name for name, row in fields(anchor).items() if "absent" not in row["missing"] or name in more]


def check_schema(anchor, schema, *, nullable=False, more=()):
    """The columns of the table; of optional ones those among ``more``, which may be null where the page says so."""
    rows = {name: fields(anchor)[name] for name in names_of(anchor, more)}
    optional = {name for name in rows.keys() & {*more} if "null" in rows[name]["missing"]}
    expected = [(name, row["Arrow type"].strip("`"), nullable or name in optional) for name, row in rows.items()]
    assert expected == [(each.name, str(each.type), each.nullable) for each in schema]


def check_missing(anchor, table):
    """Null and NaN stand only where the page says so; the columns that have them."""
    found = set()
    for name in table.column_names:
        missing, column = fields(anchor)[name]["missing"], table.column(name)
        if column.null_count:
            assert "`null`" in missing, name
            found.add(name)
        if pa.types.is_floating(column.type) and np.isnan(column.to_numpy()).any():
            assert missing.startswith("`NaN`"), name
            found.add(name)
    return found


def check_cells(anchor, columns, rows):
    """The cells of JSON rows have the JSON types of the columns; those of candles are the service's."""
    assert rows
    assert columns == names_of(anchor, MORE)
    for name, values in zip(columns, zip(*rows, strict=True), strict=True):
        kind, missing = fields(anchor)[name]["JSON type"].strip("`"), fields(anchor)[name]["missing"]
        assert {type(each) for each in values} <= {_PLAIN[kind]} | ({type(None)} if "`null`" in missing else set()), (
            name
        )


def check_csv(anchor, text, moment, more=()):
    """The head is the columns'; each moment looks like ``moment``."""
    head, *lines = text.splitlines()
    names = head.split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines]
    assert names == names_of(anchor, more)
    for name in names:
        if "timestamp" in fields(anchor)[name]["Arrow type"]:
            told = [row[name] for row in rows if row[name] or "`null`" not in fields(anchor)[name]["missing"]]
            assert all(re.fullmatch(moment, each) for each in told), told[0]
    return rows


def test_kinds():
    """The lists of kinds are whole, and in the order of the enumerations."""
    text = PAGE.read_text()

    def listed(title):
        return re.findall(r"`([a-z_]+)`", re.search(rf"\*\*{title}\*\*(.*?);\s", text, re.DOTALL)[1].partition(":")[2])

    assert [each.value for each in GapKind] == listed("Kinds of gaps")
    assert [each.value for each in EventKind] == listed("Kinds of events")


@pytest.fixture(scope="module")
def sim():
    """An offline exchange with a halt that is final and one that is not."""
    with running(MARKET, exchanges=EXCHANGES) as exchange:
        yield exchange


@pytest.fixture(scope="module")
def cached(sim, tmp_path_factory):
    """A cache that managers have filled, and what one of them answered."""
    folder = tmp_path_factory.mktemp("cache")

    def manager(market=MarketType.SPOT, **options):
        return DataSourceManager(market, cache_dir=folder, endpoints=sim.endpoints, **options)

    with manager() as spot:
        lost = Fault(FaultKind.MISSING_ROW, path=r"daily/.*1h", times=None)
        sim.faults.append(lost)
        hours = ("BTCUSDT", to_datetime(START + DAY), to_datetime(START + 2 * DAY), "1h")
        answers = [spot.get_data(*hours, output="arrow")]
        sim.faults.remove(lost)
        spot.recheck(*hours)
        doubled = Fault(FaultKind.CONFLICTING_ROW, path=r"daily/.*1h", times=None)
        sim.faults.append(doubled)
        spot.recheck(*hours)
        sim.faults.remove(doubled)
        for start, end in ((START, START + DAY), (YOUNG.start - HOUR, YOUNG.end + HOUR)):
            answers.append(spot.get_data("BTCUSDT", to_datetime(start), to_datetime(end), "1m", output="arrow"))
    span = (to_datetime(START), to_datetime(START + DAY))
    with manager(MarketType.FUTURES_USDT, chart_type=ChartType.FUNDING_RATE) as perpetual:
        perpetual.get_data("BTCUSDT", *span, "8h")
    with manager(provider=DataProvider("COINBASE")) as coinbase:
        coinbase.get_data("BTC-USD", *span, "1h")
    return folder, answers


CACHED = re.compile(
    r"@offline-7-[0-9a-f]+/[A-Z]+/(SPOT|FUTURES_USDT)/(KLINES|FUNDING_RATE)/[A-Z-]+/(1m|1h|8h)/\d{4}-\d\d-\d\d\.arrow"
)


def test_cache_files(cached, seen):
    """Places, columns and labels, checked to the last byte by what the page says of them."""
    folder, _ = cached
    paths = sorted(folder.rglob("*.arrow"))
    incomplete = set()
    for path in paths:
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        assert CACHED.fullmatch(name)
        reader = pa.ipc.open_file(content)
        anchor = "funding-rates" if "FUNDING" in name else "candles"
        check_schema(anchor, reader.schema)
        incomplete |= check_missing(anchor, reader.read_all())
        assert ([b"chandlery"], 1) == ([*reader.schema.metadata], reader.num_record_batches)
        text = reader.schema.metadata[b"chandlery"]
        label = json.loads(text)
        seen.check("label", label)
        assert "check" == next(iter(label))
        assert (version("cache file"), name.rpartition("/")[0]) == (label["version"], label["series"])
        assert reader.read_all().num_rows == label["rows"]
        first, last = content.find(b'{"check":"'), content.rfind(b'{"check":"')
        assert text == content[first : first + len(text)] == content[last : last + len(text)]
        assert f"{zlib.crc32(text[29:]):08x} {len(text):08d}" == label["check"]
        around = content[:first] + content[first + len(text) : last] + content[last + len(text) :]
        assert (0, zlib.crc32(around)) == (len(text) % 1024, label["crc32"])

    assert len(paths) >= 5
    assert {"quote_asset_volume", "taker_buy_volume", "taker_buy_quote_volume"} == incomplete
    seen.assert_whole("label", "source-span", "gap-span")


def test_the_files_beside_the_cache(cached, seen):
    """The index, and the ledger with a row that appeared and one that went."""
    folder, _ = cached
    index = json.loads((folder / "cache_metadata.json").read_bytes())
    seen.check("index", index)
    for line in (folder / "restatements.jsonl").read_bytes().splitlines():
        seen.check("ledger", json.loads(line))

    assert version("cache index") == index["version"]
    assert {path.parent.relative_to(folder).as_posix() for path in folder.rglob("*.arrow")} == {*index["series"]}
    seen.assert_whole("index", "index-entry", "ledger", "change")


@pytest.fixture
def chandlery(sim, monkeypatch, tmp_path):
    """Runs a command line that writes a file of a name; the file."""
    monkeypatch.setenv("CHANDLERY_ENDPOINTS", json.dumps(sim.endpoints))

    def call(name, *args):
        assert 0 == run([*map(str, args), "-o", str(tmp_path / name)])
        return tmp_path / name

    return call


FEATHERS = (".arrow", ".feather")


def written(path):
    """The table of a file that is not CSV."""
    return pa.ipc.open_file(path.read_bytes()).read_all() if path.suffix in FEATHERS else pq.read_table(path)


def check_exported(table, *keys):
    """The metadata has the version, and these other keys."""
    assert {b"chandlery.format", *keys} == {*table.schema.metadata}
    assert str(version("exported file")).encode() == table.schema.metadata[b"chandlery.format"]


@pytest.mark.parametrize("suffix", [".parquet", *FEATHERS])
def test_fetched_files(chandlery, cached, seen, suffix):
    """Candles, also with the running one and with columns that the exchange lacks; funding rates; the provenance."""
    day = ("--start", str(to_datetime(START).date()), "--end", str(to_datetime(START + DAY).date()), "--no-cache")
    today = ("--start", str(to_datetime(YOUNG.start - HOUR).isoformat()), "--no-cache")
    candles = written(chandlery(f"a{suffix}", "fetch", "BTCUSDT", "1h", *day))
    running_too = written(chandlery(f"b{suffix}", "fetch", "BTCUSDT", "1m", *today, "--include-open"))
    funding = written(chandlery(f"c{suffix}", "fetch", "BTCUSDT", "--type", "funding", "--market", "um", *day))
    fewer = written(chandlery(f"d{suffix}", "fetch", "BTC-USD", "1h", "-e", "coinbase_spot", *day))

    check_schema("candles", candles.schema)
    check_schema("candles", running_too.schema, more=["closed"])
    check_schema("funding-rates", funding.schema)
    check_schema("candles", fewer.schema)
    assert set() == check_missing("candles", candles) | check_missing("funding-rates", funding)
    assert {"quote_asset_volume", "taker_buy_volume", "taker_buy_quote_volume"} == check_missing("candles", fewer)
    for table in (candles, running_too, funding, fewer):
        check_exported(table, b"chandlery")
        seen.check("provenance", json.loads(table.schema.metadata[b"chandlery"]))
    for table in cached[1]:
        seen.check("provenance", json.loads(table.schema.metadata[b"chandlery"]))
    seen.assert_whole("provenance", "event", "source-span")
    assert {"recheck_at"} == fields("gap-span").keys() - seen.fields["gap-span"]


def test_fetched_csv(chandlery):
    """ISO 8601, and every digit."""
    day = ("--start", str(to_datetime(START).date()), "--end", str(to_datetime(START + DAY).date()), "--no-cache")
    rows = check_csv("candles", chandlery("a.csv", "fetch", "BTCUSDT", "1h", *day).read_text(), _ISO)
    table = written(chandlery("a.parquet", "fetch", "BTCUSDT", "1h", *day))
    funding = chandlery("b.csv", "fetch", "BTCUSDT", "--type", "funding", "--market", "um", *day)
    fewer = chandlery("c.csv", "fetch", "BTC-USD", "1h", "-e", "coinbase_spot", *day)

    assert table.column("close").to_pylist() == [float(row["close"]) for row in rows]
    assert check_csv("funding-rates", funding.read_text(), _ISO)
    assert {"nan"} == {row["quote_asset_volume"] for row in check_csv("candles", fewer.read_text(), _ISO)}


BOOKS = [
    BookSnapshot([(100.25, 1.5), (99.5, 2.0)], [(100.5, 3.0)], 1_000_007, sequence=-5, at=1_000_003),
    BookSnapshot([(100.0, 1.0)], [], 2_000_007),
    BookSnapshot([], [], 3_000_007, sequence=2**62),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder of a database in which every table that is described has rows, with and without what may be missing."""
    folder = tmp_path_factory.mktemp("data")

    async def fill():
        async with SqliteDatabase(folder / FILE_NAME) as database:
            books = [RawOrderBookEntry("binance", "BTC/USDT", at * SECOND, book) for at, book in enumerate(BOOKS, 1)]
            await RawDataRepositoryImpl(SeriesIds(database)).save(books)
            minutes = SeriesId.of_candles("binance", "BTC/USDT", Interval.MINUTE_1)
            candles = [
                CandleData(0, 1.0, 2.0, 0.5, 1.5, 9.0, 9.5, 4, 3.0, 3.5, closed=True, at=7_000, received_at=9_000),
                CandleData(MINUTE, 1.0, 2.0, 0.5, 1.5, 9.0, closed=True),
                CandleData(2 * MINUTE, 1.0, 2.0, 0.5, 1.5, 9.0, closed=False),
            ]
            await CandleRepository(SeriesIds(database)).save(minutes, candles)
            gaps = GapRepository(SeriesIds(database))
            await gaps.record(minutes, Gap(0, MINUTE, GapKind.FETCH_FAILED))
            await gaps.settle(minutes, [Gap(MINUTE, HOUR, GapKind.HALT, "seen")])
            await CoinRepository(database).save(CollectedCoin("binance", "BTC/USDT", ("book", "candles:1m"), 7))
            lists = ListingRepository(database)
            coin = Listing("BTCUSDT", Instrument.parse("BTC/USDT"), ListingStatus.LISTED)
            for at, listed in enumerate(({}, {"BTCUSDT": coin}, {}), 1):
                await lists.record("binance_spot", listed, at)

    asyncio.run(fill())
    return folder


@pytest.fixture
def database(data):
    """The same, read by SQLite alone."""
    connection = sqlite3.connect(f"file:{data / FILE_NAME}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    yield connection
    connection.close()


def test_database(database):
    """Tables, columns, types and versions; no value is of another type."""
    described = {anchor[6:]: fields(anchor) for anchor in tables() if anchor.startswith("table-")}
    there = {row["name"] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    kinds = {"INTEGER": int, "REAL": float, "TEXT": str, "BLOB": bytes}
    for name, known in described.items():
        columns = database.execute(f"PRAGMA table_info({name})").fetchall()
        assert [(each, row["type"].strip("`")) for each, row in known.items()] == [
            (each["name"], each["type"]) for each in columns
        ]
        optional = {each["name"] for each in columns if not each["notnull"] and not each["pk"]}
        assert optional == {each for each, row in known.items() if row["missing"] == "`null`"}
        rows = database.execute(f"SELECT * FROM {name}").fetchall()  # a name of the page
        for column in known:
            expected = {kinds[known[column]["type"].strip("`")]} | ({type(None)} if column in optional else set())
            assert expected == {type(row[column]) for row in rows}, f"{name}.{column}"

    assert there == {*described, "principals", "signing_keys", "revoked_tokens"}
    assert version("database") == database.execute("PRAGMA user_version").fetchone()[0]
    (application,) = database.execute("PRAGMA application_id").fetchone()
    assert f"`application_id` {application} (`0x{application:X}`)" in PAGE.read_text()
    assert [(0, "fetch_failed", ""), (2**63 - 1, "halt", "seen")] == [
        (row["believed_until"], row["kind"], row["evidence"])
        for row in database.execute("SELECT * FROM gaps ORDER BY start")
    ]
    (coin,) = database.execute("SELECT * FROM coins")
    assert (["book", "candles:1m"], "") == (json.loads(coin["channels"]), coin["origin"])


def unpacked(entry):
    """The fields of an entry, and its bids and asks, by the layout of the page."""
    *head, last = fields("order-book-entry").items()
    shape = struct.Struct("<" + "".join(_STRUCTS[row["type"].strip("`")] for _, row in head))
    offsets = [int(row["offset"]) for _, row in head]
    sizes = [struct.calcsize(_STRUCTS[row["type"].strip("`")]) for _, row in head]
    assert [sum(sizes[:place]) for place in range(len(sizes))] == offsets
    assert (shape.size, "`zstd`") == (int(last[1]["offset"]), last[1]["type"])
    assert zlib.crc32(entry[:-4]) == struct.unpack("<I", entry[-4:])[0]
    found = dict(zip((name for name, _ in head), shape.unpack_from(entry), strict=True))
    count = found["bids"] + found["asks"]
    frame = entry[shape.size : -4]
    planes = pa.decompress(frame, decompressed_size=16 * count, codec="zstd", asbytes=True) if count else frame
    numbers = np.frombuffer(planes, np.uint8).reshape(8, 2 * count).T.copy().view("<f8").ravel().tolist()
    levels = [*zip(numbers[:count], numbers[count:], strict=True)]
    return found, levels[: found["bids"]], levels[found["bids"] :]


def test_order_book_entries(database):
    """The bytes of the page's layout are the order book that was stored."""
    entries = [row["entry"] for row in database.execute("SELECT entry FROM books ORDER BY at")]

    for entry, book in zip(entries, BOOKS, strict=True):
        found, bids, asks = unpacked(entry)
        assert (book.bids, book.asks) == (bids, asks)
        assert {
            "version": version("order book entry"),
            "flags": (book.sequence is not None) + 2 * (book.at is not None),
            "bids": len(book.bids),
            "asks": len(book.asks),
            "sequence": book.sequence or 0,
            "at": book.at or 0,
            "received_at": book.received_at,
        } == found
    assert [8, 4] == [len(entries[2]) - struct.calcsize("<BBIIqqq") + 4, len(entries[2]) - 34]


@pytest.mark.parametrize("suffix", [".parquet", *FEATHERS])
def test_exports_of_the_database(chandlery, data, suffix):
    """The same columns as everywhere; order books may lack a sequence, and the exchange's time."""
    asked = ("db", "export", "--data-dir", data, "binance", "BTC/USDT")
    books = written(chandlery(f"books{suffix}", *asked, "book"))
    candles = written(chandlery(f"candles{suffix}", *asked, "candles:1m"))

    check_schema("order-books", books.schema, nullable=True)
    check_schema("candles", candles.schema, more=TIMES)
    assert {"at", "sequence"} == check_missing("order-books", books)
    assert {"quote_asset_volume", "taker_buy_volume", "taker_buy_quote_volume", *TIMES} == check_missing(
        "candles", candles
    )
    assert [(9, 7), (None, None)] == [
        tuple(row[name] and row[name].microsecond // 1000 for name in TIMES) for row in candles.to_pylist()
    ]
    for table in (books, candles):
        check_exported(table)
    assert [("bid", 0, 100.25), ("bid", 1, 99.5), ("ask", 0, 100.5), ("bid", 0, 100.0)] == [
        (row["side"], row["level"], row["price"]) for row in books.to_pylist()
    ]


def test_exports_of_the_database_as_csv(chandlery, data):
    """ISO 8601; a sequence that is not there is no digit."""
    asked = ("db", "export", "--data-dir", data, "binance", "BTC/USDT")
    books = check_csv("order-books", chandlery("books.csv", *asked, "book").read_text(), _ISO)
    candles = check_csv("candles", chandlery("candles.csv", *asked, "candles:1m").read_text(), _ISO, TIMES)

    assert (["-5", "-5", "-5", ""], 2) == ([row["sequence"] for row in books], len(candles))
    assert [("1970-01-01T00:00:00.009Z", "1970-01-01T00:00:00.007Z"), ("", "")] == [
        (row["received_at"], row["at"]) for row in candles
    ]


class Ahead:
    """The time, or so much later."""

    ahead = 0

    def __call__(self):
        """What time it is."""
        return system_clock() + self.ahead


@pytest.fixture
async def service(tmp_path):
    """A running service that asks for tokens, a session of a client who has one, and the service's clock."""
    clock = Ahead()
    async with (
        SimServer(MARKET, exchanges=EXCHANGES, tick_s=0.05) as exchange,
        served(exchange, tmp_path, no_auth=False, hashes=quick_hashes(), clock=clock) as (running_one, session),
    ):
        client, secret = await running_one.accounts.create_client("bot", ["read", "collect"])
        token = (await running_one.accounts.login("client", client.id, secret)).text
        headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
        async with aiohttp.ClientSession(session._base_url, headers=headers) as signed_in:
            yield running_one, signed_in, token, clock


async def got(session, path, **query):
    """The bytes of an answer."""
    async with session.get(path, params=query) as answer:
        assert 200 == answer.status, await answer.text()
        return await answer.read()


FILES = [
    ("candles", "/v1/candles", {**BTC, "interval": "1h"}),
    ("candles", "/v1/candles", {"exchange": "coinbase", "symbol": "BTC/USD", "interval": "1h"}),
    ("funding-rates", "/v1/funding", {"exchange": "binance", "symbol": "BTC/USDT:USDT"}),
]


async def test_http(service, seen):
    """Files have the columns of the page and its version; pages the fields of OpenAPI, and cells of the page's types."""
    _, session, _, _ = service
    document = json.loads(await got(session, "/openapi.json"))
    assert {f"/v{version('HTTP')}/{each}" for each in ("candles", "funding", "books")} <= document["paths"].keys()
    described = document["components"]["schemas"]
    for anchor, path, asked in FILES:
        query = {**asked, "start": START // 1000, "end": (START + DAY) // 1000}
        stream = pa.ipc.open_stream(await got(session, path, **query, format="arrow")).read_all()
        parquet = pq.read_table(io.BytesIO(await got(session, path, **query, format="parquet")))
        rows = check_csv(anchor, (await got(session, path, **query, format="csv")).decode(), r"\d{13}", MORE)
        page = json.loads(await got(session, path, **query))
        for table in (stream, parquet):
            check_schema(anchor, table.schema, more=MORE)
            check_exported(table)
            check_missing(anchor, table)
        assert len(rows) == stream.num_rows == len(page["rows"]) == parquet.num_rows
        check_cells(anchor, page["columns"], page["rows"])
        check_described(described["Page"], page)
        for each in page["sources"]:
            seen.check("source", each)
            check_described(described["SourceSpan"], each)
        for each in page["gaps"]:
            seen.check("named-gap", each)
            check_described(described["GapSpan"], each)
    seen.assert_whole("source", "named-gap")


def check_described(schema, answer):
    """The answer has the fields that OpenAPI describes."""
    assert {*schema.get("required", ())} <= answer.keys() <= schema["properties"].keys()


async def test_http_books(service, seen):
    """Levels are pairs of numbers; what is live is as OpenAPI has it."""
    running_one, session, _, _ = service
    described = json.loads(await got(session, "/openapi.json"))["components"]["schemas"]
    await collected(running_one)
    answer = json.loads(await got(session, "/v1/books", **BTC, start=START // 1000))
    latest = json.loads(await got(session, "/v1/books/latest", **BTC))
    asked = {**BTC, "start": START // 1000}
    stream = pa.ipc.open_stream(await got(session, "/v1/books", **asked, format="arrow")).read_all()
    check_schema("order-books", stream.schema, nullable=True)
    check_exported(stream)
    check_csv("order-books", (await got(session, "/v1/books", **asked, format="csv")).decode(), r"\d{13}")
    wide = await got(session, "/v1/books", **asked, format="parquet", layout="wide", levels=2)
    wide_schema = pq.read_table(io.BytesIO(wide)).schema
    assert ["timestamp", "received_at", "at", "sequence", *fields("wide-order-books")][:4] == wide_schema.names[:4]
    numbered = [each.replace("N", str(level)) for level in range(2) for each in fields("wide-order-books")]
    assert numbered == wide_schema.names[4:]

    check_described(described["Books"], answer)
    for book in (*answer["books"], latest):
        check_described(described["Book"], book)
        assert {(float, float)} == {tuple(map(type, level)) for side in ("bids", "asks") for level in book[side]}
    for each in answer["gaps"]:
        seen.check("named-gap", each)
    seen.assert_whole("named-gap")


async def collected(running_one):
    """Wait until an order book is stored."""
    series = SeriesId.of_book("binance", "BTC/USDT")
    await running_one.collection.add_coin("BTC/USDT", "binance", ["book"])
    async with asyncio.timeout(20):
        while not (
            await running_one.historical.get_books(running_one.collection.resolve(series), Span(0, 2**60), 1)
        ).entries:
            await asyncio.sleep(0.05)


def check_told(seen, told):
    """Each message is as the page has its kind."""
    for message in told:
        if message["type"] == "binary":
            stream = pa.ipc.open_stream(message["arrow"])
            head = json.loads(stream.schema.metadata[b"chandlery"])
            if "interval" in head:
                check_schema("candles", stream.schema, more=TIMES)
            else:
                check_schema("order-books", stream.schema, nullable=True)
            assert ([b"chandlery"], True) == ([*stream.schema.metadata], stream.read_all().num_rows > 0)
            assert {"columns", "rows"} & head.keys() == set()
            seen.check("historical_data_chunk", head)
            continue
        seen.check(message["type"], message)
        if message["type"] == "historical_data_chunk":
            anchor = "candles" if message["channel"] == "candles" else "order-books"
            check_cells(anchor, message["columns"], message["rows"])


def sections(title):
    """The kinds of messages below a heading."""
    return re.findall(
        r"^#### `(\w+)`$",
        re.search(rf"^### {title}$(.*?)^##?#? ", PAGE.read_text(), re.MULTILINE | re.DOTALL)[1],
        re.MULTILINE,
    )


async def test_messages_of_the_service(service, seen):
    """Of every kind, of candles and books, with and without what is optional."""
    running_one, session, token, clock = service
    await collected(running_one)
    day = {"start": START // 1000, "end": (START + DAY) // 1000}
    async with connected(session) as client:

        async def ask(kind, answer, **content):
            await client.say(kind, **content)
            return await client.until(answer)

        await ask("ping", "pong")
        await ask("ping", "pong", id="p")
        await ask("auth", "authenticated", token=token, id=1)
        await ask("dance", "error")
        await ask("subscribe", "error", channel="trades", **BTC, id="wrong")
        await ask("most_current", "most_current_data", **BTC, interval="1h")
        await ask("most_current", "most_current_data", channel="book", exchange="binance", symbol="ETH/USDT", id=2)
        await ask("subscribe", "subscribed", channel="book", **BTC, id=3)
        await client.until("realtime_data")
        await ask("subscribe", "subscribed", channel="candles", **BTC, interval="1s")
        await client.until("realtime_data", lambda each: each["channel"] == "candles" and each["data"]["closed"])
        await ask("most_current", "most_current_data", channel="book", **BTC, id=4)
        await ask("unsubscribe", "unsubscribed", channel="candles", **BTC, interval="1s", id=5)
        await ask("subscribe", "subscribed", channel="candles", **BTC, interval="1s")
        for content in ({**BTC, "id": 6}, {**BTC}, {"exchange": "coinbase", "symbol": "BTC/USD"}):
            for form in ("json", "arrow"):
                await ask(
                    "request_historical", "historical_data_complete", **content, interval="1m", format=form, **day
                )
        for form in ("json", "arrow"):
            books = {**BTC, "channel": "book", "start": day["start"], "format": form}
            assert (await ask("request_historical", "historical_data_complete", **books))["rows"]
        clock.ahead = 30 * SECOND  # as where the process was held up: the snapshots of that time are a gap
        await client.until("gap", lambda each: each["channel"] == "book")
        # A live candle that the exchange leaves out takes a minute of waiting; this is how its gap is published.
        seconds = SeriesId.of_candles("binance", "BTC/USDT", Interval.SECOND_1)
        running_one.collection.broadcaster.publish(
            Update(seconds, "gap", gap_content(Gap(0, SECOND, GapKind.HALT, "seen")))
        )
        await client.until("gap", lambda each: each["channel"] == "candles")
        check_told(seen, client.told)
    report = AnswerReport()
    report.gaps = [Gap(0, 1, GapKind.HALT, "seen")] * 201
    report.add(Piece(empty_table(ChartType.KLINES), [Source("rest", 2 * at, 2 * at + 1, 0) for at in range(201)]))
    seen.check("historical_data_complete", client.of("historical_data_complete")[0] | report.plain())

    kinds = sections("From the service")
    assert {each["type"] for each in client.told} - {"binary"} == {*kinds}
    seen.assert_whole(*kinds, "live-candle", "live-book", "source", "named-gap")


def taken(name):
    """The field of a message as the decoder of the service takes it: JSON types, and the default or none."""
    schema = msgspec.json.schema(Message)["$defs"]
    (found,) = [each for each in schema.values() if each["properties"]["type"]["enum"] == [name]]
    plain = {}
    for field, each in found["properties"].items():
        kinds = [one["type"] for one in each.get("anyOf", [each]) if "type" in one] or ["string"]
        plain[field] = ({*kinds}, None if field in found["required"] else json.dumps(each["default"]))
    return plain


SAMPLES = {"string": "2024-01-01", "integer": 1_704_067_200_000, "boolean": False}


async def answer_to(client, number):
    """The next message with this id."""
    while (message := await client.next()).get("id") != number:
        assert message["type"] != "closed"
    return message


async def test_messages_of_the_client(service):
    """The page names what each takes, its types and defaults; a running service takes all of it, and nothing else."""
    _, session, token, _ = service
    told = {
        "token": token,
        "channel": "candles",
        "format": "json",
        "interval": "1m",
        "market": "spot",
        "end": "2024-01-01T01:00:00Z",
        **BTC,
    }
    kinds = sections("From the client")
    assert {*kinds} == {
        each["properties"]["type"]["enum"][0] for each in msgspec.json.schema(Message)["$defs"].values()
    }
    async with connected(session) as client:
        for kind in kinds:
            known = fields(kind)
            described = {
                name: ({*re.findall(r"`([^`]+)`", row["type"])}, row["default"].strip("`") or None)
                for name, row in known.items()
            }
            assert taken(kind) == described
            message = {name: told.get(name, SAMPLES[_KIND.search(row["type"])[1]]) for name, row in known.items()}
            await client.socket.send_json(message | {"type": kind, "id": kind})
            answer = await answer_to(client, kind)
            assert "not a message" not in answer.get("message", ""), answer
            await client.socket.send_json(message | {"type": kind, "id": kind, "more": 1})
            assert "unknown field `more`" in (await client.until("error"))["message"]
