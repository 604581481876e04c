"""What the statuses of HTTP answers mean, of exchanges and of proxies."""

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
"""What an answer says went wrong, in the exchange's own terms; ``None`` where nothing. Not asked of 407, 429, 418 and 5xx."""
_PROXY_AUTHENTICATION = 407


@cache
def user_agent() -> str:
    """What the library calls itself."""
    return f"chandlery/{version('chandlery')}"


def status_error(name: str, response: Response, error_of: ErrorOf | None) -> ChandleryError:
    """What a status other than 2xx means."""
    status = response.status
    message = f"{name}: status {status}"
    if status in {429, 418}:
        pause_s = pause_of(status, response.headers, system_clock())
        message += ", no Retry-After" if pause_s is None else f", to be asked again in {pause_s:g} s"
        return (RateLimited if status == 429 else AddressBanned)(message, retry_after_s=pause_s)
    if status == _PROXY_AUTHENTICATION:
        return proxy_failure(name, status)
    if status >= 500:
        return ExchangeUnavailable(message)
    if error_of is not None and (said := error_of(response)) is not None:
        return said
    if status == 404:
        return NotFound(message, status=status)
    return RequestRejected(f"{message}, {response.body[:120]!r}", status=status)


def proxy_failure(name: str, status: int) -> ChandleryError:
    """Our error for a proxy that answers with another status than 2xx; ``name`` says which."""
    if status == _PROXY_AUTHENTICATION:
        return ProxyRefused(f"{name}: the proxy wants other credentials (407)", status=status)
    if status < 500:
        return ProxyRefused(f"{name}: the proxy refuses to connect ({status})", status=status)
    return ExchangeUnavailable(f"{name}: the proxy cannot connect ({status})")


def socks_failure(name: str, error: Exception) -> ChandleryError:
    """The same for SOCKS, which has no status for wrong credentials; python-socks says it in words."""
    if "uthentication" in str(error):
        return ProxyRefused(f"{name}: the proxy wants other credentials ({error})")
    return ExchangeUnavailable(f"{name}: {error}")
