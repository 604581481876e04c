"""How long a feed waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

FIRST_S = 0.5
LONGEST_S = 30.0


def delays(random: Callable[[], float], *, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> Iterator[float]:
    """
    Seconds before each next try: twice as many each time, each between half of that and all of it.

    ``random`` gives numbers from 0 to 1.
    """
    wait_s = min(first_s, longest_s)
    while True:
        yield wait_s * (0.5 + random() / 2)
        wait_s = min(wait_s * 2, longest_s)


class Pace(Struct, frozen=True):
    """How patient a feed is, in seconds."""

    first_delay_s: float = FIRST_S
    """About how long it waits before the second try."""
    longest_delay_s: float = LONGEST_S
    """How long at most before any."""
    stable_s: float = 10.0
    """For how long data must flow before the waits between tries begin anew."""
    watch_every_s: float = 1.0
    """How often it looks whether something is late or silent."""
    grace_s: float = 2.0
    """How much later than by REST a socket may tell of something before it is fetched."""
    quiet_s: float = 30.0
    """How long the shortest silence is that is looked into."""
    overlap_s: float = 10.0
    """How long an old connection waits at most for data on the one that replaces it."""
    welcome_s: float = 10.0
    """How long an exchange that welcomes connections may take for it."""
    verdict_s: float = 2.0
    """How soon after a subscription a connection closes, or a refusal comes, that is about it."""
    refused_s: float = 60.0
    """After about how long a subscription that was refused is tried again."""
    rotate_again_s: float = 60.0
    """After how long a connection that could not be replaced is tried again to be."""

    def delays(self, random: Callable[[], float]) -> Iterator[float]:
        """The waits between tries."""
        return delays(random, first_s=self.first_delay_s, longest_s=self.longest_delay_s)


PACE = Pace()
"""What suits exchanges."""
