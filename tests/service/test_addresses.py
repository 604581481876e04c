"""Which address a request is counted under."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.service.addresses import address_of, client_address, networks

PROXIES = networks("10.0.0.0/8, 127.0.0.1, fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),  # a stranger says so
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.7, 10.9.9.9"], "198.51.100.7"),  # what a client made up stands before
        ("10.0.0.1", ["1.1.1.1", "198.51.100.7"], "198.51.100.7"),  # two headers are one list
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::/64"),
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7, "], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("fd00::1", ["198.51.100.7"], "198.51.100.7"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("::ffff:192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("2001:db8::5", [], "2001:db8::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("/run/socket", ["198.51.100.7"], "/run/socket"),
        ("", ["198.51.100.7"], ""),
    ],
)
def test_the_last_address_that_no_trusted_proxy_has(peer, forwarded, address):
    """And nothing that stands before it counts."""
    assert address == client_address(peer, forwarded, PROXIES)


@given(st.lists(st.text(max_size=50), max_size=5))
def test_nobody_chooses_the_own_address(forwarded):
    """Whatever a stranger sends, with or without a proxy between."""
    assert "192.0.2.1" == client_address("192.0.2.1", forwarded, PROXIES)
    assert "192.0.2.1" == client_address("10.0.0.1", [*forwarded, "192.0.2.1"], PROXIES)


def test_of_a_scope():
    """As ASGI has it; where the server knows no peer, all requests count together."""
    headers = [(b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-for", b"198.51.100.7")]
    assert "198.51.100.7" == address_of({"type": "http", "client": ("10.0.0.1", 1), "headers": headers}, PROXIES)
    assert "" == address_of({"type": "http", "client": None, "headers": headers}, PROXIES)


@pytest.mark.parametrize("wrong", ["10.0.0.0/33", "10.0.0.1/8", "proxy.example"])
def test_what_is_no_network(wrong):
    """Is refused, also where bits of the host are set, since it may be meant either way."""
    with pytest.raises(ValueError, match=wrong.partition("/")[0]):
        networks(wrong)
