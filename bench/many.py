"""Fifty symbols by one call, against fifty calls by sixteen threads; see docs/benchmarks.md."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from exchange import INTERVAL, SYMBOL, Endpoints, clock
from measure import Ratio, interleaved

from chandlery.history.manager import DataSourceManager

SYMBOLS = 50
THREADS = 16


def many(endpoints: Endpoints, cache: Path, start: date, end: date, rounds: int) -> list[Ratio]:
    """Time both, without a cache and from a filled one; both read the same rows, and make data frames."""
    labels = {f"symbol {number}": SYMBOL for number in range(SYMBOLS)}
    ratios = []
    for name, options in (("cold", {"use_cache": False}), ("warm", {"cache_dir": cache})):
        with (
            DataSourceManager(endpoints=endpoints, clock=clock, **options) as manager,
            ThreadPoolExecutor(THREADS) as threads,
        ):

            def by_one_call(manager=manager) -> int:
                return len(manager.get_data(labels, start, end, INTERVAL))

            def by_threads(manager=manager, threads=threads) -> int:
                calls = [threads.submit(manager.get_data, SYMBOL, start, end, INTERVAL) for _ in labels]
                return sum(len(call.result()) for call in calls)

            if by_one_call() != by_threads():
                raise SystemExit("one call and fifty calls differ in their rows")
            times = interleaved({"one call": by_one_call, "threads": by_threads}, rounds)
        print(f"{name}, {SYMBOLS} symbols x 30 days of 1m: " + ", ".join(f"{by} {s:.2f} s" for by, s in times.items()))
        value = times["one call"] / times["threads"]
        ratios.append(Ratio(f"{name} {SYMBOLS} symbols by one call / by {THREADS} threads", value, 1.2))
    return ratios
