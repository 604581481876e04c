"""
HTX's contracts, linear and coin-margined: candles, order books, funding rates.

Sources:
- https://www.htx.com/en-us/opend/newApiPages/?id=8cb80aca-77b5-11ed-9966-0242ac110003 (linear candles)
- https://www.htx.com/en-us/opend/newApiPages/?id=8cb7bf6d-77b5-11ed-9966-0242ac110003 (linear live candles)
- https://www.htx.com/en-us/opend/newApiPages/?id=8cb7c51d-77b5-11ed-9966-0242ac110003 (linear order books)
- https://www.htx.com/en-us/opend/newApiPages/?id=5d5179ae-77b6-11ed-9966-0242ac110003 (coin-margined candles)
- https://www.htx.com/en-us/opend/newApiPages/?id=5d514518-77b6-11ed-9966-0242ac110003 (coin-margined order books)
- https://www.htx.com/en-us/opend/newApiPages/?id=5d516d2f-77b6-11ed-9966-0242ac110003 (coin-margined funding rates)
- https://huobiapi.github.io/docs/dm/v1/en/#get-kline-data (coin-margined contracts that expire)

The exchange counts each trade twice in ``vol``, ``amount`` and ``trade_turnover``, once for each of
its sides: 33 of 33 recorded trades and 3 of 3 candles are even. This adapter returns half of that, so that volume is comparable
to other exchanges; ccxt returns the doubled ``amount``. ``count`` is not doubled, although documented so: 1, 5 and 5 were recorded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta, Struct, structs

from chandlery.adapter.base import FundingColumns
from chandlery.adapter.books import BookRule, Link, SnapshotSource
from chandlery.adapter.dates import day_stated, stated
from chandlery.adapter.layout import CandleColumns
from chandlery.adapter.names import ENDS_WITH_DAY
from chandlery.adapter.pages import numbered_page
from chandlery.adapter.payload import Finite, Millis, Whole, reader
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import standings
from chandlery.core.errors import MalformedResponse
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request
from chandlery.core.instrument import CAPITAL, Instrument, Listing, ListingStatus, MarketType, day_text, expiry_of
from chandlery.core.time import DAY, Unit
from chandlery.exchanges.htx.spot import CandleTick, Htx, candle_row

HTX_SWAPS_KNOWN = standings("""
    WebSocket address: documented, https://www.htx.com/en-us/opend/newApiPages/?id=8cb7bf6d-77b5-11ed-9966-0242ac110003
    candles per request: contradicted elsewhere, 2000 are documented; HTX.Net (2026-08) requests 1000
    history depth: documented, https://www.htx.com/en-us/opend/newApiPages/?id=8cb80aca-77b5-11ed-9966-0242ac110003
    closed flag: documented, https://www.htx.com/en-us/opend/newApiPages/?id=8cb7bf6d-77b5-11ed-9966-0242ac110003
    order book: recorded, 2026-09-23: version increases by one with each of 75000 messages of a stream, and levels beyond the depth are deleted
    funding rates per request: documented, https://www.htx.com/en-us/opend/newApiPages/?id=5d516d2f-77b6-11ed-9966-0242ac110003
""")


_Digits = Annotated[str, Meta(max_length=20)]


class _Contract(Struct):
    contract_code: str
    contract_size: Finite
    contract_status: Whole
    price_tick: Finite | None = None
    create_date: _Digits | None = None
    delivery_time: _Digits | None = None


class _Funding(Struct):
    funding_time: Millis
    funding_rate: Finite


class _FundingPage(Struct):
    current_page: Whole
    total_page: Whole
    data: list[_Funding]


_FUNDING = reader(list[_Funding], "data", what="funding rates")
_FUNDING_PAGE = reader(_FundingPage, "data", what="a page of funding rates")
_CONTRACTS = reader(list[_Contract], "data", what="a list of contracts")
_STATUSES = {1: ListingStatus.LISTED, 2: ListingStatus.UPCOMING} | dict.fromkeys((0, 6, 8), ListingStatus.DELISTED)
"""Any other status of a contract, e.g. 3 for suspension, is a halt."""


def half(summed: float | None) -> float | None:
    """Return half of a sum over both sides of each trade."""
    return None if summed is None else summed / 2


class _Swaps(Htx):
    """Common base of both kinds of swaps: two years of candles, contracts, numbered books that begin with a snapshot."""

    standing = HTX_SWAPS_KNOWN
    rest_url = "https://api.hbdm.com"
    ws_url = "wss://api.hbdm.com"
    page_size = 2000
    retention = 730 * DAY
    limits = (RateLimit(800, 1),)
    volume_unit = "contracts"
    book_depths = (20, 150)
    book_rule = BookRule(Link.FIRST, SnapshotSource.STREAM, truncates=True)
    unverified: ClassVar[tuple[str, ...]] = ("Both bounds of a range of candles are assumed to be inclusive.",)
    expiring_path: ClassVar[str | None] = None
    """Path of a separate list of the contracts that expire; ``None`` if there is none."""

    def candle_rows(self, body: bytes) -> CandleColumns:
        """Parse candles, whose volumes sum both sides of each trade."""
        columns = super().candle_rows(body)
        volume = [each / 2 for each in columns.volume]
        summed = columns.quote_asset_volume
        worth = None if summed is None else [each / 2 for each in summed]
        return structs.replace(columns, volume=volume, quote_asset_volume=worth)

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse swaps, and contracts that expire, whose code ends with the day; sizes are in whole contracts."""
        listed = _CONTRACTS(body)
        is_last = not listed or any(self.expires(each.contract_code) for each in listed)
        ours = [self._listing(each) for each in listed if self.native.fullmatch(each.contract_code)]
        return ours, None if is_last else self.expiring_path

    def _listing(self, each: _Contract) -> Listing:
        return Listing(
            each.contract_code,
            self._instrument(each.contract_code),
            _STATUSES.get(each.contract_status, ListingStatus.HALTED),
            each.contract_size,
            each.price_tick,
            1.0,
            day_stated(each.create_date),
            stated(each.delivery_time),
        )

    def _instrument(self, code: str) -> Instrument:
        base, quote, *day = code.split("-")
        return Instrument.of(base, quote, self.market_type, expiry_of(day[0]) if day else None)

    def _book_topic(self, symbol: str, depth: int) -> str:
        return f"market.{symbol}.depth.size_{depth}.high_freq"

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Subscribe to the incremental book, which begins with a snapshot."""
        topics = [self._book_topic(symbol, depth) for symbol in symbols]
        return self._commands(topics, leave=leave, data_type="incremental")


@ExchangeRegistry.register("htx_perpetual", aliases=("huobi_perpetual",))
class HtxPerpetual(_Swaps):
    """Linear swaps, settled in USDT."""

    market_type = MarketType.FUTURES_USDT
    native = re.compile(rf"{CAPITAL}{{1,30}}-USDT(-\d{{6}})?", re.ASCII)
    expiring = ENDS_WITH_DAY
    example = "BTC-USDT, BTC/USDT:USDT or BTC/USDT"
    candles_path = "/linear-swap-ex/market/history/kline"
    live_path = depth_path = "/linear-swap-ws"
    info_path = "/linear-swap-api/v1/swap_contract_info"
    rest_row = candle_row("vol", "trade_turnover")
    funding_page_size = 100
    unverified = (
        *_Swaps.unverified,
        "direct=next of /v5/market/funding_rate_history is assumed to mean oldest first, as elsewhere in the documentation.",
    )

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Request all swaps and, by ``business_type``, contracts that expire, in one page."""
        return structs.replace(super().instruments_request(cursor), params={"business_type": "all"})

    def _volumes(self, tick: CandleTick) -> tuple[float | None, float | None]:
        return half(tick.vol), half(tick.trade_turnover)

    def funding_request(self, symbol: str, span: Span, page: int = 1) -> Request:
        """Request the oldest rates of the span, both bounds inclusive; the documented v1 endpoint has no time range."""
        params: dict[str, str | int] = {
            "contract_code": symbol,
            "start_time": -(-span.start // Unit.MILLIS.value),
            "end_time": Unit.MILLIS.of(span.end - 1),
            "limit": self.funding_page_size,
            "direct": "next",
        }
        return Request(f"{self.rest_url}/v5/market/funding_rate_history", params, limits=self.reference_limits)

    def funding_rows(self, body: bytes) -> FundingColumns:
        """
        Parse the rates, oldest first.

        Raises:
            MalformedResponse: Also for a full page that begins with the latest, since older rates may then be missing.
        """
        rows = _FUNDING(body)
        if len(rows) >= self.funding_page_size and rows[0].funding_time > rows[-1].funding_time:
            raise MalformedResponse(f"{self.id} sent the latest funding rates of the range instead of the oldest")
        rows.sort(key=lambda row: row.funding_time)
        return FundingColumns(
            [Unit.MILLIS.micros(row.funding_time) for row in rows], [row.funding_rate for row in rows]
        )


@ExchangeRegistry.register("htx_inverse", aliases=("huobi_inverse",))
class HtxInverse(_Swaps):
    """
    Coin-margined contracts: ``quote_asset_volume`` is in the base asset.

    ``BTC-USD`` is the swap, and ``BTC260327`` expires. Contracts that expire have separate paths and sockets.
    """

    market_type = MarketType.FUTURES_COIN
    native = re.compile(rf"{CAPITAL}{{1,30}}-USD|{CAPITAL}{{1,30}}\d\d(0[1-9]|1[0-2])[0-3]\d", re.ASCII)
    expiring = re.compile(r"\d{6}$", re.ASCII)
    streams_expiring = False
    expiring_path = "/api/v1/contract_contract_info"
    example = "BTC-USD, BTC/USD:BTC or BTC/USD"
    candles_path = "/swap-ex/market/history/kline"
    live_path = depth_path = "/swap-ws"
    info_path = "/swap-api/v1/swap_contract_info"
    rest_row = candle_row("vol", "amount")
    funding_page_size = 50
    funding_by_page = True
    unverified = (
        *_Swaps.unverified,
        "Contracts that expire have WebSockets of their own (/ws), which are not used: their candles are polled, and they have no live order books.",
        "Candles of a contract that expires are documented to be available for four weeks after its expiry.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return ``BTC-USD``, or with the day of expiry, ``BTC260327``."""
        if instrument.expiry is None or instrument.quote != "USD":
            return super().spelled(instrument)
        return f"{instrument.base}{day_text(instrument.expiry)}"

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Request all swaps in one page; the cursor is the path of the contracts that expire."""
        if cursor is None:
            return super().instruments_request()
        return Request(f"{self.rest_url}{cursor}", limits=(RateLimit(120, 3),))

    def _instrument(self, code: str) -> Instrument:
        if not self.expires(code):
            return super()._instrument(code)
        return Instrument.of(code[:-6], "USD", self.market_type, expiry_of(code[-6:]))

    def _candles_of(self, symbol: str) -> tuple[str, str]:
        return ("/market/history/kline", "symbol") if self.expires(symbol) else super()._candles_of(symbol)

    def _volumes(self, tick: CandleTick) -> tuple[float | None, float | None]:
        return half(tick.vol), half(tick.amount)

    def funding_request(self, symbol: str, span: Span, page: int = 1) -> Request:
        """Request a page by number only."""
        params: dict[str, str | int] = {
            "contract_code": symbol,
            "page_index": page,
            "page_size": self.funding_page_size,
        }
        return Request(
            f"{self.rest_url}/swap-api/v1/swap_historical_funding_rate", params, limits=self.reference_limits
        )

    def funding_rows(self, body: bytes) -> FundingColumns:
        """Parse a page, sent latest first, which states the number of pages."""
        page = _FUNDING_PAGE(body)
        rates = [(Unit.MILLIS.micros(each.funding_time), each.funding_rate) for each in page.data]
        return numbered_page(rates, page.current_page, page.total_page)
