"""Interfaces of the service's database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from chandlery.core.errors import UnsupportedRequest
from chandlery.core.signature import accepted
from chandlery.core.time import Micros
from chandlery.database.paging import entries_between, latest_entry
from chandlery.database.raw import BookPage, BookSnapshot, RawOrderBookEntry

Value: TypeAlias = str | int | float | bytes | None
"""The value of a column."""

Record: TypeAlias = Sequence[Value]
"""One row, or the parameters of one statement."""

Statement: TypeAlias = tuple[str, Sequence[Record]]
"""SQL with ``?`` for each parameter, and the rows of parameters, for each of which it is executed."""


class IDatabaseConnection(ABC):
    """
    A database; an async context manager that opens and closes it. It belongs to one event loop.

    A third party implements ``read`` and ``write``, over the tables of ``chandlery.database.schema``.
    """

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:  # noqa: B027  # one may be open from the start
        """
        Open the database; create it or migrate it to the newest schema if needed.

        Raises:
            UnknownSchema: It was written by a newer program, or by another one.
            StorageError: It cannot be opened.
        """

    async def close(self) -> None:  # noqa: B027  # its owner may close it
        """Commit accepted writes, then close; idempotent."""

    async def restore(self) -> None:  # noqa: B027  # most have nothing to restart
        """Try to make it usable again; called every second while it has a ``failure``."""

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
    def failure(self) -> Exception | None:
        """The reason why it is unusable at present, e.g. a failed write; ``None`` if it is usable, or does not report it."""
        return None

    @property
    def waiting(self) -> int:
        """Number of writes that wait for their commit."""
        return 0

    async def check(self) -> list[str]:
        """Return the problems of the file, one line each; empty if there are none, or if it has no check."""
        return []

    async def vacuum(self) -> None:  # noqa: B027  # many do this on their own
        """Release the space of deleted rows."""


class IRawDataRepository(ABC):
    """
    Raw order books: one per exchange, coin and time.

    A third party implements the abstract methods. Those without ``exchange`` find the entries of all exchanges, and a
    ``save`` of one entry suffices for the service.
    """

    @abstractmethod
    async def save(self, entries: RawOrderBookEntry | Sequence[RawOrderBookEntry]) -> None:
        """
        Store an entry, or several, all or none, replacing those of the same times; returns once they are committed.

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
        return _page(await entries_between(self.find_by_range, coin, start, end, limit + 1, exchange=exchange), limit)

    @abstractmethod
    async def find_latest(self, coin: str, *, exchange: str | None = None) -> RawOrderBookEntry | None:
        """Return the newest readable entry; ``None`` if there is none."""

    async def prune(self, before: Micros) -> int:
        """
        Remove the entries before ``before``. Return their number.

        Raises:
            UnsupportedRequest: The repository removes nothing.
        """
        raise UnsupportedRequest(f"{type(self).__name__} removes nothing; do not set a retention of order books")


class IStorageManager(ABC):
    """
    Raw order books, for the collector and for queries.

    A third party implements the abstract methods. If ``store_raw_data`` has no ``exchange`` and ``timestamp``, its data is
    the whole ``RawOrderBookEntry``; if the others have no ``exchange``, they return the entries of all exchanges.
    """

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
    async def get_latest_raw_entry(self, coin: str, *, exchange: str | None = None) -> RawOrderBookEntry | None:
        """Return the newest readable entry; ``None`` if there is none."""

    async def store_book(self, entry: RawOrderBookEntry) -> None:
        """Call ``store_raw_data`` with the arguments that it accepts."""
        named = accepted(self.store_raw_data, exchange=entry.exchange, timestamp=entry.timestamp)
        store: Callable[..., Awaitable[object]] = self.store_raw_data
        await store(entry.coin_symbol, entry.data if named else entry, **named)

    async def get_book_page(self, coin: str, start: Micros, end: Micros, limit: int, *, exchange: str) -> BookPage:
        """Return the first ``limit`` entries of an exchange with ``start <= timestamp < end``, with damaged ones as gaps."""
        return _page(
            await entries_between(self.get_raw_data_range, coin, start, end, limit + 1, exchange=exchange), limit
        )

    async def get_latest_book(self, coin: str, *, exchange: str) -> RawOrderBookEntry | None:
        """Return the newest readable entry of an exchange; ``None`` if there is none."""
        return await latest_entry(self.get_latest_raw_entry, self.get_raw_data_range, coin, exchange=exchange)


def _page(found: list[RawOrderBookEntry], limit: int) -> BookPage:
    """Return the page of the first ``limit`` entries, of which one more was read."""
    return BookPage(found[:limit], [], found[limit].timestamp if len(found) > limit else None)
