"""The coins over HTTP."""

from __future__ import annotations

import pytest

from chandlery.core.time import SECOND
from fixtures.service import served


async def call(session, method, path, **options):
    """Status and content."""
    async with session.request(method, path, **options) as answer:
        return answer.status, await answer.json() if answer.status != 204 else None


async def test_a_coin_from_its_adding_to_its_removal(running):
    """Available, added, listed with how it is doing, removed."""
    _, session = running
    coin = {"exchange": "binance", "symbol": "BTC/USDT"}
    assert (200, {**coin, "available": True, "origin": "offline-7"}) == await call(
        session, "GET", "/v1/availability", params=coin
    )
    status, added = await call(session, "POST", "/v1/coins", json={**coin, "channels": ["candles:1s"]})
    assert (201, "running") == (status, added["channels"][0]["state"])
    _, listed = await call(session, "GET", "/v1/coins")
    assert ["BTC/USDT"] == [each["symbol"] for each in listed["coins"]]
    assert (204, None) == await call(session, "DELETE", "/v1/coins", params=coin)
    assert 404 == (await call(session, "DELETE", "/v1/coins", params=coin))[0]
    assert (200, {"coins": []}) == await call(session, "GET", "/v1/coins")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"exchange": "nowhere", "symbol": "BTC/USDT"}, 404),
        ({"exchange": "binance", "symbol": "?"}, 422),
        ({"exchange": "binance", "symbol": "BTC/USDT", "channels": []}, 422),
        ({"exchange": "binance", "symbol": "BTC/USDT", "channels": ["trades"]}, 404),
        ({"symbol": "BTC/USDT"}, 422),
    ],
)
async def test_asked_wrongly(running, body, status):
    """A problem document, and nothing is collected."""
    found, content = await call(running[1], "POST", "/v1/coins", json=body)

    assert (status, status) == (found, content["status"])
    assert (200, {"coins": []}) == await call(running[1], "GET", "/v1/coins")


async def test_scopes(sim, tmp_path, hashes):
    """Without a token nothing; reading does not let anybody collect."""
    async with served(sim, tmp_path, no_auth=False, hashes=hashes) as (service, session):
        client, secret = await service.accounts.create_client("bot", ["read"])
        token = (await service.accounts.login("client", client.id, secret)).text
        headers = {"Authorization": f"Bearer {token}"}
        coin = {"exchange": "binance", "symbol": "BTC/USDT"}

        assert 401 == (await call(session, "GET", "/v1/coins"))[0]
        assert 200 == (await call(session, "GET", "/v1/coins", headers=headers))[0]
        assert 403 == (await call(session, "POST", "/v1/coins", json=coin, headers=headers))[0]
        assert 403 == (await call(session, "DELETE", "/v1/coins", params=coin, headers=headers))[0]
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/.well-known/jwks.json"):
            async with session.get(path) as answer:
                assert 200 == answer.status, path
    assert service.clock() > SECOND
