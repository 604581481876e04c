"""
HTX (formerly Huobi) spot, and the common base of its markets: candles and order books.

Sources:
- https://www.htx.com/en-us/opend/newApiPages/?id=7ec4a4da-7773-11ed-9966-0242ac110003 (candles)
- https://www.htx.com/en-us/opend/newApiPages/?id=7ec53241-7773-11ed-9966-0242ac110003 (live candles)
- https://www.htx.com/en-us/opend/newApiPages/?id=7ec5362b-7773-11ed-9966-0242ac110003 (order books)

The documented endpoint for candles has no time range, so the undocumented ``/market/history/candles``
is used, as in ccxt.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

import msgspec
from msgspec import Struct, structs

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.books import BookRule, Link, SnapshotSource, WireLevels
from chandlery.adapter.kit import command, intervals_of
from chandlery.adapter.layout import CandleColumns, CandleLayout
from chandlery.adapter.live import CandleStream, Channel, LiveCandle, SocketRules
from chandlery.adapter.payload import Finite, Millis, Seconds, Whole, attempt, reader, sent_at, step_of
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.adapter.standing import standings
from chandlery.core.book import BookUpdate
from chandlery.core.candle import CandleData
from chandlery.core.errors import ChandleryError, ExchangeUnavailable, MalformedResponse, RateLimited
from chandlery.core.gaps import Span
from chandlery.core.http import RateLimit, Request, Response
from chandlery.core.instrument import Instrument, Listing, ListingStatus, MarketType, capitals, day_text, small_letters
from chandlery.core.interval import Interval
from chandlery.core.query import DataProvider
from chandlery.core.time import SECOND, Micros, Unit

HTX_KNOWN = standings("""
    WebSocket address: documented, https://www.htx.com/en-us/opend/newApiPages/?id=7ec53241-7773-11ed-9966-0242ac110003
    closed flag: documented, https://www.htx.com/en-us/opend/newApiPages/?id=7ec53241-7773-11ed-9966-0242ac110003
    order book: documented, https://www.htx.com/en-us/opend/newApiPages/?id=7ec5362b-7773-11ed-9966-0242ac110003; levels beyond the depth are deleted (seen 2026-09-23)
""")

HTX = DataProvider.register("HTX")

_GZIP = b"\x1f\x8b"
_LARGEST_MESSAGE = 2**24
_TOO_MANY = frozenset({"429", "1032", "too-many-requests"})

_INTERVALS = intervals_of("1m=1min 5m=5min 15m=15min 30m=30min 1h=60min 4h=4hour")
"""Without 1day, 1week and 1mon, which begin at midnight in Singapore, 16:00 UTC."""
_OF_NAME = {name: interval for interval, name in _INTERVALS.items()}


class _Error(Struct, rename="kebab"):
    """An error in three spellings: spot and the swaps' market data, the swaps' reference data, and v5."""

    status: str | None = None
    err_code: str | Whole | None = None
    err_msg: str | None = None
    other_code: str | Whole | None = msgspec.field(name="err_code", default=None)
    other_msg: str | None = msgspec.field(name="err_msg", default=None)
    code: str | Whole | None = None
    message: str | None = None


class CandleTick(Struct):
    """A live candle, whose ``id`` is its open time in seconds."""

    id: Seconds
    open: Finite
    close: Finite
    low: Finite
    high: Finite
    amount: Finite | None = None
    vol: Finite | None = None
    count: Whole | None = None
    trade_turnover: Finite | None = None


class _Levels(Struct, rename={"sequence": "seqNum", "previous": "prevSeqNum"}):
    """A book, or its changes: numbered by ``seqNum`` on spot, by ``version`` on swaps. An empty side may be null."""

    bids: WireLevels | None = None
    asks: WireLevels | None = None
    sequence: Whole | None = None
    previous: Whole | None = None
    version: Whole | None = None
    event: str | None = None


class _Event(Struct):
    """A socket message: data, acknowledgement, ping or refusal."""

    ch: str | None = None
    status: str | None = None
    ping: Whole | None = None


class _CandleEvent(_Event):
    ts: Millis | None = None
    tick: CandleTick | None = None


class _BookEvent(_Event):
    """A book message; ``rep`` and ``data`` are a requested snapshot."""

    tick: _Levels | None = None
    rep: str | None = None
    data: _Levels | None = None
    ts: Millis | None = None


class _Symbol(Struct, rename="kebab"):
    base_currency: str
    quote_currency: str
    symbol: str
    state: str
    price_precision: Whole | None = None
    amount_precision: Whole | None = None


_CANDLE = reader(_CandleEvent, what="a socket's message")
_DEPTH = reader(_BookEvent, what="a socket's message")
_SYMBOLS = reader(list[_Symbol], "data", what="a list of symbols")
_ERROR = attempt(_Error)
_PING = msgspec.json.Decoder(_Event)
_STATES = {"online": ListingStatus.LISTED, "offline": ListingStatus.DELISTED} | dict.fromkeys(
    ("not-online", "pre-online"), ListingStatus.UPCOMING
)
"""Any other status of spot, e.g. suspend or fuse, is a halt."""


@lru_cache(maxsize=4096)
def _topic(text: str) -> tuple[str, str, str]:
    """Split ``market.btcusdt.kline.1min`` into symbol, kind, and the rest."""
    parts = text.split(".", 3)
    if len(parts) < 4 or parts[0] != "market":
        raise MalformedResponse(f"not a topic of HTX: {text[:80]!r}")
    return parts[1], parts[2], parts[3]


def _micros(moment: int | None) -> Micros | None:
    return None if moment is None else moment * 1000


def candle_row(volume: str, worth: str, *, newest_first: bool = False) -> CandleLayout:
    """Return the layout of a candle; the markets differ in the fields of volume and turnover."""
    return CandleLayout(
        "id", "open", "high", "low", "close", volume, quote_asset_volume=worth, count="count",
        unit=Unit.SECONDS, path=("data",), newest_first=newest_first,
    )  # fmt: skip


class Htx(ExchangeAdapter):
    """Common base of the three markets: rows, intervals, frames, and socket messages."""

    provider = HTX
    standing = HTX_KNOWN
    live_intervals = intervals = _INTERVALS
    socket = SocketRules(streams=100, per_message=1, messages=RateLimit(10, 1), idle_s=20)
    unknown = re.compile(
        r"^(1013|1014|1332|base-symbol-error):|invalid\s+symbol|invalid topic|contract_code data error", re.IGNORECASE
    )
    symbol_key: ClassVar[str] = "contract_code"
    candles_path: ClassVar[str]
    info_path: ClassVar[str]
    clock_path: ClassVar[str] = "/api/v1/timestamp"
    time_path = ("ts",)
    reference_limits: ClassVar[tuple[RateLimit, ...]] = (RateLimit(240, 3),)
    live_path: ClassVar[str]
    depth_path: ClassVar[str]

    def spelled(self, instrument: Instrument) -> str:
        """Return base, quote and, if it has one, the day of expiry, joined by dashes."""
        day = f"-{day_text(instrument.expiry)}" if instrument.expiry else ""
        return f"{instrument.base}-{instrument.quote}{day}"

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Send both bounds as inclusive open times in seconds."""
        path, key = self._candles_of(symbol)
        params: dict[str, str | int] = {
            key: symbol,
            "period": self.interval_name(interval),
            "from": -(-span.start // SECOND),
            "to": Unit.SECONDS.of(span.end - 1),
        }
        return Request(f"{self.rest_url}{path}", params, limits=self.limits)

    def _candles_of(self, symbol: str) -> tuple[str, str]:
        """Return the path of a symbol's candles, and the parameter that names the symbol."""
        return self.candles_path, self.symbol_key

    def candle_rows(self, body: bytes) -> CandleColumns:
        """Parse objects with ``id`` as the open time in seconds; sorted if sent in reverse order."""
        columns = self.rest_row.columns_of_json(body)
        opens = columns.open_time
        if len(opens) > 1 and opens[0] > opens[-1]:
            return CandleColumns(*(each and each[::-1] for each in structs.astuple(columns)))
        return columns

    def server_time_request(self) -> Request:
        """Return the request for the clock."""
        return Request(f"{self.rest_url}{self.clock_path}", limits=self.reference_limits)

    def instruments_request(self, cursor: str | None = None) -> Request:
        """Return the request for all instruments, which are one page."""
        return Request(f"{self.rest_url}{self.info_path}", limits=self.reference_limits)

    def error(self, response: Response) -> ChandleryError | None:
        """Parse ``{"status": "error", "err-code": ..., "err-msg": ...}`` with status 200; v5 has ``code`` and ``message``."""
        said = _ERROR(response.body)
        if said is None:
            return None
        if said.status != "error" and str(said.code or 200) == "200":
            return None
        words = said.err_msg or said.other_msg or said.message or ""
        code = str(said.err_code or said.other_code or said.code)
        if words == "request timeout":
            return ExchangeUnavailable(f"{self.id} could not answer: {words} (code {code})")
        if code in _TOO_MANY or words.startswith("429"):
            return RateLimited(f"{self.id} refused the request: {words} (code {code})")
        return self.refused(words, status=response.status, code=code)

    def socket_url(self, channel: Channel, answer: bytes | None = None) -> str:
        """Return the URL; books of spot have a path of their own."""
        return f"{self.ws_url}{self.live_path if channel is Channel.CANDLES else self.depth_path}"

    def decode(self, frame: bytes) -> bytes:
        """Decompress a gzip frame; other frames are returned unchanged."""
        if frame[:2] != _GZIP:
            return frame
        stream = zlib.decompressobj(31)
        try:
            message = stream.decompress(frame, _LARGEST_MESSAGE)
        except zlib.error as error:
            raise MalformedResponse(f"{self.id} sent a frame that cannot be decompressed: {error}") from error
        if not stream.eof:
            raise MalformedResponse(f"{self.id} sent a frame that is cut off, or of over {_LARGEST_MESSAGE} bytes")
        return message

    def reply(self, message: bytes) -> str | None:
        """Reply to ``{"ping": n}``, sent every five seconds, with ``{"pong": n}``; after two without a reply the connection is cut."""
        if len(message) > 64 or b'"ping"' not in message:
            return None
        try:
            number = _PING.decode(message).ping
        except msgspec.MsgspecError:
            return None
        return None if number is None else f'{{"pong":{number}}}'

    def _commands(self, topics: Sequence[str], *, leave: bool, **more: str) -> list[str]:
        verb = "unsub" if leave else "sub"
        return [command({verb: topic, "id": topic, **more}) for topic in topics]

    def subscribe(self, streams: Sequence[CandleStream], *, leave: bool = False) -> list[str]:
        """Subscribe by one message per stream."""
        topics = [f"market.{each.symbol}.kline.{self.live_interval_name(each.interval)}" for each in streams]
        return self._commands(topics, leave=leave)

    def live_rows(self, message: bytes) -> Sequence[LiveCandle]:
        """Parse one candle per message; there is no closed flag."""
        event = _CANDLE(message)
        tick = event.tick
        if tick is None or event.ch is None:
            return self._nothing(event, message)
        symbol, kind, period = _topic(event.ch)
        interval = _OF_NAME.get(period)
        if kind != "kline" or interval is None:
            raise MalformedResponse(f"{self.id} sent no candle that was subscribed to: {message[:80]!r}")
        volume, worth = self._volumes(tick)
        if volume is None:
            raise MalformedResponse(f"{self.id} sent a candle without its volume: {message[:80]!r}")
        candle = CandleData(
            tick.id * SECOND, tick.open, tick.high, tick.low, tick.close, volume, worth, tick.count, closed=False,
            at=sent_at(event.ts),
        )  # fmt: skip
        return (LiveCandle(symbol, interval, candle),)

    def _volumes(self, tick: CandleTick) -> tuple[float | None, float | None]:
        raise NotImplementedError

    def _nothing(self, event: _Event, message: bytes) -> tuple[()]:
        """Return nothing for acknowledgements and pings; refusals are errors."""
        error = self.error(Response(200, {}, message)) if event.status == "error" else None
        if error is not None:
            raise error
        return ()

    def _book_topic(self, symbol: str, depth: int) -> str:
        raise NotImplementedError

    def book_updates(self, message: bytes) -> Sequence[BookUpdate]:
        """Parse updates: on spot, ``prevSeqNum`` is the previous ``seqNum``; on swaps, ``version`` increases by one."""
        event = _DEPTH(message)
        topic, tick = (event.rep, event.data) if event.rep else (event.ch, event.tick)
        if topic is None or tick is None:
            return self._nothing(event, message)
        return (
            BookUpdate(
                _topic(topic)[0],
                tick.bids or (),
                tick.asks or (),
                is_snapshot=event.rep is not None or tick.event == "snapshot",
                first=tick.version,
                last=tick.version if tick.sequence is None else tick.sequence,
                previous=tick.previous,
                at=_micros(event.ts),
            ),
        )


@ExchangeRegistry.register("htx_spot", aliases=("huobi_spot",))
class HtxSpot(Htx):
    """Spot: symbols in lower case, volume in the base asset."""

    market_type = MarketType.SPOT
    rest_url = "https://api.huobi.pro"
    ws_url = "wss://api.huobi.pro"
    native = re.compile(r"[a-z0-9\u0080-\U0010ffff]{4,32}", re.ASCII)
    example = "btcusdt, BTC/USDT or BTC-USDT"
    small = True
    symbol_key = "symbol"
    candles_path = "/market/history/candles"
    info_path = "/v1/common/symbols"
    clock_path = "/v1/common/timestamp"
    time_path = ("data",)
    live_path = "/ws"
    depth_path = "/feed"
    page_size = 1000
    launched = 1_483_228_800_000_000
    """2017-01-01, some months before the exchange opened."""
    limits = reference_limits = (RateLimit(4500, 300),)
    rest_row = candle_row("amount", "vol", newest_first=True)
    # Only some symbols have a feed of 20 levels, and there is no snapshot of 400 levels.
    book_depths = (5, 150)
    book_rule = BookRule(Link.PREVIOUS, SnapshotSource.MESSAGE, truncates=True)
    unverified = (
        "GET /market/history/candles is not documented. Its bounds are assumed to be inclusive, and its limit to be that of /market/history/kline. Its history depth is not known.",
    )

    def spelled(self, instrument: Instrument) -> str:
        """Return base and quote, in small letters."""
        return small_letters(f"{instrument.base}{instrument.quote}")

    def candles_request(self, symbol: str, interval: Interval, span: Span) -> Request:
        """Request the oldest ``size`` candles from ``from``; a size over a thousand returns none."""
        request = super().candles_request(symbol, interval, span)
        size = min(max(self.grid(interval).count(span.start, span.end), 1), self.page_size)
        return structs.replace(request, params={**request.params, "size": size})

    def _volumes(self, tick: CandleTick) -> tuple[float | None, float | None]:
        return tick.amount, tick.vol

    def parse_instruments(self, body: bytes) -> tuple[list[Listing], str | None]:
        """Parse pairs; steps are numbers of digits."""
        return [
            Listing(
                each.symbol,
                Instrument.of(capitals(each.base_currency), capitals(each.quote_currency), self.market_type),
                _STATES.get(each.state, ListingStatus.HALTED),
                None,
                step_of(each.price_precision),
                step_of(each.amount_precision),
            )
            for each in _SYMBOLS(body)
        ], None

    def _book_topic(self, symbol: str, depth: int) -> str:
        return f"market.{symbol}.mbp.{depth}"

    def subscribe_book(self, symbols: Sequence[str], depth: int, *, leave: bool = False) -> list[str]:
        """Subscribe by one message per symbol."""
        return self._commands([self._book_topic(symbol, depth) for symbol in symbols], leave=leave)

    def book_message(self, symbol: str, depth: int) -> str:
        """Request a snapshot on the same socket."""
        topic = self._book_topic(symbol, depth)
        return command({"req": topic, "id": topic})
