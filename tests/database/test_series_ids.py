"""The numbers of series."""

from __future__ import annotations

from chandlery.core.series_id import SeriesId
from chandlery.database.series_ids import SeriesIds
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
