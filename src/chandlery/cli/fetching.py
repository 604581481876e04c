"""Parts of ``chandlery fetch`` for one symbol and for several."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.cli import output
from chandlery.core.endpoints import Endpoints
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import ChartType, DataProvider, DataSource
from chandlery.net.delays import LOGGER

if TYPE_CHECKING:
    import pyarrow as pa

    from chandlery.clients.settings import Settings
    from chandlery.history.execute import Progress
    from chandlery.history.manager import DataSourceManager
    from chandlery.net.tokens import Credentials


class Job(Struct, frozen=True):
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


def settings_of(job: Job) -> Settings:
    """Return the settings of the environment with the endpoints and the proxy of the command line."""
    from pydantic import SecretStr  # noqa: PLC0415  # rarely needed

    from chandlery.clients.settings import Settings  # noqa: PLC0415  # the same

    hidden = None if job.proxy is None else SecretStr(job.proxy)
    return Settings().model_copy(update={"endpoints": job.endpoints, "proxy": hidden})


def manager_of(job: Job) -> DataSourceManager:
    """Return a manager of the job's market."""
    from chandlery.history.manager import DataSourceManager  # noqa: PLC0415  # loads all that a fetch needs

    return DataSourceManager(
        job.market,
        job.provider,
        chart_type=job.chart_type,
        cache_dir=job.cache_dir,
        use_cache=job.use_cache,
        endpoints=job.endpoints,
        proxy=job.proxy,
        credentials=_credentials(job),
    )


def _credentials(job: Job) -> Credentials | None:
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


def write(table: pa.Table, path: Path) -> None:
    """Write a table to a file in the format of its suffix."""
    try:
        output.write_file(table, path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
