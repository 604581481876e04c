"""A running service over an offline exchange."""

from __future__ import annotations

import pytest

from fixtures.service import connected, offline, served
from fixtures.service_accounts import quick_hashes


@pytest.fixture
async def sim():
    """An offline exchange."""
    async with offline() as running:
        yield running


@pytest.fixture
async def running(sim, tmp_path):
    """A service that lets everybody in, and a session of a client."""
    async with served(sim, tmp_path) as both:
        yield both


@pytest.fixture
async def client(running):
    """A client of its socket."""
    async with connected(running[1]) as one:
        yield one


@pytest.fixture(scope="session")
def hashes():
    """Quick ones."""
    return quick_hashes()
