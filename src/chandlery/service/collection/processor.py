"""Processing of live data: store, then publish."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from msgspec import structs

from chandlery.clients.rows import Row, rows_of_table
from chandlery.core.candle import CandleData
from chandlery.core.gaps import Gap
from chandlery.core.holes import storable
from chandlery.core.series_id import SeriesId
from chandlery.core.time import SECOND, Clock, Micros, Unit
from chandlery.database.candles import CandleRepository
from chandlery.database.entries import snapshot_of
from chandlery.database.gaps import GapRepository
from chandlery.database.interfaces import IStorageManager
from chandlery.database.raw import RawOrderBookEntry
from chandlery.service.collection.broadcaster import Broadcaster, Update, gap_content

_RUNNING_KEPT_EVERY: Micros = 5 * SECOND
"""Interval between stores of the running candle, which is shown after a restart until the first update."""


class RealTimeProcessor:
    """
    Stores and publishes live data.

    A closed candle is committed before it is published, so that a client that subscribes and then queries the database
    misses none. Order books are published immediately, and stored as snapshots by ``snapshot``.
    """

    def __init__(
        self,
        broadcaster: Broadcaster,
        storage: IStorageManager,
        candles: CandleRepository,
        gaps: GapRepository,
        clock: Clock,
    ) -> None:
        self._broadcaster = broadcaster
        self._storage = storage
        self._candles = candles
        self._gaps = gaps
        self._clock = clock
        self._running_kept: dict[SeriesId, Micros] = {}

    async def process_realtime_entry(self, series: SeriesId, entry: Row) -> None:
        """
        Process an entry of a stream.

        Raises:
            StorageError: A candle could not be stored, and was not published.
        """
        if "bids" in entry:
            self._broadcaster.publish(Update(series, "book", entry))
            return
        candle = _candle_of(entry)
        if candle.closed:
            await self._candles.save(series, [candle])
        elif self._clock() - self._running_kept.get(series, 0) >= _RUNNING_KEPT_EVERY:
            self._running_kept[series] = self._clock()
            await self._candles.save(series, [candle])
        self._broadcaster.publish(Update(series, "closed" if candle.closed else "running", entry))

    def publish_stored(self, series: SeriesId, table: pa.Table) -> None:
        """Publish closed candles that are already stored, oldest first; without subscribers only the last one, as the latest."""
        if not self._broadcaster.count(series):
            table = table.slice(max(len(table) - 1, 0))
        for row in rows_of_table(table, series.exchange, series.symbol, series.length, counts=True):
            self._broadcaster.publish(Update(series, "closed", row))

    async def restate(self, series: SeriesId, entry: Row) -> None:
        """
        Replace a stored closed candle, and publish it.

        Raises:
            StorageError: The candle could not be stored, and was not published.
        """
        await self._candles.save(series, [_candle_of(entry)])
        self._broadcaster.publish(Update(series, "restated", entry))

    async def snapshot(self, series: SeriesId, book: Row, at: Micros) -> None:
        """
        Store an order book as the snapshot of the time ``at``.

        Raises:
            StorageError: The book could not be stored.
        """
        snapshot = snapshot_of(book, self._clock())
        await self._storage.store_book(RawOrderBookEntry(series.exchange, series.symbol, at, snapshot))

    def publish_gap(self, series: SeriesId, gap: Gap) -> None:
        """Publish a gap."""
        self._broadcaster.publish(Update(series, "gap", gap_content(gap)))

    async def store_gap(self, series: SeriesId, gap: Gap, proved_at: Micros | None = None) -> None:
        """
        Store a gap; ``proved_at`` is the exchange's time of its proof, ``None`` without one.

        A gap of order books replaces the gaps within it.

        Raises:
            StorageError: The gap could not be stored.
        """
        interval = series.interval
        if interval is None:
            await self._gaps.grow(series, gap)
            return
        believed: list[Gap] = []
        others = [gap.span]
        if proved_at is not None:
            believed, others = storable([gap], interval, proved_at)
        await self._gaps.settle(series, believed)
        for span in others:
            await self._gaps.record(series, structs.replace(gap, start=span.start, end=span.end))

    async def settle(self, series: SeriesId, gaps: Sequence[Gap]) -> None:
        """
        Store proved gaps, each for as long as it is trusted.

        Raises:
            StorageError: No gap was stored.
        """
        await self._gaps.settle(series, gaps)


def _candle_of(entry: Row) -> CandleData:
    """Return the candle of a client's row, which may lack the times."""
    return CandleData(
        Unit.MILLIS.micros(entry["timestamp"]),
        entry["open"],
        entry["high"],
        entry["low"],
        entry["close"],
        entry["volume"],
        entry["quote_asset_volume"],
        entry["count"],
        entry["taker_buy_volume"],
        entry["taker_buy_quote_volume"],
        entry["closed"],
        *(None if entry.get(name) is None else Unit.MILLIS.micros(entry[name]) for name in ("at", "received_at")),
    )
