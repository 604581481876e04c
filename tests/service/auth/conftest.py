"""A service's accounts over a database, at a time that is set."""

from __future__ import annotations

import pytest

from chandlery.database.sqlite import SqliteDatabase
from chandlery.service.auth.wiring import authentication
from fixtures.service_accounts import ISSUER, SetClock


@pytest.fixture
def clock():
    """A time that stands still."""
    return SetClock()


@pytest.fixture
async def database(tmp_path):
    """An open one."""
    async with SqliteDatabase(tmp_path / "d.sqlite3") as opened:
        yield opened


@pytest.fixture
def module(database, clock, hashes):
    """The accounts of a service at ``ISSUER``."""
    return authentication(database, clock, issuer=ISSUER, hashes=hashes)
