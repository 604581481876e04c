"""``python -m chandlery.cli.demo``: a year of candles from an offline exchange, cold and warm, and recovery from a fault."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from chandlery.cli import output
from chandlery.cli.demo_service import demonstrate
from chandlery.cli.fetching import counting_retries, progress_bar
from chandlery.core.moment import to_micros
from chandlery.core.provenance import Provenance
from chandlery.core.time import iso

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console

    from chandlery.history.manager import DataSourceManager
    from chandlery.sim.server import SimServer

SEED = 7
SYMBOL, INTERVAL = "BTCUSDT", "1m"
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
NOW = datetime(2025, 2, 1, tzinfo=UTC)
"""Time of the demo, at which the archive holds the whole year."""
BROKEN, MENDED = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC)
"""Month whose checksum is made wrong."""

_SHA256 = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b")


def main() -> int:
    """Run the demo; return 0 if all results are correct."""
    to = output.printer()
    with tempfile.TemporaryDirectory(prefix="chandlery-demo-") as name, _limits_in(Path(name)):
        code = _demo(to, Path(name) / "cache")
        _title(to, "The data service: coins collected, and data received")
        return code if demonstrate(to, Path(name)) else 1


def _demo(to: Console, cache_dir: Path) -> int:
    from chandlery.history.manager import DataSourceManager  # noqa: PLC0415  # the title comes first
    from chandlery.sim.market import SyntheticMarket  # noqa: PLC0415  # the same
    from chandlery.sim.server import running  # noqa: PLC0415  # the same

    def clock() -> int:
        return to_micros(NOW)

    with (
        running(SyntheticMarket(SEED), exchanges=["binance_spot"], clock=clock, tick_s=None) as sim,
        DataSourceManager(cache_dir=cache_dir, endpoints=sim.endpoints, clock=clock) as manager,
    ):
        to.print(f"An offline exchange in this process, seed {SEED}. It is {iso(clock())} there.")
        _title(to, f"{SYMBOL} {INTERVAL}, {START:%Y-%m-%d} to {END:%Y-%m-%d}, cold and warm")
        cold, cold_s = _timed(lambda: _get(manager, START, END))
        warm, warm_s = _timed(lambda: _get(manager, START, END))
        output.print_rows(to, warm)
        to.print()
        to.print(_times({"cold": (cold, cold_s), "warm": (warm, warm_s)}))
        same = cold.equals(warm)
        to.print(f"cold and warm are {'equal, value for value' if same else 'DIFFERENT'}")

        _title(to, f"{BROKEN:%B %Y} again: its archive files fail their checksums, and REST says 429 on the way")
        return 0 if _survive(to, sim, manager, cold) and same else 1


def _survive(to: Console, sim: SimServer, manager: DataSourceManager, year: pa.Table) -> bool:
    """Return whether a month with damaged archive files is still fetched correctly."""
    from chandlery.core.gaps import Span  # noqa: PLC0415  # loaded by now
    from chandlery.sim.faults import Fault, FaultKind  # noqa: PLC0415  # the same
    from chandlery.tables.frame import slice_span  # noqa: PLC0415  # the same

    sim.faults += [
        Fault(FaultKind.BAD_CHECKSUM, f"-{BROKEN:%Y-%m}.*zip", times=None),
        Fault(FaultKind.TOO_MANY_REQUESTS, "/klines.*startTime", after=20, retry_after=1),
    ]
    sim.log.clear()
    with counting_retries() as retries:
        month, took_s = _timed(lambda: _get(manager, BROKEN, MENDED, use_cache=False))
    report = _report(month)
    by_kind = Counter(event.kind.value for event in report.events)
    for event in report.events[:3]:
        to.print(f"event: {event.kind.value}: {_short(event.detail, sim)}", soft_wrap=True)
    to.print(f"in all: {', '.join(f'{count} {kind}' for kind, count in by_kind.items())}")
    statuses = Counter(status for _, path, status in sim.log if "/klines?" in path)
    to.print(
        f"REST: {statuses[200]} pages, {statuses[429]} answered 429 with Retry-After 1; {output.counted(len(retries), 'request')} repeated"
    )
    to.print(f"{output.summary(month, report)}; {took_s:.2f} s")
    expected = slice_span(year, Span(to_micros(BROKEN), to_micros(MENDED)))
    same = bool(month.equals(expected))
    to.print(
        f"the repaired month is {'equal to the one from the archive, value for value' if same else 'DIFFERENT'}",
        style="bold",
    )
    return same


def _get(manager: DataSourceManager, start: datetime, end: datetime, *, use_cache: bool = True) -> pa.Table:
    with progress_bar(SYMBOL) as (progress, _):
        table: pa.Table = manager.get_data(
            SYMBOL, start, end, INTERVAL, use_cache=use_cache, output="arrow", progress=progress
        )
    return table


def _timed(work: Callable[[], pa.Table]) -> tuple[pa.Table, float]:
    began = time.perf_counter()
    table = work()
    return table, time.perf_counter() - began


def _times(runs: dict[str, tuple[pa.Table, float]]) -> object:
    rows = []
    for name, (table, took_s) in runs.items():
        sources = output.by_source(table, _report(table))
        told = ", ".join(f"{source}: {output.counted(spans, 'span')}" for source, (_, spans) in sources.items())
        rows.append((name, told, f"{table.num_rows:,}", f"{took_s:.2f}", f"{table.num_rows / took_s:,.0f}"))
    return output.as_table(("", "from", "rows", "seconds", "rows a second"), rows, left=2)


def _report(table: pa.Table) -> Provenance:
    return Provenance.from_json(table.schema.metadata[b"chandlery"])


def _short(detail: str, sim: SimServer) -> str:
    """Remove details of a message that vary between runs or are irrelevant."""
    return _SHA256.sub(r"\1...", detail.replace(sim.endpoints["binance_spot"]["archive"], "archive"))


def _title(to: Console, text: str) -> None:
    to.print()
    to.print(text, style="bold")
    to.print()


@contextmanager
def _limits_in(folder: Path) -> Iterator[None]:
    """Count rate limits in a folder of this process, instead of the one shared by all processes of a user."""
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


if __name__ == "__main__":
    sys.exit(main())
