"""The machine's clock; everything else is given a clock as an argument."""

from __future__ import annotations

import time

from chandlery.core.time import Micros


def system_clock() -> Micros:
    """What time the machine believes it is."""
    return time.time_ns() // 1000
