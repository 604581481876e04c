"""The published tests of sources of past data, inherited by all of ours."""

from __future__ import annotations

import pytest

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE
from chandlery.history.funding import BinanceFundingRateClient
from chandlery.history.interfaces import Resources
from chandlery.history.rest import RestDataClient
from chandlery.history.vision import VisionDataClient
from chandlery.net.http import HttpClient
from chandlery.testing import DataClientTests
from fixtures.support import micros


class OurDataClientTests(DataClientTests):
    """Those of the offline Binance."""

    kind = None
    market_type = MarketType.SPOT
    interval = Interval.MINUTE_1

    @pytest.fixture
    async def client(self, exchange):
        async with HttpClient() as http:
            resources = Resources(http, exchange.server.clock, exchange.endpoints)
            yield self.kind(symbol="BTCUSDT", interval=self.interval, market_type=self.market_type, resources=resources)


class TestRest(OurDataClientTests):
    """Candles of three pages."""

    kind = RestDataClient
    span = Span(micros(2025, 3, 18), micros(2025, 3, 18) + 2500 * MINUTE)


class TestVision(OurDataClientTests):
    """Candles of archive files."""

    kind = VisionDataClient
    span = Span(micros(2025, 3, 10, 12), micros(2025, 3, 11, 12))


class TestFunding(OurDataClientTests):
    """Funding rates."""

    kind = BinanceFundingRateClient
    market_type = MarketType.FUTURES_USDT
    interval = Interval.HOUR_8
    span = Span(micros(2025, 2, 1), micros(2025, 3, 1))
