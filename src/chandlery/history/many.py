"""Past data of many symbols by one call: bounded, with one progress and one report."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from chandlery.core.errors import ChandleryError
from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.provenance import Provenance
from chandlery.core.time import to_datetime
from chandlery.history.arguments import Symbols, labelled
from chandlery.history.execute import Progress
from chandlery.history.interfaces import first_error, in_body, incomplete_of_many
from chandlery.tables.frame import Output
from chandlery.tables.many import joined, output_of_many

AT_ONCE = 16
"""Number of symbols that are read concurrently; their requests share the limits of the manager."""

Reports = Mapping[str, Provenance]


async def get_many(
    get_data: Callable[..., Awaitable[Any]],
    symbols: Symbols,
    span: Span,
    progress: Callable[[Progress], None] | None,
    output: Output,
    on_missing: str,
    *,
    with_report: bool,
) -> Any:
    """Return the rows of several symbols; ``get_data`` is that of a manager, with all other arguments."""
    start, end = to_datetime(span.start), to_datetime(span.end)
    read = partial(get_data, start_time=start, end_time=end, output="arrow", on_missing="report", with_report=True)
    found = await read_many(read, labelled(symbols), span, progress)
    raises = on_missing == "raise"
    return await asyncio.to_thread(finished, *found, output=output, raises=raises, with_report=with_report)


async def read_many(
    read: Callable[..., Awaitable[Any]],
    symbols: Mapping[str, str],
    span: Span,
    progress: Callable[[Progress], None] | None,
) -> tuple[pa.Table, dict[str, Provenance], ChandleryError | None]:
    """
    Read all symbols. Return their rows in one table, the report of each, and the first failure.

    A symbol that fails as a whole is a gap in its report, and costs no row of the others.

    Raises:
        ChandleryError: All failed; the first error.
    """
    tables: dict[str, pa.Table] = {}
    reports: dict[str, Provenance] = {}
    failures: list[ChandleryError] = []
    total = _Total(progress, len(symbols))
    waiting = deque(symbols.items())

    async def work() -> None:
        while waiting:
            label, symbol = waiting.popleft()
            try:
                tables[label], reports[label] = await read(symbol, progress=total.part(label))
            except ChandleryError as error:
                failures.append(error)
                reports[label] = _not_fetched(span, error)

    try:
        async with asyncio.TaskGroup() as group:
            await in_body([group.create_task(work()) for _ in range(min(AT_ONCE, len(symbols)))])
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None
    if not tables:
        raise failures[0]
    ordered = {label: tables[label] for label in symbols if label in tables}
    table = await asyncio.to_thread(joined, ordered)
    return table, {label: reports[label] for label in symbols}, failures[0] if failures else None


def finished(
    table: pa.Table,
    reports: Reports,
    failure: ChandleryError | None,
    *,
    output: Output,
    raises: bool,
    with_report: bool,
) -> Any:
    """
    Return the result of a call in the requested form.

    Raises:
        IncompleteData: It ``raises``, and part of the data could not be fetched.
    """
    frame = output_of_many(table, reports, output)
    missing = {label: [gap for gap in report.gaps if gap.kind.is_failure] for label, report in reports.items()}
    if raises and any(missing.values()):
        raise incomplete_of_many(frame, missing) from failure
    return (frame, dict(reports)) if with_report else frame


def read_groups(
    groups: Sequence[tuple[Mapping[str, str], Callable[..., Any]]],
    span: Span,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[pa.Table, dict[str, Provenance], ChandleryError | None]:
    """
    Read symbols of several markets. Return what ``read_many`` returns, the rows ordered by market.

    Each group has the symbols of a market by label, and ``get_data`` of a manager of that market with all arguments
    but symbol, range, output and progress.

    Raises:
        ChandleryError: All symbols failed; the first error.
    """
    start, end = to_datetime(span.start), to_datetime(span.end)
    found: list[tuple[pa.Table, dict[str, Provenance]]] = []
    failures: list[ChandleryError] = []
    reports: dict[str, Provenance] = {}
    total = _Total(progress, sum(len(symbols) for symbols, _ in groups))
    for number, (symbols, get_data) in enumerate(groups):
        shown = total.part(str(number), len(symbols))
        try:
            found.append(
                get_data(symbols, start, end, output="arrow", on_missing="report", with_report=True, progress=shown)
            )
        except ChandleryError as error:
            failures.append(error)
            reports |= dict.fromkeys(symbols, _not_fetched(span, error))
    if not found:
        raise failures[0]
    for _, more in found:
        reports |= more
    table = pa.concat_tables([table.replace_schema_metadata(None) for table, _ in found]).unify_dictionaries()
    return table, reports, failures[0] if failures else None


def _not_fetched(span: Span, error: ChandleryError) -> Provenance:
    """Return the report of a symbol that failed as a whole."""
    return Provenance.of(gaps=[Gap(span.start, span.end, GapKind.FETCH_FAILED, str(error))])


class _Total:
    """One progress of several symbols, which have about as many rows each."""

    def __init__(self, progress: Callable[[Progress], None] | None, symbols: int) -> None:
        self._progress = progress
        self._symbols = symbols
        self._parts: dict[str, Progress] = {}
        self._sizes: dict[str, int] = {}

    def part(self, label: str, symbols: int = 1) -> Callable[[Progress], None] | None:
        """Return what takes the progress of one symbol, or of a group of them."""
        self._sizes[label] = symbols
        return None if self._progress is None else partial(self._take, self._progress, label)

    def _take(self, progress: Callable[[Progress], None], label: str, now: Progress) -> None:
        self._parts[label] = now
        unknown = self._symbols - sum(self._sizes[each] for each in self._parts)
        each_one = max(part.total // self._sizes[name] for name, part in self._parts.items())
        total = sum(part.total for part in self._parts.values()) + unknown * each_one
        progress(Progress(sum(part.done for part in self._parts.values()), total, now.source))
