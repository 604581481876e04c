"""Addresses: those of every adapter against ccxt's, the regional sites, and what a refusal by region says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import ccxt.pro
import pytest
from aiohttp import web

from chandlery import DataSource, DataSourceManager
from chandlery.adapter.live import Channel
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import RequestRejected, UnsupportedRequest
from chandlery.core.http import Response
from chandlery.core.interval import Interval
from chandlery.feed.network import NetworkClient

EXCHANGES = ExchangeRegistry.names()
OF_CCXT = {
    "binance_spot": "binance",
    "binance_perpetual": "binanceusdm",
    "binance_inverse": "binancecoinm",
    "kucoin_perpetual": "kucoinfutures",
    "kucoin_inverse": "kucoinfutures",
}
"""Where ccxt's name is not what stands before the market."""
REST_ELSEWHERE = {
    "htx_perpetual": "api.hbdm.com: the documentation's address; ccxt 4.5.90 uses api.hbdm.vn, its other one",
    "htx_inverse": "api.hbdm.com: the documentation's address; ccxt 4.5.90 uses api.hbdm.vn, its other one",
}
SOCKET_ELSEWHERE = {
    "htx_perpetual": "api.hbdm.com: the documentation's address; ccxt 4.5.90 uses api.hbdm.vn, its other one",
    "htx_inverse": "api.hbdm.com: the documentation's address; ccxt 4.5.90 uses api.hbdm.vn, its other one",
    "kucoin_spot": "the classic socket, which its token names; served on 2026-09-22. ccxt uses the newer x-push one",
    "kucoin_perpetual": "the classic socket, which its token names; served on 2026-09-22. ccxt uses the newer x-push one",
    "kucoin_inverse": "the classic socket, which its token names; served on 2026-09-22. ccxt uses the newer x-push one",
}
"""Where ccxt's description names another address, with the reason for ours."""
ABSENT = {
    "ascendex_spot": "ccxt dropped it after 4.4.60",
    "tradestation": "ccxt has no brokers",
}
SITES_OF_CCXT = {
    ("okx_spot", "eea"): "myokx",
    ("okx_spot", "us"): "okxus",
    ("binance_spot", "us"): "binanceus",
    ("bybit_spot", "eu"): "bybiteu",
    ("gate_spot", "eu"): "gateeu",
}
SITE_SOCKET_ELSEWHERE = {
    (
        "bybit_spot",
        "eu",
    ): "the documentation names no socket of it; the global one serves it (sieblyio/bybit-api 4.7.6)",
}


def leaves(value: Any) -> Iterator[str]:
    """All addresses of a nested description."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from leaves(each)


def place(url: str) -> tuple[str, int, str]:
    """Host, port and path."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 443, parts.path.rstrip("/")


@cache
def described(name: str) -> set[tuple[str, int, str]]:
    """Every address that ccxt has of an exchange."""
    exchange = getattr(ccxt.pro, name)()
    hostnames = [exchange.hostname, *(exchange.urls.get("hostnames") or {}).values()]
    urls = [
        url
        for host in hostnames
        for url in (each.replace("{hostname}", host or "") for each in leaves(exchange.urls["api"]))
    ]
    return {place(url) for url in urls if "://" in url}


def ccxt_name(exchange: str) -> str:
    """Its name there."""
    return OF_CCXT.get(exchange, exchange.split("_", maxsplit=1)[0])


def sockets(exchange: str, **endpoints: str) -> set[tuple[str, int, str]]:
    """Where an adapter's sockets connect."""
    adapter = ExchangeRegistry.create(exchange, {exchange: endpoints})
    answer = (
        b'{"data":{"token":"t","instanceServers":[{"endpoint":"' + adapter.ws_url.encode() + b'/","pingInterval":1}]}}'
    )
    return {place(adapter.socket_url(channel, answer)) for channel in Channel}


def hosts(places: set[tuple[str, int, str]]) -> set[tuple[str, int]]:
    """Without the paths."""
    return {(host, port) for host, port, _ in places}


COMPARED = [
    pytest.param(each, marks=() if hasattr(ccxt.pro, ccxt_name(each)) else pytest.mark.skip(reason="ccxt has it not"))
    for each in EXCHANGES
]


def test_what_ccxt_has_not_is_known():
    """A name that is spelled otherwise there would be skipped."""
    assert set(ABSENT) == {each for each in [*ABSENT, *OF_CCXT] if not hasattr(ccxt.pro, ccxt_name(each))}


@pytest.mark.parametrize("exchange", COMPARED)
def test_rest_is_where_ccxt_looks_for_it(exchange):
    """Host, port and the path that all requests begin with."""
    host, port, path = place(ExchangeRegistry.create(exchange).rest_url)
    theirs = described(ccxt_name(exchange))
    agrees = any((host, port) == (their, at) and (their_path.startswith(path)) for their, at, their_path in theirs)

    assert agrees != (exchange in REST_ELSEWHERE)


@pytest.mark.parametrize("exchange", COMPARED)
def test_sockets_are_where_ccxt_looks_for_them(exchange):
    """Host, port and path, below which ccxt may put the kind of channel."""
    theirs = described(ccxt_name(exchange))
    agrees = all(
        any((host, port) == (their, at) and path.startswith(under) for their, at, under in theirs)
        for host, port, path in sockets(exchange)
    )

    assert agrees != (exchange in SOCKET_ELSEWHERE)


def test_okx_left_port_8443():
    """It was switched off on 2026-10-31."""
    assert sockets("okx_spot") == {("ws.okx.com", 443, "/ws/v5/business"), ("ws.okx.com", 443, "/ws/v5/public")}


@pytest.mark.parametrize(("exchange", "site"), list(SITES_OF_CCXT))
def test_regional_sites_are_where_ccxt_looks_for_them(exchange, site):
    """Those that ccxt has as exchanges of their own."""
    theirs = described(SITES_OF_CCXT[exchange, site])
    chosen = ExchangeRegistry.create(exchange, {exchange: {"site": site}})

    assert hosts({place(chosen.rest_url)}) <= hosts(theirs)
    assert (hosts(sockets(exchange, site=site)) <= hosts(theirs)) != ((exchange, site) in SITE_SOCKET_ELSEWHERE)


@pytest.mark.parametrize(
    ("exchange", "site"), [(each, site) for each in EXCHANGES for site in ExchangeRegistry.get(each).sites]
)
def test_a_site_is_chosen_by_name(exchange, site):
    """Its base URLs take the place of the exchange's own; what is named beside it wins."""
    own = ExchangeRegistry.create(exchange)
    there = ExchangeRegistry.create(exchange, {exchange: {"site": site}})
    mixed = ExchangeRegistry.create(exchange, {exchange: {"site": site, "rest": "http://localhost:1"}})

    assert own.rest_url != there.rest_url
    assert there.rest_url.startswith("https://")
    assert there.ws_url.startswith("wss://")
    assert ("http://localhost:1", there.ws_url) == (mixed.rest_url, mixed.ws_url)


def test_an_unknown_site_is_refused_with_those_there_are():
    """A typing mistake does not silently talk to the global exchange."""
    with pytest.raises(UnsupportedRequest, match="okx_spot has no site 'eu'; it has eea, us"):
        ExchangeRegistry.create("okx_spot", {"okx_spot": {"site": "eu"}})


def test_the_archive_of_another_exchange_is_never_read_for_a_site():
    """Binance US and TR are exchanges of their own: rows of the archive would be another market's."""
    with (
        DataSourceManager(endpoints={"binance_spot": {"site": "us"}}, use_cache=False) as manager,
        pytest.raises(UnsupportedRequest, match="archive"),
    ):
        manager.get_data(
            "BTCUSDT",
            datetime(2024, 1, 1, tzinfo=UTC),
            datetime(2024, 1, 2, tzinfo=UTC),
            Interval.HOUR_1,
            enforce_source=DataSource.VISION,
        )


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("status", [403, 451])
def test_a_refusal_by_region_names_the_other_sites(exchange, status):
    """Whatever the adapter makes of the body."""
    adapter = ExchangeRegistry.create(exchange)
    said = str(adapter.failure(Response(status, {}, b'{"msg":"restricted location"}')))

    assert "may not serve this region" in said
    assert all(site in said for site in adapter.sites)
    assert adapter.sites or "no other site is known" in said


@pytest.mark.parametrize("exchange", [each for each in EXCHANGES if ExchangeRegistry.get(each).book_depths])
async def test_it_is_said_of_requests_and_of_sockets(exchange):
    """The server refuses everything, as exchanges do where they must not serve; neither way stays silent."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=451, text="restricted")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    adapter = ExchangeRegistry.create(
        exchange, {exchange: {"rest": f"http://127.0.0.1:{port}", "ws": f"ws://127.0.0.1:{port}"}}
    )
    client = NetworkClient(adapter)
    try:
        for asked in (client.now(), client.connect(Channel.CANDLES, print), client.connect(Channel.BOOK, print)):
            with pytest.raises(RequestRejected, match=r"status 451.*may not serve this region"):
                await asked
    finally:
        await client.close()
        await runner.cleanup()
