"""The capability matrix says what the adapters declare."""

from __future__ import annotations

import msgspec
import pytest

from chandlery.adapter.capabilities import all_capabilities, capabilities
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import UnknownName
from chandlery.core.interval import Interval


def test_the_matrix_is_whole():
    """A row for every exchange, in order of their ids."""
    assert ExchangeRegistry.names() == [row.id for row in all_capabilities()]


@pytest.mark.parametrize("exchange", ExchangeRegistry.names())
def test_a_row_is_what_the_adapter_declares(exchange):
    """Intervals, bounds, books and what could not be verified."""
    row, adapter = capabilities(exchange), ExchangeRegistry.get(exchange)

    assert [Interval(each) for each in row.intervals] == list(adapter.intervals)
    assert [Interval(each) for each in row.live_intervals] == list(adapter.live_intervals)
    assert (row.book_check is None) == (not row.book_depths) == (adapter.book_rule is None)
    assert adapter.unverified == row.unverified
    assert row.to_dict() == msgspec.json.decode(msgspec.json.encode(row), type=dict) | {
        name: tuple(value) for name, value in row.to_dict().items() if isinstance(value, tuple)
    }


def test_an_unknown_exchange_is_refused():
    """With the names that there are."""
    with pytest.raises(UnknownName, match="binance_spot"):
        capabilities("nowhere_spot")
