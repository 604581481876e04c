"""By which names the service may be called, and by whose pages."""

from __future__ import annotations

import json

import aiohttp
import pytest

from chandlery.service.web.hosts import Hosts
from fixtures.raw_socket import asked, head, refusal
from fixtures.service import served

OWN = ["127.0.0.1", "127.0.0.1:8700", "10.1.2.3", "[::1]", "[::1]:8700", "localhost", "LOCALHOST:1", "candles.example", "other.example:443"]  # fmt: skip
FOREIGN = ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1:evil", "[::1", "[::1]x", "::1:80", "127.1", "a b", "candles.example.", "user@localhost"]  # fmt: skip


def test_names():
    """Addresses, this machine, the public name and those that are allowed."""
    hosts = Hosts("https://Candles.example", allowed=["other.example"])

    assert [] == [name for name in OWN if not hosts.is_own(name)]
    assert [] == [name for name in FOREIGN if hosts.is_own(name)]


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        ("http://127.0.0.1:8700", True),
        ("https://candles.example", True),
        ("https://candles.example:443", True),
        ("https://pages.example", True),
        ("http://127.0.0.1:9999", False),
        ("https://127.0.0.1:8700", False),
        ("http://candles.example", False),
        ("http://localhost:8700", False),
        ("http://user@127.0.0.1:8700", False),
        ("null", False),
        ("", False),
        ("http://[::1", False),
        ("http://127.0.0.1:99999999", False),
        ("http://127.0.0.1:x", False),
        ("file:///", False),
    ],
)
def test_pages(origin, may):
    """Scheme, name and port are those of the request, of the public URL, or of a site that is named."""
    hosts = Hosts("https://candles.example", origins=["https://pages.example"])

    assert may is hosts.may_call(origin, "http", "127.0.0.1:8700")


CALLS = {"list": ("GET", "/v1/coins"), "mcp": ("POST", "/mcp"), "health": ("GET", "/healthz"), "nothing": ("GET", "/x")}


@pytest.mark.parametrize("no_auth", [True, False])
@pytest.mark.parametrize("call", CALLS)
async def test_other_names_and_other_pages_reach_nothing(sim, tmp_path, hashes, call, no_auth):
    """Whatever they call for, with tokens and without."""
    method, path = CALLS[call]
    async with served(sim, tmp_path, no_auth=no_auth, hashes=hashes) as (service, _):
        own = service.url.removeprefix("http://")
        for host, headers, expected in (
            ("evil.example", {}, (421, "unknown_host")),
            (own, {"Origin": "http://evil.example"}, (403, "foreign_origin")),
            (own, {"Origin": "http://127.0.0.1:9999"}, (403, "foreign_origin")),
            (own, {"Origin": "http://[::1"}, (403, "foreign_origin")),
            (own, {"Host": own}, (400, "bad_request")),
        ):
            assert expected == await refusal(service.url, head(method, path, host, Content_Length=0, **headers))
        if no_auth:
            for site, refused in (("cross-site", True), ("same-site", True), ("same-origin", False), ("none", False)):
                status, _, _ = await asked(service.url, head(method, path, own, Content_Length=0, Sec_Fetch_Site=site))
                assert refused is (403 == status)


async def test_sockets_of_other_names(running):
    """Are refused by the same documents."""
    _, session = running
    for headers, expected in (({"Host": "evil.example"}, 421), ({"Origin": "http://127.0.0.1:1"}, 403)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect("/v1/ws", headers=headers)
        assert expected == refused.value.status
        assert "application/problem+json" == refused.value.headers["Content-Type"]
        assert "nosniff" == refused.value.headers["X-Content-Type-Options"]


async def test_names_that_are_allowed(sim, tmp_path):
    """By the settings; a request of HTTP/1.0 may have no name at all, which no browser sends."""
    async with served(sim, tmp_path, allowed_hosts="a.example, b.example", allowed_origins="https://p.example") as (
        service,
        _,
    ):
        for host in ("a.example", "B.example:80"):
            assert 200 == (await asked(service.url, head(path="/healthz", host=host)))[0]
        found = await asked(service.url, head(path="/healthz", Origin="https://p.example"))
        assert (200, "ok") == (found[0], json.loads(found[2])["status"])
        assert 200 == (await asked(service.url, b"GET /healthz HTTP/1.0\r\n\r\n"))[0]


async def test_every_answer_has_the_headers_for_browsers(running):
    """Of what there is, of what there is not, and of what was refused before it was read."""
    _, session = running
    for path in ("/healthz", "/docs", "/nowhere", "/?" + "a" * 20_000):
        async with session.get(path) as answer:
            headers = answer.headers
        assert "nosniff" == headers["X-Content-Type-Options"]
        assert "no-referrer" == headers["Referrer-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    async with session.ws_connect("/v1/ws") as socket:
        assert ["nosniff"] == socket._response.headers.getall("X-Content-Type-Options")


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        ("/v1/ws", {}, 101),
        ("/nowhere", {}, 403),
        ("/v1/ws", {"Host": "evil.example"}, 421),
        ("/v1/ws", {"Sec_WebSocket_Key": "short"}, 400),
        ("/v1/ws", {"Sec_WebSocket_Version": "8"}, 400),
        ("/v1/ws", {"X": "\x01"}, 400),
    ],
)
async def test_every_handshake_has_the_headers_for_browsers(running, path, more, status):
    """Whoever answers it."""
    service, _ = running
    own = service.url.removeprefix("http://")
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    headers |= {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=="} | more
    found, sent, _ = await asked(service.url, head("GET", path, headers.pop("Host", own), **headers))
    assert status == found
    assert "nosniff" == sent["x-content-type-options"]
