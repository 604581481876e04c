"""The OWASP API Security Top 10 of 2023, a test each, over real sockets: what it asks for, or why it cannot be here."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import aiohttp
import jwt
import pytest

from chandlery.core.errors import InvalidInput
from chandlery.net.clock import system_clock
from chandlery.service.mcp.budget import TOKEN_BUDGET, tokens_of
from chandlery.service.mcp.sessions import MOST_OF_ACCOUNT
from chandlery.service.settings import ServiceSettings
from chandlery.sim.faults import Fault, FaultKind
from chandlery.testing import no_waiting
from fixtures.mcp_client import MODERN, call, hello, post
from fixtures.service import connected, offline, served
from fixtures.service_accounts import THEIRS, claims, encoded, login_server, wrong_tokens

BTC = {"exchange": "binance", "symbol": "BTC/USDT"}
DAY = {**BTC, "interval": "1m", "start": "2024-01-01", "end": "2024-01-02"}
OPEN = {
    "/token",
    "/revoke",
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/mcp",
    "/.well-known/jwks.json",
    "/healthz",
    "/readyz",
    "/metrics",
}
"""What is served to everybody; none of it is data."""
EIGHT = (
    "none",
    "noise",
    "algorithm none",
    "signed with the public key",
    "expired",
    "wrong audience",
    "wrong issuer",
    "revoked",
)


class Guarded:
    """A service with tokens, a trusted issuer beside it, and a session of a client."""

    def __init__(self, service, session, provider, sim):
        self.service = service
        self.session = session
        self.provider = provider
        self.sim = sim
        self.url = service.url

    async def token(self, *scopes):
        """One for a new client."""
        client, secret = await self.service.accounts.create_client("bot", scopes)
        return (await self.service.accounts.login("client", client.id, secret)).text

    async def http(self, method, path, token=None, **options):
        """Status and content of an answer."""
        headers = options.pop("headers", {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        async with self.session.request(method, path, headers=headers, **options) as answer:
            text = await answer.text()
            content = await answer.json(content_type=None) if text.startswith(("{", "[")) else text
            return SimpleNamespace(status=answer.status, content=content, headers=answer.headers)

    async def tool(self, name, arguments, token):
        """What a tool answers, as structure."""
        _, answer, _ = await post(self.url, call(name, arguments), token, **MODERN, **{"Mcp-Name": name})
        return answer["result"]["structuredContent"]

    async def socket(self, token, kind, **content):
        """What the socket answers to a message."""
        async with connected(self.session) as client:
            await client.say("auth", token=token)
            first = await client.next()
            if first["type"] == "error":
                return first
            await client.say(kind, **content)
            return await client.next()


@asynccontextmanager
async def guarded(tmp_path, hashes, **options):
    """A running one; ``options`` are those of the offline exchange."""
    async with login_server() as provider, offline(**options) as sim:
        issuer = {
            "issuer": THEIRS,
            "jwks_url": provider.url,
            "audience": "chandlery",
            "scopes": {"market.read": ["read"]},
        }
        async with served(sim, tmp_path, no_auth=False, hashes=hashes, issuers=(issuer,)) as (service, session):
            yield Guarded(service, session, provider, sim)


@pytest.fixture
async def api(tmp_path, hashes):
    """The same, without faults."""
    async with guarded(tmp_path, hashes) as running:
        yield running


async def test_api1_broken_object_level_authorization(api):
    """
    Data are the same for all who may read; what belongs to somebody is a session, and nobody else's token opens it.

    No request names an account, so that there is no id to exchange for another.
    """
    mine, other = await api.token("read"), await api.token("admin")
    _, _, headers = await post(api.url, hello(), mine)
    session = {"Mcp-Session-Id": headers["Mcp-Session-Id"], "MCP-Protocol-Version": "2025-11-25"}
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    assert [200, 404] == [(await post(api.url, ping, token, **session))[0] for token in (mine, other)]

    async with connected(api.session) as client:
        for token, kind in ((mine, "authenticated"), (other, "error")):
            await client.say("auth", token=token)
            assert kind == (await client.next())["type"]

    document = (await api.http("GET", "/openapi.json")).content
    names = {each["name"] for path in document["paths"].values() for method in path.values() for each in method.get("parameters", ())}  # fmt: skip
    assert names.isdisjoint({"account", "client", "client_id", "id", "sub", "subject", "user", "username", "tenant"})
    assert "exchange" in names


async def test_api2_broken_authentication(api):
    """Eight bad tokens are refused at each of three interfaces, and guesses at a secret are slowed down after five."""
    tokens = await wrong_tokens(api.service.accounts, system_clock, api.url)
    revoked = await api.token("admin")
    await api.service.accounts.revoke_token(await api.service.accounts.validate_token(revoked))
    for name in EIGHT:
        token = (tokens | {"revoked": revoked})[name]
        code = {"invalid_token", "token_expired"}
        answers = {
            "http": (await api.http("GET", "/v1/coins", token)).content["code"],
            "socket": (await api.socket(token, "most_current", channel="book", **BTC))["code"],
            "mcp": (await post(api.url, call("list_coins", {}), token, **MODERN))[1]["code"],
        }
        assert set(answers.values()) <= code, (name, answers)

    client, _ = await api.service.accounts.create_client("bot", ["read"])
    form = {"grant_type": "client_credentials", "client_id": client.id}
    guesses = [api.http("POST", "/token", data={**form, "client_secret": str(number)}) for number in range(20)]
    assert [401] * 5 + [429] * 15 == sorted([answer.status for answer in await asyncio.gather(*guesses)])


async def test_api3_broken_object_property_level_authorization(api):
    """No field can be set that is not documented, no scope that the account lacks is given, and no secret is answered."""
    token = await api.token("read", "collect")
    for extra in ({"since": 0}, {"origin": "x"}, {"scopes": ["admin"]}):
        assert 422 == (await api.http("POST", "/v1/coins", token, json={**BTC, **extra})).status
    answer = (await api.tool("add_coin", {**BTC, "since": 0}, token))["code"]
    assert "invalid_input" == answer

    client, secret = await api.service.accounts.create_client("bot", ["read"])
    form = {"grant_type": "client_credentials", "client_id": client.id, "client_secret": secret}
    for asked in ("admin", "read admin", "read collect admin"):
        given = await api.http("POST", "/token", data={**form, "scope": asked, "scopes": "admin", "is_admin": "true"})
        assert given.content.get("scope", "") in {"", "read"}
    raised = await api.http("POST", "/token", data={**form, "scope": "read"}, headers={"X-Scope": "admin"})
    assert "read" == jwt.decode(raised.content["access_token"], options={"verify_signature": False})["scope"]

    answers = [str((await api.http("GET", path, token)).content) for path in (*OPEN, "/v1/coins", "/openapi.json")]
    kid, key = await api.service.accounts.keys.signing()
    private = f"{key.private_numbers().private_value:x}"
    assert not [each for each in answers if "PRIVATE" in each or private in each or "argon2" in each or secret in each]
    assert any(kid in each for each in answers)


async def test_api4_unrestricted_resource_consumption(api):
    """What a request may cost is bounded before it is begun, and what it leaves open by account."""
    token = await api.token("admin")
    for more in ({"limit": 10**9}, {"limit": 0}, {"interval": "1s", "start": "1970-01-01", "cursor": "x" * 10_000}):
        answer = await api.http("GET", "/v1/candles", token, params={**DAY, **more})
        assert 422 == answer.status, more
    assert 422 == (await api.http("POST", "/v1/coins", token, json={**BTC, "channels": ["book"] * 10_000})).status
    for name, arguments in (
        ("summarize_candles", {**DAY, "interval": "1s", "start": "2018-01-01"}),
        ("summarize_candles", {**DAY, "buckets": 10**6}),
        ("get_most_current_data", {**BTC, "channel": "book", "levels": 10**6}),
    ):
        assert (await api.tool(name, arguments, token))["code"] in {"invalid_input", "invalid_range"}, name
    large = await api.tool("download_historical_data", {**DAY, "preview_rows": 500}, token)
    assert tokens_of(str(large)) <= TOKEN_BUDGET

    opened = [(await post(api.url, hello(), token))[2]["Mcp-Session-Id"] for _ in range(MOST_OF_ACCOUNT + 5)]
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    versions = {"MCP-Protocol-Version": "2025-11-25"}
    found = [(await post(api.url, ping, token, **versions, **{"Mcp-Session-Id": each}))[0] for each in opened]
    assert [404] * 5 + [200] * MOST_OF_ACCOUNT == found


async def test_api5_broken_function_level_authorization(api):
    """Who may read may change nothing, by no method of any path, by no tool, and not by the socket."""
    token = await api.token("read")
    document = (await api.http("GET", "/openapi.json")).content
    changing = [
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if method != "get" and path not in OPEN
    ]
    assert {("POST", "/v1/coins"), ("DELETE", "/v1/coins")} <= set(changing)
    for method, path in changing:
        answer = await api.http(method, path, token, json=BTC, params=BTC if method == "DELETE" else {})
        assert (403, "insufficient_scope") == (answer.status, answer.content["code"])
        assert 'scope="collect"' in answer.headers["WWW-Authenticate"]
    for name in ("add_coin", "remove_coin"):
        assert "insufficient_scope" == (await api.tool(name, BTC, token))["code"]
    assert "insufficient_scope" == (await api.socket(token, "subscribe", channel="book", **BTC))["code"]
    for method in ("PUT", "PATCH", "TRACE", "CONNECT"):
        assert (await api.http(method, "/v1/coins", token)).status in {400, 404, 405}
    assert [] == api.service.collection.list_coins()


async def test_api6_unrestricted_access_to_sensitive_business_flows(api):
    """To have a coin collected spends the budget that an exchange gives: it takes a scope of its own, and is done once."""
    reads, collects = await api.token("read"), await api.token("collect")
    assert 403 == (await api.http("POST", "/v1/coins", reads, json=BTC)).status
    coin = {**BTC, "channels": ["book"]}
    answers = await asyncio.gather(*(api.http("POST", "/v1/coins", collects, json=coin) for _ in range(10)))
    assert {200, 201} >= {answer.status for answer in answers}
    (collected,) = api.service.collection.list_coins()
    assert ["book"] == [each.channel for each in collected.channels]


async def test_api7_server_side_request_forgery(api):
    """No address that a caller sends is requested: not by a token, not by a name of an exchange or a symbol."""
    async with login_server() as trap:
        host = trap.url.removesuffix("/keys")
        api.provider.redirect = trap.url
        assert 401 == (await api.http("GET", "/v1/coins", api.provider.token(system_clock))).status
        assert (1, 0) == (api.provider.asked, trap.asked)
        _, key = await api.service.accounts.keys.signing()
        heads = [{"jku": trap.url}, {"x5u": trap.url}, {"jwk": {"kty": "RSA", "jku": trap.url}}, {"kid": trap.url}]
        tokens = [jwt.encode(claims(system_clock, api.url), key, "ES256", headers={"typ": "at+jwt", "kid": "x", **each}) for each in heads]  # fmt: skip
        tokens += [
            trap.token(system_clock, iss=trap.url),
            trap.token(system_clock, iss=host),
            f"{encoded({'alg': 'RS256', 'kid': 'r1', 'jku': trap.url})}.{encoded(claims(system_clock, THEIRS))}.AAAA",
        ]
        for token in tokens:
            assert 401 == (await api.http("GET", "/v1/coins", token)).status
        reader = await api.token("admin")
        for exchange, symbol in (
            (trap.url, "BTC/USDT"),
            ("binance", trap.url),
            ("binance", f"BTC/USDT@{host[7:]}"),
            ("binance", "../../keys"),
        ):
            question = {**DAY, "exchange": exchange, "symbol": symbol}
            assert 404 <= (await api.http("GET", "/v1/candles", reader, params=question)).status <= 422
            assert "code" in await api.tool("summarize_candles", question, reader)
        assert 0 == trap.asked


async def test_api8_security_misconfiguration(api):
    """What is dangerous is refused at the start; mistakes tell nothing of the inside, and no other site's page may read."""
    for wrong in ({"no_auth": True, "host": "0.0.0.0"}, {"host": "0.0.0.0"}):  # what is refused
        with pytest.raises(InvalidInput):
            ServiceSettings(_env_file=None, **wrong).check()
    folder = api.service.settings.data_dir
    assert 0o700 == folder.stat().st_mode & 0o777
    assert {0o600} == {each.stat().st_mode & 0o777 for each in folder.glob("chandlery.sqlite3*")}

    token = await api.token("read")
    for path, params in (("/nowhere", {}), ("/v1/candles", {**DAY, "start": "\0"}), ("/v1/exchanges/\x01", {})):
        answer = await api.http("GET", path, token, params=params)
        assert 400 <= answer.status < 500
        assert not [each for each in ("Traceback", "site-packages", ".py", str(folder)) if each in str(answer.content)]
        assert "Server" not in answer.headers
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    for method in ("OPTIONS", "GET"):
        answer = await api.http(method, "/v1/coins", token, headers=preflight)
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_api9_improper_inventory_management(api):
    """All that is served is documented, or named here; there are no older versions; and without a token no data."""
    document = (await api.http("GET", "/openapi.json")).content
    for path, methods in document["paths"].items():
        for method in methods:
            answer = await api.http(method.upper(), path.format(exchange_id="binance"))
            assert (path in OPEN) == (answer.status != 401), path
            assert (path in OPEN) == ("security" not in methods[method]), path
    assert OPEN < set(document["paths"])
    for path in ("/v0/coins", "/v2/coins", "/api/v1/coins", "/coins", "/admin", "/debug", "/.env", "/.git/config"):
        assert 404 == (await api.http("GET", path)).status
    assert 401 == (await api.http("POST", "/mcp", json={})).status
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with connected(api.session, headers={"Authorization": "Bearer x", "Sec-WebSocket-Version": "7"}):
            pass


async def test_api10_unsafe_consumption_of_apis(tmp_path, hashes):
    """What exchanges and issuers answer is read as a stranger's: bounded, parsed, and never passed on."""
    faults = [Fault(FaultKind.BAD_JSON, "klines", times=10_000), Fault(FaultKind.CORRUPT_ZIP, times=10_000)]
    async with guarded(tmp_path, hashes, faults=faults) as api:
        token = await api.token("admin")
        with no_waiting():
            answer = await api.http("GET", "/v1/candles", token, params={**DAY, "limit": 5})
        assert (200, []) == (answer.status, answer.content["rows"])
        assert {"fetch_failed"} == {gap["kind"] for gap in answer.content["gaps"]}

        for body in (
            b"\xff" * 1000,
            b"[" * 100_000,
            b"{}",
            b" " * (1 << 20),
            b'{"keys": [{"kid": "r1", "kty": "RSA", "n": 7}]}',
        ):
            api.provider.body = body
            theirs = await api.http("GET", "/v1/coins", api.provider.token(system_clock, "r1"))
            assert (401, "invalid_token") == (theirs.status, theirs.content["code"])
        assert 200 == (await api.http("GET", "/v1/coins", token)).status
        began = time.monotonic()
        assert 200 == (await api.http("GET", "/healthz")).status
        assert time.monotonic() - began < 1
