"""How long the event loop keeps its callbacks waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

EVERY_S = 0.1
"""How often it is measured."""


async def measured(observe: Callable[[float], object], every_s: float = EVERY_S) -> None:
    """Tell ``observe``, every so often, how many seconds later than it was due the event loop has called back; never ends."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        observe(max(loop.time() - due, 0.0))
