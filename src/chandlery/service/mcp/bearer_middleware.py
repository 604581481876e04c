"""Authentication of the MCP endpoint, with the same tokens as HTTP and WebSocket."""

from __future__ import annotations

import asyncio

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chandlery.core.errors import ChandleryError, InvalidToken
from chandlery.service.auth.guard import vouch
from chandlery.service.auth.interfaces import LOOK_AGAIN_S, IAuthenticationModule, Subject
from chandlery.service.errors import answer_to

SUBJECT = "chandlery.subject"
"""Key of the ASGI scope that holds the caller."""


class BearerMiddleware:
    """
    ASGI middleware that validates a bearer token on every request.

    A session belongs to the account that opened it: the SDK reads the owner from ``user``.
    """

    def __init__(self, app: ASGIApp, authentication: IAuthenticationModule, metadata_url: str) -> None:
        self._app = app
        self._authentication = authentication
        self._metadata_url = metadata_url
        self._ending = asyncio.Event()

    def end_streams(self) -> None:
        """End open streams, which otherwise last as long as the client wants."""
        self._ending.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on authenticated requests, and refuse others as the HTTP endpoints do."""
        try:
            subject = await self._authentication.validate_token(_token(scope))
        except ChandleryError as error:
            await answer_to(error, self._metadata_url)(scope, receive, send)
            return
        vouch(scope)
        scope = {**scope, SUBJECT: subject, "user": _user(subject)}
        if scope["method"] == "GET":
            await self._stream(subject, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _stream(self, subject: Subject, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a stream until the client disconnects, its token expires or is revoked, or the service stops."""
        begun = done = False

        async def told(message: Message) -> None:
            nonlocal begun, done
            begun = True
            done = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        async def heard() -> Message:
            hearing = asyncio.ensure_future(receive())
            ends = [asyncio.ensure_future(each) for each in (self._ending.wait(), self._distrust(subject))]
            try:
                await asyncio.wait([hearing, *ends], return_when=asyncio.FIRST_COMPLETED)
                return hearing.result() if hearing.done() else {"type": "http.disconnect"}
            finally:
                for each in (hearing, *ends):
                    each.cancel()

        await self._app(scope, heard, told)
        if begun and not done:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _distrust(self, subject: Subject) -> None:
        """Wait until the token expires or is revoked."""
        while subject.expires_at is not None:
            await asyncio.sleep(LOOK_AGAIN_S)
            try:
                await self._authentication.still_trusted(subject)
            except InvalidToken:
                return
        await self._ending.wait()


def _token(scope: Scope) -> str:
    kind, _, token = Headers(scope=scope).get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _user(subject: Subject) -> AuthenticatedUser:
    known = AccessToken(
        token="",  # already validated, and not needed any more
        client_id=subject.client_id,
        scopes=sorted(subject.scopes),
        subject=subject.id,
        claims={"iss": subject.issuer},
    )
    return AuthenticatedUser(known)
