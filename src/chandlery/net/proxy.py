"""Choose the proxy of a connection: the given one, or those of the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

from chandlery.core.endpoints import Endpoints
from chandlery.core.errors import InvalidInput, MissingDependency

DIRECT = "none"
"""Value of ``proxy`` in the endpoints of an exchange that is always reached directly."""
_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_VARIABLES = {"http": "http_proxy", "ws": "http_proxy", "https": "https_proxy", "wss": "https_proxy"}
_URLS = {"rest", "ws", "archive", "auth"}


class Proxy(Struct, frozen=True):
    """A proxy. Its string form omits the credentials."""

    scheme: str
    host: str
    port: int
    username: str = ""
    password: str = ""

    @classmethod
    def parse(cls, text: str, name: str = "proxy") -> Proxy:
        """
        Parse an address; without a scheme it is ``http``.

        Raises:
            InvalidInput: It is not the address of a proxy; the message has ``name`` and no credentials.
            MissingDependency: SOCKS needs an extra that is not installed.
        """
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            host, port = parts.hostname, parts.port
        except (ValueError, TypeError, AttributeError):
            host = None
        if not host or parts.scheme not in _PORTS or parts.path.strip("/") or parts.query or not host.isprintable():
            raise InvalidInput(
                f"{name} is not the address of a proxy: write http://host:port, https://host:port or socks5://host:port, with user:password@ before the host if it requires them"
            )
        if parts.scheme.startswith("socks") and find_spec("aiohttp_socks") is None:
            raise MissingDependency(f"{name}: SOCKS needs an extra; run: pip install 'chandlery[socks]'")
        return cls(
            parts.scheme,
            host,
            port or _PORTS[parts.scheme],
            unquote(parts.username or ""),
            unquote(parts.password or ""),
        )

    @property
    def is_socks(self) -> bool:
        """True if it speaks SOCKS; it then resolves host names."""
        return self.scheme.startswith("socks")

    @property
    def url(self) -> str:
        """The address with the credentials, for connecting; must not be shown."""
        account = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@" if self.username else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme.removesuffix('h')}://{account}{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    __repr__ = __str__


class Proxies:
    """
    The proxy of each address.

    ``proxy`` is for all of them; an empty one stands for none. If it is ``None``, ``HTTP_PROXY``,
    ``HTTPS_PROXY`` (for ``wss`` too) and ``ALL_PROXY`` of the environment apply. ``NO_PROXY`` applies in
    both cases, as in curl. Exchanges whose ``endpoints`` have ``"proxy": "none"`` are reached directly.

    Raises:
        InvalidInput: One of them is not the address of a proxy.
        MissingDependency: SOCKS needs an extra that is not installed.
    """

    def __init__(
        self,
        proxy: str | None = None,
        *,
        endpoints: Endpoints | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        if proxy is not None and not isinstance(proxy, str):
            raise InvalidInput(f"proxy must be a URL as a string, not {type(proxy).__name__}")
        self._by_scheme: dict[str, Proxy]
        if proxy is None:
            self._by_scheme = _of_environment(environ)
        else:
            given = Proxy.parse(proxy) if proxy else None
            self._by_scheme = dict.fromkeys(_VARIABLES, given) if given else {}
        self._excluded = (_variable(environ, "no_proxy") or "").replace(",", " ").split()
        _require_direct(endpoints or {})
        self._direct = {
            urlsplit(str(url)).netloc
            for urls in (endpoints or {}).values()
            if urls.get("proxy") == DIRECT
            for name, url in urls.items()
            if name in _URLS
        }

    def of(self, url: str) -> Proxy | None:
        """Return the proxy for ``url``, or ``None``."""
        if not self._by_scheme:
            return None
        parts = urlsplit(url)
        proxy = self._by_scheme.get(parts.scheme.lower())
        if proxy is None or parts.netloc in self._direct or self._excludes(parts.hostname or "", parts.port):
            return None
        return proxy

    def _excludes(self, host: str, port: int | None) -> bool:
        return any(_matches(each.lower(), host.rstrip("."), port) for each in self._excluded)


def _require_direct(endpoints: Endpoints) -> None:
    for name, urls in endpoints.items():
        if urls.get("proxy", DIRECT) != DIRECT:
            raise InvalidInput(f"proxy in the endpoints of {name} can only be {DIRECT!r}; name a proxy by proxy=")


def _matches(excluded: str, host: str, port: int | None) -> bool:
    """Return whether an entry of NO_PROXY matches a host: all, an address or a network, or a name and its subdomains."""
    if excluded == "*":
        return True
    try:
        network: IPv4Network | IPv6Network = ip_network(excluded.strip("[]"), strict=False)
    except ValueError:
        name, _, wanted = excluded.partition(":")
        name = name.strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}")) and wanted in {"", str(port)}
    try:
        return ip_address(host) in network
    except ValueError:
        return False


def _of_environment(environ: Mapping[str, str]) -> dict[str, Proxy]:
    found = {}
    for scheme, variable in _VARIABLES.items():
        for name in (variable, "all_proxy"):
            if text := _variable(environ, name):
                found[scheme] = Proxy.parse(text, f"{name.upper()} of the environment")
                break
    return found


def _variable(environ: Mapping[str, str], name: str) -> str | None:
    """Return the value of the variable with the lower-case name or, if unset, the upper-case one."""
    if name in environ:
        return environ[name].strip()
    if name == "http_proxy" and "REQUEST_METHOD" in environ:
        return None  # a CGI server sets HTTP_PROXY from the client's Proxy header
    return environ.get(name.upper(), "").strip()
