"""No statement of a repository reads a whole table that grows, or sorts it; what each takes does not grow with the rows."""

from __future__ import annotations

import asyncio
import math
import time

import apsw
import pytest

from chandlery.core.candle import CandleData
from chandlery.core.endpoints import UNKNOWN_ORIGIN
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.series_id import SeriesId
from chandlery.core.time import MINUTE
from chandlery.database.adoption import adopt
from chandlery.database.books import RawDataRepositoryImpl
from chandlery.database.candles import CandleRepository
from chandlery.database.coins import CoinRepository, CollectedCoin
from chandlery.database.gaps import GapRepository
from chandlery.database.principals import PrincipalRepository
from chandlery.database.raw import encode
from chandlery.database.series_ids import SeriesIds, always
from chandlery.database.sqlite import FILE_NAME, SqliteDatabase
from chandlery.testing.repositories import book_entry as entry

SMALL = {"series", "coins", "principals", "signing_keys"}
"""Tables with a row a coin, a series, an account; the others grow for as long as the service runs."""
CANDLES = SeriesId.parse("binance", "BTC/USDT", "candles:1m")
BOOKS = SeriesId.of_book("binance", "BTC/USDT")


class Recording(SqliteDatabase):
    """Remembers each statement that it carries out."""

    def __init__(self, path):
        super().__init__(path)
        self.statements = set()

    async def read(self, sql, parameters=()):
        """Remember and read."""
        self.statements.add(sql)
        return await super().read(sql, parameters)

    async def write(self, *statements):
        """Remember and write."""
        self.statements.update(sql for sql, _ in statements)
        await super().write(*statements)


def questions(database):
    """A call of every method of every repository, by its name."""
    ids = SeriesIds(database)
    books, candles, gaps = RawDataRepositoryImpl(ids), CandleRepository(ids), GapRepository(ids)
    coins, accounts = CoinRepository(database), PrincipalRepository(database)
    span = Span(0, 100 * MINUTE)
    one = CandleData(0, 1.0, 1.0, 1.0, 1.0, 1.0)
    return {
        books: {
            "save": lambda: books.save([entry(1), entry(1, exchange="kraken"), entry(1, exchange="okx")]),
            "find_by_range": lambda: books.find_by_range("BTC/USDT", 0, 100, 10),
            "find_latest": lambda: books.find_latest("BTC/USDT"),
            "find_page": lambda: books.find_page("BTC/USDT", 0, 100, 10, exchange="okx"),
            "find_by_range of one": lambda: books.find_by_range("BTC/USDT", 0, 100, 10, exchange="okx"),
            "find_latest of one": lambda: books.find_latest("BTC/USDT", exchange="okx"),
            "prune": lambda: books.prune(1),
        },
        candles: {
            "save": lambda: candles.save(CANDLES, [one]),
            "table": lambda: candles.table(CANDLES, span, 10),
            "save_table": lambda: resaved(candles, span),
            "stores": lambda: candles.stores(CANDLES),
            "first": lambda: candles.first(CANDLES, span),
            "latest": lambda: candles.latest(CANDLES),
            "last_closed": lambda: candles.last_closed(CANDLES),
            "prune": lambda: candles.prune(MINUTE),
        },
        gaps: {
            "record": lambda: gaps.record(CANDLES, Gap(0, MINUTE, GapKind.HALT, "x")),
            "grow": lambda: gaps.grow(CANDLES, Gap(0, MINUTE, GapKind.HALT, "x")),
            "settle": lambda: gaps.settle(CANDLES, [Gap(0, MINUTE, GapKind.HALT, "x")]),
            "believed": lambda: gaps.believed(CANDLES, span, 0),
            "find": lambda: gaps.find(CANDLES, span),
        },
        coins: {
            "save": lambda: coins.save(CollectedCoin("binance", "BTC/USDT", ("book",), 0)),
            "all": coins.all,
            "remove": lambda: coins.remove("binance", "BTC/USDT"),
        },
        accounts: {
            "revoke_token": lambda: accounts.revoke_token("", "t", 10, 0),
            "revocations_stamp": accounts.revocations_stamp,
            "revoked_tokens": lambda: accounts.revoked_tokens(5),
        },
    }


async def resaved(candles, span):
    """Save what was read."""
    await candles.save_table(CANDLES, await candles.table(CANDLES, span, 10))


async def test_every_statement_uses_an_index(tmp_path):
    """No scan of a table that grows, and no sorting where one is read."""
    async with Recording(tmp_path / FILE_NAME) as database:
        for calls in questions(database).values():
            for call in calls.values():
                await call()
        await CandleRepository(SeriesIds(database, always(UNKNOWN_ORIGIN))).save(
            CANDLES, [CandleData(0, 1.0, 1.0, 1.0, 1.0, 1.0)]
        )
        await adopt(database)
    connection = apsw.Connection(str(tmp_path / FILE_NAME))
    bad = []
    for sql in database.statements:
        parameters = (None,) * sql.count("?")
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        growing = [step for step in plan if step.startswith(("SCAN ", "SEARCH ")) and step.split()[1] not in SMALL]
        bad += [(sql, step) for step in growing if step.startswith("SCAN ")]
        bad += [(sql, step) for step in plan if growing and "TEMP B-TREE" in step]
    connection.close()

    assert [] == bad
    assert 20 <= len(database.statements)


async def test_no_repository_of_growing_tables_is_left_out(tmp_path):
    """Each of their methods is among those that are looked at."""
    async with SqliteDatabase(tmp_path / FILE_NAME) as database:
        for repository, calls in questions(database).items():
            if not isinstance(repository, PrincipalRepository):
                public = {name for name in dir(repository) if not name.startswith("_")}
                assert public == {name.split()[0] for name in calls}


async def test_gaps_of_any_length_that_touch(tmp_path):
    """Short and long ones, one inside the other: exactly those that touch the span."""
    gaps = [Gap(at, at + length, GapKind.HALT, "x") for at in range(0, 60, 7) for length in (1, 5, 40)]
    async with SqliteDatabase(tmp_path / FILE_NAME) as database:
        repository = GapRepository(SeriesIds(database))
        for gap in gaps:
            await repository.record(CANDLES, gap)
        for start in range(0, 110, 3):
            span = Span(start, start + 4)
            expected = sorted((gap.start, gap.end) for gap in gaps if gap.start < span.end and gap.end > span.start)
            assert expected == [(gap.start, gap.end) for gap in await repository.find(CANDLES, span)]


def fill(path, first, count):
    """Order books, candles with a hole now and then, and gaps, as if they had been collected for so many minutes."""
    connection = apsw.Connection(str(path))
    numbers = {series: connection.execute("SELECT id FROM series WHERE channel = ?", (series,)).fetchall()[0][0] for series in ("book", "candles:1m")}  # fmt: skip
    book = encode(entry(1).data)
    minutes = range(first, count)
    candle = (1.0, 1.0, 1.0, 1.0, 1.0, None, None, None, None, 1, None, None)
    with connection:
        connection.executemany("INSERT INTO books (series, at, entry) VALUES (?, ?, ?)", ((numbers["book"], at * MINUTE, book) for at in minutes))  # fmt: skip
        connection.executemany(f"INSERT INTO candles VALUES ({', '.join('?' * (2 + len(candle)))})", ((numbers["candles:1m"], at * MINUTE, *candle) for at in minutes if at % 10))  # fmt: skip
        connection.executemany(f"INSERT INTO gaps VALUES (?, ?, ?, 'halt', 'x', {2**62})", ((numbers["candles:1m"], at * MINUTE, (at + 1) * MINUTE) for at in minutes if at % 10 == 0))  # fmt: skip
        connection.executemany("INSERT INTO revoked_tokens (issuer, token, expires_at) VALUES ('', ?, ?)", ((f"t{at}", at) for at in minutes))  # fmt: skip
    connection.close()


def measured(database, rows):
    """The calls that users wait for, on so many minutes; each asks for as much, however many there are."""
    ids = SeriesIds(database)
    books, candles, gaps = RawDataRepositoryImpl(ids), CandleRepository(ids), GapRepository(ids)
    late = rows // 2 * MINUTE
    page = Span(late, late + 1000 * MINUTE)
    return {
        "latest book": lambda: books.find_latest("BTC/USDT", exchange="binance"),
        "latest book of any exchange": lambda: books.find_latest("BTC/USDT"),
        "first page of books": lambda: books.find_by_range("BTC/USDT", 0, 2**60, 20, exchange="binance"),
        "first page of any exchange": lambda: books.find_by_range("BTC/USDT", 0, 2**60, 20),
        "page in the middle": lambda: books.find_by_range("BTC/USDT", late, 2**60, 20, exchange="binance"),
        "last closed candle": lambda: candles.last_closed(CANDLES),
        "first closed candle": lambda: candles.first(CANDLES, Span(0, 2**60)),
        "candles of a page": lambda: candles.table(CANDLES, Span(late, 2**60), 1000),
        "gaps of a page": lambda: gaps.find(CANDLES, page),
        "believed gaps of a page": lambda: gaps.believed(CANDLES, page, 0),
        "first believed gap": lambda: gaps.believed(CANDLES, Span(0, 2**60), 0, limit=1),
        "gaps of the last page": lambda: gaps.find(CANDLES, Span((rows - 1000) * MINUTE, rows * MINUTE)),
        "pruning nothing": lambda: books.prune(0),
        "revoked tokens": lambda: PrincipalRepository(database).revoked_tokens(rows - 10),
    }


async def seconds(call):
    """The least of several times, which is that of the work without the machine's other load."""
    times = []
    for _ in range(200):
        begun = time.perf_counter()
        await call()
        times.append(time.perf_counter() - begun)
    return min(times)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_time_does_not_grow_with_the_rows(tmp_path):
    """10,000, 100,000 and 1,000,000 rows a table: the exponent of growth of each call is at most 0.1."""
    found = {}
    sizes = (10**4, 10**5, 10**6)
    async with SqliteDatabase(tmp_path / FILE_NAME) as database:
        await RawDataRepositoryImpl(SeriesIds(database)).save([entry(-1), entry(-1, exchange="kraken")])
        await CandleRepository(SeriesIds(database)).save(CANDLES, [CandleData(-MINUTE, 1.0, 1.0, 1.0, 1.0, 1.0)])
        for before, size in zip((0, *sizes), sizes, strict=False):
            await asyncio.to_thread(fill, database.path, before, size)
            for name, call in measured(database, size).items():
                found.setdefault(name, []).append(await seconds(call))
    growth = {name: math.log(times[-1] / times[0]) / math.log(sizes[-1] / sizes[0]) for name, times in found.items()}
    for name, times in found.items():
        print(f"{name:30}", *(f"{each * 1000:8.3f} ms" for each in times), f"exponent {growth[name]:5.2f}")  # noqa: T201  # the figures of a long run

    assert {} == {name: exponent for name, exponent in growth.items() if exponent > 0.1}
