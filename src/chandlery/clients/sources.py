"""Source exchanges of a series."""

from __future__ import annotations

from msgspec import Struct

from chandlery.clients.rows import Row
from chandlery.core.errors import ChandleryError
from chandlery.core.gaps import Span
from chandlery.core.time import Micros


class ExchangeSpan(Struct, frozen=True, order=True):
    """Span of a result, and its exchange."""

    start: Micros
    end: Micros
    exchange: str

    @property
    def span(self) -> Span:
        """Span without the exchange."""
        return Span(self.start, self.end)


class FallbackResult(Struct, frozen=True):
    """
    Candles, and the exchange of each part.

    ``rows`` are those of ``fetch_historical_data``. ``spans`` cover the range without overlap, oldest first; there is
    one, unless mixing was allowed. ``failures`` are the exchanges that did not deliver all requested data, in order,
    with reasons.
    """

    rows: list[Row]
    spans: tuple[ExchangeSpan, ...]
    failures: tuple[tuple[str, ChandleryError], ...] = ()
