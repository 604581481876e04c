"""The published tests of clients and of sources of past data find faults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from chandlery import ChartType, DataClientInterface, DataProvider, IExchangeAPIClient, MarketType
from chandlery.core.errors import InvalidSymbol
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR
from chandlery.testing import ClientTests, DataClientTests

MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Right(IExchangeAPIClient):
    """Candles of whole minutes, without streams."""

    listed = "BTC/USDT"
    past_the_end = 0
    newest_first = False

    def get_exchange_name(self):
        return "right"

    async def check_coin_availability(self, coin):
        return coin == self.listed

    async def fetch_historical_data(self, coin, start, end, interval="1m"):
        if coin != self.listed:
            raise InvalidSymbol(f"there is no {coin}")
        first, over = -((EPOCH - start) // MINUTE), -((EPOCH - min(end, self.closed())) // MINUTE) + self.past_the_end
        rows = [self.row(minute * 60_000) for minute in range(first, over)]
        return rows[::-1] if self.newest_first else rows

    def closed(self):
        """When the last candle that has closed was over."""
        return EPOCH + (datetime.now(UTC) - EPOCH) // MINUTE * MINUTE

    def row(self, opened):
        prices = dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)
        head = {"exchange": "right", "symbol": self.listed, "interval": "1m", "timestamp": opened}
        return {**head, **prices, "closed": True}


class Inclusive(Right):
    """The end belongs to its ranges."""

    past_the_end = 1


class Backwards(Right):
    """Newest first."""

    newest_first = True


class Running(Right):
    """With the running candle."""

    def closed(self):
        return super().closed() + MINUTE


class Everything(Right):
    """It has every coin."""

    async def check_coin_availability(self, coin):
        return True


class Of(ClientTests):
    """A client without streams."""

    streams = ()
    client = None


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (Inclusive, "test_ranges_are_half_open"),
        (Backwards, "test_rows_of_a_range"),
        (Running, "test_the_running_candle_is_left_out"),
        (Everything, "test_availability"),
    ],
)
async def test_a_fault_of_a_client_is_found(kind, test):
    """By the test that names the rule."""
    await getattr(Of(), test)(Right())
    with pytest.raises(AssertionError):
        await getattr(Of(), test)(kind())


class Hours(DataClientInterface):
    """Candles of hours."""

    source = "hours"
    provider = DataProvider.BINANCE
    market_type = MarketType.SPOT
    chart_type = ChartType.KLINES
    closed = "left"

    def fetch(self, start_time, end_time, **kwargs):
        index = pd.date_range(start_time, end_time, freq="1h", inclusive=self.closed, name="open_time", unit="ns")
        frame = pd.DataFrame(index=index)
        for name, dtype in self.chart_type.dtypes.items():
            frame[name] = index if name == "close_time" else pd.Series(1, index, dtype)
        return frame


class Whole(Hours):
    """Prices are whole numbers."""

    def fetch(self, start_time, end_time, **kwargs):
        return super().fetch(start_time, end_time).astype({"open": "int64"})


class TooMany(Hours):
    """The end belongs to its spans."""

    closed = "both"


class OfHours(DataClientTests):
    """A day."""

    span = Span(20_000 * DAY, 20_000 * DAY + 24 * HOUR)
    client = None


@pytest.mark.parametrize("kind", [Whole, TooMany])
async def test_a_fault_of_a_source_is_found(kind):
    """Its frames differ from what the interface promises."""
    await OfHours().test_frames_have_the_columns_of_their_kind(Hours(symbol="X", interval=Interval.HOUR_1))
    with pytest.raises(AssertionError):
        await OfHours().test_frames_have_the_columns_of_their_kind(kind(symbol="X", interval=Interval.HOUR_1))
