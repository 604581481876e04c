"""The file of the embedded database: opened, brought up to date, and what goes wrong with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import apsw

from chandlery.core.errors import (
    CorruptStorage,
    StorageBusy,
    StorageError,
    StorageFull,
    StorageUnavailable,
    UnknownSchema,
)
from chandlery.storage.schema import APPLICATION_ID, MIGRATIONS

BUSY_MS = 5_000
_OPEN_RETRIES_MS = 30_000
_WRITE_AHEAD_TRIES = 100

_KINDS: tuple[tuple[type[apsw.Error], type[StorageError]], ...] = (
    (apsw.FullError, StorageFull),
    (apsw.BusyError, StorageBusy),
    (apsw.LockedError, StorageBusy),
    (apsw.CorruptError, CorruptStorage),
    (apsw.NotADBError, CorruptStorage),
    (apsw.IOError, StorageUnavailable),
    (apsw.CantOpenError, StorageUnavailable),
    (apsw.ReadOnlyError, StorageUnavailable),
    (apsw.PermissionsError, StorageUnavailable),
    (apsw.NoMemError, StorageUnavailable),
)
_REASONS: Mapping[type[StorageError], str] = {
    StorageFull: "there is no space left for it; free some, writing goes on then",
    StorageBusy: "another process holds it locked",
}


def opened(path: Path, busy_ms: int = BUSY_MS) -> apsw.Connection:
    """
    A connection that can write, to a file with all tables.

    Raises:
        UnknownSchema: The file is of a newer program, or of another one.
        StorageError: It cannot be opened.
    """
    try:
        # It holds keys and password hashes; SQLite gives what it lays beside it the same rights.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = apsw.Connection(str(path))
    except OSError as error:
        raise StorageUnavailable(f"{path.name} cannot be made: {error.strerror}") from error
    except apsw.Error as error:
        raise translated(error, path) from error
    try:
        connection.set_busy_timeout(max(busy_ms, _OPEN_RETRIES_MS))
        _version(connection, path)  # so that a file that is refused is left as it is
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        migrate(connection, path)
        connection.set_busy_timeout(busy_ms)
    except apsw.Error as error:
        connection.close()
        raise translated(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: apsw.Connection) -> None:
    """
    Use a write-ahead log.

    SQLite does not wait for the lock that this takes, but does for a transaction: where somebody
    else has the file, that is what to wait for. Of those who try at once one succeeds, for all.
    """
    for _ in range(_WRITE_AHEAD_TRIES):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except apsw.BusyError:
            connection.execute("BEGIN EXCLUSIVE; COMMIT")
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL")


def migrate(connection: apsw.Connection, path: Path) -> tuple[int, int]:
    """
    Take the steps that the file lacks, all or none; the version that it had, and the one that it has.

    Raises:
        UnknownSchema: The file is of a newer program, or of another one.
    """
    if _version(connection, path) == len(MIGRATIONS):
        return len(MIGRATIONS), len(MIGRATIONS)
    # Whoever comes second waits here, and then finds nothing to do.
    connection.execute("BEGIN EXCLUSIVE")
    with_rollback = True
    try:
        version = _version(connection, path)
        for steps in MIGRATIONS[version:]:
            for sql in steps:
                connection.execute(sql)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
        with_rollback = False
    finally:
        if with_rollback and connection.in_transaction:
            connection.execute("ROLLBACK")
    return version, len(MIGRATIONS)


def _version(connection: apsw.Connection, path: Path) -> int:
    # One transaction: what another process commits between two of these would make it look like a stranger's.
    with connection:
        application = connection.pragma("application_id")
        version = int(connection.pragma("user_version"))
        has_tables = bool(connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall())
    if application != APPLICATION_ID and has_tables:
        raise UnknownSchema(f"{path} is a database of another program; name another data folder")
    if version > len(MIGRATIONS):
        raise UnknownSchema(
            f"{path} is of version {version}, written by a newer chandlery; this one knows {len(MIGRATIONS)}: upgrade chandlery"
        )
    return version


def vacuumed(path: Path, busy_ms: int = BUSY_MS) -> None:
    """Rewrite the file without its holes."""
    connection = opened(path, busy_ms)
    try:
        connection.execute("VACUUM")
    except apsw.Error as error:
        raise translated(error, path) from error
    finally:
        connection.close()


def translated(error: Exception, path: Path) -> StorageError:
    """Our error for one of SQLite's, or of its binding: a number of more than 63 bits, a text that is no Unicode."""
    if not isinstance(error, apsw.Error):
        return StorageError(f"{path.name}: a value does not fit in it: {type(error).__name__}: {error}")
    kind = next((ours for theirs, ours in _KINDS if isinstance(error, theirs)), StorageError)
    return kind(f"{path.name}: {_REASONS.get(kind, str(error))}")
