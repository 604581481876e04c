"""Which clients are open: their names, their closing, and those of third parties."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from chandlery.clients.interfaces import IExchangeAPIClient
from chandlery.clients.plugins import PluginRegistry, qualified, split
from chandlery.core.errors import CloseFailed, InvalidInput, RequestTimeout, UnknownName

ACME = Path(__file__).parent / "acme_plugin"


class Client(IExchangeAPIClient):
    """A third party's client, of any family and exchange; ``close`` does what it is told."""

    def __init__(self, family, exchange, *, close=None):
        self.family, self.exchange = family, exchange
        self._close = close
        self.closed = 0

    def get_exchange_name(self):
        return self.exchange

    async def fetch_historical_data(self, coin, start, end, interval="1m"):
        return []

    async def check_coin_availability(self, coin):
        return True

    async def start_realtime_stream(self, coin, callback, **options):
        raise NotImplementedError

    async def close(self):
        self.closed += 1
        if self._close is not None:
            await self._close()


@pytest.mark.parametrize("name", ["htx", "huobi", "HTX", "ccxt.htx", "ccxt.huobi", " CCXT.Huobi "])
def test_every_spelling_finds_it(name):
    """A plugin is found by its exchange under every spelling, with and without its family."""
    registry = PluginRegistry()
    client = Client("ccxt", "huobi")
    registry.add_plugin(client)

    assert registry.get_plugin(name) is client
    assert ["htx"] == registry.list_plugins()


def test_two_for_one_exchange_must_be_named():
    """The same exchange under two plugins is refused with both names; with its family each is found."""
    registry = PluginRegistry()
    ours, theirs = Client("native", "binance"), Client("ccxt", "binance")
    registry.add_plugin(ours)
    registry.add_plugin(theirs)
    registry.add_plugin(Client("ccxt", "kraken"))
    with pytest.raises(InvalidInput, match=r"'binance' is ambiguous: ccxt\.binance and native\.binance; use one"):
        registry.get_plugin("binance")

    assert (ours, theirs) == (registry.get_plugin("native.binance"), registry.get_plugin("ccxt.binance"))
    assert ["ccxt.binance", "kraken", "native.binance"] == registry.list_plugins()


def test_the_same_name_twice_is_refused():
    """Another client of the same family and exchange is refused; the same one again is nothing."""
    registry = PluginRegistry()
    client = Client("ccxt", "binance")
    registry.add_plugin(client)
    registry.add_plugin(client)
    with pytest.raises(InvalidInput, match=r"ccxt\.binance is open already"):
        registry.add_plugin(Client("ccxt", "Binance"))

    assert registry.get_plugin("binance") is client


def test_a_name_that_is_none():
    """What is not open is refused with what is; another family's is none of ours."""
    registry = PluginRegistry()
    with pytest.raises(UnknownName, match="open: none"):
        registry.get_plugin("binance")
    registry.add_plugin(Client("ccxt", "kraken"))
    with pytest.raises(UnknownName, match=r"native\.kraken.*open: kraken"):
        registry.get_plugin("native.kraken")


def test_names_come_apart_and_together():
    """A full name is family and exchange, the latter canonical."""
    assert ("ccxt", "htx") == split("ccxt.huobi")
    assert ("", "htx") == split("huobi")
    assert "ccxt.htx" == qualified("ccxt", "Huobi")


async def test_everything_closes_whatever_fails():
    """One that fails, and one that hangs, keep no other from closing; both are reported by name."""

    async def fail():
        raise OSError("no")

    async def hang():
        await asyncio.Event().wait()

    registry = PluginRegistry()
    clients = [
        Client("a", "one", close=fail),
        Client("b", "two"),
        Client("c", "three", close=hang),
        Client("d", "four"),
    ]
    for client in clients:
        registry.add_plugin(client)
    with pytest.raises(
        CloseFailed, match=r"of 4 plugins 2 did not close: a\.one: OSError\('no'\); c\.three: .*0\.2 s"
    ) as caught:
        await registry.close_all(timeout_s=0.2)

    assert [1, 1, 1, 1] == [client.closed for client in clients]
    assert {"a.one": OSError, "c.three": RequestTimeout} == {
        name: type(error) for name, error in caught.value.failures.items()
    }
    assert [] == registry.list_plugins()
    await registry.close_all()


USER = """
import asyncio
from datetime import datetime, timedelta, timezone
from chandlery import DataSourceConnectorImpl, Settings

async def main():
    connector = DataSourceConnectorImpl(settings=Settings.of(None))
    day = datetime(2024, 1, 1, tzinfo=timezone.utc)
    rows = await connector.fetch_historical_data("acme", "GOLD/USD", day, day + timedelta(minutes=3))
    print(len(rows), rows[0]["open"], await connector.check_coin_availability("acme", "GOLD/USD"))
    table = await connector.get_client("acme_labs.acme").fetch_candles("GOLD/USD", day, day + timedelta(minutes=3))
    print(table.num_rows, type(connector.get_client("Acme")).__module__)
    heard = asyncio.Event()
    stream = await connector.start_realtime_stream("acme", "GOLD/USD", lambda coin, entry: heard.set())
    await asyncio.wait_for(heard.wait(), 5)
    await stream.stop()
    client = connector.get_client("acme")
    await connector.close_all_plugins()
    print(client.closed)

asyncio.run(main())
"""


def test_a_package_of_its_own_is_discovered_used_and_closed(tmp_path):
    """A plugin that was built and installed as another package is found by its entry point, used and closed."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist"],
        cwd=ACME, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    used = subprocess.run(
        [sys.executable, "-W", "error", "-c", USER],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert "" == used.stderr
    assert ["3 1.0 True", "3 acme_chandlery", "['acme']"] == used.stdout.splitlines()


def test_an_entry_point_that_is_no_client_is_refused(tmp_path):
    """What an entry point offers must be a client's class; the message says which entry is not."""
    (tmp_path / "bad_plugin.py").write_text("def make(settings): return None\n")
    info = tmp_path / "bad_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[chandlery.plugins]\nbad = bad_plugin:make\n")
    script = "from chandlery.clients.plugins import third_parties\nthird_parties('bad')"
    used = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert "InvalidInput: the entry point bad = bad_plugin:make of chandlery.plugins is not a subclass" in used.stderr
