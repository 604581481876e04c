"""Faults on demand."""

from __future__ import annotations

import random
import re
from collections.abc import MutableSequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import Enum


class FaultKind(Enum):
    """
    Failure of a request, a file or a frame.

    ``CORRUPT_ZIP`` to ``WRONG_ORDER`` belong to the archive. They damage a file permanently, with a valid checksum
    (except a missing day, which has none), and count files, not requests. Those from ``DROP`` on strike data frames on
    a WebSocket, whose "path" is the exchange's id, a slash, and the subscription.
    """

    TOO_MANY_REQUESTS = "too_many_requests"
    """429, with Retry-After."""
    BANNED = "banned"
    """418, with Retry-After."""
    SERVER_ERROR = "server_error"
    """Response with ``status``, by default 503."""
    SLOW = "slow"
    """Correct response, delayed by ``seconds``."""
    STALL = "stall"
    """No data for ``seconds``, then the connection is cut."""
    CUT_BODY = "cut_body"
    """Half of the body that Content-Length announces."""
    RESET = "reset"
    """Reset of the connection."""
    BAD_JSON = "bad_json"
    """Correct status with half of the body, as if complete; not in the archive."""
    BAD_CHECKSUM = "bad_checksum"
    """Checksum that matches no file."""
    CORRUPT_ZIP = "corrupt_zip"
    """File that is not a zip file."""
    MISSING_DAY = "missing_day"
    """404 for the file and its checksum."""
    MISSING_ROW = "missing_row"
    DOUBLED_ROW = "doubled_row"
    CONFLICTING_ROW = "conflicting_row"
    """Duplicate row with different volumes."""
    WRONG_ORDER = "wrong_order"
    """Two adjacent rows swapped."""

    DROP = "drop"
    """Connection cut."""
    STALLED_SOCKET = "stalled_socket"
    """Connection that stays open but sends no more data."""
    NO_DATA = "no_data"
    """Subscription that is acknowledged but sends no more data."""
    DUPLICATE = "duplicate"
    """Duplicate frame."""
    OUT_OF_ORDER = "out_of_order"
    """Frame sent after the next one."""
    GARBAGE = "garbage"
    """Frame replaced by one that is neither valid for the exchange nor gzip."""
    POLICY_CLOSE = "policy_close"
    """Connection closed by the exchange with 1008."""
    TOKEN_EXPIRED = "token_expired"  # noqa: S105  # the name of a fault
    """Connection cut, and all issued tokens refused."""
    SKIPPED_UPDATE = "skipped_update"
    """Missing update of an order book."""
    BAD_BOOK_CHECKSUM = "bad_book_checksum"
    """Wrong checksum of an order book that has one."""


IN_FILES = frozenset(
    {
        FaultKind.CORRUPT_ZIP,
        FaultKind.MISSING_DAY,
        FaultKind.MISSING_ROW,
        FaultKind.DOUBLED_ROW,
        FaultKind.CONFLICTING_ROW,
        FaultKind.WRONG_ORDER,
    }
)
"""Kinds that affect a file of the archive."""
ON_SOCKETS = frozenset(
    kind for kind in FaultKind if list(FaultKind).index(kind) >= list(FaultKind).index(FaultKind.DROP)
)
"""Kinds that affect frames."""


@dataclass
class Fault:
    """
    One fault, for requests whose path and query match the regular expression ``path``.

    The first ``after`` matching requests pass, the next ``times`` are struck (``None``: all), each with
    ``probability``. ``retry_after`` is in seconds, ``rows`` is the number of damaged rows of a file. ``used`` counts.
    """

    kind: FaultKind
    path: str = ""
    times: int | None = 1
    probability: float = 1.0
    after: int = 0
    seconds: float = 1.0
    retry_after: int | None = 1
    status: int = 503
    rows: int = 1
    used: int = 0
    seen: int = 0
    files: dict[str, bool] = field(default_factory=dict, repr=False)
    """Files requested so far, and whether each was struck."""

    def strikes(self, path: str, chance: random.Random) -> bool:
        """Decide whether the fault strikes this request, and count it."""
        if not re.search(self.path, path):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.used >= self.times):
            return False
        if self.probability < 1 and chance.random() >= self.probability:
            return False
        self.used += 1
        return True

    def holds(self, file: str, chance: random.Random) -> bool:
        """Decide whether the fault affects the file; the decision is permanent."""
        if file not in self.files:
            self.files[file] = self.strikes(file, chance)
        return self.files[file]


class Faults:
    """Active faults, in order, and the random numbers for their probabilities."""

    def __init__(self, faults: MutableSequence[Fault], seed: int) -> None:
        self.faults = faults
        self._seed = seed
        self._chance = random.Random(seed)  # noqa: S311  # dice, no secret

    def of_request(self, path: str, *, archive: bool) -> Fault | None:
        """Return the first fault that strikes the request."""
        for fault in self.faults:
            if fault.kind in IN_FILES | ON_SOCKETS or not _concerns(fault.kind, path, archive=archive):
                continue
            if fault.strikes(path, self._chance):
                return fault
        return None

    def of_frame(self, name: str, kinds: AbstractSet[FaultKind]) -> Fault | None:
        """Return the first fault of those kinds that strikes the data frame."""
        return next((fault for fault in self.faults if fault.kind in kinds and fault.strikes(name, self._chance)), None)

    def of_file(self, file: str) -> list[Fault]:
        """Return all faults of an archive file."""
        return [fault for fault in self.faults if fault.kind in IN_FILES and fault.holds(file, self._chance)]

    def hide(self, file: str) -> bool:
        """Return whether the file is missing, or will be on every request; counts nothing."""
        return any(
            fault.files.get(file, fault.times is None and fault.probability >= 1 and bool(re.search(fault.path, file)))
            for fault in self.faults
            if fault.kind is FaultKind.MISSING_DAY
        )

    def damage(self, lines: list[bytes], fault: Fault, file: str) -> list[bytes]:
        """Return the rows of a file with the fault applied; the position depends on the seed and the name."""
        chance = random.Random(f"{self._seed} {file} {fault.kind.value}")  # noqa: S311  # dice, no secret
        lines = list(lines)
        for _ in range(min(fault.rows, len(lines))):
            at = chance.randrange(len(lines))
            if fault.kind is FaultKind.MISSING_ROW:
                del lines[at]
            elif fault.kind is FaultKind.DOUBLED_ROW:
                lines.insert(at, lines[at])
            elif fault.kind is FaultKind.CONFLICTING_ROW:
                lines.insert(at + 1, _changed(lines[at]))
            elif fault.kind is FaultKind.WRONG_ORDER and len(lines) > 1:
                at = min(at, len(lines) - 2)
                lines[at], lines[at + 1] = lines[at + 1], lines[at]
        return lines


def _concerns(kind: FaultKind, path: str, *, archive: bool) -> bool:
    if kind is FaultKind.BAD_CHECKSUM:
        return archive and path.endswith(".CHECKSUM")
    return not (kind is FaultKind.BAD_JSON and archive)


def _changed(line: bytes) -> bytes:
    fields = line.split(b",")
    fields[5] = b"1" + fields[5]
    return b",".join(fields)
