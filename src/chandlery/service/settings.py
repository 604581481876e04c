"""The service's own settings: arguments, or the environment under ``CHANDLERY_``."""

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
from chandlery.core.time import DAY, SECOND, Micros
from chandlery.service.addresses import Network, networks
from chandlery.service.auth.issuers import Issuer

_DEFAULT_PORT = 8700


def _length(value: Any) -> Any:
    """Micros of ``5m``, or of a number of seconds."""
    if isinstance(value, str) and not value.isdigit():
        try:
            length = Interval(value).micros
        except UnknownInterval as error:
            raise ValueError(str(error)) from None
        if length is None:
            raise ValueError("a month is no fixed length; write e.g. 5m")
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
    """The parts of a text that has commas between them."""
    return tuple(filter(None, map(str.strip, given.split(",")))) if isinstance(given, str) else given


class ServiceSettings(FromEnvironment):
    """
    How the service runs; each field is ``CHANDLERY_<NAME>`` in the environment.

    ``public_url`` is what callers know it by, which its tokens are for; without it, the address that
    it listens on. ``retain_books_days`` and ``retain_candles_days`` are how long what was collected is kept,
    for ever where nothing is said.
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
    """As JSON in the environment, each with the fields of ``Issuer``."""
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = ()
    """Whose ``X-Forwarded-For`` is believed: addresses and networks with commas between."""
    snapshot_interval: Annotated[Micros, BeforeValidator(_length)] = 300 * SECOND
    """How often whole order books are stored, in microseconds; given as ``5m``, or in seconds."""
    book_levels: int = Field(25, ge=1, le=1000)
    """How many levels a side each live update of a book tells."""
    proxy: SecretStr | None = None
    """The proxy of all connections to exchanges; without it ``HTTPS_PROXY`` and so on decide."""
    retain_books_days: int | None = Field(None, ge=1)
    retain_candles_days: int | None = Field(None, ge=1)
    log_format: Literal["console", "json"] = "console"
    coalesce_ms: float = Field(10.0, ge=0, le=1000)
    """For how long what is for one client is gathered before it is sent."""
    slow_client_s: float = Field(5.0, gt=0)
    """How long a client may be too slow for closed candles before it is closed."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()
    """By which names, besides that of ``public_url``, IP addresses and ``localhost``, the service may be called; with commas between."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Whose pages may call, besides the service's own: origins as ``https://example.com``, with commas between."""
    max_connections: int | None = Field(None, ge=4)
    """How many connections there may be; without it, what the descriptors of the process allow."""
    unread_s: float = Field(60.0, gt=0)
    """For how long a client may leave an answer untaken before its connection is cut."""

    heavy_requests: int = Field(8, ge=1, le=1000)
    """How many heavy requests of one account are done at once: pages of history, downloads, summaries; further ones wait, or are refused with 429."""

    def check(self) -> None:
        """
        Refuse what would be dangerous.

        Raises:
            InvalidInput: Without tokens it may only listen where nobody else can reach it; and where it listens
                on every address, it must be said what callers know it by.
        """
        if self.no_auth and not _is_loopback(self.host):
            raise InvalidInput(f"--no-auth lets everybody in, so it needs --host 127.0.0.1, not {self.host}")
        if self.host in {"0.0.0.0", "::"} and self.public_url is None:  # noqa: S104  # what is asked for, not what is done
            raise InvalidInput(
                f"--host {self.host} is every address of this machine; say by which one callers know it, since tokens are for that: --public-url https://..."
            )

    @property
    def retention(self) -> dict[str, Micros]:
        """How old each kind of what was collected may become."""
        kept = {"books": self.retain_books_days, "candles": self.retain_candles_days}
        return {name: days * DAY for name, days in kept.items() if days is not None}


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
