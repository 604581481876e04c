"""The tests of Acme's client: those that every client inherits."""

from __future__ import annotations

import pytest_asyncio
from acme_chandlery import AcmeClient

from chandlery import Settings
from chandlery.testing import ClientTests


class TestAcmeClient(ClientTests):
    """It has candles of gold alone."""

    coin = "GOLD/USD"
    unknown = "NOPE/USD"
    streams = ("candles",)

    @pytest_asyncio.fixture
    async def client(self):
        async with AcmeClient(Settings.of(None)) as client:
            yield client
