"""What can go wrong on demand."""

from __future__ import annotations

import random
import re
from collections.abc import MutableSequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import Enum


class FaultKind(Enum):
    """
    How a request, a file or a frame fails.

    ``CORRUPT_ZIP`` to ``WRONG_ORDER`` belong to the archive: they make its file so, for as long as
    it is asked for, with a checksum that is right (but for a missing day, which has none), and
    count files, not requests. Those from ``DROP`` on strike frames of data on a socket, whose
    "path" is the exchange's id, a slash, and the subscription.
    """

    TOO_MANY_REQUESTS = "too_many_requests"
    """429, with Retry-After."""
    BANNED = "banned"
    """418, with Retry-After."""
    SERVER_ERROR = "server_error"
    """``status``, 503 where nothing else is said."""
    SLOW = "slow"
    """The right answer, ``seconds`` late."""
    STALL = "stall"
    """Nothing for ``seconds``, then the connection is cut."""
    CUT_BODY = "cut_body"
    """Half of the body that Content-Length announces."""
    RESET = "reset"
    """The connection is reset."""
    BAD_JSON = "bad_json"
    """The right status and half of the body, as if it were all; not in the archive."""
    BAD_CHECKSUM = "bad_checksum"
    """A checksum file that is of no file."""
    CORRUPT_ZIP = "corrupt_zip"
    """Not a zip file."""
    MISSING_DAY = "missing_day"
    """404, for the file and its checksum."""
    MISSING_ROW = "missing_row"
    DOUBLED_ROW = "doubled_row"
    CONFLICTING_ROW = "conflicting_row"
    """A row comes twice, with different volumes."""
    WRONG_ORDER = "wrong_order"
    """Two neighbours have changed places."""

    DROP = "drop"
    """The connection is cut."""
    STALLED_SOCKET = "stalled_socket"
    """The connection stays open and sends no data any more."""
    NO_DATA = "no_data"
    """The subscription, although acknowledged, sends nothing any more."""
    DUPLICATE = "duplicate"
    """The frame comes twice."""
    OUT_OF_ORDER = "out_of_order"
    """The frame comes after the next one."""
    GARBAGE = "garbage"
    """In its place comes a frame that is nothing of the exchange's, and no gzip either."""
    POLICY_CLOSE = "policy_close"
    """The exchange closes the connection with 1008."""
    TOKEN_EXPIRED = "token_expired"  # noqa: S105  # the name of a fault
    """The connection is cut, and every token that was handed out is refused."""
    SKIPPED_UPDATE = "skipped_update"
    """An update of an order book does not come."""
    BAD_BOOK_CHECKSUM = "bad_book_checksum"
    """The checksum of an order book is wrong, where it has one."""


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
"""The kinds that are in a file of the archive."""
ON_SOCKETS = frozenset(
    kind for kind in FaultKind if list(FaultKind).index(kind) >= list(FaultKind).index(FaultKind.DROP)
)
"""The kinds that strike frames."""


@dataclass
class Fault:
    """
    One thing that goes wrong for requests whose path and query hold the regular expression ``path``.

    The first ``after`` of these pass, ``times`` are struck (``None``: all that follow), each with
    ``probability``. ``retry_after`` is in seconds, ``rows`` is how many rows of a file are struck.
    ``used`` counts.
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
    """Which files were asked for so far, and whether they were struck."""

    def strikes(self, path: str, chance: random.Random) -> bool:
        """Whether it meets this request; counts it."""
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
        """Whether the file has it; once decided, that stays."""
        if file not in self.files:
            self.files[file] = self.strikes(file, chance)
        return self.files[file]


class Faults:
    """The faults in force, in order, and the dice of those that have a probability."""

    def __init__(self, faults: MutableSequence[Fault], seed: int) -> None:
        self.faults = faults
        self._seed = seed
        self._chance = random.Random(seed)  # noqa: S311  # dice, no secret

    def of_request(self, path: str, *, archive: bool) -> Fault | None:
        """The first that meets the request."""
        for fault in self.faults:
            if fault.kind in IN_FILES | ON_SOCKETS or not _concerns(fault.kind, path, archive=archive):
                continue
            if fault.strikes(path, self._chance):
                return fault
        return None

    def of_frame(self, name: str, kinds: AbstractSet[FaultKind]) -> Fault | None:
        """The first of those kinds that meets the frame of data."""
        return next((fault for fault in self.faults if fault.kind in kinds and fault.strikes(name, self._chance)), None)

    def of_file(self, file: str) -> list[Fault]:
        """All that are in a file of the archive."""
        return [fault for fault in self.faults if fault.kind in IN_FILES and fault.holds(file, self._chance)]

    def hide(self, file: str) -> bool:
        """Whether the file is known to be missing, or will be whenever it is asked for; counts nothing."""
        return any(
            fault.files.get(file, fault.times is None and fault.probability >= 1 and bool(re.search(fault.path, file)))
            for fault in self.faults
            if fault.kind is FaultKind.MISSING_DAY
        )

    def damage(self, lines: list[bytes], fault: Fault, file: str) -> list[bytes]:
        """The rows of a file with the fault in them; where, follows from the seed and the name."""
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
