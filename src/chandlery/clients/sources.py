"""Which exchange gave which part of a series."""

from __future__ import annotations

from msgspec import Struct

from chandlery.clients.rows import Row
from chandlery.core.errors import ChandleryError
from chandlery.core.gaps import Span
from chandlery.core.time import Micros


class ExchangeSpan(Struct, frozen=True, order=True):
    """One stretch of a result, and the exchange that it came from."""

    start: Micros
    end: Micros
    exchange: str

    @property
    def span(self) -> Span:
        """The stretch."""
        return Span(self.start, self.end)


class FallbackResult(Struct, frozen=True):
    """
    Candles, and which exchange gave which.

    ``rows`` are as ``fetch_historical_data`` gives them; ``spans`` cover the range without overlap,
    oldest first: one, unless mixing was allowed. ``failures`` are the exchanges that did not give all
    that they were asked for, in order, and why.
    """

    rows: list[Row]
    spans: tuple[ExchangeSpan, ...]
    failures: tuple[tuple[str, ChandleryError], ...] = ()
