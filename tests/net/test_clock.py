"""The machine's clock."""

from __future__ import annotations

import time

from chandlery.net.clock import system_clock


def test_it_tells_microseconds():
    """Now, since 1970."""
    before = time.time_ns() // 1000

    assert before <= system_clock() <= time.time_ns() // 1000
