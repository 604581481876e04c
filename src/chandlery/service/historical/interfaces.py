"""What the doors of the service ask of whoever knows the past."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from chandlery.clients.rows import Row
from chandlery.core.gaps import Gap, Span
from chandlery.core.time import Micros, iso
from chandlery.database.raw import BookPage
from chandlery.database.series_ids import SeriesName
from chandlery.service.label import labelled

if TYPE_CHECKING:
    import pyarrow as pa


class Source(Struct, frozen=True):
    """A stretch that has one source: ``database``, ``rest``, ``cache (vision)`` and so on."""

    source: str
    start: Micros
    end: Micros
    rows: int
    origin: str | None = None
    """The server that answered in place of the exchange."""

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        content = {"source": self.source, "start": iso(self.start), "end": iso(self.end), "rows": self.rows}
        return content | labelled(self.origin)


def merge(known: list[Source], more: Iterable[Source]) -> list[Source]:
    """``known`` with ``more`` after them; neighbours of the same source become one."""
    for each in more:
        last = known[-1] if known else None
        if last is not None and (last.source, last.origin, last.end) == (each.source, each.origin, each.start):
            known[-1] = structs.replace(last, end=each.end, rows=last.rows + each.rows)
        else:
            known.append(each)
    return known


class Piece(Struct, frozen=True):
    """Rows that follow each other, where they came from, and what is missing among them."""

    table: pa.Table
    sources: Sequence[Source] = ()
    gaps: Sequence[Gap] = ()


class IHistoricalDataManager(ABC):
    """Knows the past."""

    @abstractmethod
    def stream_historical_data(
        self, series: SeriesName, span: Span, *, rows: int, snapshots: int = 50
    ) -> AsyncGenerator[Piece, None]:
        """
        What there is of ``span``, oldest first, in pieces of at most ``rows`` rows; of order books, of so many ``snapshots``.

        First from storage; what that lacks is fetched from the exchange, and kept. Closed candles only.

        Raises:
            InvalidInput: No such exchange, symbol or channel, or not a range.
            StorageError: The storage cannot be read.
        """

    @abstractmethod
    def stream_funding(self, series: SeriesName, span: Span, *, rows: int) -> AsyncGenerator[Piece, None]:
        """
        The funding rates of a perpetual, in pieces of at most ``rows``.

        Raises:
            UnsupportedRequest: The exchange, or the coin, has none.
        """

    @abstractmethod
    async def get_books(self, series: SeriesName, span: Span, limit: int) -> BookPage:
        """
        The first ``limit`` order books that are stored of ``span``, oldest first; each that is damaged is a gap of its moment.

        Raises:
            InvalidSymbol: None is stored of the series, and the exchange does not trade it.
        """

    @abstractmethod
    async def get_gaps(self, series: SeriesName, span: Span) -> list[Gap]:
        """The gaps of what was collected that touch ``span``, oldest first; of order books every stretch without."""

    @abstractmethod
    async def get_most_current_data(self, series: SeriesName) -> Row | None:
        """
        The latest order book or candle, ``closed`` or not, as clients give them; ``None`` where there is none.

        Raises:
            InvalidInput: No such exchange, symbol or channel.
            ExchangeError: The exchange was asked and failed.
        """
