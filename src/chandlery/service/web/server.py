"""The server under the application."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from chandlery.core.errors import Closed, InvalidInput
from chandlery.service.web.protocol import DirectProtocol

_BACKLOG = 2048
_STOP_TIMEOUT_S = 14
"""How long answers under way may take to end; what is closed after that has the rest of 20 seconds."""
_START_TIMEOUT_S = 10.0
_LARGEST_MESSAGE = 1 << 20


def listening(host: str, port: int) -> socket.socket:
    """
    A socket that listens.

    Raises:
        InvalidInput: There is no such address here, or somebody else listens there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small writes at once on sockets that name their protocol only.
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
    """Has the application end what would never end by itself, before it waits for what is in flight."""

    def __init__(self, config: uvicorn.Config, before_stop: Callable[[], object]) -> None:
        super().__init__(config)
        self._before_stop = before_stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self._before_stop()
        await super().shutdown(sockets)


def server_of(app: FastAPI) -> uvicorn.Server:
    """uvicorn, as this application needs it."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        loop="none",
        http="httptools",
        ws=DirectProtocol,
        ws_per_message_deflate=False,
        ws_max_size=_LARGEST_MESSAGE,
        timeout_graceful_shutdown=_STOP_TIMEOUT_S,
        server_header=False,
        proxy_headers=False,
    )
    return _Server(config, getattr(app.state, "before_stop", lambda: None))


@asynccontextmanager
async def serving(app: FastAPI, bound: socket.socket) -> AsyncIterator[uvicorn.Server]:
    """
    The application, served in this event loop until the end of the block; then in-flight answers end, and clients are told.

    Raises what the application raises when it starts. A server that ends by itself ends the block, which raises what has
    ended it, or ``Closed``.
    """
    server = server_of(app)
    task = asyncio.create_task(_run(app, server, bound), name="chandlery server")
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            while not server.started:  # uvicorn sets a flag and nothing else
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
    """Cancel the block when the task ends before it does, and raise what has ended it."""
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
        raise cause or Closed("the server has ended by itself") from None
    finally:
        task.remove_done_callback(end)


@contextmanager
def _left_alone() -> Iterator[None]:
    """
    Collections of garbage pass over what is there already: modules, above all.

    To walk it holds all threads, the event loop's too, for 0.1 s and more.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _run(app: FastAPI, server: uvicorn.Server, bound: socket.socket) -> None:
    """All in one task, as what the application opens may want."""
    # Not uvicorn's own lifespan, which makes a mistake at the start an exit of the process.
    async with app.router.lifespan_context(app):
        await server._serve(sockets=[bound])  # noqa: SLF001  # its public form takes the process's signals, which are not ours to take
