"""Tests that repositories and databases inherit, in this package or in another; they need pytest and pytest-asyncio."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import pytest
from msgspec import structs

from chandlery.core.candle import CandleData
from chandlery.core.errors import InvalidInput, StorageError
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.query import OUTPUT_DTYPES
from chandlery.core.series_id import SeriesId
from chandlery.core.time import DAY, MINUTE, Micros
from chandlery.database.books import RawDataRepositoryImpl
from chandlery.database.candles import CandleRepository
from chandlery.database.coins import CoinRepository, CollectedCoin
from chandlery.database.gaps import GapRepository
from chandlery.database.interfaces import IDatabaseConnection, IRawDataRepository
from chandlery.database.principals import PrincipalRepository
from chandlery.database.raw import BookSnapshot, RawOrderBookEntry
from chandlery.database.series_ids import SeriesIds
from chandlery.tables.candle_rows import SCHEMA, TIMES, timed, times_of
from chandlery.tables.frame import open_times
from chandlery.testing.principals import PrincipalRepositoryTests

_START = 19_723 * DAY
"""2024-01-01."""
_EVER = Span(0, 2**62)
_CANDLES = SeriesId.of_candles("binance", "BTC/USDT", Interval.MINUTE_1)
_BOOK = SeriesId.of_book("binance", "BTC/USDT")
_COIN = CollectedCoin("binance", "BTC/USDT", ("book", "candles:1m"), 7)


def book_entry(
    moment: Micros, coin: str = "BTC/USDT", exchange: str = "binance", size: float = 1.0, **more: Any
) -> RawOrderBookEntry:
    """Return an order book of two bids and an ask, stored at ``moment``."""
    snapshot = BookSnapshot([(100.0, size), (99.5, 2.0)], [(100.5, 3.0)], moment + 7, **more)
    return RawOrderBookEntry(exchange, coin, moment, snapshot)


def _candle(minute: int, close: float = 1.5, *, closed: bool = True, **more: Any) -> CandleData:
    return CandleData(_START + minute * MINUTE, 1.0, 2.0, 0.5, close, 9.0, closed=closed, **more)


@pytest.mark.asyncio
class BookRepositoryTests(ABC):
    """Tests of an ``IRawDataRepository``; override the fixture ``books``."""

    @pytest.fixture
    @abstractmethod
    def books(self) -> IRawDataRepository:
        """Return an open repository without entries."""

    async def test_saved_books_are_found(self, books: IRawDataRepository) -> None:
        """Every value is returned as it was, in half-open ranges, oldest first."""
        entries = [book_entry(at, sequence=at, at=at - 1) for at in (30, 10, 20)]
        await books.save(entries)

        assert await books.find_by_range("BTC/USDT", 10, 30, 10) == [entries[1], entries[2]]
        assert await books.find_by_range("BTC/USDT", 31, 100, 10) == []
        assert await books.find_latest("BTC/USDT") == entries[0]

    async def test_pages_of_books(self, books: IRawDataRepository) -> None:
        """Consecutive pages of any size are the whole."""
        entries = [book_entry(at) for at in range(7)]
        await books.save(entries)
        for size in (1, 2, 3, 7, 10):
            pages = [await books.find_by_range("BTC/USDT", 0, 7, size, offset) for offset in range(0, 7, size)]
            assert [each for page in pages for each in page] == entries
        assert await books.find_by_range("BTC/USDT", 0, 7, 0) == []

    async def test_pages_of_books_name_the_next_one(self, books: IRawDataRepository) -> None:
        """Pages of one exchange, by ``following``, are the whole; none is damaged."""
        entries = [book_entry(at) for at in range(7)]
        await books.save([*entries, book_entry(3, exchange="kraken")])
        for size in (1, 2, 3, 7, 10):
            at: Micros | None = 0
            found: list[RawOrderBookEntry] = []
            while at is not None:
                page = await books.find_page("BTC/USDT", at, 7, size, exchange="binance")
                assert page.damaged == []
                assert len(page.entries) <= size
                found += page.entries
                at = page.following
            assert found == entries

    async def test_a_moment_has_one_book(self, books: IRawDataRepository) -> None:
        """A later entry of the same time replaces the earlier one."""
        await books.save([book_entry(10, size=1.0)])
        await books.save([book_entry(10, size=2.0)])

        assert await books.find_by_range("BTC/USDT", 0, 20, 10) == [book_entry(10, size=2.0)]

    async def test_books_of_coins_and_exchanges_are_apart(self, books: IRawDataRepository) -> None:
        """Neither another coin nor, if one is named, another exchange is found."""
        ours, theirs, other = book_entry(10), book_entry(10, exchange="kraken"), book_entry(10, coin="ETH/USDT")
        await books.save([theirs, other, ours])

        assert await books.find_by_range("BTC/USDT", 0, 20, 10) == [ours, theirs]
        assert await books.find_by_range("BTC/USDT", 0, 20, 10, exchange="kraken") == [theirs]
        assert await books.find_latest("BTC/USDT") == ours
        assert await books.find_latest("BTC/USDT", exchange="kraken") == theirs
        assert await books.find_latest("BTC/USDT", exchange="okx") is None
        assert await books.find_latest("SOL/USDT") is None

    async def test_old_books_are_removed(self, books: IRawDataRepository) -> None:
        """Older entries are removed, and counted; that of the time itself stays."""
        await books.save([book_entry(at) for at in range(10)])

        assert await books.prune(4) == 4
        assert await books.prune(4) == 0
        assert [each.timestamp for each in await books.find_by_range("BTC/USDT", 0, 20, 10)] == [4, 5, 6, 7, 8, 9]

    async def test_an_empty_batch_of_books(self, books: IRawDataRepository) -> None:
        """It stores none."""
        await books.save([])

        assert await books.find_latest("BTC/USDT") is None

    @pytest.mark.parametrize(("limit", "offset"), [(-1, 0), (1, -1)])
    async def test_negative_pages_of_books_are_refused(
        self, books: IRawDataRepository, limit: int, offset: int
    ) -> None:
        """They are not read as all, as SQL does."""
        with pytest.raises(InvalidInput, match="negative"):
            await books.find_by_range("BTC/USDT", 0, 20, limit, offset)


@pytest.mark.asyncio
class CandleRepositoryTests(ABC):
    """Tests of a ``CandleRepository``; override the fixture ``candles``."""

    @pytest.fixture
    @abstractmethod
    def candles(self) -> CandleRepository:
        """Return an open repository without candles."""

    async def test_saved_candles_are_found(self, candles: CandleRepository) -> None:
        """Columns and types are those of past candles: closed ones, oldest first; NaN for values that were not sent."""
        full = _candle(0, quote_asset_volume=7.0, count=3, taker_buy_volume=4.0, taker_buy_quote_volume=5.0)
        await candles.save(_CANDLES, [_candle(2), full, _candle(3, closed=False)])
        table = await candles.table(_CANDLES, _EVER, 100)

        assert table.schema == SCHEMA
        assert table.column_names == ["open_time", *OUTPUT_DTYPES, *TIMES]
        assert open_times(table).tolist() == [full.open_time, _candle(2).open_time]
        assert [table.column(name)[0].as_py() for name in table.column_names[7:11]] == [7.0, 3, 4.0, 5.0]
        assert math.isnan(table.column("quote_asset_volume")[1].as_py())
        assert table.column("close_time")[0].value // 1000 == full.open_time + MINUTE - 1
        assert await candles.latest(_CANDLES) == _candle(3, closed=False)
        assert await candles.last_closed(_CANDLES) == _candle(2).open_time
        assert await candles.first(_CANDLES, _EVER) == full.open_time

    async def test_a_running_candle_never_replaces_a_closed_one(self, candles: CandleRepository) -> None:
        """A closed one replaces what was stored before, also another closed one."""
        for each in (_candle(0, 1.0, closed=False), _candle(0, 1.1, closed=False)):
            await candles.save(_CANDLES, [each])
            assert await candles.latest(_CANDLES) == each
        for closed in (_candle(0, 1.2), _candle(0, 1.3)):
            await candles.save(_CANDLES, [closed, _candle(0, 1.9, closed=False)])
            assert await candles.latest(_CANDLES) == closed

    async def test_a_table_is_saved_as_its_rows(self, candles: CandleRepository) -> None:
        """Rows by column are found again value for value, under another series."""
        other = SeriesId.of_candles("binance", "ETH/USDT", Interval.MINUTE_1)
        more: dict[str, Any] = {
            "quote_asset_volume": 7.0,
            "count": 3,
            "taker_buy_volume": 4.0,
            "taker_buy_quote_volume": 5.0,
        }
        await candles.save(_CANDLES, [_candle(0, **more), _candle(1, **more)])
        table = await candles.table(_CANDLES, _EVER, 10)
        await candles.save_table(other, table)

        assert (await candles.table(other, _EVER, 10)).equals(table)

    async def test_a_candle_is_stored_with_its_times(self, candles: CandleRepository) -> None:
        """Both times are exact to the microsecond, or absent; a candle that replaces another brings its own."""
        given: list[dict[str, Any]] = [{"at": 5, "received_at": 7}, {"received_at": 9}, {}]
        both, early, none = (_candle(minute, **times) for minute, times in enumerate(given))
        await candles.save(_CANDLES, [_candle(0, closed=False, at=1, received_at=2), both, early, none])
        table = await candles.table(_CANDLES, _EVER, 100)
        latest = await candles.latest(_CANDLES)

        assert [times_of(table, name) for name in TIMES] == [[7, 9, None], [5, None, None]]
        assert latest is not None
        assert (latest.at, latest.received_at) == (None, None)
        replaced = timed(table.select(range(11)), {"received_at": [11, 12, None], "at": [None] * 3})
        await candles.save_table(_CANDLES, replaced)
        again = await candles.table(_CANDLES, _EVER, 100)
        assert [times_of(again, name) for name in TIMES] == [[11, 12, None], [None] * 3]
        await candles.save(_CANDLES, [_candle(3, closed=False, at=3, received_at=4)])
        running = await candles.latest(_CANDLES)
        assert running is not None
        assert (running.at, running.received_at) == (3, 4)

    async def test_candles_of_series_are_apart(self, candles: CandleRepository) -> None:
        """Neither another interval nor another market of the coin is found."""
        await candles.save(_CANDLES, [_candle(0)])
        for other in (
            structs.replace(_CANDLES, symbol="BTC/USDT:USDT"),
            structs.replace(_CANDLES, interval=Interval.MONTH_1),
        ):
            assert (await candles.table(other, _EVER, 10)).num_rows == 0
            assert await candles.latest(other) is None
            assert await candles.last_closed(other) is None
            assert await candles.first(other, _EVER) is None

    async def test_pages_and_removal_of_candles(self, candles: CandleRepository) -> None:
        """A page has the first candles of its range; older ones are removed, of every series."""
        await candles.save(_CANDLES, [_candle(minute) for minute in range(10)])
        await candles.save(structs.replace(_CANDLES, symbol="ETH/USDT"), [_candle(0)])
        page = await candles.table(_CANDLES, Span(_START + 2 * MINUTE, _START + DAY), 3)

        assert [(each - _START) // MINUTE for each in open_times(page).tolist()] == [2, 3, 4]
        assert await candles.prune(_START + 4 * MINUTE) == 5
        left = await candles.table(_CANDLES, _EVER, 100)
        assert open_times(left).tolist() == [_START + minute * MINUTE for minute in range(4, 10)]


@pytest.mark.asyncio
class GapRepositoryTests(ABC):
    """Tests of a ``GapRepository``; override the fixture ``gaps``."""

    @pytest.fixture
    @abstractmethod
    def gaps(self) -> GapRepository:
        """Return an open repository without gaps."""

    async def test_gaps_of_a_range(self, gaps: GapRepository) -> None:
        """Gaps that overlap it are found, each once, of that series only."""
        stored = [Gap(0, 10, GapKind.NOT_COLLECTED, "restart"), Gap(20, 30, GapKind.HALT)]
        for gap in [*stored, stored[0]]:
            await gaps.record(_BOOK, gap)

        assert await gaps.find(_BOOK, Span(0, 100)) == stored
        assert await gaps.find(_BOOK, Span(10, 21)) == stored[1:]
        assert await gaps.find(_BOOK, Span(10, 20)) == []
        assert await gaps.find(structs.replace(_BOOK, symbol="ETH/USDT"), Span(0, 100)) == []

    async def test_a_growing_gap_is_one(self, gaps: GapRepository) -> None:
        """Each state replaces those within it."""
        for end in (10, 20, 30):
            await gaps.grow(_BOOK, Gap(0, end, GapKind.NOT_COLLECTED, "restart"))

        assert await gaps.find(_BOOK, Span(0, 100)) == [Gap(0, 30, GapKind.NOT_COLLECTED, "restart")]

    async def test_proved_gaps_are_valid_until_they_are_due(self, gaps: GapRepository) -> None:
        """Recorded ones never are; proved ones until they are due, or for good; they replace those within them."""
        await gaps.record(_BOOK, Gap(0, 10, GapKind.NO_TRADES, "live"))
        await gaps.record(_BOOK, Gap(10, 20, GapKind.FETCH_FAILED, "no answer"))
        assert await gaps.believed(_BOOK, Span(0, 100), 0) == []
        whole, due = Gap(0, 20, GapKind.NO_TRADES, "proved"), Gap(30, 40, GapKind.HALT, "proved", recheck_at=500)
        await gaps.settle(_BOOK, [])
        await gaps.settle(_BOOK, [whole, due])
        both = [whole, structs.replace(due, recheck_at=None)]

        assert await gaps.find(_BOOK, Span(0, 100)) == both
        assert await gaps.believed(_BOOK, Span(0, 100), 499) == both
        assert await gaps.believed(_BOOK, Span(0, 100), 499, limit=1) == [whole]
        assert await gaps.believed(_BOOK, Span(0, 100), 500) == [whole]
        assert await gaps.believed(structs.replace(_BOOK, symbol="ETH/USDT"), Span(0, 100), 0) == []


@pytest.mark.asyncio
class CoinRepositoryTests(ABC):
    """Tests of a ``CoinRepository``; override the fixture ``coins``."""

    @pytest.fixture
    @abstractmethod
    def coins(self) -> CoinRepository:
        """Return an open repository without coins."""

    async def test_coins_are_stored_until_they_are_removed(self, coins: CoinRepository) -> None:
        """An exchange and symbol are stored once; their channels are replaced, their start is not."""
        other = CollectedCoin("kraken", "BTC/USDT", ("book",), 8)
        for each in (_COIN, other, structs.replace(_COIN, channels=("book",), since=9)):
            await coins.save(each)

        assert await coins.all() == [structs.replace(_COIN, channels=("book",)), other]
        await coins.remove("binance", "BTC/USDT")
        assert await coins.all() == [other]


class RepositoryTests(
    BookRepositoryTests, CandleRepositoryTests, GapRepositoryTests, CoinRepositoryTests, PrincipalRepositoryTests
):
    """
    Tests of an ``IDatabaseConnection`` and all repositories over it; override the fixture ``database``.

    ::

        class TestAcmeDatabase(RepositoryTests):
            @pytest_asyncio.fixture
            async def database(self, tmp_path):
                async with AcmeDatabase(tmp_path / "acme") as database:
                    yield database
    """

    @pytest.fixture
    @abstractmethod
    def database(self) -> IDatabaseConnection:
        """Return an open, empty database."""

    @pytest.fixture
    def books(self, database: IDatabaseConnection) -> IRawDataRepository:
        """Return the repository of order books."""
        return RawDataRepositoryImpl(SeriesIds(database))

    @pytest.fixture
    def candles(self, database: IDatabaseConnection) -> CandleRepository:
        """Return the repository of candles."""
        return CandleRepository(SeriesIds(database))

    @pytest.fixture
    def gaps(self, database: IDatabaseConnection) -> GapRepository:
        """Return the repository of gaps."""
        return GapRepository(SeriesIds(database))

    @pytest.fixture
    def coins(self, database: IDatabaseConnection) -> CoinRepository:
        """Return the repository of coins."""
        return CoinRepository(database)

    @pytest.fixture
    def principals(self, database: IDatabaseConnection) -> PrincipalRepository:
        """Return the repository of principals."""
        return PrincipalRepository(database)

    async def test_statements_are_written_together(self, database: IDatabaseConnection) -> None:
        """If one of several fails, none is executed, and the database works on."""
        sql = "INSERT INTO coins VALUES (?, ?, ?, ?, ?)"
        with pytest.raises(StorageError):
            await database.write((sql, [("", "a", "b", "[]", 1)]), ("INSERT INTO no_such_table VALUES (?)", [(1,)]))
        assert await database.read("SELECT exchange FROM coins") == []
        await database.write((sql, [("", "a", "b", "[]", 1), ("", "c", "d", "[]", 1)]))

        assert await database.read("SELECT exchange FROM coins ORDER BY exchange") == [("a",), ("c",)]
        assert database.failure is None
        assert await database.check() == []

    async def test_a_database_closes_once(self, database: IDatabaseConnection) -> None:
        """Another close does nothing."""
        await database.close()
        await database.close()
