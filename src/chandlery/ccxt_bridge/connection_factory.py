"""Connect methods named after exchanges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Connects(Protocol):
    """Object that connects to an exchange with keys."""

    def connect_to_exchange_with_credentials(self, exchange_id: str, *args: Any, **options: Any) -> Any:
        """Return the exchange, and count one more user."""
        ...


def _by(exchange_id: str) -> Callable[..., Any]:
    def connect(self: object, manager: Connects, *args: Any, **options: Any) -> Any:  # noqa: ARG001  # it is a method
        return manager.connect_to_exchange_with_credentials(exchange_id, *args, **options)

    connect.__doc__ = f"Connect ``manager`` to {exchange_id}; the rest is for ``connect_to_exchange_with_credentials``."
    return connect


def _own(exchange_id: str) -> Callable[..., Any]:
    def connect(self: Connects, *args: Any, **options: Any) -> Any:
        return self.connect_to_exchange_with_credentials(exchange_id, *args, **options)

    connect.__doc__ = f"Connect to {exchange_id}, as ``connect_to_exchange_with_credentials`` does."
    return connect


class ExchangeConnectionFactory:
    """Connects a manager to the exchanges that have a documented connect method."""

    connect_to_binance_with_credentials = _by("binance")
    connect_to_kraken_with_credentials = _by("kraken")
    connect_to_kucoin_with_credentials = _by("kucoin")
    connect_to_gate_with_credentials = _by("gate")
    connect_to_okx_with_credentials = _by("okx")
    connect_to_bybit_with_credentials = _by("bybit")
    connect_to_mexc_with_credentials = _by("mexc")
    connect_to_huobi_with_credentials = _by("huobi")


class NamedConnects:
    """Mix-in with the same methods for a manager."""

    connect_to_binance_with_credentials = _own("binance")
    connect_to_kraken_with_credentials = _own("kraken")
    connect_to_kucoin_with_credentials = _own("kucoin")
    connect_to_gate_with_credentials = _own("gate")
    connect_to_okx_with_credentials = _own("okx")
    connect_to_bybit_with_credentials = _own("bybit")
    connect_to_mexc_with_credentials = _own("mexc")
    connect_to_huobi_with_credentials = _own("huobi")
