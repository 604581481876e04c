"""Remaining budget of a host's rate limits, shared by all processes of this user."""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct, field

from chandlery.core.errors import CacheError, RateLimited
from chandlery.core.http import RateLimit
from chandlery.core.time import HOUR, SECOND, Micros

# Weight is counted in slices of a sixtieth of the limit's window. Any period as long as
# the window overlaps at most 61 slices; one more covers weight that is used up to a slice later than
# booked. As no 62 consecutive slices ever hold more than the limit, neither does any window, wherever
# the exchange begins its windows. The cost is a thirtieth of the throughput.
_SLICES = 60
_SPAN = _SLICES + 2

_HORIZON: Micros = HOUR
_HEADER = struct.Struct("<II")  # length and CRC-32 of what follows
_MOST_BYTES = 1 << 18
_LOCK_TRIES = 2000
_LOCK_POLL_S = 0.0005

SUFFIX = ".limits"
"""Ends the name of each file."""

_EXPIRY_S = 86400.0
_MOST_LOOKED_AT = 200
_MOST_REMOVED = 20


class Window(Struct):
    """Usage of one limit: weight by time slice, including future slices."""

    weight: int
    seconds: float
    used: dict[int, int] = field(default_factory=dict)

    @property
    def slice_length(self) -> Micros:
        """The length of a slice."""
        return max(1, -int(-self.seconds * SECOND // _SLICES))

    def forget(self, now: Micros) -> None:
        """Drop slices that no longer count, and those so far ahead that only a wrong clock can have booked them."""
        current = now // self.slice_length
        last = current + _HORIZON // self.slice_length
        self.used = {each: weight for each, weight in self.used.items() if current - _SPAN < each <= last}

    def used_until(self, now: Micros) -> int:
        """Return the weight used in the window that ends now."""
        current = now // self.slice_length
        return sum(weight for each, weight in self.used.items() if current - _SPAN < each <= current)

    def earliest(self, at: Micros, weight: int) -> Micros:
        """Return the first time at or after ``at``, and not before any booking, that has room for ``weight``."""
        place = max(at // self.slice_length, max(self.used, default=0))
        counted = sorted(each for each in self.used if each > place - _SPAN)
        total = weight + sum(self.used[each] for each in counted)
        for oldest in counted:
            if total <= self.weight:
                break
            total -= self.used[oldest]
            place = oldest + _SPAN
        return max(at, place * self.slice_length)

    def add(self, at: Micros, weight: int) -> None:
        """Add ``weight``, which may be negative, at a time."""
        place = at // self.slice_length
        total = self.used.get(place, 0) + weight
        if total > 0:
            self.used[place] = total
        else:
            self.used.pop(place, None)


class Budget(Struct):
    """State of a host: the end of the pause that it requested, and the usage of its limits."""

    paused_until: Micros = 0
    windows: list[Window] = field(default_factory=list)

    def window(self, limit: RateLimit) -> Window:
        """Return the usage of that limit."""
        for window in self.windows:
            if window.weight == limit.weight and window.seconds == limit.seconds:
                return window
        self.windows.append(Window(limit.weight, limit.seconds))
        return self.windows[-1]

    def book(self, limits: Sequence[RateLimit], weight: int, *, now: Micros, latest: Micros) -> Micros:
        """
        Return the time at which ``weight`` may be used, and book it unless that is after ``latest``.

        Bookings are first come, first served: a later call never gets an earlier time.
        """
        windows = [self.window(limit) for limit in limits]
        for window in windows:
            window.forget(now)
        at = max(now, self.paused_until)
        while (later := max((window.earliest(at, weight) for window in windows), default=at)) > at:
            at = later
        if at <= latest:
            for window in windows:
                window.add(at, weight)
        return at

    def counts(self, now: Micros) -> bool:
        """Return whether any of this can still delay a request: a pause that is not over, or used weight."""
        for window in self.windows:
            window.forget(now)
        return self.paused_until > now or any(window.used for window in self.windows)

    def release(self, limits: Sequence[RateLimit], weight: int, at: Micros) -> None:
        """Cancel a booking that was not used."""
        for limit in limits:
            self.window(limit).add(at, -weight)


class BudgetFile:
    """
    A ``Budget`` in a small file with exclusive access for one thread of one process at a time.

    A damaged file is replaced, which ``damaged`` counts; the usage is then unknown until the
    exchange's next answer states it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._turn = threading.Lock()  # flock does not keep threads apart that share a descriptor
        self.damaged = 0

    def __del__(self) -> None:
        """Close the file."""
        self._close()

    @contextmanager
    def open(self) -> Iterator[Budget]:
        """
        Lock the file, yield the budget, and write it back; the block must not wait.

        Raises:
            CacheError: The file cannot be read or written.
            RateLimited: Another process holds the lock for a second.
        """
        with self._turn:
            try:
                fd = self._lock()
            except OSError as error:
                raise CacheError(f"cannot share rate limits through {self._path}: {error}") from error
            try:
                before = os.pread(fd, min(os.fstat(fd).st_size, _MOST_BYTES), 0)
                budget = self._decoded(before)
                yield budget
                after = _encoded(budget)
                if not before.startswith(after):
                    os.pwrite(fd, after, 0)
            except OSError as error:
                raise CacheError(f"cannot share rate limits through {self._path}: {error}") from error
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)

    def paused_until(self) -> Micros:
        """
        Return the end of the pause that the host requested, without locking; 0 if none is known.

        A read during a write of another process may be torn; it is then repeated with the lock.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise CacheError(f"cannot share rate limits through {self._path}: {error}") from error
        budget = _budget_of(content)
        if budget is None:
            with self.open() as budget:
                pass
        return budget.paused_until

    def _lock(self) -> int:
        """Lock the file, normally at once, since a lock is held for microseconds."""
        for _ in range(_LOCK_TRIES):
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOCK_POLL_S)
                continue
            if os.fstat(self._fd).st_nlink:
                return self._fd
            self._close()  # temporary folders are cleaned up; other processes will use a new file
        raise RateLimited(f"another process holds the lock on {self._path}")

    def _decoded(self, content: bytes) -> Budget:
        budget = _budget_of(content)
        if budget is None:
            self.damaged += 1
        return budget or Budget()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def remove_expired(folder: Path, now: Micros) -> None:
    """
    Remove the files of ``folder`` that were not written for a day, and whose budgets no longer count at ``now``.

    A file is removed while it is locked; whoever waits for its lock then uses a new file. To be quick, a call
    looks at 200 files and removes 20 at most, since it may run in an event loop; the next call removes further ones.
    """
    removed = 0
    with os.scandir(folder) as entries:
        files = (each for each in entries if each.name.endswith(SUFFIX) and each.is_file(follow_symlinks=False))
        for each in islice(files, _MOST_LOOKED_AT):
            with suppress(FileNotFoundError, BlockingIOError, PermissionError):  # removed already, in use, or not ours
                removed += _is_expired(each.stat()) and _remove(Path(each.path), now)
            if removed == _MOST_REMOVED:
                break


def _is_expired(found: os.stat_result) -> bool:
    return time.time() - found.st_mtime > _EXPIRY_S


def _remove(path: Path, now: Micros) -> bool:
    """Remove a file, unless its budget counts. Return whether it was removed."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(fd)
        budget = _budget_of(os.pread(fd, min(found.st_size, _MOST_BYTES), 0)) or Budget()
        # It may have been written, or replaced by another process, before it was locked.
        if budget.counts(now) or not _is_expired(found) or not found.st_nlink:
            return False
        path.unlink()
        return True
    finally:
        os.close(fd)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Budget)


def _budget_of(content: bytes) -> Budget | None:
    """Decode the content of a file; ``None`` if it is damaged."""
    if not content:
        return Budget()
    with suppress(struct.error, msgspec.MsgspecError):
        length, checksum = _HEADER.unpack_from(content)
        body = content[_HEADER.size : _HEADER.size + length]
        if zlib.crc32(body) == checksum:
            return _DECODER.decode(body)
    return None


def _encoded(budget: Budget) -> bytes:
    budget.windows = [window for window in budget.windows if window.used]
    body = _ENCODER.encode(budget)
    return _HEADER.pack(len(body), zlib.crc32(body)) + body
