"""Output of the commands, and the files that they write."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich import box
from rich.console import Console
from rich.table import Table

from chandlery.core.gaps import Span
from chandlery.core.moment import to_micros
from chandlery.core.provenance import Provenance
from chandlery.core.time import iso

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 5
"""Number of rows shown at each end, and of lines in a list."""
_UNBOUNDED = 10_000
_BETWEEN = 3
"""Number of spaces between two columns."""


class _Printer(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Raise the error for the caller of the command."""
        raise BrokenPipeError


def printer() -> Console:
    """Return a console for stdout: as wide as the terminal, or unlimited in a pipe."""
    return _Printer(
        highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else _UNBOUNDED, soft_wrap=False
    )


def grid(*titles: str, left: int = 1) -> Table:
    """Create an empty table; the first ``left`` columns are text, the others numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for place, title in enumerate(titles):
        table.add_column(title, justify="left" if place < left else "right", no_wrap=True)
    return table


def print_rows(to: Console, table: pa.Table) -> None:
    """Print the first and last rows, with as many columns as fit."""
    if not table.num_rows:
        return
    elided = table.num_rows > 2 * _SHOWN + 1
    ends = [table.slice(0, _SHOWN), table.slice(table.num_rows - _SHOWN)] if elided else [table]
    columns = {
        name: [cell for index, end in enumerate(ends) for cell in (["..."] if index else []) + _cells(end.column(name))]
        for name in table.column_names
    }
    shown: list[str] = []
    room = to.width + _BETWEEN
    for name, cells in columns.items():
        width = max(len(name), *map(len, cells)) + _BETWEEN
        if width <= room or not shown:
            shown.append(name)
            room -= width
    view = grid(*shown)
    for row in zip(*(columns[name] for name in shown), strict=True):
        view.add_row(*row)
    to.print(view)
    left_out = [name for name in columns if name not in shown]
    if left_out:
        to.print(f"not shown: {', '.join(left_out)}", style="dim")


def _cells(column: pa.ChunkedArray) -> list[str]:
    import pyarrow as pa  # noqa: PLC0415  # loaded where it is used

    if pa.types.is_timestamp(column.type):
        return [iso(to_micros(at)) for at in column.cast(pa.timestamp("us", "UTC"), safe=False).to_pylist()]
    return [str(value) for value in column.to_pylist()]


def print_report(to: Console, table: pa.Table, provenance: Provenance) -> None:
    """Print the sources, gaps and notices of a table."""
    sources = grid("source", "rows", "spans")
    for name, (rows, spans) in by_source(table, provenance).items():
        sources.add_row(name, f"{rows:,}", f"{spans:,}")
    if sources.row_count:
        to.print()
        to.print(sources)
    to.print()
    gaps = [f"{gap.span} {gap.kind.value}{_because(gap.evidence)}" for gap in provenance.gaps]
    events = [f"{Span(each.start, each.end)} {each.kind.value}{_because(each.detail)}" for each in provenance.events]
    for title, lines in (("gaps", gaps), ("events", events)):
        to.print(f"{title}: {len(lines) or 'none'}")
        for line in lines[:_SHOWN]:
            to.print(f"  {line}")
        if len(lines) > _SHOWN:
            to.print(f"  and {len(lines) - _SHOWN} more")


def _because(evidence: str) -> str:
    return f": {evidence}" if evidence else ""


def by_source(table: pa.Table, provenance: Provenance) -> dict[str, tuple[int, int]]:
    """Return rows and spans by source; the cache is named with the source that filled it."""
    from chandlery.tables.frame import slice_span  # noqa: PLC0415  # loads pyarrow

    rows: Counter[str] = Counter()
    spans: Counter[str] = Counter()
    for each in provenance.spans:
        name = f"cache ({each.source})" if each.cached else each.source
        rows[name] += slice_span(table, each.span).num_rows
        spans[name] += 1
    return {name: (rows[name], spans[name]) for name in sorted(spans)}


def summary(table: pa.Table, provenance: Provenance) -> str:
    """Return a one-line summary of sources and gaps."""
    sources = ", ".join(f"{rows:,} from {name}" for name, (rows, _) in by_source(table, provenance).items() if rows)
    parts = [f"{table.num_rows:,} rows" + (f" ({sources})" if sources else "")]
    for noun, kinds in (
        ("gap", Counter(gap.kind.value for gap in provenance.gaps)),
        ("event", Counter(event.kind.value for event in provenance.events)),
    ):
        if kinds:
            text = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            parts.append(f"{counted(kinds.total(), noun)} ({text})")
    return "; ".join(parts)


def counted(count: int, noun: str) -> str:
    """Format a count with its noun: ``1 gap``, ``2 gaps``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size_text(size: int) -> str:
    """Format a number of bytes for people."""
    if size < 1000:
        return f"{size} B"
    power = min((len(str(size)) - 1) // 3, 4)
    return f"{size / 1000**power:.1f} {' kMGT'[power]}B"


def write_file(table: pa.Table, path: Path) -> None:
    """
    Write the rows in the format of the suffix, atomically.

    In all formats but CSV, the schema's metadata holds the version of the format, and the provenance under
    ``chandlery``.
    """
    from chandlery.tables.frame import as_exported  # noqa: PLC0415  # loads pyarrow

    table = table.cast(as_exported(table.schema))
    with _replacing(path) as temporary:
        match path.suffix.lower():
            case ".parquet":
                import pyarrow.parquet as pq  # noqa: PLC0415  # loaded where it is used

                pq.write_table(table, temporary, compression="zstd")
            case ".csv":
                _write_csv(table, temporary)
            case suffix:
                from pyarrow import feather  # noqa: PLC0415  # loaded where it is used

                feather.write_feather(table, str(temporary), "uncompressed" if suffix == ".arrow" else "lz4")


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which replaces ``path`` once it is written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _write_csv(table: pa.Table, path: Path) -> None:
    """Write CSV with times in ISO 8601 at their full precision, and numbers with all digits."""
    import pyarrow as pa  # noqa: PLC0415  # loaded where it is used
    from pyarrow import csv  # noqa: PLC0415  # loaded where it is used

    columns = [_times(each) if pa.types.is_timestamp(each.type) else each for each in table.columns]
    with path.open("wb") as file:
        file.write((",".join(table.column_names) + "\n").encode())
        # No text in these tables needs quotes; one that does raises an error instead of writing a broken row.
        options = csv.WriteOptions(include_header=False, quoting_style="none")
        csv.write_csv(pa.table(columns, table.column_names), file, options)


def _times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa  # noqa: PLC0415  # loaded where it is used
    import pyarrow.compute as pc  # noqa: PLC0415  # loaded where it is used

    whole = column
    for unit in ("us", "ms", "s"):
        with suppress(pa.ArrowInvalid):  # would lose digits
            whole = column.cast(pa.timestamp(unit))
    return pc.strftime(whole.cast(pa.timestamp(whole.type.unit)), format="%Y-%m-%dT%H:%M:%SZ")


def print_json(content: object) -> None:
    """Print JSON for scripts."""
    import msgspec  # noqa: PLC0415  # loaded where it is used

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n")


def as_table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> Table:
    """Build a table of ``rows``."""
    view = grid(*titles, left=left)
    for row in rows:
        view.add_row(*row)
    return view
