"""What the doors of the service ask of whoever collects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from msgspec import Struct

from chandlery.core.time import Micros
from chandlery.database.series_ids import SeriesName
from chandlery.service.collection.broadcaster import Subscriber


class ChannelStatus(Struct, frozen=True):
    """How one stream of a coin is doing. Counts are since the service was started."""

    channel: str
    state: str
    """``starting``, ``running``, ``reconnecting`` after its connection was lost, ``stale`` where no order book was stored for two intervals, or ``failed``, which is tried again and again."""
    messages: int
    gaps: int
    resyncs: int
    last_message: Micros | None
    lag_ms: float | None
    """How old the last message was when it came, where the exchange says so."""
    failures: int
    """How often in a row it has failed."""
    error: str | None
    """Why it failed last, or lost its connection; ``None`` while it runs."""


class CoinStatus(Struct, frozen=True):
    """A coin that is collected."""

    exchange: str
    symbol: str
    since: Micros
    channels: tuple[ChannelStatus, ...]
    origin: str | None = None
    """The server whose data it is; ``None`` for the exchange itself."""


class IDataCollectionManager(ABC):
    """Collects coins."""

    @abstractmethod
    async def add_coin(self, coin: str, exchange: str, channels: Sequence[str] = ("book", "candles:1m")) -> CoinStatus:
        """
        Collect a coin from now on, after restarts too; further channels of one that is collected already.

        ``channels`` are ``book`` and ``candles:1m`` and so on.

        Raises:
            InvalidInput: No such exchange, symbol or channel, or the exchange does not trade the coin now.
            ExchangeError: The exchange could not be asked.
            StorageError: It could not be noted; nothing is collected.
        """

    @abstractmethod
    async def remove_coin(self, coin: str, exchange: str, channel: str | None = None) -> None:
        """
        Collect a coin no more, or one ``channel`` of it; what was collected stays.

        Raises:
            UnknownName: It is not collected.
        """

    @abstractmethod
    def list_coins(self) -> list[CoinStatus]:
        """The coins that are collected, oldest first."""

    @abstractmethod
    async def check_availability(self, coin: str, exchange: str) -> bool:
        """
        Whether the exchange trades the coin now.

        Raises:
            InvalidInput: No such exchange, or it cannot be a symbol of it.
            ExchangeError: The exchange could not be asked.
        """

    @abstractmethod
    def named(self, series: SeriesName) -> SeriesName:
        """
        A series in the one spelling under which it is kept.

        Raises:
            InvalidInput: No such exchange, symbol or channel.
        """

    @abstractmethod
    def origin(self, series: SeriesName) -> str | None:
        """The server whose data of the series are served in place of the exchange's own; ``None`` for the exchange itself."""

    @abstractmethod
    async def stream_realtime_data(self, series: SeriesName, subscriber: Subscriber) -> None:
        """
        Tell a subscriber of a series from now on; it is collected from now on where it is not yet.

        Raises what ``add_coin`` raises.
        """
