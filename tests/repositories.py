"""What every repository of raw order books does: a backend's test file inherits it."""

from __future__ import annotations

import pytest

from chandlery.core.errors import InvalidInput
from chandlery.database.raw import BookSnapshot, RawOrderBookEntry


def entry(moment, coin="BTC/USDT", exchange="binance", size=1.0, **more):
    """An order book of a moment."""
    snapshot = BookSnapshot([(100.0, size), (99.5, 2.0)], [(100.5, 3.0)], moment + 7, **more)
    return RawOrderBookEntry(exchange, coin, moment, snapshot)


class RawRepositoryTests:
    """``made`` is a fixture of the backend: an open repository without entries."""

    async def test_what_was_saved_is_found(self, made):
        """Every value as it was, in half-open ranges, oldest first."""
        entries = [entry(at, sequence=at, at=at - 1) for at in (30, 10, 20)]
        await made.save(entries)

        assert [entries[1], entries[2]] == await made.find_by_range("BTC/USDT", 10, 30, 10)
        assert [] == await made.find_by_range("BTC/USDT", 31, 100, 10)
        assert entries[0] == await made.find_latest("BTC/USDT")

    async def test_pages(self, made):
        """Pages of any size, one after the other, are the whole."""
        entries = [entry(at) for at in range(7)]
        await made.save(entries)
        for size in (1, 2, 3, 7, 10):
            pages = [await made.find_by_range("BTC/USDT", 0, 7, size, offset) for offset in range(0, 7, size)]
            assert entries == [each for page in pages for each in page]
        assert [] == await made.find_by_range("BTC/USDT", 0, 7, 0)

    async def test_pages_that_name_the_next_one(self, made):
        """Of one exchange, where nothing is damaged."""
        entries = [entry(at) for at in range(7)]
        await made.save([*entries, entry(3, exchange="kraken")])
        for size in (1, 2, 3, 7, 10):
            at, found = 0, []
            while at is not None:
                page = await made.find_page("BTC/USDT", at, 7, size, exchange="binance")
                assert ([], True) == (page.damaged, len(page.entries) <= size)
                found += page.entries
                at = page.following
            assert entries == found

    async def test_a_moment_is_kept_once(self, made):
        """A later entry of the same moment takes the place of the earlier one."""
        await made.save([entry(10, size=1.0)])
        await made.save([entry(10, size=2.0)])

        assert [entry(10, size=2.0)] == await made.find_by_range("BTC/USDT", 0, 20, 10)

    async def test_coins_and_exchanges_are_apart(self, made):
        """Neither another coin nor, where one is named, another exchange is found."""
        ours, theirs, other = entry(10), entry(10, exchange="kraken"), entry(10, coin="ETH/USDT")
        await made.save([theirs, other, ours])

        assert [ours, theirs] == await made.find_by_range("BTC/USDT", 0, 20, 10)
        assert [theirs] == await made.find_by_range("BTC/USDT", 0, 20, 10, exchange="kraken")
        assert ours == await made.find_latest("BTC/USDT")
        assert theirs == await made.find_latest("BTC/USDT", exchange="kraken")
        assert None is await made.find_latest("BTC/USDT", exchange="okx")
        assert None is await made.find_latest("SOL/USDT")

    async def test_pruned(self, made):
        """Older entries go, and their number is told; the moment itself stays."""
        await made.save([entry(at) for at in range(10)])

        assert 4 == await made.prune(4)
        assert 0 == await made.prune(4)
        assert [4, 5, 6, 7, 8, 9] == [each.timestamp for each in await made.find_by_range("BTC/USDT", 0, 20, 10)]

    async def test_nothing_is_saved_of_nothing(self, made):
        """An empty batch is none."""
        await made.save([])

        assert None is await made.find_latest("BTC/USDT")

    @pytest.mark.parametrize(("limit", "offset"), [(-1, 0), (1, -1)])
    async def test_negative_pages_are_refused(self, made, limit, offset):
        """Not read as all, as SQL would."""
        with pytest.raises(InvalidInput, match="negative"):
            await made.find_by_range("BTC/USDT", 0, 20, limit, offset)
