"""
Binance spot, USD-M and COIN-M: candles and funding rates, and their archive.

Sources:
- https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
- https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Kline-Candlestick-Data
- https://developers.binance.com/docs/derivatives/coin-margined-futures/market-data/rest-api/Kline-Candlestick-Data
- https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Get-Funding-Rate-History
- https://github.com/binance/binance-public-data
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta, Struct, structs

from chandlery.adapter.base import ExchangeAdapter, FundingColumns
from chandlery.adapter.layout import LATEST, CandleColumns, CandleLayout
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import ChandleryError, InvalidSymbol, MalformedResponse, RequestRejected
from chandlery.core.gaps import Span
from chandlery.core.instrument import Instrument, MarketType
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import DAY, Micros, Unit, date_text
from chandlery.core.wire import RateLimit, Request, Response

SPOT_MICROS_SINCE: Micros = 1_735_689_600_000_000
"""2025-01-01: from here on the spot archive writes microseconds, so a close_time ends in ...999999."""


_Millis = Annotated[int, Meta(ge=0, le=LATEST // Unit.MILLIS.value)]


class _Funding(Struct):
    fundingTime: _Millis  # noqa: N815  # the exchange's spelling
    fundingRate: float  # noqa: N815  # the exchange's spelling


class _ServerTime(Struct):
    serverTime: _Millis  # noqa: N815  # the exchange's spelling


class _Error(Struct):
    code: int
    msg: str = ""


_FUNDING = msgspec.json.Decoder(list[_Funding], strict=False)
_SERVER_TIME = msgspec.json.Decoder(_ServerTime)
_ERROR = msgspec.json.Decoder(_Error)
_INVALID_SYMBOL = -1121


class _Binance(ExchangeAdapter):
    """What the three markets share: the row, its times, the paths below a prefix."""

    provider = DataProvider.BINANCE
    archive_url = "https://data.binance.vision"
    intervals: ClassVar[Mapping[Interval, str]] = {
        each: each.value for each in Interval if each is not Interval.SECOND_1
    }
    rest_row = archive_row = CandleLayout(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    prefix: ClassVar[str]
    archive_path: ClassVar[str]
    """Where the market lies in the archive, below ``data/``."""
    native: ClassVar[re.Pattern[str]]
    unverified = ("where 3d candles are anchored: taken as every third day from 1970-01-01",)

    def symbol(self, text: str) -> str:
        """The exchange's spelling; perpetuals have no suffix on USD-M and ``_PERP`` on COIN-M."""
        wanted = text.upper()
        if self.native.fullmatch(wanted):
            return wanted
        if "/" in wanted or "-" in wanted:
            return self._spelled(Instrument.parse(wanted, self.market_type))
        raise InvalidSymbol(f"{text!r} is not a symbol of {self.id}; it has e.g. {self._example()}")

    def _spelled(self, instrument: Instrument) -> str:
        return f"{instrument.base}{instrument.quote}"

    def _example(self) -> str:
        return "BTCUSDT, BTC/USDT or BTC-USDT"

    def _request(self, path: str, weight: int, **params: str | int) -> Request:
        return Request(f"{self.rest_url}{self.prefix}{path}", params, weight=weight, limits=self.limits)

    def candles_weight(self, limit: int) -> int:
        """What a page of ``limit`` candles costs; of the futures' steps."""
        return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Both bounds are inclusive open times. The end is always sent: COIN-M pages count back from it."""
        limit = min(max(interval.count(span.start, span.end), 1), self.page_size)
        return self._request(
            "/klines",
            self.candles_weight(limit),
            symbol=symbol,
            interval=self.interval_name(interval),
            startTime=-(-span.start // Unit.MILLIS.value),
            endTime=Unit.MILLIS.of(span.end - 1),
            limit=limit,
        )

    def candle_rows(self, body: bytes) -> CandleColumns:
        """Rows of twelve, oldest first, the running candle among them."""
        return self.rest_row.columns_of_json(body)

    def first_candle_request(self, symbol: str, interval: Interval) -> Request | None:
        """With a start and no end, the oldest candles from there."""
        return self._request(
            "/klines",
            self.candles_weight(1),
            symbol=symbol,
            interval=self.interval_name(interval),
            startTime=0,
            limit=1,
        )

    def archive_request(self, symbol: str, interval: Interval, start: Micros, *, monthly: bool) -> Request:
        """``SYMBOL-INTERVAL-YYYY-MM[-DD].zip``; the month is spelled ``1mo`` there."""
        self.interval_name(interval)
        date, period = (date_text(start)[:7], "monthly") if monthly else (date_text(start), "daily")
        folder = f"/data/{self.archive_path}/{period}/klines/{symbol}/{interval.slug}"
        return Request(f"{self.archive_url}{folder}/{symbol}-{interval.slug}-{date}.zip")

    def server_time_request(self) -> Request:
        """The clock."""
        return self._request("/time", 1)

    def server_time(self, body: bytes) -> Micros:
        """``serverTime`` is in milliseconds."""
        try:
            return Unit.MILLIS.micros(_SERVER_TIME.decode(body).serverTime)
        except msgspec.MsgspecError as error:
            raise MalformedResponse(f"not a server time: {error}; it begins {body[:80]!r}") from error

    def error(self, response: Response) -> ChandleryError | None:
        """``{"code": -1121, "msg": "Invalid symbol."}`` with a 4xx status."""
        try:
            said = _ERROR.decode(response.body)
        except msgspec.MsgspecError:
            return None
        if said.code == _INVALID_SYMBOL:
            return InvalidSymbol(f"{self.id} does not know the symbol ({said.msg}); it has e.g. {self._example()}")
        return RequestRejected(
            f"{self.id} refused the request: {said.msg} (code {said.code})", status=response.status, code=said.code
        )


class _Perpetuals(_Binance):
    """The futures' funding rates: both bounds inclusive, oldest first, 1000 a page."""

    page_size = 1500
    funding_page_size = 1000
    funding_limits = (RateLimit(500, 300),)

    def funding_request(self, symbol: str, span: Span) -> Request:
        """The oldest of the span, should it hold more than a page."""
        params: dict[str, str | int] = {
            "symbol": symbol,
            "startTime": -(-span.start // Unit.MILLIS.value),
            "endTime": Unit.MILLIS.of(span.end - 1),
            "limit": self.funding_page_size,
        }
        return Request(f"{self.rest_url}{self.prefix}/fundingRate", params, limits=self.funding_limits)

    def funding_rows(self, body: bytes) -> FundingColumns:
        """``fundingTime`` is in milliseconds and may lie a few of them past the hour."""
        try:
            rows = _FUNDING.decode(body)
        except msgspec.MsgspecError as error:
            raise MalformedResponse(f"not an array of funding rates: {error}; it begins {body[:80]!r}") from error
        if not all(isfinite(row.fundingRate) for row in rows):
            raise MalformedResponse(f"not every funding rate is a finite number; the answer begins {body[:80]!r}")
        return FundingColumns([Unit.MILLIS.micros(row.fundingTime) for row in rows], [row.fundingRate for row in rows])


@ExchangeRegistry.register("binance_spot")
class BinanceSpot(_Binance):
    """Spot: the only one with seconds; every page weighs the same."""

    market_type = MarketType.SPOT
    rest_url = "https://api.binance.com"
    ws_url = "wss://stream.binance.com:9443"
    prefix = "/api/v3"
    archive_path = "spot"
    intervals: ClassVar[Mapping[Interval, str]] = {each: each.value for each in Interval}
    page_size = 1000
    limits = (RateLimit(6000, 60),)
    native = re.compile(r"[^\W_]{4,32}")

    def candles_weight(self, limit: int) -> int:
        """Two, whatever the limit."""
        return 2

    def candle_rows(self, body: bytes) -> CandleColumns:
        """
        REST writes milliseconds for ever, the archive microseconds since 2025.

        So that a candle is the same whichever of the two served it, a close_time that REST cut
        to the millisecond is the end of that millisecond, as in the archive.
        """
        columns = super().candle_rows(body)
        closes = zip(columns.open_time, columns.close_time or (), strict=True)
        return structs.replace(
            columns, close_time=[close + 999 if opened >= SPOT_MICROS_SINCE else close for opened, close in closes]
        )


@ExchangeRegistry.register("binance_perpetual")
class BinancePerpetual(_Perpetuals):
    """USD-M, linear: volume in the base asset."""

    market_type = MarketType.FUTURES_USDT
    rest_url = "https://fapi.binance.com"
    ws_url = "wss://fstream.binance.com"
    prefix = "/fapi/v1"
    archive_path = "futures/um"
    limits = (RateLimit(2400, 60),)
    native = re.compile(r"[^\W_]{4,32}(_\d{6})?")


@ExchangeRegistry.register("binance_inverse")
class BinanceInverse(_Perpetuals):
    """COIN-M, inverse: ``volume`` counts contracts, ``quote_asset_volume`` is in the base asset."""

    market_type = MarketType.FUTURES_COIN
    rest_url = "https://dapi.binance.com"
    ws_url = "wss://dstream.binance.com"
    prefix = "/dapi/v1"
    archive_path = "futures/cm"
    limits = (RateLimit(2400, 60),)
    longest_request = 200 * DAY
    launched = 1_590_969_600_000_000
    """2020-06-01, some weeks before the first candle."""
    volume_unit = "contracts"
    native = re.compile(r"[^\W_]{4,32}_(PERP|\d{6})")

    def first_candle_request(self, symbol: str, interval: Interval) -> Request | None:
        """None: a request without an end is answered for 200 days from its start."""
        return None

    def _spelled(self, instrument: Instrument) -> str:
        return f"{instrument.base}{instrument.quote}_PERP"

    def _example(self) -> str:
        return "BTCUSD_PERP, BTC/USD:BTC or BTC-USD"
