"""The repository in memory."""

from __future__ import annotations

import pytest

from chandlery.database.memory import MemoryRawDataRepository
from fixtures.repositories import RawRepositoryTests


class TestMemoryRawDataRepository(RawRepositoryTests):
    """It does what every repository does."""

    @pytest.fixture
    def made(self):
        """An empty one."""
        return MemoryRawDataRepository()
