"""
Measure how much code five requests pass through, against the offline exchange.

Run it without arguments: ``.venv/bin/python scripts/journeys.py``. Each journey runs under ``sys.setprofile``, in all
threads. Only frames of chandlery count, those of the offline exchange and of imports left out; frames of Python and of
other libraries are looked through. The columns are:

functions
    Different functions and methods that were called. Lambdas, comprehensions and generator expressions belong to the
    function that they are in.
files
    Different files that these are in.
changes
    How often the package changes, of two calls that follow each other in one thread. A package is
    the first name under ``chandlery``, e.g. ``history``.
calls
    Calls of such functions. A coroutine or a generator that goes on after a wait is not called again.

The journeys are:

frame
    A WebSocket message of Kraken, from the socket to the series of a ``CandlesFeed``. The timers that run meanwhile do
    not count.
get_data
    ``AsyncDataSourceManager.get_data`` of 500 candles by REST into an empty cache, by a new manager.
GET cold, GET warm
    ``GET /v1/candles`` of 1,000 candles on a service without a token, whose answer is in no cache, and once more.
add_coin
    The MCP tool ``add_coin`` with candles and book, from the request of its client until the first candle is in the database.

Each runs once before, on other data, so that what is made once a process does not count. Counts of journeys that wait for
the exchange differ a little from run to run; the median of three runs is printed.
"""

from __future__ import annotations

import asyncio
import dis
import inspect
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from types import CodeType, FrameType
from typing import Any, NamedTuple

import aiohttp

import chandlery
from chandlery import AsyncDataSourceManager, CandlesFeed, DataProvider, Interval, MarketType, Settings
from chandlery.service.app import Service
from chandlery.service.settings import ServiceSettings
from chandlery.service.web.application import application
from chandlery.service.web.server import listening, serving
from chandlery.sim.server import SimServer
from chandlery.sim.server import running as offline_exchange

_SOURCE = str(Path(chandlery.__file__).parent) + "/"
_LEFT_OUT = "sim"
_RUNS = 3
_TIMEOUT_S = 60.0
_SPOT, _PERPETUAL, _KRAKEN = "binance_spot", "binance_perpetual", "kraken_spot"
_START = datetime(2024, 1, 1, tzinfo=UTC)
_ROWS = timedelta(minutes=1_000)
_RESUMED = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


class Counts(NamedTuple):
    """What one journey passed through."""

    functions: int
    files: int
    changes: int
    calls: int


class Recorder:
    """Counts calls of functions of chandlery in all threads while it records."""

    def __init__(self) -> None:
        self._places: dict[CodeType, tuple[str, str] | None] = {}
        self._called: dict[int, list[CodeType]] = {}
        self._records = False
        threading.setprofile(self._event)
        sys.setprofile(self._event)

    @contextmanager
    def recording(self, since: str = "") -> Iterator[list[Counts]]:
        """Record until ``stop`` or the end of the block; then the list holds the counts, from the last call of ``since`` on."""
        found: list[Counts] = []
        self._called = {}
        self._records = True
        try:
            yield found
        finally:
            self._records = False
        if since:
            self._called = {thread: _since(codes, since) for thread, codes in self._called.items()}
        found.append(self._counts())

    def stop(self) -> None:
        """End the recording before the end of its block."""
        self._records = False

    def _event(self, frame: FrameType, event: str, _: object) -> None:
        if self._records and event == "call":
            place = self._place(frame.f_code)
            if place is not None and _is_first(frame):
                self._called.setdefault(threading.get_ident(), []).append(frame.f_code)

    def _place(self, code: CodeType) -> tuple[str, str] | None:
        """File and package; ``None`` for what does not count."""
        if code not in self._places:
            name = code.co_filename.removeprefix(_SOURCE)
            package = name.partition("/")[0].removesuffix(".py")
            counts = name != code.co_filename and package != _LEFT_OUT and "<" not in code.co_name
            self._places[code] = (name, package) if counts else None
        return self._places[code]

    def _counts(self) -> Counts:
        roads = [[(code, *(self._places[code] or ("", ""))) for code in each] for each in self._called.values()]
        steps = [step for road in roads for step in road]
        changes = sum(a[2] != b[2] for road in roads for a, b in pairwise(road))
        return Counts(len({each[0] for each in steps}), len({each[1] for each in steps}), changes, len(steps))


def _since(codes: list[CodeType], name: str) -> list[CodeType]:
    """Return the calls from the last one of a function on; none without it."""
    names = [code.co_name for code in codes]
    return codes[len(names) - 1 - names[::-1].index(name) :] if name in names else []


def _is_first(frame: FrameType) -> bool:
    """Whether a frame is entered for the first time, not resumed after a wait."""
    code = frame.f_code
    if not code.co_flags & _RESUMED:
        return True
    if sys.version_info < (3, 12):
        return frame.f_lasti < 0  # the call makes the coroutine or generator
    return frame.f_lasti <= next(each.offset for each in dis.get_instructions(code) if each.opname == "RESUME")


async def _frame(recorder: Recorder, sim: SimServer, folder: Path) -> Counts:
    del folder
    received = asyncio.Event()

    def update(_: object) -> None:
        recorder.stop()
        received.set()

    async with CandlesFeed(_KRAKEN, "BTC-USDT", on_update=update, endpoints=sim.endpoints):
        for _ in range(2):  # the first message is one of many at the start
            received.clear()
            await asyncio.wait_for(received.wait(), _TIMEOUT_S)
        received.clear()
        with recorder.recording(since="on_ws_frame") as found:
            await asyncio.wait_for(received.wait(), _TIMEOUT_S)
    return found[0]


async def _get_data(recorder: Recorder, sim: SimServer, folder: Path) -> Counts:
    manager = AsyncDataSourceManager(
        MarketType.SPOT, DataProvider.BINANCE, cache_dir=folder / "cache", endpoints=sim.endpoints
    )
    async with manager:
        with recorder.recording() as found:
            await manager.get_data("BTCUSDT", _START, _START + _ROWS / 2, Interval.MINUTE_1, enforce_source="rest")
    return found[0]


async def _get_cold(recorder: Recorder, sim: SimServer, folder: Path) -> Counts:
    async with _served(sim, folder) as (_, session):
        await _get(session, _START - _ROWS)
        with recorder.recording() as found:
            await _get(session, _START)
    return found[0]


async def _get_warm(recorder: Recorder, sim: SimServer, folder: Path) -> Counts:
    async with _served(sim, folder) as (_, session):
        await _get(session, _START)
        with recorder.recording() as found:
            await _get(session, _START)
    return found[0]


async def _add_coin(recorder: Recorder, sim: SimServer, folder: Path) -> Counts:
    from mcp.client import Client  # noqa: PLC0415  # loaded where it is used

    coin = {"exchange": "binance", "symbol": "BTC/USDT", "channels": ["book", "candles:1m"]}
    async with _served(sim, folder) as (service, _), Client(f"{service.url}/mcp") as client:
        with recorder.recording() as found:
            answer: Any = await client.call_tool("add_coin", coin)
            states = [each["state"] for each in answer.structured_content["channels"]]
            if states != ["running", "running"]:
                raise SystemExit(f"add_coin: {answer}")
            await _until(lambda: _stored(service))
    return found[0]


async def _stored(service: Service) -> bool:
    """Whether a candle is in the database; asked of it directly, so that the question does not count."""
    return bool(await asyncio.to_thread(_count, service.settings.data_dir))


def _count(folder: Path) -> int:
    import apsw  # noqa: PLC0415  # loaded where it is used

    (file,) = folder.glob("*.sqlite3")
    with apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY) as database:
        return int(database.execute("SELECT count(*) FROM candles").fetchone()[0])


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_TIMEOUT_S):
        while not await condition():  # noqa: ASYNC110  # what is waited for is in a file
            await asyncio.sleep(0.02)


async def _get(session: aiohttp.ClientSession, start: datetime) -> None:
    """One page of 1,000 rows."""
    query = {"exchange": "binance", "symbol": "BTC/USDT", "interval": "1m"}
    moments = {"start": start.isoformat(), "end": (start + _ROWS).isoformat()}
    async with session.get("/v1/candles", params=query | moments) as response:
        rows = (await response.json())["rows"]
        if len(rows) != _ROWS // timedelta(minutes=1):
            raise SystemExit(f"GET /v1/candles: {len(rows)} rows")


@asynccontextmanager
async def _served(sim: SimServer, folder: Path) -> AsyncIterator[tuple[Service, aiohttp.ClientSession]]:
    """A running service over the offline exchange, and a client of it."""
    bound = listening("127.0.0.1", 0)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    # Snapshots are not part of any journey.
    settings = ServiceSettings(_env_file=None, data_dir=folder / "data", no_auth=True, snapshot_interval="1h")
    service = Service(settings, url, library=Settings(_env_file=None, env_file=None), endpoints=sim.endpoints)
    async with serving(application(service), bound), aiohttp.ClientSession(url) as session:
        yield service, session


JOURNEYS = {
    "frame": _frame,
    "get_data": _get_data,
    "GET cold": _get_cold,
    "GET warm": _get_warm,
    "add_coin": _add_coin,
}


def main() -> None:
    """Print the counts of each journey."""
    with offline_exchange(exchanges=[_SPOT, _PERPETUAL, _KRAKEN], tick_s=0.5) as sim:
        recorder = Recorder()  # after the exchange has its thread, which it does not see
        print(f"{'journey':10}" + "".join(f"{name:>10}" for name in Counts._fields))
        for name, journey in JOURNEYS.items():
            runs = []
            for _ in range(1 + _RUNS):
                with tempfile.TemporaryDirectory(prefix="chandlery-journey-") as folder:
                    runs.append(asyncio.run(journey(recorder, sim, Path(folder))))
            typical = [median_low(column) for column in zip(*runs[1:], strict=True)]
            print(f"{name:10}" + "".join(f"{count:>10,}" for count in typical))


if __name__ == "__main__":
    main()
