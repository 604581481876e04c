"""Telling who waits for a request what holds it up."""

from __future__ import annotations

import asyncio

import pytest

from chandlery.core.errors import ExchangeUnavailable, RateLimited
from chandlery.core.http import RateLimit
from chandlery.net.delays import delays_to, report_delay
from chandlery.net.limiter import RateLimiter
from chandlery.net.retry import retried
from chandlery.testing import no_waiting


async def test_each_failed_attempt_is_told_to_the_task_that_waits():
    """To nobody else, and to nobody after the wait."""
    errors = [ExchangeUnavailable(f"attempt {number}") for number in range(1, 4)]
    left, told, other = [*errors], [], []

    async def attempt():
        if left:
            raise left.pop(0)
        return "done"

    async def elsewhere():
        with delays_to(other.append):
            await asyncio.sleep(0)

    async def wait():
        with delays_to(told.append), no_waiting():
            return await retried(attempt, lambda _: True, 5)

    assert ["done", None] == await asyncio.gather(wait(), elsewhere())
    assert (errors, []) == (told, other)
    report_delay(errors[0])
    assert errors == told


async def test_a_long_wait_for_the_limits_is_told(tmp_path):
    """With the host and how long it lasts; a short one is not worth a word."""
    now, told = [10**15], []

    async def sleep(seconds):
        now[0] += round(seconds * 1e6)

    limiter = RateLimiter(tmp_path, clock=lambda: now[0], sleep=sleep)
    with delays_to(told.append):
        for _ in range(3):
            await limiter.acquire("a.example:443", (RateLimit(1, 0.5),))
        assert [] == told
        limiter.pause("a.example:443", 30.0)
        await limiter.acquire("a.example:443", ())

    assert ["a.example:443 accepts requests again in 30.0 s"] == [*map(str, told)]
    assert told[0].retry_after_s == pytest.approx(30.0)
    assert isinstance(told[0], RateLimited)
