"""Locks between threads and processes, and files that are either whole or not there."""

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
    The folder that was given under a name, absolute; ``~`` is the home folder. It need not be there.

    Raises:
        InvalidInput: It is no path of a folder.
    """
    if not isinstance(given, Path | str):
        raise InvalidInput(f"{name} is a Path or text, not {given!r}")
    if not str(given).strip() or "\0" in str(given):
        raise InvalidInput(f"{name} is {str(given)!r}, which is no folder; '.' is the current one")
    try:
        return Path(given).expanduser().absolute()
    except RuntimeError as error:
        raise InvalidInput(f"{name} {given}: {error}") from error


def private_folder(path: Path) -> None:
    """
    Make a folder that nobody else may look into; one that is there stays as it is.

    Raises:
        OSError: It cannot be made.
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
    Nobody else holds ``folder``, which is made where it is missing.

    Raises:
        CacheError: Where somebody else still holds it after ``timeout_s``.
        OSError: Where the folder cannot be written to.
    """
    path = folder / LOCK
    deadline = monotonic() + timeout_s
    pause = 0.001
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = -1
        with suppress(FileNotFoundError):  # the folder was removed since
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if descriptor >= 0 and _acquired(descriptor, path):
                yield
                return
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        if monotonic() > deadline:
            raise CacheError(f"{folder} has been in use by another process for {timeout_s:g} s")
        sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)


@contextmanager
def alone_in(folder: Path, name: str) -> Iterator[None]:
    """
    Nobody else is in here with the same ``folder`` and ``name``; the lock ends with the process at the latest.

    Raises:
        StorageBusy: Somebody is.
    """
    path = folder / f".{name}{LOCK}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if not _acquired(descriptor, path):
            raise StorageBusy(f"another {name} runs on {folder}; stop it, or name another folder")
        yield
    finally:
        os.close(descriptor)


def _acquired(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())  # else it was removed while we waited
    except (BlockingIOError, FileNotFoundError):
        return False


def remove_lock(folder: Path) -> None:
    """Forget the lock of a folder; only while holding it, and only to remove the folder."""
    (folder / LOCK).unlink(missing_ok=True)


def set_aside(path: Path) -> None:
    """Take a damaged file out of use; it is kept for who wants to look at it."""
    path.replace(path.with_name(path.name + DAMAGED))


def replace(path: Path, content: bytes | bytearray) -> os.stat_result:
    """
    Make ``content`` the file at ``path``, at once: a reader sees the old file or the new one.

    It is not forced to the disk: a process that is killed loses nothing that was written, and what
    a power failure can do to a file, its checksum reveals.
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
