"""The database in the data folder of a service, for programs beside the service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from chandlery.cache.files import private_folder
from chandlery.core.errors import InvalidInput, MissingDependency, StorageUnavailable

if TYPE_CHECKING:
    from chandlery.database.interfaces import IDatabaseConnection
    from chandlery.database.sqlite import SqliteDatabase

_NEEDED = "the database needs an extra; run: pip install 'chandlery[server]'"


def data_folder(given: Path | None) -> Path:
    """Return the given folder, or the user's."""
    import platformdirs  # noqa: PLC0415  # loaded where it is used

    return given if given is not None else platformdirs.user_data_path("chandlery")


def database_of(data_dir: Path | None, *, made: bool = False) -> SqliteDatabase:
    """
    Return the database in a folder, not opened yet.

    Raises:
        InvalidInput: There is none, and it must not be created (``made``).
        StorageUnavailable: The folder cannot be created.
        MissingDependency: The extra of the service is not installed.
    """
    try:
        from chandlery.database.sqlite import SqliteDatabase  # noqa: PLC0415  # needs an extra
    except ImportError as error:
        raise MissingDependency(_NEEDED) from error
    return SqliteDatabase(_file_of(data_dir, made=made))


def readable_database_of(data_dir: Path | None) -> IDatabaseConnection:
    """
    Return the database for reading; it is migrated first if it is writable.

    Raises:
        InvalidInput: There is none.
        MissingDependency: The extra of the service is not installed.
    """
    database = database_of(data_dir)
    if all(os.access(each, os.W_OK, effective_ids=True) for each in (database.path, database.path.parent)):
        return database
    from chandlery.database.sqlite_reader import ReadOnlyDatabase  # noqa: PLC0415  # needs an extra

    return ReadOnlyDatabase(database.path)


def _file_of(data_dir: Path | None, *, made: bool) -> Path:
    from chandlery.database.sqlite import FILE_NAME  # noqa: PLC0415  # needs an extra

    folder = data_folder(data_dir)
    path = folder / FILE_NAME
    if made:
        try:
            private_folder(folder)
        except OSError as error:
            raise StorageUnavailable(f"the folder {folder} cannot be created: {error.strerror}") from error
    elif not path.is_file():
        raise InvalidInput(
            f"there is no {FILE_NAME} in {folder}; give the data folder of the service with --data-dir, or data_dir"
        )
    return path
