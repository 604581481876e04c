"""How late the event loop calls back."""

from __future__ import annotations

import asyncio
import time

from chandlery.service.loop_lag import measured
from fixtures.waiting import until


async def test_what_holds_up_the_loop_shows():
    """A callback of 0.3 s; before it there is next to none."""
    lags = []
    task = asyncio.create_task(measured(lags.append, 0.01))
    await until(lambda: len(lags) >= 5)
    quiet = min(lags)
    lags.clear()
    until_s = time.perf_counter() + 0.3
    while time.perf_counter() < until_s:
        pass
    await until(lambda: lags)
    task.cancel()
    await asyncio.wait({task})

    assert quiet < 0.05
    assert 0.25 < max(lags) < 5
