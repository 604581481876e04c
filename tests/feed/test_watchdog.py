"""A quiet market is no dead socket."""

from __future__ import annotations

from chandlery.feed.watchdog import QUIET_S, Watchdog


def test_a_busy_series_is_looked_into_soon():
    """Ten messages a second, then nothing: after the shortest silence that counts."""
    watchdog = Watchdog(0.0)
    for number in range(1, 101):
        assert not watchdog.is_silent(number, number / 10)

    assert not watchdog.is_silent(100, 10 + QUIET_S - 1)
    assert watchdog.is_silent(100, 10 + QUIET_S)


def test_a_quiet_series_is_left_alone():
    """One message a minute: half a minute of silence says nothing, twenty minutes do."""
    watchdog = Watchdog(0.0)
    for number in range(1, 11):
        assert not watchdog.is_silent(number, number * 60.0)

    assert not watchdog.is_silent(10, 600 + 10 * QUIET_S)
    assert watchdog.is_silent(10, 600 + 20 * 60.0)


def test_it_is_looked_into_ever_more_rarely():
    """While nothing is heard, each look is twice as far away as the one before; a message begins that anew."""
    watchdog = Watchdog(0.0)
    looks = [at for at in range(0, 600, 10) if watchdog.is_silent(0, float(at))]

    assert [30, 90, 210, 450] == looks
    assert not watchdog.is_silent(1, 600.0)
    assert [at for at in range(600, 20_000, 100) if watchdog.is_silent(1, float(at))]
