"""Sessions of the ``initialize`` era, and what there is in their place since: each account has its part."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp
import pytest

from chandlery.service.mcp.sessions import MOST_OF_ACCOUNT
from fixtures.mcp_client import MODERN, call, hello, post, token_of

PING = {"jsonrpc": "2.0", "id": 2, "method": "ping"}


async def opened(url, token):
    """The headers of a new session."""
    status, content, headers = await post(url, hello(), token)
    assert 200 == status, content
    return {"Mcp-Session-Id": headers["Mcp-Session-Id"], "MCP-Protocol-Version": "2025-11-25"}


async def states(url, token, sessions):
    """How each session answers."""
    return [(await post(url, PING, token, **each))[0] for each in sessions]


async def test_an_account_with_very_many_takes_no_session_from_others(start):
    """The one that it has left idle for the longest time goes first; those of others stay, and there is room for more."""
    running = await start()
    mine, greedy = await token_of(running, "read"), await token_of(running, "read")
    one = await opened(running.url, mine)
    many = [await opened(running.url, greedy) for _ in range(MOST_OF_ACCOUNT)]
    assert 200 == (await post(running.url, PING, greedy, **many[0]))[0]
    many += [await opened(running.url, greedy) for _ in range(9)]

    assert [200] + [404] * 9 + [200] * (MOST_OF_ACCOUNT - 1) == await states(running.url, greedy, many)
    assert [200] == await states(running.url, mine, [one])
    await opened(running.url, mine)


async def test_very_many_at_once(start):
    """No more are open than may be; whoever is refused learns when to try again."""
    running = await start()
    mine, greedy = await token_of(running, "read"), await token_of(running, "read")
    answers = await asyncio.gather(*(post(running.url, hello(), greedy) for _ in range(200)))
    counted = Counter(status for status, _, _ in answers)
    assert {200, 503} >= set(counted)
    assert all(headers["Retry-After"] == "1" for status, _, headers in answers if status == 503)
    sessions = [
        {"Mcp-Session-Id": headers["Mcp-Session-Id"], "MCP-Protocol-Version": "2025-11-25"}
        for status, _, headers in answers
        if status == 200
    ]
    assert MOST_OF_ACCOUNT >= (await states(running.url, greedy, sessions)).count(200)
    await opened(running.url, mine)


async def test_a_session_with_a_stream_is_at_work(start):
    """It is not ended for another one; and what another account asks of it changes nothing."""
    running = await start()
    mine, other = await token_of(running, "read"), await token_of(running, "read")
    busy = await opened(running.url, mine)
    headers = {"Authorization": f"Bearer {mine}", "Accept": "text/event-stream", **busy}
    async with aiohttp.ClientSession() as session, session.get(f"{running.url}/mcp", headers=headers) as stream:
        assert 200 == stream.status
        idle = await opened(running.url, mine)
        assert [404] == await states(running.url, other, [idle])
        for _ in range(MOST_OF_ACCOUNT):
            await opened(running.url, mine)
        assert [200, 404] == await states(running.url, mine, [busy, idle])


async def test_what_opens_no_session_ends_none(start):
    """A request that is refused, a session that its owner ends, and one that there is not."""
    running = await start()
    token = await token_of(running, "read")
    sessions = [await opened(running.url, token) for _ in range(MOST_OF_ACCOUNT)]
    for _ in range(5):
        assert 400 == (await post(running.url, PING, token))[0]
    assert [404] == await states(running.url, token, [{**sessions[0], "Mcp-Session-Id": "none"}])
    assert [200] * MOST_OF_ACCOUNT == await states(running.url, token, sessions)
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream", **sessions[0]}
    async with aiohttp.ClientSession() as client, client.delete(f"{running.url}/mcp", headers=headers) as ended:
        assert 200 == ended.status
    await opened(running.url, token)
    assert [200] * (MOST_OF_ACCOUNT - 1) == await states(running.url, token, sessions[1:])


async def test_a_stream_ends_with_the_trust_in_its_token(start):
    """When the account is revoked, or the token has expired."""
    running = await start()
    client, secret = await running.accounts.create_client("model", ["read"])
    for end in ("expired", "revoked"):
        token = (await running.accounts.login("client", client.id, secret)).text
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "text/event-stream",
            **await opened(running.url, token),
        }
        async with aiohttp.ClientSession() as session, session.get(f"{running.url}/mcp", headers=headers) as stream:
            assert 200 == stream.status
            if end == "revoked":
                await running.accounts.revoke(client.id)
            else:
                running.clock.seconds += 1_000
            async with asyncio.timeout(2):
                await stream.read()


@pytest.mark.parametrize("method", ["subscriptions/listen", "tasks/get", "tasks/list", "resources/subscribe"])
async def test_what_would_last_longer_than_its_request_is_not_offered(start, method):
    """Of revision 2026-07-28: neither streams of changes nor tasks, so there is nothing of them to bound."""
    running = await start()
    token = await token_of(running, "admin")
    content = {**call("x", {}), "method": method}
    content["params"]["notifications"] = {"toolsListChanged": True}
    status, answer, _ = await post(running.url, content, token, **{**MODERN, "Mcp-Method": method, "Mcp-Name": "x"})

    assert (404, -32601) == (status, answer["error"]["code"])


@pytest.mark.parametrize("state", ["forged", "x" * 100_000, {"a": 1}])
async def test_a_state_that_a_caller_sends_back_changes_nothing(start, state):
    """No answer here asks for another round, so none is believed: it is passed over, or refused where it is no text."""
    running = await start()
    token = await token_of(running, "read")
    content = call("list_coins", {})
    content["params"]["requestState"] = state
    status, answer, _ = await post(running.url, content, token, **MODERN, **{"Mcp-Name": "list_coins"})

    if isinstance(state, str):
        assert (200, []) == (status, answer["result"]["structuredContent"]["coins"])
    else:
        assert (400, -32602) == (status, answer["error"]["code"])


async def test_modern_requests_open_no_session(start):
    """However many there are: each ends with its answer."""
    running = await start()
    token = await token_of(running, "read")
    session = await opened(running.url, token)
    for _ in range(MOST_OF_ACCOUNT + 5):
        given = await post(running.url, call("list_coins", {}), token, **MODERN, **{"Mcp-Name": "list_coins"})
        assert (200, False) == (given[0], "Mcp-Session-Id" in given[2])
    assert [200] == await states(running.url, token, [session])
