"""
The offline exchange as an outside client reads it: ccxt and ccxt.pro, pointed at it, exchange by exchange.

``synthetic/<id>/ccxt.json`` says how: ``class`` and ``symbol`` of ccxt, ``options`` that its
constructor takes, and ``urls``, pairs of what its own addresses begin with and what stands there
instead, in which ``{rest}`` and ``{ws}`` are the offline exchange's. Where ccxt takes something
else for the volume, ``volume`` names our column of it and ``volume_times`` what it is multiplied by;
``limit`` is that of ``fetch_ohlcv``. ``skip`` names, with the reason, what that class of ccxt cannot do.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import ccxt.pro
import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.time import Unit
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.sim.book import tick_of
from chandlery.sim.server import SimServer
from chandlery.sim.view import MarketView
from chandlery.sim.wires import wires
from fixtures.offline_adapter import MARKET

SYNTHETIC = Path(__file__).parent / "synthetic"
EXCHANGES = sorted(path.parent.name for path in SYNTHETIC.glob("*/ccxt.json"))
EACH = pytest.mark.parametrize("exchange", EXCHANGES)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
_TIMEOUT_S = 20


def moved(urls: Any, pairs: list[list[str]], base: dict[str, str]) -> Any:
    """The addresses with their beginnings replaced; one that is not replaced would leave this machine."""
    if isinstance(urls, dict):
        return {key: moved(value, pairs, base) for key, value in urls.items()}
    for old, new in pairs:
        if isinstance(urls, str) and urls.startswith(old):
            return new.format(**base) + urls.removeprefix(old)
    return "http://127.0.0.1:9"


@pytest.fixture
async def outside(exchange, tmp_path):
    """The offline exchange, ccxt's client for it, our adapter and our HTTP client."""
    held = json.loads((SYNTHETIC / exchange / "ccxt.json").read_text())
    async with SimServer(MARKET, exchanges=[exchange], tick_s=0.1) as sim:
        client = getattr(ccxt.pro, held["class"])(
            {**held.get("options", {}), "enableRateLimit": False, "timeout": 10_000}
        )
        client.urls["api"] = moved(client.urls["api"], held["urls"], sim.endpoints[exchange])
        adapter = ExchangeRegistry.create(exchange, sim.endpoints)
        async with HttpClient(limiter=RateLimiter(tmp_path)) as http:
            try:
                yield sim, client, held, adapter, http
            finally:
                await client.close()


async def ours(adapter: Any, http: HttpClient, held: dict[str, Any], span: Span) -> dict[int, Any]:
    """Our candles of a span, by open in milliseconds, as ccxt writes them."""
    request = adapter.candles_request(adapter.symbol(held["symbol"]), Interval.MINUTE_1, span)
    rows = await http.fetch(request, adapter.candle_rows, error_of=adapter.error)
    volume = [each * held.get("volume_times", 1) for each in getattr(rows, held.get("volume", "volume"))]
    columns = zip(rows.open_time, rows.open, rows.high, rows.low, rows.close, volume, strict=True)
    return {Unit.MILLIS.of(row[0]): pytest.approx(row[1:], rel=1e-12) for row in columns if span.holds(row[0])}


def skipped(held: dict[str, Any], method: str) -> None:
    """Skip what that class of ccxt cannot do."""
    if method in held.get("skip", {}):
        pytest.skip(held["skip"][method])


@EACH
async def test_ccxt_fetches_the_same_candles(outside):
    """``fetch_ohlcv`` reads the offline exchange, and agrees with our adapter on every closed candle."""
    sim, client, held, adapter, http = outside
    skipped(held, "fetch_ohlcv")
    now = Interval.MINUTE_1.floor(sim.clock())
    span = Span(Interval.MINUTE_1.step(now, -20), now)
    rows = await asyncio.wait_for(
        client.fetch_ohlcv(held["symbol"], "1m", since=Unit.MILLIS.of(span.start), limit=held.get("limit", 20)),
        _TIMEOUT_S,
    )
    theirs = {row[0]: tuple(row[1:]) for row in rows if span.holds(row[0] * 1000)}

    assert await ours(adapter, http, held, span) == theirs
    assert len(theirs) >= 19


@EACH
async def test_ccxt_watches_the_same_candles(outside):
    """``watch_ohlcv`` reads the sockets without an error; opens and highs fit what our adapter fetches."""
    _, client, held, adapter, http = outside
    skipped(held, "watch_ohlcv")
    rows = await asyncio.wait_for(client.watch_ohlcv(held["symbol"], held.get("live_interval", "1m")), _TIMEOUT_S)
    interval = Interval(held.get("live_interval", "1m"))
    opened = rows[-1][0] * 1000
    request = adapter.candles_request(adapter.symbol(held["symbol"]), interval, Span(opened, interval.step(opened)))
    fetched = await http.fetch(request, adapter.candle_rows, error_of=adapter.error)
    place = list(fetched.open_time).index(opened)

    assert opened == interval.floor(opened)
    assert fetched.open[place] == rows[-1][1]
    assert fetched.low[place] <= rows[-1][3] <= rows[-1][2] <= fetched.high[place]


@EACH
async def test_ccxt_watches_the_same_book(outside):
    """``watch_order_book`` keeps a book that is the market's at that moment, after several messages."""
    sim, client, held, adapter, _ = outside
    skipped(held, "watch_order_book")
    wire = wires()[adapter.id]
    view = MarketView(MARKET, wire.market_type, sim.clock)
    symbol = wire(view, ticks=lambda: 0.0).symbol(adapter.symbol(held["symbol"]))
    for _ in range(5):
        book = await asyncio.wait_for(client.watch_order_book(held["symbol"]), _TIMEOUT_S)
    now = tick_of(sim.clock())
    prices = [[price for price, *_ in side[:10]] for side in (book["bids"], book["asks"])]
    known = [
        [[float(price) for price, _ in side[:10]] for side in (state.bids, state.asks)]
        for state in (view.book(symbol, 50, tick) for tick in range(now - 100, now + 1))
    ]

    assert prices in known
