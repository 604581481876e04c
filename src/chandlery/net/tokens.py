"""Access tokens: fetched once, shared, and renewed before they expire or after they are refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from chandlery.core.errors import ChandleryError, InvalidInput, RequestRejected
from chandlery.core.http import AccessToken, Request, Response
from chandlery.net.http import HttpClient
from chandlery.net.status import ErrorOf

LATEST_RENEWAL_S = 60.0
"""Time before its expiry at which a token is renewed; a tenth of its lifetime if that is less."""
_UNAUTHORIZED = 401

_T = TypeVar("_T")

Credentials = Mapping[str, Mapping[str, str]]
"""Credentials by exchange id and by name, e.g. ``{"tradestation": {"client_id": "…", "refresh_token": "…"}}``."""


class TokenIssuer(Protocol):
    """The authentication protocol of an exchange; adapters implement it."""

    @property
    def id(self) -> str:
        """The exchange's id."""
        ...

    @property
    def credentials(self) -> tuple[str, ...]:
        """The required credentials; empty if it needs none."""
        ...

    @property
    def more_credentials(self) -> tuple[str, ...]:
        """The optional credentials."""
        ...

    def token_request(self, credentials: Mapping[str, str]) -> Request:
        """Return the request for a token."""
        ...

    def token(self, body: bytes) -> AccessToken:
        """Parse the token from the answer."""
        ...

    def authorized(self, request: Request, token: str) -> Request:
        """Return a request with the token added."""
        ...


class Account:
    """
    An HTTP client for one account of an exchange: it adds an access token to every request.

    A request that is refused as unauthorized is sent once more, with a new token. Messages contain neither tokens
    nor credentials.

    Raises:
        InvalidInput: Credentials are missing or unknown to the exchange.
    """

    def __init__(
        self,
        http: HttpClient,
        exchange: TokenIssuer,
        credentials: Mapping[str, str] | None,
        *,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.renewals = 0
        """Number of tokens fetched."""
        self._http = http
        self._exchange = exchange
        self._credentials = _checked(exchange, credentials or {})
        self._ticks = ticks
        self._token: AccessToken | None = None
        self._renew_at = 0.0
        self._renewing = asyncio.Lock()

    async def fetch(self, request: Request, decode: Callable[[bytes], _T], *, error_of: ErrorOf | None = None) -> _T:
        """Send and decode, like ``HttpClient.fetch``."""
        return await self.ask(request, lambda response: decode(response.body), error_of=error_of)

    async def send(self, request: Request, *, error_of: ErrorOf | None = None) -> Response:
        """Send, like ``HttpClient.send``."""
        return await self.ask(request, lambda response: response, error_of=error_of)

    async def ask(self, request: Request, use: Callable[[Response], _T], *, error_of: ErrorOf | None = None) -> _T:
        """Send and convert, like ``HttpClient.ask``."""
        signed = await self.signed(request)
        try:
            return await self._http.ask(signed, use, error_of=error_of)
        except RequestRejected as error:
            if error.status != _UNAUTHORIZED:
                raise
        self.refused(request, signed)
        return await self._http.ask(await self.signed(request), use, error_of=error_of)

    async def signed(self, request: Request) -> Request:
        """Return the request with a valid token."""
        return self._exchange.authorized(request, (await self._current()).text)

    def refused(self, request: Request, signed: Request) -> None:
        """Discard the token of ``signed``, made from ``request``, because it was unauthorized."""
        # A concurrent request may have renewed it already.
        if self._token is not None and self._exchange.authorized(request, self._token.text) == signed:
            self._token = None

    async def close(self) -> None:
        """Close the HTTP client."""
        await self._http.close()

    async def _current(self) -> AccessToken:
        async with self._renewing:
            if self._token is None or self._ticks() >= self._renew_at:
                began = self._ticks()
                request = self._exchange.token_request(self._credentials)
                token = await self._http.fetch(request, self._exchange.token, error_of=self._refusal)
                self.renewals += 1
                self._token = token
                self._renew_at = began + token.lifetime_s - min(LATEST_RENEWAL_S, token.lifetime_s / 10)
                self._credentials |= token.renewed
            return self._token

    def _refusal(self, response: Response) -> ChandleryError | None:
        """Convert a refusal without quoting the body, which answers a request with secrets."""
        if response.status < 300:
            return None
        names, status = ", ".join(self._credentials), response.status
        return RequestRejected(
            f"{self._exchange.id} returned no access token (status {status}); check {names}", status=status
        )


class Accounts:
    """
    The clients of all exchanges over one HTTP client, with accounts for those that require authentication.

    Raises:
        InvalidInput: The credentials of a requested exchange are missing or wrong.
    """

    def __init__(self, http: HttpClient, credentials: Credentials | None = None) -> None:
        self._http = http
        self._credentials = {name: dict(given) for name, given in (credentials or {}).items()}
        self._known: dict[str, Account] = {}

    def client(self, exchange: TokenIssuer) -> HttpClient | Account:
        """Return the HTTP client for an exchange, with its account if it has one; shared by all callers."""
        if not exchange.credentials:
            return self._http
        if exchange.id not in self._known:
            self._known[exchange.id] = Account(self._http, exchange, self._credentials.get(exchange.id))
        return self._known[exchange.id]


def _checked(exchange: TokenIssuer, given: Mapping[str, str]) -> dict[str, str]:
    """Check the credentials against those of the exchange; values are never shown."""
    wanted = (*exchange.credentials, *exchange.more_credentials)
    missing = [name for name in exchange.credentials if not given.get(name)]
    unknown = [name for name in given if name not in wanted]
    wrong = [name for name, value in given.items() if name in wanted and not isinstance(value, str)]
    problems = [
        f"{kind}: {', '.join(names)}"
        for kind, names in (("missing", missing), ("not text", wrong), ("not known", unknown))
        if names
    ]
    if problems:
        form = ", ".join(f'"{name}": "…"' for name in wanted)
        raise InvalidInput(
            f"{exchange.id} requires authentication ({'; '.join(problems)}); "
            f'pass credentials={{"{exchange.id}": {{{form}}}}}'
        )
    return {name: given[name] for name in wanted if given.get(name)}
