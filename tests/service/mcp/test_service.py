"""The endpoint over real sockets, as the official client sees it."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import jsonschema
import pytest
from mcp.shared.exceptions import MCPError

from chandlery.service.mcp.budget import TOKEN_BUDGET, tokens_of
from fixtures.mcp_client import MODERN, call, hello, post, token_of

TOOLS = {
    "add_coin",
    "remove_coin",
    "list_coins",
    "check_availability",
    "download_historical_data",
    "get_most_current_data",
    "summarize_candles",
    "list_exchanges",
    "list_instruments",
    "get_universe",
    "get_funding_rates",
    "get_past_order_books",
}
COIN = {"exchange": "binance", "symbol": "BTC/USDT"}
DAYS = {**COIN, "start": "2026-09-01", "end": "2026-09-04"}


async def answer(client, tool, *, progress=None, **arguments):
    """What a tool answers, which is the same as text, fits its schema and is within the budget."""
    result = await client.call_tool(tool, arguments, progress_callback=progress)
    assert not result.is_error, result.content[0].text
    assert result.structured_content == json.loads(result.content[0].text)
    assert tokens_of(result.model_dump_json(by_alias=True)) <= TOKEN_BUDGET
    declared = next(each for each in (await client.list_tools()).tools if each.name == tool)
    jsonschema.validate(result.structured_content, declared.output_schema)
    jsonschema.validate(arguments, declared.input_schema)
    return result.structured_content


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_every_tool_and_resource(start, connected, mode):
    """With a token that the client finds out how to get, in both eras of the protocol."""
    async with connected(await start(), "read", "collect", mode=mode) as client:
        assert "list_exchanges" in client.instructions
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert TOOLS == set(tools)
        assert all(tool.output_schema["type"] == "object" and tool.description for tool in tools.values())
        assert {"add_coin", "remove_coin"} == {
            name for name, tool in tools.items() if not tool.annotations.read_only_hint
        }

        assert (await answer(client, "check_availability", **COIN))["available"]
        assert not (await answer(client, "check_availability", exchange="binance", symbol="NO/SUCH"))["available"]
        found = await answer(client, "list_instruments", exchange="binance_spot", search="btc usdt")
        assert ["BTC/USDT", "BTCUSDT", "spot", "listed"] in [row[:4] for row in found["instruments"]["rows"]]
        assert "offline-7" == found["origin"]
        past = await answer(client, "get_universe", exchange="binance_spot", search="btc usdt", at="now")
        assert (found["instruments"], found["total"]) == (past["instruments"], past["total"])
        added = await answer(client, "add_coin", **COIN)
        assert {"book": "running", "candles:1m": "running"} == {
            each["channel"]: each["state"] for each in added["channels"]
        }
        coins = await answer(client, "list_coins")
        assert (1, None, "BTC/USDT") == (coins["total"], coins["next"], coins["coins"][0]["symbol"])
        book = await answer(client, "get_most_current_data", **COIN, channel="book", levels=2)
        assert (2, 2, "live stream, running") == (len(book["book"]["bids"]), len(book["book"]["asks"]), book["source"])
        candle = await answer(client, "get_most_current_data", **COIN)
        assert candle["candle"]["low"] <= candle["candle"]["close"] <= candle["candle"]["high"]
        assert (await answer(client, "remove_coin", **COIN))["removed"]

        summed = await answer(client, "summarize_candles", **DAYS, buckets=3)
        assert (4320, 4320, 1440) == (
            summed["whole"]["rows"],
            summed["whole"]["expected_rows"],
            summed["candles_per_bucket"],
        )
        assert ["2026-09-01T00:00:00Z", "2026-09-02T00:00:00Z", "2026-09-03T00:00:00Z"] == [
            row[0] for row in summed["buckets"]["rows"]
        ]
        assert ([], 4320) == (summed["gaps"], sum(each["rows"] for each in summed["sources"]))
        worth = await answer(client, "summarize_candles", **DAYS, buckets=3, volume_unit="quote")
        average = worth["whole"]["volume"] / summed["whole"]["volume"]
        assert summed["whole"]["low"] < average < summed["whole"]["high"]
        assert "okx_spot" in {each["id"] for each in (await answer(client, "list_exchanges", name="okx"))["exchanges"]}

        await read_all(client, await answer(client, "download_historical_data", **DAYS))


async def read_all(client, downloaded):
    """Every resource there is, that of a download among them."""
    assert ["chandlery://exchanges"] == [each.uri for each in (await client.list_resources()).resources]
    rows, page = [], "chandlery://exchanges"
    while page is not None:
        matrix = json.loads((await client.read_resource(page)).contents[0].text)
        rows += [each["id"] for each in matrix["exchanges"]]
        page = matrix["next"]
    assert matrix["total"] == len(set(rows)) == len(rows)
    row = json.loads((await client.read_resource("chandlery://exchanges/binance_spot")).contents[0].text)
    assert "1m" in row["intervals"]
    assert 3 == len((await client.list_resource_templates()).resource_templates)
    text = (await client.read_resource(downloaded["resource"])).contents[0].text
    assert text.startswith("# binance BTC/USDT 1m, 2026-09-01T00:00:00Z to ")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_download_tells_its_progress_and_comes_in_pages(start, connected, mode):
    """Each row once, in order; the link is the one of the whole range."""
    running = await start()
    async with connected(running, "read", mode=mode) as client:
        heard = []

        async def progress(done, total, message):
            heard.append((done, total))

        first = await answer(client, "download_historical_data", **DAYS, preview_rows=3, progress=progress)
        assert heard[0] == (0, 4320)
        assert heard[-1] == (4320, 4320)
        assert heard == sorted(heard)
        assert (4320, "2026-09-03T23:59:00Z") == (first["summary"]["rows"], first["summary"]["last"])
        second = await answer(client, "download_historical_data", **DAYS, preview_rows=2, cursor=first["next"])
        times = [row[0] for page in (first, second) for row in page["preview"]["rows"]]
        assert [f"2026-09-01T00:0{minute}:00Z" for minute in range(5)] == times
        assert second["summary"] is None
        result = await client.call_tool("download_historical_data", DAYS)
        assert [first["resource"]] == [each.uri for each in result.content if each.type == "resource_link"]
        # It is kept, and nothing is collected for it.
        assert [] == running.service.collection.list_coins()
        assert (await answer(client, "summarize_candles", **DAYS))["sources"][0]["source"].startswith("cache")


async def test_scopes_of_each_tool(start, connected):
    """Who may not is told which scope it takes."""
    running = await start()
    async with connected(running, "read") as client:
        for tool in ("add_coin", "remove_coin"):
            refused = await client.call_tool(tool, COIN)
            content = refused.structured_content
            assert (True, "insufficient_scope", "collect") == (refused.is_error, content["code"], content["scope"])
        assert [] == running.service.collection.list_coins()
    async with connected(running, "collect") as client:
        for tool in TOOLS - {"add_coin", "remove_coin"}:
            assert "read" == (await client.call_tool(tool, {})).structured_content["scope"]
        with pytest.raises(MCPError, match="this needs the scope read"):
            await client.read_resource("chandlery://exchanges")


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "says"),
    [
        ("summarize_candles", {**COIN, "start": True}, "invalid_input", "start: true and false are not valid here"),
        ("summarize_candles", {**DAYS, "end": False}, "invalid_input", "end: true and false"),
        ("summarize_candles", {**DAYS, "buckets": True}, "invalid_input", "buckets: true and false"),
        ("get_most_current_data", {**COIN, "levels": True}, "invalid_input", "levels: true and false"),
        ("summarize_candles", {**COIN, "start": "soon"}, "invalid_range", "2024-01-01T12:00:00Z"),
        ("summarize_candles", {**COIN, "start": "2026-09-01", "end": "2026-08-01"}, "invalid_range", "not after"),
        ("summarize_candles", {**DAYS, "interval": "7m"}, "unknown_interval", "one of 1s 1m"),
        ("summarize_candles", {**DAYS, "symbol": "BTC USDT"}, "invalid_symbol", "BTC/USDT"),
        ("summarize_candles", {**DAYS, "interval": "1s", "start": "2020-01-01"}, "invalid_range", "5,000,000"),
        ("download_historical_data", {**DAYS, "cursor": "xyz"}, "invalid_input", "the previous page"),
        ("add_coin", {**COIN, "channels": ["trades"]}, "unknown_name", "book"),
        ("remove_coin", COIN, "unknown_name", "is not collected"),
        ("get_most_current_data", {**COIN, "channel": "book"}, "unknown_name", "add_coin"),
        ("list_coins", {"what": 1}, "invalid_input", "'what' is not a field here; available: cursor"),
        (
            "summarize_candles",
            {**DAYS, "intervall": "1h"},
            "invalid_input",
            "did you mean interval; available: exchange",
        ),
        ("remove_coin", {**COIN, "channel": "book"}, "unknown_name", "is not collected"),
    ],
)
async def test_mistakes_are_told_as_what_would_be_right(start, tool, arguments, code, says):
    """As an error of the tool with its code, never a traceback."""
    running = await start(no_auth=True)
    status, content, _ = await post(running.url, call(tool, arguments), **MODERN, **{"Mcp-Name": tool})

    result = content["result"]
    assert (200, True, code) == (status, result["isError"], result["structuredContent"]["code"])
    assert says in result["structuredContent"]["message"]
    assert "Traceback" not in json.dumps(content)


async def test_a_session_belongs_to_whom_it_was_opened_for(start):
    """For another it is not there; and when the token has expired the next request is refused."""
    running = await start()
    mine, other = await token_of(running, "read"), await token_of(running, "admin")
    status, _, headers = await post(running.url, hello(), mine)
    assert 200 == status
    session = {"Mcp-Session-Id": headers["Mcp-Session-Id"], "MCP-Protocol-Version": "2025-11-25"}
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}

    assert 200 == (await post(running.url, ping, mine, **session))[0]
    assert 404 == (await post(running.url, ping, other, **session))[0]
    running.clock.seconds = 2_000
    status, content, headers = await post(running.url, ping, mine, **session)
    assert (401, "token_expired") == (status, content["code"])
    assert 'error="invalid_token"' in headers["WWW-Authenticate"]


async def test_open_streams_end_with_the_service(start):
    """A client that only listens does not hold it up; and it learns at once that it may listen."""
    running = await start()
    token = await token_of(running, "read")
    _, _, given = await post(running.url, hello(), token)
    headers = {
        "Authorization": f"Bearer {token}",
        "Mcp-Session-Id": given["Mcp-Session-Id"],
        "MCP-Protocol-Version": "2025-11-25",
        "Accept": "text/event-stream",
    }
    began = time.perf_counter()
    async with aiohttp.ClientSession() as session, session.get(f"{running.url}/mcp", headers=headers) as stream:
        assert 200 == stream.status
        assert time.perf_counter() - began < 5
        began = time.perf_counter()
        running.server.should_exit = True
        async with asyncio.timeout(10):
            await stream.read()
        assert time.perf_counter() - began < 5


async def test_without_tokens_only_pages_of_this_machine_may_call(start):
    """Else any page in a browser here could, by a name that it points to this machine."""
    running = await start(no_auth=True)
    for headers, status in (
        ({}, 200),
        ({"Host": "localhost:8700", "Origin": "http://localhost:8700"}, 200),
        ({"Origin": running.url}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
    ):
        assert status == (await post(running.url, hello(), **headers))[0]


async def test_it_is_one_path_of_the_service_and_is_counted(start):
    """What is not there is a problem as ever; requests count under their own name."""
    running = await start(no_auth=True)
    await post(running.url, hello())
    async with aiohttp.ClientSession(running.url) as session:
        async with session.get("/nowhere") as given:
            assert (404, "not_found") == (given.status, (await given.json(content_type=None))["code"])
        async with session.get("/metrics") as given:
            assert 'method="POST",path="/mcp",status="200"' in await given.text()
