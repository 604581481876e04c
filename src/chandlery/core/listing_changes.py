"""Differences between two lists of instruments of one market."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from chandlery.core.instrument import Listing, ListingStatus


class ListingChangeKind(Enum):
    """Kinds of differences between two lists."""

    NEW = "new"
    """It is in the list for the first time, or again."""
    DELISTED = "delisted"
    """It is not in the list any more, or marked as delisted."""
    CHANGED = "changed"
    """Its status, a step, its contract size or a date is another."""


class ListingChange(Struct, frozen=True):
    """An instrument that differs between two lists; ``before`` is ``None`` if new, ``after`` if it is not listed."""

    kind: ListingChangeKind
    before: Listing | None
    after: Listing | None

    @property
    def symbol(self) -> str:
        """The exchange's spelling."""
        (listing, *_) = (each for each in (self.after, self.before) if each is not None)
        return listing.symbol


def listing_changes(before: Mapping[str, Listing], after: Mapping[str, Listing]) -> list[ListingChange]:
    """Return the differences between two lists of a market, by the exchange's spelling of symbols, in its order."""
    return [
        ListingChange(_kind(before.get(symbol), after.get(symbol)), before.get(symbol), after.get(symbol))
        for symbol in sorted(before.keys() | after.keys())
        if before.get(symbol) != after.get(symbol)
    ]


def _kind(before: Listing | None, after: Listing | None) -> ListingChangeKind:
    if before is None:
        return ListingChangeKind.NEW
    if after is None or (after.status is ListingStatus.DELISTED and before.status is not ListingStatus.DELISTED):
        return ListingChangeKind.DELISTED
    return ListingChangeKind.CHANGED
