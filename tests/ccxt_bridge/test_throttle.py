"""Calls with a pause between their starts."""

from __future__ import annotations

import itertools
import math
import os
import threading
import time
from functools import partial

import pytest

from chandlery.ccxt_bridge.throttle import Throttle, exchange_of
from chandlery.core.errors import InvalidInput


class Exchange:
    """As much of an exchange as a throttle looks at."""

    def __init__(self, name, *, rate_limit=0):
        self.id, self.chandlery_host, self.rateLimit = name, f"api.{name}.test", rate_limit
        self.calls = []

    def call(self, value=None, *, seconds=0.0):
        self.calls.append((time.monotonic(), value))
        threading.Event().wait(seconds)
        return value


def test_arguments_and_results_pass(limiter):
    """It calls with what it is given, and gives what comes back."""
    throttle = Throttle(limiter, 0)

    assert ((1, 2), {"three": 3}) == throttle.throttled_call(lambda *args, **kwargs: (args, kwargs), 1, 2, three=3)
    assert 7 == throttle.throttled_call(Exchange("a").call, 7)


def test_calls_to_an_exchange_begin_apart(limiter):
    """Between the starts of calls to one exchange lies the pause, however many threads call."""
    exchange = Exchange("a")
    throttle = Throttle(limiter, 0.05)
    threads = [threading.Thread(target=throttle.throttled_call, args=(exchange.call,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    starts = sorted(at for at, _ in exchange.calls)

    assert all(later - earlier >= 0.045 for earlier, later in itertools.pairwise(starts))


def test_exchanges_do_not_wait_for_each_other(limiter):
    """Three calls of a second on three exchanges take about one second: nothing is held during a call."""
    throttle = Throttle(limiter, 0.5)
    exchanges = [Exchange(name) for name in "abc"]
    began = time.monotonic()
    threads = [threading.Thread(target=partial(throttle.throttled_call, each.call, seconds=1.0)) for each in exchanges]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1.0 <= time.monotonic() - began < 1.5


def test_a_long_call_does_not_delay_the_next(limiter):
    """The pause lies between starts: calls that last longer overlap."""
    throttle = Throttle(limiter, 0.05)
    exchange = Exchange("a")
    began = time.monotonic()
    threads = [threading.Thread(target=partial(throttle.throttled_call, exchange.call, seconds=0.5)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert time.monotonic() - began < 1.2


def test_who_asks_first_is_served_first(limiter):
    """Calls begin in the order in which they were made, also where the machine oversleeps by less than the pause."""
    throttle = Throttle(limiter, 0.15)
    exchange = Exchange("a")
    lane = throttle._lanes[os.getpid(), "api.a.test/a"]
    threads = []
    for place in range(12):
        threads.append(threading.Thread(target=throttle.throttled_call, args=(exchange.call, place)))
        threads[-1].start()
        for _ in range(1000):
            if len(lane._waiters or ()) + lane.locked() + len(exchange.calls) > place:
                break
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join()

    assert list(range(12)) == [value for _, value in exchange.calls]


def test_two_throttles_share_an_exchange_s_pause(limiter):
    """Managers of one process, as all processes, keep the pause together, through the one limiter."""
    exchange = Exchange("a")
    for throttle in (Throttle(limiter, 0.1), Throttle(limiter, 0.1), Throttle(limiter, 0.1)):
        throttle.throttled_call(exchange.call)
    starts = [at for at, _ in exchange.calls]

    assert starts[2] - starts[0] >= 0.19


def test_without_a_pause_it_is_the_exchange_s_own(limiter):
    """``None`` stands for what ccxt knows of the exchange, and for no pause with any other function."""
    throttle = Throttle(limiter, None)
    exchange = Exchange("a", rate_limit=100)
    for _ in range(3):
        throttle.throttled_call(exchange.call)
        throttle.throttled_call(lambda: None)
    starts = [at for at, _ in exchange.calls]

    assert starts[2] - starts[0] >= 0.19


@pytest.mark.parametrize("pause", [-1, math.nan, math.inf])
def test_pauses_that_are_none(limiter, pause):
    """A pause that is no number of seconds is refused, and the one before stays."""
    with pytest.raises(InvalidInput, match="use 0 or more seconds"):
        Throttle(limiter, pause)
    throttle = Throttle(limiter, 0.5)
    with pytest.raises(InvalidInput):
        throttle.request_pause = pause

    assert 0.5 == throttle.request_pause


def test_other_errors_pass_as_they_are(limiter):
    """What is not ccxt's is nobody's to translate."""
    error = ValueError("mine")

    def fail():
        raise error

    with pytest.raises(ValueError, match="mine") as caught:
        Throttle(limiter, 0).throttled_call(fail)

    assert caught.value is error


def test_whose_method_it_is():
    """An exchange is found behind its method, also behind partial ones; other functions have none."""
    exchange = Exchange("a")

    assert exchange_of(exchange.call) is exchange
    assert exchange_of(partial(partial(exchange.call, 1), seconds=0)) is exchange
    assert exchange_of(len) is None
    assert exchange_of([].append) is None
