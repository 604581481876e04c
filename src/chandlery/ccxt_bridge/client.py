"""Any exchange of ccxt as a client."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from chandlery.ccxt_bridge.errors import is_ccxt_error, translated
from chandlery.ccxt_bridge.exchange import exchange_class, made, missing_ccxt
from chandlery.ccxt_bridge.history import Market, MarketFacts, Rows, fetch
from chandlery.ccxt_bridge.stream import BookLoop, CandleLoop
from chandlery.clients.interfaces import EventCallback, IExchangeAPIClient, StreamChannel
from chandlery.clients.names import canonical
from chandlery.clients.rows import Row, rows_of_table
from chandlery.clients.settings import CCXTConfig, Credentials
from chandlery.clients.streaming import Callback, RealtimeStream
from chandlery.core.endpoints import Origin
from chandlery.core.errors import (
    ChandleryError,
    Closed,
    IncompleteData,
    InvalidInput,
    InvalidSymbol,
    RateLimited,
    UnsupportedRequest,
    WrongMarket,
)
from chandlery.core.gaps import Span
from chandlery.core.instrument import Instrument, require_symbol
from chandlery.core.interval import Interval
from chandlery.core.moment import range_of
from chandlery.core.provenance import Provenance
from chandlery.core.time import SECOND, Clock, Micros, Unit
from chandlery.feed.backoff import PACE, Pace
from chandlery.history.interfaces import FetchResult, incomplete
from chandlery.net.clock import ExchangeClock, system_clock
from chandlery.net.exchange_client import LIST_AGE
from chandlery.net.limiter import RateLimiter
from chandlery.net.proxy import Proxies
from chandlery.net.retry import retried
from chandlery.tables.frame import to_output

if TYPE_CHECKING:
    import pyarrow as pa

PAGE_SIZE = 500
"""How many candles are asked for at once where ccxt does not know how many an exchange gives."""
RETRIES = 5
LONGEST_PAUSE_S = 120.0
"""How long a pause may be that an exchange asks for, so that it is waited for."""
CLOCK_MARGIN: Micros = 2 * SECOND
"""By how much this machine's clock may be fast, where the exchange does not tell the time."""

_T = TypeVar("_T")

# What ccxt's own code stumbles over in an answer that is not as documented.
_UNREADABLE = (TypeError, ValueError, KeyError, IndexError, AttributeError)


class CCXTExchangeClient(IExchangeAPIClient):
    """
    An exchange that ccxt reaches, past and live.

    ``exchange_id`` is ccxt's, or another spelling of it; without it, ``config.default_exchange``.
    Streams come through ccxt.pro where it has them, and by polling where it has not. ``proxies`` are those of the environment where nothing is given. It belongs to
    one event loop; ccxt is loaded when the exchange is first used.

    Raises:
        UnknownName: ccxt has no such exchange.
        MissingDependency: ccxt is not installed.
    """

    family = "ccxt"

    def __init__(
        self,
        config: CCXTConfig | None = None,
        exchange_id: str | None = None,
        *,
        proxies: Proxies | None = None,
        credentials: Credentials | None = None,
        limiter: RateLimiter | None = None,
        clock: Clock = system_clock,
        pace: Pace = PACE,
    ) -> None:
        try:
            import ccxt.pro as ccxt  # noqa: PLC0415  # only who uses it pays for it
            from ccxt import async_support  # noqa: PLC0415  # the same
        except ImportError:
            raise missing_ccxt() from None
        self._config = config or CCXTConfig()
        self._name = canonical(self._config.default_exchange if exchange_id is None else exchange_id)
        contract_type = self._config.default_contract_type
        module = ccxt if self._name in ccxt.exchanges else async_support
        self._class = exchange_class(module, self._name, contract_type)
        self._exchange: Any = None
        self._made_with = (limiter or RateLimiter(), proxies or Proxies(), credentials, contract_type)
        self.clock = clock
        self._time = ExchangeClock(self._ask_time, clock=clock)
        self._pace = pace
        self._listed_at: Micros | None = None
        self._listing = asyncio.Lock()
        self._closed = False
        self._streams: set[RealtimeStream] = set()

    def get_exchange_name(self) -> str:
        """Ccxt's id of the exchange."""
        return self._name

    async def fetch_historical_data(
        self, coin: str, start: datetime, end: datetime, interval: Interval | str = "1m"
    ) -> list[Row]:
        """The closed candles, page by page."""
        try:
            table = await self.fetch_candles(coin, start, end, interval)
        except IncompleteData as error:
            rows = await self._rows(error.data, coin, interval)
            raise IncompleteData(str(error), data=rows, missing=error.missing) from error.__cause__
        return await self._rows(table, coin, interval)

    async def fetch_candles(
        self, coin: str, start: datetime, end: datetime, interval: Interval | str = "1m"
    ) -> pa.Table:
        """The same by column; NaN for all that ccxt does not give, which is open to volume alone."""
        span = range_of(start, end, self.clock())
        length = interval if isinstance(interval, Interval) else Interval(interval)
        self._require(length)
        market = await self._market(coin)
        result, failure = await self.past_candles(market["symbol"], length, span)
        if failure is not None and not result.table:
            raise failure
        table: pa.Table = to_output(result.table, "arrow", Provenance.of(result.spans, result.gaps, result.events))
        failures = [gap for gap in result.gaps if gap.kind.is_failure]
        if failures:
            raise incomplete(table, failures, span) from failure
        return table

    async def check_coin_availability(self, coin: str) -> bool:
        """Whether ccxt's list of markets has it, and it is not said to be inactive."""
        try:
            market = await self._market(coin)
        except WrongMarket:
            raise
        except InvalidSymbol:
            Instrument.parse(coin)
            return False
        return market.get("active") is not False

    def require_interval(self, coin: str, interval: Interval) -> None:
        """As ccxt declares."""
        self._require(interval)

    def origin(self, coin: str) -> Origin | None:
        """The test network, or the host of what stands for the exchange's addresses."""
        if self._config.testnet:
            return Origin("testnet")
        moved = self._config.endpoints.get(self._class.__name__, {})
        return next((Origin(urlsplit(url).netloc.lower() or url) for url in moved.values()), None)

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
        """Call back with what ccxt.pro watches, or with what is asked for again and again."""
        if channel not in {"candles", "book"}:
            raise InvalidInput(f"channel is candles or book, not {channel!r}")
        if depth is not None and depth < 1:
            raise InvalidInput(f"depth is {depth}; at least one level a side can be told")
        length = interval if isinstance(interval, Interval) else Interval(interval)
        if channel == "candles":
            self._require(length)
        symbol = (await self._market(coin))["symbol"]
        name = f"{self._name} {symbol} {channel}"
        loop: CandleLoop | BookLoop
        if channel == "candles":
            loop = CandleLoop(self, symbol, length, coin, callback, on_event, self._pace)
            stream = RealtimeStream(name, loop.run())
        else:
            loop = BookLoop(self, symbol, depth, coin, callback, on_event, self._pace)
            stream = RealtimeStream(name, loop.run(), book=loop.book, ages=loop.ages)
        self._streams = {stream, *(each for each in self._streams if each.running)}
        await stream.started(loop.begun)
        return stream

    async def close(self) -> None:
        """End the streams, and close ccxt's connections."""
        self._closed = True
        await asyncio.gather(*(stream.end() for stream in self._streams))
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            await exchange.close()

    @property
    def exchange(self) -> Any:
        """Ccxt's own object."""
        if self._closed:
            raise Closed(f"the client of {self._name} is closed; make a new one")
        if self._exchange is None:
            limiter, proxies, credentials, contract_type = self._made_with
            self._exchange = made(
                self._class,
                self._config,
                limiter,
                proxies=proxies,
                credentials=credentials,
                testnet=self._config.testnet,
                contract_type=contract_type,
            )
        return self._exchange

    async def call(self, method: str, *args: Any, retries: int = RETRIES, **kwargs: Any) -> Any:
        """What a method of ccxt's gives; errors are ours, and what may pass is tried again."""
        exchange = self.exchange

        async def once() -> Any:
            return await _ours(getattr(exchange, method), exchange, *args, **kwargs)

        return await retried(once, self._backoff, retries)

    async def past_candles(
        self, symbol: str, interval: Interval, span: Span
    ) -> tuple[FetchResult, ChandleryError | None]:
        """The closed candles of a symbol of ``markets``, why others are absent, and the first failure."""

        async def ask(length: Interval, part: Span, counts: bool) -> Rows:  # noqa: FBT001  # ``Ask`` has three parameters
            limit = length.count(part.start, part.end) if counts else None
            since = Unit.MILLIS.of(part.start)
            rows: Rows = await self.call("fetch_ohlcv", symbol, length.value, since=since, limit=limit)
            return rows

        async def is_listed() -> bool | None:
            active = (await self._markets()).get(symbol, {"active": False}).get("active")
            return active if isinstance(active, bool) else None

        timeframes = self.exchange.timeframes or {}
        known = frozenset(each for each in Interval if each.value in timeframes)
        market = Market(MarketFacts(known, self._page_size(symbol)), ask, self._time, is_listed=is_listed)
        return await fetch(market, f"{self._name} {symbol}", interval, span)

    async def now(self) -> Micros:
        """The exchange's time; where it does not tell, safely before the local clock's."""
        return await self._time.now()

    def guess(self) -> Micros:
        """The exchange's time by its last answer."""
        return self._time.guess()

    async def _ask_time(self) -> Micros:
        if self.exchange.has.get("fetchTime"):
            answer = await self.call("fetch_time")
            if isinstance(answer, int):
                return Unit.MILLIS.micros(answer)
        return self.clock() - CLOCK_MARGIN

    def _backoff(self, error: Exception) -> bool | float:
        if not isinstance(error, ChandleryError) or not error.retryable or self._closed:
            return False
        if isinstance(error, RateLimited) and error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= LONGEST_PAUSE_S else False
        return True

    async def _markets(self) -> dict[str, dict[str, Any]]:
        """Ccxt's list of markets by its symbols, at most ten minutes old."""
        async with self._listing:
            known = self._listed_at is not None
            if self._listed_at is None or abs(self.clock() - self._listed_at) >= LIST_AGE:
                await self.call("load_markets", known)
                self._listed_at = self.clock()
        markets: dict[str, dict[str, Any]] = self.exchange.markets
        return markets

    async def _market(self, coin: str) -> dict[str, Any]:
        """The market of a coin."""
        if "/" not in require_symbol(coin) and "-" not in coin:
            raise _no_symbol(coin)
        markets = await self._markets()
        symbol = next((each for each in (coin, coin.upper()) if each in markets), None) or str(Instrument.parse(coin))
        if symbol in markets:
            return markets[symbol]
        pair = symbol.partition(":")[0]
        others = sorted(each for each in markets if each.partition(":")[0] == pair)
        if others:
            raise WrongMarket(f"{self._name} has no {symbol}; of {pair} it lists {', '.join(others[:5])}")
        near = difflib.get_close_matches(symbol, list(markets), 3)
        hint = f"; did you mean {' or '.join(near)}" if near else ""
        raise InvalidSymbol(f"{self._name} does not list {symbol}{hint}")

    def _require(self, interval: Interval) -> None:
        """Refuse what the exchange has no candles of; ccxt spells intervals as we do."""
        timeframes = self.exchange.timeframes or {}
        if not self.exchange.has.get("fetchOHLCV"):
            raise UnsupportedRequest(f"{self._name} has no candles in ccxt")
        if interval.value not in timeframes:
            raise UnsupportedRequest(f"{self._name} has no {interval.value} candles; it has {' '.join(timeframes)}")

    def _page_size(self, symbol: str) -> int:
        size = self.exchange.feature_value(symbol, "fetchOHLCV", "limit")
        return size if isinstance(size, int) and size > 0 else PAGE_SIZE

    async def _rows(self, table: Any, coin: str, interval: Interval | str) -> list[Row]:
        length = interval if isinstance(interval, Interval) else Interval(interval)
        symbol = (await self._market(coin))["symbol"]
        return rows_of_table(table, self._name, symbol, length, counts=False)


async def _ours(method: Callable[..., Awaitable[_T]], exchange: Any, *args: Any, **kwargs: Any) -> _T:
    """Call ccxt; its errors come out as ours, and nothing that holds secrets is their context."""
    try:
        return await method(*args, **kwargs)
    except ChandleryError:
        raise
    except Exception as error:
        if not is_ccxt_error(error) and not isinstance(error, _UNREADABLE):
            raise
        failure = translated(error, exchange)
    raise failure


def _no_symbol(coin: str) -> InvalidSymbol:
    return InvalidSymbol(
        f"{coin!r} is not a symbol; write BTC/USDT for spot, BTC/USDT:USDT for linear, BTC/USD:BTC for inverse"
    )
