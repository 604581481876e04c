"""
The embedded database: one SQLite file with one writer thread; several threads, and other processes, read it.

All writes that wait when the writer is free are combined into one transaction, so that many small writes cost
one commit. A write is acknowledged after its commit.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias, TypeVar

import apsw
from msgspec import Struct

from chandlery.core.errors import Closed, CorruptStorage, StorageBusy, StorageError, StorageUnavailable
from chandlery.database.interfaces import IDatabaseConnection, Record, Statement, Value
from chandlery.database.schema import MIGRATIONS
from chandlery.database.sqlite_file import BUSY_MS, opened, translated, vacuumed

_T = TypeVar("_T")

FILE_NAME = "chandlery.sqlite3"
"""Name of the database in a data folder."""

MAX_WAITING = 20_000
"""Size of the write queue; further writes are refused."""
_MOST_AT_ONCE = 5_000
"""Number of writes in one transaction."""
_READERS = 4
_WATCHED_EVERY_S = 1.0

_Identity: TypeAlias = tuple[int, int]
"""Device and inode of a file."""


class _Job(Struct):
    statements: Sequence[Statement]
    done: asyncio.Future[None]
    error: StorageError | None = None


class SqliteDatabase(IDatabaseConnection):
    """
    A database in the file ``path``, which is created if missing.

    ``max_waiting`` bounds the write queue; ``busy_ms`` is how long to wait for another process's lock.
    """

    def __init__(self, path: Path, *, max_waiting: int = MAX_WAITING, busy_ms: int = BUSY_MS) -> None:
        self.path = path
        self._max_waiting = max_waiting
        self._busy_ms = busy_ms
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._failure: StorageError | None = None
        self._writer: threading.Thread | None = None
        self._connection: apsw.Connection | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._reader_threads: list[threading.Thread] = []
        self._reading: deque[apsw.Connection] = deque()
        self._local = threading.local()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._identity: tuple[_Identity, ...] | None = None
        """The files that were opened."""

    @property
    def failure(self) -> StorageError | None:
        """The reason why it is unusable: a failed write, a thread that has ended, or a missing file; ``None`` if it is usable."""
        return self._failure or self._dead() or self._file_removed()

    @property
    def waiting(self) -> int:
        """Length of the queue."""
        return len(self._jobs)

    async def open(self) -> None:
        """Open it with the tables of this program; an older file is migrated."""
        if self._connection is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._connection = await asyncio.to_thread(opened, self.path, self._busy_ms)
        self._identity = self._files()
        self._start_readers()
        self._start_writer()

    async def close(self) -> None:
        """Write the queue, then close the file."""
        if self._connection is None or self._closing:
            return
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._shut)

    async def read(self, sql: str, parameters: Record = ()) -> list[tuple[Value, ...]]:
        """Return the rows of a query, read in a thread."""
        return await self._in_reader(lambda connection: connection.execute(sql, tuple(parameters)).fetchall())

    async def write(self, *statements: Statement) -> None:
        """Queue the statements for the writer; returns once they are committed."""
        loop = asyncio.get_running_loop()
        job = _Job(statements, loop.create_future())
        with self._wake:
            if self._closing or self._connection is None:
                raise Closed(f"{self.path.name} is not open")
            if (dead := self._dead()) is not None:
                raise dead
            if len(self._jobs) >= self._max_waiting:
                raise StorageBusy(
                    f"too many writes are queued for {self.path.name} ({len(self._jobs)}); try again later"
                )
            self._jobs.append(job)
            if len(self._jobs) == 1:
                self._wake.notify()
        await job.done

    async def restore(self) -> None:
        """Restart threads that have ended. After a failed write, retry with a small one."""
        if self._connection is None or self._closing:
            return
        if self._writer is None or not self._writer.is_alive():
            self._start_writer()
        if not all(thread.is_alive() for thread in self._reader_threads):
            self._start_readers()
        if self._failure is not None:
            with suppress(StorageError):  # ``failure`` reports it
                await self.write((f"PRAGMA user_version = {len(MIGRATIONS)}", [()]))

    async def check(self) -> list[str]:
        """Return the problems that SQLite finds."""
        found = await self.read("PRAGMA integrity_check(100)")
        return [str(row[0]) for row in found if row[0] != "ok"]

    async def vacuum(self) -> None:
        """Compact the file; nothing else can write meanwhile."""
        await asyncio.to_thread(vacuumed, self.path, self._busy_ms)

    async def _in_reader(self, work: Callable[[apsw.Connection], _T]) -> _T:
        if self._readers is None or self._closing:
            raise Closed(f"{self.path.name} is not open")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[apsw.Connection], _T]) -> _T:
        try:
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
                connection.set_busy_timeout(self._busy_ms)
                self._local.connection = connection
                self._reading.append(connection)
            return work(connection)
        except Exception as error:
            raise translated(error, self.path) from error

    def _start_writer(self) -> None:
        self._writer = threading.Thread(target=self._write_on, name="chandlery-db-write", daemon=True)
        self._writer.start()

    def _start_readers(self) -> None:
        if self._readers is not None:
            self._readers.shutdown(wait=False)
        self._reader_threads = threads = []
        self._readers = ThreadPoolExecutor(
            _READERS,
            thread_name_prefix="chandlery-db-read",
            initializer=lambda: threads.append(threading.current_thread()),
        )

    def _files(self) -> tuple[_Identity, ...] | None:
        """Return the identities of the database file and its log; ``None`` if one of them is missing."""
        try:
            found = self.path.stat(), self.path.with_name(f"{self.path.name}-wal").stat()
        except OSError:
            return None
        return tuple((each.st_dev, each.st_ino) for each in found)

    def _file_removed(self) -> StorageUnavailable | None:
        """Return an error if the files were deleted or replaced, since SQLite would go on writing to the old ones."""
        if self._identity is None or self._closing or self._files() == self._identity:
            return None
        return StorageUnavailable(f"{self.path.name}, or its -wal, was deleted or replaced; put it back or restart")

    def _dead(self) -> StorageUnavailable | None:
        """Return an error if a thread has ended while the database is open; exceptions of a job do not end one."""
        threads = [] if self._writer is None or self._closing else [self._writer, *self._reader_threads]
        ended = next((thread.name for thread in threads if not thread.is_alive()), None)
        return None if ended is None else StorageUnavailable(f"{self.path.name}: the thread {ended} has ended")

    def _write_on(self) -> None:
        """Run the writer's thread until closed and the queue is empty."""
        while True:
            with self._wake:
                while not self._jobs and not self._closing:
                    self._wake.wait()
                batch = [self._jobs.popleft() for _ in range(min(len(self._jobs), _MOST_AT_ONCE))]
            if not batch:
                return
            try:
                self._commit(batch)
            except BaseException:
                # Whatever ends this thread, fail all waiting jobs.
                with self._wake:
                    batch += self._jobs
                    self._jobs.clear()
                for job in batch:
                    job.error = StorageUnavailable(f"{self.path.name}: the thread that writes has ended")
                raise
            finally:
                assert self._loop is not None  # noqa: S101  # set before this thread was started
                with suppress(RuntimeError):  # the loop is closed, so that nothing waits
                    self._loop.call_soon_threadsafe(_settle, batch)

    def _commit(self, batch: list[_Job]) -> None:
        """Commit all jobs in one transaction; if one of them is at fault itself, each in its own."""
        error = self._transaction(batch)
        if error is not None and len(batch) > 1 and not _is_of_the_file(error):
            for job in batch:
                job.error = self._transaction([job])
        else:
            for job in batch:
                job.error = error
        # An error of the job itself does not concern the file.
        self._failure = next((job.error for job in batch if _is_of_the_file(job.error)), None)

    def _transaction(self, batch: list[_Job]) -> StorageError | None:
        connection = self._connection
        assert connection is not None  # noqa: S101  # set before this thread was started
        if (gone := self._file_removed()) is not None:
            return gone
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")  # an earlier transaction whose rollback failed
            connection.execute("BEGIN IMMEDIATE")
            for job in batch:
                for sql, rows in job.statements:
                    connection.executemany(sql, rows)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  # reported to this job alone; the thread continues with the next
            with suppress(apsw.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            return translated(error, self.path)
        return None

    def _shut(self) -> None:
        assert self._writer is not None  # noqa: S101  # ``close`` has seen that it is open
        assert self._readers is not None  # noqa: S101  # the same
        assert self._connection is not None  # noqa: S101  # the same
        self._writer.join()
        self._readers.shutdown()
        for connection in self._reading:
            connection.close()
        self._connection.close()
        self._connection = None


async def watched(database: IDatabaseConnection, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Restore the database whenever it fails; never returns."""
    while True:
        await sleep(_WATCHED_EVERY_S)
        if database.failure is not None:
            await database.restore()


def _is_of_the_file(error: StorageError | None) -> bool:
    return isinstance(error, StorageUnavailable | CorruptStorage)


def _settle(batch: list[_Job]) -> None:
    for job in batch:
        if not job.done.done():
            if job.error is None:
                job.done.set_result(None)
            else:
                job.done.set_exception(job.error)
