"""The random numbers: had for any moment at once."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chandlery.sim import noise


@settings(deadline=None)
@given(st.integers(0, 2**26), st.integers(1, 3000), st.integers(0, 2999))
def test_a_step_is_the_same_alone_and_in_a_crowd(start, count, place):
    """The curve at a step does not depend on the range in which it is asked for, to the last bit."""
    key = noise.key("a", 1)
    place %= count

    assert noise.walk(key, start, count)[place] == noise.walk(key, start + place, 1)[0]


def test_the_curve_stays_near_one():
    """Over ten years of minutes between 0.3 and 1.7, and it does move."""
    curve = noise.walk(noise.key("b"), 25_000_000, 1_000_000)

    assert 0.3 < curve.min() < curve.max() < 1.7
    assert curve.max() - curve.min() > 0.2


def test_bits_are_even_and_keys_differ():
    """Each of the four sixteen-bit numbers has the mean of even chances; another key gives other bits."""
    counters = np.arange(100_000)
    random = noise.bits(noise.key("c"), counters)

    for place in range(4):
        assert abs(noise.sixteen(random, place).mean() - 32_767.5) < 300
    assert noise.key("c") != noise.key("c", "")
    assert (noise.bits(noise.key("d"), counters) != random).all()
