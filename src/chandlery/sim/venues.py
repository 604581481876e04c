"""Differences between Binance's three markets, derived from their documentation and not from our adapters."""

from __future__ import annotations

import re

from msgspec import Struct

from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, Micros
from chandlery.sim.pairs import pair_of

HEADER = (
    b"open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
_HEADERS_SINCE: Micros = 1_651_363_200_000_000
"""2022-05-01."""
_MICROS_SINCE: Micros = 1_735_689_600_000_000
"""2025-01-01."""


class Venue(Struct, frozen=True):
    """One market: paths, page sizes and limits."""

    id: str
    market_type: MarketType
    prefix: str
    archive_path: str
    native: re.Pattern[str]
    listed: Micros
    page_max: int
    weight_limit: int
    """Request weight available per minute."""
    stream_prefix: str = ""
    """Path prefix of candle streams."""
    longest_request: Micros | None = None

    @property
    def is_spot(self) -> bool:
        """True for spot."""
        return self.market_type is MarketType.SPOT

    @property
    def is_inverse(self) -> bool:
        """True if sizes count contracts."""
        return self.market_type is MarketType.FUTURES_COIN

    def interval(self, text: str) -> Interval | None:
        """Return the interval of that spelling; ``None`` if the market does not have it."""
        found = {each.value: each for each in Interval}.get(text)
        return None if found is Interval.SECOND_1 and not self.is_spot else found

    def header(self, opened: Micros) -> bytes | None:
        """Return the header line of an archive file whose candles open at or after ``opened``."""
        return None if self.is_spot or opened < _HEADERS_SINCE else HEADER

    @property
    def micros_since(self) -> Micros:
        """Open time from which the archive writes microseconds; never for futures."""
        return _MICROS_SINCE if self.is_spot else 2**62

    def weight(self, limit: int) -> int:
        """Return the weight of a page of ``limit`` candles."""
        if self.is_spot:
            return 2
        return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10

    def depth_weight(self, limit: int) -> int:
        """Return the weight of a book with ``limit`` levels."""
        steps = ((100, 5), (500, 25), (1000, 50)) if self.is_spot else ((50, 2), (100, 5), (500, 10))
        return next((weight for most, weight in steps if limit <= most), 250 if self.is_spot else 20)


VENUES = {
    venue.id: venue
    for venue in (
        Venue(
            "binance_spot",
            MarketType.SPOT,
            "/api/v3",
            "spot",
            re.compile(r"[A-Z0-9]{4,32}", re.ASCII),
            1_502_928_000_000_000,  # 2017-08-17
            1000,
            6000,
        ),
        Venue(
            "binance_perpetual",
            MarketType.FUTURES_USDT,
            "/fapi/v1",
            "futures/um",
            re.compile(r"[A-Z0-9]{4,32}(_\d{6})?", re.ASCII),
            1_567_900_800_000_000,  # 2019-09-08
            1500,
            2400,
            stream_prefix="/market",
        ),
        Venue(
            "binance_inverse",
            MarketType.FUTURES_COIN,
            "/dapi/v1",
            "futures/cm",
            re.compile(r"[A-Z0-9]{4,32}_(PERP|\d{6})", re.ASCII),
            1_597_017_600_000_000,  # 2020-08-10
            1500,
            2400,
            longest_request=200 * DAY,
        ),
    )
}
"""Markets by exchange id."""


_QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD", "EUR", "BTC", "ETH", "BNB")


def base_of(symbol: str) -> str:
    """Return the base asset of a market's symbol, e.g. of ``BTCUSDT`` or ``BTCUSD_PERP``."""
    pair = symbol.split("_", maxsplit=1)[0]
    return pair_of(pair, _QUOTES)[0] or pair
