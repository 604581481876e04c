"""Order books as they are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import CorruptStorage, InvalidInput
from chandlery.database.raw import BookSnapshot, decode, encode

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
LEVELS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30)
IDS = st.integers(-(2**63) + 1, 2**63 - 1)
SNAPSHOTS = st.builds(BookSnapshot, LEVELS, LEVELS, IDS, st.none() | IDS, st.none() | IDS)


@given(SNAPSHOTS)
def test_what_was_encoded_is_decoded(snapshot):
    """Every digit of every number, and what was not there is not there."""
    assert snapshot == decode(encode(snapshot))


@given(SNAPSHOTS, st.data())
def test_damage_is_noticed(snapshot, data):
    """A changed or missing byte anywhere is an error of ours, never another book."""
    whole = encode(snapshot)
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    for broken in (changed, whole[:at]):
        with pytest.raises(CorruptStorage):
            decode(broken)


@given(st.binary(max_size=200))
def test_anything_else_is_no_book(content):
    """Neither is what was never one."""
    with pytest.raises(CorruptStorage):
        decode(content)


def test_a_book_takes_a_third_of_its_numbers():
    """A thousand levels a side, of prices on a grid and random sizes with three digits."""
    dice = np.random.default_rng(7)
    sizes = dice.integers(1, 100_000, 2000) / 1000
    bids = [(50_000 - level / 100, size) for level, size in enumerate(sizes[:1000].tolist())]
    asks = [(50_001 + level / 100, size) for level, size in enumerate(sizes[1000:].tolist())]

    assert len(encode(BookSnapshot(bids, asks, 1))) < 2000 * 16 / 2


def test_an_id_that_does_not_fit_is_refused():
    """Not cut off."""
    with pytest.raises(InvalidInput, match="64 bits"):
        encode(BookSnapshot([], [], 1, sequence=2**64))
