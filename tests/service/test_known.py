"""Parameters and fields that are not known, by every interface."""

from __future__ import annotations

import json

import pytest

COIN = {"exchange": "binance", "symbol": "BTC/USDT"}
RANGE = {**COIN, "start": "2026-11-01", "end": "2026-11-02"}


@pytest.mark.parametrize(
    ("method", "path", "query", "message"),
    [
        ("GET", "/v1/candles", {**RANGE, "intervall": "5m"}, "'intervall' is not a parameter here, did you mean interval; available: cursor, end, exchange, format, interval, limit, market, start, symbol"),
        ("GET", "/v1/candles", {**RANGE, "fromat": "csv"}, "did you mean format"),
        ("GET", "/v1/funding", {**RANGE, "interval": "5m"}, "'interval' is not a parameter here; available: cursor"),
        ("GET", "/v1/books", {**RANGE, "volume_unit": "base"}, "'volume_unit' is not a parameter here; available: cursor, "),
        ("GET", "/v1/books/latest", {**COIN, "depth": "5"}, "available: exchange, market, symbol"),
        ("GET", "/v1/coins", {"exchange": "binance"}, "'exchange' is not a parameter here; there are none"),
        ("GET", "/v1/exchanges", {"x" * 5000: ""}, f"{'x' * 40!r} is not a parameter here; there are none"),
        ("GET", "/v1/availability", {**COIN, "marked": "spot"}, "did you mean market; available: exchange, market, symbol"),
        ("DELETE", "/v1/coins", {**COIN, "channels": "book"}, "did you mean channel"),
    ],
)  # fmt: skip
async def test_parameters_of_the_query(running, method, path, query, message):
    """Refused with the known ones, before anything is done."""
    async with running[1].request(method, path, params=query) as answer:
        problem = await answer.json(content_type="application/problem+json")

    assert (422, "invalid_input") == (answer.status, problem["code"])
    assert message in problem["detail"]


async def test_fields_of_a_body(running):
    """Refused with the known ones; nothing is collected."""
    service, session = running
    async with session.post("/v1/coins", json={**COIN, "chanels": ["candles:5m"]}) as answer:
        problem = await answer.json(content_type="application/problem+json")

    assert (422, "invalid_input") == (answer.status, problem["code"])
    assert (
        "'chanels' is not a field here, did you mean channels; available: exchange, symbol, market, channels"
        in problem["detail"]
    )
    assert [] == service.collection.list_coins()


async def test_fields_of_a_message(client):
    """The error names what such a message takes."""
    await client.say("subscribe", **COIN, intervall="5m")
    error = await client.until("error")

    assert "invalid_input" == error["code"]
    assert "unknown field `intervall`" in error["message"]
    assert "subscribe has the fields channel, exchange, symbol, interval, market, id" in error["message"]
    await client.say("subscribed")
    assert "takes" not in (await client.until("error"))["message"]


async def test_the_documented_schema_has_no_others(running):
    """What generates clients sees it too."""
    async with running[1].get("/openapi.json") as answer:
        document = json.loads(await answer.read())

    assert document["components"]["schemas"]["CoinRequest"]["additionalProperties"] is False


async def test_one_channel_is_removed(running):
    """The other one is collected on; the last one takes the coin off the list."""
    service, session = running
    await service.collection.add_coin("BTC/USDT", "binance", ["book", "candles:1s"])
    statuses, left = [], []
    for channel in ("book", "book", "candles:1s"):
        async with session.delete("/v1/coins", params={**COIN, "channel": channel}) as answer:
            statuses.append(answer.status)
        left.append([each.channel for coin in service.collection.list_coins() for each in coin.channels])

    assert [204, 404, 204] == statuses
    assert [["candles:1s"], ["candles:1s"], []] == left
    assert [] == await service.collection.coins.load()
