"""One vocabulary: every spelling of exchange, symbol, market and time has the same meaning at every interface."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json

import aiohttp
import polars as pl
import pytest

import chandlery
from chandlery.cli.app import run
from chandlery.core.errors import InvalidInput
from chandlery.core.instrument import MarketType
from chandlery.core.time import MINUTE, iso
from chandlery.net.clock import system_clock
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.server import SimServer
from fixtures.mcp_client import model_of
from fixtures.service import connected, served
from fixtures.service_accounts import quick_hashes

ROWS = 20
SPOT = [
    ("binance", "BTC/USDT", None),
    ("Binance", "BTCUSDT", None),
    ("BINANCE", "btcusdt", None),
    ("binance", "BTC-USDT", None),
    ("binance_spot", "BTCUSDT", None),
    ("BINANCE_SPOT", "btc/usdt", None),
    ("binance", "BTCUSDT", "spot"),
]
LINEAR = [
    ("binance", "BTC/USDT:USDT", None),
    ("binance", "BTCUSDT", "um"),
    ("Binance", "BTC-USDT", "linear"),
    ("binance", "btc/usdt", "futures"),
    ("BINANCE", "BTCUSDT", "perpetual"),
    ("binance_perpetual", "BTCUSDT", None),
    ("binance", "PEPEUSDT", "swap"),
]
WRONG = [
    ("binanec", "BTC/USDT", None, "did you mean binance"),
    ("binance", "BTC/USDT", "liner", "did you mean linear"),
    ("binance_spot", "BTC/USDT", "linear", "it has binance_spot"),
]
TIMES = ["iso", "no_zone", "milliseconds", "relative"]
WAYS = ["library", "cli", "http", "websocket", "mcp"]
MARKET = SyntheticMarket(
    symbols={
        MarketType.SPOT: ["BTCUSDT"],
        MarketType.FUTURES_USDT: ["BTCUSDT", "PEPEUSDT"],
        MarketType.FUTURES_COIN: [],
    }
)


class Interfaces:
    """Each answers with the closes of a range of minutes, or with the message of its error."""

    def __init__(self, sim, session, socket, model, folder):
        self.sim, self.session, self.socket, self.model, self.folder = sim, session, socket, model, folder

    async def library(self, exchange, symbol, market, start, end):
        options = {"exchange": exchange, "market": market, "output": "polars", "cache_dir": self.folder / "library"}
        read = asyncio.to_thread(chandlery.get_data, symbol, "1m", start=start, end=end, **options)
        try:
            return (await read)["close"].to_list()
        except InvalidInput as error:
            return str(error)

    async def cli(self, exchange, symbol, market, start, end):
        path = self.folder / "rows.parquet"
        line = [
            "fetch",
            symbol,
            "1m",
            "--exchange",
            exchange,
            "--start",
            start,
            "--cache-dir",
            str(self.folder / "cli"),
        ]
        line += [] if market is None else ["--market", market]
        line += [] if end is None else ["--end", end]
        with contextlib.redirect_stderr(io.StringIO()) as said:
            code = await asyncio.to_thread(run, [*line, "-o", str(path)])
        return said.getvalue() if code else pl.read_parquet(path)["close"].to_list()

    async def http(self, *asked):
        async with self.session.get("/v1/candles", params=fields(*asked)) as answer:
            content = await answer.json()
        if answer.status != 200:
            return content["detail"]
        return [row[content["columns"].index("close")] for row in content["rows"]]

    async def websocket(self, *asked):
        await self.socket.say("request_historical", **fields(*asked))
        closes = []
        while (told := await self.socket.next())["type"] == "historical_data_chunk":
            closes += [row[told["columns"].index("close")] for row in told["rows"]]
        return told["message"] if told["type"] == "error" else closes

    async def mcp(self, *asked):
        tool = "download_historical_data"
        answer = (await self.model.call_tool(tool, fields(*asked) | {"preview_rows": 100})).structured_content
        if "message" in answer:
            return answer["message"]
        return [row[answer["preview"]["columns"].index("close")] for row in answer["preview"]["rows"]]


def fields(exchange, symbol, market, start, end):
    """The fields of a request to the service, without those that are left out."""
    given = {"exchange": exchange, "symbol": symbol, "market": market, "start": start, "end": end}
    return {name: value for name, value in given.items() if value is not None}


def ranges(end):
    """The same range in each form; the relative one ends now."""
    start = end - ROWS * MINUTE
    return {
        "iso": (iso(start), iso(end)),
        "no_zone": (iso(start).removesuffix("Z"), iso(end).removesuffix("Z")),
        "milliseconds": (str(start // 1000), str(end // 1000)),
        "relative": ("40m", None),
    }


async def answers(folder):
    """The answers of every interface, by interface and what was asked; in one task, as the client of MCP needs it."""
    found = {}
    sim = SimServer(MARKET, exchanges=("binance_spot", "binance_perpetual", "binance_inverse"), weight_limit=10**9)
    async with sim, served(sim, folder, no_auth=False, hashes=quick_hashes()) as (service, _):
        client, secret = await service.accounts.create_client("bot", ["read", "collect"])
        token = (await service.accounts.login("client", client.id, secret)).text
        headers = {"Authorization": f"Bearer {token}"}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CHANDLERY_ENDPOINTS", json.dumps(sim.endpoints))
            async with (
                aiohttp.ClientSession(service.url, headers=headers) as session,
                connected(session) as socket,
                model_of(service.accounts, service.url, "read", "collect") as model,
            ):
                interfaces = Interfaces(sim, session, socket, model, folder)
                times = ranges(system_clock() // MINUTE * MINUTE - 5 * MINUTE)
                for way in WAYS:
                    ask = getattr(interfaces, way)
                    for spelling in (*SPOT, *LINEAR, *(each[:3] for each in WRONG)):
                        found[way, spelling] = await ask(*spelling, *times["iso"])
                    for form in TIMES:
                        found[way, form] = await ask(*SPOT[0], *times[form])
    return found


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """All cells of the table, asked of one service and one offline exchange."""
    return asyncio.run(answers(tmp_path_factory.mktemp("vocabulary")))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("spelling", SPOT)
def test_spot(table, way, spelling):
    """Left out, the market is spot where the exchange lists the symbol there."""
    assert ROWS == len(table[way, spelling])
    assert table["library", SPOT[0]] == table[way, spelling]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("spelling", LINEAR[:-1])
def test_linear(table, way, spelling):
    """Named by the symbol, the market or the exchange."""
    assert ROWS == len(table[way, spelling])
    assert table["library", LINEAR[0]] == table[way, spelling] != table["library", SPOT[0]]


@pytest.mark.parametrize("way", WAYS)
def test_a_symbol_of_another_market(table, way):
    """It is listed there only."""
    assert table["library", LINEAR[-1]] == table[way, LINEAR[-1]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrong", WRONG)
def test_unknown_names(table, way, wrong):
    """The error names the nearest, or what there is."""
    assert wrong[3] in " ".join(table[way, wrong[:3]].split())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", TIMES)
def test_times(table, way, form):
    """The same range in every form."""
    wanted, found = table["library", SPOT[0]], table[way, form]
    if form == "relative":
        assert any(wanted == found[at : at + ROWS] for at in range(len(found)))
    else:
        assert wanted == found
