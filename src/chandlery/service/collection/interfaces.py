"""Collection interface of the HTTP, WebSocket and MCP endpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from chandlery.core.errors import UnsupportedRequest
from chandlery.core.series_id import SeriesId
from chandlery.core.signature import accepted
from chandlery.core.time import Micros
from chandlery.net.clock import system_clock
from chandlery.service.collection.broadcaster import Subscriber, Update
from chandlery.service.collection.pushed import live
from chandlery.service.collection.status import DEFAULT_CHANNELS, CoinStatus, only_exchange

if TYPE_CHECKING:
    from chandlery.service.collection.stream_supervisor import StreamSupervisor


class IDataCollectionManager(ABC):
    """
    Collector of coins.

    A third party implements the abstract methods, of which those without ``exchange``, ``channels``, ``channel`` or
    ``interval`` are called without them. The service calls the others, which have defaults over these.
    """

    @abstractmethod
    async def add_coin(self, coin: str, exchange: str, channels: Sequence[str] = DEFAULT_CHANNELS) -> CoinStatus:
        """
        Start collecting a coin, also after restarts; adds channels if it is collected already.

        ``channels`` are ``book``, ``candles:1m`` and so on. A third party may return nothing.

        Raises:
            InvalidInput: The exchange, symbol or channel is unknown, or the exchange does not trade the coin now.
            ExchangeError: The request to the exchange failed.
            StorageError: The coin could not be stored; nothing is collected.
        """

    @abstractmethod
    async def check_availability(self, coin: str, exchange: str) -> bool:
        """
        Return whether the exchange trades the coin now.

        Raises:
            InvalidInput: The exchange is unknown, or the coin is not one of its symbols.
            ExchangeError: The request to the exchange failed.
        """

    @abstractmethod
    async def stream_realtime_data(self, coin: SeriesId | str, ws: Any) -> None:
        """
        Send the entries of a coin to ``ws.send_json``, as clients return them, until cancelled or in the background.

        For the service's own collector, ``coin`` is a coin that it collects, or a series and ``ws`` a subscriber: then it
        subscribes, and starts collecting the series unless it is collected already, with the errors of ``add_coin``.
        """

    async def start(self) -> None:  # noqa: B027  # one may need no start
        """Resume collecting; called when the service opens."""

    async def stop(self) -> None:  # noqa: B027  # one may need no end
        """Stop collecting; called when the service closes."""

    async def remove_coin(self, coin: str, exchange: str, channel: str | None = None) -> None:
        """
        Stop collecting a coin, or one ``channel`` of it; collected data stays stored.

        Raises:
            UnknownName: The coin or channel is not collected.
            UnsupportedRequest: The collector cannot stop collecting a coin.
        """
        raise UnsupportedRequest(f"{type(self).__name__} cannot stop collecting a coin")

    def list_coins(self) -> list[CoinStatus]:
        """Return the collected coins, oldest first."""
        return []

    def exchange_of(self, coin: str) -> str:
        """
        Return the exchange from which a coin is collected.

        Raises:
            UnknownName: The coin is not collected.
            InvalidInput: The coin is collected from several exchanges.
        """
        return only_exchange(coin, [(each.exchange, each.symbol) for each in self.list_coins()])

    async def begin(self, coin: str, exchange: str, channels: Sequence[str]) -> CoinStatus:
        """Call ``add_coin`` with the arguments that it accepts, and return a status, whatever it returns."""
        add: Callable[..., Awaitable[object]] = self.add_coin
        found = await add(coin, **accepted(add, exchange=exchange, channels=channels))
        return found if isinstance(found, CoinStatus) else CoinStatus(exchange, coin, system_clock(), ())

    async def collect(self, wanted: Sequence[SeriesId]) -> CoinStatus:
        """Perform ``add_coin`` for the series of one coin, of which there is at least one, in their canonical spelling."""
        return await self.begin(wanted[0].symbol, wanted[0].exchange, [each.channel_text for each in wanted])

    async def is_available(self, coin: str, exchange: str) -> bool:
        """Call ``check_availability`` with the arguments that it accepts."""
        check: Callable[..., Awaitable[object]] = self.check_availability
        return bool(await check(coin, **accepted(check, exchange=exchange)))

    def collects(self, series: SeriesId) -> bool:
        """Return whether a series is collected, so that a reader may follow it."""
        return any(
            (series.exchange, series.symbol) == (each.exchange, each.symbol)
            and any(series.channel_text == channel.channel for channel in each.channels)
            for each in self.list_coins()
        )

    def subscribe(self, series: SeriesId, subscriber: Subscriber) -> Callable[[], object]:
        """Pass the updates of a collected series to a subscriber; return a function that ends this."""
        return live(self.stream_realtime_data, series, subscriber)

    def latest(self, series: SeriesId) -> Update | None:
        """Return the latest update of a series; ``None`` if there is none."""
        return None

    def book_awaited(self, series: SeriesId) -> Micros | None:
        """Return the maximum delay of the next stored order book; ``None`` if the series is not collected."""
        return None

    def stream_supervisors(self) -> Sequence[StreamSupervisor]:
        """Return the streams, for the metrics; empty if it reports none."""
        return ()
