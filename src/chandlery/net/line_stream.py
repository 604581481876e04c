"""Live data as lines of an endless HTTP answer, with the interface of a WebSocket connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp

from chandlery.core.errors import (
    ChandleryError,
    Closed,
    InvalidInput,
    MalformedResponse,
    RequestRejected,
    RequestTimeout,
    ResponseTooLarge,
)
from chandlery.core.http import Request, Response
from chandlery.net.connection import Cause, CloseReason
from chandlery.net.proxy import Proxies
from chandlery.net.status import ErrorOf, status_error, user_agent
from chandlery.net.tokens import Account
from chandlery.net.transport import connector, failure_of, failures, in_front, name_of, url_of

_UNAUTHORIZED = 401
_LONGEST_REFUSAL = 64 << 10


class LineStream:
    """
    One answer, requested by the first and only ``send``; ``request_of`` builds the request from its text.

    ``on_message`` is called with that text, a line end and the line, for each line that is not blank; an
    exception ends the stream. It must not block. With an ``account`` the request is signed, and
    sent once more with a new token if it is unauthorized. The stream ends after ``idle_timeout_s`` without a byte, and at a line of over ``max_bytes``. Redirects are not followed.
    """

    def __init__(
        self,
        name: str,
        request_of: Callable[[str], Request],
        *,
        on_message: Callable[[bytes], object],
        account: Account | None = None,
        error_of: ErrorOf | None = None,
        proxies: Proxies | None = None,
        connect_timeout_s: float = 10.0,
        idle_timeout_s: float = 60.0,
        max_bytes: int = 1 << 20,
    ) -> None:
        self.name = name
        """Host and path; no query, which may hold secrets."""
        self.messages = 0
        """Number of lines received."""
        self.bytes_received = 0
        """Number of their bytes."""
        self.last_message_at: float | None = None
        """Time at which the last line was read, by the clock of the loop; ``None`` before the first."""
        self._request_of = request_of
        self._on_message = on_message
        self._account = account
        self._error_of = error_of
        self._proxies = proxies or Proxies()
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=idle_timeout_s)
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[CloseReason] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None
        self._ours: CloseReason | None = None
        self._opened = False

    @property
    def closed(self) -> asyncio.Future[CloseReason]:
        """
        The reason why the stream ended, once it has; never an exception.

        Cancelling it, as a time-out does, leaves the stream alone: every access returns a new future.
        """
        return asyncio.shield(self._closed)

    def send(self, text: str | bytes) -> None:
        """
        Request the lines.

        Raises:
            InvalidInput: A request was sent before; a stream has a single one.
            Closed: It is closed, by either side, or closing.
        """
        if self._ours is not None or self._closed.done():
            raise Closed(f"{self.name}: the stream is closed")
        if self._task is not None:
            raise InvalidInput(f"{self.name}: a stream of lines takes a single request, which was already sent")
        self._task = self._loop.create_task(self._run(text if isinstance(text, str) else text.decode()))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the stream; no line is delivered after the call. Idempotent."""
        if self._ours is None:
            self._ours = CloseReason("ours", code, reason)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._end(self._ours)

    async def _run(self, text: str) -> None:
        try:
            await self._read(text)
        except ChandleryError as error:
            self._end(CloseReason(self._cause_of(error), getattr(error, "status", None) or 0, str(error), error))
        except asyncio.CancelledError:
            # By ``close``, or with all tasks of a loop that ends.
            self._end(CloseReason("cut", 0, "cancelled"))
            raise
        finally:
            self._end(CloseReason("peer", 0, "the answer ended"))

    async def _read(self, text: str) -> None:
        """Read the stream; if the token is refused, once more with a new one."""
        head, request = text.encode() + b"\n", self._request_of(text)
        if self._account is None:
            await self._listen(request, head)
            return
        signed = await self._account.signed(request)
        try:
            await self._listen(signed, head)
        except RequestRejected as error:
            if error.status != _UNAUTHORIZED:
                raise
        else:
            return
        self._account.refused(request, signed)
        await self._listen(await self._account.signed(request), head)

    async def _listen(self, request: Request, head: bytes) -> None:
        url, rest = url_of(request), b""
        name = name_of(request, url)
        headers = {"User-Agent": user_agent(), "Accept-Encoding": "identity", **request.headers}
        proxy = self._proxies.of(str(url))
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector(proxy), timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
                ) as session,
                session.request(
                    request.method,
                    url,
                    headers=headers,
                    data=request.body,
                    allow_redirects=False,
                    proxy=in_front(proxy),
                ) as answer,
            ):
                await self._granted(answer, name)
                self._opened = True
                async for piece in answer.content.iter_any():
                    *lines, rest = (rest + piece).split(b"\n")
                    if max(map(len, (*lines, rest))) > self._max_bytes:
                        raise ResponseTooLarge(f"{name}: a line of over {self._max_bytes} bytes")
                    for line in lines:
                        self._deliver(head, line.strip())
                    if self._closed.done():
                        return
        except failures(proxy) as error:
            failure = failure_of(name, error, proxy)
            if proxy is None:
                raise failure from error
        else:
            return
        raise failure  # without the error, which holds the address of the proxy with its credentials

    async def _granted(self, answer: aiohttp.ClientResponse, name: str) -> None:
        """Raise the error of an answer that is not a stream."""
        if answer.status == 200:
            return
        headers = {key.lower(): value for key, value in answer.headers.items()}
        body = await answer.content.read(_LONGEST_REFUSAL)
        raise status_error(name, Response(answer.status, headers, body), self._error_of)

    def _deliver(self, head: bytes, line: bytes) -> None:
        if not line or self._closed.done():
            return
        self.messages += 1
        self.bytes_received += len(line)
        self.last_message_at = self._loop.time()
        try:
            self._on_message(head + line)
        except Exception as error:  # noqa: BLE001  # it ends the stream
            self._end(CloseReason("failed", 0, str(error), error))

    def _cause_of(self, error: ChandleryError) -> Cause:
        if not self._opened:
            return "refused"
        if isinstance(error, RequestTimeout):
            return "idle"
        return "malformed" if isinstance(error, ResponseTooLarge | MalformedResponse) else "cut"

    def _end(self, reason: CloseReason) -> None:
        if not self._closed.done():
            self._closed.set_result(self._ours or reason)
