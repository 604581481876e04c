"""The database where it can only be read."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from chandlery.core.errors import Closed, StorageError, StorageUnavailable, UnknownSchema
from chandlery.database.sqlite_file import opened
from chandlery.database.sqlite_reader import ReadOnlyDatabase
from fixtures.support import only_readable

SERIES = (1, "", "x", "A/B", "book")


@pytest.fixture
def folder():
    """One that holds a database with a row, and can only be read."""
    with tempfile.TemporaryDirectory() as name:
        connection = opened(Path(name) / "d")
        connection.execute("INSERT INTO series VALUES (?, ?, ?, ?, ?)", SERIES)
        connection.close()
        with only_readable(Path(name)):
            yield Path(name)


async def test_it_is_read_and_checked(folder):
    """As any other; and closed once."""
    async with ReadOnlyDatabase(folder / "d") as database:
        await database.open()
        assert [SERIES] == await database.read("SELECT * FROM series WHERE id = ?", (1,))
        assert [] == await database.check()
        assert None is database.failure
        with pytest.raises(StorageError, match="d: no such table"):
            await database.read("SELECT * FROM nowhere")
    await database.close()
    with pytest.raises(Closed):
        await database.read("SELECT 1")


async def test_it_is_not_written(folder):
    """Neither by a statement nor by a query that is one."""
    async with ReadOnlyDatabase(folder / "d") as database:
        for work in (
            database.write(("DELETE FROM series", [()])),
            database.vacuum(),
            database.read("DELETE FROM series"),
        ):
            with pytest.raises(StorageUnavailable):
                await work
        assert [(1,)] == await database.read("SELECT count(*) FROM series")


async def test_what_cannot_be_opened(tmp_path):
    """Is an error of ours, again and again."""
    (tmp_path / "empty").touch()
    for name, error in (("nothing", StorageUnavailable), ("empty", UnknownSchema)):
        database = ReadOnlyDatabase(tmp_path / name)
        for _ in range(2):
            with pytest.raises(error, match=name):
                await database.open()
        await database.close()
