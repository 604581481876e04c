"""The tables ``listings`` and ``listing_reads``: the lists of instruments, as they changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from chandlery.core.errors import InvalidRange
from chandlery.core.instrument import Listing
from chandlery.core.listing_changes import ListingChange, listing_changes
from chandlery.core.time import MINUTE, Micros, iso
from chandlery.database.interfaces import IDatabaseConnection

_REFRESHED: Micros = 10 * MINUTE
"""Age of the time of the last list from which an unchanged list updates it; clients cache a list as long."""

# The latest row of each symbol up to a time; null if the instrument was not listed.
_AT = """
    SELECT listing FROM listings AS one WHERE origin = ?1 AND market = ?2 AND listing IS NOT NULL AND seen_at = (
        SELECT max(seen_at) FROM listings WHERE origin = ?1 AND market = ?2 AND symbol = one.symbol AND seen_at <= ?3
    ) ORDER BY symbol
"""
_READ = """
    INSERT INTO listing_reads VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET last_at = max(last_at, excluded.last_at)
"""


class Universe(Struct, frozen=True):
    """
    The instruments of a market as a past list had them, by symbol; those that were delisted since are among them.

    ``first_at`` and ``last_at`` are the times of the first and of the last list that was read.
    """

    market: str
    listings: list[Listing]
    first_at: Micros
    last_at: Micros


class ListingRepository:
    """The lists of markets, of the origin that ``origins`` has by market, by default the exchange itself."""

    def __init__(self, database: IDatabaseConnection, origins: Mapping[str, str] | None = None) -> None:
        self._database = database
        self._origins = origins or {}
        self._latest: dict[str, tuple[Micros, Mapping[str, Listing]]] = {}
        """The time and the content of the last list of each market."""
        self._recording = asyncio.Lock()

    async def record(self, market: str, listings: Mapping[str, Listing], at: Micros) -> list[ListingChange]:
        """
        Store what a whole list, read at ``at``, changes. Return the changes; none for the first list of a market.

        A list that is older than the last one is not stored.

        Raises:
            StorageError: It is not stored.
        """
        key = (self._origins.get(market, ""), market)
        async with self._recording:
            last_at, before = await self._last(market)
            if last_at is not None and at <= last_at:
                return []

            def compared() -> tuple[list[ListingChange], list[tuple[Any, ...]]]:
                found = listing_changes(before, listings)
                return found, [(*key, each.symbol, at, _text(each.after)) for each in found]

            changes, rows = await asyncio.to_thread(compared)
            if changes or last_at is None or at - last_at >= _REFRESHED:
                writes = [("INSERT INTO listings VALUES (?, ?, ?, ?, ?)", rows)] if rows else []
                await self._database.write(*writes, (_READ, [(*key, at, at)]))
                self._latest[market] = (at, dict(listings))
        return [] if last_at is None else changes

    async def universe(self, market: str, at: Micros) -> Universe:
        """
        Return the instruments of a market as they were at ``at``.

        Raises:
            InvalidRange: No list had been stored by then.
            StorageError: It cannot be read.
        """
        key = (self._origins.get(market, ""), market)
        found: list[Any] = await self._database.read(
            "SELECT first_at, last_at FROM listing_reads WHERE origin = ? AND market = ?", key
        )
        if not found or at < found[0][0]:
            since = "none is stored yet" if not found else f"the first one is of {iso(found[0][0])}"
            raise InvalidRange(f"no list of the instruments of {market} was stored by {iso(at)}; {since}")
        rows: list[Any] = await self._database.read(_AT, (*key, at))

        def listings() -> list[Listing]:
            return [msgspec.json.decode(row[0], type=Listing) for row in rows]

        return Universe(market, await asyncio.to_thread(listings), *found[0])

    async def _last(self, market: str) -> tuple[Micros | None, Mapping[str, Listing]]:
        if market not in self._latest:
            key = (self._origins.get(market, ""), market)
            found: list[Any] = await self._database.read(
                "SELECT last_at FROM listing_reads WHERE origin = ? AND market = ?", key
            )
            if not found:
                return None, {}
            stored = await self.universe(market, found[0][0])
            self._latest[market] = (found[0][0], {each.symbol: each for each in stored.listings})
        return self._latest[market]


def _text(listing: Listing | None) -> str | None:
    return None if listing is None else msgspec.json.encode(listing).decode()
