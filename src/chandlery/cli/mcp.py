"""``chandlery mcp``: the MCP tools over stdio."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import typer

from chandlery.cli import arguments
from chandlery.clients.data_folder import data_folder
from chandlery.core.endpoints import Endpoints
from chandlery.core.errors import InvalidInput, MissingDependency

_URL = "http://localhost"


def mcp(
    *,
    data_dir: Path | None = arguments.DATA_DIR,
    offline: bool = typer.Option(False, "--offline", help="Use the built-in offline exchange instead of the real ones."),
    exchange_endpoints: str | None = typer.Option(None, "--exchange-endpoints", metavar="JSON", help="Base URLs by exchange id, which replace the exchanges' own.", show_default=False),
    proxy: str | None = arguments.PROXY,
) -> None:  # fmt: skip
    """
    Serve the Model Context Protocol on stdin and stdout, for the program that starts this process.

    The parent process has all scopes. The server ends when stdin ends.
    """
    endpoints = arguments.endpoints(exchange_endpoints)
    if offline and endpoints:
        raise InvalidInput("use either --offline or --exchange-endpoints, not both")
    with contextlib.suppress(asyncio.CancelledError):  # SIGTERM
        asyncio.run(_serve(data_folder(data_dir), endpoints, proxy, offline=offline))


async def _serve(data_dir: Path, endpoints: Endpoints, proxy: str | None, *, offline: bool) -> None:
    try:
        from chandlery.service.app import Service  # noqa: PLC0415  # needs an extra
        from chandlery.service.mcp.service import MCPRouter  # noqa: PLC0415  # the same
        from chandlery.service.run import offline_exchange  # noqa: PLC0415  # needs the extra, as all of the service
        from chandlery.service.settings import ServiceSettings  # noqa: PLC0415  # the same
    except ImportError as error:
        raise MissingDependency("this command needs an extra; run: pip install 'chandlery[server]'") from error
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # this runs in one
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    given: dict[str, Any] = {"data_dir": data_dir, "host": "127.0.0.1", "no_auth": True}
    if offline:
        given["offline"] = True
    if proxy is not None:
        given["proxy"] = proxy
    settings = ServiceSettings(**given)
    async with AsyncExitStack() as stack:
        if offline or (settings.offline and not endpoints):
            endpoints = (await stack.enter_async_context(offline_exchange())).endpoints
        service = await stack.enter_async_context(Service(settings, _URL, endpoints=endpoints or None))
        parts = (service.collection, service.historical, service.authentication, service.clock, service.workload)
        await MCPRouter(
            *parts,
            resolve=service.connector.resolve,
            instruments=service.instruments,
            url=_URL,
            origins=service.origins,
        ).run_stdio()
