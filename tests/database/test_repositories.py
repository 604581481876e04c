"""The published tests of repositories: over SQLite, and of a repository without a database."""

from __future__ import annotations

import pytest

from chandlery.database.sqlite import SqliteDatabase
from chandlery.testing import BookRepositoryTests, RepositoryTests
from memory_repository import MemoryRawDataRepository


class TestSqlite(RepositoryTests):
    """The service's own database."""

    @pytest.fixture
    async def database(self, tmp_path):
        """A new file."""
        async with SqliteDatabase(tmp_path / "d.sqlite3") as database:
            yield database


class TestMemory(BookRepositoryTests):
    """Order books without a database."""

    @pytest.fixture
    def books(self):
        """An empty one."""
        return MemoryRawDataRepository()
