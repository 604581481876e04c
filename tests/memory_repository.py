"""Raw order books that end with the process: the simplest form of what every repository does."""

from __future__ import annotations

from collections.abc import Sequence

from chandlery.core.errors import InvalidInput
from chandlery.core.time import Micros
from chandlery.database.interfaces import IRawDataRepository
from chandlery.database.raw import RawOrderBookEntry


class MemoryRawDataRepository(IRawDataRepository):
    """In a dict."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Micros, str, str], RawOrderBookEntry] = {}

    async def save(self, entries: RawOrderBookEntry | Sequence[RawOrderBookEntry]) -> None:
        """Keep them."""
        for entry in [entries] if isinstance(entries, RawOrderBookEntry) else entries:
            self._entries[entry.timestamp, entry.exchange, entry.coin_symbol] = entry

    async def find_by_range(
        self, coin: str, start: Micros, end: Micros, limit: int, offset: int = 0, *, exchange: str | None = None
    ) -> list[RawOrderBookEntry]:
        """Look all of them through."""
        if limit < 0 or offset < 0:
            raise InvalidInput(f"limit {limit} and offset {offset} count entries; neither can be negative")
        found = [each for each in self._of(coin, exchange) if start <= each.timestamp < end]
        return found[offset : offset + limit]

    async def find_latest(self, coin: str, *, exchange: str | None = None) -> RawOrderBookEntry | None:
        """The last one, of several exchanges the first in name."""
        found = self._of(coin, exchange)
        return next((each for each in found if each.timestamp == found[-1].timestamp), None)

    async def prune(self, before: Micros) -> int:
        """Forget the older ones."""
        old = [key for key in self._entries if key[0] < before]
        for key in old:
            del self._entries[key]
        return len(old)

    def _of(self, coin: str, exchange: str | None) -> list[RawOrderBookEntry]:
        return [self._entries[key] for key in sorted(self._entries) if key[2] == coin and exchange in {None, key[1]}]
