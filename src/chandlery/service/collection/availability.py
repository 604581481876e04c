"""Whether an exchange has a coin."""

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
    """Asks the exchange."""

    def __init__(self, connector: IDataSourceConnector, clock: Clock) -> None:
        self._connector = connector
        self._clock = clock

    def named(self, coin: str, exchange: str) -> tuple[str, str]:
        """
        Exchange and coin in the one spelling under which they are kept.

        Raises:
            InvalidInput: No such exchange, or it cannot be a symbol of it.
        """
        return canonical(exchange), self._connector.get_client(exchange).spelled(coin)

    def require_channel(self, coin: str, exchange: str, channel: str) -> None:
        """
        Pass where the exchange has such a channel of the coin, as far as can be told without asking.

        Raises:
            UnknownName: It is no channel.
            UnsupportedRequest: It has none; the message names those that it has.
        """
        try:
            interval = interval_of(channel)
        except UnknownInterval as error:
            raise UnknownName(f"{channel!r} is no channel; it is book, or candles:1m and so on: {error}") from None
        if interval is not None:
            self._connector.get_client(exchange).require_interval(coin, interval)

    async def check(self, coin: str, exchange: str) -> bool:
        """Whether the exchange trades the coin now."""
        return await self._connector.check_coin_availability(exchange, coin)

    async def require(self, coin: str, exchange: str) -> None:
        """
        Pass where the exchange trades the coin now.

        Raises:
            InvalidSymbol: It does not, in the words in which it refuses candles where it knows no such coin.
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
            log.debug("whether %s knows %s cannot be told: %s", exchange, coin, error)
        raise InvalidSymbol(f"{exchange} does not trade {coin} now; check_availability tells of any other")
