"""Settings of the service: arguments, or environment variables that begin with ``CHANDLERY_``."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import platformdirs
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from chandlery.clients.settings import FromEnvironment, as_folder
from chandlery.core.errors import InvalidInput, UnknownInterval
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, SECOND, Micros
from chandlery.service.addresses import Network, networks
from chandlery.service.auth.issuers import Issuer

_DEFAULT_PORT = 8700


def _length(value: Any) -> Any:
    """Parse a duration such as ``5m``, or a number of seconds, to microseconds."""
    if isinstance(value, str) and not value.isdigit():
        try:
            length = Interval(value).micros
        except UnknownInterval as error:
            raise ValueError(str(error)) from None
        if length is None:
            raise ValueError("a month has no fixed length; write e.g. 5m")
        return length
    return int(value) * SECOND


def _issuers(given: tuple[Any, ...]) -> tuple[Issuer, ...]:
    try:
        return msgspec.convert(given, tuple[Issuer, ...])
    except (msgspec.ValidationError, InvalidInput) as error:
        raise ValueError(str(error)) from None


def _networks(given: Any) -> Any:
    return networks(given) if isinstance(given, str) else given


def _listed(given: Any) -> Any:
    """Split a comma-separated text."""
    return tuple(filter(None, map(str.strip, given.split(",")))) if isinstance(given, str) else given


class ServiceSettings(FromEnvironment):
    """
    Settings of the service; each field is ``CHANDLERY_<NAME>`` in the environment.

    ``public_url`` is the URL that callers use and the audience of the service's tokens; it defaults to the listen
    address. ``retain_books_days`` and ``retain_candles_days`` limit the age of collected data; without them it is
    stored forever.
    """

    model_config = SettingsConfigDict({**FromEnvironment.model_config, "env_prefix": "CHANDLERY_"})

    host: str = "127.0.0.1"
    port: int = Field(_DEFAULT_PORT, ge=0, le=65535)
    data_dir: Annotated[Path, BeforeValidator(as_folder)] = Field(
        default_factory=lambda: platformdirs.user_data_path("chandlery")
    )
    public_url: str | None = None
    no_auth: bool = False
    offline: bool = False
    issuers: Annotated[tuple[Any, ...], AfterValidator(_issuers)] = ()
    """Trusted token issuers; in the environment a JSON list with the fields of ``Issuer``."""
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = ()
    """Proxies whose ``X-Forwarded-For`` is trusted: comma-separated addresses and networks."""
    snapshot_interval: Annotated[Micros, BeforeValidator(_length)] = 300 * SECOND
    """Interval between stored order book snapshots, in microseconds; given as ``5m``, or in seconds."""
    book_levels: int = Field(25, ge=1, le=1000)
    """Number of levels per side in each live update of a book."""
    proxy: SecretStr | None = None
    """Proxy of all connections to exchanges; defaults to ``HTTPS_PROXY`` and related variables."""
    instruments_every: Annotated[Micros, BeforeValidator(_length)] = 6 * HOUR
    """Interval at which the lists of instruments are read and stored, given as ``6h``, or in seconds; 0 for never."""
    instruments_of: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Comma-separated exchanges whose lists are read; all by default."""
    retain_books_days: int | None = Field(None, ge=1)
    retain_candles_days: int | None = Field(None, ge=1)
    log_format: Literal["console", "json"] = "console"
    coalesce_ms: float = Field(10.0, ge=0, le=1000)
    """Time in milliseconds that messages of a client are batched before they are sent."""
    slow_client_s: float = Field(5.0, gt=0)
    """Time in seconds that a client may fall behind on closed candles before it is disconnected."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Comma-separated host names accepted besides that of ``public_url``, IP addresses and ``localhost``."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Comma-separated origins, such as ``https://example.com``, whose pages may call besides the service's own."""
    max_connections: int | None = Field(None, ge=4)
    """Maximum number of connections; defaults to what the file descriptor limit of the process allows."""
    unread_s: float = Field(60.0, gt=0)
    """Time in seconds that a client may leave a response unread before its connection is closed."""

    heavy_requests: int = Field(8, ge=1, le=1000)
    """Heavy requests of one account that run at once: pages of history, downloads, summaries; more wait or get 429."""

    def check(self) -> None:
        """
        Reject dangerous settings.

        Raises:
            InvalidInput: The service listens beyond this machine without authentication, or listens on every address
                without ``public_url``.
        """
        if self.no_auth and not _is_loopback(self.host):
            raise InvalidInput(f"--no-auth disables authentication, so it needs --host 127.0.0.1, not {self.host}")
        if self.host in {"0.0.0.0", "::"} and self.public_url is None:  # noqa: S104  # what is asked for, not what is done
            raise InvalidInput(
                f"--host {self.host} listens on every address of this machine; set the URL that callers use, which is the audience of tokens: --public-url https://..."
            )

    @property
    def retention(self) -> dict[str, Micros]:
        """Maximum age of each kind of collected data."""
        kept = {"books": self.retain_books_days, "candles": self.retain_candles_days}
        return {name: days * DAY for name, days in kept.items() if days is not None}


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
