"""A bounded table of what was used last."""

from __future__ import annotations

import pytest

from chandlery.core.recent import Recent


def test_a_value_is_made_once_until_others_were_used_more_recently():
    """Of three keys in a table of two, the one whose use is longest ago is made again."""
    made = []
    recent = Recent(2)

    def get(key):
        return recent.get(key, lambda: made.append(key) or key.upper())

    assert ["A", "B", "A", "C", "A", "B"] == [get(key) for key in "abacab"]
    assert ["a", "b", "c", "b"] == made
    assert 2 == len(recent)


def test_what_could_not_be_made_is_not_in_the_table():
    """The next call tries again."""
    recent = Recent(2)

    with pytest.raises(ZeroDivisionError):
        recent.get("a", lambda: 1 / 0)
    assert 0 == len(recent)
    assert 7 == recent.get("a", lambda: 7)
