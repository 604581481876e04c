"""``chandlery fetch``: download candles and funding rates."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from msgspec import structs

from chandlery.cli import arguments, output
from chandlery.cli.fetching import Job, counting_retries, manager_of, progress_bar, settings_of, write
from chandlery.clients.markets import Candidate, candidates, in_its_market, market_type
from chandlery.core.errors import InvalidInput, InvalidSymbol
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import range_of
from chandlery.core.provenance import Provenance
from chandlery.core.query import ChartType, DataProvider
from chandlery.core.time import to_datetime
from chandlery.core.volume import require_volume_unit
from chandlery.net.clock import system_clock

if TYPE_CHECKING:
    import pyarrow as pa


_ON_MISSING = ("raise", "report")
_LENGTH = re.compile(r"\d+[A-Za-z]{1,2}")


def fetch(
    symbols: list[str] = typer.Argument(None, metavar="SYMBOL... [INTERVAL]", help="BTCUSDT, BTC/USDT or BTC-USDT; one or several. Then 1s 1m … 1h … 1d 3d 1w 1M, by default 1m; 1m is a minute, 1M a month. Not for funding.", show_default=False),
    *,
    symbols_file: Path | None = typer.Option(None, help="A file with symbols, separated by white space or commas; # begins a comment.", show_default=False),
    all_of: str = typer.Option("", "--all", help='All listed instruments that match these words: "linear USDT".', show_default=False),
    start: str = typer.Option("", help="Start: 2024-01-01, 2024-01-01T12:00+01:00 (UTC without a zone), milliseconds, or 7d for seven days ago.", show_default=False),
    end: str = typer.Option("", help="End, exclusive, in the same form.", show_default="now"),
    last: str = typer.Option("", help="In place of --start and --end: 12h, 30d, 6M, 1y until now.", show_default=False),
    exchange: str = typer.Option("binance", "--exchange", "-e", help="An exchange, or a market of chandlery exchanges: okx, okx_perpetual."),
    market: str = typer.Option("", help="spot; linear (or perpetual, futures, um); inverse (or cm).", show_default="spot if it has the symbol"),
    chart_type: str = typer.Option("klines", "--type", help="klines or funding."),
    source: str = typer.Option("auto", help="auto: cache, archive, then REST. rest or vision (the archive): only that source."),
    file: Path | None = typer.Option(None, "--output", "-o", help="Write .parquet, .csv, .arrow or .feather.", show_default=False),
    cache_dir: Path | None = arguments.CACHE_DIR,
    no_cache: bool = typer.Option(False, "--no-cache", help="Neither read nor write the cache."),
    on_missing: str = typer.Option("raise", help="raise: fail if data is unavailable (exit code 3). report: return the available rows."),
    include_open: bool = typer.Option(False, "--include-open", help="Add the running candle, and a column closed, which is false for it."),
    volume_unit: str = typer.Option("exchange", help="base, quote or contracts: convert the volumes. exchange: leave them as the exchange sends them."),
    endpoints: str = typer.Option("", envvar="CHANDLERY_ENDPOINTS", help="Base URLs by exchange id, as JSON, e.g. the output of chandlery sim.", show_default=False),
    proxy: str | None = arguments.PROXY,
) -> None:  # fmt: skip
    """
    Fetch candles or funding rates of [START, END).

    Without -o, the first and last rows are printed, with sources and gaps. Several symbols give one file, with a column
    symbol.
    """
    words, interval = _split(symbols or [])
    path = None if file is None else arguments.output_file(file)
    if on_missing not in _ON_MISSING:
        raise InvalidInput(f"--on-missing {on_missing!r} is unknown; use one of {', '.join(_ON_MISSING)}")
    kind = arguments.chart_type(chart_type)
    chosen = market_type(market, name="--market") if market else None
    replaced = arguments.endpoints(endpoints)
    job = Job(
        " ".join(words),
        _interval(interval, kind),
        _span(start, end, last),
        DataProvider.BINANCE,
        MarketType.SPOT,
        kind,
        arguments.source(source),
        on_missing,
        include_open,
        require_volume_unit(volume_unit, "--volume-unit"),
        cache_dir,
        not no_cache,
        replaced,
        proxy,
    )
    if symbols_file is not None or all_of or len(words) != 1:
        from chandlery.cli import fetch_many  # noqa: PLC0415  # rarely needed

        named = fetch_many.named(words, symbols_file, all_of, exchange, chosen, settings_of(job))
        fetch_many.fetch(job, named, exchange, chosen, path)
        return
    _fetch_one(job, exchange, chosen, path)


def _fetch_one(job: Job, exchange: str, market: MarketType | None, path: Path | None) -> None:
    try:
        markets = candidates(exchange, job.symbol, market, funding=job.chart_type is ChartType.FUNDING_RATE)
    except InvalidSymbol:
        from chandlery.shortcuts import suggestions  # noqa: PLC0415  # only after a mistake

        with suggestions(settings_of(job), exchange, job.symbol, market):
            raise
    job, table, retries = in_its_market(markets, partial(_got, job), partial(_lists, job))
    report = Provenance.from_json(table.schema.metadata[b"chandlery"])
    if path is None:
        to = output.printer()
        _show(to, job, table, report)
    else:
        write(table, path)
        repeated = f"; {output.counted(retries, 'request')} repeated" if retries else ""
        sys.stderr.write(f"{path}: {output.summary(table, report)}{repeated}\n")


def _split(words: list[str]) -> tuple[list[str], str]:
    """Return the symbols and the interval, which is the last word if it looks like one."""
    return (words[:-1], words[-1]) if words and _LENGTH.fullmatch(words[-1]) else (words, "")


def _span(start: str, end: str, last: str) -> Span:
    if bool(start) == bool(last) or (last and end):
        raise InvalidInput("give --start, with or without --end, or --last alone; e.g. --last 30d")
    names = ("--last" if last else "--start", "--end")
    return range_of(start or last, end or None, system_clock(), names=names)


def _interval(text: str, kind: ChartType) -> Interval:
    return Interval(text) if text else kind.interval or Interval.MINUTE_1


def _lists(job: Job, market: Candidate) -> bool:
    """Return whether a market lists the symbol."""
    from chandlery.shortcuts import lists  # noqa: PLC0415  # rarely needed

    return lists(settings_of(job), market)


def _got(job: Job, market: Candidate) -> tuple[Job, pa.Table, int]:
    """Return the job in a market, its rows, and the number of repeated requests."""
    job = structs.replace(job, provider=market.adapter.provider, market=market.adapter.market_type)
    with (
        progress_bar(job.symbol) as (progress, waits_for),
        counting_retries(waits_for) as retries,
        manager_of(job) as manager,
    ):
        table = manager.get_data(
            market.symbol,
            to_datetime(job.span.start),
            to_datetime(job.span.end),
            job.interval,
            enforce_source=job.source,
            output="arrow",
            progress=progress,
            on_missing="report" if job.on_missing == "report" else "raise",
            include_open=job.include_open,
            volume_unit=job.volume_unit,
        )
    return job, table, len(retries)


def _show(to: Any, job: Job, table: pa.Table, report: Provenance) -> None:
    noun = "candle" if job.chart_type is ChartType.KLINES else "row"
    name = f"{job.symbol} {job.interval.value}" if job.chart_type.interval is None else job.symbol
    to.print(
        f"{name}, {job.provider.name} {job.market.name} {job.chart_type.name}: {output.counted(table.num_rows, noun)}",
        style="bold",
    )
    if table.num_rows:
        to.print()
        output.print_rows(to, table)
    output.print_report(to, table, report)
