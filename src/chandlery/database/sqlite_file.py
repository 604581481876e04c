"""The file of the embedded database: open, migrate, and convert its errors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
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
from chandlery.database.schema import APPLICATION_ID, MIGRATIONS, TABLES

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
    StorageFull: "there is no space left for it; free some, then writing resumes",
    StorageBusy: "another process holds it locked",
}


def opened(path: Path, busy_ms: int = BUSY_MS) -> apsw.Connection:
    """
    Open a writable connection to a file with all tables.

    Raises:
        UnknownSchema: The file was written by a newer program, or by another one.
        StorageError: It cannot be opened.
    """
    try:
        # It holds keys and password hashes; SQLite creates its other files with the same permissions.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = apsw.Connection(str(path))
        _make_private(path)
    except OSError as error:
        raise StorageUnavailable(f"{path.name} cannot be created: {error.strerror}") from error
    except apsw.Error as error:
        raise translated(error, path) from error
    with _closed_on_failure(connection, path):
        connection.set_busy_timeout(max(busy_ms, _OPEN_RETRIES_MS))
        _version(connection, path)  # before anything is written to a file that is refused
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        migrate(connection, path)
        connection.set_busy_timeout(busy_ms)
    return connection


@contextmanager
def _closed_on_failure(connection: apsw.Connection, path: Path) -> Iterator[None]:
    """Close a connection that cannot be set up, and raise our error."""
    try:
        yield
    except apsw.Error as error:
        connection.close()
        raise translated(error, path) from error
    except BaseException:
        connection.close()
        raise


def _make_private(path: Path) -> None:
    """Restrict the permissions of a database and its other files to this user; older releases did not."""
    for each in (path, _beside(path, "-wal"), _beside(path, "-shm")):
        with suppress(FileNotFoundError, PermissionError):  # a file of another user
            if each.stat().st_mode & 0o077:
                each.chmod(0o600)


def opened_to_read(path: Path, busy_ms: int = BUSY_MS) -> apsw.Connection:
    """
    Open a read-only connection to a file of the current version; its folder may be read-only too.

    Raises:
        UnknownSchema: The file is of another version, or of another program.
        StorageError: It cannot be read.
    """
    connection = _read_only(path)
    with _closed_on_failure(connection, path):
        connection.set_busy_timeout(busy_ms)
        _require_current(connection, path)
    return connection


def _read_only(path: Path) -> apsw.Connection:
    """
    Open a connection that writes nothing to a file or its folder.

    SQLite creates a shared index beside a file with a write-ahead log. If there is no index and none can be created, SQLite
    must be told that no process writes: by ``immutable`` if there is no log, which that would ignore, or by an exclusive
    lock that other processes do not see if there is one.

    Raises:
        StorageError: It cannot be opened.
    """
    log, index = _beside(path, "-wal"), _beside(path, "-shm")
    alone = not index.exists()
    has_log = log.exists() and log.stat().st_size > 0
    query = "mode=ro" if not alone else "mode=ro&vfs=unix-none" if has_log else "immutable=1"
    try:
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        connection = apsw.Connection(f"{path.absolute().as_uri()}?{query}", flags=flags)
    except apsw.Error as error:
        raise translated(error, path) from error
    if alone and has_log:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
    return connection


def backed_up(path: Path, target: Path, busy_ms: int = BUSY_MS) -> None:
    """
    Write a complete copy to ``target``, which only this user may read; other processes may write meanwhile.

    Raises:
        StorageUnavailable: ``target`` exists already, or cannot be written.
        StorageError: The database cannot be read.
    """
    try:
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageUnavailable(f"{target} cannot be created: {error.strerror}") from error
    try:
        connection = (
            _read_only(path)
            if not os.access(path.parent, os.W_OK)
            else apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        )
        try:
            connection.set_busy_timeout(busy_ms)
            _version(connection, path)
            connection.execute("VACUUM INTO ?", (str(target),)).fetchall()
        finally:
            connection.close()
        os.fsync(descriptor)
    except BaseException as error:
        target.unlink(missing_ok=True)
        if isinstance(error, apsw.Error):
            raise translated(error, path) from error
        raise
    finally:
        os.close(descriptor)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _write_ahead(connection: apsw.Connection) -> None:
    """
    Enable the write-ahead log.

    SQLite does not wait for the lock that this takes, but does for a transaction: if another process
    has the file, a transaction waits for it. Of concurrent attempts one succeeds, for all.
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
    Run the missing migrations, all or none. Return the version before and after.

    Raises:
        UnknownSchema: The file was written by a newer program, or by another one.
    """
    version = _version(connection, path)
    if version == len(MIGRATIONS):
        _require_tables(connection, path)
        return len(MIGRATIONS), len(MIGRATIONS)
    # A second process waits here, and then finds nothing to do.
    connection.execute("BEGIN EXCLUSIVE")
    with_rollback = True
    try:
        version = _version(connection, path)
        for steps in MIGRATIONS[version:]:
            for sql in steps:
                connection.execute(sql)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        _require_tables(connection, path)
        connection.execute("COMMIT")
        with_rollback = False
    except apsw.SQLError as error:
        raise UnknownSchema(f"{path} has version {version}, but its tables differ: {error}") from error
    finally:
        if with_rollback and connection.in_transaction:
            connection.execute("ROLLBACK")
    return version, len(MIGRATIONS)


def _version(connection: apsw.Connection, path: Path) -> int:
    # One transaction, so that a commit between these reads cannot make the file look like another program's.
    with connection:
        application = connection.pragma("application_id")
        version = int(connection.pragma("user_version"))
        has_tables = bool(connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall())
    if application != APPLICATION_ID and has_tables:
        raise UnknownSchema(f"{path} is a database of another program; use another data folder")
    if version < (1 if application == APPLICATION_ID else 0):
        raise UnknownSchema(f"{path} has version {version}, which does not exist; restore a backup")
    if version > len(MIGRATIONS):
        raise UnknownSchema(
            f"{path} has version {version}, written by a newer chandlery; this one supports {len(MIGRATIONS)}: upgrade chandlery"
        )
    return version


def _require_current(connection: apsw.Connection, path: Path) -> None:
    version = _version(connection, path)
    if version < len(MIGRATIONS):
        raise UnknownSchema(
            f"{path} has version {version}, and this chandlery reads {len(MIGRATIONS)}: run chandlery db migrate where the file can be written"
        )
    _require_tables(connection, path)


def _require_tables(connection: apsw.Connection, path: Path) -> None:
    found = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()}
    missing = sorted(TABLES - found)
    if missing:
        raise UnknownSchema(
            f"{path} has version {len(MIGRATIONS)}, but lacks the tables {', '.join(missing)}; restore a backup"
        )


def vacuumed(path: Path, busy_ms: int = BUSY_MS) -> None:
    """Compact the file."""
    connection = opened(path, busy_ms)
    try:
        connection.execute("VACUUM")
    except apsw.Error as error:
        raise translated(error, path) from error
    finally:
        connection.close()


def translated(error: Exception, path: Path) -> StorageError:
    """Return our error for one of SQLite's, or of its binding: a number of more than 63 bits, text that is not Unicode."""
    if not isinstance(error, apsw.Error):
        return StorageError(f"{path.name}: a value does not fit in it: {type(error).__name__}: {error}")
    kind = next((ours for theirs, ours in _KINDS if isinstance(error, theirs)), StorageError)
    return kind(f"{path.name}: {_REASONS.get(kind, str(error))}")
