"""The repository in memory."""

from __future__ import annotations

import pytest

from fixtures.repositories import RawRepositoryTests
from memory_repository import MemoryRawDataRepository


class TestMemoryRawDataRepository(RawRepositoryTests):
    """It does what every repository does."""

    @pytest.fixture
    def made(self):
        """An empty one."""
        return MemoryRawDataRepository()
