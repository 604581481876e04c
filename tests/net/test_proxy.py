"""Proxies: which one is chosen, and that everything really goes through it."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import traceback
from datetime import UTC, datetime, timedelta

import pytest

from chandlery import (
    AsyncDataSourceManager,
    CCXTExchangeClient,
    DataSourceConnectorImpl,
    DataSourceManager,
    FeedGroup,
    OrderBookFeed,
    PublicExchangeManager,
    Settings,
)
from chandlery.clients.settings import StorageConfig
from chandlery.core.errors import CertificateRejected, ExchangeUnavailable, IncompleteData, InvalidInput, ProxyRefused
from chandlery.core.http import Request
from chandlery.net.limiter import RateLimiter
from chandlery.net.proxy import Proxies, Proxy
from chandlery.net.ws import connect
from chandlery.sim.server import SimServer, running
from fixtures.ccxt_accounts import config_of
from fixtures.offline_adapter import MARKET
from fixtures.proxy import ProxyServer, beyond, proxying

# What the library behind SOCKS leaves of a connection that is refused, or whose certificate is.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning")

ACCOUNT = ("joe", "s3cret")
START = datetime(2024, 1, 1, tzinfo=UTC)
WAYS = [("http", None), ("http", ACCOUNT), ("socks5", None), ("socks5h", ACCOUNT)]


@pytest.fixture
def no_environment(monkeypatch):
    """No proxies in the environment."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def limiter(tmp_path):
    """A limiter of this test alone."""
    return RateLimiter(tmp_path / "limits")


@pytest.mark.parametrize(
    ("text", "shown", "url"),
    [
        ("http://proxy:3128", "http://proxy:3128", "http://proxy:3128"),
        ("proxy:3128", "http://proxy:3128", "http://proxy:3128"),
        ("http://joe:p%40ss@proxy", "http://proxy:80", "http://joe:p%40ss@proxy:80"),
        ("https://proxy/", "https://proxy:443", "https://proxy:443"),
        ("socks5://joe:x@[::1]", "socks5://::1:1080", "socks5://joe:x@[::1]:1080"),
        ("socks5h://proxy:9050", "socks5h://proxy:9050", "socks5://proxy:9050"),
    ],
)
def test_an_address_is_read_and_shown_without_credentials(text, shown, url):
    """Without a scheme it is HTTP; the account is only in what connects."""
    proxy = Proxy.parse(text)

    assert (shown, shown, url) == (str(proxy), repr(proxy), proxy.url)


@pytest.mark.parametrize(
    "wrong", ["ftp://joe:s3cret@a:1", "http://", "http://joe:s3cret@a:port", "http://a/path", "http://[::1", 5]
)
def test_what_is_no_proxy_is_refused_at_once(wrong):
    """With the argument or the variable that is wrong, and without the credentials."""
    with pytest.raises(InvalidInput, match="proxy") as refused:
        DataSourceManager(proxy=wrong, use_cache=False)
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))
    if isinstance(wrong, str):
        with pytest.raises(InvalidInput, match="HTTPS_PROXY of the environment"):
            Proxies(environ={"HTTPS_PROXY": wrong})


def test_socks_without_the_extra_names_it():
    """At once, when it is named."""
    code = (
        "import sys; sys.modules['aiohttp_socks'] = None; from chandlery import DataSourceManager\n"
        "try: DataSourceManager(proxy='socks5://127.0.0.1:1', use_cache=False)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert "MissingDependency" in done.stdout
    assert "chandlery[socks]" in done.stdout


@pytest.mark.parametrize(
    ("environ", "url", "expected"),
    [
        ({}, "https://a", None),
        ({"HTTP_PROXY": "h:1"}, "http://a", "http://h:1"),
        ({"HTTP_PROXY": "h:1"}, "ws://a", "http://h:1"),
        ({"HTTP_PROXY": "h:1"}, "https://a", None),
        ({"HTTPS_PROXY": "h:1"}, "wss://a", "http://h:1"),
        ({"https_proxy": "h:1", "HTTPS_PROXY": "h:2"}, "https://a", "http://h:1"),
        ({"https_proxy": "", "HTTPS_PROXY": "h:2"}, "https://a", None),
        ({"ALL_PROXY": "socks5://h:1"}, "wss://a", "socks5://h:1"),
        ({"ALL_PROXY": "h:1", "HTTP_PROXY": "h:2"}, "http://a", "http://h:2"),
        ({"HTTP_PROXY": "h:1", "REQUEST_METHOD": "GET"}, "http://a", None),
        ({"HTTP_PROXY": "h:1"}, "http://127.0.0.1:80", "http://h:1"),
        ({"HTTP_PROXY": "h:1", "NO_PROXY": "localhost,127.0.0.1"}, "http://127.0.0.1:80", None),
        ({"HTTP_PROXY": "h:1", "NO_PROXY": "127.0.0.0/8"}, "http://127.0.0.1:80", None),
        ({"HTTP_PROXY": "h:1", "NO_PROXY": "::1"}, "http://[::1]:80", None),
        ({"HTTP_PROXY": "h:1", "NO_PROXY": "*"}, "http://a", None),
        ({"HTTP_PROXY": "h:1", "no_proxy": "b.com c.com"}, "http://api.c.com", None),
        ({"HTTP_PROXY": "h:1", "NO_PROXY": ".c.com"}, "http://C.com", None),
        ({"HTTP_PROXY": "h:1", "NO_PROXY": "c.com"}, "http://xc.com", "http://h:1"),
        ({"HTTP_PROXY": "h:1", "NO_PROXY": "c.com:81"}, "http://c.com:80", "http://h:1"),
        ({"HTTP_PROXY": "h:1", "NO_PROXY": "c.com:80"}, "http://c.com:80", None),
    ],
)
def test_the_environment_is_read_as_curl_reads_it(environ, url, expected):
    """Lower case first, the scheme's own before that for all, NO_PROXY by name, address and network."""
    found = Proxies(environ=environ).of(url)

    assert expected == (None if found is None else str(found))


def test_what_is_given_comes_before_the_environment():
    """For every scheme; an empty one means none. NO_PROXY holds for it too."""
    environ = {"HTTPS_PROXY": "h:1", "NO_PROXY": "b"}

    assert "http://g:2" == str(Proxies("g:2", environ=environ).of("https://a"))
    assert Proxies("g:2", environ=environ).of("https://b") is None
    assert Proxies("", environ=environ).of("https://a") is None


def test_endpoints_can_need_no_proxy():
    """Those of the offline exchange say so; anything else is refused."""
    endpoints = {"binance_spot": {"rest": "http://127.0.0.1:8080/x", "proxy": "none"}}
    proxies = Proxies("h:1", endpoints=endpoints, environ={})

    assert (None, "http://h:1") == (proxies.of("http://127.0.0.1:8080/x/y"), str(proxies.of("http://127.0.0.1:8081")))
    with pytest.raises(InvalidInput, match="binance_spot"):
        Proxies(endpoints={"binance_spot": {"proxy": "http://h:1"}})


@pytest.mark.parametrize(("scheme", "account"), WAYS)
async def test_requests_go_through_it(server, client_of, no_environment, scheme, account):
    """HTTP is forwarded; names are resolved by the proxy."""
    server.otherwise = server.reply(body=b"hello")
    async with ProxyServer(account) as proxy:
        client = client_of(proxies=Proxies(proxy.url(scheme, account)))
        answers = [await client.send(Request(f"http://a.invalid:{server.port}/x", params={"n": n})) for n in range(3)]

    assert [b"hello"] * 3 == [each.body for each in answers]
    assert {"forward" if scheme == "http" else "socks"} == proxy.ways
    assert ["GET /x?n=0", "GET /x?n=1", "GET /x?n=2"] == [head.partition(" HTTP")[0] for head in server.heads]
    assert not [head for head in server.heads if "s3cret" in head or "roxy-A" in head]


@pytest.mark.parametrize(("scheme", "account"), WAYS)
async def test_tls_goes_through_it_and_is_verified(client_of, no_environment, scheme, account, tls_server):
    """By CONNECT; a certificate that is not trusted is an error that is not tried again."""
    async with ProxyServer(account) as proxy:
        client = client_of(proxies=Proxies(proxy.url(scheme, account)))
        with pytest.raises(CertificateRejected, match="certificate"):
            await client.send(Request(f"https://a.invalid:{tls_server}/x"))

    assert [("CONNECT" if scheme == "http" else "socks", f"a.invalid:{tls_server}")] == proxy.seen
    assert (1, 0) == (client.requests, client.retries)


@pytest.mark.parametrize(("scheme", "account"), WAYS)
async def test_sockets_go_through_it(no_environment, scheme, account):
    """By CONNECT, or SOCKS."""
    inbox: asyncio.Queue[bytes] = asyncio.Queue()
    async with ProxyServer(account) as proxy, SimServer(MARKET, exchanges=["binance_spot"], tick_s=0.05) as sim:
        url = f"{beyond(sim.endpoints)['binance_spot']['ws']}/ws"
        made = await connect(url, on_message=inbox.put_nowait, proxy=Proxies(proxy.url(scheme, account)).of(url))
        made.send('{"method":"SUBSCRIBE","params":["btcusdt@kline_1m"],"id":1}')
        assert b"" != await asyncio.wait_for(inbox.get(), 10)
        await made.close()

    assert [("CONNECT" if scheme == "http" else "socks", f"exchange.invalid:{sim.port}")] == proxy.seen


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("wrong", [None, ("joe", "wr0ng")])
async def test_wrong_credentials_are_refused_once_and_never_shown(
    client_of, caplog, no_environment, scheme, wrong, server
):
    """Neither in the error, its causes, nor what is logged; forwarded, by CONNECT and for sockets alike."""
    caplog.set_level(logging.DEBUG)
    failures = []
    async with ProxyServer(ACCOUNT) as proxy:
        proxies = Proxies(proxy.url(scheme, wrong))
        client = client_of(proxies=proxies)
        for url in ("http://a.invalid:1/x", "https://a.invalid:1/x"):
            with pytest.raises(ProxyRefused, match="credentials") as refused:
                await client.send(Request(url))
            failures.append(refused.value)
        with pytest.raises(ProxyRefused, match=r"credentials|auth") as refused:
            await connect("wss://a.invalid:1/x", on_message=print, proxy=proxies.of("wss://a.invalid:1/x"))
        failures.append(refused.value)

    assert (3, 2, 0) == (len(proxy.seen), client.requests, client.retries)
    told = caplog.text + "".join(
        "".join(traceback.format_exception(each)) + repr(each.__context__) for each in failures
    )
    assert "127.0.0.1" in told
    assert not [secret for secret in ("wr0ng", "am9lOndyMG5n") if secret in told]


@pytest.mark.parametrize(("status", "kind"), [(403, ProxyRefused), (502, ExchangeUnavailable)])
async def test_a_proxy_that_does_not_connect(client_of, no_environment, status, kind):
    """A refusal is final; that it cannot reach the exchange may pass. Both name the proxy."""
    async with ProxyServer(status=status) as proxy:
        proxies = Proxies(proxy.url())
        with pytest.raises(kind, match=f"127.0.0.1:{proxy.port}.*{status}"):
            await client_of(proxies=proxies, retry_count=0).send(Request("https://a.invalid/x"))
        with pytest.raises(kind, match=f"127.0.0.1:{proxy.port}.*{status}"):
            await connect("wss://a.invalid/x", on_message=print, proxy=proxies.of("wss://a.invalid/x"))


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_that_is_not_there(client_of, no_environment, scheme):
    """It is named, without its credentials."""
    proxies = Proxies(f"{scheme}://joe:s3cret@127.0.0.1:1")
    for url in ("http://a.invalid/x", "https://a.invalid/x"):
        with pytest.raises(ExchangeUnavailable, match=r"through \S+127.0.0.1:1") as failed:
            await client_of(proxies=proxies, retry_count=0).send(Request(url))
        assert "s3cret" not in "".join(traceback.format_exception(failed.value))
    with pytest.raises(ExchangeUnavailable, match=r"through \S+127.0.0.1:1"):
        await connect("ws://a.invalid/x", on_message=print, proxy=proxies.of("ws://a.invalid/x"))


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_manager_goes_through_it(no_environment, limiter, scheme):
    """Archive and REST; what it would reach directly it does not."""
    with proxying(ACCOUNT) as proxy, running(MARKET) as sim:
        endpoints = beyond(sim.endpoints)
        with DataSourceManager(
            use_cache=False, endpoints=endpoints, proxy=proxy.url(scheme, ACCOUNT), limiter=limiter
        ) as manager:
            frame = manager.get_data("BTCUSDT", START, START + timedelta(days=2), "1h")
            rest = manager.get_data("BTCUSDT", START, START + timedelta(days=1), "1h", enforce_source="rest")

    assert (48, 24) == (len(frame), len(rest))
    assert {"forward" if scheme == "http" else "socks"} == proxy.ways


def test_the_environment_is_obeyed_and_the_offline_exchange_needs_no_proxy(monkeypatch, no_environment, limiter):
    """With ``HTTP_PROXY`` set, what lies beyond goes through it; ``running()`` works all the same."""
    with proxying() as proxy, running(MARKET) as sim:
        monkeypatch.setenv("HTTP_PROXY", proxy.url())
        for endpoints, ways in ((sim.endpoints, set()), (beyond(sim.endpoints), {"forward"})):
            with DataSourceManager(use_cache=False, endpoints=endpoints, limiter=limiter) as manager:
                assert 24 == len(manager.get_data("BTCUSDT", START, START + timedelta(days=1), "1h"))
            assert ways == proxy.ways


async def test_a_manager_tells_what_is_wrong_with_the_proxy(no_environment, limiter):
    """Nothing could be had, and why."""
    async with (
        ProxyServer(ACCOUNT) as proxy,
        AsyncDataSourceManager(
            use_cache=False,
            endpoints={"binance_spot": {"rest": "http://a.invalid"}},
            proxy=proxy.url(),
            limiter=limiter,
        ) as manager,
    ):
        with pytest.raises((ProxyRefused, IncompleteData), match="credentials") as failed:
            await manager.get_data("BTCUSDT", START, START + timedelta(days=1), "1h", enforce_source="rest")
    assert not isinstance(failed.value, IncompleteData) or isinstance(failed.value.__cause__, ProxyRefused)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_feeds_go_through_it(no_environment, scheme):
    """History, sockets and books."""
    async with ProxyServer() as proxy, SimServer(MARKET, exchanges=["binance_spot"], tick_s=0.05) as sim:
        options = {"endpoints": beyond(sim.endpoints), "proxy": proxy.url(scheme)}
        group = FeedGroup("binance_spot", **options)
        feed = group.add("BTC-USDT", max_records=5)
        async with group:
            async for candle in feed:
                assert candle is not None
                break
        async with OrderBookFeed("binance_spot", "BTC-USDT", **options) as books:
            assert books.book is not None

    assert {"forward", "CONNECT"} if scheme == "http" else {"socks"} == proxy.ways


async def test_lines_go_through_it(no_environment, monkeypatch):
    """Live candles of an exchange that streams lines, and its sign-in."""
    async with ProxyServer(ACCOUNT) as proxy, SimServer(MARKET, exchanges=["tradestation"], tick_s=0.05) as sim:
        group = FeedGroup(
            "tradestation",
            endpoints=beyond(sim.endpoints),
            credentials={"tradestation": {"client_id": "id", "refresh_token": "token"}},
            proxy=proxy.url(account=ACCOUNT),
        )
        feed = group.add("BTC-USD", max_records=3)
        async with group:
            async for _ in feed:
                break

    assert {"forward"} == proxy.ways
    assert any("/stream/" in target for _, target in proxy.seen)


async def test_the_connector_goes_through_it(no_environment, limiter, tmp_path):
    """By its settings: candles past and live."""
    async with ProxyServer(ACCOUNT) as proxy, SimServer(MARKET, exchanges=["binance_spot"], tick_s=0.05) as sim:
        settings = Settings(
            _env_file=None,
            endpoints=beyond(sim.endpoints),
            proxy=proxy.url(account=ACCOUNT),
            storage=StorageConfig(_env_file=None, cache_dir=tmp_path),
        )
        assert "s3cret" not in repr(settings)
        heard = asyncio.Event()
        async with DataSourceConnectorImpl(settings=settings, limiter=limiter) as connector:
            rows = await connector.fetch_historical_data("binance", "BTC/USDT", START, START + timedelta(hours=3), "1h")
            await connector.start_realtime_stream("binance", "BTC/USDT", lambda *_: heard.set())
            await asyncio.wait_for(heard.wait(), 20)

    assert 3 == len(rows)
    assert {"forward", "CONNECT"} == proxy.ways


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_ccxt_goes_through_it(no_environment, limiter, scheme):
    """Requests of its asynchronous classes and of its synchronous ones."""
    async with ProxyServer(ACCOUNT) as proxy, SimServer(MARKET, exchanges=["kraken_spot"]) as sim:
        far = type("Far", (), {"endpoints": beyond(sim.endpoints), "port": sim.port})
        config = config_of(far, "kraken_spot")
        url = proxy.url(scheme, ACCOUNT)
        client = CCXTExchangeClient(config, "kraken", proxies=Proxies(url), limiter=limiter)
        try:
            assert await client.check_coin_availability("BTC/USD")
        finally:
            await client.close()
        count = len(proxy.seen)
        settings = Settings(_env_file=None, ccxt=config, proxy=url)
        manager = PublicExchangeManager(settings=settings, limiter=limiter, request_pause=0)
        exchange = manager.connect_to_exchange_with_no_credentials("kraken")
        markets = await asyncio.to_thread(exchange.load_markets)
        manager.close()

    assert "BTC/USD" in markets
    assert 0 < count < len(proxy.seen)
    assert {"forward" if scheme == "http" else "socks"} == proxy.ways
