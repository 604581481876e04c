"""Collection interface of the HTTP, WebSocket and MCP endpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from msgspec import Struct

from chandlery.clients.interfaces import ResolvedSeries
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Micros
from chandlery.service.collection.broadcaster import Subscriber


class ChannelStatus(Struct, frozen=True):
    """State of one stream of a coin. Counts are since the start of the service."""

    channel: str
    state: str
    """
    State: ``starting``, ``running``, ``reconnecting`` after a lost connection, ``stale`` if no order book was stored
    for two intervals, or ``failed``, which is retried.
    """
    messages: int
    gaps: int
    resyncs: int
    last_message: Micros | None
    lag_ms: float | None
    """Delay of the last message, in milliseconds, if the exchange sends timestamps."""
    failures: int
    """Number of consecutive failures."""
    error: str | None
    """Reason of the last failure or lost connection; ``None`` while it runs."""


class CoinStatus(Struct, frozen=True):
    """State of a collected coin."""

    exchange: str
    symbol: str
    since: Micros
    channels: tuple[ChannelStatus, ...]
    origin: str | None = None
    """Origin of its data; ``None`` for the exchange itself."""


class IDataCollectionManager(ABC):
    """Collector of coins."""

    @abstractmethod
    async def add_coin(self, coin: str, exchange: str, channels: Sequence[str] = ("book", "candles:1m")) -> CoinStatus:
        """
        Start collecting a coin, also after restarts; adds channels if it is collected already.

        ``channels`` are ``book``, ``candles:1m`` and so on.

        Raises:
            InvalidInput: The exchange, symbol or channel is unknown, or the exchange does not trade the coin now.
            ExchangeError: The request to the exchange failed.
            StorageError: The coin could not be stored; nothing is collected.
        """

    @abstractmethod
    async def remove_coin(self, coin: str, exchange: str, channel: str | None = None) -> None:
        """
        Stop collecting a coin, or one ``channel`` of it; collected data stays stored.

        Raises:
            UnknownName: The coin or channel is not collected.
        """

    @abstractmethod
    def list_coins(self) -> list[CoinStatus]:
        """Return the collected coins, oldest first."""

    @abstractmethod
    async def check_availability(self, coin: str, exchange: str) -> bool:
        """
        Return whether the exchange trades the coin now.

        Raises:
            InvalidInput: The exchange is unknown, or the coin is not one of its symbols.
            ExchangeError: The request to the exchange failed.
        """

    @abstractmethod
    def resolve(self, series: SeriesId) -> ResolvedSeries:
        """
        Return a series in its canonical spelling, under which it is stored, with its client and origin.

        Raises:
            InvalidInput: The exchange or symbol is unknown, or the exchange has no candles of the interval.
        """

    @abstractmethod
    def origin(self, series: SeriesId) -> str | None:
        """Return the origin that serves the series in place of the exchange; ``None`` for the exchange itself."""

    @abstractmethod
    async def stream_realtime_data(self, series: SeriesId, subscriber: Subscriber) -> None:
        """
        Subscribe to a series, and start collecting it unless it is collected already.

        Raises the errors of ``add_coin``.
        """
