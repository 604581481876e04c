"""An adapter and the offline exchange's wire, face to face without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from wsgiref.handlers import format_date_time

from chandlery.adapter.base import ExchangeAdapter
from chandlery.adapter.live import CandleStream, Channel
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.candle import CandleData
from chandlery.core.gaps import Span
from chandlery.core.http import Request, Response
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import SECOND, Micros
from chandlery.feed.channels import AssignedChannels
from chandlery.sim.market import Market, SyntheticMarket
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
"""The market that the tests know."""
_HOST = "sim"


def first_example(adapter: ExchangeAdapter) -> str:
    """Return the first of the symbols that an adapter gives as examples."""
    return adapter.example.split(",")[0].split(" or ")[0].strip()


class OfflineAdapter:
    """One exchange: ``adapter`` asks, ``wire`` answers, at the time ``now``."""

    def __init__(self, exchange: str, now: Micros, market: Market = MARKET, *, wire: type[Wire] | None = None) -> None:
        """``wire`` is the wire format of the exchange, by default chandlery's own."""
        kind = wire or wires()[exchange]
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
        self._channels = AssignedChannels(self.adapter.socket)

    def ask(self, request: Request) -> Response:
        """Return the answer to a request of the adapter, signed where it must be, with the time in its headers."""
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
        """Return the body of an answer that is not an error."""
        response = self.ask(request)
        assert response.status == 200, response.body[:300]
        error = self.adapter.error(response)
        assert error is None, error
        return response.body

    def pages(self, interval: Interval, span: Span) -> dict[int, tuple[Any, ...]]:
        """Return the candles by REST that open in ``span``, page by page: open, high, low, close, volume and quote by open time."""
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
            quotes: Sequence[float | None] = rows.quote_asset_volume or [None] * len(rows.open_time)
            values = zip(rows.open_time, rows.open, rows.high, rows.low, rows.close, rows.volume, quotes, strict=True)
            found |= {row[0]: row[1:] for row in values if span.start <= row[0] < span.end and at <= row[0] < end}
            at = end
        return found

    def expected(self, interval: Interval, span: Span) -> dict[int, tuple[Any, ...]]:
        """Return the market's candles that open in ``span``, in the units that the adapter declares."""
        candles = self.view.candles(self.symbol, interval, span, 20_000, newest=False)
        return {each.open_time: self.values(each) for each in candles}

    def values(self, candle: SimCandle) -> tuple[Any, ...]:
        """Return open, high, low, close, volume and quote of the market's candle in the units that the adapter declares."""
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
        """Open a connection, which is greeted."""
        handshake = self.adapter.handshake_request()
        url = urlsplit(self.adapter.socket_url(channel, None if handshake is None else self.body(handshake)))
        self._channels = AssignedChannels(self.adapter.socket)
        session = Session(url.path.removeprefix(f"/{self.adapter.id}"), dict(parse_qsl(url.query)))
        assert url.netloc == _HOST
        assert self.wire.admit(session) is None
        for message in self.frames(self.wire.greeting(session)):
            self.adapter.reply(message)
        return session

    def tell(self, session: Session, messages: list[str]) -> list[bytes]:
        """Return the exchange's answers to the adapter's messages, decoded."""
        return [frame for message in messages for frame in self._told(session, message)]

    def _told(self, session: Session, message: str) -> list[bytes]:
        whole = message
        if self.adapter.socket.channels is not None:
            numbered = self.adapter.leaving(message, self._channels.answers)
            if numbered is None:
                return []
            whole = numbered
        return self.frames(self.wire.obey(session, whole), message)

    def frames(self, contents: Any, asked: str | None = None) -> list[bytes]:
        """
        Return contents as the adapter sees them.

        Lines come with the message that ``asked`` for their stream, numbered messages with the answer that assigned
        their number on the latest connection.
        """
        frames = [self.wire.frame(content) for content in contents]
        decoded = [self.adapter.decode(frame.encode() if isinstance(frame, str) else frame) for frame in frames]
        messages = [self._channels.completed(each) for each in decoded]
        if self.adapter.streams_lines and asked is not None:
            return [asked.encode() + b"\n" + message for message in messages]
        return messages


def signed_in(exchange: str) -> dict[str, dict[str, str]]:
    """Return credentials that the offline exchange accepts, if it requires any."""
    names = ExchangeRegistry.get(exchange).credentials
    return {exchange: dict.fromkeys(names, "x")} if names else {}


def same(one: Mapping[int, tuple[Any, ...]], other: Mapping[int, tuple[Any, ...]]) -> None:
    """Check that both have equal candles; a quote volume that is not sent is not compared."""
    assert list(one) == list(other)
    for opened, values in one.items():
        wanted = other[opened]
        assert values[:5] == wanted[:5], opened
        assert values[5] is None or values[5] == wanted[5], opened


def streams(facing: OfflineAdapter) -> list[CandleStream]:
    """Return every stream of candles that the exchange has for the symbol."""
    return [CandleStream(facing.native, interval) for interval in facing.adapter.live_intervals]


def values_of(candle: CandleData) -> tuple[Any, ...]:
    """Return open, high, low, close, volume and quote."""
    return (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.quote_asset_volume)
