"""
Add an exchange: Poloniex spot, candles by REST.

Run: ``python examples/third_party_adapter.py``. In a package of your own, register the module under
the entry point group ``chandlery.exchanges``; chandlery then imports it.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import msgspec

from chandlery import (
    BaseAdapter,
    ChandleryError,
    DataProvider,
    DataSourceManager,
    ExchangeRegistry,
    Instrument,
    Interval,
    MarketType,
    Settings,
    Span,
)
from chandlery.adapter.layout import CandleLayout
from chandlery.core.http import RateLimit, Request, Response
from chandlery.core.time import Micros, Unit

POLONIEX = DataProvider.register("POLONIEX")


@ExchangeRegistry.register("poloniex_spot")
class PoloniexSpot(BaseAdapter):
    """Poloniex spot: oldest first, both bounds inclusive (https://api-docs.poloniex.com/spot/api/public/market-data)."""

    provider = POLONIEX
    market_type = MarketType.SPOT
    rest_url, ws_url = "https://api.poloniex.com", "wss://ws.poloniex.com/ws/public"
    native, example = re.compile(r"[A-Z0-9]+_[A-Z0-9]+"), "BTC_USDT"
    intervals: ClassVar = {Interval.MINUTE_1: "MINUTE_1", Interval.HOUR_1: "HOUR_1", Interval.DAY_1: "DAY_1"}
    page_size = 500
    limits = (RateLimit(10, 1),)
    rest_row = CandleLayout(12, 2, 1, 0, 3, 5, close_time=13, quote_asset_volume=4, count=8, taker_buy_volume=7)

    def spelled(self, instrument: Instrument) -> str:
        return f"{instrument.base}_{instrument.quote}"

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        params: dict[str, str | int] = {"interval": self.interval_name(interval), "limit": self.page_size}
        params |= {"startTime": Unit.MILLIS.of(span.start), "endTime": Unit.MILLIS.of(span.end - 1)}
        return Request(f"{self.rest_url}/markets/{symbol}/candles", params, limits=self.limits)

    def server_time_request(self) -> Request:
        return Request(f"{self.rest_url}/timestamp", limits=self.limits)

    def server_time(self, body: bytes) -> Micros:
        return Unit.MILLIS.micros(msgspec.json.decode(body)["serverTime"])

    def error(self, response: Response) -> ChandleryError | None:
        return self.refused(bytes(response.body[:200]), status=response.status) if response.status >= 400 else None


if __name__ == "__main__":
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with DataSourceManager(provider=POLONIEX, endpoints=Settings().endpoints) as manager:
        print(manager.get_data("BTC/USDT", end - timedelta(days=30), end, "1h")[["open", "close", "volume"]])
