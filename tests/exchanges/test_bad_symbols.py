"""Text that can be no symbol is refused on every way into the library, before anything is sent."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chandlery import CandlesFeed, DataSourceManager, OrderBookFeed
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.clients.native import NativeExchangeClient
from chandlery.core.errors import InvalidSymbol

BAD = [None, 7, b"BTCUSDT", ["BTC/USDT"], "", " ", "A" * 10_000, "BTC\0USDT", "BTC/../USDT", "../../etc", "BTC\nUSDT"]
EACH = pytest.mark.parametrize("symbol", BAD, ids=lambda each: repr(each)[:16])
SPAN = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize("exchange", ExchangeRegistry.names())
def test_adapters(exchange):
    """All of them; the message is short, however long the text."""
    for symbol in BAD:
        with pytest.raises(InvalidSymbol) as refused:
            ExchangeRegistry.create(exchange).symbol(symbol)

        assert len(str(refused.value)) < 400


@EACH
def test_the_manager_of_past_data(symbol, tmp_path):
    """Nothing is written either."""
    with DataSourceManager(cache_dir=tmp_path / "cache") as manager:
        for given in ([symbol], {"label": symbol}, *([] if isinstance(symbol, list) else [symbol])):
            with pytest.raises(InvalidSymbol):
                manager.get_data(given, *SPAN, "1h")

    assert not (tmp_path / "cache").exists()


@EACH
async def test_feeds_and_clients(symbol):
    """Live candles, live books, and the client of an exchange."""
    client = NativeExchangeClient("binance")
    try:
        with pytest.raises(InvalidSymbol):
            await client.fetch_candles(symbol, *SPAN)
    finally:
        await client.close()
    for feed in (CandlesFeed, OrderBookFeed):
        with pytest.raises(InvalidSymbol):
            feed("binance_spot", symbol)
