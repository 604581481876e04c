"""Candles by REST."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from msgspec import structs

from chandlery.adapter.base import ExchangeAdapter
from chandlery.core.errors import ChandleryError, ExchangeError
from chandlery.core.gaps import Span, joined_gaps
from chandlery.core.interval import Grid, Interval
from chandlery.core.query import ChartType
from chandlery.core.time import Micros
from chandlery.history.checks import check
from chandlery.history.columns import arrays, whole, within
from chandlery.history.interfaces import Deliver, Parts, Seen
from chandlery.history.native import NativeClient
from chandlery.history.rest_reading import RestReading, RestSeries
from chandlery.tables.frame import empty_table, table_of
from chandlery.tables.part import Part


class RestDataClient(NativeClient):
    """Candles by the REST interface of an exchange."""

    source = "rest"
    kind = ChartType.KLINES

    def __init__(self, **options: Any) -> None:
        """Create a client; see ``NativeClient``."""
        super().__init__(**options)
        self.exchange = self.shared.exchange(type(self.adapter))
        self.series = RestSeries(
            self.exchange,
            self.symbol,
            self.interval,
            self.facts,
            self.shared.clock,
            self.answered,
        )
        self.longest_request = self.adapter.longest_request

    def for_series(self, symbol: str, interval: Interval) -> RestDataClient:
        """Create a client of another series over the same connections."""
        return type(self)(
            symbol=symbol,
            interval=interval,
            market_type=self.market_type,
            provider=self.provider,
            resources=self.shared,
        )

    @classmethod
    def serves(cls, adapter: type[ExchangeAdapter]) -> bool:  # noqa: ARG003  # nothing to ask
        """Return true: every exchange has it."""
        return True

    async def fetch_span(self, span: Span) -> Part:
        """
        Fetch the final candles that open in ``span``, and a gap with its evidence for each that is absent.

        Raises the error of the first page that fails.
        """
        closed = Span(span.start, min(span.end, self.grid.floor(await self.exchange.now())))
        result, failure = await read_all(self.series, [closed])
        if failure is not None:
            raise failure
        return result

    async def source_time(self) -> Micros:
        """Return the exchange's time; if it does not answer, the local time, and nothing is stored that depends on it."""
        try:
            return await self.exchange.now()
        except ExchangeError:
            return self.exchange.guess()

    def adopt(self, grid: Grid) -> None:
        """Use the grid that rows have shown, for all clients of the series."""
        super().adopt(grid)
        self.series.facts = self.facts

    def oldest_served(self, now: Micros) -> Micros | None:
        """Return the oldest open time that the exchange declares to serve at ``now``; ``None`` for no limit."""
        return self.adapter.oldest(self.interval, now)

    def chunk_size(self, most: int) -> int:
        """Return the number of candles to plan one request for: a page of at most ``most``, but for two neighbours."""
        # These two candles of a page prove that candles next to them are absent.
        return max(1, min(self.adapter.page_size, most) - 2)

    async def read_spans(
        self,
        spans: Sequence[Span],
        deliver: Deliver,
        *,
        concurrent: int = 1,
        seen: Seen | None = None,
        most: int | None = None,
    ) -> ChandleryError | None:
        """
        Read the candles that open in ``spans``, and ``deliver`` them in parts, in any order. Return the first failure.

        The parts cover all of ``spans``: each candle is present, or in a gap that explains its absence. A page that fails
        becomes a gap, and the others continue. ``seen`` are candles of the series that other sources have; ``most``
        limits the candles of one request below the exchange's page size.

        Raises:
            InvalidSymbol: The exchange does not know the symbol, and no other source has a candle of it.
            GridDiffers: The candles open on another grid than assumed.
        """
        reading = RestReading(self.series, deliver, concurrent=concurrent, seen=seen or Seen(), most=most)
        return await reading.run(spans)

    async def trim_spans(self, spans: Sequence[Span], deliver: Deliver, seen: Seen) -> list[Span]:
        """Drop from ``spans`` what lies before the first candle or after the last, and deliver that as gaps."""
        return await RestReading(self.series, deliver, concurrent=1, seen=seen).trim(spans)

    async def running_row(self, span: Span, now: Micros) -> pa.Table:
        """Fetch the candle that is running at ``now`` if it opens in ``span``; no row if the exchange does not send it yet."""
        opened = self.grid.floor(now)
        if not span.holds(opened):
            return empty_table(self.chart_type)
        running = Span(opened, self.grid.step(opened))
        rows = await self.exchange.candles(self.symbol, self.interval, running)
        name = f"{self.symbol} {self.interval.value} by REST"
        checked = check(within(arrays(rows), running), self.grid, running, name)
        return table_of(self.chart_type, whole(checked.columns, self.grid))


async def read_all(series: RestSeries, spans: Sequence[Span]) -> tuple[Part, ChandleryError | None]:
    """Read the candles that open in ``spans``, in order, with a gap for each that is absent. Return also the first failure."""
    parts = Parts()
    failure = await RestReading(series, parts.take, concurrent=1, seen=Seen()).run(spans)
    got = Part.joined(parts, ChartType.KLINES)
    return structs.replace(got, spans=sorted(got.spans), gaps=joined_gaps(got.gaps)), failure
