"""An offline exchange whose clock the test sets."""

import aiohttp
import pytest

from chandlery.sim import SimServer, SyntheticMarket
from fixtures.support import moment


class SetClock:
    """A clock that stands still until it is set."""

    def __init__(self, text: str) -> None:
        self.now = moment(text)

    def __call__(self) -> int:
        """What it was set to."""
        return self.now


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
