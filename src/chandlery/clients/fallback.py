"""Series from the first of several exchanges that has it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from chandlery.clients.documented import fetch_rows
from chandlery.clients.rows import Row
from chandlery.clients.sources import ExchangeSpan, FallbackResult
from chandlery.core.errors import (
    ChandleryError,
    ExchangeUnavailable,
    IncompleteData,
    InvalidInput,
    UnsupportedRequest,
)
from chandlery.core.gaps import Gap, GapKind, Span, subtract
from chandlery.core.interval import Interval
from chandlery.core.moment import TimeLike, range_of
from chandlery.core.time import to_datetime
from chandlery.net.clock import system_clock


class Fetches(Protocol):
    """The part of a client that is used here."""

    async def fetch_historical_data(
        self, coin: str, start: datetime, end: datetime, interval: Interval | str = "1m"
    ) -> list[Row]:
        """Return the closed candles of a range."""

    def volume_unit(self, coin: str) -> str | None:
        """Return the unit of ``volume``; ``None`` if unknown."""


async def first_of(
    clients: Mapping[str, Fetches],
    symbol: str,
    start: TimeLike,
    end: TimeLike | None,
    interval: Interval | str,
    *,
    allow_mixed: bool,
) -> FallbackResult:
    """Implement ``IDataSourceConnector.fetch_with_fallback``; ``clients`` are in order of priority."""
    if not clients:
        raise InvalidInput("no exchange given; name at least one")
    wanted = range_of(start, end, system_clock())
    search = _Search(symbol, interval, wanted, clients, allow_mixed=allow_mixed)
    for name in clients:
        await search.ask(name)
        if not search.missing:
            break
    return search.answer()


class _Search:
    """State of the search."""

    def __init__(
        self,
        symbol: str,
        interval: Interval | str,
        wanted: Span,
        clients: Mapping[str, Fetches],
        *,
        allow_mixed: bool,
    ) -> None:
        self._symbol = symbol
        self._interval = interval
        self._wanted = wanted
        self._clients = clients
        self._allow_mixed = allow_mixed
        self._rows: list[Row] = []
        self._spans: list[ExchangeSpan] = []
        self._failures: list[tuple[str, ChandleryError]] = []

    @property
    def missing(self) -> list[Span]:
        """Spans that no exchange has delivered yet."""
        return subtract(self._wanted, (each.span for each in self._spans))

    async def ask(self, name: str) -> None:
        """Request the missing spans from an exchange."""
        for span in self.missing:
            try:
                self._require_unit(name)
                rows, lacking = await _asked(self._clients[name], self._symbol, span, self._interval)
            except ChandleryError as error:
                if not (error.retryable or (self._spans and isinstance(error, UnsupportedRequest))):
                    raise
                self._failures.append((name, error))
                return
            if lacking is not None:
                self._failures.append((name, lacking))
            if lacking is None or self._allow_mixed:
                self._rows += rows
                had = subtract(span, () if lacking is None else (gap.span for gap in lacking.missing))
                self._spans += [ExchangeSpan(each.start, each.end, name) for each in had]

    def answer(self) -> FallbackResult:
        """Return the result, or raise if something is still missing."""
        self._rows.sort(key=lambda row: int(row["timestamp"]))
        missing = self.missing
        if not missing:
            return FallbackResult(self._rows, tuple(sorted(self._spans)), tuple(self._failures))
        said = "; ".join(f"{name}: {error}" for name, error in self._failures)
        message = f"{self._symbol} {self._wanted}: no exchange has all of it: {said}"
        cause = self._failures[-1][1]
        if self._rows:
            gaps = [Gap(each.start, each.end, GapKind.FETCH_FAILED, said) for each in missing]
            raise IncompleteData(message, data=self._rows, missing=gaps) from cause
        raise ExchangeUnavailable(message) from cause

    def _require_unit(self, name: str) -> None:
        """Refuse to mix different units of volume."""
        unit = self._clients[name].volume_unit(self._symbol)
        for other in {each.exchange for each in self._spans}:
            theirs = self._clients[other].volume_unit(self._symbol)
            if None not in {unit, theirs} and unit != theirs:
                raise UnsupportedRequest(
                    f"{name} counts volume in {unit}, {other} in {theirs}: they cannot be mixed in one series"
                )


async def _asked(
    client: Fetches, symbol: str, span: Span, interval: Interval | str
) -> tuple[list[Row], IncompleteData | None]:
    """Return the rows of a span; if some are missing for a temporary reason, the others and the error."""
    try:
        start, end = to_datetime(span.start), to_datetime(span.end)
        return await fetch_rows(client.fetch_historical_data, symbol, start, end, interval), None
    except IncompleteData as error:
        cause = error.__cause__
        if not (isinstance(cause, ChandleryError) and cause.retryable):
            raise
        return error.data, error
