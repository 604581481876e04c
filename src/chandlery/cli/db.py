"""``chandlery db``: migrate, check, vacuum, back up and export the service's database."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from chandlery.cli import arguments, output
from chandlery.clients.data_folder import database_of, readable_database_of
from chandlery.core.errors import InvalidInput
from chandlery.core.gaps import Gap, Span
from chandlery.core.moment import range_of
from chandlery.net.clock import system_clock

if TYPE_CHECKING:
    import pyarrow as pa

    from chandlery.core.series_id import SeriesId
    from chandlery.database.adoption import Unknown
    from chandlery.database.series_ids import SeriesIds

commands = typer.Typer(
    help="The service's database: migrate, check, vacuum, back up, export.",
    pretty_exceptions_show_locals=False,
)

_PAGE = 10_000
_BOOK_PAGE = 200
_MOST_GAPS = 10
"""Maximum number of gaps that are printed."""
_OFFLINE_MARK = ".offline"
"""Marker file of a folder in which 0.1 stored synthetic data of ``--offline``."""


@commands.command()
def migrate(data_dir: Path | None = arguments.DATA_DIR) -> None:
    """Migrate the database to the current schema, or create an empty one."""
    from chandlery.database.adoption import unknown  # noqa: PLC0415  # loaded where it is used

    async def run() -> tuple[int, Unknown]:
        async with database_of(data_dir, made=True) as database:
            rows: list[Any] = await database.read("PRAGMA user_version")
            return int(rows[0][0]), await unknown(database)

    version, ignored = asyncio.run(run())
    output.printer().print(f"version {version}")
    _print_ignored(ignored)


@commands.command()
def check(data_dir: Path | None = arguments.DATA_DIR) -> None:
    """Check every entry; exit code 1 if one is damaged."""
    database = readable_database_of(data_dir)

    async def run() -> tuple[list[str], Unknown]:
        from chandlery.database.adoption import unknown  # noqa: PLC0415  # loaded where it is used
        from chandlery.database.checkup import problems  # noqa: PLC0415  # loads pyarrow

        async with database:
            return await problems(database), await unknown(database)

    found, ignored = asyncio.run(run())
    to = output.printer()
    for each in found:
        to.print(each, soft_wrap=True)
    to.print("all in order" if not found else output.counted(len(found), "problem"))
    _print_ignored(ignored)
    if found:
        raise typer.Exit(1)


@commands.command()
def vacuum(data_dir: Path | None = arguments.DATA_DIR) -> None:
    """Release the space of deleted data."""
    database = database_of(data_dir)
    before = database.path.stat().st_size

    async def run() -> None:
        async with database:
            await database.vacuum()

    asyncio.run(run())
    after = database.path.stat().st_size
    output.printer().print(f"{output.size_text(before)} before, {output.size_text(after)} after")


@commands.command()
def backup(
    target: Path = typer.Argument(help="A file that does not exist yet."),
    data_dir: Path | None = arguments.DATA_DIR,
) -> None:
    """Write a complete copy that only you can read; the service may be running."""
    database = database_of(data_dir)
    from chandlery.database.sqlite_file import backed_up  # noqa: PLC0415  # needs an extra

    if target.exists():
        raise InvalidInput(f"{target} exists already; choose a new file")
    backed_up(database.path, target)
    output.printer().print(f"{output.size_text(target.stat().st_size)} to {target}", soft_wrap=True)


@commands.command()
def adopt(
    data_dir: Path | None = arguments.DATA_DIR,
    *,
    yes: bool = typer.Option(False, "--yes", "-y", help="Skip the confirmation."),
) -> None:
    """
    Mark data stored by older releases as the exchanges' own data; stop the service first.

    Their rows do not record their origin. Use this only for a folder that was never used with the offline exchange, a
    testnet or another server than the exchange's.
    """
    from chandlery.cache.files import alone_in  # noqa: PLC0415  # the same
    from chandlery.database.adoption import adopt as adopt_all  # noqa: PLC0415  # loaded where it is used
    from chandlery.database.adoption import unknown  # noqa: PLC0415  # loaded where it is used

    database = database_of(data_dir)
    if (database.path.parent / _OFFLINE_MARK).exists():
        raise InvalidInput(
            f"{database.path.parent} contains synthetic data of --offline, which cannot be marked as an exchange's own"
        )

    async def run() -> Unknown:
        async with database:
            found = await unknown(database)
            if found and not yes:
                _ask(found)
            return await adopt_all(database)

    with alone_in(database.path.parent, "service"):
        adopted = asyncio.run(run())
    output.printer().print(f"adopted {adopted.series:,} series, {output.counted(adopted.coins, 'coin')}")


def _ask(found: Unknown) -> None:
    if not sys.stdin.isatty():
        raise InvalidInput("this would mark data as the exchanges' own; without a terminal, confirm with --yes")
    if not typer.confirm(
        f"Mark {found.series:,} series and {found.coins:,} coins as the exchanges' own data?", err=True
    ):
        raise typer.Exit(1)


def _print_ignored(found: Unknown) -> None:
    if found:
        output.printer().print(str(found), soft_wrap=True)


@commands.command()
def export(
    exchange: str = typer.Argument(help="Name under which the exchange is collected, e.g. binance."),
    symbol: str = typer.Argument(help="Symbol, e.g. BTC/USDT."),
    channel: str = typer.Argument(help="book, or candles:1m and so on."),
    target: Path = typer.Option(..., "-o", "--output", help="A file; its suffix selects the format.", show_default=False),
    start: str = typer.Option("1970-01-01", help="Start of the range."),
    end: str = typer.Option("", help="End of the range, exclusive.", show_default="now"),
    origin: str = typer.Option("", help="Origin of the data, e.g. offline-7.", show_default="the exchange itself"),
    data_dir: Path | None = arguments.DATA_DIR,
) -> None:  # fmt: skip
    """Export a collected series to a file: .parquet, .csv, .arrow or .feather."""
    from chandlery.core.series_id import SeriesId  # noqa: PLC0415  # loaded where it is used
    from chandlery.database.series_ids import SeriesIds, always  # noqa: PLC0415  # loaded where it is used

    series = SeriesId.parse(exchange, symbol, channel)
    path = arguments.output_file(target)
    span = range_of(start, end or None, system_clock(), names=("--start", "--end"))
    database = readable_database_of(data_dir)
    ids = SeriesIds(database, always(origin))

    async def run() -> tuple[pa.Table, list[Gap]]:
        async with database:
            if series.interval is None:
                return await _books(ids, series, span)
            return await _candles(ids, series, span), []

    table, gaps = asyncio.run(run())
    if not table.num_rows:
        raise InvalidInput(f"there is no data of {series} in {span}")
    output.write_file(table, path)
    output.printer().print(f"{output.counted(table.num_rows, 'row')} to {path}")
    for gap in gaps[:_MOST_GAPS]:
        output.printer().print(f"  missing {gap.span}: {gap.kind.value}, {gap.evidence}", soft_wrap=True)
    if len(gaps) > _MOST_GAPS:
        output.printer().print(f"  and {output.counted(len(gaps) - _MOST_GAPS, 'gap')} more")


async def _candles(ids: SeriesIds, series: SeriesId, span: Span) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415  # loaded where it is used

    from chandlery.database.candles import CandleRepository  # noqa: PLC0415  # loads pyarrow
    from chandlery.tables.frame import open_times  # noqa: PLC0415  # the same

    pages, at = [], span.start
    while True:
        page = await CandleRepository(ids).table(series, Span(at, span.end), _PAGE)
        pages.append(page)
        if page.num_rows < _PAGE:
            return pa.concat_tables(pages)
        at = int(open_times(page)[-1]) + 1


async def _books(ids: SeriesIds, series: SeriesId, span: Span) -> tuple[pa.Table, list[Gap]]:
    """Return one row per level, bids before asks, best first; and the gaps."""
    from chandlery.database.book_history import BookHistory  # noqa: PLC0415  # loads pyarrow
    from chandlery.database.book_rows import table_of_books  # noqa: PLC0415  # the same
    from chandlery.database.books import RawDataRepositoryImpl, StorageManagerImpl  # noqa: PLC0415  # the same
    from chandlery.database.gaps import GapRepository  # noqa: PLC0415  # the same

    books, at = RawDataRepositoryImpl(ids), span.start
    history = BookHistory(StorageManagerImpl(books), GapRepository(ids))
    gaps = await history.gaps(series, span, system_clock())
    entries = []
    while True:
        page = await books.find_page(series.symbol, at, span.end, _BOOK_PAGE, exchange=series.exchange)
        entries += page.entries
        gaps += page.damaged
        if page.following is None:
            return table_of_books(entries), sorted(gaps)
        at = page.following
