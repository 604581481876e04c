"""
The service against what is written by hand with FastAPI on the same server: the feed, the past, whole files, collecting.

Servers, exchange and clients each have a process of their own; nothing leaves this machine. The plain server holds
its candles in memory as dicts, which favours it: chandlery reads its cache anew for each request.
"""

from __future__ import annotations

import http.client
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import requests
from measure import Ratio, interleaved
from service_wire import connected, messages, say

ROWS = 500_000
START = datetime(2024, 1, 1, tzinfo=UTC)
_WANTED = {"exchange": "binance", "symbol": "BTC/USDT", "start": "2024-01-01", "interval": "1m"}
LOADS = {"calm": (5, 3.0), "busy": (100, 4.0)}
"""How many updates a second come, and for how long: what the plain server can bear, and what it cannot."""
INGEST = {"rate": 10_000, "seconds": 5, "coins": 20}
_TIMEOUT_S = 120.0


@dataclass
class Ports:
    """Where the servers are."""

    ours: int
    plain: int


def service(rounds: int, place: str) -> list[Ratio]:
    """All four; the data folder of the service is in ``place``."""
    print(f"the service: medians of {rounds} rounds, data in {place}\n")
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory(prefix="chandlery-bench-", dir=place) as folder, ExitStack() as stack:
        endpoints = stack.enter_context(_process(here / "service_exchange.py"))
        ours = int(stack.enter_context(_process(here / "service_ours.py", endpoints, place)))
        whole = Path(folder) / "candles.arrow"
        _bulk(ours, _bulk_path())  # from now on all of it is in the service's cache
        whole.write_bytes(_bulk(ours, _bulk_path()))
        plain = int(stack.enter_context(_process(here / "service_plain.py", str(whole))))
        ports = Ports(ours, plain)
        ratios = [*past(ports, rounds), bulk(ports, len(whole.read_bytes()), rounds)]
        ratios += [*fan_out(ports, here, rounds), ingest(ports)]
    return ratios


def fan_out(ports: Ports, here: Path, rounds: int) -> list[Ratio]:
    """Order books and closed candles, told to a thousand clients of each server."""
    seen: dict[tuple[str, str], list[dict[str, float]]] = {}
    with ExitStack() as stack:
        fans, addresses = {}, {"plain": ports.plain, "ours": ports.ours}
        for name in ("websockets", "picows"):
            port, fans[name] = stack.enter_context(_asked(here / "service_fan.py", name))
            addresses[name] = int(port)
        ready, ask = stack.enter_context(_asked(here / "service_crowd.py", json.dumps(addresses)))
        if ready != "ready":
            raise SystemExit("the clients could not connect")
        for _ in range(rounds):
            for load, (rate, seconds) in LOADS.items():
                query = f"/bench/feed?rate={rate}&seconds={seconds}"
                works: dict[str, tuple[str, Callable[[], Any]]] = {
                    "plain": ("plain", lambda query=query: _post(ports.plain, query)),
                    "plain, encoding once": ("plain", lambda query=query: _post(ports.plain, f"{query}&once=true")),
                    **{name: (name, partial(told, f"{rate} {seconds}\n")) for name, told in fans.items()},
                    "ours": ("ours", lambda query=query: _post(ports.ours, query)),
                }
                for name, (crowd, work) in works.items():
                    ask("begin")
                    done = work()
                    seen.setdefault((load, name), []).append(done | ask("end")[crowd])
    print("fan-out: one feed to 1,000 clients, books of 25 levels a side, each tenth update a closed candle")
    per_cpu = {}
    for (load, name), each in seen.items():
        per_cpu[load, name] = statistics.median(one["received"] / one["cpu"] for one in each)
        published, received, median, late = (
            statistics.median(one[what] for one in each) for what in ("published", "received", "median_ms", "p99_ms")
        )
        print(
            f"  {load}, {LOADS[load][0]}/s: {name:<20} {per_cpu[load, name]:10,.0f} messages per CPU second"
            f"   {published:5.0f} updates, {received:9,.0f} received   latency {median:7.1f} ms, p99 {late:7.1f} ms"
        )
    for (load, name), value in per_cpu.items():
        print(f"  {load}: ours / {name:<20} {per_cpu[load, 'ours'] / value:6.2f}")
    print()
    return [
        Ratio(
            f"fan-out to 1,000 clients, {load}: messages per CPU s / plain",
            per_cpu[load, "ours"] / per_cpu[load, "plain"],
            3.0,
            least=True,
        )
        for load in LOADS
    ]


def past(ports: Ports, rounds: int) -> list[Ratio]:
    """All candles over a WebSocket, decoded by the client."""
    own, plain = connected(ports.ours, "/v1/ws"), connected(ports.plain, "/candles")
    works: dict[str, Callable[[], int]] = {
        "plain, from dicts in memory": lambda: _plain(plain, "rows"),
        "plain, from the frame": lambda: _plain(plain, "frame"),
        "chandlery, JSON": lambda: _ours(own, "json"),
        "chandlery, Arrow": lambda: _ours(own, "arrow"),
    }
    counted = {name: work() for name, work in works.items()}
    if set(counted.values()) != {ROWS}:
        raise SystemExit(f"not all have come: {counted}")
    took = interleaved(works, rounds)
    print(f"past: {ROWS:,} candles over a WebSocket")
    for name, seconds in took.items():
        print(f"  {name:<30} {seconds * 1000:9.1f} ms {ROWS / seconds:14,.0f} rows/s")
    print()
    own.close()
    plain.close()
    base = took["plain, from dicts in memory"]
    return [
        Ratio(
            "candles over WebSocket, Arrow, times faster than plain", base / took["chandlery, Arrow"], 25, least=True
        ),
        Ratio("candles over WebSocket, JSON, times faster than plain", base / took["chandlery, JSON"], 4, least=True),
    ]


def bulk(ports: Ports, size: int, rounds: int) -> Ratio:
    """
    The candles as a whole Arrow stream over HTTP, against the same bytes from memory.

    What counts is a client that does nothing but receive, into memory that it has already. An answer that does not
    change is kept by the service; "first request" is one that nobody has asked for before.
    """
    asked = itertools.count(1)
    room = memoryview(bytearray(size + 1))

    def get(port: int, path: str) -> None:
        got = _bulk_into(port, path, room)
        if got != size:
            raise SystemExit(f"{path} gave {got} bytes, not {size}")

    def streamed() -> None:
        _bulk_into(ports.ours, _bulk_path(next(asked)), room)

    def by_requests(port: int, path: str) -> None:
        if len(requests.get(f"http://127.0.0.1:{port}{path}", timeout=_TIMEOUT_S).content) != size:
            raise SystemExit(f"{path} did not give {size} bytes")

    took = interleaved(
        {
            "plain, from memory": lambda: get(ports.plain, "/bulk"),
            "chandlery": lambda: get(ports.ours, _bulk_path()),
            "chandlery, first request": streamed,
            "plain, the client is requests": lambda: by_requests(ports.plain, "/bulk"),
            "chandlery, the client is requests": lambda: by_requests(ports.ours, _bulk_path()),
        },
        max(rounds, 7),
    )
    print(f"bulk: {size / 2**20:.1f} MiB of Arrow over HTTP")
    for name, seconds in took.items():
        print(f"  {name:<34} {seconds * 1000:9.1f} ms {size / seconds / 2**20:14,.0f} MiB/s")
    print()
    return Ratio(
        "bulk Arrow over HTTP / a body in memory", took["plain, from memory"] / took["chandlery"], 0.8, least=True
    )


def ingest(ports: Ports) -> Ratio:
    """Order books of twenty coins from a plugin, with snapshots every second."""
    told = _post(ports.ours, "/bench/ingest?" + "&".join(f"{name}={value}" for name, value in INGEST.items()))
    print(
        f"ingest: {told['handled']:,.0f} of {INGEST['rate']:,} updates a second, {told['busy']:.0%} of a core,"
        f" {told['snapshots']:.0f} snapshots; lag: median {told['median'] * 1000:.2f} ms,"
        f" p99 {told['p99'] * 1000:.2f} ms, worst {told['worst'] * 1000:.2f} ms\n"
    )
    if told["handled"] < INGEST["rate"] * 0.99:
        raise SystemExit("not all updates were handled")
    return Ratio("ingest of 10,000 books a second: median lag in ms", told["median"] * 1000, 50)


def _ours(sock: Any, form: str) -> int:
    say(sock, {"type": "request_historical", "end": _end(), "format": form} | _WANTED)
    rows = 0
    for message in messages(sock):
        if message[:1] == b"{":
            content = msgspec.json.decode(message)
            if content["type"] == "historical_data_complete":
                return rows
            rows += len(content["rows"])
        else:
            rows += pa.ipc.open_stream(pa.py_buffer(message)).read_all().num_rows
    raise SystemExit("the service ended the connection")


def _plain(sock: Any, source: str) -> int:
    say(sock, source)
    rows = 0
    for message in messages(sock):
        rows += len(msgspec.json.decode(message)["rows"])
        if rows >= ROWS:
            break
    return rows


def _end(less: int = 0) -> str:
    return (START + timedelta(minutes=ROWS - less)).isoformat().replace("+00:00", "Z")


def _bulk_path(less: int = 0) -> str:
    wanted = _WANTED | {"symbol": "BTC-USDT", "end": _end(less), "format": "arrow"}
    return "/v1/candles?" + "&".join(f"{name}={value}" for name, value in wanted.items())


def _bulk(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    connection.request("GET", path)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status} {content!r}")
    return content


def _bulk_into(port: int, path: str, room: memoryview) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    connection.request("GET", path)
    answer = connection.getresponse()
    at = 0
    while got := answer.readinto(room[at:]):
        at += got
    connection.close()
    return at


def _post(port: int, path: str) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    connection.request("POST", path)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status} {content!r}")
    return json.loads(content)


@contextmanager
def _asked(script: Path, *arguments: str) -> Iterator[tuple[str, Callable[[str], Any]]]:
    """The first line that a script says, and what tells it something and gives its answer."""
    command = [sys.executable, str(script), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(text: str) -> Any:
            process.stdin.write(text)
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        try:
            yield process.stdout.readline().strip(), ask
        finally:
            _end_of(process)


@contextmanager
def _process(script: Path, *arguments: str) -> Iterator[str]:
    """The first line that a script says, which runs until the end of the block."""
    command = [sys.executable, str(script), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.stdout.readline()
            if not said:
                raise SystemExit(f"{script.name} could not start")
            yield said.strip()
        finally:
            _end_of(process)


def _end_of(process: subprocess.Popen[str]) -> None:
    process.stdin.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait(30)
