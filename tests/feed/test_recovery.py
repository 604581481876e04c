"""Starting again what has failed."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from chandlery.core.errors import (
    AuthenticationFailed,
    ExchangeUnavailable,
    InvalidSymbol,
    MalformedResponse,
    NotFound,
    RateLimited,
    RequestRejected,
)
from chandlery.feed.backoff import Pace
from chandlery.feed.recovery import Waits, described, is_final, isolated, kept_up, named_in

PACE = Pace(first_delay_s=1.0, longest_delay_s=4.0, stable_s=10.0)


def waits():
    return Waits(PACE, lambda: 1.0)


def test_pauses_grow_until_it_has_been_stable():
    """Failures in a row wait longer and longer; after a stable time they begin anew."""
    made = waits()

    assert [1.0, 2.0, 4.0, 4.0] == [made.next_s(now) for now in (100.0, 102.0, 105.0, 110.0)]
    assert 1.0 == made.next_s(124.1)


def test_reports_are_as_rare_as_the_pauses():
    """Of many failures only those are reported that come after a pause."""
    made = waits()

    assert [100.0, 101.0, 103.0, 107.0] == [
        now for now in (100.0, 100.5, 101.0, 102.0, 103.0, 106.9, 107.0) if made.is_over(now)
    ]


class Runs:
    """Raises what it is given, one each time, then waits for ever."""

    def __init__(self, *errors):
        self.errors = [*errors]
        self.slept = []
        self.noted = []
        self.stays = asyncio.Event()

    async def __call__(self):
        if self.errors:
            error = self.errors.pop(0)
            if error is None:
                return
            raise error
        self.stays.set()
        await asyncio.Event().wait()

    async def sleep(self, seconds):
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def kept_up(self):
        return kept_up(self, name="it", waits=waits(), sleep=self.sleep, on_failure=self.noted.append)


async def test_what_fails_is_run_again():
    """After growing pauses, whatever it raises, a cancellation of something inside included."""
    errors = KeyError("btcusdt"), ExchangeUnavailable("cut"), asyncio.CancelledError()
    runs = Runs(*errors)
    task = asyncio.create_task(runs.kept_up())
    await asyncio.wait_for(runs.stays.wait(), 5)

    assert [1.0, 2.0, 4.0] == runs.slept
    assert [*errors] == runs.noted
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_returns_has_ended():
    """It is not run again."""
    runs = Runs(ValueError("once"), None)
    await asyncio.wait_for(runs.kept_up(), 5)

    assert [1.0] == runs.slept


async def test_a_job_that_fails_is_logged(caplog):
    """Nobody else hears of it."""

    async def fail():
        raise KeyError("x")

    await isolated(fail, name="unsubscribing")

    assert "unsubscribing failed" in caplog.text
    assert "KeyError" in caplog.text


@pytest.mark.parametrize(
    ("message", "symbol"),
    [
        (b'{"s":"BTCUSDT","p":1}', "BTCUSDT"),
        (b'{"topic":"orderbook.50.ETHUSDT"}', "ETHUSDT"),
        (b'{"s":"1000BTCUSDT"}', None),
        (b'{"s":"BTCUSDT","t":"ETHUSDT"}', None),
        (b'{"s":"XBTCUSDT","t":"BTCUSDT"}', "BTCUSDT"),
        (b"BTCUSDT", "BTCUSDT"),
        (b"", None),
    ],
)
def test_the_symbol_that_a_message_names(message, symbol):
    """As a word of its own, and only where there is a single one."""
    assert symbol == named_in(message, ["BTCUSDT", "ETHUSDT"])


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (NotFound("404", status=404), True),
        (RequestRejected("451", status=451), True),
        (AuthenticationFailed("401", status=401), True),
        (InvalidSymbol("BTCUSD"), True),
        (ExchangeUnavailable("no such host"), False),
        (RateLimited("429"), False),
        (MalformedResponse("?"), False),
        (KeyError("ours"), False),
    ],
)
def test_which_errors_are_final(error, final):
    """Those by which the exchange refuses for good; none of what has worked before."""
    assert final is is_final(error, began=False)
    assert not is_final(error, began=True)


def test_errors_are_described_with_their_type_unless_they_are_ours():
    """Ours say all that there is to say."""
    assert ("cut", "KeyError: 'a'") == (described(ExchangeUnavailable("cut")), described(KeyError("a")))


def test_pauses_follow_the_pace():
    """A feed's own pace is what they are made of."""
    assert 0.5 == Waits(structs.replace(PACE, first_delay_s=0.5), lambda: 1.0).next_s(1000.0)
