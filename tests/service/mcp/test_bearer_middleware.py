"""Who gets in: the same as at every other door."""

from __future__ import annotations

import aiohttp

from fixtures.service_accounts import wrong_tokens

HEADERS = {"Accept": "application/json, text/event-stream"}


async def test_tokens_that_are_wrong_in_any_way(start):
    """401 as a problem document, and a challenge that says where tokens are had; whatever the method is."""
    running = await start()
    metadata = f'resource_metadata="{running.url}/.well-known/oauth-protected-resource/mcp"'
    wrong = await wrong_tokens(running.accounts, running.clock, issuer=running.url)
    async with aiohttp.ClientSession(running.url) as session:
        for what, token in wrong.items():
            for method in ("POST", "GET", "DELETE") if what == "expired" else ("POST",):
                async with session.request(
                    method, "/mcp", json={}, headers={**HEADERS, "Authorization": f"Bearer {token}"}
                ) as given:
                    assert (401, 401) == (given.status, (await given.json(content_type=None))["status"]), what
                    assert metadata in given.headers["WWW-Authenticate"], what
                    assert ("invalid_token" in given.headers["WWW-Authenticate"]) == bool(token), what


async def test_tokens_elsewhere_than_in_the_header(start):
    """Are none: neither in the address, nor by another scheme."""
    running = await start()
    client, secret = await running.accounts.create_client("model", ["admin"])
    token = (await running.accounts.login("client", client.id, secret)).text
    async with aiohttp.ClientSession(running.url) as session:
        for path, headers in ((f"/mcp?access_token={token}", {}), ("/mcp", {"Authorization": f"Basic {token}"})):
            async with session.post(path, json={}, headers=HEADERS | headers) as given:
                assert 401 == given.status
        async with session.post("/mcp", json={}, headers={**HEADERS, "Authorization": f"bearer {token}"}) as given:
            assert 400 == given.status
        async with session.get("/.well-known/oauth-protected-resource/mcp") as given:
            assert f"{running.url}/mcp" == (await given.json())["resource"]
