"""A feed's access to an exchange: REST requests and sockets."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

from msgspec import structs

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.layout import CandleColumns
from chandlery.adapter.live import Channel
from chandlery.adapter.pages import rest_chunks
from chandlery.core.book import BookUpdate
from chandlery.core.candle import CandleData
from chandlery.core.endpoints import Endpoints
from chandlery.core.errors import ChandleryError, ExchangeError, InvalidInput
from chandlery.core.gaps import Span
from chandlery.core.interval import Grid, Interval
from chandlery.core.time import SECOND, Clock, Micros
from chandlery.feed.provisional import share_of
from chandlery.net.clock import system_clock
from chandlery.net.exchange_client import ExchangeClient
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.net.line_stream import LineStream
from chandlery.net.log_limit import LogLimit
from chandlery.net.proxy import Proxies
from chandlery.net.tokens import Account, Accounts, Credentials
from chandlery.net.ws import Socket, connect

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())


class NetworkClient:
    """
    Candles, books and sockets of one exchange.

    ``http`` and ``limiter`` may be shared. It closes an HTTP client only if it made it.
    Sockets use the proxies of the client; ``endpoints`` say which exchanges need none.
    ``credentials`` are by exchange id, for those that require authentication. ``clock`` is the local clock, corrected by
    the exchange's time; ``ticks`` returns seconds of a monotonic clock, which reveals changes of the local clock.
    """

    def __init__(
        self,
        adapter: ExchangeAdapter,
        credentials: Credentials | None = None,
        *,
        http: HttpClient | None = None,
        limiter: RateLimiter | None = None,
        endpoints: Endpoints | None = None,
        proxy: str | None = None,
        clock: Clock = system_clock,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """Refuse endpoints that would mix two markets: history comes from REST, live data from sockets."""
        self.adapter = adapter
        self.origin = adapter.origin("rest", "ws")
        self._limiter = limiter or (RateLimiter() if http is None else http.limiter)
        self.second_reads = 0
        """Number of requests for second reads."""
        self._own = http is None
        if http is not None and proxy is not None:
            raise InvalidInput(
                "proxy cannot be combined with http; pass it to the shared client: HttpClient(proxies=Proxies(...))"
            )
        self._http = http or HttpClient(limiter=self._limiter, proxies=Proxies(proxy, endpoints=endpoints))
        self._client = Accounts(self._http, credentials).client(adapter)
        self.clock = clock
        self._ticks = ticks
        self._exchange = ExchangeClient(adapter, self._client, clock=clock, ticks=ticks)
        self._rejections = LogLimit(ticks)

    def log_rejection(self, reason: str, payload: object) -> None:
        """Log that received data was rejected, at most once a minute, with the beginning of it."""
        if number := self._rejections.count(self.adapter.id):
            text = "%s: rejected: %s: %.200s; rejections since the last such line: %d"
            log.warning(text, self.adapter.id, reason, payload, number)

    async def now(self) -> Micros:
        """Return the exchange's time; see ``ExchangeClient.now``."""
        return await self._exchange.now()

    async def suggest(self, error: ChandleryError, symbol: str) -> None:
        """Add the nearest symbol to the error of an unknown one; see ``ExchangeClient.suggest``."""
        await self._exchange.suggest(error, symbol)

    def guess(self) -> Micros:
        """Return the exchange's time, extrapolated from its last answer."""
        return self._exchange.guess()

    async def candles(self, symbol: str, interval: Interval, span: Span) -> list[CandleData]:
        """
        Fetch the candles that open in ``span``, oldest first, with the local time of the answer and ``closed`` set.

        Candles before the oldest one that the exchange serves are left out.
        """
        now = await self.now()
        adapter = self.adapter
        found: dict[Micros, CandleData] = {}
        size, grid = adapter.page_size, adapter.grid(interval)
        for chunk in self._pages(interval, span, now):
            answers = await self._exchange.settled_candles(
                symbol, interval, chunk, size=size, settled=grid.floor(now - adapter.settle)
            )
            received_at = self.clock()
            for rows in answers:
                # In a thread, since there may be many rows.
                candles = await asyncio.to_thread(_candles, rows, adapter, grid, now, received_at)
                found |= {each.open_time: each for each in candles}
        return _within(span, found)

    def history_s(self, symbol: str, interval: Interval, count: int) -> float:
        """Return the seconds of the exchange's limits that the requests for the latest ``count`` candles use up."""
        grid, now = self.adapter.grid(interval), self.guess()
        end = grid.step(grid.floor(now))
        span = Span(grid.step(end, -count), end)
        requests = [self.adapter.candles_request(symbol, interval, page) for page in self._pages(interval, span, now)]
        return sum(
            max((each.seconds * one.weight / each.weight for each in one.limits), default=0.0) for one in requests
        )

    def _pages(self, interval: Interval, span: Span, now: Micros) -> Iterator[Span]:
        adapter = self.adapter
        oldest = adapter.oldest(interval, now)
        start = span.start if oldest is None else max(span.start, oldest)
        grid = adapter.grid(interval)
        return rest_chunks(Span(start, span.end), grid, chunk=adapter.page_size, longest=adapter.longest_request)

    async def second_turn(self, symbol: str, interval: Interval, span: Span) -> None:
        """
        Wait until one more second read is allowed: all together use a third of the exchange's limits.

        Raises:
            RateLimited: The wait would take minutes.
        """
        request = self.adapter.candles_request(symbol, interval, span)
        share = share_of(request.limits, request.weight)
        await self._limiter.acquire(f"{urlsplit(request.url).netloc}/second reads", share, request.weight)

    async def second_read(self, symbol: str, interval: Interval, span: Span, *, settled: Micros) -> list[CandleData]:
        """
        Fetch at most a page like ``candles``, after ``second_turn``.

        Only what is absent before ``settled`` is requested again, and each further request waits for a turn of its own.
        """
        now, adapter = await self.now(), self.adapter
        grid, size = adapter.grid(interval), adapter.page_size
        answers = await self._exchange.settled_candles(symbol, interval, span, size=size, settled=settled)
        received_at = self.clock()
        self.second_reads += len(answers)
        for _ in answers[1:]:
            await self.second_turn(symbol, interval, span)
        found = {each.open_time: each for rows in answers for each in _candles(rows, adapter, grid, now, received_at)}
        return _within(span, found)

    async def book(self, symbol: str, depth: int) -> BookUpdate:
        """Fetch the book by REST. If the answer has no time, use the request's time by the exchange's clock."""
        began = self._ticks()
        book = await self._exchange.book(symbol, depth)
        if book.at is not None:
            return book
        try:
            now = await self.now()
        except ExchangeError as error:
            log.warning(
                "%s %s: the snapshot has no time, and the clock of the exchange could not be read: %s",
                self.adapter.id,
                symbol,
                error,
            )
            return book
        return structs.replace(book, at=now - round((self._ticks() - began) * SECOND))

    async def connect(self, channel: Channel, on_message: Callable[[bytes], object]) -> Socket | LineStream:
        """Open a socket, within the exchange's limit on connects."""
        adapter = self.adapter
        handshake = adapter.handshake_request()
        answer = None if handshake is None else (await self._client.send(handshake, error_of=adapter.failure)).body
        url = adapter.socket_url(channel, answer)
        rules = adapter.socket
        if rules.connects is not None:
            await self._limiter.acquire(f"{urlsplit(url).netloc}/connects", (rules.connects,))
        if adapter.streams_lines and channel is Channel.CANDLES:
            return LineStream(
                urlsplit(url).netloc,
                adapter.stream_request,
                on_message=on_message,
                account=self._client if isinstance(self._client, Account) else None,
                error_of=adapter.failure,
                proxies=self._http.proxies,
                idle_timeout_s=rules.idle_s,
            )
        return await connect(
            url,
            on_message=on_message,
            headers=adapter.socket_headers(),
            error_of=adapter.failure,
            idle_timeout_s=rules.idle_s,
            proxy=self._http.proxies.of(url),
        )

    async def close(self) -> None:
        """Close the HTTP client if it made it."""
        if self._own:
            await self._http.close()


def is_closed(rows: CandleColumns, adapter: ExchangeAdapter, grid: Grid, now: Micros) -> list[bool]:
    """
    Return whether each candle of an answer is closed: by the exchange's flag, else by its clock.

    If an exchange that sends the flag omitted it, a candle counts as closed only once it has settled.
    """
    if rows.closed is not None:
        return list(rows.closed)
    by = now - (adapter.settle if adapter.rest_closes() else adapter.close_delay)
    edge = grid.floor(by)
    over = [opened < edge for opened in rows.open_time]
    if rows.close_time is None:
        return over
    return [each and sent < by for each, sent in zip(over, rows.close_time, strict=True)]


def _within(span: Span, found: Mapping[Micros, CandleData]) -> list[CandleData]:
    """Return the candles that open in ``span``, oldest first."""
    return [found[opened] for opened in sorted(found) if span.start <= opened < span.end]


def _candles(
    rows: CandleColumns, adapter: ExchangeAdapter, grid: Grid, now: Micros, received_at: Micros
) -> list[CandleData]:
    size = len(rows.open_time)
    nothing = [None] * size
    columns = (
        rows.open_time,
        rows.open,
        rows.high,
        rows.low,
        rows.close,
        rows.volume,
        rows.quote_asset_volume or nothing,
        rows.count or nothing,
        rows.taker_buy_volume or nothing,
        rows.taker_buy_quote_volume or nothing,
        is_closed(rows, adapter, grid, now),
        nothing,
        [received_at] * size,
    )
    return [CandleData(*row) for row in zip(*columns, strict=True)]
