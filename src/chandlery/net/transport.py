"""HTTP by aiohttp; loaded by the first request, since importing aiohttp takes longer than reading a year from the cache."""

from __future__ import annotations

import asyncio
import ssl
import weakref
from contextlib import suppress

import aiohttp
from yarl import URL

from chandlery.core.errors import (
    CertificateRejected,
    ChandleryError,
    Closed,
    ExchangeUnavailable,
    InvalidInput,
    MalformedResponse,
    RequestRejected,
    RequestTimeout,
    ResponseTooLarge,
)
from chandlery.core.fork import generation
from chandlery.core.http import Request, Response
from chandlery.net.proxy import Proxy
from chandlery.net.status import proxy_failure, socks_failure, user_agent

_READ_BUFFER = 1 << 20
_KEEP_S = 30
_DNS_S = 300


class Transport:
    """
    The connections of one client in one event loop.

    They are closed by ``close``, or when the object is garbage-collected.
    """

    def __init__(
        self, *, max_concurrent: int, timeouts: tuple[float, float, float], max_bytes: int, max_redirects: int
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.generation = generation()
        self._max_concurrent = max_concurrent
        total, connecting, silence = timeouts
        self._timeout = aiohttp.ClientTimeout(total=total, sock_connect=connecting, sock_read=silence)
        self._max_bytes = max_bytes
        self._max_redirects = max_redirects
        self._sessions: dict[Proxy | None, aiohttp.ClientSession] = {}
        self._closed = False
        weakref.finalize(self, _drop, self._sessions, self.loop, self.generation)

    async def close(self) -> None:
        """Close the connections; requests in progress fail with ``Closed``."""
        self._closed = True
        for session in self._sessions.values():
            await session.close()

    def named(self, request: Request) -> tuple[str, URL]:
        """Return the name of a request in messages, and its URL."""
        url = url_of(request)
        return name_of(request, url), url

    async def exchange(self, request: Request, url: URL, proxy: Proxy | None) -> Response:
        """Send a request and receive the answer; errors of aiohttp become ours."""
        name = name_of(request, url)
        session = self._session(proxy)
        try:
            async with session.request(
                request.method,
                url,
                headers=request.headers,
                data=request.body,
                allow_redirects=self._max_redirects > 0,
                max_redirects=self._max_redirects,
                proxy=in_front(proxy),
            ) as answer:
                body = await self._body(answer, name)
                headers = {key.lower(): value for key, value in answer.headers.items()}
                return Response(answer.status, headers, body)
        except failures(proxy, RuntimeError) as error:
            if self._closed:
                raise Closed(f"{name}: the client was closed meanwhile") from error
            if isinstance(error, RuntimeError):
                raise
            failure = failure_of(name, error, proxy)
            if proxy is None:
                raise failure from error
        raise failure  # without the error, which holds the address of the proxy with its credentials

    async def _body(self, answer: aiohttp.ClientResponse, name: str) -> bytes:
        """Read the body in pieces as received. The declared length may be that of compressed data, so both are checked."""
        if (answer.content_length or 0) > self._max_bytes:
            raise ResponseTooLarge(f"{name}: {answer.content_length} bytes; the limit is {self._max_bytes}")
        pieces = []
        size = 0
        async for piece in answer.content.iter_any():
            size += len(piece)
            if size > self._max_bytes:
                raise ResponseTooLarge(f"{name}: more than {self._max_bytes} bytes, which is the limit")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _session(self, proxy: Proxy | None) -> aiohttp.ClientSession:
        """Return the session of a proxy: a SOCKS proxy has its own pool, an HTTP proxy is named with each request."""
        if self._closed:
            raise Closed("the HTTP client is closed")
        pool = proxy if proxy is not None and proxy.is_socks else None
        if pool not in self._sessions:
            self._sessions[pool] = aiohttp.ClientSession(
                connector=connector(pool, self._max_concurrent),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": user_agent(), "Accept-Encoding": "gzip, deflate"},
                read_bufsize=_READ_BUFFER,
                trust_env=False,
            )
        return self._sessions[pool]


def connector(proxy: Proxy | None, limit: int = 1) -> aiohttp.BaseConnector:
    """Return the connector, through the proxy if it speaks SOCKS."""
    if proxy is None or not proxy.is_socks:
        # Otherwise aiohttp uses aiodns if installed, which leaks and queries other sources than the system.
        resolver = aiohttp.ThreadedResolver()
        return aiohttp.TCPConnector(limit=limit, keepalive_timeout=_KEEP_S, ttl_dns_cache=_DNS_S, resolver=resolver)
    from aiohttp_socks import ProxyConnector  # noqa: PLC0415  # an extra; ``Proxy`` has checked for it

    made: aiohttp.BaseConnector = ProxyConnector.from_url(proxy.url, rdns=True, limit=limit, keepalive_timeout=_KEEP_S)
    return made


def failures(proxy: Proxy | None, *more: type[Exception]) -> tuple[type[Exception], ...]:
    """Return the exceptions of a request, and ``more``; those for SOCKS are not aiohttp's."""
    return aiohttp.ClientError, OSError, *_of_socks(proxy), *more


def _of_socks(proxy: Proxy | None) -> tuple[type[Exception], ...]:
    if proxy is None or not proxy.is_socks:
        return ()
    import aiohttp_socks  # noqa: PLC0415  # an extra; ``Proxy`` has checked for it

    return aiohttp_socks.ProxyError, aiohttp_socks.ProxyConnectionError, aiohttp_socks.ProxyTimeoutError


def in_front(proxy: Proxy | None) -> str | None:
    """Return the URL of an HTTP proxy to send a request to; SOCKS proxies belong to the connector."""
    return None if proxy is None or proxy.is_socks else proxy.url


def _drop(sessions: dict[Proxy | None, aiohttp.ClientSession], loop: asyncio.AbstractEventLoop, made_in: int) -> None:
    """Close sessions that were not closed."""
    for session in sessions.values():
        if session.closed:
            continue
        if made_in != generation():
            _of_parent_process.append(session)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(_close_soon, session)
        else:
            closing = session.close()
            with suppress(StopIteration):  # of a loop that has ended there is nothing to wait for
                closing.send(None)
            closing.close()


def _close_soon(session: aiohttp.ClientSession) -> None:
    task = asyncio.ensure_future(session.close())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


_closing: set[asyncio.Future[None]] = set()
_of_parent_process: list[aiohttp.ClientSession] = []


def url_of(request: Request) -> URL:
    """Return the URL with its query."""
    try:
        url = URL(request.url).extend_query(request.params)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{request.url!r} cannot be requested: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise InvalidInput(f"{request.url!r} is not an HTTP URL")
    return url


def name_of(request: Request, url: URL) -> str:
    """Return the name of a request in messages, without the query, which may hold secrets."""
    return f"{request.method} {url.host}{url.path}"


def failure_of(name: str, error: Exception, proxy: Proxy | None = None) -> ChandleryError:
    """Return our error for one of ``failures``."""
    if proxy is not None:
        name = f"{name} through {proxy}"
    text = str(error) or type(error).__name__
    if _is_certificates(error):
        return CertificateRejected(f"{name}: {text}")
    if isinstance(error, _of_socks(proxy)):
        return socks_failure(name, error)
    if isinstance(error, TimeoutError):
        return RequestTimeout(f"{name}: timed out ({text})")
    if isinstance(error, aiohttp.InvalidURL | aiohttp.RedirectClientError):
        return RequestRejected(f"{name}: redirected to something that is not an HTTP URL")
    return (
        _of_response(name, error)
        if isinstance(error, aiohttp.ClientResponseError)
        else ExchangeUnavailable(f"{name}: {text}")
    )


def _of_response(name: str, error: aiohttp.ClientResponseError) -> ChandleryError:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return proxy_failure(name, error.status)
    if isinstance(error, aiohttp.TooManyRedirects):
        return RequestRejected(f"{name}: too many redirects", status=error.status)
    return MalformedResponse(f"{name}: not an HTTP response ({error.message})")


def _is_certificates(error: BaseException | None) -> bool:
    """Return whether a certificate is the cause, at any depth."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__
    return error is not None
