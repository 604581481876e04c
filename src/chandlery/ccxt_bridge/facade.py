"""Facade of both managers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

from chandlery.ccxt_bridge.connection_factory import NamedConnects
from chandlery.ccxt_bridge.manager import AuthenticatedExchangeManager, PublicExchangeManager
from chandlery.clients.settings import ContractType, Settings
from chandlery.net.limiter import RateLimiter

_T = TypeVar("_T")


class ExchangeManager(NamedConnects):
    """
    Both managers in one: ``authenticated`` with keys, ``public`` without; a context manager that closes both.

    The arguments are those of ``AuthenticatedExchangeManager``. All methods of both are available; ``exchange_context``
    and ``throttled_call`` are those of ``authenticated``.
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_secret: str | None = None,
        testnet: bool | None = None,  # noqa: FBT001  # the documented signature
        **options: Any,
    ) -> None:
        options.setdefault("settings", Settings())
        options.setdefault("limiter", RateLimiter())
        self.authenticated = AuthenticatedExchangeManager(api_key, api_secret, testnet, **options)
        self.public = PublicExchangeManager(testnet, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def request_pause(self) -> float | None:
        """Seconds between the starts of calls to an exchange."""
        return self.authenticated.request_pause

    @request_pause.setter
    def request_pause(self, seconds: float | None) -> None:
        self.authenticated.request_pause = self.public.request_pause = seconds

    @property
    def exchange_priority_for_fallback(self) -> list[str]:
        """Order in which ``connect_with_fallback`` tries exchanges."""
        return self.public.exchange_priority_for_fallback

    @exchange_priority_for_fallback.setter
    def exchange_priority_for_fallback(self, exchanges: Sequence[str]) -> None:
        self.public.exchange_priority_for_fallback = exchanges

    def connect_to_exchange_with_credentials(self, exchange_id: str, *args: Any, **options: Any) -> Any:
        """See ``AuthenticatedExchangeManager``."""
        return self.authenticated.connect_to_exchange_with_credentials(exchange_id, *args, **options)

    def connect_to_exchange_with_no_credentials(self, exchange_id: str, **options: Any) -> Any:
        """See ``PublicExchangeManager``."""
        return self.public.connect_to_exchange_with_no_credentials(exchange_id, **options)

    def connect_with_fallback(self, symbol: str, *, contract_type: ContractType | None = None) -> Any:
        """See ``PublicExchangeManager``."""
        return self.public.connect_with_fallback(symbol, contract_type=contract_type)

    @contextmanager
    def exchange_context(self, exchange_id: str, *args: Any, **options: Any) -> Iterator[Any]:
        """See ``AuthenticatedExchangeManager``."""
        with self.authenticated.exchange_context(exchange_id, *args, **options) as exchange:
            yield exchange

    def set_exchange_credentials(
        self, exchange_id: str, api_key: str, api_secret: str, password: str | None = None
    ) -> None:
        """See ``AuthenticatedExchangeManager``."""
        self.authenticated.set_exchange_credentials(exchange_id, api_key, api_secret, password)

    def release_exchange(self, exchange: Any, **options: Any) -> None:
        """Release one use of an exchange, by the manager that connected it."""
        manager = self.authenticated if self.authenticated.holds(exchange) else self.public
        manager.release_exchange(exchange, **options)

    def throttled_call(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> _T:
        """See ``Throttle``."""
        return self.authenticated.throttled_call(fn, *args, **kwargs)

    def cleanup_unused_exchanges(self, max_age_hours: float = 1.0) -> list[str]:
        """Close unused connections of both managers."""
        return sorted(
            self.authenticated.cleanup_unused_exchanges(max_age_hours)
            + self.public.cleanup_unused_exchanges(max_age_hours)
        )

    def close_exchange(self, exchange_id: str, **options: Any) -> int:
        """Close all connections of both managers to an exchange; the options are those of ``AuthenticatedExchangeManager``."""
        managers = (self.authenticated, self.public)
        return sum(manager.close_exchange(exchange_id, **options) for manager in managers)

    def close(self) -> None:
        """Close all connections of both managers."""
        try:
            self.authenticated.close()
        finally:
            self.public.close()
