"""``chandlery cache``: list, verify and clean the cache."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.cache.files import folder
from chandlery.cache.series import SeriesKey
from chandlery.cli import arguments, output
from chandlery.core.endpoints import UNKNOWN_ORIGIN, key_of
from chandlery.core.errors import ChandleryError, InvalidInput, UnknownName
from chandlery.core.moment import to_micros
from chandlery.core.query import ChartType
from chandlery.core.time import date_text, to_datetime
from chandlery.net.clock import system_clock

if TYPE_CHECKING:
    from chandlery.cache.arrow_cache import UnifiedCacheManager
    from chandlery.cache.index import CacheEntry

commands = typer.Typer(help="List, verify and clean the cache.", pretty_exceptions_show_locals=False)

_JSON = typer.Option(False, "--json", help="Print JSON.")
_PATTERN_HELP = "A symbol, SYMBOL/INTERVAL, or a pattern such as BINANCE/SPOT/KLINES/*."
_TITLES = (
    "provider",
    "market",
    "type",
    "symbol",
    "interval",
    "first day",
    "last day",
    "files",
    "rows",
    "size",
    "origin",
)


@commands.command("ls")
def list_series(cache_dir: Path | None = arguments.CACHE_DIR, *, as_json: bool = _JSON) -> None:
    """List the series in the cache."""
    _print_entries(_cache(cache_dir).entries(), as_json=as_json)


@commands.command()
def info(
    series: str = typer.Argument("", help=_PATTERN_HELP, show_default="all"),
    cache_dir: Path | None = arguments.CACHE_DIR,
    *,
    as_json: bool = _JSON,
) -> None:
    """Print the size of a series, or of the whole cache."""
    cache = _cache(cache_dir)
    if series:
        _print_entries(_chosen(cache.entries(), series), as_json=as_json)
        return
    found = cache.info()
    if as_json:
        output.print_json(found)
        return
    to = output.printer()
    to.print(f"{found.folder}")
    to.print(
        f"{found.series:,} series, {output.counted(found.days, 'file')}, {found.rows:,} rows, {output.size_text(found.bytes)}"
    )
    if found.set_aside:
        to.print(f"{output.counted(found.set_aside, 'damaged file')} set aside; chandlery cache clean removes them")


@commands.command()
def verify(
    cache_dir: Path | None = arguments.CACHE_DIR,
    endpoints: str = typer.Option("", envvar="CHANDLERY_ENDPOINTS", help="Base URLs by exchange id, as JSON, e.g. the output of chandlery sim.", show_default=False),
    *,
    gaps: bool = typer.Option(True, "--gaps/--no-gaps", help="Request the gaps of candles again."),
    as_json: bool = _JSON,
) -> None:  # fmt: skip
    """Verify every file completely, and request cached gaps again; exit code 1 if a file is damaged."""
    cache = _cache(cache_dir)
    found = cache.verify()
    if as_json:
        output.print_json(found)
    else:
        to = output.printer()
        for each in found.damaged:
            to.print(f"damaged: {each.path}: {each.reason}", soft_wrap=True)
        state = f"{len(found.damaged):,} damaged" if found.damaged else "all in order"
        to.print(
            f"{output.counted(found.files, 'file')}, {found.rows:,} rows, {output.size_text(found.bytes)}: {state}"
        )
        if found.unknown:
            to.print(
                f"{output.counted(found.unknown, 'file')} not used: chandlery cache adopt marks them as the exchange's own data"
            )
        if found.damaged:
            to.print("the next fetch of those days replaces them")
        if gaps:
            for line in _gaps_again(cache, endpoints):
                to.print(line, soft_wrap=True)
    if not found.ok:
        raise typer.Exit(1)


def _gaps_again(cache: UnifiedCacheManager, endpoints: str) -> Iterator[str]:
    """Request the gaps of each candle series again; yield a line for each that was filled or failed."""
    from chandlery.history.manager import DataSourceManager  # noqa: PLC0415  # loaded where it is used

    given = arguments.endpoints(endpoints)
    for entry in cache.entries():
        key = SeriesKey.of_folder(entry.series)
        if key is None or key.chart_type is not ChartType.KLINES or not cache.has_gaps(key):
            continue
        try:
            exchange = ExchangeRegistry.of_market(key.provider, key.market_type)
            if key_of(exchange(given.get(exchange.id)).origin("rest")) != key.origin:
                continue
            span = (to_datetime(entry.first), to_datetime(key.file_span(entry.last).end))
            with DataSourceManager(key.market_type, key.provider, cache_dir=cache.root, endpoints=given) as manager:
                found = manager.recheck(key.symbol, *span, key.interval, gaps_only=True)
        except ChandleryError as error:
            yield f"{entry.series}: gaps could not be requested: {error}"
            continue
        count = len({change.open_time for each in found for change in each.changes})
        if count:
            yield f"{entry.series}: {output.counted(count, 'candle')} appeared in gaps"


@commands.command()
def clean(
    cache_dir: Path | None = arguments.CACHE_DIR,
    series: str = typer.Option("", "--series", help=f"Remove series too. {_PATTERN_HELP}", show_default=False),
    before: str = typer.Option("", "--before", help="Remove only files of days before this date.", show_default=False),
    *,
    yes: bool = typer.Option(False, "--yes", "-y", help="Skip the confirmation."),
) -> None:  # fmt: skip
    """Remove damaged and temporary files; with --series or --before, also data."""
    cache = _cache(cache_dir)
    limit = to_micros(before, name="--before", now=system_clock()) if before else None
    entries = _chosen(cache.entries(), series or "*") if series or before else []
    if limit is not None:
        entries = [entry for entry in entries if entry.first < limit]
    if entries and not yes:
        _ask(entries, before)
    cleaned = cache.clean(entries, before=limit)
    output.printer().print(f"removed {output.counted(cleaned.files, 'file')}, {output.size_text(cleaned.bytes)}")


@commands.command()
def adopt(
    cache_dir: Path = typer.Argument(..., metavar="DIR", parser=partial(folder, name="DIR"), help="The cache."),
    *,
    yes: bool = typer.Option(False, "--yes", "-y", help="Skip the confirmation."),
) -> None:
    """
    Mark data stored by chandlery 0.1 as the exchanges' own data.

    Its files do not record their origin. Use this only for a cache that was never used with the offline exchange, a
    testnet or another server than the exchange's.
    """
    cache = _cache(cache_dir)
    unknown = sum(entry.unknown for entry in cache.entries())
    if unknown and not yes:
        if not sys.stdin.isatty():
            raise InvalidInput("this would mark data as the exchanges' own; without a terminal, confirm with --yes")
        if not typer.confirm(f"Mark {output.counted(unknown, 'file')} as the exchanges' own data?", err=True):
            raise typer.Exit(1)
    adopted = cache.adopt()
    output.printer().print(f"adopted {output.counted(adopted.files, 'file')}, {adopted.rows:,} rows")


def _ask(entries: Sequence[CacheEntry], before: str) -> None:
    if not sys.stdin.isatty():
        raise InvalidInput("this would remove data; without a terminal, confirm with --yes")
    names = ", ".join(entry.series for entry in entries[:3]) + (", ..." if len(entries) > 3 else "")
    what = f"the days before {before} of {names}" if before else f"{names} ({sum(each.days for each in entries)} files)"
    if not typer.confirm(f"Remove {what}?", err=True):
        raise typer.Exit(1)


def _cache(cache_dir: Path | None) -> UnifiedCacheManager:
    """
    Return the cache in an existing folder, or the user's.

    Raises:
        InvalidInput: The given folder does not exist.
    """
    from chandlery.cache.arrow_cache import UnifiedCacheManager  # noqa: PLC0415  # loads pyarrow

    cache = UnifiedCacheManager(cache_dir)
    if cache_dir is not None and not cache.root.is_dir():
        raise InvalidInput(f"there is no folder {cache_dir}")
    return cache


def _chosen(entries: Sequence[CacheEntry], pattern: str) -> list[CacheEntry]:
    """
    Return the entries that match a pattern.

    Raises:
        UnknownName: None matches.
    """
    chosen = [entry for entry in entries if any(fnmatchcase(name, pattern) for name in _names(entry))]
    if not chosen and entries:
        some = ", ".join(entry.series for entry in entries[:5])
        raise UnknownName(f"no series {pattern!r} in the cache; available: {some}{', ...' if len(entries) > 5 else ''}")
    if not chosen and pattern != "*":
        raise UnknownName(f"no series {pattern!r}: the cache is empty")
    return chosen


def _names(entry: CacheEntry) -> tuple[str, str, str]:
    symbol, interval = entry.parts[-2:]
    return entry.series, symbol, f"{symbol}/{interval}"


def _print_entries(entries: Sequence[CacheEntry], *, as_json: bool) -> None:
    if as_json:
        output.print_json([_plain(entry) for entry in entries])
        return
    to = output.printer()
    if not entries:
        to.print("the cache is empty")
        return
    rows = [
        (
            *entry.parts,
            date_text(entry.first),
            date_text(entry.last),
            f"{entry.days:,}",
            f"{entry.rows:,}",
            output.size_text(entry.bytes),
            _origin(entry),
        )
        for entry in entries
    ]
    to.print(output.as_table(_TITLES, rows, left=7))


def _origin(entry: CacheEntry) -> str:
    """Return the origin of an entry: empty for the exchange's own data, else with the number of files of unknown origin."""
    if not entry.unknown:
        return entry.origin or ""
    return UNKNOWN_ORIGIN if entry.unknown == entry.days else f"{entry.unknown:,} {UNKNOWN_ORIGIN}"


def _plain(entry: CacheEntry) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.structs.asdict(entry)
    del content["newest"]
    return content | {"first": date_text(entry.first), "last": date_text(entry.last)}
