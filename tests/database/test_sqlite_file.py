"""The file of the database, from every version that there ever was."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path

import apsw
import pytest

from chandlery.core.errors import CorruptStorage, StorageBusy, StorageError, StorageUnavailable, UnknownSchema
from chandlery.database.schema import APPLICATION_ID, MIGRATIONS, TABLES
from chandlery.database.sqlite_file import backed_up, migrate, opened, opened_to_read, translated
from fixtures.support import only_readable

ROWS = {
    0: [
        "INSERT INTO series VALUES (1, 'binance', 'BTC/USDT', 'book')",
        "INSERT INTO books VALUES (1, 7, x'00ff')",
        "INSERT INTO candles VALUES (1, 7, 1, 2, 0.5, 1.5, 9, NULL, NULL, NULL, NULL, 1)",
        "INSERT INTO coins VALUES ('binance', 'BTC/USDT', '[]', 3)",
    ],
    1: ["INSERT INTO gaps VALUES (1, 7, 8, 'halt', '')"],
    2: [
        "INSERT INTO principals VALUES ('c', 'client', 'n', 'h', 'read', 1, NULL)",
        "INSERT INTO signing_keys VALUES ('k', 'p', 1, NULL)",
        "INSERT INTO revoked_tokens VALUES ('j', 1)",
    ],
    3: [],  # indexes
    4: [],  # the origin of the first one's rows
    5: [],  # a column of gaps
    6: [],  # revoked tokens by issuer
    7: [],  # when a candle came
    8: ["INSERT INTO listings VALUES ('', 'm', 's', 1, NULL)", "INSERT INTO listing_reads VALUES ('', 'm', 1, 2)"],
}
"""Something in every table, by the step that made it."""


def of_version(path, version):
    """A file as a program of an earlier version has left it."""
    connection = apsw.Connection(str(path))
    for step in range(version):
        for sql in (*MIGRATIONS[step], *ROWS[step]):
            connection.execute(sql)
    if version:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def content(connection):
    """All rows of all tables."""
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()]
    return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


def as_now(table, row):
    """A row of an earlier version as this one has it."""
    if table == "candles" and len(row) == 12:
        return (*row, None, None)
    if table == "gaps" and len(row) == 5:
        return (*row, 0)
    if table == "revoked_tokens" and len(row) == 2:
        return (1, "", *row)
    if table not in {"series", "coins"} or "unknown" in row:
        return row
    return (row[0], "unknown", *row[1:]) if table == "series" else ("unknown", *row)


def test_every_table_has_a_row_in_these_tests(tmp_path):
    """So that no table is left out of what follows."""
    of_version(tmp_path / "d", len(MIGRATIONS))
    connection = opened(tmp_path / "d")

    assert all(content(connection).values())
    assert len(MIGRATIONS) == len(ROWS)
    connection.close()


@pytest.mark.parametrize("version", range(len(MIGRATIONS) + 1))
def test_every_version_is_brought_up_to_date(tmp_path, version):
    """Whatever was in it is in it still, of an unknown origin, and the tables are those of a new file."""
    of_version(tmp_path / "old", version)
    of_version(tmp_path / "new", 0)
    before = apsw.Connection(str(tmp_path / "old"))
    held = {table: [as_now(table, row) for row in rows] for table, rows in content(before).items()}
    before.close()
    old, new = opened(tmp_path / "old"), opened(tmp_path / "new")

    assert held == {table: rows for table, rows in content(old).items() if table in held}
    assert (
        new.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall()
        == old.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall()
    )
    assert len(MIGRATIONS) == old.pragma("user_version")
    assert (len(MIGRATIONS), len(MIGRATIONS)) == migrate(old, tmp_path / "old")
    assert "wal" == old.pragma("journal_mode")
    old.close()
    new.close()


@pytest.mark.parametrize("number", range(30))
def test_several_at_once(tmp_path, number):
    """Whoever comes second finds it done, or waits for it."""
    failures = []
    start = threading.Barrier(8)

    def work():
        start.wait(30)
        try:
            opened(tmp_path / "d").close()
        except StorageError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [] == failures


def test_a_newer_file_is_refused(tmp_path):
    """It says what to do, and changes nothing."""
    of_version(tmp_path / "d", len(MIGRATIONS))
    connection = apsw.Connection(str(tmp_path / "d"))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UnknownSchema, match=r"99.*upgrade"):
        opened(tmp_path / "d")


def test_a_file_of_another_program_is_refused(tmp_path):
    """Nothing is added to it."""
    connection = apsw.Connection(str(tmp_path / "d"))
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    before = (tmp_path / "d").read_bytes()
    with pytest.raises(UnknownSchema, match="another program"):
        opened(tmp_path / "d")

    assert before == (tmp_path / "d").read_bytes()


@pytest.mark.parametrize("version", [-1, 0, -(2**31)])
def test_an_impossible_version_is_refused(tmp_path, version):
    """By its name, and nothing is done to the file."""
    of_version(tmp_path / "d", len(MIGRATIONS))
    connection = apsw.Connection(str(tmp_path / "d"))
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    before = (tmp_path / "d").read_bytes()
    for work in (opened, opened_to_read):
        with pytest.raises(UnknownSchema, match=rf"d has version {version}, which does not exist"):
            work(tmp_path / "d")

    assert before == (tmp_path / "d").read_bytes()


def test_an_empty_file_of_an_impossible_version_is_refused(tmp_path):
    """It is nobody's yet, and not to be filled."""
    connection = apsw.Connection(str(tmp_path / "d"))
    connection.execute("PRAGMA user_version = -5")
    connection.close()
    with pytest.raises(UnknownSchema, match="version -5"):
        opened(tmp_path / "d")


@pytest.mark.parametrize("version", [3, len(MIGRATIONS)])
def test_a_version_that_its_tables_are_not_of_is_refused(tmp_path, version):
    """Whether it is the present one or one to be brought up to date."""
    of_version(tmp_path / "d", 1)
    connection = apsw.Connection(str(tmp_path / "d"))
    connection.execute(f"PRAGMA user_version = {version}")
    before = content(connection)
    connection.close()
    with pytest.raises(UnknownSchema, match=f"has version {version}"):
        opened(tmp_path / "d")

    connection = apsw.Connection(str(tmp_path / "d"))
    assert (version, before) == (connection.pragma("user_version"), content(connection))
    connection.close()


def test_the_tables_are_known(tmp_path):
    """Those of a new file."""
    connection = opened(tmp_path / "d")
    assert set(content(connection)) == TABLES
    connection.close()


def test_a_file_that_others_could_read_is_made_private(tmp_path):
    """As older releases and copies have left it."""
    opened(tmp_path / "d").close()
    (tmp_path / "d").chmod(0o644)
    connection = opened(tmp_path / "d")
    assert 0o600 == (tmp_path / "d").stat().st_mode & 0o777
    connection.close()


@pytest.mark.parametrize("left", ["closed", "in use", "copied without its index"])
def test_a_read_only_folder(tmp_path, left):
    """Every row that was committed is read, those of a write-ahead log, too, and nothing is laid beside it."""
    writer = opened(tmp_path / "d")
    writer.execute("INSERT INTO series VALUES (1, '', 'x', 'A/B', 'book')")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if left == "closed":
            writer.close()
        for file in tmp_path.iterdir():
            if left == "in use" or not file.name.endswith("-shm"):
                shutil.copyfile(file, folder / file.name)
        with only_readable(folder):
            connection = opened_to_read(folder / "d")
            assert [(1, "", "x", "A/B", "book")] == connection.execute("SELECT * FROM series").fetchall()
            assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
            with pytest.raises(apsw.ReadOnlyError):
                connection.execute("DELETE FROM series")
            connection.close()
            assert {each.name for each in folder.iterdir()} <= {"d", "d-wal", "d-shm"}
    writer.close()


def test_an_older_file_is_not_read_as_a_new_one(tmp_path):
    """It says how it is brought up to date."""
    of_version(tmp_path / "d", 3)
    with pytest.raises(UnknownSchema, match=r"has version 3.*migrate"):
        opened_to_read(tmp_path / "d")


def test_a_backup(tmp_path):
    """A whole file that nobody else may read, made while it is written to; never in the place of another."""
    writer = opened(tmp_path / "d")
    writer.execute("INSERT INTO series VALUES (1, '', 'x', 'A/B', 'book')")
    backed_up(tmp_path / "d", tmp_path / "copy")
    assert 0o600 == (tmp_path / "copy").stat().st_mode & 0o777
    copy = opened(tmp_path / "copy")
    assert content(writer) == content(copy)
    copy.close()
    writer.close()

    before = (tmp_path / "copy").read_bytes()
    with pytest.raises(StorageUnavailable, match="cannot be created"):
        backed_up(tmp_path / "d", tmp_path / "copy")
    assert before == (tmp_path / "copy").read_bytes()
    (tmp_path / "noise").write_bytes(b"noise" * 1000)
    with pytest.raises(CorruptStorage):
        backed_up(tmp_path / "noise", tmp_path / "copy of noise")
    assert not (tmp_path / "copy of noise").exists()


def test_nobody_else_may_read_it(tmp_path):
    """Nor what lies beside it."""
    connection = opened(tmp_path / "d")
    connection.execute("INSERT INTO series VALUES (1, '', 'x', 'A/B', 'book')")

    assert {0o600} == {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
    connection.close()


def test_errors_are_ours(tmp_path):
    """Each says which file."""
    assert isinstance(translated(apsw.BusyError("x"), tmp_path / "d"), StorageBusy)
    assert StorageError is type(translated(apsw.ConstraintError("UNIQUE x"), tmp_path / "d"))
    assert "d: UNIQUE x" == str(translated(apsw.ConstraintError("UNIQUE x"), tmp_path / "d"))
