"""``chandlery fetch`` of several symbols."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from chandlery.cli import output
from chandlery.cli.fetching import Job, counting_retries, manager_of, progress_bar, settings_of, write
from chandlery.clients.instruments import select
from chandlery.core.errors import InvalidInput
from chandlery.core.instrument import ListingStatus, MarketType
from chandlery.core.provenance import Provenance
from chandlery.core.query import ChartType
from chandlery.history.arguments import labelled
from chandlery.history.many import finished, read_groups
from chandlery.shortcuts import by_market, listings_of

if TYPE_CHECKING:
    import pyarrow as pa

    from chandlery.clients.settings import Settings

_SHOWN = 20


def named(
    words: Sequence[str],
    file: Path | None,
    all_of: str,
    exchange: str,
    market: MarketType | None,
    settings: Settings,
) -> list[str]:
    """
    Return the symbols of a command line: of its words, a file, and a search in the list of instruments.

    Raises:
        InvalidInput: There are none.
    """
    found = [*words]
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"cannot read the symbols in {file}: {error}") from error
        found += [word for line in lines for word in line.partition("#")[0].replace(",", " ").split()]
    if all_of:
        listed = select(listings_of(settings, exchange, market), status=ListingStatus.LISTED, search=all_of)
        if not listed:
            raise InvalidInput(
                f"--all {all_of!r} matches no listed instrument of {exchange}; see chandlery instruments"
            )
        found += sorted(str(each.instrument) for each in listed)
    if not found:
        raise InvalidInput("name at least one symbol, or use --symbols-file or --all")
    return list(dict.fromkeys(found))


def fetch(job: Job, symbols: Sequence[str], exchange: str, market: MarketType | None, path: Path | None) -> None:
    """Fetch several symbols into one file, or print how many rows each has."""
    funding = job.chart_type is ChartType.FUNDING_RATE
    markets = by_market(settings_of(job), labelled(symbols), exchange, market, funding=funding)
    options: dict[str, Any] = {
        "interval": job.interval,
        "enforce_source": job.source,
        "include_open": job.include_open,
        "volume_unit": job.volume_unit,
    }
    with (
        progress_bar(f"{len(symbols)} symbols") as (progress, waits_for),
        counting_retries(waits_for) as retries,
        ExitStack() as stack,
    ):
        groups = []
        for adapter, of_market in markets.items():
            in_market = structs.replace(job, provider=adapter.provider, market=adapter.market_type)
            manager = stack.enter_context(manager_of(in_market))
            groups.append((of_market, partial(manager.get_data, **options)))
        found = read_groups(groups, job.span, progress)
    raises = job.on_missing == "raise"
    table, reports = finished(*found, output="arrow", raises=raises, with_report=True)
    rows = Counter(table.column("symbol").to_pylist())
    if path is None:
        _show(job, table, rows, reports, [adapter.id for adapter in markets])
    else:
        write(table, path)
        repeated = f"; {output.counted(len(retries), 'request')} repeated" if retries else ""
        gaps = Counter(gap.kind.value for report in reports.values() for gap in report.gaps)
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(gaps.items()))
        holes = f"; {output.counted(gaps.total(), 'gap')} ({kinds})" if gaps else ""
        sys.stderr.write(f"{path}: {table.num_rows:,} rows of {output.counted(len(rows), 'symbol')}{holes}{repeated}\n")


def _show(
    job: Job, table: pa.Table, rows: Counter[str], reports: dict[str, Provenance], markets: Sequence[str]
) -> None:
    to = output.printer()
    length = f" {job.interval.value}" if job.chart_type.interval is None else ""
    noun = "candle" if job.chart_type is ChartType.KLINES else "row"
    to.print(
        f"{output.counted(len(reports), 'symbol')}{length}, {', '.join(markets)} {job.chart_type.name}: "
        f"{output.counted(table.num_rows, noun)}",
        style="bold",
    )
    to.print()
    counts = output.grid("symbol", "rows", "gaps")
    for symbol, report in list(reports.items())[:_SHOWN]:
        counts.add_row(symbol, f"{rows[symbol]:,}", f"{len(report.gaps):,}")
    to.print(counts)
    if len(reports) > _SHOWN:
        to.print(f"and {len(reports) - _SHOWN} more")
    gaps = [(symbol, gap) for symbol, report in reports.items() for gap in report.gaps]
    to.print(f"\ngaps: {len(gaps) or 'none'}")
    for symbol, gap in gaps[:_SHOWN]:
        to.print(f"  {symbol} {gap.span} {gap.kind.value}: {gap.evidence}")
    if len(gaps) > _SHOWN:
        to.print(f"  and {len(gaps) - _SHOWN} more")
