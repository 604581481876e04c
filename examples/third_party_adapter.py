"""
Add an exchange: Poloniex spot, candles by REST.

Run: ``python examples/third_party_adapter.py``. In a package of your own, register the module under
the entry point group ``chandlery.exchanges``; chandlery then imports it.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from chandlery import (
    BaseAdapter,
    DataProvider,
    DataSourceManager,
    ExchangeRegistry,
    Instrument,
    Interval,
    MarketType,
    Settings,
    Span,
)
from chandlery.adapter.kit import intervals_of
from chandlery.adapter.layout import CandleLayout
from chandlery.adapter.refusals import Refusals
from chandlery.core.http import RateLimit, Request
from chandlery.core.time import Unit

POLONIEX = DataProvider.register("POLONIEX")


@ExchangeRegistry.register("poloniex_spot")
class PoloniexSpot(BaseAdapter):
    """Poloniex spot: oldest first, both bounds inclusive (https://api-docs.poloniex.com/spot/api/public/market-data)."""

    provider = POLONIEX
    market_type = MarketType.SPOT
    rest_url, ws_url = "https://api.poloniex.com", "wss://ws.poloniex.com/ws/public"
    native, example = re.compile(r"[A-Z0-9]+_[A-Z0-9]+"), "BTC_USDT"
    intervals: ClassVar = intervals_of("1m=MINUTE_1 1h=HOUR_1 1d=DAY_1")
    page_size = 500
    limits = (RateLimit(10, 1),)
    rest_row = CandleLayout(12, 2, 1, 0, 3, 5, close_time=13, quote_asset_volume=4, count=8, taker_buy_volume=7)
    refusals = Refusals("code", ("message",), least_status=400)
    time_path = ("serverTime",)

    def spelled(self, instrument: Instrument) -> str:
        return f"{instrument.base}_{instrument.quote}"

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        params: dict[str, str | int] = {"interval": self.interval_name(interval), "limit": self.page_size}
        params |= {"startTime": Unit.MILLIS.of(span.start), "endTime": Unit.MILLIS.of(span.end - 1)}
        return Request(f"{self.rest_url}/markets/{symbol}/candles", params, limits=self.limits)

    def server_time_request(self) -> Request:
        return Request(f"{self.rest_url}/timestamp", limits=self.limits)


if __name__ == "__main__":
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with DataSourceManager(provider=POLONIEX, endpoints=Settings().endpoints) as manager:
        print(manager.get_data("BTC/USDT", end - timedelta(days=30), end, "1h")[["open", "close", "volume"]])
