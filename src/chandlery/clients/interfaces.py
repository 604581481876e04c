"""Client interfaces, independent of how an exchange is reached."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

from msgspec import Struct

from chandlery.clients.documented import accepted, fetch_rows, respelled, start_stream
from chandlery.clients.fallback import first_of
from chandlery.clients.names import PRIORITY, canonical
from chandlery.clients.rows import Row, table_of_rows
from chandlery.clients.streaming import Callback, RealtimeStream
from chandlery.core.endpoints import Origin
from chandlery.core.errors import IncompleteData, UnsupportedRequest
from chandlery.core.gaps import Span, clipped
from chandlery.core.instrument import Instrument, Listing, MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import TimeLike
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Micros, to_datetime
from chandlery.core.volume import VolumeFacts
from chandlery.feed.events import Event
from chandlery.tables.part import Part

if TYPE_CHECKING:
    import pyarrow as pa

    from chandlery.clients.sources import FallbackResult

StreamChannel: TypeAlias = Literal["candles", "book"]
"""Channels of streams."""

EventCallback: TypeAlias = Callable[[str, Event], object]
"""Callback for stream events, with the coin and the event; for ``Restated``, an awaitable result is awaited."""


class IExchangeAPIClient(ABC):
    """
    Client of one exchange; an async context manager.

    A third party implements the abstract methods, and offers the class under the entry point group
    ``chandlery.plugins``; it is constructed with the ``Settings``. A client without ``interval``, ``channel``,
    ``depth`` or ``on_event`` in its methods is called without them: it has candles of a minute, and its stream may mix
    candles and order books.

    Coins are written ``BTC/USDT`` (spot), ``BTC/USDT:USDT`` (linear) or ``BTC/USD:BTC`` (inverse).
    """

    family: ClassVar[str]
    """
    Family of the client, e.g. ``ccxt`` in ``ccxt.binance``, which distinguishes clients of the same exchange.

    Defaults to the name of the package that defines the class.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Set the default family."""
        super().__init_subclass__(**options)
        if not hasattr(cls, "family"):
            cls.family = cls.__module__.partition(".")[0].lower()

    async def __aenter__(self) -> Self:
        """Return the client; connections are opened on demand."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the client."""
        await self.close()

    @abstractmethod
    def get_exchange_name(self) -> str:
        """Return the exchange's name, e.g. ``binance``."""

    @abstractmethod
    async def fetch_historical_data(
        self, coin: str, start: datetime, end: datetime, interval: Interval | str = "1m"
    ) -> list[Row]:
        """
        Return the closed candles with ``start <= open < end``, oldest first.

        Both are aware datetimes. Each row holds ``exchange``, ``symbol``, ``interval``, ``timestamp`` (open time in
        milliseconds), ``open``, ``high``, ``low``, ``close``, ``volume`` and ``closed``. ``quote_asset_volume``,
        ``count``, ``taker_buy_volume`` and ``taker_buy_quote_volume`` are ``None`` if the exchange does not send them.
        ``received_at`` (receive time of the last message by the local clock, in milliseconds) and ``at`` (exchange time
        of that message, in milliseconds) are ``None`` here, and in entries of streams if unknown.

        Raises:
            InvalidSymbol: The coin is not a symbol of the exchange; ``WrongMarket`` if it is one of another market.
            IncompleteData: Part of the range is unavailable; ``data`` holds the rest.
            ExchangeError: The exchange, or the connection to it, failed.
        """

    async def fetch_candles(
        self, coin: str, start: datetime, end: datetime, interval: Interval | str = "1m"
    ) -> pa.Table:
        """
        Return the same candles as a table: ``open_time`` and the columns of ``OUTPUT_DTYPES``, NaN for missing values.

        The schema's metadata holds the ``Provenance``, if the client has one.
        """
        return table_of_rows(await fetch_rows(self.fetch_historical_data, coin, start, end, interval))

    async def fetch_part(self, coin: str, span: Span, interval: Interval) -> Part:
        """
        Return the candles of ``span`` with their provenance as an object, for callers in this process.

        Unavailable candles are gaps of the result; both lie in ``span``.
        """
        try:
            table = await self.fetch_candles(coin, to_datetime(span.start), to_datetime(span.end), interval)
        except IncompleteData as error:
            return Part.of_output(error.data, sorted(clipped(error.missing, span))).cut(span)
        return Part.of_output(table).cut(span)

    @abstractmethod
    async def check_coin_availability(self, coin: str) -> bool:
        """
        Return whether the exchange lists the coin and trades it now.

        Raises:
            InvalidSymbol: The coin is not a symbol of this exchange.
            ExchangeError: The exchange, or the connection to it, failed.
        """

    async def start_realtime_stream(
        self,
        coin: str,
        callback: Callback,
        *,
        channel: StreamChannel = "candles",
        interval: Interval | str = "1m",
        depth: int | None = None,
        on_event: EventCallback | None = None,
    ) -> RealtimeStream:
        """
        Start a stream that calls back with every new entry; returns once the stream runs.

        Entries of ``candles`` are rows of ``fetch_historical_data``: each closed candle once, in order and without
        gaps, and updates of the running one in between. Entries of ``book`` are full books, as often as the callback
        keeps up: ``exchange``, ``symbol``, ``timestamp`` (milliseconds, ``None`` if the exchange sends none),
        ``received_at`` (receive time of the last message by the local clock, in milliseconds), ``sequence`` (as
        ``timestamp``), ``bids`` and ``asks``, lists of price and size, best first, ``depth`` of them or all. An
        exception of the callback ends the stream; ``wait`` and ``stop`` raise it.

        The stream of a third party may also return nothing, and call back in the background or until it is cancelled;
        its candles need ``timestamp``, ``open``, ``high``, ``low``, ``close``, ``volume`` and ``closed``.

        Raises:
            UnsupportedRequest: The client has no streams, or none of that channel or interval.
        """
        raise UnsupportedRequest(f"{self.family}.{self.get_exchange_name()} has no streams")

    async def fetch_funding(self, coin: str, start: datetime, end: datetime) -> pa.Table:
        """
        Return the funding rates of a perpetual with ``start <= time < end``, as a table.

        Columns are ``open_time`` and those of ``FUNDING_RATE_DTYPES``. The schema's metadata holds the ``Provenance``.

        Raises:
            UnsupportedRequest: The client has no funding rates.
            IncompleteData: Part of the range is unavailable; ``data`` holds the rest.
        """
        raise UnsupportedRequest(f"{self.family}.{self.get_exchange_name()} has no funding rates of {coin}")

    async def instruments(self, market: MarketType | None = None) -> list[tuple[str, Listing]]:
        """
        Return the instruments that the exchange lists, at most ten minutes old, each with the id of its market.

        ``market`` requests the list of one market alone where an exchange has several lists.

        Raises:
            UnsupportedRequest: The client has no list.
        """
        raise UnsupportedRequest(f"{self.family}.{self.get_exchange_name()} has no list of instruments")

    def listed_at(self, market: MarketType | None = None) -> Micros | None:
        """Return when the oldest list of ``instruments`` was read; ``None`` if none was, or if it is unknown."""
        return None

    async def exchange_time(self, coin: str) -> Micros | None:
        """Return the time of the exchange's clock in the market of ``coin``; ``None`` if unknown."""
        return None

    @property
    def keeps_candles(self) -> bool:
        """True if the client caches candles, so that the same candles are not requested twice."""
        return False

    def require_interval(self, coin: str, interval: Interval) -> None:
        """
        Check that candles of ``interval`` exist, as far as is known without a request.

        Raises:
            UnsupportedRequest: They do not; the message names the available intervals.
            InvalidSymbol: The coin is not a symbol of this exchange.
        """
        accepted(self.start_realtime_stream, interval=interval)

    def require_books(self, coin: str) -> None:  # noqa: B027  # most clients have the books of all coins
        """
        Check that there are live order books of the coin, as far as is known without a request.

        Raises:
            UnsupportedRequest: There are none.
            InvalidSymbol: The coin is not a symbol of this exchange.
        """

    def spelled(self, coin: str) -> str:
        """
        Return the coin as entries name it: in ccxt's notation, if any spelling can be converted to it.

        Raises:
            InvalidSymbol: The coin is not a symbol of this exchange.
        """
        return str(Instrument.parse(coin))

    def origin(self, coin: str) -> Origin | None:
        """
        Return the origin that serves the coin in place of the exchange; ``None`` for the exchange itself.

        Raises:
            InvalidInput: Several origins are configured for it, whose data must not be mixed.
        """
        return None

    def volume_unit(self, coin: str) -> str | None:
        """Return the unit of ``volume``: ``base``, ``quote`` or ``contracts``; ``None`` if unknown."""
        return None

    async def volume_facts(self, coin: str) -> VolumeFacts | None:
        """Return what is needed to convert the volumes of a coin, ``None`` if unknown; raises what ``instruments`` raises."""
        return None

    async def close(self) -> None:  # noqa: B027  # a client may have nothing to close
        """Stop the streams and close the connections; idempotent."""


class ResolvedSeries(Struct, frozen=True):
    """
    A series with the client of its exchange.

    ``id`` has the spelling under which data is stored. ``origin`` serves the data in place of the exchange; ``None`` for
    the exchange itself.
    """

    id: SeriesId
    client: IExchangeAPIClient
    origin: str | None = None


class IDataSourceConnector(ABC):
    """
    Clients of all exchanges by name; an async context manager. Names and errors are those of ``IExchangeAPIClient``.

    A third party implements the abstract methods; the others use the clients of ``get_client``.
    """

    async def __aenter__(self) -> Self:
        """Return the connector; clients are created on demand."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close every client."""
        await self.close_all_plugins()

    @abstractmethod
    def get_client(self, exchange_name: str) -> IExchangeAPIClient:
        """
        Return the client of an exchange, created on first use.

        ``exchange_name`` is an exchange, e.g. ``binance``, or a family and an exchange, e.g. ``ccxt.binance``.

        Raises:
            UnknownName: There is no client for the exchange.
            InvalidInput: There are several; the message names them.
            MissingDependency: The client needs ccxt, which is not installed.
        """

    def origin(self, exchange_name: str, coin_symbol: str) -> Origin | None:
        """Return the origin that serves the coin in place of the exchange; ``None`` for the exchange itself."""
        return self.get_client(exchange_name).origin(coin_symbol)

    def resolve(self, series: SeriesId) -> ResolvedSeries:
        """
        Resolve a series whose exchange and symbol are in any spelling; what follows needs no name again.

        Raises:
            InvalidInput: The exchange is unknown, or the symbol is not one of its.
            UnsupportedRequest: The exchange has no candles of the interval, as far as is known without a request.
        """
        client = self.get_client(series.exchange)
        symbol = client.spelled(series.symbol)
        if series.interval is not None:
            client.require_interval(symbol, series.interval)
        origin = client.origin(symbol)
        named = SeriesId(canonical(series.exchange), symbol, series.channel, series.interval)
        return ResolvedSeries(named, client, None if origin is None else str(origin))

    @abstractmethod
    async def check_coin_availability(self, exchange_name: str, coin_symbol: str) -> bool:
        """Return whether the exchange lists the coin and trades it now."""

    @abstractmethod
    async def fetch_historical_data(
        self,
        exchange_name: str,
        coin_symbol: str,
        start_time: TimeLike,
        end_time: TimeLike | None = None,
        interval: Interval | str = "1m",
    ) -> list[Row]:
        """Return the closed candles with ``start_time <= open < end_time``, oldest first."""

    @respelled(coin="coin_symbol")
    async def start_realtime_stream(
        self,
        exchange_name: str,
        coin_symbol: str,
        callback: Callback,
        *,
        channel: StreamChannel = "candles",
        interval: Interval | str = "1m",
        depth: int | None = None,
        on_event: EventCallback | None = None,
    ) -> RealtimeStream:
        """Start a stream that calls back with every new entry of the coin."""
        client = self.get_client(exchange_name)
        return await start_stream(
            client.start_realtime_stream,
            coin_symbol,
            callback,
            name=f"{client.get_exchange_name()} {coin_symbol} {channel}",
            channel=channel,
            interval=interval,
            depth=depth,
            on_event=on_event,
        )

    async def open_stream(
        self,
        exchange_name: str,
        coin_symbol: str,
        callback: Callback,
        *,
        channel: StreamChannel,
        interval: Interval,
        depth: int | None,
        on_event: EventCallback,
    ) -> RealtimeStream:
        """Call ``start_realtime_stream`` with the arguments that it accepts, and return a stream, whatever it returns."""
        return await start_stream(
            partial(self.start_realtime_stream, exchange_name),
            coin_symbol,
            callback,
            name=f"{exchange_name} {coin_symbol} {channel}",
            channel=channel,
            interval=interval,
            depth=depth,
            on_event=on_event,
        )

    async def fetch_with_fallback(
        self,
        symbol: str,
        start_time: TimeLike,
        end_time: TimeLike | None = None,
        interval: Interval | str = "1m",
        *,
        exchanges: Sequence[str] | None = None,
        allow_mixed: bool = False,
    ) -> FallbackResult:
        """
        Return the candles of the first exchange, in this order, that has them; by default, in the order of ``PRIORITY``.

        After a temporary failure of an exchange the next one is tried; any other error is raised at once. All candles
        come from one exchange, unless ``allow_mixed``: then each exchange fills what the previous ones lack, and
        ``spans`` names the exchange of each part.

        Raises:
            IncompleteData: Mixing was allowed, and no exchange has the rest; ``data`` holds the available rows.
            ExchangeUnavailable: No exchange has the whole range; the message gives the reason of each.
        """
        clients = {name: self.get_client(name) for name in (PRIORITY if exchanges is None else exchanges)}
        return await first_of(clients, symbol, start_time, end_time, interval, allow_mixed=allow_mixed)

    async def close_all_plugins(self) -> None:  # noqa: B027  # a connector may own no clients
        """Close every client that the connector owns, whatever fails, and raise the errors."""
