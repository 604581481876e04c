"""What the tests over all adapters stand on: an adapter and the offline exchange's wire, face to face without a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from wsgiref.handlers import format_date_time

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.live import CandleStream, Channel
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.book import BookUpdate
from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import SECOND
from chandlery.core.wire import Request, Response
from chandlery.sim.market import SyntheticMarket
from chandlery.sim.view import MarketView, SimCandle
from chandlery.sim.wire import Session, SimRequest, Wire
from chandlery.sim.wires import wires

_SYMBOLS = [f"{base}{quote}" for quote in ("USDT", "USDC", "USD") for base in ("BTC", "ETH", "SOL")]
MARKET = SyntheticMarket(
    symbols={
        MarketType.SPOT: _SYMBOLS,
        MarketType.FUTURES_USDT: _SYMBOLS,
        MarketType.FUTURES_COIN: ["BTCUSD_PERP", "ETHUSD_PERP"],
    }
)
DATED = [
    ("binance_perpetual", "BTCUSDT_260327", "BTCUSDT_260327"),
    ("binance_inverse", "BTCUSD_260327", "BTCUSD_260327"),
    ("okx_perpetual", "BTC-USDT-260327", "BTCUSDT_260327"),
    ("okx_inverse", "BTC-USD-260327", "BTCUSD_260327"),
    ("bybit_perpetual", "BTCUSDT-27MAR26", "BTCUSDT_260327"),
    ("bybit_perpetual", "BTC-27MAR26", "BTCUSDC_260327"),
    ("bybit_inverse", "BTCUSDH26", "BTCUSD_260327"),
    ("kucoin_inverse", "XBTMH26", "BTCUSD_260327"),
    ("htx_perpetual", "BTC-USDT-260327", "BTCUSDT_260327"),
    ("cryptocom_perpetual", "BTCUSD-260327", "BTCUSD_260327"),
]
"""Exchange, its spelling, and that of the offline market."""
EXPIRING = SyntheticMarket(
    symbols={
        MarketType.FUTURES_USDT: [
            "BTCUSDT", "BTCUSDC", "BTCUSD", "BTCUSDT_260327", "BTCUSDC_260327", "BTCUSD_260327", "BTCUSDT_260626",
        ],
        MarketType.FUTURES_COIN: ["BTCUSD_PERP", "BTCUSD_260327", "BTCUSD_260626"],
    }
)  # fmt: skip
_HOST = "sim"


def first_example(adapter: ExchangeAdapter) -> str:
    """The first of the symbols that an adapter gives as examples."""
    return adapter.example.split(",")[0].split(" or ")[0].strip()


class Facing:
    """One exchange: ``adapter`` asks, ``wire`` answers, at the moment ``now``."""

    def __init__(self, exchange: str, now: int, market: SyntheticMarket = MARKET) -> None:
        kind = wires()[exchange]
        self.now = now
        self.view = MarketView(market, kind.market_type, lambda: self.now, kind.grids)
        self.wire: Wire = kind(self.view, ticks=lambda: 0.0, weight_limit=10**9)
        base = {"rest": f"http://{_HOST}/{exchange}", "ws": f"ws://{_HOST}/{exchange}"}
        if ExchangeRegistry.get(exchange).credentials:
            base["auth"] = base["rest"]
        self.adapter: ExchangeAdapter = ExchangeRegistry.create(exchange, {exchange: base})
        self.native = self.adapter.symbol(first_example(self.adapter))
        symbol = self.wire.symbol(self.native)
        assert symbol is not None, f"the offline {exchange} does not trade {self.native}"
        self.symbol = symbol

    def ask(self, request: Request) -> Response:
        """The answer to a request of the adapter, signed where it must be, with the time in its headers."""
        if self.adapter.credentials:
            given = signed_in(self.adapter.id)[self.adapter.id]
            token = self.adapter.token(self._ask(self.adapter.token_request(given)).body)
            request = self.adapter.authorized(request, token.text)
        return self._ask(request)

    def _ask(self, request: Request) -> Response:
        assert request.url.startswith(self.adapter.rest_url), f"{request.url} is not below {self.adapter.rest_url}"
        path = request.url.removeprefix(self.adapter.rest_url)
        query = {key: str(value) for key, value in request.params.items()}
        headers = {"host": _HOST, **{key.lower(): value for key, value in request.headers.items()}}
        reply = self.wire.respond(SimRequest(request.method, path, query, headers, request.body or b""))
        sent = {key.lower(): value for key, value in reply.headers.items()}
        return Response(reply.status, {"date": format_date_time(self.now // SECOND), **sent}, reply.body)

    def body(self, request: Request) -> bytes:
        """The body of an answer that is no error."""
        response = self.ask(request)
        assert response.status == 200, response.body[:300]
        error = self.adapter.error(response)
        assert error is None, error
        return response.body

    def pages(self, interval: Interval, span: Span) -> dict[int, tuple[Any, ...]]:
        """What REST has for the candles that open in ``span``, page by page: open, high, low, close, volume, quote by open."""
        found: dict[int, tuple[Any, ...]] = {}
        grid = self.adapter.grid(interval)
        at = grid.ceil(span.start)
        while at < span.end:
            end = min(grid.step(at, self.adapter.page_size), span.end)
            if self.adapter.longest_request is not None:
                end = min(end, max(grid.floor(at + self.adapter.longest_request), grid.step(at)))
            body = self.body(self.adapter.candles_request(self.native, interval, Span(at, end)))
            rows = self.adapter.candles(body, interval)
            assert list(rows.open_time) == sorted(set(rows.open_time)), "oldest first, each open once"
            quotes = rows.quote_asset_volume or [None] * len(rows.open_time)
            values = zip(rows.open_time, rows.open, rows.high, rows.low, rows.close, rows.volume, quotes, strict=True)
            found |= {row[0]: row[1:] for row in values if span.start <= row[0] < span.end and at <= row[0] < end}
            at = end
        return found

    def expected(self, interval: Interval, span: Span) -> dict[int, tuple[Any, ...]]:
        """What the market has for the same, in the units that the adapter declares."""
        candles = self.view.candles(self.symbol, interval, span, 20_000, newest=False)
        return {each.open_time: self.values(each) for each in candles}

    def values(self, candle: SimCandle) -> tuple[Any, ...]:
        """Open, high, low, close, volume and quote of the market's candle as the adapter declares to give them."""
        contracts = self.view.contracts(self.symbol, candle.volume)
        inverse = self.adapter.market_type is MarketType.FUTURES_COIN
        unit = self.adapter.volume_unit
        if unit == "contracts":
            volume = float(contracts)
        elif unit == "quote":
            volume = float(contracts * self.view.contract_value(self.symbol)) if inverse else float(candle.quote)
        else:
            volume = float(candle.quote if inverse else candle.volume)
        prices = tuple(float(text) for text in (candle.open, candle.high, candle.low, candle.close))
        return (*prices, volume, float(candle.quote))

    def open(self, channel: Channel) -> Session:
        """A connection that has been greeted."""
        handshake = self.adapter.handshake_request()
        url = urlsplit(self.adapter.socket_url(channel, None if handshake is None else self.body(handshake)))
        session = Session(url.path.removeprefix(f"/{self.adapter.id}"), dict(parse_qsl(url.query)))
        assert _HOST == url.netloc
        assert self.wire.admit(session) is None
        for message in self.frames(self.wire.greeting(session)):
            self.adapter.reply(message)
        return session

    def tell(self, session: Session, messages: list[str]) -> list[bytes]:
        """What the exchange answers to the adapter's messages, decoded."""
        return [frame for message in messages for frame in self.frames(self.wire.obey(session, message), message)]

    def frames(self, contents: Any, asked: str | None = None) -> list[bytes]:
        """Contents as the adapter sees them; lines come with the message that ``asked`` for their stream."""
        frames = [self.wire.frame(content) for content in contents]
        messages = [self.adapter.decode(frame.encode() if isinstance(frame, str) else frame) for frame in frames]
        if self.adapter.streams_lines and asked is not None:
            return [asked.encode() + b"\n" + message for message in messages]
        return messages


def signed_in(exchange: str) -> dict[str, dict[str, str]]:
    """Credentials that the offline exchange takes, where it asks for any."""
    names = ExchangeRegistry.get(exchange).credentials
    return {exchange: dict.fromkeys(names, "x")} if names else {}


def same(one: Mapping[int, tuple[Any, ...]], other: Mapping[int, tuple[Any, ...]]) -> None:
    """Both have the same candles; a quote volume that is not sent is not compared."""
    assert list(one) == list(other)
    for opened, values in one.items():
        wanted = other[opened]
        assert values[:5] == wanted[:5], opened
        assert values[5] is None or values[5] == wanted[5], opened


def streams(facing: Facing) -> list[CandleStream]:
    """Every stream of candles that the exchange has for the symbol."""
    return [CandleStream(facing.native, interval) for interval in facing.adapter.live_intervals]


def values_of(candle: CandleData) -> tuple[Any, ...]:
    """Open, high, low, close, volume, quote."""
    return (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.quote_asset_volume)


def book_of(update: BookUpdate) -> tuple[dict[float, float], dict[float, float]]:
    """The levels of a snapshot by price."""
    return dict(update.bids), dict(update.asks)
