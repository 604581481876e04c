"""The gaps of collected series."""

from __future__ import annotations

import pytest
from msgspec import structs

from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.series_id import SeriesId
from chandlery.database.gaps import GapRepository
from chandlery.database.sqlite import SqliteDatabase

SERIES = SeriesId.of_book("binance", "BTC/USDT")


@pytest.fixture
async def database(tmp_path):
    """An open one."""
    async with SqliteDatabase(tmp_path / "d.sqlite3") as opened:
        yield opened


async def test_gaps_of_a_range(database):
    """Those that touch it, each once, of that series alone."""
    gaps = GapRepository(database)
    kept = [Gap(0, 10, GapKind.NOT_COLLECTED, "restart"), Gap(20, 30, GapKind.HALT)]
    for gap in [*kept, kept[0]]:
        await gaps.record(SERIES, gap)

    assert kept == await gaps.find(SERIES, Span(0, 100))
    assert kept[1:] == await gaps.find(SERIES, Span(10, 21))
    assert [] == await gaps.find(SERIES, Span(10, 20))
    assert [] == await gaps.find(structs.replace(SERIES, symbol="ETH/USDT"), Span(0, 100))


async def test_gaps_are_believed_as_long_as_they_were_proved_for(database):
    """Recorded ones never; proved ones until they are due, or for good; they stand in place of those within them."""
    gaps = GapRepository(database)
    await gaps.record(SERIES, Gap(0, 10, GapKind.NO_TRADES, "live"))
    await gaps.record(SERIES, Gap(10, 20, GapKind.FETCH_FAILED, "no answer"))
    assert [] == await gaps.believed(SERIES, Span(0, 100), 0)
    whole, due = Gap(0, 20, GapKind.NO_TRADES, "proved"), Gap(30, 40, GapKind.HALT, "proved", recheck_at=500)
    await gaps.settle(SERIES, [])
    await gaps.settle(SERIES, [whole, due])

    assert [whole, structs.replace(due, recheck_at=None)] == await gaps.find(SERIES, Span(0, 100))
    assert [whole, structs.replace(due, recheck_at=None)] == await gaps.believed(SERIES, Span(0, 100), 499)
    assert [whole] == await gaps.believed(SERIES, Span(0, 100), 500)
    assert [] == await gaps.believed(structs.replace(SERIES, symbol="ETH/USDT"), Span(0, 100), 0)
