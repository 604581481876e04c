"""Reference-counted connections."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakSet

from chandlery.core.errors import InvalidInput


class ConnectionKey(NamedTuple):
    """Key of a shareable connection; ``account`` is a hash, empty without keys."""

    exchange: str
    account: str
    testnet: bool
    contract_type: str | None


class ExchangeWrapper:
    """
    Connection with a reference count; thread-safe.

    ``last_used`` is the time when the last user released it, by ``clock`` in seconds; initially the creation time.
    """

    __slots__ = ("_clock", "_closed", "_count", "_lock", "exchange", "last_used")

    def __init__(self, exchange: Any, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.exchange = exchange
        self.last_used = clock()
        self._clock = clock
        self._count = 0
        self._closed = False
        self._lock = threading.Lock()

    @property
    def refcount(self) -> int:
        """Number of users."""
        return self._count

    @property
    def in_use(self) -> bool:
        """True while there are users."""
        return self._count > 0

    def get_refcount(self) -> int:
        """Return ``refcount``; the name in published code."""
        return self._count

    def is_in_use(self) -> bool:
        """Return ``in_use``; the name in published code."""
        return self._count > 0

    def increment_refcount(self) -> bool:
        """Add a user; ``False`` if the connection is retired."""
        with self._lock:
            if self._closed:
                return False
            self._count += 1
        return True

    def decrement_refcount(self) -> bool:
        """Remove a user; ``False`` if there was none."""
        with self._lock:
            if not self._count:
                return False
            self._count -= 1
            if not self._count:
                self.last_used = self._clock()
        return True

    def retire(self, max_age_s: float | None = None) -> bool:
        """
        Refuse further users; return whether that was done.

        With ``max_age_s``, only if it has been unused for that long.
        """
        with self._lock:
            if max_age_s is not None and (self._count > 0 or self._clock() - self.last_used < max_age_s):
                return False
            self._closed = True
        return True


class Connections:
    """Open connections by key; thread-safe."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[ConnectionKey, ExchangeWrapper] = {}
        self._by_exchange: dict[Any, ExchangeWrapper] = {}
        self._gone: WeakSet[Any] = WeakSet()
        """Closed connections that users may still release."""
        self._owed: Counter[str] = Counter()
        """Number of users of closed connections, by exchange."""

    def acquire(self, key: ConnectionKey, make: Callable[[], Any]) -> ExchangeWrapper:
        """Return the connection of a key with one more user, created if needed."""
        with self._lock:
            wrapper = self._open.get(key)
            if wrapper is None or not wrapper.increment_refcount():
                wrapper = self._open[key] = ExchangeWrapper(make(), clock=self._clock)
                self._by_exchange[wrapper.exchange] = wrapper
                wrapper.increment_refcount()
        return wrapper

    def release(self, exchange: Any) -> None:
        """
        Remove a user of a connection; ignored if it was closed meanwhile.

        Raises:
            InvalidInput: The connection is unknown, or has no users.
        """
        wrapper = self._by_exchange.get(exchange)
        if wrapper is not None:
            _leave(wrapper)
        elif exchange not in self._gone:
            raise InvalidInput(
                "this exchange was not connected by this manager; release it with the manager that connected it"
            )

    def release_by_name(self, exchange: str, *, testnet: bool | None, contract_type: str | None) -> None:
        """
        Remove a user of the only connection to an exchange that is in use.

        Raises:
            InvalidInput: There is none, or there are several.
        """
        with self._lock:
            found = [
                wrapper
                for key, wrapper in self._open.items()
                if key.exchange == exchange
                and wrapper.in_use
                and testnet in {None, key.testnet}
                and contract_type in {None, key.contract_type}
            ]
            if not found and self._owed[exchange]:
                self._owed[exchange] -= 1
                return
        if len(found) > 1:
            raise InvalidInput(f"{len(found)} connections to {exchange} are in use; pass the exchange itself")
        if not found:
            raise InvalidInput(f"no connection to {exchange} is in use")
        _leave(found[0])

    def holds(self, exchange: Any) -> bool:
        """Return whether an exchange, given as object or name, is connected here and in use."""
        with self._lock:
            if isinstance(exchange, str):
                return any(key.exchange == exchange and each.in_use for key, each in self._open.items())
            return exchange in self._by_exchange or exchange in self._gone

    def retire(
        self,
        *,
        exchange: str | None = None,
        max_age_s: float | None = None,
        testnet: bool | None = None,
        contract_type: str | None = None,
    ) -> list[Any]:
        """Retire and return the connections of an exchange, or those unused for ``max_age_s``, for the caller to close."""
        retired = []
        with self._lock:
            for key, wrapper in list(self._open.items()):
                chosen = testnet in {None, key.testnet} and contract_type in {None, key.contract_type}
                if chosen and exchange in {None, key.exchange} and wrapper.retire(max_age_s):
                    self._owed[key.exchange] += wrapper.refcount
                    self._gone.add(wrapper.exchange)
                    del self._open[key], self._by_exchange[wrapper.exchange]
                    retired.append(wrapper.exchange)
        return retired

    def refcounts(self) -> dict[ConnectionKey, int]:
        """Return the number of users of each connection."""
        with self._lock:
            return {key: wrapper.refcount for key, wrapper in self._open.items()}


def _leave(wrapper: ExchangeWrapper) -> None:
    if not wrapper.decrement_refcount():
        raise InvalidInput(f"{wrapper.exchange.id} was released more often than it was connected")
