"""Trying again."""

from __future__ import annotations

import time

import pytest

from chandlery.core.errors import ExchangeUnavailable, InvalidInput
from chandlery.net.retry import retried
from chandlery.testing import no_waiting


def failing(times, error):
    """Something that fails so many times, and how often it was called."""
    calls = []

    async def attempt():
        calls.append(time.monotonic())
        if len(calls) <= times:
            raise error
        return "done"

    return attempt, calls


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_what_may_pass_is_tried_again(times):
    """As often as is allowed, and not once more than needed."""
    attempt, calls = failing(times, ExchangeUnavailable("down"))
    with no_waiting():
        assert "done" == await retried(attempt, lambda _: True, 3)

    assert times + 1 == len(calls)


async def test_the_last_error_is_raised():
    """After the last try its error comes out as it is."""
    error = ExchangeUnavailable("down")
    attempt, calls = failing(9, error)
    with no_waiting(), pytest.raises(ExchangeUnavailable) as caught:
        await retried(attempt, lambda _: True, 2)

    assert caught.value is error
    assert 3 == len(calls)


async def test_what_does_not_pass_is_raised_at_once():
    """An error that ``on`` refuses is not tried again."""
    attempt, calls = failing(9, InvalidInput("no"))
    with pytest.raises(InvalidInput):
        await retried(attempt, lambda _: False, 5)

    assert 1 == len(calls)


async def test_a_named_pause_is_kept():
    """Where ``on`` names seconds, so long passes before the next try."""
    attempt, calls = failing(1, ExchangeUnavailable("down"))
    await retried(attempt, lambda _: 0.3, 1)

    assert 0.3 <= calls[1] - calls[0] < 1.5


async def test_each_retry_is_logged_with_its_attempt(caplog):
    """The reason, the number of the attempt and the pause; the last failure is raised, and not logged."""
    attempt, _ = failing(9, ExchangeUnavailable("GET x.test/a: HTTP 503"))
    with no_waiting(), pytest.raises(ExchangeUnavailable):
        await retried(attempt, lambda _: 0.25, 2)

    assert [
        ("chandlery.net", "GET x.test/a: HTTP 503; attempt 1 of 3, the next in 0.2 s", True),
        ("chandlery.net", "GET x.test/a: HTTP 503; attempt 2 of 3, the next in 0.2 s", True),
    ] == [(each.name, each.getMessage(), each.repeats) for each in caplog.records]
