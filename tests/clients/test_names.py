"""One name for each exchange."""

from __future__ import annotations

import pytest

from chandlery.clients.names import PRIORITY, canonical, other_names


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("huobi", "htx"),
        ("HTX", "htx"),
        (" Binance ", "binance"),
        ("gate_io", "gate"),
        ("gateio", "gate"),
        ("crypto_com", "cryptocom"),
        ("okex", "okx"),
        ("acme", "acme"),
    ],
)
def test_spellings_are_one(spelled, name):
    """Every published spelling of an exchange is one name; case and spaces do not count."""
    assert name == canonical(spelled)


def test_other_names_lead_back():
    """The other spellings of a name are spellings of it, and a name without any has none."""
    assert ("huobi",) == other_names("htx")
    assert () == other_names("binance")
    assert {"htx"} == {canonical(each) for each in other_names("htx")}


def test_the_priority_is_of_canonical_names():
    """The default order names each exchange as everything else does, once."""
    assert [canonical(each) for each in PRIORITY] == list(PRIORITY)
    assert len(set(PRIORITY)) == len(PRIORITY)
