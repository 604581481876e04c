"""The numbers of series."""

from __future__ import annotations

from chandlery.core.series_id import SeriesId
from chandlery.database.series_ids import SeriesIds, always
from chandlery.database.sqlite import SqliteDatabase


async def test_a_series_keeps_its_number(tmp_path):
    """Given at the first question, the same for all who ask; none is given by looking."""
    name, other = SeriesId.of_book("x", "A/B"), SeriesId.parse("x", "A/B", "candles:1m")
    async with SqliteDatabase(tmp_path / "d.sqlite3") as database:
        ids, again = SeriesIds(database), SeriesIds(database)

        assert None is await ids.find(name)
        number = await ids.of(name)
        assert number == await again.of(name) == await again.find(name) == await ids.of(name)
        assert number != await ids.of(other)


async def test_a_series_without_a_number_takes_no_query(tmp_path):
    """However often it is looked for, and of whatever origin the stored ones are; one that is assigned shows at once."""
    reads = []

    class Counted(SqliteDatabase):
        async def read(self, sql, parameters=()):
            reads.append(sql)
            return await super().read(sql, parameters)

    one, other = SeriesId.of_book("x", "A/B"), SeriesId.of_book("x", "C/D")
    async with Counted(tmp_path / "d.sqlite3") as database:
        await SeriesIds(database, always("offline-7")).of(one)
        ids = SeriesIds(database)
        reads.clear()

        assert [None] * 4 == [await ids.find(each) for each in (one, other, one, other)]
        assert 1 == len(reads)
        assert await ids.of(other) == await ids.find(other)
