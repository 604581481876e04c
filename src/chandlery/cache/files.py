"""Locks between threads and processes, and atomic replacement of files."""

from __future__ import annotations

import fcntl
import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chandlery.core.errors import CacheError, InvalidInput, StorageBusy

TEMPORARY = ".tmp"
DAMAGED = ".damaged"
LOCK = ".lock"
_LONGEST_PAUSE_S = 0.005
_numbers = itertools.count()


def folder(given: Path | str, name: str) -> Path:
    """
    Return a folder as an absolute path; ``~`` is the home folder. It need not exist.

    ``name`` is the name of the parameter in errors.

    Raises:
        InvalidInput: It is not a path of a folder.
    """
    if not isinstance(given, Path | str):
        raise InvalidInput(f"{name} must be a Path or a string, not {given!r}")
    if not str(given).strip() or "\0" in str(given):
        raise InvalidInput(f"{name} is {str(given)!r}, which is not a folder; use '.' for the current folder")
    try:
        return Path(given).expanduser().absolute()
    except RuntimeError as error:
        raise InvalidInput(f"{name} {given}: {error}") from error


def private_folder(path: Path) -> None:
    """
    Create a folder that only this user may read; an existing one is not changed.

    Raises:
        OSError: It cannot be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def locked(
    folder: Path,
    *,
    timeout_s: float = 60.0,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """
    Hold the exclusive lock of ``folder``, which is created if missing.

    Raises:
        CacheError: Another holder keeps it longer than ``timeout_s``.
        OSError: The folder cannot be written to.
    """
    path = folder / LOCK
    deadline = monotonic() + timeout_s
    pause = 0.001
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = -1
        with suppress(FileNotFoundError):  # the folder was removed meanwhile
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if descriptor >= 0 and _acquired(descriptor, path):
                yield
                return
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        if monotonic() > deadline:
            raise CacheError(f"{folder} has been locked by another process for {timeout_s:g} s")
        sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)


@contextmanager
def alone_in(folder: Path, name: str) -> Iterator[None]:
    """
    Hold an exclusive lock for ``name`` in ``folder``, until the process ends at the latest.

    Raises:
        StorageBusy: Another process holds it.
    """
    path = folder / f".{name}{LOCK}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if not _acquired(descriptor, path):
            raise StorageBusy(f"another {name} uses {folder}; stop it, or use another folder")
        yield
    finally:
        os.close(descriptor)


def _acquired(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())  # otherwise it was removed while we waited
    except (BlockingIOError, FileNotFoundError):
        return False


def remove_lock(folder: Path) -> None:
    """Remove the lock file of a folder; only while holding it, and only to remove the folder."""
    (folder / LOCK).unlink(missing_ok=True)


def set_aside(path: Path) -> None:
    """Rename a damaged file, which stays available for inspection."""
    path.replace(path.with_name(path.name + DAMAGED))


def replace(path: Path, content: bytes | bytearray) -> os.stat_result:
    """
    Replace the file at ``path`` by ``content`` atomically: a reader sees the old file or the new one.

    It is not synced to disk: a killed process loses nothing that was written, and
    the checksum reveals damage by a power failure.
    """
    temporary = f"{path.parent}/.{path.name}.{os.getpid()}.{next(_numbers)}{TEMPORARY}"
    try:
        with open(temporary, "xb", buffering=0) as file:  # noqa: PTH123  # a path object costs as much as the file
            written = file.write(content)
            while written < len(content):
                written += file.write(memoryview(content)[written:])
            found = os.fstat(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105  # likewise
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108  # likewise
        raise
    return found
