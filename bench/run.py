"""``make bench``: chandlery against hand-written pipelines, as ratios within one run; see docs/benchmarks.md."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pipelines
from connections import connections
from exchange import DISTANT, INTERVAL, LATENCY_S, SYMBOL, Endpoints, clock, monthly_url, served, urls, warm_up
from live import live
from many import many
from measure import Ratio, interleaved

from chandlery.history.manager import DataSourceManager
from service import service

COLD = date(2024, 3, 12), date(2024, 4, 11)
"""Thirty days of which no whole month is part, so that they come by daily files."""
MONTH = date(2024, 4, 1), date(2024, 5, 1)
YEAR = date(2023, 1, 1), date(2024, 1, 1)
REST_ROWS = 5000


def main() -> int:
    """Measure and print; 1 where a target is missed and ``--check`` asks for that."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a target is missed")
    parser.add_argument("--rounds", type=int, default=15, help="how often each work is timed")
    parser.add_argument("--folder", default=_memory_or_disk(), help="where the cache is; by default in memory")
    parser.add_argument("--arctic", default="", help="an interpreter that has arcticdb and pyarrow, to compare with")
    parser.add_argument(
        "--only", choices=["past", "many", "live", "connections", "service"], help="leave out the others"
    )
    parser.add_argument("--live-rounds", type=int, default=7, help="how often each client is timed")
    parser.add_argument("--frames", type=int, default=100_000, help="how many frames a client gets each time")
    parser.add_argument("--service-rounds", type=int, default=3, help="how often each server is timed")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores\n")
    ratios = []
    if arguments.only in {None, "connections"}:
        ratios += connections(arguments.rounds)
    if arguments.only in {None, "past"}:
        ratios += past(arguments.rounds, arguments.folder, arguments.arctic)
    if arguments.only in {None, "many"}:
        ratios += symbols(min(arguments.rounds, 5), arguments.folder)
    if arguments.only in {None, "live"}:
        ratios += live(arguments.live_rounds, arguments.frames)
    if arguments.only in {None, "service"}:
        ratios += service(arguments.service_rounds, arguments.folder)
    print()
    for ratio in ratios:
        print(ratio)
    return int(arguments.check and not all(ratio.met for ratio in ratios))


def past(rounds: int, place: str, arctic: str = "") -> list[Ratio]:
    """The past: cold, warm, by REST, and what an import costs; the cache is in ``place``."""
    print(f"the past: medians of {rounds} rounds, cache in {place}\n")
    with tempfile.TemporaryDirectory(prefix="chandlery-bench-", dir=place) as name, served() as endpoints:
        folder = Path(name)
        ratios = [*cold(endpoints, folder, rounds), *warm(endpoints, folder, rounds, arctic), memory(endpoints, folder)]
        rest(endpoints, rounds)
    imports()
    return ratios


def symbols(rounds: int, place: str) -> list[Ratio]:
    """Thirty days of fifty symbols; the cache is in ``place``."""
    with tempfile.TemporaryDirectory(prefix="chandlery-bench-", dir=place) as name, served() as endpoints:
        daily = urls(endpoints, *COLD)
        warm_up([*daily, *(f"{url}.CHECKSUM" for url in daily)])
        return many(endpoints, Path(name), *COLD, rounds)


def _memory_or_disk() -> str:
    """In memory where that can be had: how fast a disk makes new files is not what is compared."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()


def cold(endpoints: Endpoints, folder: Path, rounds: int) -> list[Ratio]:
    """Thirty days from the archive into an empty cache."""
    daily, monthly = urls(endpoints, *COLD), [monthly_url(endpoints, MONTH[0])]
    warm_up([*daily, *monthly])
    warm_up([f"{url}.CHECKSUM" for url in [*daily, *monthly]])

    empty = folder / "empty"

    def ours(span: tuple[date, date], **options: object) -> pd.DataFrame:
        return get(endpoints, empty, span, **options)

    def clear() -> None:
        shutil.rmtree(empty, ignore_errors=True)
        gc.collect()

    _same(ours(COLD), pipelines.by_aiohttp_and_polars(daily), pipelines.by_requests_and_pandas(daily))
    took = interleaved(
        {
            "chandlery": lambda: ours(COLD),
            "aiohttp + isal + polars": lambda: pipelines.by_aiohttp_and_polars(daily),
            "requests + zipfile + pandas": lambda: pipelines.by_requests_and_pandas(daily),
            "the same, one requests.Session": lambda: pipelines.by_requests_session_and_pandas(daily),
            "chandlery without cache": lambda: ours(COLD, use_cache=False),
            "chandlery, by one monthly file": lambda: ours(MONTH),
            "aiohttp + isal + polars, by one monthly file": lambda: pipelines.by_aiohttp_and_polars(monthly),
        },
        rounds,
        clear,
    )
    _notify("cold: 30 days of 1m from the archive", took, 30 * 1440)
    distant = urls(endpoints, *COLD, DISTANT)
    warm_up([*distant, *(f"{url}.CHECKSUM" for url in distant)])
    far = {
        "chandlery": lambda: ours(COLD, symbol=DISTANT),
        "aiohttp + isal + polars": lambda: pipelines.by_aiohttp_and_polars(distant),
        "the same, one requests.Session": lambda: pipelines.by_requests_session_and_pandas(distant),
    }
    far_took = interleaved(far, rounds, clear)
    _notify(f"the same, each answer {LATENCY_S * 1000:.0f} ms late", far_took, 30 * 1440)
    ours_s = took["chandlery"]
    return [
        Ratio("cold 30 days / aiohttp + isal + polars", ours_s / took["aiohttp + isal + polars"], 1.6),
        Ratio("cold 30 days / requests + zipfile + pandas", ours_s / took["requests + zipfile + pandas"], 0.5),
        Ratio("cold 30 days / the same, one requests.Session", ours_s / took["the same, one requests.Session"], 0.5),
        Ratio(
            "cold 30 days, 20 ms away / the same",
            far_took["chandlery"] / far_took["the same, one requests.Session"],
            0.5,
        ),
    ]


def warm(endpoints: Endpoints, folder: Path, rounds: int, arctic: str = "") -> list[Ratio]:
    """A year in the cache, by day files; it is left in ``folder / "cache"``."""
    cache_dir, one = folder / "cache", folder / "year.arrow"
    frame = get(endpoints, cache_dir, YEAR)
    pipelines.write_arrow(frame, one)
    feathers = pipelines.write_feather(frame, folder / "feather")
    own = sorted(cache_dir.rglob("*.arrow"))
    rows = len(frame)
    _same(
        get(endpoints, cache_dir, YEAR),
        *(each.set_index("open_time") for each in (pipelines.by_one_arrow_file(one), pipelines.by_feather(feathers))),
    )
    del frame
    took = interleaved(
        {
            "chandlery": lambda: get(endpoints, cache_dir, YEAR),
            "one Arrow file through pyarrow": lambda: pipelines.by_one_arrow_file(one),
            "the same, mapped": lambda: pipelines.by_mapped_file(one),
            "read_feather of each day + concat": lambda: pipelines.by_feather(feathers),
            "the same of the cache's own files": lambda: pipelines.by_feather(own),
            "chandlery, into Arrow": lambda: get(endpoints, cache_dir, YEAR, output="arrow"),
        },
        rounds,
    )
    if arctic:
        command = [arctic, str(Path(__file__).with_name("arctic.py")), str(one), str(rounds)]
        told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
        took["ArcticDB on LMDB, in a process of its own"] = float(told)
    _notify(f"warm: a year of 1m from {len(own)} files of the cache", took, rows)
    ours_s = took["chandlery"]
    return [
        Ratio("warm year / one Arrow file through pyarrow", ours_s / took["one Arrow file through pyarrow"], 2.5),
        Ratio("warm year / read_feather + concat", ours_s / took["read_feather of each day + concat"], 0.15),
    ]


def memory(endpoints: Endpoints, folder: Path) -> Ratio:
    """The peak of a process that reads the year from the cache, which was filled from ``endpoints``."""
    program = str(Path(__file__).with_name("memory.py"))
    command = [sys.executable, program, str(folder / "cache"), json.dumps(endpoints), *map(str, YEAR)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout.split()
    print(f"memory: the frame of the year is {int(said[1]) / 2**20:.1f} MiB\n")
    return Ratio("peak memory of the warm year / the frame", float(said[0]), 3.0)


def rest(endpoints: Endpoints, rounds: int) -> None:
    """Rows by REST, which is a matter of round trips."""
    start = datetime(2024, 6, 1, tzinfo=UTC)
    with DataSourceManager(use_cache=False, endpoints=endpoints, clock=clock) as manager:
        end = start + timedelta(minutes=REST_ROWS)
        work = {"chandlery": lambda: manager.get_data(SYMBOL, start, end, INTERVAL, enforce_source="rest")}
        _notify(
            f"REST: {REST_ROWS} rows in {REST_ROWS // manager.REST_CHUNK_SIZE} requests",
            interleaved(work, rounds),
            REST_ROWS,
        )


def imports() -> None:
    """What importing costs, bytecode compiled; names are loaded when they are first used, so ``from`` is what a script pays."""
    works = {
        f"{text}": lambda text=text: subprocess.run([sys.executable, "-c", text], check=True, timeout=60)
        for text in (
            "import chandlery",
            "from chandlery import DataSourceManager",
            "from chandlery import CandlesFeed",
            "import pyarrow",
            "import pandas",
        )
    }
    took = interleaved(works, 5)
    _notify("import, a whole process each", took, None)


def get(
    endpoints: Endpoints, cache_dir: Path, span: tuple[date, date], symbol: str = SYMBOL, **options: object
) -> pd.DataFrame:
    """What a user's script does: open a manager, ask, close it."""
    start, end = (datetime(each.year, each.month, each.day, tzinfo=UTC) for each in span)
    with DataSourceManager(cache_dir=cache_dir, endpoints=endpoints, clock=clock) as manager:
        return manager.get_data(symbol, start, end, INTERVAL, **options)


def _same(ours: pd.DataFrame, *others: pd.DataFrame) -> None:
    """Nothing is compared that does not do the same."""
    for other in others:
        pd.testing.assert_frame_equal(
            ours, other[list(ours.columns)].astype(ours.dtypes), check_index_type=False, check_freq=False
        )


def _notify(title: str, took: dict[str, float], rows: int | None) -> None:
    print(title)
    first = next(iter(took.values()))
    for name, seconds in took.items():
        rate = f"{rows / seconds:14,.0f} rows/s" if rows else ""
        print(f"  {name:<46} {seconds * 1000:8.1f} ms   x {first / seconds:5.2f}{rate}")
    print()


if __name__ == "__main__":
    sys.exit(main())
