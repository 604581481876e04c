"""Availability of coins on exchanges."""

from __future__ import annotations

import logging

from chandlery.clients.interfaces import IDataSourceConnector
from chandlery.clients.names import canonical
from chandlery.core.errors import ChandleryError, InvalidSymbol, UnknownInterval, UnknownName
from chandlery.core.interval import Interval
from chandlery.core.time import HOUR, Clock, to_datetime
from chandlery.database.series_ids import interval_of

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())


class AvailabilityChecker:
    """Availability check that asks the exchange."""

    def __init__(self, connector: IDataSourceConnector, clock: Clock) -> None:
        self._connector = connector
        self._clock = clock

    def named(self, coin: str, exchange: str) -> tuple[str, str]:
        """
        Return exchange and coin in their canonical spelling, under which they are stored.

        Raises:
            InvalidInput: The exchange is unknown, or the coin is not one of its symbols.
        """
        return canonical(exchange), self._connector.get_client(exchange).spelled(coin)

    def require_channel(self, coin: str, exchange: str, channel: str) -> None:
        """
        Check that the exchange offers a channel of the coin, as far as is known without a request.

        Raises:
            UnknownName: The channel is unknown.
            UnsupportedRequest: The exchange does not offer it; the message names the channels that it offers.
        """
        try:
            interval = interval_of(channel)
        except UnknownInterval as error:
            raise UnknownName(f"{channel!r} is not a channel; use book, candles:1m and so on: {error}") from None
        if interval is not None:
            self._connector.get_client(exchange).require_interval(coin, interval)

    async def check(self, coin: str, exchange: str) -> bool:
        """Return whether the exchange trades the coin now."""
        return await self._connector.check_coin_availability(exchange, coin)

    async def require(self, coin: str, exchange: str) -> None:
        """
        Check that the exchange trades the coin now.

        Raises:
            InvalidSymbol: It does not; the message is that of a request for candles of an unknown coin.
        """
        if await self.check(coin, exchange):
            return
        now = self._clock()
        try:
            await self._connector.get_client(exchange).fetch_candles(
                coin, to_datetime(now - HOUR), to_datetime(now), Interval.MINUTE_1
            )
        except InvalidSymbol:
            raise
        except ChandleryError as error:
            log.debug("cannot determine whether %s trades %s: %s", exchange, coin, error)
        raise InvalidSymbol(f"{exchange} does not trade {coin} now; use check_availability for others")
