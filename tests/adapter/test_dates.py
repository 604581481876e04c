"""Dates in lists of instruments."""

from __future__ import annotations

import pytest

from chandlery.adapter.dates import stated
from chandlery.core.time import Unit


@pytest.mark.parametrize("value", [None, 0, "", "0", 4_133_404_800_000])
def test_no_date(value):
    """Missing, or how Binance writes that a perpetual does not expire."""
    assert stated(value) is None


def test_a_date():
    """As a number or a text, in the unit of the exchange."""
    assert 1_585_526_400_000_000 == stated(1_585_526_400_000) == stated("1585526400000")
    assert 1_585_526_400_000_000 == stated(1_585_526_400, Unit.SECONDS)
