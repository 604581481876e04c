"""An offline exchange whose clock the test sets."""

from datetime import UTC, datetime

import aiohttp
import pytest

from chandlery.core.time import to_micros
from chandlery.sim import SimServer, SyntheticMarket


class SetClock:
    """A clock that stands still until it is set."""

    def __init__(self, text: str) -> None:
        self.now = at(text)

    def __call__(self) -> int:
        """What it was set to."""
        return self.now


def at(text: str) -> int:
    return to_micros(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.fixture
def clock():
    return SetClock("2025-03-12T10:20:30.500")


@pytest.fixture
def market():
    return SyntheticMarket()


@pytest.fixture
async def sim(market, clock):
    async with SimServer(market, clock=clock, tick_s=None) as server:
        yield server


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session
