"""The file of the database, from every version that there ever was."""

from __future__ import annotations

import threading

import apsw
import pytest

from chandlery.core.errors import StorageBusy, StorageError, UnknownSchema
from chandlery.storage.schema import APPLICATION_ID, MIGRATIONS
from chandlery.storage.sqlite_file import migrate, opened, translated

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
