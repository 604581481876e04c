"""Who has to go so that others get in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.service.addresses import networks
from chandlery.service.web.connections import GRACE_S, Connections


class Crowd:
    """Connections whose clients come and go; ``dropped`` has the numbers of those that were ended."""

    def __init__(self, most=40, **options):
        self.dropped = []
        self.limits = []
        self.connections = Connections(most, on_dropped=self.limits.append, **options)
        self.places = []

    def come(self, address="10.0.0.1"):
        """A new one; it leaves at once when it is dropped."""
        place = self.connections.join(address)
        number = len(self.places)
        self.places.append(place)
        if place is not None:
            place.begin(lambda: (self.dropped.append(number), place.leave()))
        return place


def test_the_one_that_is_idle_for_longest_goes():
    """Of an address that has too many; who is busy, or has shown a token, does not count."""
    crowd = Crowd(most=40)  # ten of an address, twenty idle ones in all
    for _ in range(10):
        crowd.come()
    crowd.places[0].trust()
    crowd.places[1].busy()
    crowd.come("10.0.0.2")
    for _ in range(5):
        crowd.come()

    assert [2, 3, 4] == crowd.dropped
    assert {"connections of an address"} == set(crowd.limits)
    crowd.places[1].idle()
    assert [2, 3, 4, 5] == crowd.dropped


def test_many_addresses():
    """Have to share: half of all connections may be idle without a token."""
    crowd = Crowd(most=40)
    for number in range(30):
        crowd.come(f"10.0.1.{number}")

    assert list(range(10)) == crowd.dropped
    assert {"connections without a token"} == set(crowd.limits)


def test_all_connections():
    """Where all are taken by those with a token, nobody else gets in; one without makes way."""
    crowd = Crowd(most=10)
    for number in range(9):
        crowd.come(f"10.0.1.{number}").trust()
    crowd.come()
    assert crowd.come() is not None
    assert [9] == crowd.dropped
    crowd.places[-1].trust()

    assert crowd.come() is None
    crowd.places[0].leave()
    assert crowd.come() is not None


def test_sockets_without_a_token():
    """Are fewer than connections; the oldest goes."""
    crowd = Crowd(most=16)  # four of them, eight idle ones in all
    for number in range(5):
        place = crowd.come(f"10.0.1.{number}")
        place.busy()
        place.is_socket = True
        place.idle()

    assert [0] == crowd.dropped
    assert ["sockets without a token"] == crowd.limits


def test_one_that_has_to_go_before_it_is_there():
    """Goes as soon as it is."""
    connections, gone = Connections(4), []
    first = connections.join("10.0.0.1")
    connections.join("10.0.0.1")
    assert [] == gone
    first.begin(lambda: gone.append(1))

    assert [1] == gone


def test_who_goes_too_soon():
    """Is noticed, so that no more are taken for a moment."""
    now = [0.0]
    crowd = Crowd(most=4, clock=lambda: now[0])
    crowd.come()
    now[0] = GRACE_S
    crowd.come()
    assert ([0], False) == (crowd.dropped, crowd.connections.hurried)
    crowd.come()

    assert ([0, 1], True) == (crowd.dropped, crowd.connections.hurried)


def test_where_nobody_needs_a_token():
    """Only the sum is bounded."""
    crowd = Crowd(most=10, everybody=True)

    assert [True] * 10 + [False] == [crowd.come() is not None for _ in range(11)]
    assert [] == crowd.dropped


@pytest.mark.parametrize(
    ("addresses", "dropped"),
    [
        ([f"2001:db8::{number:x}" for number in range(12)], 2),
        ([f"2001:db8:0:{number:x}::1" for number in range(12)], 0),
        ([f"::ffff:10.0.0.{number}" for number in range(12)], 0),
        (["fe80::1%eth0"] * 12, 2),
        (["10.9.9.9"] * 12, 0),
    ],
)
def test_what_counts_as_one_address(addresses, dropped):
    """An IPv6 network, which one caller has the whole of; not a proxy, by which all come."""
    crowd = Crowd(most=40, proxies=networks("10.9.9.0/24"))
    for address in addresses:
        crowd.come(address)

    assert dropped == len(crowd.dropped)


DEEDS = st.lists(
    st.tuples(st.sampled_from(["come", "idle", "busy", "trust", "leave"]), st.integers(0, 30)), max_size=200
)


@given(DEEDS)
def test_the_counts_always_agree(deeds):
    """However connections come and go, no bound is passed, and nothing is left of those that have left."""
    crowd = Crowd(most=12)
    there = {}
    for deed, number in deeds:
        if deed == "come":
            place = crowd.come(f"10.0.0.{number % 4}")
            if place is not None:
                there[len(crowd.places) - 1] = place
        elif number in there:
            getattr(there[number], deed)()
            if deed == "leave":
                del there[number]
        for each in crowd.dropped:
            there.pop(each, None)
        connections = crowd.connections

        assert len(there) == connections.count <= 12
        assert connections.strangers <= connections.most_idle
    for place in there.values():
        place.leave()

    assert 0 == crowd.connections.count == crowd.connections.strangers == len(crowd.connections._of_address)
