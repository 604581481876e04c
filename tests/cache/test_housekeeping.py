from __future__ import annotations

import pytest

from chandlery.cache import day_file
from chandlery.cache.housekeeping import DamagedFile
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import DAY


def test_info_sums_up(filled, make):
    """Series, days, rows, bytes and what was set aside."""
    (filled.root / make.series().folder / "2024-01-09.arrow.damaged").write_bytes(b"x")
    info = filled.info()
    assert (info.folder, info.series, info.days, info.rows, info.set_aside) == (str(filled.root), 1, 3, 72, 1)
    assert info.bytes == sum(path.stat().st_size for path in filled.root.rglob("*.arrow"))


def test_verify_names_every_damaged_file_and_changes_none(filled, make):
    """With the reason."""
    path = filled.root / make.series().folder / "2024-01-02.arrow"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    result = filled.verify()
    assert not result.ok
    assert result.damaged == [
        DamagedFile("BINANCE/SPOT/KLINES/BTCUSDT/1h/2024-01-02.arrow", "its rows are damaged: the checksum differs")
    ]
    assert (result.files, result.rows) == (3, 48)
    assert path.read_bytes() == content


def test_verify_looks_at_what_the_rows_are_too(filled, make):
    """Rows out of order, rows that are not covered, files that hold another day: whole, and wrong."""
    key = make.series()
    folder, series = filled.root / key.folder, key.folder.as_posix()
    day = [make.source(make.start, make.start + DAY)]
    backwards = make.day_rows().take(list(range(24))[::-1])
    uncovered = [make.source(make.start + DAY, make.start + DAY + 1)]
    (folder / "2024-01-01.arrow").write_bytes(day_file.render(backwards, series, day, []))
    (folder / "2024-01-02.arrow").write_bytes(day_file.render(make.day_rows(1), series, uncovered, []))
    (folder / "2024-01-03.arrow").write_bytes(day_file.render(make.day_rows(), series, day, []))
    reasons = [damaged.reason for damaged in filled.verify().damaged]
    assert "order" in reasons[0] or "cover" in reasons[0]
    assert reasons[1] == "it has rows outside of its spans"
    assert "times outside" in reasons[2]


def test_verify_removes_what_killed_processes_left(filled, make):
    """Nobody can be writing it, for who writes holds the lock."""
    left = filled.root / make.series().folder / ".2024-01-01.arrow.77.0.tmp"
    left.write_bytes(b"half")
    index = filled.root / ".cache_metadata.json.77.1.tmp"
    index.write_bytes(b"half")
    result = filled.verify()
    assert (result.ok, result.removed, result.files) == (True, 2, 3)
    assert not left.exists()
    assert not index.exists()


def test_verify_checks_series_that_are_not_known_here(filled, make):
    """A third party's, whose plug-in is not loaded."""
    folder = filled.root / "ACME/SPOT/TRADES/X/1h"
    folder.mkdir(parents=True)
    content = day_file.render(make.day_rows(), "ACME/SPOT/TRADES/X/1h", [make.source(make.start, make.start + DAY)], [])
    (folder / "2024-01-01.arrow").write_bytes(content)
    assert filled.verify().ok
    assert filled.verify().rows == 96
    unknown = [entry for entry in filled.entries() if entry.series.startswith("ACME")]
    assert filled.clean(unknown, before=make.start + DAY).files == 1


def test_clean_removes_what_is_of_no_use_and_nothing_else(filled, make):
    """Files that were set aside and left-overs."""
    folder = filled.root / make.series().folder
    (folder / "2024-01-09.arrow.damaged").write_bytes(b"12345")
    (folder / ".2024-01-01.arrow.77.0.tmp").write_bytes(b"123")
    cleaned = filled.clean()
    assert (cleaned.files, cleaned.bytes) == (2, 8)
    assert filled.load(make.series(), Span(make.start, make.start + 3 * DAY)).table.num_rows == 72


def test_clean_removes_the_series_that_are_named(filled, make):
    """With their folders, and the index knows."""
    filled.store(make.series("ETHUSDT"), make.day_rows(), [make.source(make.start, make.start + DAY)])
    btc, _ = filled.entries()
    assert filled.clean([btc]).files == 3
    assert not (filled.root / "BINANCE/SPOT/KLINES/BTCUSDT").exists()
    assert [entry.parts[3] for entry in filled.entries()] == ["ETHUSDT"]
    filled.store(make.series(), make.day_rows(), [make.source(make.start, make.start + DAY)])
    assert len(filled.entries()) == 2


@pytest.mark.parametrize(("before", "left"), [(0, 3), (DAY, 2), (2 * DAY - 1, 2), (9 * DAY, 0)])
def test_clean_can_keep_what_is_newer(filled, make, before, left):
    """Only files that end at or before the moment go."""
    filled.clean(filled.entries(), before=make.start + before)
    assert sum(entry.days for entry in filled.entries()) == left


def test_clean_knows_how_long_a_file_of_months_is(cache, make):
    """It ends where the next candle opens."""
    key = make.series(interval=Interval.MONTH_1)
    cache.store(key, make.rows([make.start]), [make.source(make.start, make.start + 31 * DAY)])
    assert cache.clean(cache.entries(), before=make.start + 30 * DAY).files == 0
    assert cache.clean(cache.entries(), before=make.start + 31 * DAY).files == 1
