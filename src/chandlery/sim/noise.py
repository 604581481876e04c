"""Pseudorandom market movements for any time: stateless hashes of counters."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Bits: TypeAlias = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)

_OCTAVES = (
    (20, 0.200),
    (18, 0.180),
    (16, 0.120),
    (14, 0.080),
    (12, 0.050),
    (10, 0.030),
    (8, 0.016),
    (6, 0.008),
    (4, 0.004),
    (2, 0.002),
    (0, 0.001),
)
"""Period as a power of two, and amplitude. The amplitudes sum to less than 0.7, so that prices stay positive."""


def key(*parts: Any) -> np.uint64:
    """Return a distinct number for each combination of parts."""
    text = "\0".join(map(str, parts))
    return np.uint64(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little"))


def bits(of: np.uint64, counters: Integers) -> Bits:
    """Return 64 random bits for each counter (splitmix64)."""
    mixed = counters.astype(np.uint64) * _GOLDEN + of
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    return mixed ^ (mixed >> np.uint64(31))


def sixteen(random: Bits, place: int) -> Integers:
    """Return the ``place``-th of the four 16-bit numbers in each 64 bits."""
    return ((random >> np.uint64(16 * place)) & np.uint64(0xFFFF)).astype(np.int64)


def walk(of: np.uint64, start: int, count: int, octaves: Sequence[tuple[int, float]] = _OCTAVES) -> Floats:
    """
    Return a curve around 1, between 0.3 and 1.7, at ``start`` and the next ``count - 1`` steps.

    Other ``octaves`` make another curve; each is a period as a power of two, and an amplitude. The curve uses only
    additions and multiplications, which are bit-identical on every machine and for any split of a range; an exponential
    is not.
    """
    steps = np.arange(start, start + count, dtype=np.int64)
    curve = np.ones(count)
    for shift, amplitude in octaves:
        first = start >> shift
        points = np.arange(first, ((start + count - 1) >> shift) + 2, dtype=np.int64)
        octave = np.uint64((int(of) + shift) % 2**64)
        lattice = (bits(octave, points) >> np.uint64(11)).astype(np.float64) * (2.0 * amplitude / 2**53) - amplitude
        at = (steps >> shift) - first
        fraction = (steps & ((1 << shift) - 1)) * (1.0 / (1 << shift))
        left = lattice[at]
        curve += left + (lattice[at + 1] - left) * fraction
    return curve
