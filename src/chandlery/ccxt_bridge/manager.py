"""Synchronous, thread-safe managers of ccxt exchanges: shared, reference-counted, with or without keys."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from chandlery.ccxt_bridge.connection_factory import NamedConnects
from chandlery.ccxt_bridge.errors import is_ccxt_error, translated
from chandlery.ccxt_bridge.exchange import default_kind, exchange_class, made, missing_ccxt
from chandlery.ccxt_bridge.throttle import Throttle
from chandlery.ccxt_bridge.wrapper import ConnectionKey, Connections, ExchangeWrapper
from chandlery.clients.names import PRIORITY, canonical
from chandlery.clients.settings import ContractType, Credentials, Settings
from chandlery.core.errors import (
    ChandleryError,
    CloseFailed,
    ExchangeError,
    ExchangeUnavailable,
    InvalidInput,
    InvalidSymbol,
    MissingCredentials,
    UnsupportedRequest,
)
from chandlery.net.limiter import RateLimiter

HOUR_S = 3600.0
_SALT = secrets.token_bytes(16)
"""Salt of the hashes that distinguish accounts, which are meaningless outside this process."""


class CountedExchanges(Throttle):
    """
    Base of both managers: shared, reference-counted connections, and throttled calls.

    ``settings`` default to the environment's, ``limiter`` to the one that all processes of this user share.
    ``request_pause`` is that of the throttle. ``clock`` measures the age of connections in seconds.
    """

    def __init__(
        self,
        testnet: bool | None = None,  # noqa: FBT001  # the documented signature
        *,
        settings: Settings | None = None,
        limiter: RateLimiter | None = None,
        request_pause: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limiter = limiter or RateLimiter()
        super().__init__(self._limiter, request_pause)
        self._settings = settings or Settings()
        self._testnet = self._settings.ccxt.testnet if testnet is None else testnet
        self._connections = Connections(clock=clock)

    def release_exchange(
        self, exchange: Any, *, testnet: bool | None = None, contract_type: ContractType | None = None
    ) -> None:
        """
        Release one use of a connection. ``exchange`` is the connected object, or its id.

        Raises:
            InvalidInput: It is not in use here, or its id matches several connections.
        """
        if isinstance(exchange, str):
            self._connections.release_by_name(canonical(exchange), testnet=testnet, contract_type=contract_type)
        else:
            self._connections.release(exchange)

    def holds(self, exchange: Any) -> bool:
        """Return whether an exchange, given as object or id, is connected here and in use."""
        return self._connections.holds(canonical(exchange) if isinstance(exchange, str) else exchange)

    def refcounts(self) -> dict[ConnectionKey, int]:
        """Return the open connections, with the number of users of each."""
        return self._connections.refcounts()

    def cleanup_unused_exchanges(self, max_age_hours: float = 1.0) -> list[str]:
        """
        Close connections unused for ``max_age_hours``; return their ids, sorted.

        Raises:
            InvalidInput: The age is invalid.
            CloseFailed: Some did not close; all others did.
        """
        if not isinstance(max_age_hours, int | float) or not 0 <= max_age_hours < math.inf:
            raise InvalidInput(f"max_age_hours is {max_age_hours}; use 0 or more hours, 0 for all unused connections")
        return _close(self._connections.retire(max_age_s=max_age_hours * HOUR_S))

    def close_exchange(
        self, exchange_id: str, *, testnet: bool | None = None, contract_type: ContractType | None = None
    ) -> int:
        """
        Close all connections to an exchange at once, even those in use; return their number.

        ``testnet`` and ``contract_type`` choose among them.
        """
        name = canonical(exchange_id)
        return len(_close(self._connections.retire(exchange=name, testnet=testnet, contract_type=contract_type)))

    def close(self) -> None:
        """Close all connections."""
        _close(self._connections.retire())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _acquire(
        self,
        exchange_id: str,
        *,
        testnet: bool | None,
        contract_type: ContractType | None,
        credentials: Credentials | None = None,
    ) -> ExchangeWrapper:
        try:
            import ccxt  # noqa: PLC0415  # only who uses it pays for it
        except ImportError:
            raise missing_ccxt() from None
        config = self._settings.ccxt
        kind = contract_type or default_kind(ccxt, exchange_id, config.default_contract_type)
        on_testnet = self._testnet if testnet is None else testnet
        of_class = exchange_class(ccxt, exchange_id, kind)
        key = ConnectionKey(canonical(exchange_id), _hashed(credentials), on_testnet, kind)

        def make() -> Any:
            return made(
                of_class,
                config,
                self._limiter,
                proxies=self._settings.proxies,
                credentials=credentials,
                testnet=on_testnet,
                contract_type=kind,
            )

        return self._connections.acquire(key, make)


class AuthenticatedExchangeManager(NamedConnects, CountedExchanges):
    """
    Connections with keys.

    ``api_key`` and ``api_secret`` belong to the default exchange only, Binance unless the settings name another.
    Further keys come from ``set_exchange_credentials`` and from the settings. Several accounts of an exchange are used
    in turn. ``testnet`` is the default of all connections.
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_secret: str | None = None,
        testnet: bool | None = None,  # noqa: FBT001  # the documented signature
        **options: Any,
    ) -> None:
        super().__init__(testnet, **options)
        self._accounts: dict[str, list[Credentials]] = {}
        self._turns: defaultdict[str, int] = defaultdict(int)
        if api_key or api_secret:
            default = canonical(self._settings.ccxt.default_exchange)
            self._accounts[default] = [Credentials.of(api_key or "", api_secret or "")]

    def set_exchange_credentials(
        self, exchange_id: str, api_key: str, api_secret: str, password: str | None = None
    ) -> None:
        """Set the keys of an exchange, replacing all others."""
        self._accounts[canonical(exchange_id)] = [Credentials.of(api_key, api_secret, password)]

    def add_exchange_credentials(
        self, exchange_id: str, api_key: str, api_secret: str, password: str | None = None
    ) -> None:
        """Add an account at an exchange; connections use accounts in turn."""
        account = Credentials.of(api_key, api_secret, password)
        self._accounts[canonical(exchange_id)] = [*self._known(exchange_id), account]

    def connect_to_exchange_with_credentials(
        self,
        exchange_id: str,
        api_key: str | None = None,
        api_secret: str | None = None,
        *,
        password: str | None = None,
        testnet: bool | None = None,
        contract_type: ContractType | None = None,
    ) -> Any:
        """
        Connect to an exchange with the given or the stored keys, without sending anything yet.

        Equal connections are shared until each user has released them.

        Raises:
            UnknownName: ccxt has no such exchange.
            MissingCredentials: There are no keys for it.
            UnsupportedRequest: It has no such contracts, or no testnet.
            MissingDependency: ccxt is not installed.
        """
        credentials = (
            Credentials.of(api_key or "", api_secret or "", password)
            if api_key or api_secret
            else self._next_account(exchange_id)
        )
        wrapper = self._acquire(exchange_id, testnet=testnet, contract_type=contract_type, credentials=credentials)
        if credentials.password is None and wrapper.exchange.requiredCredentials.get("password"):
            wrapper.decrement_refcount()
            name = canonical(exchange_id)
            raise MissingCredentials(
                f"{name} requires a password in addition to the keys; set {name.upper()}_PASSWORD, or give password="
            )
        return wrapper.exchange

    @contextmanager
    def exchange_context(self, exchange_id: str, *args: Any, **options: Any) -> Iterator[Any]:
        """Connect to an exchange for the block, and release it afterwards."""
        exchange = self.connect_to_exchange_with_credentials(exchange_id, *args, **options)
        try:
            yield exchange
        finally:
            self.release_exchange(exchange)

    def _known(self, exchange_id: str) -> list[Credentials]:
        return self._accounts.get(canonical(exchange_id)) or self._settings.credentials(exchange_id)

    def _next_account(self, exchange_id: str) -> Credentials:
        name = canonical(exchange_id)
        accounts = self._known(name)
        if not accounts:
            raise MissingCredentials(
                f"no keys for {name}: set {name.upper()}_API_KEY and {name.upper()}_API_SECRET, or call set_exchange_credentials({name!r}, ...)"
            )
        turn = self._turns[name]
        self._turns[name] = turn + 1
        return accounts[turn % len(accounts)]


class PublicExchangeManager(CountedExchanges):
    """Connections without keys, to every exchange of ccxt."""

    def __init__(self, testnet: bool | None = None, **options: Any) -> None:  # noqa: FBT001  # as documented
        super().__init__(testnet, **options)
        self._priority = list(PRIORITY)
        self._plain: dict[str, ExchangeWrapper] = {}
        """Exchanges connected by id alone, by the spelling used."""

    @property
    def exchange_priority_for_fallback(self) -> list[str]:
        """Order in which ``connect_with_fallback`` tries exchanges."""
        return list(self._priority)

    @exchange_priority_for_fallback.setter
    def exchange_priority_for_fallback(self, exchanges: Sequence[str]) -> None:
        if isinstance(exchanges, str) or not exchanges or not all(isinstance(each, str) for each in exchanges):
            raise InvalidInput(f"exchange_priority_for_fallback must be a list of exchanges, not {exchanges!r}")
        self._priority = list(exchanges)

    def connect_to_exchange_with_no_credentials(
        self, exchange_id: str, *, testnet: bool | None = None, contract_type: ContractType | None = None
    ) -> Any:
        """
        Connect to an exchange, without sending anything yet. Equal connections are shared until each user has released
        them.

        Raises:
            UnknownName: ccxt has no such exchange.
            UnsupportedRequest: It has no such contracts, or no testnet.
            MissingDependency: ccxt is not installed.
        """
        if testnet is None and contract_type is None:
            wrapper = self._plain.get(exchange_id)
            if wrapper is None or not wrapper.increment_refcount():
                wrapper = self._plain[exchange_id] = self._acquire(exchange_id, testnet=None, contract_type=None)
        else:
            wrapper = self._acquire(exchange_id, testnet=testnet, contract_type=contract_type)
        return wrapper.exchange

    def release_exchange(
        self, exchange: Any, *, testnet: bool | None = None, contract_type: ContractType | None = None
    ) -> None:
        """
        Release one use of a connection. An id alone means the connection made by the id alone.

        Raises:
            InvalidInput: It is not in use here.
        """
        if testnet is None and contract_type is None:
            wrapper = self._plain.get(exchange)
            if wrapper is not None and wrapper.decrement_refcount():
                return
        super().release_exchange(exchange, testnet=testnet, contract_type=contract_type)

    @contextmanager
    def exchange_context(self, exchange_id: str, **options: Any) -> Iterator[Any]:
        """Connect to an exchange for the block, and release it afterwards."""
        exchange = self.connect_to_exchange_with_no_credentials(exchange_id, **options)
        try:
            yield exchange
        finally:
            self.release_exchange(exchange)

    def connect_with_fallback(self, symbol: str, *, contract_type: ContractType | None = None) -> Any:
        """
        Return the first exchange, by priority, that answers and lists the symbol.

        Raises:
            InvalidSymbol: No exchange that answered lists it.
            ExchangeUnavailable: No exchange that lists it answered; the message gives the reason of each.
        """
        failures: dict[str, ChandleryError] = {}
        for name in self._priority:
            try:
                exchange = self.connect_to_exchange_with_no_credentials(name, contract_type=contract_type)
            except UnsupportedRequest as error:
                failures[name] = error
                continue
            failure = _why_not(exchange, symbol)
            if failure is None:
                return exchange
            self.release_exchange(exchange)
            if not isinstance(failure, ExchangeError | InvalidSymbol):
                raise failure
            failures[name] = failure
        said = "; ".join(f"{name}: {error}" for name, error in failures.items())
        nobody = all(isinstance(error, InvalidSymbol) for error in failures.values())
        kind = InvalidSymbol if nobody else ExchangeUnavailable
        raise kind(f"no exchange for {symbol}: {said}") from list(failures.values())[-1]


def _hashed(credentials: Credentials | None) -> str:
    if credentials is None:
        return ""
    password = credentials.password.get_secret_value() if credentials.password else ""
    parts = (credentials.api_key.get_secret_value(), credentials.api_secret.get_secret_value(), password)
    return hashlib.blake2b(repr(parts).encode(), key=_SALT, digest_size=16).hexdigest()


def _close(exchanges: Sequence[Any]) -> list[str]:
    """Close all exchanges, whatever fails; return their ids."""
    failures: dict[str, BaseException] = {}
    for exchange in exchanges:
        try:
            exchange.close()
        except Exception as error:  # noqa: BLE001  # whatever ccxt raises, the others are to be closed
            failures[exchange.id] = error
    if failures:
        said = "; ".join(f"{name}: {error!r}" for name, error in failures.items())
        raise CloseFailed(f"of {len(exchanges)} connections {len(failures)} did not close: {said}", failures=failures)
    return sorted(exchange.id for exchange in exchanges)


def _why_not(exchange: Any, symbol: str) -> ChandleryError | None:
    """Return the error that a symbol causes at an exchange; ``None`` if it is available."""
    try:
        markets = exchange.load_markets()
    except Exception as error:
        if not is_ccxt_error(error):
            raise
        return translated(error, exchange)
    text = symbol.replace("-", "/", 1)
    if text in markets or text.upper() in markets:
        return None
    return InvalidSymbol(f"does not list {symbol}")
