"""The ASGI application with all endpoints of a service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import chandlery
from chandlery.service import errors
from chandlery.service.app import Service
from chandlery.service.auth.endpoints import FORMS, RESOURCE_METADATA
from chandlery.service.auth.endpoints import routes as auth_routes
from chandlery.service.auth.wiring import MCP_PATH
from chandlery.service.collection.endpoints import routes as collection_routes
from chandlery.service.historical.book_endpoints import routes as book_routes
from chandlery.service.historical.endpoints import routes as historical_routes
from chandlery.service.historical.response_cache import ResponseCache
from chandlery.service.instruments import routes as instrument_routes
from chandlery.service.loop_lag import measured
from chandlery.service.mcp.service import MCPRouter
from chandlery.service.metrics import Metrics
from chandlery.service.web.abandonment import Abandonment
from chandlery.service.web.catalogue import routes as catalogue_routes
from chandlery.service.web.compression import Compression
from chandlery.service.web.docs import routes as docs_routes
from chandlery.service.web.health import routes as health_routes
from chandlery.service.web.hosts import Hosts, OwnHosts
from chandlery.service.web.send_queue import Pump
from chandlery.service.web.server import edge_of
from chandlery.service.web.socket import routes as socket_routes

_LEFT = 499
"""Status recorded for a request whose client disconnects before a response."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""HTTP methods with metrics of their own; the parser accepts thirty more, which any caller may send."""
_DESCRIPTION = "Candles, funding rates and order books of crypto exchanges, past and live."


def application(service: Service) -> FastAPI:
    """Build the application of a service, which opens on startup and closes on shutdown."""
    metrics = Metrics()
    open_to_all = service.settings.no_auth
    stopping = asyncio.Event()
    hosts = Hosts(service.url, allowed=service.settings.allowed_hosts, origins=service.settings.allowed_origins)
    mcp = MCPRouter(
        service.collection,
        service.historical,
        service.authentication,
        service.clock,
        service.workload,
        resolve=service.connector.resolve,
        instruments=service.instruments,
        url=service.url,
        origins=service.origins,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(service)
            metrics.service = service
            measuring = service.supervisor.start("measure of the loop", partial(measured, metrics.loop_lag.observe))
            stack.push_async_callback(measuring.end)
            await stack.enter_async_context(mcp.running())
            yield

    app = FastAPI(
        title="chandlery",
        version=chandlery.__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # its scripts come from a public server
        redoc_url=None,
    )
    _share(app, service, metrics)
    app.state.before_stop = partial(_before_stop, stopping, mcp)
    metadata_url = f"{service.url}{RESOURCE_METADATA}"
    errors.install(app, metadata_url)
    for routes in (
        auth_routes,
        health_routes,
        catalogue_routes,
        instrument_routes,
        collection_routes,
        historical_routes,
        book_routes,
        socket_routes,
        docs_routes,
    ):
        app.include_router(routes)
    # Last, and a route instead of a mount, which would match unknown paths, or redirect this one.
    app.router.routes.append(_Named(MCP_PATH, mcp.app, include_in_schema=False))
    app.add_middleware(Compression)
    app.add_middleware(Abandonment, stopping=stopping, metadata_url=metadata_url, apart={MCP_PATH})
    app.add_middleware(Timed, metrics=metrics)
    if service.origins:
        app.add_middleware(Originated, origins=service.origins)
    app.add_middleware(OwnHosts, hosts=hosts, open_to_all=open_to_all)
    return app


def _share(app: FastAPI, service: Service, metrics: Metrics) -> None:
    """Store in the application's state what the endpoints and the server need."""
    app.state.origins = service.origins
    app.state.accounts = service.accounts
    app.state.authentication = service.authentication
    app.state.open_to_all = service.settings.no_auth
    app.state.trusted_proxies = service.settings.trusted_proxies
    app.state.resolve = service.connector.resolve
    app.state.collection = service.collection
    app.state.historical = service.historical
    app.state.instruments = service.instruments
    app.state.answers = ResponseCache()
    app.state.readiness = service.readiness
    app.state.clock = service.clock
    app.state.token_clock = service.token_clock
    app.state.metrics = metrics
    app.state.workload = service.workload
    app.state.edge = edge_of(
        metrics.refusals,
        most=service.settings.max_connections,
        open_to_all=service.settings.no_auth,
        proxies=service.settings.trusted_proxies,
        unread_s=service.settings.unread_s,
        forms=FORMS,
    )
    app.state.slow_client_s = service.settings.slow_client_s
    app.state.pump = Pump(service.settings.coalesce_ms / 1000, metrics)


def _before_stop(stopping: asyncio.Event, mcp: MCPRouter) -> None:
    stopping.set()
    mcp.app.end_streams()


class Originated:
    """ASGI middleware that adds a header naming the exchanges whose data comes from another origin."""

    def __init__(self, app: ASGIApp, origins: Mapping[str, str]) -> None:
        self._app = app
        self._header = (b"x-chandlery-origin", ", ".join(sorted(set(origins.values()))).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, adding the header to the start of the response, including that of a WebSocket handshake."""

        async def told(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.accept"}:
                message = {**message, "headers": [*message.get("headers", ()), self._header]}
            await send(message)

        await self._app(scope, receive, told)


class _Named(Route):
    """Route that identifies itself in the scope, as FastAPI's own do."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        return match, {**found, "route": self}


class Timed:
    """ASGI middleware that measures the duration of requests."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and measure the duration."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = _LEFT

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, told)
        except BaseException:
            status = 500 if status == _LEFT else status
            raise
        finally:
            # The route's pattern, not the path: callers must not be able to create new label values.
            route = scope.get("route")
            path = getattr(route, "path", "unknown")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, path, str(status)).observe(time.perf_counter() - began)
