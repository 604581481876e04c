"""The list of coins that are collected, which outlives the service."""

from __future__ import annotations

from msgspec import structs

from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.time import Clock
from chandlery.database.coins import CoinRepository, CollectedCoin


class CoinCollectionList:
    """The coins, kept in the database."""

    def __init__(self, repository: CoinRepository, clock: Clock) -> None:
        self._repository = repository
        self._clock = clock
        self._coins: dict[tuple[str, str], CollectedCoin] = {}

    async def load(self) -> list[CollectedCoin]:
        """Read them from the database."""
        self._coins = {(each.exchange, each.symbol): each for each in await self._repository.all()}
        return self.all()

    async def add_coin(self, coin: str, exchange: str, channels: tuple[str, ...]) -> CollectedCoin:
        """
        Note a coin, or further channels of one.

        Raises:
            StorageError: It is not noted.
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
        Strike out a coin, or one channel of it; the channels that are removed.

        A coin without channels is not on the list.

        Raises:
            UnknownName: It is not on the list.
        """
        found = self._coins.get((exchange, coin))
        if found is None:
            raise UnknownName(f"{coin} of {exchange} is not collected; there is {self._told()}")
        if channel is not None and channel not in found.channels:
            raise UnknownName(
                f"{channel} of {coin} of {exchange} is not collected; there is {', '.join(found.channels)}"
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
        The exchange that a coin is collected from.

        Raises:
            UnknownName: It is not collected.
            InvalidInput: It is from several.
        """
        found = [exchange for exchange, symbol in self._coins if symbol == coin]
        if len(found) > 1:
            raise InvalidInput(f"{coin} is collected from {', '.join(found)}; name the exchange")
        if not found:
            raise UnknownName(f"{coin} is not collected; there is {self._told()}")
        return found[0]

    def find(self, coin: str, exchange: str) -> CollectedCoin | None:
        """A coin on the list."""
        return self._coins.get((exchange, coin))

    def all(self) -> list[CollectedCoin]:
        """All of them, oldest first."""
        return sorted(self._coins.values(), key=lambda each: (each.since, each.exchange, each.symbol))

    def _told(self) -> str:
        return ", ".join(f"{symbol} of {exchange}" for exchange, symbol in self._coins) or "nothing"
