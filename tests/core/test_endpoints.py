"""Base URLs in place of an exchange's own, and whose data come from them."""

from __future__ import annotations

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.endpoints import Origin
from chandlery.core.errors import ChandleryError, InvalidInput

EXCHANGE = "binance_spot"
OWN = ExchangeRegistry.get(EXCHANGE)


def origin(given, *roles):
    """The origin of the roles, with these endpoints."""
    return ExchangeRegistry.create(EXCHANGE, {EXCHANGE: given}).origin(*roles)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"rest": OWN.rest_url + "/"}, None),
        ({"ws": "ws://localhost:1"}, None),
        ({"rest": "http://User:word@LOCALHOST:8080/api"}, Origin("localhost:8080")),
        ({"rest": "https://[::1]:1"}, Origin("[::1]:1")),
        ({"rest": "http://localhost:8080", "origin": "offline-7"}, Origin("offline-7")),
        ({"rest": "http://localhost:8080", "mirror": True}, Origin("localhost:8080", mirror=True)),
        ({"rest": "http://localhost:8080", "mirror": False}, Origin("localhost:8080")),
    ],
)
def test_whose_data_they_are(given, expected):
    """The exchange's own at its own address, else a name, else host and port, without who signs in there."""
    assert expected == origin(given, "rest")


def test_a_mirror_shares_the_exchanges_place():
    """It has no key of its own, and provenance names its host."""
    mirror, other = Origin("data.example.com", mirror=True), Origin("localhost:8080")

    assert (None, "mirror data.example.com") == (mirror.key, str(mirror))
    assert ("localhost:8080", "localhost:8080") == (other.key, str(other))


@pytest.mark.parametrize(
    "given",
    [
        {"rest": "http://localhost:1"},
        {"archive": "http://localhost:1"},
        {"rest": "http://localhost:1", "archive": "http://localhost:2"},
        {"rest": "http://localhost:1", "origin": "testnet"},
    ],
)
def test_two_markets_are_not_mixed(given):
    """What one series is made of has one origin; each of the sources by itself can be used."""
    with pytest.raises(InvalidInput, match="different markets"):
        origin(given, "rest", "archive")
    origin(given, "rest")
    origin(given, "archive")


@pytest.mark.parametrize(
    "given",
    [
        {"rest": "http://localhost:1", "archive": "http://localhost:2", "origin": "testnet"},
        {"rest": "http://localhost:1", "archive": ""},
        {"archive": "http://localhost:1", "mirror": True},
    ],
)
def test_one_market_at_several_addresses(given):
    """Told that they are one, or a mirror of the exchange, or that there is no archive, they are used together."""
    origin(given, "rest", "archive")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"origin": "Off line"}, "characters a-z 0-9"),
        ({"origin": "../up"}, "characters a-z 0-9"),
        ({"origin": "unknown"}, "not .*unknown"),
        ({"origin": True}, "characters a-z 0-9"),
        ({"mirror": "yes"}, "true or false"),
        ({"origin": "x", "mirror": True}, "use one of them"),
        ({"rest": 1}, "not a URL"),
        ({"api": "http://localhost:1"}, "rest, ws and archive"),
    ],
)
def test_what_cannot_be_is_refused(given, message):
    """At once, with what would be right."""
    with pytest.raises(ChandleryError, match=message):
        ExchangeRegistry.create(EXCHANGE, {EXCHANGE: given})


def test_a_regional_site_is_a_market_of_its_own():
    """Its data are not those of the exchange's main address; what is moved elsewhere counts as what it is."""
    assert Origin("site-us") == origin({"site": "us"}, "rest", "ws", "archive")
    assert Origin("localhost:1") == origin({"site": "us", "rest": "http://localhost:1"}, "rest")
