"""HTTP server of the application."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from chandlery.core.errors import Closed, InvalidInput
from chandlery.service.addresses import Network
from chandlery.service.refusals import Refusals
from chandlery.service.web.acceptor import Acceptor
from chandlery.service.web.bounded import BoundedProtocol
from chandlery.service.web.connections import Connections, Place
from chandlery.service.web.limits import UNREAD_S, Edge, descriptors, most_connections
from chandlery.service.web.protocol import LARGEST_MESSAGE, DirectProtocol

_BACKLOG = 2048
_STOP_TIMEOUT_S = 14
"""Maximum time in seconds for responses to finish on shutdown; closing the rest takes the remainder of 20 seconds."""
_START_TIMEOUT_S = 10.0
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Content-Security-Policy", _POLICY),
]
"""Security headers of every response."""


def listening(host: str, port: int) -> socket.socket:
    """
    Return a listening socket.

    Raises:
        InvalidInput: The address does not exist here, or is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm only on sockets with an explicit protocol.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise InvalidInput(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return bound


class _Server(uvicorn.Server):
    """
    Server that accepts connections within the limits.

    On shutdown, it has the application end endless streams before it waits for running requests.
    """

    def __init__(self, config: uvicorn.Config, edge: Edge, before_stop: Callable[[], object]) -> None:
        super().__init__(config)
        self._edge = edge
        self._before_stop = before_stop
        self._acceptors: list[Acceptor] = []

    async def _serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve; afterwards no connection is accepted, however it ends."""
        try:
            await super()._serve(sockets)
        finally:
            self._close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start accepting."""
        self._acceptors = [Acceptor(each, self._edge, self._protocol) for each in sockets or ()]
        self.servers = []
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down."""
        self._before_stop()
        self._close()
        await super().shutdown(sockets)

    def _close(self) -> None:
        for acceptor in self._acceptors:
            acceptor.close()

    def _protocol(self, place: Place) -> BoundedProtocol:
        return BoundedProtocol(self.config, self.server_state, self.lifespan.state, place=place, edge=self._edge)


def _server_of(app: FastAPI) -> uvicorn.Server:
    """Return uvicorn, configured for this application."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        loop="none",
        http=BoundedProtocol,
        ws=DirectProtocol,
        ws_per_message_deflate=False,
        ws_max_size=LARGEST_MESSAGE,
        timeout_graceful_shutdown=_STOP_TIMEOUT_S,
        server_header=False,
        proxy_headers=False,
        headers=_HEADERS,
    )
    edge = getattr(app.state, "edge", None) or edge_of(Refusals())
    return _Server(config, edge, getattr(app.state, "before_stop", lambda: None))


def edge_of(
    refusals: Refusals,
    *,
    most: int | None = None,
    open_to_all: bool = False,
    proxies: Sequence[Network] = (),
    unread_s: float = UNREAD_S,
    forms: Collection[str] = (),
) -> Edge:
    """Return the limits of a server; ``most`` defaults to the number of connections that the descriptors allow."""
    connections = Connections(
        most_connections(descriptors()) if most is None else most,
        everybody=open_to_all,
        proxies=proxies,
        on_dropped=refusals.count,
    )
    return Edge(connections, refusals, unread_s=unread_s, forms=forms)


@asynccontextmanager
async def serving(app: FastAPI, bound: socket.socket) -> AsyncIterator[uvicorn.Server]:
    """
    Serve the application in this event loop until the end of the block; then finish responses and notify clients.

    Raises the errors of the application's startup. A server that ends by itself ends the block, which raises its error,
    or ``Closed``.
    """
    server = _server_of(app)
    task = asyncio.create_task(_run(app, server, bound), name="chandlery server")
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            while not server.started:  # uvicorn only sets a flag
                if task.done():
                    await task
                await asyncio.sleep(0.01)
    except BaseException:
        task.cancel()
        await asyncio.wait({task})
        raise
    try:
        with _left_alone(), _cancelled_by(task):
            yield server
    finally:
        server.should_exit = True
        await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


@contextmanager
def _cancelled_by(task: asyncio.Task[None]) -> Iterator[None]:
    """Cancel the block if the task ends first, and raise the task's error."""
    body = asyncio.current_task()
    assert body is not None  # noqa: S101  # this runs in one
    ended = False

    def end(_: asyncio.Task[None]) -> None:
        nonlocal ended
        ended = True
        body.cancel()

    task.add_done_callback(end)
    try:
        yield
    except asyncio.CancelledError:
        if not ended or body.uncancel() > 0:
            raise
        cause = None if task.cancelled() else task.exception()
        raise cause or Closed("the server stopped unexpectedly") from None
    finally:
        task.remove_done_callback(end)


@contextmanager
def _left_alone() -> Iterator[None]:
    """
    Exclude existing objects, mostly modules, from garbage collection.

    Traversing them stops all threads, including the event loop's, for 0.1 s and more.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _run(app: FastAPI, server: uvicorn.Server, bound: socket.socket) -> None:
    """Run in a single task, as resources opened by the application may require."""
    # Not uvicorn's own lifespan, which exits the process on a startup error.
    async with app.router.lifespan_context(app):
        await server._serve(sockets=[bound])  # noqa: SLF001  # its public form takes the process's signals, which are not ours to take
