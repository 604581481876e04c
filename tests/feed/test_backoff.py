"""The waits between tries."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from chandlery.feed.backoff import FIRST_S, LONGEST_S, PACE, Pace, delays

seconds = st.floats(0.001, 1000)


@given(st.lists(st.floats(0, 1), min_size=20, max_size=20), seconds, seconds)
def test_each_lies_between_half_and_all_of_twice_the_one_before(dice, first_s, longest_s):
    """Whatever the dice say; and never above the longest."""
    rolls = iter(dice)
    found = list(islice(delays(lambda: next(rolls), first_s=first_s, longest_s=longest_s), 20))
    full = [min(first_s * 2**turn, longest_s) for turn in range(20)]

    assert all(whole / 2 <= wait <= whole for wait, whole in zip(found, full, strict=True))


def test_what_suits_exchanges():
    """Half a second at first, half a minute at most."""
    found = list(islice(PACE.delays(lambda: 1.0), 10))

    assert [FIRST_S, 1, 2, 4, 8, 16, LONGEST_S, LONGEST_S, LONGEST_S, LONGEST_S] == found


def test_a_pace_of_ones_own():
    """Its waits are its own."""
    assert [0.5, 1.0, 1.0] == list(islice(Pace(first_delay_s=1, longest_delay_s=2).delays(lambda: 0.0), 3))
