"""What the service asks of a database, whichever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeAlias

from chandlery.core.time import Micros
from chandlery.database.raw import BookPage, BookSnapshot, RawOrderBookEntry

Value: TypeAlias = str | int | float | bytes | None
"""What a column holds."""

Record: TypeAlias = Sequence[Value]
"""One row, or the parameters of one statement."""

Statement: TypeAlias = tuple[str, Sequence[Record]]
"""SQL with ``?`` for each parameter, and the rows of parameters that it is carried out with, one after the other."""


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
        Open it, made and brought up to the newest schema where it is not.

        Raises:
            UnknownSchema: It is of a newer program, or of another one.
            StorageError: It cannot be opened.
        """

    @abstractmethod
    async def close(self) -> None:
        """Commit what was accepted, then close; again is nothing."""

    @abstractmethod
    async def read(self, sql: str, parameters: Record = ()) -> list[tuple[Value, ...]]:
        """
        The rows of a query, as of the last commit.

        Raises:
            StorageError: It cannot be read.
        """

    @abstractmethod
    async def write(self, *statements: Statement) -> None:
        """
        Carry out the statements, all or none; returns once they are committed.

        Raises:
            StorageFull: No space is left. Nothing was written.
            StorageBusy: Too much waits to be written, or somebody else holds the lock. Nothing was written.
            StorageError: Nothing was written, for another reason.
        """

    @property
    @abstractmethod
    def failure(self) -> Exception | None:
        """Why it cannot be used now, e.g. since the last write failed; ``None`` where it can."""

    @abstractmethod
    async def check(self) -> list[str]:
        """What is wrong with the file, a line each; nothing where all is in order."""

    @abstractmethod
    async def vacuum(self) -> None:
        """Give back the space of what was deleted."""


class IRawDataRepository(ABC):
    """Raw order books: one an exchange, coin and moment."""

    @abstractmethod
    async def save(self, entries: Sequence[RawOrderBookEntry]) -> None:
        """
        Keep the entries, all or none, in place of any of the same moments; returns once they are committed.

        Raises:
            StorageError: None of them is kept.
        """

    @abstractmethod
    async def find_by_range(
        self, coin: str, start: Micros, end: Micros, limit: int, offset: int = 0, *, exchange: str | None = None
    ) -> list[RawOrderBookEntry]:
        """
        Entries with ``start <= timestamp < end``, oldest first, ``limit`` of them after the first ``offset``.

        Of the same moment, in the order of their exchanges; of one exchange only, where one is named.

        Raises:
            InvalidInput: A negative ``limit`` or ``offset``.
            CorruptStorage: An entry is damaged.
        """

    async def find_page(self, coin: str, start: Micros, end: Micros, limit: int, *, exchange: str) -> BookPage:
        """
        The first ``limit`` entries of an exchange with ``start <= timestamp < end``, as far as they can be read.

        Raises:
            StorageError: The storage cannot be read.
        """
        found = await self.find_by_range(coin, start, end, limit + 1, exchange=exchange)
        return BookPage(found[:limit], [], found[limit].timestamp if len(found) > limit else None)

    @abstractmethod
    async def find_latest(self, coin: str, *, exchange: str | None = None) -> RawOrderBookEntry | None:
        """The newest entry that can be read; ``None`` where there is none."""

    @abstractmethod
    async def prune(self, before: Micros) -> int:
        """Remove the entries that are older; how many they were."""


class IStorageManager(ABC):
    """Raw order books, for those who collect and those who ask."""

    @abstractmethod
    async def store_raw_data(self, coin: str, data: BookSnapshot, *, exchange: str, timestamp: Micros) -> None:
        """
        Keep a snapshot; returns once it is committed.

        Raises:
            StorageError: It is not kept.
        """

    @abstractmethod
    async def get_raw_data_range(
        self, coin: str, start: Micros, end: Micros, limit: int = 100, offset: int = 0, *, exchange: str | None = None
    ) -> list[RawOrderBookEntry]:
        """Entries with ``start <= timestamp < end``, oldest first, ``limit`` of them after the first ``offset``."""

    @abstractmethod
    async def get_book_page(self, coin: str, start: Micros, end: Micros, limit: int, *, exchange: str) -> BookPage:
        """The first ``limit`` entries of an exchange with ``start <= timestamp < end``; those that are damaged are gaps."""

    @abstractmethod
    async def get_latest_raw_entry(self, coin: str, *, exchange: str | None = None) -> RawOrderBookEntry | None:
        """The newest entry that can be read; ``None`` where there is none."""
