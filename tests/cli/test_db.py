"""``chandlery db``."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import apsw
import pyarrow.parquet as pq
import pytest

from chandlery.cache.files import alone_in
from chandlery.core.candle import CandleData
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.database.books import RawDataRepositoryImpl
from chandlery.database.candles import CandleRepository
from chandlery.database.series_ids import SeriesIds
from chandlery.database.sqlite import FILE_NAME, SqliteDatabase
from chandlery.testing.repositories import book_entry as entry
from fixtures.support import only_readable

MADE = Path(__file__).parent.parent / "fixtures" / "version_1" / "chandlery.db"
"""The database of a folder, as 0.1 made it."""


@pytest.fixture
def data(tmp_path):
    """The folder of a service that has collected a little."""

    async def fill():
        async with SqliteDatabase(tmp_path / FILE_NAME) as database:
            await RawDataRepositoryImpl(SeriesIds(database)).save([entry(moment) for moment in range(300)])
            series = SeriesId.of_candles("binance", "BTC/USDT", Interval.MINUTE_1)
            candles = [CandleData(at * 60_000_000, 1.0, 2.0, 0.5, 1.5, 9.0) for at in range(11_000)]
            await CandleRepository(SeriesIds(database)).save(series, candles)

    asyncio.run(fill())
    return tmp_path


def test_migrate_makes_what_is_not_there(chandlery, tmp_path):
    """A folder, a file, its version; again is nothing."""
    for _ in range(2):
        assert (0, "version 9\n", "") == chandlery("db", "migrate", "--data-dir", tmp_path / "new")

    assert (tmp_path / "new" / FILE_NAME).is_file()


def test_check(chandlery, data):
    """Code 0 where all is in order, 1 and the entry's name where not."""
    assert (0, "all in order\n", "") == chandlery("db", "check", "--data-dir", data)

    async def damage():
        async with SqliteDatabase(data / FILE_NAME) as database:
            await database.write(("UPDATE books SET entry = x'00' WHERE at = ?", [(7,)]))

    asyncio.run(damage())
    code, out, _ = chandlery("db", "check", "--data-dir", data)
    assert 1 == code
    assert "binance BTC/USDT book 1970-01-01T00:00:00.000007Z" in out
    assert "1 problem" in out


def test_vacuum(chandlery, data):
    """It says what it has won."""
    code, out, _ = chandlery("db", "vacuum", "--data-dir", data)

    assert 0 == code
    assert "before" in out


def test_what_0_1_stored_is_ignored_until_it_is_adopted(chandlery, tmp_path):
    """Each command that looks says how much it is; adopting asks, and takes all of it."""
    shutil.copy(MADE, tmp_path / FILE_NAME)
    target = tmp_path / "out.csv"
    export = ("db", "export", "binance_spot", "BTC/USDT", "candles:1m", "-o", target, "--data-dir", tmp_path)
    ignored = "2 series and 1 coins of an older release have no origin, and are not used"
    for command in ("migrate", "check"):
        code, out, _ = chandlery("db", command, "--data-dir", tmp_path)
        assert (0, True) == (code, ignored in out)
    assert 2 == chandlery(*export)[0]
    code, _, err = chandlery("db", "adopt", "--data-dir", tmp_path)
    assert (2, True) == (code, "--yes" in err)

    assert (0, "adopted 2 series, 1 coin\n", "") == chandlery("db", "adopt", "--yes", "--data-dir", tmp_path)
    assert (0, "all in order\n", "") == chandlery("db", "check", "--data-dir", tmp_path)
    assert 0 == chandlery(*export)[0]
    assert 2 == chandlery(*export, "--origin", "offline-7")[0]
    assert (0, "adopted 0 series, 0 coins\n", "") == chandlery("db", "adopt", "--data-dir", tmp_path)


def test_what_0_1_made_up_is_never_adopted(chandlery, tmp_path):
    """Its folder is marked; nor is anything adopted while a service writes."""
    shutil.copy(MADE, tmp_path / FILE_NAME)
    with alone_in(tmp_path, "service"):
        code, _, err = chandlery("db", "adopt", "--yes", "--data-dir", tmp_path)
        assert (1, True) == (code, "another service uses" in err)
    (tmp_path / ".offline").touch()
    code, _, err = chandlery("db", "adopt", "--yes", "--data-dir", tmp_path)
    assert (2, True) == (code, "synthetic data" in err)


def test_a_folder_that_can_only_be_read(chandlery, tmp_path, data):
    """Is checked and exported from, not migrated; nothing is laid into it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(data / FILE_NAME, folder / FILE_NAME)
        target = Path(name).parent / f"{folder.name}.csv"
        with only_readable(folder):
            assert (0, "all in order\n", "") == chandlery("db", "check", "--data-dir", folder)
            assert (0, "no accounts", "") == _beginning(chandlery("auth", "list", "--data-dir", folder))
            arguments = ("binance", "BTC/USDT", "candles:1m", "-o", target, "--data-dir", folder)
            assert (0, f"11,000 rows to {target}\n", "") == chandlery("db", "export", *arguments)
            code, _, err = chandlery("db", "migrate", "--data-dir", folder)
            assert (1, True) == (code, FILE_NAME in err)
            assert [FILE_NAME] == [each.name for each in folder.iterdir()]
        target.unlink()


def _beginning(result):
    code, out, err = result
    return code, out.partition(";")[0], err


def test_an_impossible_version(chandlery, data):
    """Is refused by name, by every command."""
    connection = apsw.Connection(str(data / FILE_NAME))
    connection.execute("PRAGMA user_version = -3")
    connection.close()
    for command in (("db", "check"), ("db", "migrate"), ("auth", "list")):
        code, _, err = chandlery(*command, "--data-dir", data)
        assert (1, True) == (code, f"{FILE_NAME} has version -3" in err), err


def test_a_backup(chandlery, data):
    """A whole copy, which nobody else may read, in the place of nothing."""
    target = data / "copy.sqlite3"
    code, out, err = chandlery("db", "backup", target, "--data-dir", data)
    assert (0, "") == (code, err)
    assert str(target) in out
    assert 0o600 == target.stat().st_mode & 0o777
    assert 2 == chandlery("db", "backup", target, "--data-dir", data)[0]

    (data / "restored").mkdir()
    target.rename(data / "restored" / FILE_NAME)
    assert (0, "all in order\n", "") == chandlery("db", "check", "--data-dir", data / "restored")


def test_a_new_folder_is_private(chandlery, tmp_path):
    """Whatever the umask is; one that is there stays as it is."""
    (tmp_path / "there").mkdir(mode=0o755)
    for name in ("new", "there"):
        assert 0 == chandlery("db", "migrate", "--data-dir", tmp_path / name)[0]
        assert {0o600} == {each.stat().st_mode & 0o777 for each in (tmp_path / name).iterdir()}
    assert [0o700, 0o755] == [(tmp_path / name).stat().st_mode & 0o777 for name in ("new", "there")]


@pytest.mark.parametrize(("channel", "rows"), [("candles:1m", 11_000), ("book", 900)])
def test_export(chandlery, data, channel, rows):
    """Every row of every page, by column."""
    target = data / "out.parquet"
    code, out, _ = chandlery("db", "export", "binance", "BTC/USDT", channel, "-o", target, "--data-dir", data)

    assert 0 == code
    assert f"{rows:,} rows" in out
    assert rows == pq.read_table(target).num_rows


def test_an_export_of_order_books_that_are_damaged(chandlery, data):
    """Those that can be read are written, the others named."""

    async def damage():
        async with SqliteDatabase(data / FILE_NAME) as database:
            await database.write(("UPDATE books SET entry = x'00' WHERE at IN (?, ?)", [(7, 299)]))

    asyncio.run(damage())
    target = data / "out.parquet"
    code, out, _ = chandlery("db", "export", "binance", "BTC/USDT", "book", "-o", target, "--data-dir", data)

    assert 0 == code
    assert 900 - 2 * 3 == pq.read_table(target).num_rows
    assert (
        "missing [1970-01-01T00:00:00.000007Z, 1970-01-01T00:00:00.000008Z): not_collected, what was stored is damaged"
        in out
    )


def test_an_export_of_order_books_names_what_is_missing(chandlery, data):
    """Before the first and after the last one, each with its reason, up to now."""
    target = data / "out.csv"
    code, out, _ = chandlery("db", "export", "binance", "BTC/USDT", "book", "-o", target, "--data-dir", data, "--end", "1970-01-02")  # fmt: skip

    assert 0 == code
    assert (
        "missing [1970-01-01T00:00:00.000299Z, 1970-01-02T00:00:00Z): not_collected, no order book is stored after"
        in out
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check",), "no chandlery.sqlite3"),
        (("export", "x", "A/B", "trades", "-o", "a.csv"), "'trades' is not an interval"),
        (("export", "x", "A/B", "book", "-o", "a.txt"), "suffix"),
    ],
)
def test_asked_wrongly(chandlery, tmp_path, arguments, said):
    """Code 2, and what would be right."""
    code, _, err = chandlery("db", *arguments, "--data-dir", tmp_path)

    assert 2 == code
    assert said in err


def test_nothing_to_export(chandlery, data):
    """It says so, and writes no file."""
    target = data / "out.csv"
    code, _, err = chandlery("db", "export", "binance", "ETH/USDT", "book", "-o", target, "--data-dir", data)

    assert 2 == code
    assert "no data of binance ETH/USDT book" in err
    assert not target.exists()
