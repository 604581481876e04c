"""All exchanges by name: clients are found, made when they are needed, and shared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from chandlery.ccxt_bridge.client import CCXTExchangeClient
from chandlery.ccxt_bridge.exchange import require_exchange
from chandlery.clients.documented import fetch_rows, respelled
from chandlery.clients.interfaces import IDataSourceConnector, IExchangeAPIClient
from chandlery.clients.native import NativeExchangeClient, native_markets
from chandlery.clients.plugins import PluginRegistry, ambiguous, qualified, split, third_parties
from chandlery.clients.rows import Row
from chandlery.clients.settings import Settings
from chandlery.core.errors import Closed, UnknownName
from chandlery.core.interval import Interval
from chandlery.core.moment import TimeLike, range_of
from chandlery.core.time import to_datetime
from chandlery.net.clock import system_clock
from chandlery.net.limiter import RateLimiter

if TYPE_CHECKING:
    import pyarrow as pa

_Maker = Callable[[], IExchangeAPIClient]
_MOST_NAMES = 1_000
"""Maximum number of spellings of names that are cached, of which callers may write any number."""


class DataSourceConnectorImpl(IDataSourceConnector):
    """
    All exchanges by name.

    A name without a family means, in this order, the plugin that was added to the ``registry``; a
    third party's, or ours where we have adapters; whatever ccxt reaches. Where two of the same rank
    reach an exchange it must be named with its family. ``families``, where given, are the only ones that
    clients are made of. It belongs to one event loop.
    """

    def __init__(
        self,
        registry: PluginRegistry | None = None,
        settings: Settings | None = None,
        *,
        limiter: RateLimiter | None = None,
        families: Sequence[str] | None = None,
    ) -> None:
        self._families = families
        self.registry = registry or PluginRegistry()
        self.settings = settings or Settings()
        self._limiter = limiter or RateLimiter()
        self._made: set[str] = set()
        """The full names of those that were not added by anybody, who would prefer them to others."""
        self._found: dict[str, IExchangeAPIClient] = {}
        """Clients by the names that they were requested by, as of ``_version`` of the registry; at most ``_MOST_NAMES``."""
        self._version = self.registry.version
        self._closed = False

    def get_client(self, exchange_name: str) -> IExchangeAPIClient:
        """See ``IDataSourceConnector.get_client``."""
        if self._closed:
            raise Closed("this connector is closed; make a new one")
        if self._version != self.registry.version or len(self._found) >= _MOST_NAMES:
            self._found.clear()
            self._version = self.registry.version
        found = self._found.get(exchange_name)
        if found is None:
            found = self._found[exchange_name] = self._client(exchange_name)
            self._version = self.registry.version  # a client that is made here does not change what other names mean
        return found

    def _client(self, exchange_name: str) -> IExchangeAPIClient:
        """Return the client of a name; create it on first use."""
        added = [each for each in self.registry.names_of(exchange_name) if each not in self._made]
        if len(added) > 1:
            raise ambiguous(exchange_name, added)
        if added:
            return self.registry.get_plugin(added[0])
        name, make = self._maker(exchange_name)
        if name not in self._made:
            self.registry.add_plugin(make())
            self._made.add(name)
        return self.registry.get_plugin(name)

    @respelled(coin="coin_symbol")
    async def check_coin_availability(self, exchange_name: str, coin_symbol: str) -> bool:
        """Check that the exchange lists the coin and it trades now."""
        return await self.get_client(exchange_name).check_coin_availability(coin_symbol)

    @respelled(coin="coin_symbol", start="start_time", end="end_time")
    async def fetch_historical_data(
        self,
        exchange_name: str,
        coin_symbol: str,
        start_time: TimeLike,
        end_time: TimeLike | None = None,
        interval: Interval | str = "1m",
    ) -> list[Row]:
        """Return the closed candles with ``start_time <= open < end_time``, oldest first; clients get datetimes."""
        client = self.get_client(exchange_name)
        span = range_of(start_time, end_time, system_clock())
        times = (to_datetime(span.start), to_datetime(span.end))
        return await fetch_rows(client.fetch_historical_data, coin_symbol, *times, interval)

    async def fetch_candles(
        self,
        exchange_name: str,
        coin_symbol: str,
        start_time: TimeLike,
        end_time: TimeLike | None = None,
        interval: Interval | str = "1m",
    ) -> pa.Table:
        """Fetch the closed candles of the range by column."""
        client = self.get_client(exchange_name)
        span = range_of(start_time, end_time, system_clock())
        times = (to_datetime(span.start), to_datetime(span.end))
        return await client.fetch_candles(coin_symbol, *times, interval)

    async def close_all_plugins(self) -> None:
        """Close every client, whatever fails, and raise what did."""
        self._closed = True
        await self.registry.close_all()

    def _maker(self, exchange_name: str) -> tuple[str, _Maker]:
        """The full name of the client that a name means, and what makes it."""
        family, exchange = split(exchange_name)
        makers: dict[str, _Maker] = {
            name: partial(made_with, self.settings) for name, made_with in third_parties(exchange).items()
        }
        if native_markets(exchange):
            makers[qualified(NativeExchangeClient.family, exchange)] = partial(
                NativeExchangeClient, exchange, self.settings, limiter=self._limiter
            )
        if not makers or family == CCXTExchangeClient.family:
            makers[qualified(CCXTExchangeClient.family, exchange)] = partial(self._ccxt_client, exchange)
        allowed = [name for name in makers if self._families is None or split(name)[0] in self._families]
        if makers and not allowed:
            only = " and ".join(self._families or ())
            raise UnknownName(
                f"{exchange_name!r}: {exchange} is available as {', '.join(sorted(makers))}; this connector uses only {only}"
            )
        fitting = [name for name in allowed if not family or split(name)[0] == family]
        if len(fitting) > 1:
            raise ambiguous(exchange_name, fitting)
        if fitting == [qualified(CCXTExchangeClient.family, exchange)]:
            require_exchange(exchange)
        if not fitting:
            raise UnknownName(f"{exchange_name!r}: {exchange} is available as {', '.join(sorted(makers))}")
        return fitting[0], makers[fitting[0]]

    def _ccxt_client(self, exchange: str) -> CCXTExchangeClient:
        accounts = self.settings.credentials(exchange)
        return CCXTExchangeClient(
            self.settings.ccxt,
            exchange,
            proxies=self.settings.proxies,
            credentials=accounts[0] if accounts else None,
            limiter=self._limiter,
        )
