"""The record of restatements only grows, by whole lines."""

from __future__ import annotations

from chandlery.cache import ledger


def test_lines_come_back_in_the_order_in_which_they_were_added(tmp_path):
    """Before the first there are none."""
    assert [] == ledger.lines(tmp_path)

    ledger.append(tmp_path, b'{"a": 1}')
    ledger.append(tmp_path, b'{"b": 2}')

    assert [b'{"a": 1}', b'{"b": 2}'] == ledger.lines(tmp_path)


def test_a_line_that_was_left_half_does_not_spoil_the_next(tmp_path):
    """As a process leaves it that is killed while it writes."""
    (tmp_path / ledger.LEDGER).write_bytes(b'{"a": 1}\n{"b"')

    ledger.append(tmp_path, b'{"c": 3}')

    assert [b'{"a": 1}', b'{"b"', b'{"c": 3}'] == ledger.lines(tmp_path)
