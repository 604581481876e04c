"""Model Context Protocol server of a service: streamable HTTP, and stdio."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

import chandlery
from chandlery.clients.interfaces import ResolvedSeries
from chandlery.core.errors import AccessDenied, ChandleryError, Closed, InsufficientScope, InvalidInput
from chandlery.core.series_id import SeriesId
from chandlery.core.time import Clock
from chandlery.service.auth.endpoints import RESOURCE_METADATA
from chandlery.service.auth.interfaces import READ, SCOPES, IAuthenticationModule, Subject
from chandlery.service.auth.wiring import MCP_PATH
from chandlery.service.caller import caller_of
from chandlery.service.collection.interfaces import IDataCollectionManager
from chandlery.service.errors import code_of
from chandlery.service.historical.interfaces import IHistoricalDataManager
from chandlery.service.instruments import InstrumentSearch
from chandlery.service.mcp.bearer_middleware import SUBJECT, BearerMiddleware
from chandlery.service.mcp.budget import TOKEN_BUDGET, clipped
from chandlery.service.mcp.ranges import CandleRanges
from chandlery.service.mcp.resources import Library
from chandlery.service.mcp.schemas import DownloadAnswer, ErrorAnswer
from chandlery.service.mcp.sessions import IDLE_TIMEOUT_S, MOST_SESSIONS, AccountSessions
from chandlery.service.mcp.stdio import lines_of
from chandlery.service.mcp.tool import Tool
from chandlery.service.mcp.tools import Toolbox
from chandlery.service.workload import Workload

_log = logging.getLogger(__name__)

_OPENING = 200
"""Maximum number of sessions being opened, besides the open ones."""
_LARGEST_REQUEST = 1 << 20
_LOCAL = Subject("local", "local", frozenset(SCOPES), "this process")
"""Local caller over stdio, with all scopes."""

_INSTRUCTIONS = f"""Candles and order books of crypto exchanges, past and live.
Name exchanges by an id or alias of list_exchanges. Symbols are written BTC/USDT, or BTC/USDT:USDT for a perpetual.
Times are UTC. Ranges include their start and exclude their end. They contain only closed candles.
Every result lists its sources and gaps, and has at most {TOKEN_BUDGET:,} tokens.
Pass next as cursor to get the rest. For a long range use summarize_candles instead of its rows."""


class MCPRouter:
    """
    MCP tools and resources of a service.

    ``resolve`` resolves the names of a series, as ``IDataSourceConnector.resolve`` does; ``url`` is the public URL of the
    service.
    """

    def __init__(
        self,
        collection: IDataCollectionManager,
        historical: IHistoricalDataManager,
        authentication: IAuthenticationModule,
        clock: Clock,
        workload: Workload,
        *,
        resolve: Callable[[SeriesId], ResolvedSeries],
        instruments: InstrumentSearch,
        url: str,
        origins: Mapping[str, str] | None = None,
    ) -> None:
        self._workload = workload
        ranges = CandleRanges(resolve, historical, clock)
        self._toolbox = Toolbox(collection, historical, ranges, instruments, clock, resolve)
        self._declared = [tool.declared() for tool in self._toolbox.tools.values()]
        self._library = Library(ranges, instruments)
        self._sessions: AccountSessions | None = None
        self._server: Server[Any] = Server(
            "chandlery",
            title="chandlery",
            version=chandlery.__version__,
            instructions=_INSTRUCTIONS + _warning(origins or {}),
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
        )
        self.app = BearerMiddleware(self._serve, authentication, f"{url}{RESOURCE_METADATA}{MCP_PATH}")
        """ASGI application for ``/mcp``; it answers while the router is ``running``."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the sessions of ``app`` until the end of the block."""
        manager = StreamableHTTPSessionManager(
            self._server,
            session_idle_timeout=IDLE_TIMEOUT_S,
            max_request_body_size=_LARGEST_REQUEST,
            max_sessions=MOST_SESSIONS + _OPENING,
        )
        async with manager.run():
            self._sessions = AccountSessions(manager.handle_request)
            try:
                yield
            finally:
                self._sessions = None

    async def run_stdio(self) -> None:
        """Serve the parent process over stdin and stdout until stdin ends; all scopes are allowed."""
        lines: Any = lines_of(sys.stdin.fileno())
        async with stdio_server(stdin=lines) as (read, write):
            await self._server.run(read, write, self._server.create_initialization_options())

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._sessions is None:
            raise Closed("the service is not running")
        await self._sessions(scope, receive, send)

    async def _list_tools(self, _: ServerRequestContext[Any], __: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=self._declared)

    async def _call_tool(
        self, context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        tool = self._toolbox.tools.get(params.name)
        if tool is None:
            known = ", ".join(self._toolbox.tools)
            raise MCPError(types.INVALID_PARAMS, f"unknown tool {params.name[:64]!r}; known are {known}")
        try:
            answer = await self._work(tool, context, params.arguments or {})
        except ChandleryError as error:
            return _result(_told(error), is_error=True)
        except Exception:  # noqa: BLE001  # the caller is told, and the log says what it was
            # Details go to the log only: they are of no use to the caller, and may hold data of others.
            _log.exception("the tool %s failed", tool.name)
            failed = ErrorAnswer(
                code="internal_error", message="internal error; see the log of the service", retryable=False
            )
            return _result(failed, is_error=True)
        return _result(answer)

    async def _work(self, tool: Tool, context: ServerRequestContext[Any], given: dict[str, Any]) -> BaseModel:
        _subject(context).require(tool.scope)
        async with self._served(context, heavy=tool.heavy):
            return await tool.work(tool.arguments(given), context.session.report_progress)

    @asynccontextmanager
    async def _served(self, context: ServerRequestContext[Any], *, heavy: bool) -> AsyncIterator[None]:
        """Run work for a caller while it is connected, waiting for a slot if heavy."""
        async with AsyncExitStack() as stack:
            if context.request is not None:
                await stack.enter_async_context(caller_of(context.request.scope).served())
            if heavy:
                await stack.enter_async_context(self._workload.turn(_subject(context)))
            yield

    async def _list_resources(self, _: ServerRequestContext[Any], __: object) -> types.ListResourcesResult:
        return types.ListResourcesResult(resources=self._library.listed())

    async def _list_templates(self, _: ServerRequestContext[Any], __: object) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=self._library.templates())

    async def _read_resource(
        self, context: ServerRequestContext[Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        try:
            _subject(context).require(READ)
            async with self._served(context, heavy=True):
                found = await self._library.read(params.uri)
        except ChandleryError as error:
            caller_erred = isinstance(error, InvalidInput | AccessDenied)
            told = _told(error)
            raise MCPError(
                types.INVALID_PARAMS if caller_erred else types.INTERNAL_ERROR,
                told.message,
                {"uri": params.uri[:200], **told.model_dump(exclude_none=True)},
            ) from None
        content = types.TextResourceContents(uri=params.uri, text=found.text, mime_type=found.media_type)
        return types.ReadResourceResult(contents=[content])


def _subject(context: ServerRequestContext[Any]) -> Subject:
    """Return the caller: over HTTP, the one that the middleware authenticated."""
    if context.request is None:
        return _LOCAL
    subject: Subject = context.request.scope[SUBJECT]
    return subject


def _told(error: ChandleryError) -> ErrorAnswer:
    scope = error.scope if isinstance(error, InsufficientScope) else None
    return ErrorAnswer(code=code_of(error), message=clipped(str(error), 2_000), retryable=error.retryable, scope=scope)


def _result(answer: BaseModel, *, is_error: bool = False) -> types.CallToolResult:
    content: list[types.ContentBlock] = [types.TextContent(text=answer.model_dump_json(exclude_none=is_error))]
    if isinstance(answer, DownloadAnswer):
        content.append(
            types.ResourceLink(
                uri=answer.resource,
                name=f"{answer.exchange} {answer.symbol} {answer.interval}",
                description="All candles of the range, in pages.",
                mime_type="text/csv",
            )
        )
    structure = answer.model_dump(mode="json", exclude_none=is_error)
    return types.CallToolResult(content=content, structured_content=structure, is_error=is_error)


def _warning(origins: Mapping[str, str]) -> str:
    """Build the warning for models that data does not come from the real exchanges."""
    if not origins:
        return ""
    said = ", ".join(f"{exchange}: {origin}" for exchange, origin in sorted(origins.items()))
    return f"\n\nNOT the exchanges' own data; data named offline is synthetic. By exchange: {said}."
