"""Construction of ccxt exchanges: addresses, keys, and the rate limiter of their requests."""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from chandlery.ccxt_bridge.addresses import filled, leaves, of_exchange, replace_addresses
from chandlery.clients.names import canonical
from chandlery.clients.settings import CCXTConfig, ContractType, Credentials
from chandlery.core.errors import InvalidInput, MissingDependency, UnknownName, UnsupportedRequest
from chandlery.net.limiter import RateLimiter
from chandlery.net.portal import shared_portal
from chandlery.net.proxy import Proxies, Proxy

INSTALL = "ccxt is not installed; run: pip install 'chandlery[ccxt]'"

# ccxt logs requests, including their keys, and responses at level DEBUG.
_quiet = logging.getLogger("chandlery.ccxt")
_quiet.setLevel(logging.INFO)
_quiet.addHandler(logging.NullHandler())

# Exchanges whose perpetuals are a separate class in ccxt, or have another name.
_FUTURES_CLASS: Mapping[str, str] = {"kraken": "krakenfutures", "kucoin": "kucoinfutures"}
_FUTURES_WORD: Mapping[str, str] = {"binance": "future"}
# Names in ccxt's ``has``, and parts of the names of their addresses.
_HAS: Mapping[str, str] = {"future": "swap", "delivery": "future"}
_HOSTS_OF: Mapping[str, tuple[str, ...]] = {
    "future": ("fapi", "swap", "future", "contract"),
    "swap": ("fapi", "swap", "future", "contract"),
    "delivery": ("dapi", "delivery", "future"),
}


@cache
def _ccxt_names() -> frozenset[str] | None:
    """Return ccxt's exchange ids, read from its folder, since importing it takes seconds; ``None`` if it is not installed."""
    found = find_spec("ccxt")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(found.submodule_search_locations[0]) / "async_support"
    return frozenset(each.stem for each in folder.glob("*.py") if not each.stem.startswith("_"))


def require_exchange(exchange: str, *, installed: bool = False) -> None:
    """
    Check that ccxt may have an exchange, without importing ccxt.

    Raises:
        UnknownName: It has none of that id.
        MissingDependency: ccxt must be ``installed``, and is not.
    """
    names = _ccxt_names()
    if names is None and installed:
        raise missing_ccxt()
    if names is not None and canonical(exchange) not in names:
        raise _unknown(exchange, sorted(names))


def exchange_class(ccxt: Any, exchange: str, contract_type: ContractType | None = None) -> type[Any]:
    """
    Return the class of an exchange in one of ccxt's modules.

    Raises:
        UnknownName: ccxt has no such exchange.
    """
    if canonical(exchange) not in ccxt.exchanges:
        raise _unknown(exchange, ccxt.exchanges)
    found: type[Any] = getattr(ccxt, _class_name(exchange, contract_type, ccxt.exchanges))
    return found


def endpoints_of(config: CCXTConfig, exchange: str) -> dict[str, str]:
    """Return the replaced addresses of the class that connects to an exchange by default, without importing ccxt."""
    return of_exchange(config.endpoints, _class_name(exchange, config.default_contract_type, _ccxt_names() or ()))


def _class_name(exchange: str, contract_type: ContractType | None, known: Collection[str]) -> str:
    """Return the name of ccxt's class; perpetuals of some exchanges have one of their own."""
    name = canonical(exchange)
    futures = _FUTURES_CLASS.get(name, name)
    return futures if contract_type in {"future", "swap"} and futures in known else name


def default_kind(ccxt: Any, exchange: str, default: ContractType | None) -> ContractType | None:
    """
    Return the default contract type if the exchange trades it; otherwise ``None``, its own default.

    Raises:
        UnknownName: ccxt has no such exchange.
    """
    of_class: Any = exchange_class(ccxt, exchange, default)
    return default if default is not None and _trades(_has(of_class), default) else None


def _unknown(exchange: str, names: Sequence[str]) -> UnknownName:
    near = difflib.get_close_matches(canonical(exchange), names, 3)
    hint = f"did you mean {' or '.join(near)}" if near else f"use one of {', '.join(names)}"
    return UnknownName(f"ccxt has no exchange {exchange!r}; {hint}")


def made(
    of_class: Any,
    config: CCXTConfig,
    limiter: RateLimiter,
    *,
    proxies: Proxies | None = None,
    credentials: Credentials | None = None,
    testnet: bool = False,
    contract_type: ContractType | None = None,
) -> Any:
    """
    Construct an exchange of ccxt, without sending anything.

    Each request waits while its host has asked for a pause, whichever user of ``limiter`` received it, and the limits
    in responses are shared through ``limiter``. Requests use ``proxies``, by default those of the environment, unless
    the options of ``config`` set their own.

    Raises:
        UnsupportedRequest: The exchange has no testnet, or does not trade that kind of contract.
    """
    name = of_class.__name__
    _require_known(config, name)
    given = of_exchange(config.options, name)
    options = {"enableRateLimit": config.enable_rate_limit, "timeout": round(config.timeout_s * 1000), **given}
    options["options"] = {**_default_type(name, contract_type), **given.get("options", {})}
    if credentials is not None:
        options |= {
            "apiKey": credentials.api_key.get_secret_value(),
            "secret": credentials.api_secret.get_secret_value(),
        }
        if credentials.password is not None:
            options["password"] = credentials.password.get_secret_value()
    exchange = _limited(of_class)(options)
    exchange.logger = _quiet
    exchange.chandlery_limiter = limiter
    exchange.chandlery_proxies = proxies or Proxies()
    _require_contracts(exchange, contract_type)
    replace_addresses(exchange, of_exchange(config.endpoints, name))
    if testnet:
        _to_testnet(exchange, contract_type)
    exchange.chandlery_host = host_of(exchange, contract_type)
    return exchange


def _require_known(config: CCXTConfig, name: str) -> None:
    """Refuse settings for exchanges that ccxt does not have, and addresses that this class would not use."""
    for each in (*config.endpoints, *config.options):
        require_exchange(each)
    spot = next((spot for spot, futures in _FUTURES_CLASS.items() if futures == name), None)
    if spot and of_exchange(config.endpoints, spot) and not of_exchange(config.endpoints, name):
        raise InvalidInput(f"endpoints has addresses of {spot}, whose futures are {name} in ccxt; add those of {name}")


def missing_ccxt() -> MissingDependency:
    """Return the error for a missing ccxt."""
    return MissingDependency(INSTALL)


def host_of(exchange: Any, contract_type: ContractType | None = None) -> str:
    """Return the host that represents an exchange: its first REST address for that kind of contract, or its first."""
    wanted = _HOSTS_OF.get(contract_type or "spot", ())
    api = exchange.urls["api"]
    addresses = [(name, filled(exchange, name, url)) for name, url in leaves(api) if url.startswith("http")]
    fitting = [url for name, url in addresses if any(word in name.lower() for word in wanted)]
    url = (fitting or [url for _, url in addresses] or [str(exchange.id)])[0]
    return urlsplit(url).netloc or url


def _default_type(name: str, contract_type: ContractType | None) -> dict[str, str]:
    if contract_type is None:
        return {}
    return {"defaultType": _FUTURES_WORD.get(name, "swap") if contract_type == "future" else contract_type}


def _require_contracts(exchange: Any, contract_type: ContractType | None) -> None:
    if contract_type not in {None, *get_args(ContractType)}:
        raise InvalidInput(f"contract_type is {contract_type!r}; use one of {', '.join(get_args(ContractType))}")
    if contract_type is not None and not _trades(exchange.has, contract_type):
        raise UnsupportedRequest(
            f"{exchange.id} has no {contract_type} in ccxt; choose another contract_type or exchange"
        )


def _trades(has: Mapping[str, Any], contract_type: ContractType) -> bool:
    traded = has.get(_HAS.get(contract_type, contract_type))
    return contract_type == "spot" if traded is None else bool(traded)


@cache
def _has(of_class: Any) -> Mapping[str, Any]:
    """Return what a class of ccxt supports; only its objects tell."""
    found: Mapping[str, Any] = of_class({}).has
    return found


def _to_testnet(exchange: Any, contract_type: ContractType | None) -> None:
    """Switch to the exchange's testnet, which Binance calls demo trading for futures."""
    if exchange.id == "binance" and contract_type in {"future", "swap", "delivery"} and exchange.urls.get("demo"):
        exchange.enable_demo_trading(True)
    elif exchange.urls.get("test"):
        exchange.set_sandbox_mode(True)
    else:
        raise UnsupportedRequest(f"{exchange.id} has no testnet in ccxt; leave testnet out, or choose another exchange")


class _Observed:
    """Mix-in for ccxt exchanges that reports responses to the limiter, and uses our proxies."""

    chandlery_limiter: RateLimiter
    chandlery_proxies: Proxies
    chandlery_host: str

    def check_proxy_settings(self, url: str, *rest: Any) -> list[str | None]:
        """Return the proxy of a request for http, https and SOCKS; called by ccxt."""
        own: list[str | None] = super().check_proxy_settings(url, *rest)  # type: ignore[misc]  # of the class beside it
        return own if any(own) else _for_ccxt(self.chandlery_proxies.of(url), encrypted=url.startswith("https"))

    def check_ws_proxy_settings(self) -> list[str | None]:
        """Return the proxy of all WebSockets; ccxt does not pass the URL, so that of the first address is used."""
        own: list[str | None] = super().check_ws_proxy_settings()  # type: ignore[misc]  # of the class beside it
        api = leaves(self.urls["api"])  # type: ignore[attr-defined]  # the same
        sockets = [filled(self, name, url) for name, url in api if url.startswith("ws")]
        if any(own) or not sockets:
            return own
        return _for_ccxt(self.chandlery_proxies.of(sockets[0]), encrypted=sockets[0].startswith("wss"))

    def on_rest_response(self, code: int, reason: str, url: str, method: str, response_headers: Any, *rest: Any) -> Any:
        """Report a response before ccxt parses it; called by ccxt."""
        headers = {name.lower(): value for name, value in response_headers.items()}
        self.chandlery_limiter.observe(urlsplit(url).netloc, (), headers, code)
        return super().on_rest_response(code, reason, url, method, response_headers, *rest)  # type: ignore[misc]  # of the class beside it


def _for_ccxt(proxy: Proxy | None, *, encrypted: bool) -> list[str | None]:
    """Return a proxy in ccxt's order: http, https, SOCKS."""
    if proxy is None:
        return [None, None, None]
    if proxy.is_socks:
        return [None, None, proxy.url.replace("socks5:", "socks5h:", 1)]
    return [None, proxy.url, None] if encrypted else [proxy.url, None, None]


class _Sync(_Observed):
    def fetch(self, url: str, *args: Any, **kwargs: Any) -> Any:
        """Send a request once the limiter allows its host."""
        host = urlsplit(url).netloc
        if self.chandlery_limiter.is_paused(host):
            shared_portal().run(self.chandlery_limiter.acquire(host, ()))
        return super().fetch(url, *args, **kwargs)  # type: ignore[misc]  # of the class beside it


class _Async(_Observed):
    async def fetch(self, url: str, *args: Any, **kwargs: Any) -> Any:
        """Send a request once the limiter allows its host."""
        await self.chandlery_limiter.acquire(urlsplit(url).netloc, ())
        return await super().fetch(url, *args, **kwargs)  # type: ignore[misc]  # of the class beside it


@cache
def _limited(of_class: Any) -> Any:
    kind = _Async if inspect.iscoroutinefunction(of_class.fetch) else _Sync
    return type(of_class.__name__, (kind, of_class), {})
