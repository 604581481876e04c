"""Open WebSocket connections; only this and ``connection`` use picows."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from ssl import SSLCertVerificationError, SSLContext, create_default_context
from typing import TypeAlias
from urllib.parse import urlsplit

import aiohappyeyeballs
import picows
import python_socks

from chandlery.core.errors import (
    CertificateRejected,
    ChandleryError,
    ExchangeUnavailable,
    InvalidInput,
    MalformedResponse,
    RequestTimeout,
)
from chandlery.core.http import Response
from chandlery.net.connection import CloseReason, Socket
from chandlery.net.proxy import Proxy
from chandlery.net.status import ErrorOf, proxy_failure, socks_failure, status_error, user_agent

__all__ = ["CloseReason", "Socket", "connect"]

_HAPPY_EYEBALLS_S = 0.25
_ABANDON_S = 1.0

_Opening: TypeAlias = "asyncio.Task[tuple[picows.WSTransport, picows.WSListener | None]]"


async def connect(
    url: str,
    *,
    on_message: Callable[[bytes], object],
    headers: Mapping[str, str] | None = None,
    error_of: ErrorOf | None = None,
    connect_timeout_s: float = 10.0,
    close_timeout_s: float = 5.0,
    idle_timeout_s: float | None = None,
    ping_every_s: float | None = None,
    pong_timeout_s: float = 10.0,
    max_bytes: int = 16 << 20,
    max_unsent_bytes: int = 1 << 20,
    ssl: SSLContext | None = None,
    proxy: Proxy | None = None,
) -> Socket:
    """
    Open a connection, without compression, and with a verified certificate for ``wss``.

    ``on_message`` is called with the payload of each message, text or binary, as soon as
    it is read, which may be before this returns; an exception closes the connection. It must not
    block. Pings of the peer are answered. With ``ping_every_s`` it is pinged too, and the connection
    ends without a pong within ``pong_timeout_s``; with ``idle_timeout_s`` it ends after that long without any
    frame. ``error_of`` converts a refusal of the handshake, as for ``HttpClient``. Redirects are not followed.

    Raises:
        InvalidInput: Not the URL of a WebSocket, or not headers.
        RequestTimeout: Not open within ``connect_timeout_s``.
        RateLimited: The answer is 429 or 418 (``AddressBanned``), not 101.
        RequestRejected: It is any other below 500; ``NotFound`` for 404.
        ExchangeUnavailable: It is 5xx; no such host, refused, cut off.
        CertificateRejected: There is no valid certificate.
        ProxyRefused: The proxy requires other credentials, or refuses to connect to that host.
        MalformedResponse: It is not that of a WebSocket server.
    """
    name = _name(url)
    sent = {"User-Agent": user_agent()} | _checked(headers or {})
    ping = ping_every_s, pong_timeout_s
    made = Socket(name, on_message, close_timeout_s, idle_timeout_s, ping, max_bytes, max_unsent_bytes)
    held: list[socket.socket] = []
    opening = asyncio.create_task(_open(url, made, held, sent, max_bytes, ssl, proxy))
    try:
        done, _ = await asyncio.wait({opening}, timeout=connect_timeout_s)
    except BaseException:
        await _abandon(opening, held)
        raise
    if not done:
        await _abandon(opening, held)
        raise RequestTimeout(f"{name}: not open within {connect_timeout_s:g} s")
    try:
        _, listener = opening.result()
    except (picows.WSError, python_socks.ProxyError, OSError, UnicodeError) as error:
        failure = _failure(name, error, error_of, proxy)
        if proxy is None:
            raise failure from error
    else:
        if listener is None:
            raise ExchangeUnavailable(f"{name}: the connection was cut before it was open")
        return made
    raise failure  # without the error, whose traceback holds the address of the proxy with its credentials


async def _open(
    url: str,
    made: Socket,
    held: list[socket.socket],
    headers: dict[str, str],
    max_bytes: int,
    ssl: SSLContext | None,
    proxy: Proxy | None,
) -> tuple[picows.WSTransport, picows.WSListener | None]:
    async def dial(to: picows.WSParsedURL) -> socket.socket:
        """Open the TCP connection and store it, since an abandoned handshake does not expose its transport."""
        found = await asyncio.get_running_loop().getaddrinfo(to.host, to.port, type=socket.SOCK_STREAM)
        held.append(await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_HAPPY_EYEBALLS_S))
        return held[0]

    def accept(_: picows.WSUpgradeRequest, answer: picows.WSUpgradeResponse) -> Socket:
        if "Sec-WebSocket-Extensions" in answer.headers:
            raise MalformedResponse(f"{made.name}: an extension that was not requested")
        return made

    return await picows.ws_connect(
        accept,
        url,
        ssl_context=ssl or (_verified() if url.lower().startswith("wss") else None),
        websocket_handshake_timeout=None,  # ``connect`` has one for all of it
        enable_auto_pong=False,
        max_frame_size=max_bytes,
        extra_headers=headers,
        max_redirects=0,
        socket_factory=dial,
        proxy=None if proxy is None else proxy.url,
    )


async def _abandon(opening: _Opening, held: list[socket.socket]) -> None:
    """Clean up a handshake that is given up."""
    if held:
        with suppress(OSError):  # closed already
            held[0].shutdown(socket.SHUT_RDWR)
    else:
        opening.cancel()
    await asyncio.wait({opening}, timeout=_ABANDON_S)
    if not opening.done():
        opening.cancel()
    elif not opening.cancelled() and opening.exception() is None:
        opening.result()[0].disconnect(graceful=False)


@cache
def _verified() -> SSLContext:
    return create_default_context()


def _name(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise InvalidInput(f"not a URL: {error}") from error
    if parts.scheme not in {"ws", "wss"} or not parts.hostname or parts.fragment or re.search(r"[\0- \x7f]", url):
        raise InvalidInput(f"not the URL of a WebSocket: {parts.scheme}://{parts.hostname}{port}{parts.path}")
    if "@" in parts.netloc:
        raise InvalidInput(f"the URL for {parts.hostname} holds credentials; send them in a header")
    return f"{parts.hostname}{port}{parts.path}"


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    for key, value in headers.items():
        if not re.fullmatch(r"[!#-'*+.^-z|~\w-]+", key, re.ASCII) or not re.fullmatch(r"[\t -~]*", value):
            raise InvalidInput(f"not an HTTP header: {key!r}")
    return {key.title(): value for key, value in headers.items()}


def _failure(name: str, error: Exception, error_of: ErrorOf | None, proxy: Proxy | None) -> ChandleryError:
    """Return our error for one of picows, of a proxy, or of the system."""
    if proxy is not None:
        name = f"{name} through {proxy}"
    if isinstance(error, python_socks.ProxyError):
        status = re.search(r"with status (\d+)", str(error))  # picows has it only in its words
        return proxy_failure(name, int(status[1])) if status else socks_failure(name, error)
    text = f"{name}: {error or type(error).__name__}"
    if isinstance(error, picows.WSHandshakeError):
        return _refusal(name, error, error_of)
    if isinstance(error, UnicodeError | picows.WSError):
        return InvalidInput(text)
    if isinstance(error, SSLCertVerificationError):
        return CertificateRejected(text)
    return RequestTimeout(text) if isinstance(error, TimeoutError) else ExchangeUnavailable(text)


def _refusal(name: str, error: picows.WSHandshakeError, error_of: ErrorOf | None) -> ChandleryError:
    """Return the error for an answer other than 101; picows knows only some statuses."""
    first, *lines = (error.raw_header or b"").decode("latin-1").split("\r\n")
    found = re.match(r"HTTP/\d\.\d (\d{3})\b", first)
    if found is None or found[1] == "101":
        return MalformedResponse(f"{name}: {error}")
    headers = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return status_error(name, Response(int(found[1]), headers, error.raw_body or b""), error_of)
