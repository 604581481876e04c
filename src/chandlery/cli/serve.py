"""``chandlery serve``: the data service."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

import typer

from chandlery.cli import arguments
from chandlery.core.errors import MissingDependency

_ENDS_WITHIN_S = 20.0
"""Maximum time in seconds from SIGTERM to the end of the process, whatever is running."""


def serve(
    *,
    host: str | None = typer.Option(None, help="Address to listen on.", show_default="127.0.0.1"),
    port: int | None = typer.Option(None, min=0, max=65535, help="Port; 0 selects a free one.", show_default="8700"),
    public_url: str | None = typer.Option(None, "--public-url", help="URL that callers use, and audience of tokens.", show_default="listen address"),
    data_dir: Path | None = arguments.DATA_DIR,
    exchange_endpoints: str | None = typer.Option(None, "--exchange-endpoints", metavar="JSON", help="Base URLs by exchange id, which replace the exchanges' own.", show_default=False),
    proxy: str | None = arguments.PROXY,
    offline: bool = typer.Option(False, "--offline", help="Use the built-in offline exchange instead of the real ones."),
    no_auth: bool = typer.Option(False, "--no-auth", help="Disable authentication; only on the loopback address."),
    snapshot_interval: str | None = typer.Option(None, "--snapshot-interval", help="Interval between stored order books.", show_default="5m"),
    log_format: str | None = typer.Option(None, "--log-format", help="Format of log lines: console or json.", show_default="console"),
) -> None:  # fmt: skip
    """
    Collect, store and serve market data over HTTP, WebSocket and MCP until Ctrl-C.

    All settings can also come from the environment, as CHANDLERY_PORT and so on.
    """
    try:
        import uvloop  # noqa: PLC0415  # loaded where it is used

        from chandlery.service import logs  # noqa: PLC0415  # needs an extra
        from chandlery.service.app import Service  # noqa: PLC0415  # the same
        from chandlery.service.run import until_stopped  # noqa: PLC0415  # the same
        from chandlery.service.settings import ServiceSettings  # noqa: PLC0415  # the same
    except ImportError as error:
        raise MissingDependency("this command needs an extra; run: pip install 'chandlery[server]'") from error

    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "public_url": public_url,
        "data_dir": data_dir,
        "snapshot_interval": snapshot_interval,
        "log_format": log_format,
        "proxy": proxy,
        "offline": offline or None,
        "no_auth": no_auth or None,
    }
    settings = ServiceSettings(**{name: value for name, value in given.items() if value is not None})
    settings.check()
    endpoints = arguments.endpoints(exchange_endpoints) or None
    logs.configure(settings.log_format)

    def ready(service: Service) -> None:
        sys.stdout.write(f"{service.url}\n")
        sys.stdout.flush()
        log = logging.getLogger("chandlery.serve")
        log.info("serving on %s (docs at /docs) from %s until Ctrl-C", service.url, settings.data_dir)
        if not settings.no_auth:
            log.info("callers need a token: chandlery auth create-client NAME --data-dir %s", settings.data_dir)

    def end_soon() -> None:
        # A thread cannot be cancelled, and Python waits for it. Acknowledged data is committed by then.
        last = threading.Timer(_ENDS_WITHIN_S, os._exit, (1,))
        last.daemon = True
        last.start()

    uvloop.run(until_stopped(settings, ready, end_soon, endpoints=endpoints))
