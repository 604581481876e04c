"""Odd and bad names over every way in: what is right is answered alike, what is wrong is refused in the same words."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import polars as pl
import pytest

from chandlery import AsyncDataSourceManager
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.cli.app import run
from chandlery.core.errors import InvalidSymbol
from chandlery.core.instrument import MarketType
from chandlery.core.time import MINUTE, iso, to_datetime
from chandlery.net.clock import system_clock
from chandlery.service.errors import code_of
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.server import SimServer
from fixtures.mcp_client import model_of
from fixtures.service import connected, served
from fixtures.service_accounts import quick_hashes

CHINESE = "币安人生"
LINEAR = ["BTCUSDT", "BTCUSD", "MSFTUSDT", f"{CHINESE}USDT", "TSLAUSDT", "BTCUSDT_260327", "BTCUSD_260327"]
MARKET = SyntheticMarket(
    symbols={
        MarketType.SPOT: ["BTCUSDT", f"{CHINESE}USDT", "BTCUSD", "AAPLxUSD"],
        MarketType.FUTURES_USDT: LINEAR,
        MarketType.FUTURES_COIN: ["BTCUSD_PERP", "BTCUSD_260327"],
    }
)
RIGHT = [
    ("binance_spot", f"{CHINESE}USDT"),
    ("gate_spot", f"{CHINESE}_USDT"),
    ("htx_spot", f"{CHINESE}usdt"),
    ("okx_spot", f"{CHINESE}-USDT"),
    ("kucoin_spot", f"{CHINESE}-USDT"),
    ("bybit_spot", f"{CHINESE}USDT"),
    ("mexc_spot", f"{CHINESE}USDT"),
    ("binance_perpetual", f"{CHINESE}/USDT:USDT"),
    ("kraken_spot", "AAPLx/USD"),
    ("binance_perpetual", "TSLAUSDT"),
    ("binance_perpetual", "BTCUSDT_260327"),
    ("binance_perpetual", "BTC/USDT:USDT-260327"),
    ("binance_inverse", "BTCUSD_260327"),
    ("okx_perpetual", "BTC/USDT:USDT-260327"),
    ("okx_inverse", "BTC-USD-260327"),
    ("bybit_perpetual", "BTCUSDT-27MAR26"),
    ("bybit_inverse", "BTC/USD:BTC-260327"),
    ("kucoin_inverse", "XBTMH26"),
    ("htx_perpetual", "BTC-USDT-260327"),
    ("cryptocom_perpetual", "BTC/USD:USD-260327"),
]
BAD = ["BTC\0USDT", "", " ", "BTC USDT", " BTC/USDT", "7", "BTC-", "../BTC", "A" * 70, "A" * 200, "BTC/USDT-1", "NOPE/USDT", "NOPEUSDT"]  # fmt: skip
NO_TEXT = [7, None, 1.5, ["BTC/USDT"]]


class Ways:
    """The ways in: each answers with the closes of a range of minutes, or with the code and the words of its refusal."""

    def __init__(self, sim, service, session, model, socket, folder, capsys):
        self.sim, self.service, self.session, self.model, self.socket = sim, service, session, model, socket
        self.folder, self.capsys = folder, capsys
        self.end = system_clock() // MINUTE * MINUTE - 5 * MINUTE
        self.span = {"start": iso(self.end - 20 * MINUTE), "end": iso(self.end)}

    def asked(self, exchange, symbol):
        """What all of the service take."""
        return {"exchange": exchange, "symbol": symbol, "interval": "1m", **self.span}

    async def library(self, exchange, symbol):
        """``get_data``."""
        adapter = ExchangeRegistry.get(exchange)
        options = {"cache_dir": self.folder / "library", "endpoints": self.sim.endpoints}
        async with AsyncDataSourceManager(adapter.market_type, adapter.provider, **options) as manager:
            start, end = to_datetime(self.end - 20 * MINUTE), to_datetime(self.end)
            try:
                frame = await manager.get_data(symbol, start, end, "1m", output="arrow")
            except InvalidSymbol as error:
                return code_of(error), str(error)
        return frame["close"].to_pylist()

    async def http(self, exchange, symbol):
        """A page of candles."""
        async with self.session.get("/v1/candles", params=self.asked(exchange, symbol)) as answer:
            content = await answer.json(content_type=None)
        if answer.status != 200:
            return content["code"], content["detail"]
        return [row[content["columns"].index("close")] for row in content["rows"]]

    async def body(self, exchange, symbol):
        """The body of a request to collect; it has no rows."""
        async with self.session.post("/v1/coins", json={"exchange": exchange, "symbol": symbol}) as answer:
            content = await answer.json(content_type=None)
        return content["code"], content["detail"]

    async def websocket(self, exchange, symbol):
        """The past over the socket."""
        await self.socket.say("request_historical", **self.asked(exchange, symbol))
        closes = []
        while True:
            told = await self.socket.next()
            if told["type"] == "error":
                return told["code"], told["message"]
            if told["type"] == "historical_data_complete":
                return closes
            closes += [row[told["columns"].index("close")] for row in told["rows"]]

    async def mcp(self, exchange, symbol):
        """The tool that downloads."""
        asked = self.asked(exchange, symbol) | {"preview_rows": 50}
        answer = (await self.model.call_tool("download_historical_data", asked)).structured_content
        if "code" in answer:
            return answer["code"], answer["message"]
        return [row[answer["preview"]["columns"].index("close")] for row in answer["preview"]["rows"]]

    async def cli(self, exchange, symbol):
        """``chandlery fetch``."""
        path = self.folder / "rows.parquet"
        options = ["--exchange", exchange, "--start", self.span["start"], "--end", self.span["end"]]
        line = ["fetch", symbol, "1m", *options, "--cache-dir", str(self.folder / "cli"), "-o", str(path)]
        code = await asyncio.to_thread(run, line)
        said = self.capsys.readouterr().err
        if code == 2:
            return "invalid_symbol", said.removeprefix("chandlery: ").rstrip("\n")
        assert 0 == code, said
        return pl.read_parquet(path)["close"].to_list()


@pytest.fixture
def opened(tmp_path, monkeypatch, capsys):
    """Opens the ways into a service and a library over the same exchanges; in one task, as the client of MCP needs it."""
    return partial(ways_in, tmp_path, monkeypatch, capsys)


@asynccontextmanager
async def ways_in(tmp_path, monkeypatch, capsys):
    """All of them."""
    exchanges = tuple(dict.fromkeys(exchange for exchange, _ in RIGHT))
    sim = SimServer(MARKET, exchanges=exchanges, tick_s=0.05, weight_limit=10**9)
    async with sim, served(sim, tmp_path, no_auth=False, hashes=quick_hashes()) as (service, _):
        monkeypatch.setenv("CHANDLERY_ENDPOINTS", json.dumps(sim.endpoints))
        client, secret = await service.accounts.create_client("bot", ["read", "collect"])
        token = (await service.accounts.login("client", client.id, secret)).text
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(service.url, headers=headers) as session,
            connected(session) as socket,
            model_of(service.accounts, service.url, "read", "collect") as model,
        ):
            yield Ways(sim, service, session, model, socket, tmp_path, capsys)


async def test_names_that_are_odd_but_right(opened):
    """Other scripts, small letters, shares, contracts that expire: the same twenty candles by every way."""
    async with opened() as ways:
        for exchange, symbol in RIGHT:
            wanted = await ways.library(exchange, symbol)
            assert 20 == len(wanted), (exchange, symbol, wanted)
            for way in (ways.http, ways.websocket, ways.mcp, ways.cli):
                assert wanted == await way(exchange, symbol), (way.__name__, exchange, symbol)


async def test_names_that_are_none(opened):
    """``InvalidSymbol`` everywhere, with the library's words; nothing is collected."""
    async with opened() as ways:
        for symbol in BAD:
            code, words = wanted = await ways.library("binance_spot", symbol)
            assert "invalid_symbol" == code
            for way in (ways.http, ways.body, ways.websocket, ways.mcp):
                assert wanted == await way("binance_spot", symbol), (way.__name__, symbol)
            if "\0" not in symbol:  # no command line can hold it
                found, said = await ways.cli("binance_spot", symbol)
                # It may ask the exchange for its list, and then names the nearest, too.
                assert (code, True) == (found, said.startswith(" ".join(words.split()))), symbol
        assert [] == ways.service.collection.list_coins()


async def test_what_is_no_text_is_no_name(opened):
    """Where a way can give anything but text."""
    async with opened() as ways:
        for symbol in NO_TEXT:
            wanted = await ways.library("binance_spot", [symbol])  # a list alone is several symbols
            assert "a symbol must be a string" in wanted[1]
            for way in (ways.body, ways.websocket, ways.mcp):
                assert wanted == await way("binance_spot", symbol), (way.__name__, symbol)
