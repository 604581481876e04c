"""One judge behind every door: the same tokens are refused, and the same let in, over HTTP, WebSocket and MCP."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import aiohttp
import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from typer.testing import CliRunner

from chandlery.cli.app import app
from chandlery.core.time import SECOND
from chandlery.net.clock import system_clock
from fixtures.service import connected, served
from fixtures.service_accounts import THEIRS, claims, encoded, login_server, wrong_tokens

BTC = {"exchange": "binance", "symbol": "BTC/USDT"}
UNTRUSTED = "https://other.example"
REFUSED = {"invalid_token", "token_expired"}


async def by_http(session, url, token):
    """What an endpoint answers: of the coins, and to one more."""
    headers = {"Authorization": f"Bearer {token}"}
    told = []
    async with session.get("/v1/coins", headers=headers) as answer:
        told.append((await answer.json()).get("code", "in"))
    async with session.post("/v1/coins", json=BTC, headers=headers) as answer:
        told.append((await answer.json()).get("code", "in"))
    return told


async def by_socket(session, url, token):
    """The same over the socket, by a message."""
    async with connected(session) as client:
        await client.say("auth", token=token)
        told = await client.next()
        if told["type"] == "closed":
            return [{1009: "invalid_token"}[told["code"]]] * 2
        if told["type"] == "error":
            return [told["code"]] * 2
        await client.say("most_current", channel="book", **BTC)
        read = await client.next()
        await client.say("subscribe", channel="book", **BTC)
        return [read.get("code", "in"), (await client.next()).get("code", "in")]


async def by_header_of_socket(session, url, token):
    """The same, where the token comes with the handshake."""
    try:
        async with connected(session, headers={"Authorization": f"Bearer {token}"}) as client:
            await client.say("most_current", channel="book", **BTC)
            read = await client.next()
            if read["type"] == "closed":
                return [{4401: "invalid_token"}[read["code"]]] * 2
            await client.say("subscribe", channel="book", **BTC)
            return [read.get("code", "in"), (await client.next()).get("code", "in")]
    except aiohttp.WSServerHandshakeError as error:
        return [{431: "invalid_token"}[error.status]] * 2


async def by_mcp(session, url, token):
    """The same by tools, through the official client where it gets in."""
    headers = {"Authorization": f"Bearer {token}"}
    async with session.post("/mcp", json={}, headers=headers) as answer:
        if answer.status == 401:
            return [(await answer.json(content_type=None))["code"]] * 2
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
    ):
        answers = [await client.call_tool("list_coins", {}), await client.call_tool("add_coin", BTC)]
        return [each.structured_content["code"] if each.is_error else "in" for each in answers]


DOORS = {"http": by_http, "socket": by_socket, "socket's header": by_header_of_socket, "mcp": by_mcp}


class Shifted:
    """The time of this machine, moved by some seconds."""

    def __init__(self):
        self.seconds = 0

    def __call__(self):
        return system_clock() + self.seconds * SECOND


@asynccontextmanager
async def guarded(sim, tmp_path, hashes):
    """A service that trusts its own tokens and those of one other issuer; a session, and that issuer."""
    async with login_server() as provider:
        issuers = ({"issuer": THEIRS, "jwks_url": provider.url, "audience": "chandlery", "scopes": {"market.read": ["read"], "market.all": ["read", "collect"]}},)  # fmt: skip
        async with served(sim, tmp_path, no_auth=False, hashes=hashes, issuers=issuers) as (service, session):
            yield service, session, provider


async def token_of(service, *scopes, resource=None):
    """A token for a new client."""
    client, secret = await service.accounts.create_client("bot", scopes)
    return (await service.accounts.login("client", client.id, secret, resource=resource)).text


async def refused_tokens(service, provider):
    """Tokens that get in nowhere, by what is wrong with them."""
    wrong = await wrong_tokens(service.accounts, system_clock, service.url)
    revoked = await token_of(service, "admin")
    await service.accounts.revoke_token(await service.accounts.validate_token(revoked))
    client, secret = await service.accounts.create_client("gone", ["admin"])
    theirs = (await service.accounts.login("client", client.id, secret)).text
    await service.accounts.revoke(client.id)
    stranger = type(provider)()
    foreign = provider.token(system_clock, jti="given back")
    await service.accounts.revoke_token(await service.accounts.validate_token(foreign))
    head = encoded({"alg": "ES256", "kid": "r1", "typ": "at+jwt"})
    unsigned = f"{head}.{encoded(claims(system_clock, THEIRS, aud='chandlery'))}.AAAA"
    return wrong | {
        "revoked": revoked,
        "of a client that was revoked": theirs,
        "of an issuer that is not trusted": provider.token(system_clock, iss=UNTRUSTED),
        "of the issuer, given back": foreign,
        "of the issuer, unsigned, with a key of another kind": unsigned,
        "of another key than the issuer's": stranger.token(system_clock),
        "of the issuer, for somebody else": provider.token(system_clock, aud="elsewhere"),
        "of the issuer, by our keys": wrong["wrong issuer"],
        "of ours, by the issuer's keys": provider.token(system_clock, iss=service.url, aud=service.url),
    }


@pytest.mark.parametrize("door", DOORS)
async def test_wrong_tokens_are_refused_at_every_door(sim, tmp_path, hashes, door):
    """Whatever is wrong with them: neither is anything read nor anything collected."""
    async with guarded(sim, tmp_path, hashes) as (service, session, provider):
        tokens = await refused_tokens(service, provider)
        answers = {name: await DOORS[door](session, service.url, token) for name, token in tokens.items()}
        coins = service.collection.list_coins()

    assert {} == {name: answer for name, answer in answers.items() if not set(answer) <= REFUSED}
    assert len(tokens) >= 45
    assert [] == coins
    assert not sim.log


@pytest.mark.parametrize("door", DOORS)
async def test_good_tokens_are_let_in_at_every_door(sim, tmp_path, hashes, door):
    """For the service or its MCP endpoint, ours or a trusted issuer's; each may what its scopes say, and no more."""
    async with guarded(sim, tmp_path, hashes) as (service, session, provider):
        tokens = {
            "read": await token_of(service, "read"),
            "collect": await token_of(service, "collect"),
            "nothing": provider.token(system_clock, scp=["mail"]),
            "theirs, read": provider.token(system_clock),
            "theirs": provider.token(system_clock, "e1", "ES256", scp=["market.all"]),
            "of the service": await token_of(service, "read", "collect", resource=service.url),
            "of its MCP endpoint": await token_of(service, "read", "collect", resource=f"{service.url}/mcp"),
            "admin": await token_of(service, "admin"),
        }
        answers = {name: await DOORS[door](session, service.url, token) for name, token in tokens.items()}

    lacks = "insufficient_scope"
    # Over the socket, to subscribe to what is not collected yet is to read, and to have it collected.
    may_add = lacks if "socket" in door else "in"
    assert {
        "read": ["in", lacks],
        "collect": [lacks, may_add],
        "nothing": [lacks, lacks],
        "theirs, read": ["in", lacks],
    } == {name: answers.pop(name) for name in ("read", "collect", "nothing", "theirs, read")}
    assert {("in", "in")} == {tuple(each) for each in answers.values()}


async def test_a_revocation_at_the_command_line_acts_within_a_second(sim, tmp_path, hashes):
    """At every door, on open sockets, too, where nothing is said."""
    async with guarded(sim, tmp_path, hashes) as (service, session, _):
        clients = [await service.accounts.create_client("bot", ["read"]) for _ in range(2)]
        gone, stays = [(await service.accounts.login("client", each.id, secret)).text for each, secret in clients]
        async with connected(session) as client, connected(session) as other:
            for socket, token in ((client, gone), (other, stays)):
                await socket.say("auth", token=token)
                await socket.until("authenticated")
            arguments = ["auth", "revoke", clients[0][0].id, "--data-dir", str(service.settings.data_dir)]
            result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
            assert 0 == result.exit_code, result.output
            began = time.monotonic()
            assert 4401 == (await client.until("closed"))["code"]
            assert time.monotonic() - began < 1
            await asyncio.sleep(max(1 - (time.monotonic() - began), 0))  # what is promised
            for door in (by_http, by_header_of_socket, by_mcp):
                assert {"invalid_token"} == set(await door(session, service.url, gone))
            await other.say("ping")
            await other.until("pong")


async def test_what_has_expired_stays_so_when_the_clock_is_set_back(sim, tmp_path, hashes):
    """At every door, and for a socket that is open."""
    clock = Shifted()
    async with served(sim, tmp_path, no_auth=False, hashes=hashes, clock=clock) as (service, session):
        old = await token_of(service, "read")
        clock.seconds = 1_000
        young = await token_of(service, "read")
        async with connected(session) as client:
            await client.say("auth", token=young)
            assert 900 >= (await client.until("authenticated"))["expires_in"] >= 890
            for seconds in (1_000, 0, -100_000):
                clock.seconds = seconds
                for door in DOORS.values():
                    assert set(await door(session, service.url, old)) <= REFUSED
                await client.say("most_current", channel="book", **BTC)
                assert "error" != (await client.next())["type"]
            clock.seconds = 2_000
            assert 4401 == (await client.until("closed"))["code"]
