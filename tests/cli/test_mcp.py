"""``chandlery mcp`` as a process, spoken to by the official client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

COIN = {"exchange": "binance", "symbol": "BTC/USDT"}
START = ["-c", "from chandlery.cli import main; main()", "mcp", "--offline", "--data-dir"]


async def test_the_tools_over_stdin_and_stdout(tmp_path):
    """Whoever started it may do everything; stdout carries the protocol alone; it ends with its stdin."""
    command = StdioServerParameters(command=sys.executable, args=[*START, str(tmp_path)], env=dict(os.environ))
    with (tmp_path / "log").open("w+") as log:
        async with Client(stdio_client(command, errlog=log)) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert {"add_coin", "download_historical_data", "list_exchanges"} <= names
            added = (await client.call_tool("add_coin", COIN)).structured_content
            heard = []

            async def progress(done, total, message):
                heard.append(done)

            wanted = {**COIN, "start": "2026-09-01", "end": "2026-09-02"}
            told = await client.call_tool("download_historical_data", wanted, progress_callback=progress)
            text = (await client.read_resource(told.structured_content["resource"])).contents[0].text
        log.seek(0)
        assert "Traceback" not in log.read()

    assert {"running"} == {each["state"] for each in added["channels"]}
    assert (1440, [0, 1440]) == (told.structured_content["summary"]["rows"], heard)
    assert text.startswith("# binance BTC/USDT 1m")
    assert (tmp_path / "chandlery.sqlite3").is_file() or any(tmp_path.glob("*.sqlite*"))


def test_it_ends_when_it_is_told_to(tmp_path):
    """Though its stdin is open still."""
    child = subprocess.Popen(
        [sys.executable, *START, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with child:
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        child.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}).encode())
        child.stdin.write(b"\n")
        child.stdin.flush()
        assert "chandlery" in child.stdout.readline().decode()
        child.send_signal(signal.SIGTERM)
        assert 0 == child.wait(20)
        assert b"Traceback" not in child.stderr.read()


def test_two_kinds_of_exchange_at_once(chandlery):
    """Are refused in a line."""
    endpoints = json.dumps({"binance_spot": {"rest": "http://127.0.0.1:1"}})
    code, _, err = chandlery("mcp", "--offline", "--exchange-endpoints", endpoints)

    assert (2, True) == (code, "not both" in err)
