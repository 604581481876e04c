"""An offline exchange whose clock stands still, and managers over it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.moment import to_micros
from chandlery.history.manager import DataSourceManager
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.server import running
from chandlery.sim.trading import Trading
from chandlery.sim.wires.binance.markets import BINANCE_GRIDS
from chandlery.testing import no_waiting

NOW = to_micros(datetime(2025, 3, 20, 12, 0, 30, tzinfo=UTC))
HALT = Span(to_micros(datetime(2024, 11, 5, 2, tzinfo=UTC)), to_micros(datetime(2024, 11, 5, 3, 30, tzinfo=UTC)))


class Exchange:
    """The offline exchange, its market, and what tests ask of both."""

    def __init__(self, server, market):
        self.server = server
        self.market = market
        self.faults = server.faults
        self.endpoints = server.endpoints
        self.managers = []

    def manager(self, cache_dir=None, market_type=MarketType.SPOT, **options):
        """A manager of this exchange, at its time; without a folder, one without a cache."""
        options = {"clock": lambda: NOW, "endpoints": self.endpoints, "use_cache": cache_dir is not None} | options
        manager = DataSourceManager(market_type, cache_dir=cache_dir, **options)
        self.managers.append(manager)
        return manager

    def expected(self, interval, start, end, symbol="BTCUSDT", market_type=MarketType.SPOT):
        """The market itself."""
        return self.market.candles(market_type, symbol, interval, Span(to_micros(start), to_micros(end)))

    def assert_same(self, frame, interval, start, end, **series):
        """Index and values of a frame are those of the market on ``[start, end)``, to the last bit."""
        columns = self.expected(interval, start, end, **series)
        np.testing.assert_array_equal(columns["open_time"] * 1000, frame.index.asi8)
        for name in frame.columns:
            values, scale = (frame[name].array.asi8, 1000) if name == "close_time" else (frame[name].to_numpy(), 1)
            np.testing.assert_array_equal(columns[name] * scale, values, err_msg=name)

    def asked(self, part=""):
        """The requests so far whose path and query hold ``part``."""
        return [path for _, path, _ in self.server.log if part in path]

    def close(self):
        """Close the managers made so far."""
        while self.managers:
            self.managers.pop().close()

    def forget(self):
        """Begin the log anew, without faults."""
        self.server.log.clear()
        self.faults.clear()


@pytest.fixture(scope="session")
def _exchange():
    symbols = {
        MarketType.SPOT: ("BTCUSDT", "ETHUSDT"),
        MarketType.FUTURES_USDT: ("BTCUSDT", "ETHUSDT"),
        MarketType.FUTURES_COIN: ("BTCUSD_PERP", "ETHUSD_PERP"),
    }
    market = SyntheticMarket(7, halts=[HALT], symbols=symbols).on(Trading(grids=BINANCE_GRIDS))
    with running(market, clock=lambda: NOW, weight_limit=10_000_000, tick_s=None) as server:
        yield Exchange(server, market)


@pytest.fixture
def exchange(_exchange):
    """The offline exchange without faults and with an empty log; back-off takes no time."""
    _exchange.forget()
    with no_waiting():
        yield _exchange
    _exchange.forget()
    _exchange.close()
