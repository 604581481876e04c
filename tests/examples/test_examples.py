"""Each example program does what its first lines say."""

from __future__ import annotations

import ast
import asyncio
import csv
import json
import os
import re
import sys
from pathlib import Path
from typing import ClassVar

import pyarrow.parquet as pq
import pytest

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.service import ServiceSettings
from chandlery.service.run import running as running_service
from chandlery.sim import Fault, FaultKind, running
from chandlery.sim.reply import json_reply
from chandlery.sim.wire import Wire
from fixtures.ccxt_accounts import held
from fixtures.service import library_settings

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py"))
TIMEOUT_S = 100
LINES = 60


class PoloniexWire(Wire):
    """Candles of Poloniex spot, as its documentation has them (https://api-docs.poloniex.com/spot/api/public/market-data)."""

    id = "poloniex_spot"
    market_type = MarketType.SPOT
    spelled: ClassVar = {"MINUTE_1": Interval.MINUTE_1, "HOUR_1": Interval.HOUR_1, "DAY_1": Interval.DAY_1}

    def symbol(self, native):
        """``BTC_USDT`` is ``BTCUSDT``."""
        return native.replace("_", "")

    def answer(self, request):
        """The clock, or the candles that open within both bounds, oldest first."""
        if request.path == "/timestamp":
            return json_reply({"serverTime": self.now // 1000})
        native = re.fullmatch(r"/markets/(\w+)/candles", request.path)[1]
        query = request.query
        span = Span(int(query["startTime"]) * 1000, int(query["endTime"]) * 1000 + 1)
        candles = self.view.candles(
            self.symbol(native), self.spelled[query["interval"]], span, int(query["limit"]), newest=True
        )
        return json_reply([self.row(each, query["interval"]) for each in candles])

    def row(self, each, name):
        """Fourteen places: prices and amounts as text, times and the count as numbers."""
        texts = [each.low, each.high, each.open, each.close, each.quote, each.volume, each.taker_quote, each.taker]
        return [*texts, each.count, self.now // 1000, each.close, name, each.open_time // 1000, each.end // 1000 - 1]

    def refusal(self, status):
        """An error in its own words."""
        return json_reply({"code": status, "message": "refused"}, status)

    def obey(self, session, text):
        """Nothing: its sockets are not offline."""
        return []

    candles = changes = obey


@pytest.fixture(scope="module")
def exchange():
    """The offline exchange, with Poloniex besides those that it has."""
    with running(wires=[PoloniexWire]) as sim:
        yield sim


def known(sim):
    """The endpoints of the exchanges that chandlery has."""
    return {name: urls for name, urls in sim.endpoints.items() if name != PoloniexWire.id}


@pytest.fixture
def program(exchange, tmp_path):
    """Runs an example against the offline exchange, in a folder of its own, and returns what it printed."""
    # Limits are shared by host in the folder for temporary files: a pause of an hour would hold for the next server at that port.
    limits = tmp_path / "limits"
    limits.mkdir()

    async def run(name, *args, endpoints=None, **environment):
        settings = {
            "TMPDIR": str(limits),
            "CHANDLERY_ENDPOINTS": json.dumps(known(exchange) if endpoints is None else endpoints),
            "CHANDLERY_CACHE_DIR": str(tmp_path / "cache"),
        }
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "error::ResourceWarning",
            str(EXAMPLES / f"{name}.py"),
            *map(str, args),
            env={**os.environ, **settings, **environment},
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(child.communicate(), TIMEOUT_S)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        assert (child.returncode, err.decode()) == (0, ""), err.decode()
        return out.decode()

    return run


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_are_small_and_tell_how_to_run_them(name):
    """A program fits on a screen or so, and its docstring has the command that runs it."""
    text = (EXAMPLES / name).read_text()

    assert f"python examples/{name}" in ast.get_docstring(ast.parse(text))
    assert sum(bool(line.strip()) for line in text.splitlines()) <= LINES


def test_every_program_is_listed():
    """The page of the examples links each of them."""
    assert PROGRAMS == sorted(re.findall(r"\[(\w+\.py)\]\(\1\)", (EXAMPLES / "README.md").read_text()))


async def test_year_to_parquet(program, tmp_path):
    """The file holds each hour of the year."""
    printed = await program("year_to_parquet", "year.parquet", "1h")

    table = pq.read_table(tmp_path / "year.parquet")
    assert table.num_rows == 366 * 24
    assert printed == f"{366 * 24} candles in year.parquet\n"


async def test_funding_of_five_exchanges(program):
    """Each exchange has the rates of a week."""
    found = re.findall(
        r"^(\w+) +(\d+) rates, ([+-][\d.]+)% on average$", await program("funding_of_five_exchanges"), re.MULTILINE
    )

    assert ["BINANCE", "BYBIT", "OKX", "GATE", "HTX"] == [name for name, _, _ in found]
    assert {"21"} == {count for _, count, _ in found}


async def test_live_candles_to_file(program, tmp_path):
    """Each line is the candle of another second, and none between them is missing."""
    await program("live_candles_to_file", "candles.csv", "1s", 3)

    rows = list(csv.reader((tmp_path / "candles.csv").read_text().splitlines()))
    opened = sorted(int(row[0]) for row in rows)
    assert opened == list(range(opened[0], opened[0] + 3))
    assert all(float(low) <= float(close) <= float(high) for _, _, high, low, close, _ in rows)


async def test_order_book_ladder(program):
    """The last ladder has ten levels a side, the prices falling from the highest ask to the lowest bid."""
    printed = await program("order_book_ladder", 3)

    prices = [float(each) for each in re.findall(r"│ [\d.]+ │ ([\d.]+) │", printed)]
    assert len(prices) == 20
    assert prices == sorted(prices, reverse=True)
    assert f"spread {prices[9] - prices[10]:.6g}" in printed


async def test_many_symbols(program):
    """There is a line for each symbol, with an hour of candles."""
    lines = (await program("many_symbols", "0.5")).splitlines()

    assert len(lines) == 8
    assert all("over 60 minutes" in line for line in lines)


async def test_service_client(program, exchange, tmp_path):
    """The client prints two pages of a day, and live candles."""
    settings = ServiceSettings(_env_file=None, no_auth=True, port=0, data_dir=tmp_path / "data")
    library = library_settings(tmp_path)
    async with running_service(settings, library=library, endpoints=known(exchange)) as service:
        lines = (await program("service_client", service.url)).splitlines()

    assert lines[:2] == ["1000 candles, missing: []", "440 candles, missing: []"]
    assert [line.split()[0] for line in lines[2:]] == ["live"] * 3


async def test_mcp_client(program, exchange, tmp_path):
    """The client prints the tools, and where the summary comes from."""
    settings = ServiceSettings(_env_file=None, no_auth=True, port=0, data_dir=tmp_path / "data")
    library = library_settings(tmp_path)
    async with running_service(settings, library=library, endpoints=known(exchange)) as service:
        lines = (await program("mcp_client", service.url)).splitlines()

    assert "tool summarize_candles" in lines
    assert re.fullmatch(r"change -?[\d.]+ from \[\{'source': .*'rows': 31.*\}\]", lines[-1])


async def test_ccxt_fallback(program, exchange):
    """Where the first exchange wants a long pause, the candles are ccxt's of the next."""
    ccxt = held("kraken_spot")
    addresses = {old: new.format(**exchange.endpoints["kraken_spot"]) for old, new in ccxt["urls"]}
    pause = Fault(FaultKind.TOO_MANY_REQUESTS, path="klines", retry_after=3600, times=None)
    with running(exchanges=["binance_spot"], faults=[pause]) as busy:
        lines = (
            await program(
                "ccxt_fallback",
                endpoints=busy.endpoints,
                CCXT_ENDPOINTS=json.dumps({"kraken": addresses}),
                CCXT_OPTIONS=json.dumps({"kraken": ccxt.get("options", {})}),
            )
        ).splitlines()

    assert lines[0].startswith("binance failed: ")
    assert lines[1].startswith("ccxt.kraken gave ")
    assert lines[2].startswith("60 candles")


async def test_third_party_adapter(program, exchange):
    """The exchange of the example has every hour of thirty days."""
    assert "[720 rows x 3 columns]" in await program("third_party_adapter", endpoints=exchange.endpoints)


async def test_third_party_client(program, exchange):
    """The client of the example has every minute of a day."""
    endpoints = {"binance_us": {"rest": exchange.endpoints["binance_spot"]["rest"]}}

    assert (await program("third_party_client", endpoints=endpoints)).startswith("1440 candles, ")
