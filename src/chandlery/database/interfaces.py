"""Interfaces of the service's database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeAlias

from chandlery.core.time import Micros
from chandlery.database.raw import BookPage, BookSnapshot, RawOrderBookEntry

Value: TypeAlias = str | int | float | bytes | None
"""The value of a column."""

Record: TypeAlias = Sequence[Value]
"""One row, or the parameters of one statement."""

Statement: TypeAlias = tuple[str, Sequence[Record]]
"""SQL with ``?`` for each parameter, and the rows of parameters, for each of which it is executed."""


class IDatabaseConnection(ABC):
    """A database; an async context manager that opens and closes it. It belongs to one event loop."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @abstractmethod
    async def open(self) -> None:
        """
        Open the database; create it or migrate it to the newest schema if needed.

        Raises:
            UnknownSchema: It was written by a newer program, or by another one.
            StorageError: It cannot be opened.
        """

    @abstractmethod
    async def close(self) -> None:
        """Commit accepted writes, then close; idempotent."""

    @abstractmethod
    async def read(self, sql: str, parameters: Record = ()) -> list[tuple[Value, ...]]:
        """
        Return the rows of a query, as of the last commit.

        Raises:
            StorageError: It cannot be read.
        """

    @abstractmethod
    async def write(self, *statements: Statement) -> None:
        """
        Execute the statements, all or none; returns once they are committed.

        Raises:
            StorageFull: No space is left. Nothing was written.
            StorageBusy: The write queue is full, or another process holds the lock. Nothing was written.
            StorageError: Nothing was written, for another reason.
        """

    @property
    @abstractmethod
    def failure(self) -> Exception | None:
        """The reason why it is unusable at present, e.g. a failed write; ``None`` if it is usable."""

    @abstractmethod
    async def check(self) -> list[str]:
        """Return the problems of the file, one line each; empty if there are none."""

    @abstractmethod
    async def vacuum(self) -> None:
        """Release the space of deleted rows."""


class IRawDataRepository(ABC):
    """Raw order books: one per exchange, coin and time."""

    @abstractmethod
    async def save(self, entries: Sequence[RawOrderBookEntry]) -> None:
        """
        Store entries, all or none, replacing those of the same times; returns once they are committed.

        Raises:
            StorageError: None of them is stored.
        """

    @abstractmethod
    async def find_by_range(
        self, coin: str, start: Micros, end: Micros, limit: int, offset: int = 0, *, exchange: str | None = None
    ) -> list[RawOrderBookEntry]:
        """
        Return entries with ``start <= timestamp < end``, oldest first, ``limit`` of them after the first ``offset``.

        Entries of the same time are in the order of their exchanges; ``exchange`` selects a single one.

        Raises:
            InvalidInput: A negative ``limit`` or ``offset``.
            CorruptStorage: An entry is damaged.
        """

    async def find_page(self, coin: str, start: Micros, end: Micros, limit: int, *, exchange: str) -> BookPage:
        """
        Return the first ``limit`` entries of an exchange with ``start <= timestamp < end``, with damaged ones as gaps.

        Raises:
            StorageError: The storage cannot be read.
        """
        found = await self.find_by_range(coin, start, end, limit + 1, exchange=exchange)
        return BookPage(found[:limit], [], found[limit].timestamp if len(found) > limit else None)

    @abstractmethod
    async def find_latest(self, coin: str, *, exchange: str | None = None) -> RawOrderBookEntry | None:
        """Return the newest readable entry; ``None`` if there is none."""

    @abstractmethod
    async def prune(self, before: Micros) -> int:
        """Remove the entries before ``before``. Return their number."""


class IStorageManager(ABC):
    """Raw order books, for the collector and for queries."""

    @abstractmethod
    async def store_raw_data(self, coin: str, data: BookSnapshot, *, exchange: str, timestamp: Micros) -> None:
        """
        Store a snapshot; returns once it is committed.

        Raises:
            StorageError: It is not stored.
        """

    @abstractmethod
    async def get_raw_data_range(
        self, coin: str, start: Micros, end: Micros, limit: int = 100, offset: int = 0, *, exchange: str | None = None
    ) -> list[RawOrderBookEntry]:
        """Return entries with ``start <= timestamp < end``, oldest first, ``limit`` of them after the first ``offset``."""

    @abstractmethod
    async def get_book_page(self, coin: str, start: Micros, end: Micros, limit: int, *, exchange: str) -> BookPage:
        """Return the first ``limit`` entries of an exchange with ``start <= timestamp < end``, with damaged ones as gaps."""

    @abstractmethod
    async def get_latest_raw_entry(self, coin: str, *, exchange: str | None = None) -> RawOrderBookEntry | None:
        """Return the newest readable entry; ``None`` if there is none."""
