"""
Limit of open sessions per account, for protocol versions with ``initialize``.

The SDK limits only the sessions of all callers together, so that one caller could take all of them. Here each account
has its own limit: a further session ends the one of the account that has been idle for longest. Revision 2026-07-28
has no sessions, so its requests pass unchanged.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeAlias

from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from msgspec import Struct
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chandlery.core.errors import Overloaded
from chandlery.service.auth.interfaces import Subject
from chandlery.service.mcp.bearer_middleware import SUBJECT

MOST_OF_ACCOUNT = 64
MOST_SESSIONS = 1_000
IDLE_TIMEOUT_S = 1_800.0
_Account: TypeAlias = tuple[str, str]


class _Session(Struct, eq=False):
    account: _Account
    ending: Scope
    """ASGI scope of the owner's request that would end the session."""
    used_at: float
    under_way: int = 0


class AccountSessions:
    """
    ASGI middleware before the SDK's session manager ``app``.

    At most ``of_account`` sessions are open per account, and ``in_all`` in total; beyond that, the account with the
    most sessions loses one. A session with a running request or stream is not idle. ``monotonic`` times their use.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        of_account: int = MOST_OF_ACCOUNT,
        in_all: int = MOST_SESSIONS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._of_account = of_account
        self._in_all = in_all
        self._monotonic = monotonic
        self._sessions: dict[str, _Session] = {}
        self._opening: Counter[_Account] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Pass a request on, and track its session.

        Raises:
            Overloaded: All sessions that the account may have are busy.
        """
        headers = Headers(scope=scope)
        if headers.get(MCP_PROTOCOL_VERSION_HEADER, HANDSHAKE_PROTOCOL_VERSIONS[0]) not in HANDSHAKE_PROTOCOL_VERSIONS:
            await self._app(scope, receive, send)
        elif (known := headers.get(MCP_SESSION_ID_HEADER)) is not None:
            await self._go_on(known, scope, receive, send)
        else:
            await self._open(scope, receive, send)

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        subject: Subject = scope[SUBJECT]
        account = (subject.issuer, subject.id)
        if self._opening[account] + self._at_work(account) >= self._of_account:
            raise Overloaded(f"{self._of_account} sessions of this account are busy; end one", retry_after_s=1)

        async def noted(message: Message) -> None:
            opened = _opened_by(message)
            if opened is not None:
                self._sessions[opened] = _Session(account, _ending(scope, opened), self._monotonic())
                await self._trim(account, opened)
            await send(message)

        self._opening[account] += 1
        try:
            await self._app(scope, receive, noted)
        finally:
            self._opening[account] -= 1
            self._opening += Counter()  # removes zero counts

    async def _go_on(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        session = self._sessions.get(name)
        if session is None:
            await self._app(scope, receive, send)
            return
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        mine = (scope[SUBJECT].issuer, scope[SUBJECT].id) == session.account
        session.under_way += mine
        try:
            await self._app(scope, receive, noted)
        finally:
            session.under_way -= mine
            if mine:
                session.used_at = self._monotonic()
                if status == 404 or (scope["method"] == "DELETE" and status == 200):
                    self._sessions.pop(name, None)

    async def _trim(self, account: _Account, opened: str) -> None:
        """End idle sessions until the limits are met, but never the session just opened."""
        since = self._monotonic() - IDLE_TIMEOUT_S
        for name in [name for name, each in self._sessions.items() if not each.under_way and each.used_at < since]:
            del self._sessions[name]  # the SDK has ended it
        while self._count(account) > self._of_account and await self._end_idle(account, opened):
            pass
        while len(self._sessions) > self._in_all:
            most = Counter(each.account for each in self._sessions.values()).most_common()
            if not await self._end_first((each for each, _ in most), opened):
                return

    async def _end_first(self, accounts: Iterable[_Account], opened: str) -> bool:
        for account in accounts:
            if await self._end_idle(account, opened):
                return True
        return False

    async def _end_idle(self, account: _Account, opened: str) -> bool:
        """End the account's session that has been idle for longest; return whether there was one."""
        idle = [
            (each.used_at, name)
            for name, each in self._sessions.items()
            if each.account == account and not each.under_way and name != opened
        ]
        if not idle:
            return False
        await self._app(self._sessions.pop(min(idle)[1]).ending, _nothing, _ignored)
        return True

    def _count(self, account: _Account) -> int:
        return sum(each.account == account for each in self._sessions.values())

    def _at_work(self, account: _Account) -> int:
        return sum(each.account == account and each.under_way > 0 for each in self._sessions.values())


def _opened_by(message: Message) -> str | None:
    """Return the id of the session that a response opens."""
    if message["type"] != "http.response.start" or message["status"] >= 400:
        return None
    return Headers(raw=list(message["headers"])).get(MCP_SESSION_ID_HEADER)


def _ending(scope: Scope, name: str) -> Scope:
    host = [(key, value) for key, value in scope["headers"] if key == b"host"]
    return {**scope, "method": "DELETE", "headers": [*host, (MCP_SESSION_ID_HEADER.encode(), name.encode())]}


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _ignored(_: Message) -> None:
    pass
