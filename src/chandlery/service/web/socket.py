"""``/v1/ws``: one connection with many subscriptions."""

from __future__ import annotations

import asyncio
import contextlib

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from chandlery.core.errors import AccessDenied, ChandleryError, InvalidToken, TokenExpired
from chandlery.service.auth.interfaces import LOOK_AGAIN_S, IAuthenticationModule
from chandlery.service.web.protocol import EXTENSION, DirectProtocol
from chandlery.service.web.send_queue import Pump, SendQueue
from chandlery.service.web.session import Session

routes = APIRouter()

PATH = "/v1/ws"
AUTH_TIMEOUT_S = 10.0
"""Maximum time in seconds for a client to authenticate."""
UNAUTHORIZED, TOO_SLOW, UNSUPPORTED = 4401, 4408, 1003
"""Close codes."""


@routes.websocket(PATH)
async def socket(websocket: WebSocket) -> None:
    """Serve until the client disconnects, its token expires, or it is too slow."""
    state = websocket.app.state
    direct = websocket.scope["extensions"].get(EXTENSION)
    if not isinstance(direct, DirectProtocol):
        await websocket.close(UNSUPPORTED, "this endpoint needs the server of chandlery serve")
        return
    await websocket.accept()
    slow = asyncio.Event()
    pump: Pump = state.pump
    send_queue = SendQueue(direct, pump, grace_s=state.slow_client_s, on_slow=slow.set, metrics=state.metrics)
    direct.on_shutdown = send_queue.write_all
    direct.on_drained = send_queue.drained
    parts = (state.authentication, state.collection, state.historical, state.clock, state.token_clock, state.workload)
    session = Session(send_queue, *parts, state.resolve)
    state.metrics.clients += 1
    try:
        code, reason = await _serve(websocket, direct, session, slow)
    finally:
        state.metrics.clients -= 1
        direct.end_soon()
        await session.end()
    if code is not None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it may have disconnected
            await websocket.close(code, reason)


async def _serve(
    websocket: WebSocket, direct: DirectProtocol, session: Session, slow: asyncio.Event
) -> tuple[int | None, str]:
    """Handle messages; return the close code and reason, without a code if the client disconnected."""
    given = websocket.headers.get("Authorization", "")
    try:
        if websocket.app.state.open_to_all or given[:7].lower() == "bearer ":
            await session.authenticate(given[7:])
        else:
            direct.await_token()
    except AccessDenied as error:
        return UNAUTHORIZED, _short(error)
    hearing = asyncio.create_task(_hear(websocket, session))
    watching = asyncio.create_task(_watch(websocket, session))
    waiting = asyncio.create_task(slow.wait())
    try:
        await asyncio.wait({hearing, watching, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if hearing.done():
            return hearing.result()
        if watching.done():
            return watching.result()
        return TOO_SLOW, "the client read too slowly"
    finally:
        for task in (hearing, watching, waiting):
            task.cancel()
        await asyncio.wait({hearing, watching, waiting})


async def _hear(websocket: WebSocket, session: Session) -> tuple[int | None, str]:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return None, ""
        text = message.get("text")
        if text is None:
            return UNSUPPORTED, "messages are JSON in text frames"
        await session.hear(text)


async def _watch(websocket: WebSocket, session: Session) -> tuple[int, str]:
    """Wait until the client fails to authenticate in time, or its token expires or is revoked."""
    authentication: IAuthenticationModule = websocket.app.state.authentication
    while True:
        session.renewed.clear()
        subject = session.subject
        if subject is None:
            left_s: float | None = AUTH_TIMEOUT_S
        else:
            left_s = None if subject.expires_at is None else LOOK_AGAIN_S
        try:
            async with asyncio.timeout(left_s):
                await session.renewed.wait()
        except TimeoutError:
            if subject is None:
                return UNAUTHORIZED, "authenticate first"
            try:
                await authentication.still_trusted(subject)
            except TokenExpired:
                return UNAUTHORIZED, "the token has expired; send a new one by auth before that"
            except InvalidToken as error:
                return UNAUTHORIZED, _short(error)


def _short(error: ChandleryError) -> str:
    """Shorten an error for a close frame."""
    return str(error).encode()[:120].decode(errors="ignore")
