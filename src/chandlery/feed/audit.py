"""What happened to a live order book."""

from __future__ import annotations

from collections import deque
from enum import Enum

from msgspec import Struct

from chandlery.adapter.books import Fault, Outcome
from chandlery.core.time import Micros

MOST_ENTRIES = 1000
"""How many of the latest entries are kept."""


class AuditKind(Enum):
    """What there is to say about a book."""

    VALID = "valid"
    """A snapshot was applied, and all that belongs after it."""
    GAP = "gap"
    """A message was missing."""
    BAD_CHECKSUM = "bad_checksum"
    CROSSED = "crossed"
    DISCONNECTED = "disconnected"
    SILENT = "silent"
    """The stream had nothing new for long although REST had."""
    OUTDATED = "outdated"
    """No message came for as long as the feed allows."""
    REFUSED = "refused"
    """The exchange refused the subscription, alone or with others."""
    FAILED = "failed"
    """Handling it raised an error that is none of the exchange's."""


_OF_FAULT = {
    Outcome.GAP: AuditKind.GAP,
    Outcome.BAD_CHECKSUM: AuditKind.BAD_CHECKSUM,
    Outcome.CROSSED: AuditKind.CROSSED,
}


class AuditEntry(Struct, frozen=True):
    """
    One line: when, what, and of a fault which id was expected and which came.

    ``invalid_ms`` of ``VALID`` says for how many milliseconds there was no valid book before it.
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
        """How often handling it raised an error that is none of the exchange's."""
        self.resyncs = 0
        """How often a book became valid again."""
        self.renewals = 0
        """How often a valid book was replaced by one of a new snapshot, since prices had moved far."""
        self._invalid_since: Micros | None = began
        self._invalid: Micros = 0
        self._was_valid = False

    def invalid_ms(self, now: Micros) -> float:
        """For how many milliseconds there was no valid book until ``now``, all in all."""
        running = 0 if self._invalid_since is None else max(now - self._invalid_since, 0)
        return (self._invalid + running) / 1000

    def valid(self, now: Micros) -> None:
        """The book is valid from now on."""
        if self._invalid_since is None:
            return
        lasted = max(now - self._invalid_since, 0)
        self._invalid += lasted
        self._invalid_since = None
        self.resyncs += self._was_valid
        self._was_valid = True
        self.entries.append(AuditEntry(now, AuditKind.VALID, invalid_ms=lasted / 1000))

    def fault(self, fault: Fault, now: Micros) -> None:
        """The book is not valid any more, for a reason that its messages gave."""
        kind = _OF_FAULT[fault.outcome]
        self.gaps += kind is AuditKind.GAP
        self.checksum_failures += kind is AuditKind.BAD_CHECKSUM
        self.crossed += kind is AuditKind.CROSSED
        self._invalid_from(now)
        self.entries.append(AuditEntry(now, kind, expected=fault.expected, came=fault.came))

    def lost(self, kind: AuditKind, detail: str, now: Micros) -> None:
        """The book is not valid any more, since nothing comes."""
        self.disconnects += kind is AuditKind.DISCONNECTED
        self.failures += kind is AuditKind.FAILED
        self._invalid_from(now)
        self.entries.append(AuditEntry(now, kind, detail))

    def _invalid_from(self, now: Micros) -> None:
        if self._invalid_since is None:
            self._invalid_since = now
