"""Audit log of a live order book."""

from __future__ import annotations

from collections import deque
from enum import Enum

from msgspec import Struct

from chandlery.adapter.books import Fault, Outcome
from chandlery.core.time import Micros

MOST_ENTRIES = 1000
"""Number of latest entries that are stored."""


class AuditKind(Enum):
    """The kind of an audit entry."""

    VALID = "valid"
    """A snapshot and all later updates were applied."""
    GAP = "gap"
    """A message was missing."""
    BAD_CHECKSUM = "bad_checksum"
    CROSSED = "crossed"
    DISCONNECTED = "disconnected"
    SILENT = "silent"
    """The stream had no update for long although REST had."""
    OUTDATED = "outdated"
    """No message was received within the feed's age limit."""
    REFUSED = "refused"
    """The exchange refused the subscription, alone or with others."""
    FAILED = "failed"
    """Handling it raised an internal error."""


_OF_FAULT = {
    Outcome.GAP: AuditKind.GAP,
    Outcome.BAD_CHECKSUM: AuditKind.BAD_CHECKSUM,
    Outcome.CROSSED: AuditKind.CROSSED,
}


class AuditEntry(Struct, frozen=True):
    """
    One entry: time, kind, and for a fault the expected and the received id.

    ``invalid_ms`` of ``VALID`` is the number of milliseconds without a valid book before it.
    """

    at: Micros
    kind: AuditKind
    detail: str = ""
    expected: int | None = None
    came: int | None = None
    invalid_ms: float = 0.0


class BookAudit:
    """The audit log of one book: the latest entries, and the sums of all; times in microseconds."""

    def __init__(self, began: Micros) -> None:
        self.entries: deque[AuditEntry] = deque(maxlen=MOST_ENTRIES)
        self.gaps = 0
        self.checksum_failures = 0
        self.crossed = 0
        self.disconnects = 0
        self.failures = 0
        """Number of internal errors while handling it."""
        self.resyncs = 0
        """Number of times that the book became valid again."""
        self.renewals = 0
        """Number of times that a valid book was replaced by a new snapshot because prices had moved far."""
        self._invalid_since: Micros | None = began
        self._invalid: Micros = 0
        self._was_valid = False

    def invalid_ms(self, now: Micros) -> float:
        """Return the total number of milliseconds without a valid book until ``now``."""
        running = 0 if self._invalid_since is None else max(now - self._invalid_since, 0)
        return (self._invalid + running) / 1000

    def valid(self, now: Micros) -> None:
        """Record that the book is valid from ``now``."""
        if self._invalid_since is None:
            return
        lasted = max(now - self._invalid_since, 0)
        self._invalid += lasted
        self._invalid_since = None
        self.resyncs += self._was_valid
        self._was_valid = True
        self.entries.append(AuditEntry(now, AuditKind.VALID, invalid_ms=lasted / 1000))

    def fault(self, fault: Fault, now: Micros) -> None:
        """Record that the book became invalid by a fault in its messages."""
        kind = _OF_FAULT[fault.outcome]
        self.gaps += kind is AuditKind.GAP
        self.checksum_failures += kind is AuditKind.BAD_CHECKSUM
        self.crossed += kind is AuditKind.CROSSED
        self._invalid_from(now)
        self.entries.append(AuditEntry(now, kind, expected=fault.expected, came=fault.came))

    def lost(self, kind: AuditKind, detail: str, now: Micros) -> None:
        """Record that the book became invalid for another reason."""
        self.disconnects += kind is AuditKind.DISCONNECTED
        self.failures += kind is AuditKind.FAILED
        self._invalid_from(now)
        self.entries.append(AuditEntry(now, kind, detail))

    def _invalid_from(self, now: Micros) -> None:
        if self._invalid_since is None:
            self._invalid_since = now
