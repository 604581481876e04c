"""Event loop lag: the delay of callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

EVERY_S = 0.1
"""Interval between measurements."""


async def measured(observe: Callable[[float], object], every_s: float = EVERY_S) -> None:
    """Report the event loop lag in seconds to ``observe`` at regular intervals; never returns."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        observe(max(loop.time() - due, 0.0))
