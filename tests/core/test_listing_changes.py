"""Differences between two lists."""

from __future__ import annotations

from msgspec import structs

from chandlery.core.instrument import Instrument, Listing, ListingStatus, MarketType
from chandlery.core.listing_changes import ListingChange, ListingChangeKind, listing_changes


def listing(symbol, **more):
    instrument = Instrument.of(symbol.removesuffix("USDT"), "USDT", MarketType.SPOT)
    return Listing(symbol, instrument, ListingStatus.LISTED, tick_size=0.1, **more)


def test_what_is_new_gone_and_other():
    """Each instrument once, by symbol; what is the same is no change."""
    same, gone, ended, other, new = map(listing, ("ADAUSDT", "BTTUSDT", "EOSUSDT", "LTCUSDT", "SUIUSDT"))
    marked = structs.replace(ended, status=ListingStatus.DELISTED)
    finer = structs.replace(other, tick_size=0.01)

    before = {each.symbol: each for each in (same, gone, ended, other)}
    after = {each.symbol: each for each in (new, finer, marked, same)}
    found = listing_changes(before, after)

    assert found == [
        ListingChange(ListingChangeKind.DELISTED, gone, None),
        ListingChange(ListingChangeKind.DELISTED, ended, marked),
        ListingChange(ListingChangeKind.CHANGED, other, finer),
        ListingChange(ListingChangeKind.NEW, None, new),
    ]
    assert ["BTTUSDT", "EOSUSDT", "LTCUSDT", "SUIUSDT"] == [each.symbol for each in found]
    assert [] == listing_changes(after, after)
    # Removed from the list after it was marked, it is gone all the same.
    assert [ListingChangeKind.DELISTED] == [each.kind for each in listing_changes({"EOSUSDT": marked}, {})]
