"""Delays and time limits of a feed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

FIRST_S = 0.5
LONGEST_S = 30.0


def delays(random: Callable[[], float], *, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> Iterator[float]:
    """
    Yield the seconds before each retry: doubled each time, and randomly reduced by up to half.

    ``random`` returns numbers from 0 to 1.
    """
    wait_s = min(first_s, longest_s)
    while True:
        yield wait_s * (0.5 + random() / 2)
        wait_s = min(wait_s * 2, longest_s)


class Pace(Struct, frozen=True):
    """The delays and time limits of a feed, in seconds."""

    first_delay_s: float = FIRST_S
    """Approximate delay before the first retry."""
    longest_delay_s: float = LONGEST_S
    """Longest delay before any retry."""
    stable_s: float = 10.0
    """Time that data must flow before the backoff resets."""
    watch_every_s: float = 1.0
    """Interval between checks for late or silent series."""
    grace_s: float = 2.0
    """Time that a socket may lag behind REST before candles are fetched."""
    quiet_s: float = 30.0
    """Shortest silence that is investigated."""
    overlap_s: float = 10.0
    """Longest time that an old connection waits for data on its replacement."""
    welcome_s: float = 10.0
    """Time limit of the exchange's welcome message."""
    verdict_s: float = 2.0
    """Time after a subscription within which a close or a refusal is attributed to it."""
    refused_s: float = 60.0
    """Approximate delay before a refused subscription is retried."""
    rotate_again_s: float = 60.0
    """Delay before the next attempt to replace a connection."""

    def delays(self, random: Callable[[], float]) -> Iterator[float]:
        """Yield the delays between retries."""
        return delays(random, first_s=self.first_delay_s, longest_s=self.longest_delay_s)


PACE = Pace()
"""Default values for exchanges."""
