"""The HTTP client."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import stamina

from chandlery.core.errors import ChandleryError, Closed, InvalidInput, RateLimited, RequestTimeout
from chandlery.core.fork import generation, require_own
from chandlery.core.http import Request, Response
from chandlery.net.limiter import RateLimiter
from chandlery.net.proxy import Proxies
from chandlery.net.retry import retried
from chandlery.net.status import ErrorOf, status_error

if TYPE_CHECKING:
    from yarl import URL

    from chandlery.net.transport import Transport

QUEUE_TIMEOUT_S = 600.0
"""Time that a request may wait for earlier ones to the same host, which have time-outs of their own."""

_T = TypeVar("_T")

_LONG = 1 << 18
"""
Size in bytes from which a body is decoded in a thread.

A page of a thousand candles is shorter. To decode it takes about 1 ms, to hand it to a thread and back half of that.
"""


class HttpClient:
    """
    HTTP/1.1 over a pool of ``max_concurrent`` connections that stay open.

    Every request waits for the ``limiter``, by default the one that all processes of this
    user share. Only ``retryable`` errors are retried, ``retry_count`` times, with exponential
    backoff and jitter, or after exactly the pause that the exchange requested. A pause longer than
    ``max_wait_s`` is raised at once, with ``retry_after_s``. The time-outs apply to each
    attempt: ``timeout_s`` to all of it, ``connect_timeout_s`` to connecting, ``read_timeout_s`` to
    silence in the middle. Bodies over ``max_bytes`` are refused, and more than ``max_redirects`` redirects.

    ``proxies`` are by default those of the environment.

    It belongs to the event loop that first sends with it. Each retry is logged as a warning by ``chandlery.net``,
    without the query.
    """

    def __init__(
        self,
        *,
        limiter: RateLimiter | None = None,
        max_concurrent: int = 50,
        retry_count: int = 5,
        timeout_s: float = 60.0,
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 20.0,
        max_bytes: int = 512 << 20,
        max_wait_s: float = 120.0,
        max_redirects: int = 3,
        proxies: Proxies | None = None,
    ) -> None:
        self.limiter = limiter or RateLimiter()
        """The rate limiter of its requests."""
        self._max_concurrent = max_concurrent
        self._retry_count = retry_count
        self._timeouts = timeout_s, connect_timeout_s, read_timeout_s
        self._max_bytes = max_bytes
        self._max_wait_s = max_wait_s
        self._max_redirects = max_redirects
        # One gate per host: a slow host does not delay requests to another.
        self._gates: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(max_concurrent))
        self._transport: Transport | None = None
        self._closed = False
        self.proxies = proxies or Proxies()
        """The proxies of its requests, also used by the sockets that belong to them."""
        self.requests = 0
        """Number of requests sent, including retries."""
        self.retries = 0
        """Number of retries."""
        self.bytes_received = 0
        """Number of bytes of bodies, after decompression."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; requests in progress fail with ``Closed``."""
        self._closed = True
        if self._transport is not None and self._transport.generation == generation():
            await self._transport.close()

    async def fetch(self, request: Request, decode: Callable[[bytes], _T], *, error_of: ErrorOf | None = None) -> _T:
        """
        Send a request and decode the body of the answer; retried if ``decode`` finds it malformed.

        A long body is decoded in a thread: a list of instruments would delay the event loop.

        Raises what ``send`` and ``decode`` raise.
        """

        async def decoded(response: Response) -> _T:
            if len(response.body) < _LONG:
                return decode(response.body)
            return await asyncio.to_thread(decode, response.body)

        return await self._tried(request, decoded, error_of)

    async def send(self, request: Request, *, error_of: ErrorOf | None = None) -> Response:
        """
        Send a request and return the answer, always with a 2xx status.

        Raises:
            RateLimited: 429 or 418 (``AddressBanned``), after the last retry or with too long a pause.
            RequestRejected: Another 4xx; ``NotFound`` for 404. An error of ``error_of`` takes precedence,
                for a 2xx status too, since some exchanges refuse with 200.
            ExchangeUnavailable: 5xx, no connection, a body cut short; ``RequestTimeout`` for a time-out.
            MalformedResponse: The answer is not HTTP.
            ResponseTooLarge: The body exceeds ``max_bytes``.
            InvalidInput: The URL is not an HTTP one.
            Closed: After ``close``.
        """
        return await self.ask(request, lambda response: response, error_of=error_of)

    async def ask(self, request: Request, use: Callable[[Response], _T], *, error_of: ErrorOf | None = None) -> _T:
        """
        Send a request and convert the answer by ``use``; retried if ``use`` finds it malformed.

        Raises what ``send`` and ``use`` raise.
        """

        async def used(response: Response) -> _T:
            return use(response)

        return await self._tried(request, used, error_of)

    async def _tried(self, request: Request, use: Callable[[Response], Awaitable[_T]], error_of: ErrorOf | None) -> _T:
        transport = self._opened()
        name, url = transport.named(request)
        tries = 0

        async def once() -> _T:
            nonlocal tries
            self.retries += tries > 0
            tries += 1
            return await use(await self._attempt(transport, request, (name, url), error_of))

        return await retried(once, self._backoff, self._retry_count)

    def _backoff(self, error: Exception) -> bool | float:
        """Return whether to retry, or after how many seconds."""
        if not isinstance(error, ChandleryError) or not error.retryable or self._closed:
            return False
        if isinstance(error, RateLimited) and error.retry_after_s is not None:
            # The limiter enforces the pause for all requests, including this one.
            return 0.0 if error.retry_after_s <= self._max_wait_s else False
        return True

    async def _attempt(
        self, transport: Transport, request: Request, named: tuple[str, URL], error_of: ErrorOf | None
    ) -> Response:
        name, url = named
        host = f"{url.host}:{url.port}"
        gate = self._gates[host]
        try:
            # A timer costs as much as all else here, so there is one only if the gate is locked.
            async with asyncio.timeout(QUEUE_TIMEOUT_S) if gate.locked() else nullcontext():
                await gate.acquire()
        except TimeoutError:
            raise RequestTimeout(f"{name}: not sent within {QUEUE_TIMEOUT_S:g} s") from None
        try:
            await self.limiter.acquire(host, request.limits, request.weight, max_wait_s=self._max_wait_s)
            self.requests += 1
            response = await transport.exchange(request, url, self.proxies.of(str(url)))
            self.bytes_received += len(response.body)
        finally:
            gate.release()
        failure: ChandleryError | None
        if 200 <= response.status < 300:
            failure = None if error_of is None else error_of(response)
        else:
            failure = status_error(name, response, error_of)
        if not stamina.is_testing():  # in tests nothing waits, and a pause would outlive the test
            self.limiter.observe(host, request.limits, response.headers, response.status)
            if isinstance(failure, RateLimited) and failure.retry_after_s is not None:
                self.limiter.pause(host, failure.retry_after_s)
        if failure is not None:
            raise failure
        return response

    def require_own(self) -> None:
        """
        Check that no connection was opened before this process was forked.

        Raises:
            ForkedProcess: Connections belong to the parent.
        """
        if self._transport is not None:
            require_own(self._transport.generation, "this client, or its manager,")

    def _opened(self) -> Transport:
        self.require_own()
        if self._closed:
            raise Closed("the HTTP client is closed")
        if self._transport is None:
            from chandlery.net.transport import Transport  # noqa: PLC0415  # aiohttp is loaded by the first request

            self._transport = Transport(
                max_concurrent=self._max_concurrent,
                timeouts=self._timeouts,
                max_bytes=self._max_bytes,
                max_redirects=self._max_redirects,
            )
        elif self._transport.loop is not asyncio.get_running_loop():
            raise InvalidInput(
                "the connections of this client belong to another event loop; create a new client in each asyncio.run"
            )
        return self._transport
