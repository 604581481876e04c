"""List of collected coins, which persists across restarts."""

from __future__ import annotations

from msgspec import structs

from chandlery.core.errors import UnknownName
from chandlery.core.time import Clock
from chandlery.database.coins import CoinRepository, CollectedCoin
from chandlery.service.collection.status import DEFAULT_CHANNELS, only_exchange


class CoinCollectionList:
    """Collected coins in the database."""

    def __init__(self, repository: CoinRepository, clock: Clock) -> None:
        self._repository = repository
        self._clock = clock
        self._coins: dict[tuple[str, str], CollectedCoin] = {}

    async def load(self) -> list[CollectedCoin]:
        """Load the coins from the database."""
        self._coins = {(each.exchange, each.symbol): each for each in await self._repository.all()}
        return self.all()

    async def add_coin(self, coin: str, exchange: str, channels: tuple[str, ...] = DEFAULT_CHANNELS) -> CollectedCoin:
        """
        Add a coin, or further channels of one.

        Raises:
            StorageError: The coin could not be stored.
        """
        known = self._coins.get((exchange, coin))
        if known is None:
            known = CollectedCoin(exchange, coin, (), self._clock())
        wanted = structs.replace(known, channels=tuple(dict.fromkeys((*known.channels, *channels))))
        if wanted != known:
            await self._repository.save(wanted)
            self._coins[exchange, coin] = wanted
        return wanted

    async def remove_coin(self, coin: str, exchange: str, channel: str | None = None) -> tuple[str, ...]:
        """
        Remove a coin, or one channel of it; return the removed channels.

        A coin without channels is removed.

        Raises:
            UnknownName: The coin or channel is not collected.
        """
        found = self._coins.get((exchange, coin))
        if found is None:
            raise UnknownName(f"{coin} of {exchange} is not collected; collected: {self._told()}")
        if channel is not None and channel not in found.channels:
            raise UnknownName(
                f"{channel} of {coin} of {exchange} is not collected; collected: {', '.join(found.channels)}"
            )
        left = tuple(each for each in found.channels if channel not in {None, each})
        if left:
            remaining = structs.replace(found, channels=left)
            await self._repository.save(remaining)
            self._coins[exchange, coin] = remaining
            return tuple(each for each in found.channels if each not in left)
        await self._repository.remove(exchange, coin)
        return self._coins.pop((exchange, coin)).channels

    def get_exchange(self, coin: str) -> str:
        """
        Return the exchange from which a coin is collected.

        Raises:
            UnknownName: The coin is not collected.
            InvalidInput: The coin is collected from several exchanges.
        """
        return only_exchange(coin, self._coins)

    def find(self, coin: str, exchange: str) -> CollectedCoin | None:
        """Return a collected coin; ``None`` if it is not collected."""
        return self._coins.get((exchange, coin))

    def all(self) -> list[CollectedCoin]:
        """Return all coins, oldest first."""
        return sorted(self._coins.values(), key=lambda each: (each.since, each.exchange, each.symbol))

    def _told(self) -> str:
        return ", ".join(f"{symbol} of {exchange}" for exchange, symbol in self._coins) or "nothing"
