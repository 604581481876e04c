"""Dates in lists of instruments."""

from __future__ import annotations

import pytest

from chandlery.adapter.dates import day_stated, lasting, stated
from chandlery.core.time import HOUR, MINUTE, Unit


@pytest.mark.parametrize("value", [None, 0, "", "0", "²", 4_133_404_800_000])
def test_no_date(value):
    """Missing, or how Binance writes that a perpetual does not expire."""
    assert stated(value) is None


def test_a_date():
    """As a number or a text, in the unit of the exchange."""
    assert 1_585_526_400_000_000 == stated(1_585_526_400_000) == stated("1585526400000")
    assert 1_585_526_400_000_000 == stated(1_585_526_400, Unit.SECONDS)


def test_a_day_and_a_length():
    """A day as digits; a length in the unit of the exchange; nothing else."""
    assert 1_636_675_200_000_000 == day_stated("20211112")
    assert [None] * 4 == [day_stated(each) for each in (None, "", "20211399", "soon")]
    assert [8 * HOUR, None, None] == [lasting(each, MINUTE) for each in (480, 0, None)]
