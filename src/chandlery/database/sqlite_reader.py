"""The embedded database in read-only mode: on a read-only disk, or without write permission."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from chandlery.core.errors import Closed, StorageUnavailable
from chandlery.database.interfaces import IDatabaseConnection, Record, Statement, Value
from chandlery.database.sqlite_file import BUSY_MS, opened_to_read, translated

_T = TypeVar("_T")


class ReadOnlyDatabase(IDatabaseConnection):
    """A database in the file ``path``, of this program's version; nothing is written to it or beside it."""

    def __init__(self, path: Path, *, busy_ms: int = BUSY_MS) -> None:
        self.path = path
        self._busy_ms = busy_ms
        self._thread: ThreadPoolExecutor | None = None
        self._connection: apsw.Connection | None = None

    @property
    def failure(self) -> None:
        """None: nothing is written that could fail."""

    async def open(self) -> None:
        """
        Open the database.

        Raises:
            UnknownSchema: It is of another version, or another program's.
            StorageError: It cannot be read.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="chandlery-db-read")
            try:
                self._connection = await self._in_thread(lambda: opened_to_read(self.path, self._busy_ms))
            except BaseException:
                self._thread.shutdown(wait=False)
                self._thread = None
                raise

    async def close(self) -> None:
        """Close the database; idempotent."""
        if self._thread is not None and self._connection is not None:
            await self._in_thread(self._connection.close)
            self._thread.shutdown(wait=False)
            self._thread = self._connection = None

    async def read(self, sql: str, parameters: Record = ()) -> list[tuple[Value, ...]]:
        """Return the rows of a query, read in a thread."""
        connection = self._connection
        if connection is None:
            raise Closed(f"{self.path.name} is not open")

        def work() -> list[tuple[Value, ...]]:
            try:
                return connection.execute(sql, tuple(parameters)).fetchall()
            except apsw.Error as error:
                raise translated(error, self.path) from error

        return await self._in_thread(work)

    async def write(self, *statements: Statement) -> None:
        """Refuse to write."""
        raise StorageUnavailable(
            f"{self.path.name} is opened read-only: {len(statements)} statements were not executed"
        )

    async def check(self) -> list[str]:
        """Return the problems that SQLite finds."""
        return [str(row[0]) for row in await self.read("PRAGMA integrity_check(100)") if row[0] != "ok"]

    async def vacuum(self) -> None:
        """Refuse to write."""
        raise StorageUnavailable(f"{self.path.name} is opened read-only")

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
