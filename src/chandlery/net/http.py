"""The one HTTP client."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from importlib.metadata import version
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import stamina
from yarl import URL

from chandlery.core.errors import (
    AddressBanned,
    ChandleryError,
    Closed,
    ExchangeUnavailable,
    InvalidInput,
    MalformedResponse,
    NotFound,
    RateLimited,
    RequestRejected,
    RequestTimeout,
    ResponseTooLarge,
)
from chandlery.core.wire import Request, Response
from chandlery.net.clock import system_clock
from chandlery.net.limiter import RateLimiter, pause_of
from chandlery.net.retry import retried

QUEUE_TIMEOUT_S = 600.0
"""How long a request waits for those to the same host before it, which have time-outs of their own."""
_READ_BUFFER = 1 << 20
_MOST_REDIRECTS = 3

_T = TypeVar("_T")

ErrorOf = Callable[[Response], ChandleryError | None]
"""What an answer says went wrong, in the exchange's own terms; ``None`` where nothing. Not asked of 429, 418 and 5xx."""


class HttpClient:
    """
    HTTP/1.1 over a pool of ``max_concurrent`` connections that stay open.

    Every request waits its turn at the ``limiter``, by default the one that all processes of this
    user share. Of errors only the ``retryable`` are tried again, ``retry_count`` times, after a
    jittered, growing pause, or after exactly the one that the exchange named; one longer than
    ``max_wait_s`` is not waited for but raised, with ``retry_after_s``. The time-outs hold for each
    try: ``timeout_s`` for all of it, ``connect_timeout_s`` for connecting, ``read_timeout_s`` for
    silence in the middle. Bodies over ``max_bytes`` are refused.

    It belongs to the event loop that first sends with it. Each retry is also told to the hooks of
    ``stamina``, by default a warning to the logger ``stamina``; no query is ever part of it.
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
    ) -> None:
        self._limiter = limiter or RateLimiter()
        self._max_concurrent = max_concurrent
        self._retry_count = retry_count
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=connect_timeout_s, sock_read=read_timeout_s)
        self._max_bytes = max_bytes
        self._max_wait_s = max_wait_s
        # One gate per host: a host that makes its callers wait does not hold up those of another.
        self._gates: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(max_concurrent))
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self.requests = 0
        """Requests sent, retries included."""
        self.retries = 0
        """Requests that were sent again."""
        self.bytes_received = 0
        """Bytes of bodies, after decompression."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; requests under way fail with ``Closed``."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def fetch(self, request: Request, decode: Callable[[bytes], _T], *, error_of: ErrorOf | None = None) -> _T:
        """
        What ``decode`` makes of the body of the answer; a body that it finds malformed is asked for again.

        Raises what ``send`` and ``decode`` raise.
        """
        return await self.ask(request, lambda response: decode(response.body), error_of=error_of)

    async def send(self, request: Request, *, error_of: ErrorOf | None = None) -> Response:
        """
        The answer to a request, always one with a 2xx status.

        Raises:
            RateLimited: 429 or 418 (``AddressBanned``), after the last retry or with too long a pause.
            RequestRejected: Another 4xx; ``NotFound`` for 404. What ``error_of`` returns comes first,
                with a 2xx status too, since some exchanges refuse with 200.
            ExchangeUnavailable: 5xx, no connection, a body cut short; ``RequestTimeout`` for a time-out.
            MalformedResponse: What came is not HTTP.
            ResponseTooLarge: The body exceeds ``max_bytes``.
            InvalidInput: The URL is not an HTTP one.
            Closed: After ``close``.
        """
        return await self.ask(request, lambda response: response, error_of=error_of)

    async def ask(self, request: Request, use: Callable[[Response], _T], *, error_of: ErrorOf | None = None) -> _T:
        """
        What ``use`` makes of the answer; one that it finds malformed is asked for again.

        Raises what ``send`` and ``use`` raise.
        """
        url = url_of(request)
        tries = 0

        async def once() -> _T:
            nonlocal tries
            self.retries += tries > 0
            tries += 1
            return use(await self._attempt(request, url, error_of))

        return await retried(once, self._backoff, self._retry_count)

    def _backoff(self, error: Exception) -> bool | float:
        """Whether to try again, or after how many seconds."""
        if not isinstance(error, ChandleryError) or not error.retryable or self._closed:
            return False
        if isinstance(error, RateLimited) and error.retry_after_s is not None:
            # The limiter knows the pause and makes everybody wait for its end, this request included.
            return 0.0 if error.retry_after_s <= self._max_wait_s else False
        return True

    async def _attempt(self, request: Request, url: URL, error_of: ErrorOf | None) -> Response:
        host = f"{url.host}:{url.port}"
        gate = self._gates[host]
        try:
            # A timer costs as much as all else here, so there is one only where there is something to wait for.
            async with asyncio.timeout(QUEUE_TIMEOUT_S) if gate.locked() else nullcontext():
                await gate.acquire()
        except TimeoutError:
            raise RequestTimeout(f"{name_of(request, url)}: not sent within {QUEUE_TIMEOUT_S:g} s") from None
        try:
            await self._limiter.acquire(host, request.limits, request.weight, max_wait_s=self._max_wait_s)
            response = await self._exchange(request, url)
        finally:
            gate.release()
        failure: ChandleryError | None
        if 200 <= response.status < 300:
            failure = None if error_of is None else error_of(response)
        else:
            failure = status_error(name_of(request, url), response, error_of)
        if not stamina.is_testing():  # which says not to wait; and a pause would outlive the test
            self._limiter.observe(host, request.limits, response.headers, response.status)
            if isinstance(failure, RateLimited) and failure.retry_after_s is not None:
                self._limiter.pause(host, failure.retry_after_s)
        if failure is not None:
            raise failure
        return response

    async def _exchange(self, request: Request, url: URL) -> Response:
        """Send and receive, with the errors of aiohttp turned into ours."""
        name = name_of(request, url)
        session = self._opened()
        self.requests += 1
        try:
            async with session.request(
                request.method, url, headers=request.headers, data=request.body, max_redirects=_MOST_REDIRECTS
            ) as answer:
                body = await self._body(answer, name)
                headers = {key.lower(): value for key, value in answer.headers.items()}
                return Response(answer.status, headers, body)
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            if self._closed:
                raise Closed(f"{name}: the client was closed meanwhile") from error
            if isinstance(error, RuntimeError):
                raise
            raise failure_of(name, error) from error

    async def _body(self, answer: aiohttp.ClientResponse, name: str) -> bytes:
        """Read in as large pieces as come; the declared length may be that of compressed data, so both count."""
        if (answer.content_length or 0) > self._max_bytes:
            raise ResponseTooLarge(f"{name}: {answer.content_length} bytes; the cap is {self._max_bytes}")
        pieces = []
        size = 0
        async for piece in answer.content.iter_any():
            size += len(piece)
            if size > self._max_bytes:
                raise ResponseTooLarge(f"{name}: more than {self._max_bytes} bytes, which is the cap")
            pieces.append(piece)
        self.bytes_received += size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Closed("the HTTP client is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_concurrent, keepalive_timeout=30, ttl_dns_cache=300),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": user_agent(), "Accept-Encoding": "gzip, deflate"},
                read_bufsize=_READ_BUFFER,
                trust_env=False,
            )
        return self._session


@cache
def user_agent() -> str:
    """What the library calls itself."""
    return f"chandlery/{version('chandlery')}"


def url_of(request: Request) -> URL:
    """The address with its query."""
    try:
        url = URL(request.url).extend_query(request.params)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{request.url!r} cannot be requested: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise InvalidInput(f"{request.url!r} is not an HTTP URL")
    return url


def name_of(request: Request, url: URL) -> str:
    """What messages call a request; its query may hold secrets."""
    return f"{request.method} {url.host}{url.path}"


def failure_of(name: str, error: Exception) -> ChandleryError:
    """Our error for one of aiohttp or the system."""
    said = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        return RequestTimeout(f"{name}: timed out ({said})")
    if isinstance(error, aiohttp.TooManyRedirects):
        return RequestRejected(f"{name}: more than {_MOST_REDIRECTS} redirects", status=error.status)
    if isinstance(error, aiohttp.ClientResponseError):
        return MalformedResponse(f"{name}: not an HTTP answer ({error.message})")
    if isinstance(error, aiohttp.InvalidURL | aiohttp.RedirectClientError):
        return RequestRejected(f"{name}: redirected to something that is not an HTTP URL")
    return ExchangeUnavailable(f"{name}: {said}")


def status_error(name: str, response: Response, error_of: ErrorOf | None) -> ChandleryError:
    """What a status other than 2xx means."""
    status = response.status
    message = f"{name}: status {status}"
    if status in {429, 418}:
        pause_s = pause_of(status, response.headers, system_clock())
        message += ", no Retry-After" if pause_s is None else f", to be asked again in {pause_s:g} s"
        return (RateLimited if status == 429 else AddressBanned)(message, retry_after_s=pause_s)
    if status >= 500:
        return ExchangeUnavailable(message)
    if error_of is not None and (said := error_of(response)) is not None:
        return said
    if status == 404:
        return NotFound(message, status=status)
    return RequestRejected(f"{message}, {response.body[:120]!r}", status=status)
