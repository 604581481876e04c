"""The offline exchange as ccxt, which knows nothing of it, sees it."""

import contextlib
import warnings
from datetime import UTC, datetime

import pytest

from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.moment import to_micros
from chandlery.core.time import DAY

START = to_micros(datetime(2024, 12, 30, tzinfo=UTC))
MARKETS = [
    ("binance", "binance_spot", MarketType.SPOT, "BTC/USDT", "BTCUSDT"),
    ("binanceusdm", "binance_perpetual", MarketType.FUTURES_USDT, "BTC/USDT:USDT", "BTCUSDT"),
    ("binancecoinm", "binance_inverse", MarketType.FUTURES_COIN, "BTC/USD:BTC", "BTCUSD_PERP"),
]


@contextlib.asynccontextmanager
async def ccxt_at(sim, name):
    """A ccxt exchange whose addresses are the offline exchange's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ccxt.async_support as ccxt

    exchange = getattr(ccxt, name)({"enableRateLimit": False})
    rest = {each: urls["rest"] for each, urls in sim.endpoints.items()}
    for key in exchange.urls["api"]:
        exchange.urls["api"][key] = "http://127.0.0.1:9/unused"
    exchange.urls["api"]["public"] = f"{rest['binance_spot']}/api/v3"
    exchange.urls["api"]["fapiPublic"] = f"{rest['binance_perpetual']}/fapi/v1"
    exchange.urls["api"]["dapiPublic"] = f"{rest['binance_inverse']}/dapi/v1"
    try:
        yield exchange
    finally:
        await exchange.close()


@pytest.mark.parametrize(("name", "exchange_id", "market_type", "symbol", "native"), MARKETS)
async def test_ccxt_fetches_the_market(sim, market, name, exchange_id, market_type, symbol, native):
    """Symbols load; candles of a since and a limit, and of an until, are the market's numbers."""
    async with ccxt_at(sim, name) as exchange:
        markets = await exchange.load_markets()
        assert markets[symbol]["id"] == native
        for timeframe, count in (("1m", 700), ("1h", 30), ("1d", 5), ("1w", 3)):
            interval = Interval(timeframe)
            start = interval.floor(START)
            span = Span(start, interval.step(start, count))
            known = market.candles(market_type, native, interval, span)
            params = {"until": span.end // 1000 - 1}
            fetched = await exchange.fetch_ohlcv(symbol, timeframe, since=start // 1000, limit=count, params=params)

            base_volume = "quote_asset_volume" if market_type is MarketType.FUTURES_COIN else "volume"
            columns = [known[each].tolist() for each in ("open_time", "open", "high", "low", "close", base_volume)]
            assert fetched == [[row[0] // 1000, *row[1:]] for row in zip(*columns, strict=True)]


@pytest.mark.parametrize(("name", "exchange_id", "market_type", "symbol", "native"), MARKETS[1:])
async def test_ccxt_fetches_funding_rates(sim, market, name, exchange_id, market_type, symbol, native):
    """Moments and rates are the market's."""
    known = market.funding(market_type, native, Span(START, START + 4 * DAY))
    async with ccxt_at(sim, name) as exchange:
        rates = await exchange.fetch_funding_rate_history(
            symbol, since=START // 1000, limit=12, params={"until": (START + 4 * DAY) // 1000 - 1}
        )

    assert [each["timestamp"] * 1000 for each in rates] == known["open_time"].tolist()
    assert [each["fundingRate"] for each in rates] == known["funding_rate"].tolist()


async def test_ccxt_understands_the_refusals(sim):
    """An unknown symbol and a spent budget are the errors that ccxt has for them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ccxt
    from chandlery.sim import Fault, FaultKind

    async with ccxt_at(sim, "binance") as exchange:
        with pytest.raises(ccxt.BadSymbol):
            await exchange.publicGetKlines({"symbol": "no such", "interval": "1m"})
        sim.faults += [Fault(FaultKind.TOO_MANY_REQUESTS), Fault(FaultKind.SERVER_ERROR)]
        with pytest.raises(ccxt.DDoSProtection):
            await exchange.publicGetTime()
        with pytest.raises(ccxt.OperationFailed):
            await exchange.publicGetTime()
