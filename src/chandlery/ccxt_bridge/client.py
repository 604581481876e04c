"""Client for any exchange of ccxt."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from chandlery.ccxt_bridge.errors import is_ccxt_error, translated
from chandlery.ccxt_bridge.exchange import (
    default_kind,
    endpoints_of,
    exchange_class,
    made,
    missing_ccxt,
    require_exchange,
)
from chandlery.ccxt_bridge.history import Market, MarketFacts, Rows, fetch
from chandlery.ccxt_bridge.listings import listings_of
from chandlery.ccxt_bridge.stream import BookLoop, CandleLoop
from chandlery.clients.documented import respelled
from chandlery.clients.interfaces import EventCallback, IExchangeAPIClient, StreamChannel
from chandlery.clients.names import canonical
from chandlery.clients.rows import Row, rows_of_table
from chandlery.clients.settings import CCXTConfig, ContractType, Credentials
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
from chandlery.core.instrument import Instrument, Listing, MarketType, require_symbol
from chandlery.core.interval import Interval
from chandlery.core.moment import TimeLike, range_of, require_begun
from chandlery.core.provenance import Provenance
from chandlery.core.time import SECOND, Clock, Micros, Unit
from chandlery.feed.backoff import PACE, Pace
from chandlery.history.interfaces import incomplete
from chandlery.net.clock import ExchangeClock, system_clock
from chandlery.net.exchange_client import LIST_AGE
from chandlery.net.limiter import RateLimiter
from chandlery.net.proxy import Proxies
from chandlery.net.retry import retried
from chandlery.tables.frame import to_output
from chandlery.tables.part import Part

if TYPE_CHECKING:
    import pyarrow as pa

PAGE_SIZE = 500
"""Page size in candles if ccxt does not know the exchange's limit."""
RETRIES = 5
LONGEST_PAUSE_S = 120.0
"""Maximum time in seconds to wait when an exchange asks for a pause."""
CLOCK_MARGIN: Micros = 2 * SECOND
"""Assumed maximum error of the local clock, if the exchange does not send its time."""

_T = TypeVar("_T")

# Exceptions of ccxt's own code on an undocumented response.
_UNREADABLE = (TypeError, ValueError, KeyError, IndexError, AttributeError)


class CCXTExchangeClient(IExchangeAPIClient):
    """
    Client of an exchange through ccxt, for historical and live data.

    ``exchange_id`` is ccxt's id, or another spelling of it; it defaults to ``config.default_exchange``. Streams use
    ccxt.pro if it supports them, else polling. ``proxies`` default to those of the environment. The client belongs to
    one event loop; ccxt is imported on first use, in a thread. Without ``credentials``, the keys of ``config`` are used
    if they belong to this exchange.

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
        self._config = config or CCXTConfig()
        self._name = canonical(self._config.default_exchange if exchange_id is None else exchange_id)
        require_exchange(self._name, installed=True)
        self._loading = asyncio.Lock()
        self._exchange: Any = None
        self._made_with = (
            limiter or RateLimiter(),
            proxies or Proxies(),
            credentials or self._config.account(self._name),
        )
        self.clock = clock
        self._time = ExchangeClock(self._request_time, clock=clock)
        self._pace = pace
        self._listed_at: Micros | None = None
        self._listing = asyncio.Lock()
        self._closed = False
        self._streams: set[RealtimeStream] = set()

    def get_exchange_name(self) -> str:
        """Return ccxt's id of the exchange."""
        return self._name

    @respelled(coin_symbol="coin", start_time="start", end_time="end")
    async def fetch_historical_data(
        self, coin: str, start: TimeLike, end: TimeLike | None, interval: Interval | str = "1m"
    ) -> list[Row]:
        """Return the closed candles, fetched page by page."""
        try:
            table = await self.fetch_candles(coin, start, end, interval)
        except IncompleteData as error:
            rows = await self._rows(error.data, coin, interval)
            raise IncompleteData(str(error), data=rows, missing=error.missing) from error.__cause__
        return await self._rows(table, coin, interval)

    async def fetch_candles(
        self, coin: str, start: TimeLike, end: TimeLike | None, interval: Interval | str = "1m"
    ) -> pa.Table:
        """
        Return the same candles as a table; NaN in all columns that ccxt does not provide, which has only open to
        volume.
        """
        now = self.clock()
        span = range_of(start, end, now)
        require_begun(span, now)
        length = interval if isinstance(interval, Interval) else Interval(interval)
        await self._ready()
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

    @respelled(coin_symbol="coin")
    async def check_coin_availability(self, coin: str) -> bool:
        """Return whether ccxt's list of markets has the coin and does not mark it inactive."""
        try:
            market = await self._market(coin)
        except WrongMarket:
            raise
        except InvalidSymbol:
            Instrument.parse(coin)
            return False
        return market.get("active") is not False

    async def instruments(self, market: MarketType | None = None) -> list[tuple[str, Listing]]:
        """Return ccxt's list of markets without options."""
        markets = await self._markets()
        listings = listings_of(markets.values(), self.exchange.precisionMode)
        return [(self._name, each) for each in listings if market in {None, each.instrument.market}]

    def listed_at(self, market: MarketType | None = None) -> Micros | None:
        """Return when ccxt's list was read."""
        return self._listed_at

    def require_interval(self, coin: str, interval: Interval) -> None:
        """Check the interval against ccxt's declaration, if that is loaded; requests and streams check it again."""
        if self._exchange is not None:
            self._require(interval)

    def require_books(self, coin: str) -> None:
        """Check that ccxt can watch or fetch order books, if its declaration is loaded; streams check it again."""
        if self._exchange is not None:
            self._require_books()

    def _require_books(self) -> None:
        if not any(self.exchange.has.get(each) for each in ("watchOrderBook", "fetchOrderBook")):
            raise UnsupportedRequest(f"{self._name} has no order books in ccxt")

    def origin(self, coin: str) -> Origin | None:
        """Return the testnet, or the host that replaces the exchange's addresses."""
        if self._config.testnet:
            return Origin("testnet")
        moved = endpoints_of(self._config, self._name)
        return next((Origin(urlsplit(url).netloc.lower() or url) for url in moved.values()), None)

    @respelled(coin_symbol="coin")
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
        """Start a stream of what ccxt.pro watches, or by polling."""
        if channel not in {"candles", "book"}:
            raise InvalidInput(f"channel is {channel!r}; use candles or book")
        if depth is not None and depth < 1:
            raise InvalidInput(f"depth is {depth}; it must be at least one level per side")
        length = interval if isinstance(interval, Interval) else Interval(interval)
        await self._ready()
        if channel == "candles":
            self._require(length)
        else:
            self._require_books()
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
        """Stop the streams, and close ccxt's connections."""
        self._closed = True
        await asyncio.gather(*(stream.end() for stream in self._streams))
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            await exchange.close()

    @property
    def exchange(self) -> Any:
        """Exchange object of ccxt, which is imported here unless an asynchronous method was called before."""
        if self._closed:
            raise Closed(f"the client of {self._name} is closed; make a new one")
        if self._exchange is None:
            limiter, proxies, credentials = self._made_with
            of_class, contract_type = self._found()
            self._exchange = made(
                of_class,
                self._config,
                limiter,
                proxies=proxies,
                credentials=credentials,
                testnet=self._config.testnet,
                contract_type=contract_type,
            )
        return self._exchange

    async def _ready(self) -> None:
        """Import ccxt in a thread, since that takes seconds."""
        if self._exchange is None:
            async with self._loading:
                await asyncio.to_thread(self._found)

    def _found(self) -> tuple[type[Any], ContractType | None]:
        """Return ccxt's class, and the default contract type if the exchange trades it."""
        try:
            import ccxt.pro as ccxt  # noqa: PLC0415  # only who uses it pays for it
            from ccxt import async_support  # noqa: PLC0415  # the same
        except ImportError:
            raise missing_ccxt() from None
        module = ccxt if self._name in ccxt.exchanges else async_support
        contract_type = default_kind(module, self._name, self._config.default_contract_type)
        return exchange_class(module, self._name, contract_type), contract_type

    async def call(self, method: str, *args: Any, retries: int = RETRIES, **kwargs: Any) -> Any:
        """Call a method of ccxt; translate its errors, and retry temporary ones."""
        await self._ready()
        exchange = self.exchange

        async def once() -> Any:
            return await _ours(getattr(exchange, method), exchange, *args, **kwargs)

        return await retried(once, self._backoff, retries)

    async def past_candles(self, symbol: str, interval: Interval, span: Span) -> tuple[Part, ChandleryError | None]:
        """Return the closed candles of a market's symbol, gaps with evidence, and the first error."""

        async def ask(length: Interval, part: Span, counts: bool) -> Rows:  # noqa: FBT001  # ``Ask`` has three parameters
            limit = length.count(part.start, part.end) if counts else None
            since = Unit.MILLIS.of(part.start)
            rows: Rows = await self.call("fetch_ohlcv", symbol, length.value, since=since, limit=limit)
            return rows

        async def is_listed() -> bool | None:
            active = (await self._markets()).get(symbol, {"active": False}).get("active")
            return active if isinstance(active, bool) else None

        await self._ready()
        timeframes = self.exchange.timeframes or {}
        known = frozenset(each for each in Interval if each.value in timeframes)
        market = Market(MarketFacts(known, self._page_size(symbol)), ask, self._time, is_listed=is_listed)
        return await fetch(market, f"{self._name} {symbol}", interval, span)

    async def now(self) -> Micros:
        """Return the exchange's time; if it sends none, a time safely before the local clock's."""
        return await self._time.now()

    def guess(self) -> Micros:
        """Return the exchange's time, estimated from its last response."""
        return self._time.guess()

    async def _request_time(self) -> Micros:
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
        """Return ccxt's list of markets by symbol, at most ten minutes old."""
        async with self._listing:
            known = self._listed_at is not None
            if self._listed_at is None or abs(self.clock() - self._listed_at) >= LIST_AGE:
                await self.call("load_markets", known)
                self._listed_at = self.clock()
        markets: dict[str, dict[str, Any]] = self.exchange.markets
        return markets

    async def _market(self, coin: str) -> dict[str, Any]:
        """Return the market of a coin."""
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
        """Check that the exchange has candles of an interval, whose names ccxt shares."""
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
    """Call ccxt and translate its errors, without a context that holds secrets."""
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
