"""What a user's function raises."""

from __future__ import annotations

import asyncio

from chandlery.feed.backoff import Pace
from chandlery.feed.callback import CallbackErrors
from chandlery.feed.events import Failed
from chandlery.feed.recovery import Waits


async def test_it_is_counted_and_reported_now_and_then():
    """Each is counted; the first is reported to the loop and to readers, those right after it are not."""
    reported, told = [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    errors = CallbackErrors("binance_spot BTCUSDT", Waits(Pace(), lambda: 1.0), told.append)
    for _ in range(3):
        errors(ZeroDivisionError("by zero"))

    assert 3 == errors.count
    assert [Failed("on_update: ZeroDivisionError: by zero", 1)] == told
    assert 1 == len(reported)
    assert isinstance(reported[0]["exception"], ZeroDivisionError)
    assert "binance_spot BTCUSDT: on_update failed" in reported[0]["message"]
