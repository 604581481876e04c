"""Whether an exchange has a coin."""

from __future__ import annotations

from chandlery.connect.interfaces import IDataSourceConnector
from chandlery.connect.names import canonical
from chandlery.core.errors import InvalidInput


class AvailabilityChecker:
    """Asks the exchange."""

    def __init__(self, connector: IDataSourceConnector) -> None:
        self._connector = connector

    def named(self, coin: str, exchange: str) -> tuple[str, str]:
        """
        Exchange and coin in the one spelling under which they are kept.

        Raises:
            InvalidInput: No such exchange, or it cannot be a symbol of it.
        """
        return canonical(exchange), self._connector.get_client(exchange).spelled(coin)

    async def check(self, coin: str, exchange: str) -> bool:
        """Whether the exchange trades the coin now."""
        return await self._connector.check_coin_availability(exchange, coin)

    async def require(self, coin: str, exchange: str) -> None:
        """
        Pass where the exchange trades the coin now.

        Raises:
            InvalidInput: It does not.
        """
        if not await self.check(coin, exchange):
            raise InvalidInput(f"{exchange} does not trade {coin} now; check_availability tells of any other")
