"""How often a login may fail."""

from __future__ import annotations

import pytest

from chandlery.core.errors import TooManyLogins
from chandlery.service.auth.logins import FREE_FAILURES, FailedLogins


def fail(logins, times, client="c", address="a"):
    """Fail so many times, as often as it is let through."""
    for _ in range(times):
        logins.check(client, address)
        logins.failed(client, address)


def test_pauses_grow(clock):
    """After some failures each further one costs twice the time, up to a quarter of an hour."""
    logins = FailedLogins(clock)
    fail(logins, FREE_FAILURES)
    waits = []
    for _ in range(12):
        with pytest.raises(TooManyLogins) as caught:
            logins.check("c", "a")
        waits.append(caught.value.retry_after_s)
        clock.later(waits[-1])
        fail(logins, 1)

    assert [2, 4, 8, 16, 32] == waits[:5]
    assert [900, 900] == waits[-2:]


@pytest.mark.parametrize(("client", "address"), [("c", "b"), ("d", "a")])
def test_per_client_and_per_address(clock, client, address):
    """Neither another address nor another client helps."""
    logins = FailedLogins(clock)
    fail(logins, FREE_FAILURES)
    with pytest.raises(TooManyLogins):
        logins.check(client, address)
    logins.check("d", "b")


def test_success_forgives_the_client_and_not_the_address(clock):
    """Else one known account would let an address guess all others."""
    logins = FailedLogins(clock)
    fail(logins, FREE_FAILURES - 1)
    logins.succeeded("c")
    fail(logins, 1)
    logins.check("c", "b")
    with pytest.raises(TooManyLogins):
        logins.check("d", "a")


def test_it_is_forgotten_in_time(clock):
    """After a quarter of an hour without failures, the count begins anew."""
    logins = FailedLogins(clock)
    fail(logins, FREE_FAILURES)
    clock.later(1000)
    fail(logins, FREE_FAILURES - 1)
    logins.check("c", "a")


def test_nobody_fills_the_memory(clock):
    """The oldest are forgotten first."""
    logins = FailedLogins(clock, remembered=10)
    for number in range(1000):
        fail(logins, 1, f"c{number}", f"a{number}")

    assert 20 == len(logins._failures)
