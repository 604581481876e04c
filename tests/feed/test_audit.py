"""The audit log of a book: what is counted, and for how long there was none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chandlery.adapter.books import Fault, Outcome
from chandlery.feed.audit import MOST_ENTRIES, AuditKind, BookAudit

T0 = 1_700_000_000_000_000


def test_what_happens_is_written_down_and_counted():
    """Each fault has a line with what was expected and what came, each recovery one with how long it took."""
    audit = BookAudit(T0)
    audit.valid(T0 + 1500)
    audit.fault(Fault(Outcome.GAP, 7, 9), T0 + 10_000)
    audit.fault(Fault(Outcome.GAP, 7, 10), T0 + 11_000)
    audit.valid(T0 + 12_000)
    audit.fault(Fault(Outcome.BAD_CHECKSUM, 1, 2), T0 + 20_000)
    audit.valid(T0 + 20_500)
    audit.lost(AuditKind.DISCONNECTED, "cut", T0 + 30_000)

    assert ["valid", "gap", "gap", "valid", "bad_checksum", "valid", "disconnected"] == [
        entry.kind.value for entry in audit.entries
    ]
    assert [1.5, 0.0, 0.0, 2.0, 0.0, 0.5, 0.0] == [entry.invalid_ms for entry in audit.entries]
    assert (7, 9) == (audit.entries[1].expected, audit.entries[1].came)
    assert (2, 1, 0, 1, 2) == (audit.gaps, audit.checksum_failures, audit.crossed, audit.disconnects, audit.resyncs)
    assert 4.0 == audit.invalid_ms(T0 + 30_000)
    assert 14.0 == audit.invalid_ms(T0 + 40_000)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10_000)), max_size=30))
def test_the_time_without_a_book_adds_up(steps):
    """However valid and invalid follow each other, the sum is that of the stretches without a book."""
    audit, now, valid, without = BookAudit(T0), T0, False, 0
    for becomes_valid, wait in steps:
        now += wait
        without += 0 if valid else wait
        if becomes_valid:
            audit.valid(now)
        else:
            audit.fault(Fault(Outcome.CROSSED), now)
        valid = becomes_valid

    assert without / 1000 == audit.invalid_ms(now)
    assert sum(not becomes for becomes, _ in steps) == audit.crossed


def test_the_log_is_bounded():
    """The latest entries are kept, the sums count all."""
    audit = BookAudit(T0)
    for number in range(MOST_ENTRIES + 50):
        audit.fault(Fault(Outcome.GAP, number, number + 2), T0 + number)

    assert (MOST_ENTRIES, MOST_ENTRIES + 50) == (len(audit.entries), audit.gaps)
