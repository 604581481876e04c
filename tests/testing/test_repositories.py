"""The published tests of repositories find faults."""

from __future__ import annotations

import pytest

from chandlery.testing import BookRepositoryTests
from memory_repository import MemoryRawDataRepository


class Inclusive(MemoryRawDataRepository):
    """Its ranges include their ends."""

    async def find_by_range(self, coin, start, end, limit, offset=0, *, exchange=None):
        return await super().find_by_range(coin, start, end + 1, limit, offset, exchange=exchange)


class Twice(MemoryRawDataRepository):
    """It prunes one entry too many."""

    async def prune(self, before):
        return await super().prune(before + 1)


class Inherited(BookRepositoryTests):
    """Of any repository."""

    books = None


@pytest.mark.parametrize(
    ("kind", "test"), [(Inclusive, "test_saved_books_are_found"), (Twice, "test_old_books_are_removed")]
)
async def test_a_fault_is_found(kind, test):
    """By the test that names the rule."""
    await getattr(Inherited(), test)(MemoryRawDataRepository())
    with pytest.raises(AssertionError):
        await getattr(Inherited(), test)(kind())
