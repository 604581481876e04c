"""Availability of coins on exchanges."""

from __future__ import annotations

import logging

from chandlery.clients.instruments import nearest_listed
from chandlery.clients.interfaces import IDataSourceConnector
from chandlery.core.errors import ChandleryError, InvalidSymbol, suggest
from chandlery.core.interval import Interval
from chandlery.core.series_id import SeriesId
from chandlery.core.time import HOUR, Clock, to_datetime

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())


class AvailabilityChecker:
    """Availability check that asks the exchange."""

    def __init__(self, connector: IDataSourceConnector, clock: Clock) -> None:
        self._connector = connector
        self._clock = clock

    def require_stream(self, series: SeriesId) -> None:
        """
        Check that a series, in its canonical spelling, can be collected, as far as is known without a request.

        Raises:
            UnsupportedRequest: The exchange has no live order books of the coin, or no candles of the interval.
        """
        client = self._connector.get_client(series.exchange)
        if series.interval is None:
            client.require_books(series.symbol)
        else:
            client.require_interval(series.symbol, series.interval)

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
        unknown = InvalidSymbol(f"{exchange} does not trade {coin} now; use check_availability for others")
        suggest(unknown, await nearest_listed(self._connector.get_client(exchange), coin))
        raise unknown
