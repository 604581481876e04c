"""Allowed host names and origins."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from chandlery.service.errors import problem, problem_response

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_KNOWN = 1_024
"""Maximum number of cached names, allowed and refused."""


class Hosts:
    """
    Names of a service: any IP address, ``localhost``, the host of ``url``, and ``allowed``.

    Any other name was pointed at this address by somebody else, whose pages a browser would treat as the service's own
    (DNS rebinding). ``origins`` are further sites whose pages may call.
    """

    def __init__(self, url: str, *, allowed: Collection[str] = (), origins: Collection[str] = ()) -> None:
        own = urlsplit(url)
        self._names = frozenset({"localhost", (own.hostname or "").lower(), *(name.lower() for name in allowed)})
        self._origins = frozenset(filter(None, map(_origin, [url, *origins])))
        self.is_own = lru_cache(_KNOWN)(self._is_own)

    def _is_own(self, host: str) -> bool:
        """Return whether a ``Host`` header names this service."""
        name = _name(host)
        return name is not None and (name in self._names or _is_address(name))

    def may_call(self, origin: str, scheme: str, host: str) -> bool:
        """Return whether pages of ``Origin`` may call ``Host``: same scheme, name and port, or an allowed origin."""
        given = _origin(origin)
        return given is not None and (given in self._origins or given == _origin(f"{scheme}://{host}"))


class OwnHosts:
    """
    ASGI middleware that refuses requests for other host names, and requests from pages of other sites.

    Without authentication (``open_to_all``), requests that browsers mark as cross-site in ``Sec-Fetch-Site`` are
    refused, too, since images and links send no ``Origin``.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts, *, open_to_all: bool) -> None:
        self._app = app
        self._hosts = hosts
        self._open_to_all = open_to_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on requests for allowed names."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is None:
            await self._app(scope, receive, send)
            return
        response = problem_response(refused[0], problem(*refused))
        await response(scope, receive, send)

    def _refused(self, scope: Scope) -> tuple[int, str, str] | None:
        headers = Headers(scope=scope)
        # Browsers always send one; HTTP/1.0 has none, and health checks still use it.
        hosts = headers.getlist("host") or (["localhost"] if scope["http_version"] == "1.0" else [])
        if len(hosts) != 1:
            return (400, "bad_request", "a request must have exactly one Host header")
        if not self._hosts.is_own(hosts[0]):
            return (421, "unknown_host", "unknown host name; add it to CHANDLERY_ALLOWED_HOSTS to allow it")
        origins = headers.getlist("origin")
        scheme = "http" if scope["scheme"] in {"http", "ws"} else "https"
        if any(not self._hosts.may_call(origin, scheme, hosts[0]) for origin in origins):
            return (
                403,
                "foreign_origin",
                "cross-origin requests are refused; add the origin to CHANDLERY_ALLOWED_ORIGINS to allow it",
            )
        if self._open_to_all and not origins and headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
            return (403, "foreign_origin", "pages of other sites may not call this service")
        return None


def _name(host: str) -> str | None:
    """Return the lower-case name of a ``Host`` header without its port; ``None`` if it is invalid."""
    if host.startswith("["):
        name, closed, port = host[1:].partition("]")
        if not closed or (port and port[0] != ":"):
            return None
        port = port[1:]
    else:
        name, _, port = host.partition(":")
    return name.lower() if name and (not port or (port.isascii() and port.isdigit())) else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _origin(text: str) -> tuple[str, str, int] | None:
    """Return scheme, name and port; ``None`` if it is invalid, or ``null`` as of a page without an origin."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.hostname is None or parts.scheme not in _PORTS or parts.username is not None:
        return None
    return parts.scheme, parts.hostname, _PORTS[parts.scheme] if port is None else port
