"""What whoever talks to an exchange can rely on, whichever way it is reached."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

from chandlery.clients.documented import accepted, fetch_rows
from chandlery.clients.rows import Row, table_of_rows
from chandlery.clients.streaming import Callback, RealtimeStream
from chandlery.core.endpoints import Origin
from chandlery.core.errors import IncompleteData, UnsupportedRequest
from chandlery.core.gaps import Span
from chandlery.core.instrument import Instrument
from chandlery.core.interval import Interval
from chandlery.core.time import Micros, to_datetime
from chandlery.feed.events import Event
from chandlery.tables.part import Part

if TYPE_CHECKING:
    import pyarrow as pa

    from chandlery.clients.sources import FallbackResult

StreamChannel: TypeAlias = Literal["candles", "book"]
"""What can be streamed."""

EventCallback: TypeAlias = Callable[[str, Event], object]
"""Called with the coin and what happened to its stream; for ``Restated``, awaited where it returns something to await."""


class IExchangeAPIClient(ABC):
    """
    One exchange, whichever way it is reached: an async context manager.

    A third party implements the abstract methods, and offers the class under the entry point group
    ``chandlery.plugins``; it is made with the ``Settings``. A client without ``interval``, ``channel``, ``depth`` or
    ``on_event`` in its methods is called without them: it has candles of a minute, and its stream may mix candles and
    order books.

    Coins are written ``BTC/USDT`` (spot), ``BTC/USDT:USDT`` (linear) or ``BTC/USD:BTC`` (inverse).
    """

    family: ClassVar[str]
    """
    What tells it from others for the same exchange, e.g. ``ccxt`` in ``ccxt.binance``.

    The name of the package that defines the class, where the class gives none.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Name the family."""
        super().__init_subclass__(**options)
        if not hasattr(cls, "family"):
            cls.family = cls.__module__.partition(".")[0].lower()

    async def __aenter__(self) -> Self:
        """Nothing to open; connections are made when they are needed."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    @abstractmethod
    def get_exchange_name(self) -> str:
        """The exchange's name, e.g. ``binance``."""

    @abstractmethod
    async def fetch_historical_data(
        self, coin: str, start: datetime, end: datetime, interval: Interval | str = "1m"
    ) -> list[Row]:
        """
        The closed candles with ``start <= open < end``, oldest first.

        Both are aware datetimes. Each row holds ``exchange``, ``symbol``, ``interval``, ``timestamp``
        (the open, in milliseconds), ``open``, ``high``, ``low``, ``close``, ``volume``; and
        ``quote_asset_volume``, ``count``, ``taker_buy_volume``, ``taker_buy_quote_volume``, which are
        ``None`` where the exchange does not send them; and ``closed``. ``received_at`` (milliseconds, when the last message
        about it came, by the local clock) and ``at`` (milliseconds, the exchange's own time of the message that brought it)
        are ``None`` here, and in entries of streams where they are not known.

        Raises:
            InvalidSymbol: Not a symbol of the exchange; ``WrongMarket`` where it is one of another market.
            IncompleteData: Part of the range could not be had; ``data`` is the rest.
            ExchangeError: The exchange, or the way to it, failed.
        """

    async def fetch_candles(
        self, coin: str, start: datetime, end: datetime, interval: Interval | str = "1m"
    ) -> pa.Table:
        """
        The same by column: ``open_time`` and the columns of ``OUTPUT_DTYPES``, NaN for what is not sent.

        The schema's metadata carry the ``Provenance``, where the client has one.
        """
        return table_of_rows(await fetch_rows(self.fetch_historical_data, coin, start, end, interval))

    async def fetch_part(self, coin: str, span: Span, interval: Interval) -> Part:
        """
        The same of ``span``, with the provenance as it is, for callers in this process.

        What could not be had is a gap of it.
        """
        try:
            table = await self.fetch_candles(coin, to_datetime(span.start), to_datetime(span.end), interval)
        except IncompleteData as error:
            return Part.of_output(error.data, error.missing)
        return Part.of_output(table)

    @abstractmethod
    async def check_coin_availability(self, coin: str) -> bool:
        """
        Whether the exchange lists the coin and it trades now.

        Raises:
            InvalidSymbol: It cannot be a symbol of this exchange.
            ExchangeError: The exchange, or the way to it, failed.
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
        Call back with every entry from now on; returns as soon as the stream runs.

        Entries of ``candles`` are rows as ``fetch_historical_data`` gives them: each closed candle
        once, in order, without a hole, and between them the running one. Those of ``book`` are whole
        books as often as the callback takes them: ``exchange``, ``symbol``, ``timestamp`` (milliseconds,
        ``None`` where the exchange names no time), ``received_at`` (milliseconds, when the last message about it came, by
        the local clock), ``sequence`` (as ``timestamp``), ``bids`` and ``asks``, lists
        of price and size, best first, ``depth`` of them or all that there are. What the callback raises ends the stream, and ``wait`` and
        ``stop`` raise it.

        A third party's may also return nothing, and call back in the background or until it is cancelled; candles then
        need ``timestamp``, ``open``, ``high``, ``low``, ``close``, ``volume`` and ``closed``.

        Raises:
            UnsupportedRequest: This client has no streams, or none of that channel or interval.
        """
        raise UnsupportedRequest(f"{self.family}.{self.get_exchange_name()} has no streams")

    async def fetch_funding(self, coin: str, start: datetime, end: datetime) -> pa.Table:
        """
        The funding rates of a perpetual with ``start <= moment < end``: ``open_time`` and the columns of ``FUNDING_RATE_DTYPES``.

        The schema's metadata carry the ``Provenance``.

        Raises:
            UnsupportedRequest: This client has none.
            IncompleteData: Part of the range could not be had; ``data`` is the rest.
        """
        raise UnsupportedRequest(f"{self.family}.{self.get_exchange_name()} has no funding rates of {coin}")

    async def exchange_time(self, coin: str) -> Micros | None:
        """The time of the exchange where ``coin`` trades, by its own clock; ``None`` where that is not known."""
        return None

    @property
    def keeps_candles(self) -> bool:
        """Whether it keeps what it fetches, so that nobody is asked for the same candles twice."""
        return False

    def require_interval(self, coin: str, interval: Interval) -> None:
        """
        Pass where there are candles of ``interval``, as far as can be told without asking.

        Raises:
            UnsupportedRequest: There are none; the message names those that there are.
            InvalidSymbol: It cannot be a symbol of this exchange.
        """
        accepted(self.start_realtime_stream, interval=interval)

    def spelled(self, coin: str) -> str:
        """
        The coin as entries name it: as ccxt writes it, where that can be told of any spelling of it.

        Raises:
            InvalidSymbol: It cannot be a symbol of this exchange.
        """
        return str(Instrument.parse(coin))

    def origin(self, coin: str) -> Origin | None:
        """
        The server whose data of the coin it gives in place of the exchange's own; ``None`` for the exchange itself.

        Raises:
            InvalidInput: Several servers are set for it, whose data must not be mixed.
        """
        return None

    def volume_unit(self, coin: str) -> str | None:
        """What ``volume`` counts: ``base``, ``quote`` or ``contracts``; ``None`` where that is not known."""
        return None

    async def close(self) -> None:  # noqa: B027  # a client may have nothing to close
        """End the streams and close the connections; again is nothing."""


class IDataSourceConnector(ABC):
    """All exchanges by name; an async context manager. Names and errors are those of ``IExchangeAPIClient``."""

    async def __aenter__(self) -> Self:
        """Nothing to open; clients are made when they are needed."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close every client."""
        await self.close_all_plugins()

    @abstractmethod
    def get_client(self, exchange_name: str) -> IExchangeAPIClient:
        """
        The one client of an exchange, made at the first question.

        ``exchange_name`` is an exchange, e.g. ``binance``, or an exchange and the family that is to
        reach it, e.g. ``ccxt.binance``.

        Raises:
            UnknownName: Nobody reaches such an exchange.
            InvalidInput: Several do; the message names them.
            MissingDependency: It takes ccxt, which is not installed.
        """

    def origin(self, exchange_name: str, coin_symbol: str) -> Origin | None:
        """The server whose data of the coin its client gives; ``None`` for the exchange itself."""
        return self.get_client(exchange_name).origin(coin_symbol)

    @abstractmethod
    async def check_coin_availability(self, exchange_name: str, coin_symbol: str) -> bool:
        """Whether the exchange lists the coin and it trades now."""

    @abstractmethod
    async def fetch_historical_data(
        self,
        exchange_name: str,
        coin_symbol: str,
        start_time: datetime,
        end_time: datetime,
        interval: Interval | str = "1m",
    ) -> list[Row]:
        """The closed candles with ``start_time <= open < end_time``, oldest first."""

    @abstractmethod
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
        """Call back with every entry of the coin from now on."""

    @abstractmethod
    async def fetch_with_fallback(
        self,
        symbol: str,
        start_time: datetime,
        end_time: datetime,
        interval: Interval | str = "1m",
        *,
        exchanges: Sequence[str] | None = None,
        allow_mixed: bool = False,
    ) -> FallbackResult:
        """
        The candles of the first exchange, in this order, that can give them.

        An exchange that fails in a way that may pass is followed by the next; any other error is raised at
        once. All candles are of one exchange, unless ``allow_mixed``: then each gives what those before it
        could not, and ``spans`` says which gave what.

        Raises:
            IncompleteData: Mixing was allowed, and none has the rest; ``data`` are the rows that were had.
            ExchangeUnavailable: None could give all of it; the message says why, one by one.
        """

    @abstractmethod
    async def close_all_plugins(self) -> None:
        """Close every client, whatever fails, and raise what did."""
