"""What is left of a host's rate limits, counted together by every process of this user."""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct, field

from chandlery.core.errors import CacheError, RateLimited
from chandlery.core.http import RateLimit
from chandlery.core.time import HOUR, SECOND, Micros

# Weight is counted in slices of a sixtieth of the limit's window. Any stretch of time as long as
# the window meets at most 61 slices; one more covers what is used up to a slice later than it was
# booked. As no 62 slices in a row ever hold more than the limit, neither does any window, wherever
# the exchange lets its windows begin. The price is a thirtieth of the throughput.
_SLICES = 60
_SPAN = _SLICES + 2

_HORIZON: Micros = HOUR
_HEADER = struct.Struct("<II")  # length and CRC-32 of what follows
_MOST_BYTES = 1 << 18
_LOCK_TRIES = 2000
_LOCK_POLL_S = 0.0005


class Window(Struct):
    """The use of one limit: weight by slice of time, slices yet to come included."""

    weight: int
    seconds: float
    used: dict[int, int] = field(default_factory=dict)

    @property
    def slice_length(self) -> Micros:
        """How long a slice is."""
        return max(1, -int(-self.seconds * SECOND // _SLICES))

    def forget(self, now: Micros) -> None:
        """Drop the slices that no longer count, and those that only a clock gone wrong can have booked."""
        current = now // self.slice_length
        last = current + _HORIZON // self.slice_length
        self.used = {each: weight for each, weight in self.used.items() if current - _SPAN < each <= last}

    def used_until(self, now: Micros) -> int:
        """The weight used in the window that ends now."""
        current = now // self.slice_length
        return sum(weight for each, weight in self.used.items() if current - _SPAN < each <= current)

    def earliest(self, at: Micros, weight: int) -> Micros:
        """The first moment from ``at`` on, and after all that is booked, that has room for ``weight``."""
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
        """Count ``weight``, which may be negative, at a moment."""
        place = at // self.slice_length
        total = self.used.get(place, 0) + weight
        if total > 0:
            self.used[place] = total
        else:
            self.used.pop(place, None)


class Budget(Struct):
    """All that is known of a host: how long it asked to be left alone, and the use of its limits."""

    paused_until: Micros = 0
    windows: list[Window] = field(default_factory=list)

    def window(self, limit: RateLimit) -> Window:
        """The use of that limit."""
        for window in self.windows:
            if window.weight == limit.weight and window.seconds == limit.seconds:
                return window
        self.windows.append(Window(limit.weight, limit.seconds))
        return self.windows[-1]

    def book(self, limits: Sequence[RateLimit], weight: int, *, now: Micros, latest: Micros) -> Micros:
        """
        The moment at which ``weight`` may be used, booked there unless it lies after ``latest``.

        Nobody is overtaken: what is asked for later is booked at the same moment or later.
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

    def release(self, limits: Sequence[RateLimit], weight: int, at: Micros) -> None:
        """Give back what was booked at a moment and not used."""
        for limit in limits:
            self.window(limit).add(at, -weight)


class BudgetFile:
    """
    A ``Budget`` in a small file that processes and threads take turns at.

    A damaged file is replaced, which ``damaged`` counts; what was used is then unknown until the
    exchange's next answer tells.
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
        The budget, to look at and to change, while nobody else does; the block must not wait.

        Raises:
            CacheError: Where the file cannot be read or written.
            RateLimited: Where another process keeps the file locked for a second.
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
        Until when the host asked to be left alone, read without taking a turn; 0 where nothing is known.

        While another process is writing it may be read by halves; then turns are taken.
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
        """Take turns: normally at once, for nobody holds it longer than some microseconds."""
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
            self._close()  # temporary folders are swept; the others will use a new file
        raise RateLimited(f"another process keeps {self._path} locked")

    def _decoded(self, content: bytes) -> Budget:
        budget = _budget_of(content)
        if budget is None:
            self.damaged += 1
        return budget or Budget()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Budget)


def _budget_of(content: bytes) -> Budget | None:
    """What stands in a file; ``None`` where it is damaged."""
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
