"""Convert HTTP statuses of exchanges and proxies to errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import version

from chandlery.core.errors import (
    AddressBanned,
    ChandleryError,
    ExchangeUnavailable,
    NotFound,
    ProxyRefused,
    RateLimited,
    RequestRejected,
)
from chandlery.core.http import Response
from chandlery.net.clock import system_clock
from chandlery.net.limiter import pause_of

ErrorOf = Callable[[Response], ChandleryError | None]
"""Returns the error that an answer describes in the exchange's own format; ``None`` if there is none. Not called for 407, 429, 418 and 5xx."""
_PROXY_AUTHENTICATION = 407


@cache
def user_agent() -> str:
    """Return the library's user agent."""
    return f"chandlery/{version('chandlery')}"


def status_error(name: str, response: Response, error_of: ErrorOf | None) -> ChandleryError:
    """Return the error for a status other than 2xx."""
    status = response.status
    message = f"{name}: status {status}"
    if status in {429, 418}:
        pause_s = pause_of(status, response.headers, system_clock())
        message += ", no Retry-After" if pause_s is None else f", retry after {pause_s:g} s"
        return (RateLimited if status == 429 else AddressBanned)(message, retry_after_s=pause_s)
    if status == _PROXY_AUTHENTICATION:
        return proxy_failure(name, status)
    if status >= 500:
        return ExchangeUnavailable(message)
    if error_of is not None and (error := error_of(response)) is not None:
        return error
    if status == 404:
        return NotFound(message, status=status)
    return RequestRejected(f"{message}, {response.body[:120]!r}", status=status)


def proxy_failure(name: str, status: int) -> ChandleryError:
    """Return the error for a proxy that answers with a status other than 2xx; ``name`` describes the request."""
    if status == _PROXY_AUTHENTICATION:
        return ProxyRefused(f"{name}: the proxy requires other credentials (407)", status=status)
    if status < 500:
        return ProxyRefused(f"{name}: the proxy refuses to connect ({status})", status=status)
    return ExchangeUnavailable(f"{name}: the proxy cannot connect ({status})")


def socks_failure(name: str, error: Exception) -> ChandleryError:
    """Return the error for a SOCKS proxy. It has no status for wrong credentials; python-socks describes them in text."""
    if "uthentication" in str(error):
        return ProxyRefused(f"{name}: the proxy requires other credentials ({error})")
    return ExchangeUnavailable(f"{name}: {error}")
