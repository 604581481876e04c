"""``chandlery fetch``: download candles and funding rates."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from msgspec import Struct, structs

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.cli import arguments, output
from chandlery.clients.markets import Candidate, candidates, in_its_market, market_type
from chandlery.core.endpoints import Endpoints
from chandlery.core.errors import InvalidInput, InvalidSymbol
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import range_of
from chandlery.core.provenance import Provenance
from chandlery.core.query import ChartType, DataProvider, DataSource
from chandlery.core.time import to_datetime
from chandlery.core.volume import require_volume_unit
from chandlery.net.clock import system_clock
from chandlery.net.delays import LOGGER

if TYPE_CHECKING:
    import pyarrow as pa

    from chandlery.clients.settings import Settings
    from chandlery.history.execute import Progress
    from chandlery.net.tokens import Credentials

_ON_MISSING = ("raise", "report")


class _Job(Struct, frozen=True):
    """Validated command line."""

    symbol: str
    interval: Interval
    span: Span
    provider: DataProvider
    market: MarketType
    chart_type: ChartType
    source: DataSource
    on_missing: str
    include_open: bool
    volume_unit: str
    cache_dir: Path | None
    use_cache: bool
    endpoints: Endpoints
    proxy: str | None


def fetch(
    symbol: str = typer.Argument(help="BTCUSDT, BTC/USDT or BTC-USDT.", show_default=False),
    interval: str = typer.Argument("", help="1s 1m … 1h … 1d 3d 1w 1M; 1m is a minute, 1M a month. Not for funding.", show_default="1m"),
    *,
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

    Without -o, the first and last rows are printed, with sources and gaps.
    """
    path = None if file is None else arguments.output_file(file)
    if on_missing not in _ON_MISSING:
        raise InvalidInput(f"--on-missing {on_missing!r} is unknown; use one of {', '.join(_ON_MISSING)}")
    kind = arguments.chart_type(chart_type)
    chosen = market_type(market, name="--market") if market else None
    replaced = arguments.endpoints(endpoints)
    try:
        markets = candidates(exchange, symbol, chosen, funding=kind is ChartType.FUNDING_RATE)
    except InvalidSymbol:
        from chandlery.shortcuts import suggestions  # noqa: PLC0415  # only after a mistake

        with suggestions(_settings(replaced, proxy), exchange, symbol, chosen):
            raise
    job = _Job(
        symbol,
        _interval(interval, kind),
        _span(start, end, last),
        markets[0].adapter.provider,
        markets[0].adapter.market_type,
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
    job, table, retries = in_its_market(markets, partial(_got, job), partial(_lists, job))
    report = Provenance.from_json(table.schema.metadata[b"chandlery"])
    if path is None:
        to = output.printer()
        _show(to, job, table, report)
    else:
        _write(table, path)
        repeated = f"; {output.counted(retries, 'request')} repeated" if retries else ""
        sys.stderr.write(f"{path}: {output.summary(table, report)}{repeated}\n")


def _span(start: str, end: str, last: str) -> Span:
    if bool(start) == bool(last) or (last and end):
        raise InvalidInput("give --start, with or without --end, or --last alone; e.g. --last 30d")
    names = ("--last" if last else "--start", "--end")
    return range_of(start or last, end or None, system_clock(), names=names)


def _interval(text: str, kind: ChartType) -> Interval:
    return Interval(text) if text else kind.interval or Interval.MINUTE_1


def _lists(job: _Job, market: Candidate) -> bool:
    """Return whether a market lists the symbol."""
    from chandlery.shortcuts import lists  # noqa: PLC0415  # rarely needed

    return lists(_settings(job.endpoints, job.proxy), market)


def _settings(endpoints: Endpoints, proxy: str | None) -> Settings:
    """Return the settings of the environment with these endpoints and proxy."""
    from pydantic import SecretStr  # noqa: PLC0415  # rarely needed

    from chandlery.clients.settings import Settings  # noqa: PLC0415  # the same

    hidden = None if proxy is None else SecretStr(proxy)
    return Settings().model_copy(update={"endpoints": endpoints, "proxy": hidden})


def _got(job: _Job, market: Candidate) -> tuple[_Job, pa.Table, int]:
    """Return the job in a market, its rows, and the number of repeated requests."""
    job = structs.replace(job, provider=market.adapter.provider, market=market.adapter.market_type)
    from chandlery.history.manager import DataSourceManager  # noqa: PLC0415  # loads all that a fetch needs

    with (
        progress_bar(job.symbol) as (progress, waits_for),
        counting_retries(waits_for) as retries,
        DataSourceManager(
            job.market,
            job.provider,
            chart_type=job.chart_type,
            cache_dir=job.cache_dir,
            use_cache=job.use_cache,
            endpoints=job.endpoints,
            proxy=job.proxy,
            credentials=_credentials(job),
        ) as manager,
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


def _credentials(job: _Job) -> Credentials | None:
    """Return the credentials from the environment for an exchange that needs sign-in."""
    adapter = ExchangeRegistry.of_market(job.provider, job.market)
    if not adapter.credentials:
        return None
    from chandlery.clients.settings import Settings  # noqa: PLC0415  # nobody else needs it

    return Settings().sign_in([adapter])


@contextmanager
def progress_bar(title: str) -> Iterator[tuple[Callable[[Progress], None] | None, Callable[[str], None] | None]]:
    """Show progress and waits on stderr while the block runs; yield two ``None`` if stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None, None
        return
    from rich import progress as rich  # noqa: PLC0415  # only for terminals
    from rich.console import Console  # noqa: PLC0415  # the same

    columns = (
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeRemainingColumn(),
        rich.TextColumn("{task.fields[source]}", markup=False),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, source="")

        def show(now: Progress) -> None:
            bar.update(task, completed=now.done, total=now.total, source=now.source)

        def waits_for(what: str) -> None:
            bar.console.print(f"waiting: {what}", style="yellow", markup=False, highlight=False)

        yield show, waits_for


@contextmanager
def counting_retries(waits_for: Callable[[str], None] | None = None) -> Iterator[list[str]]:
    """Collect the reasons of repeated requests while the block runs; call ``waits_for`` with these and longer waits."""
    log, reasons = logging.getLogger(LOGGER), _Reasons(waits_for)
    log.addHandler(reasons)
    propagates, log.propagate = log.propagate, False
    try:
        yield reasons.found
    finally:
        log.propagate = propagates
        log.removeHandler(reasons)


class _Reasons(logging.Handler):
    """Log handler that collects messages on repeated or delayed requests."""

    def __init__(self, waits_for: Callable[[str], None] | None) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []
        self._waits_for = waits_for

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if getattr(record, "repeats", False):
            self.found.append(line)
        if self._waits_for is not None:
            self._waits_for(line)


def _show(to: Any, job: _Job, table: pa.Table, report: Provenance) -> None:
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


def _write(table: pa.Table, path: Path) -> None:
    try:
        output.write_file(table, path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
