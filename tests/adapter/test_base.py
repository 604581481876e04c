"""What every adapter does alike: base URLs, intervals, and saying what it cannot."""

from __future__ import annotations

import pytest

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import UnsupportedRequest
from chandlery.core.interval import Interval

EXCHANGES = ExchangeRegistry.names()


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_base_urls_can_be_replaced_one_by_one(exchange):
    """An offline exchange, a proxy or a testnet takes the place of what is named, of nothing else."""
    own = ExchangeRegistry.create(exchange)
    moved = ExchangeRegistry.create(exchange, {exchange: {"rest": "http://localhost:1/"}, "another": {"ws": "x"}})

    assert "http://localhost:1" == moved.rest_url
    assert (own.ws_url, own.archive_url) == (moved.ws_url, moved.archive_url)
    assert moved.server_time_request().url.startswith("http://localhost:1/")
    assert own.rest_url == ExchangeRegistry.create(exchange).rest_url


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_an_unknown_endpoint_is_refused(exchange):
    """A typing mistake does not silently talk to the real exchange."""
    with pytest.raises(UnsupportedRequest, match=r"contain rset; use .*rest, ws and archive"):
        ExchangeRegistry.create(exchange, {exchange: {"rset": "http://localhost:1"}})


def test_an_exchange_without_an_archive_says_so():
    """What an adapter does not answer is refused by name, with what to use."""
    adapter = ExchangeRegistry.create("binance_spot")

    with pytest.raises(UnsupportedRequest, match="has no archive; use REST"):
        ExchangeAdapter.archive_request(adapter, "X", Interval.DAY_1, 0, monthly=False)
    with pytest.raises(UnsupportedRequest, match="has no funding rates"):
        ExchangeAdapter.funding_rows(adapter, b"[]")


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_only_who_hands_out_tokens_has_a_place_for_it(exchange):
    """It is an endpoint like the others there, and refused elsewhere; so are the hooks for tokens."""
    adapter = ExchangeRegistry.create(exchange)
    if adapter.credentials:
        moved = ExchangeRegistry.create(exchange, {exchange: {"auth": "http://localhost:1/"}})
        request = moved.token_request(dict.fromkeys(adapter.credentials, "x"))
        assert request.url.startswith("http://localhost:1/")
        assert adapter.rest_url == moved.rest_url
        return

    with pytest.raises(UnsupportedRequest, match=r"endpoints of .* contain auth; use rest, ws and archive"):
        ExchangeRegistry.create(exchange, {exchange: {"auth": "http://localhost:1"}})
    for refused in (lambda: adapter.token_request({}), lambda: adapter.token(b"{}")):
        with pytest.raises(UnsupportedRequest, match="needs no access token"):
            refused()


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_streams_of_lines_are_refused_where_there_are_sockets(exchange):
    """An exchange has the one or the other."""
    adapter = ExchangeRegistry.create(exchange)
    if not adapter.streams_lines:
        with pytest.raises(UnsupportedRequest, match="streams no lines"):
            adapter.stream_request("x")


def test_ends_become_opens():
    """Where an exchange names the ends of candles, each opened one interval before."""

    class Ends(ExchangeRegistry.get("binance_spot")):
        names_ends = True

    own, ends = ExchangeRegistry.create("binance_spot"), Ends()
    body = b'[[86400000,"1","1","1","1","1",86459999,"1",1,"1","1","0"]]'

    assert [86_400_000_000] == list(own.candles(body, Interval.HOUR_1).open_time)
    assert [82_800_000_000] == ends.candles(body, Interval.HOUR_1).open_time
    assert [0] == ends.candles(body, Interval.DAY_1).open_time
