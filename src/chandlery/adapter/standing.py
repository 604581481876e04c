"""
How well each declaration of an adapter is known: the only place for what was seen of it, where and when.

A declaration is a first guess: what arrives is believed before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

from msgspec import Struct


class Standing(Enum):
    """How a declaration is known, the best first."""

    RECORDED = "recorded"
    """It was seen on the wire, or holds in a recording."""
    DOCUMENTED = "documented"
    """The exchange says so."""
    CONTRADICTED = "contradicted elsewhere"
    """Documented, but others saw, or use, something else."""
    UNVERIFIED = "unverified"


class Seen(Struct, frozen=True):
    """The standing of a declaration, and by what: a link, a date, a count."""

    standing: Standing
    note: str = ""


Standings: TypeAlias = Mapping[str, Seen]
"""By the name of the declaration, one of ``DECLARATIONS``."""

DECLARATIONS = (
    "socket address",
    "candles a request",
    "bounds of a request",
    "order of a page",
    "memory",
    "grids",
    "closed flag",
    "order book",
    "checksum",
    "streams a connection",
    "funding rates a request",
)


def standings(text: str, like: Standings | None = None) -> Standings:
    """Of lines ``<declaration>: <standing>, <note>``; what is not named is as in ``like``, or unverified."""
    found = dict(like or dict.fromkeys(DECLARATIONS, Seen(Standing.UNVERIFIED)))
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, seen = line.partition(": ")
        standing, _, note = seen.partition(", ")
        found[name] = Seen(Standing(standing), note)
    return found


NOTHING = standings("")
BINANCE_KNOWN = standings("""
    socket address: documented, https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams (2026-11); USD-M by kind since 2026-04-23
    candles a request: documented, https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
    bounds of a request: recorded, inclusive opens: recorded answers lie within what was asked for
    order of a page: recorded, oldest first
    memory: recorded, archive files since 2017
    grids: recorded, 3d candles open on days since 1970 that leave 1 when divided by 3 (2024-01-01): live in 2026-09, and in files of 2017 to 2026
    closed flag: recorded, x
    order book: recorded, 173 of 173 messages of spot, 760 of USD-M, 2037 of COIN-M follow each other
    streams a connection: documented, https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams (2026-11)
    funding rates a request: documented, https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Get-Funding-Rate-History
""")
BINANCE_INVERSE_KNOWN = standings(
    "grids: unverified, 3d candles are taken to open on the days of those of spot and USD-M", BINANCE_KNOWN
)
BYBIT_KNOWN = standings("""
    socket address: documented, https://bybit-exchange.github.io/docs/v5/ws/connect (2026-11)
    candles a request: documented, https://bybit-exchange.github.io/docs/v5/market/kline
    order of a page: documented, https://bybit-exchange.github.io/docs/v5/market/kline
    closed flag: documented, https://bybit-exchange.github.io/docs/v5/websocket/public/kline
    order book: documented, https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook
    streams a connection: unverified, one unknown topic refuses the whole message that names it (ccxt#30284 in 2026-09, and seen)
    funding rates a request: documented, https://bybit-exchange.github.io/docs/v5/market/history-fund-rate
""")
OKX_KNOWN = standings("""
    socket address: documented, https://www.okx.com/docs-v5/en/#overview-websocket; port 8443 was switched off on 2026-10-31 (notice of an SDK vendor in 2026-11, ccxt 4.5.90)
    candles a request: contradicted elsewhere, documented in 2025-11; OKX.Net asks for 100, freqtrade#6825 and ccxt#20756 saw 100
    bounds of a request: documented, https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks-history
    order of a page: documented, https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks-history
    memory: documented, https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks-history
    closed flag: documented, https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-candlesticks-channel
    order book: recorded, in 2022; the snapshot of the channel was announced to end in 2026-08
    checksum: recorded, 290 of 290 in 2022; 0 since 2026-06-23 (seen 2026-09), which is not checked
    funding rates a request: contradicted elsewhere, 400 are documented in 2025; 100 are asked for
""")
KRAKEN_KNOWN = standings("""
    socket address: documented, https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ohlc
    candles a request: documented, https://docs.kraken.com/api-reference/market-data/get-ohlc-data
    order of a page: documented, https://docs.kraken.com/api-reference/market-data/get-ohlc-data
    memory: documented, https://docs.kraken.com/api-reference/market-data/get-ohlc-data
    closed flag: documented, https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ohlc
    order book: recorded, 15767 messages whose checksums are right
    checksum: recorded, 15767 of 15767; https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2
""")
COINBASE_KNOWN = standings("""
    socket address: documented, https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels
    candles a request: contradicted elsewhere, other clients ask for 350, which a refusal of the exchange names; 300 is less than both
    closed flag: documented, https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels
    order book: recorded, 2026: numbered by connection
""")
KUCOIN_KNOWN = standings("""
    socket address: recorded, 2026-09-22: named by each token; the classic socket is still served
    candles a request: documented, https://www.kucoin.com/docs-new/rest/spot-trading/market-data/get-klines
    order of a page: documented, https://www.kucoin.com/docs-new/rest/spot-trading/market-data/get-klines
    closed flag: documented, https://www.kucoin.com/docs-new/3470071w0
    order book: recorded, 2026-09-22: 50 levels every 100 ms
    streams a connection: documented, https://www.kucoin.com/docs-new/websocket-api/base-info/introduction
""")
KUCOIN_CONTRACTS_KNOWN = standings(
    """
    candles a request: contradicted elsewhere, 500 are documented; three clients (ccxt 4.5.90, Kucoin.Net of 2026-08) ask for 200, as is done here
    order of a page: documented, https://www.kucoin.com/docs-new/rest/futures-trading/market-data/get-klines
    closed flag: documented, https://www.kucoin.com/docs-new/3470086w0
    streams a connection: documented, https://www.kucoin.com/docs-new/websocket-api/base-info/introduction has no limit, its errors one of 300 a session and 100 a message, which is obeyed
    """,
    KUCOIN_KNOWN,
)
GATE_KNOWN = standings("""
    socket address: documented, https://www.gate.com/docs/developers/apiv4/ws/en/
    candles a request: documented, https://www.gate.com/docs/developers/apiv4/en/#market-k-line-chart
    order of a page: documented, https://www.gate.com/docs/developers/apiv4/en/#market-k-line-chart
    memory: documented, https://www.gate.com/docs/developers/apiv4/en/#market-k-line-chart
    closed flag: documented, https://www.gate.com/docs/developers/apiv4/ws/en/#candlesticks-channel
    order book: recorded, 2026-09-15: U is the last u + 1 in 39000 messages, of which some change nothing; what leaves the depth is deleted
""")
MEXC_KNOWN = standings("""
    socket address: documented, https://www.mexc.com/api-docs/spot-v3/websocket-market-streams/k-line-streams
    candles a request: contradicted elsewhere, 1000 are documented; ccxt saw 500, which are asked for
    order of a page: documented, https://www.mexc.com/api-docs/spot-v3/market-data-endpoints/klinecandlestick-data
    closed flag: documented, https://www.mexc.com/api-docs/spot-v3/websocket-market-streams/k-line-streams
    order book: documented, https://www.mexc.com/api-docs/spot-v3/websocket-market-streams/diffdepth-stream
    streams a connection: recorded, 2026-09-25: more than 30 are acknowledged and never sent
""")
MEXC_CONTRACTS_KNOWN = standings("""
    socket address: recorded, 2026-09-15: REST moved to api.mexc.com on 2026-01-19, the socket did not
    candles a request: documented, https://www.mexc.com/api-docs/futures/market-endpoints/get-candlestick-data
    order of a page: documented, https://www.mexc.com/api-docs/futures/market-endpoints/get-candlestick-data
    closed flag: documented, https://www.mexc.com/api-docs/futures/websocket-api/k-line-data
    order book: documented, https://www.mexc.com/api-docs/futures/websocket-api/order-book-depth
    funding rates a request: documented, https://www.mexc.com/api-docs/futures/market-endpoints/get-funding-rate-history
""")
HTX_KNOWN = standings("""
    socket address: documented, https://www.htx.com/en-us/opend/newApiPages/?id=7ec53241-7773-11ed-9966-0242ac110003
    closed flag: documented, https://www.htx.com/en-us/opend/newApiPages/?id=7ec53241-7773-11ed-9966-0242ac110003
    order book: documented, https://www.htx.com/en-us/opend/newApiPages/?id=7ec5362b-7773-11ed-9966-0242ac110003; levels out of the depth are deleted (seen 2026-09-23)
""")
HTX_SWAPS_KNOWN = standings("""
    socket address: documented, https://www.htx.com/en-us/opend/newApiPages/?id=8cb7bf6d-77b5-11ed-9966-0242ac110003
    candles a request: contradicted elsewhere, 2000 are documented; HTX.Net (2026-08) asks for 1000
    memory: documented, https://www.htx.com/en-us/opend/newApiPages/?id=8cb80aca-77b5-11ed-9966-0242ac110003
    closed flag: documented, https://www.htx.com/en-us/opend/newApiPages/?id=8cb7bf6d-77b5-11ed-9966-0242ac110003
    order book: recorded, 2026-09-23: version is one more with each of 75000 messages of a stream, and what leaves the depth is deleted
    funding rates a request: documented, https://www.htx.com/en-us/opend/newApiPages/?id=5d516d2f-77b6-11ed-9966-0242ac110003
""")
HYPERLIQUID_KNOWN = standings("""
    socket address: documented, https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions
    candles a request: contradicted elsewhere, 5000 are documented; HyperLiquid.Net (2026-08) asks for 1000
    bounds of a request: recorded, the candles that contain startTime and endTime come too
    order of a page: recorded, oldest first
    memory: documented, https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint
    closed flag: documented, https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions
    order book: recorded, 2026-09-24: 20 levels every 5.0 to 5.6 s since June 2026; with "fast" 5 levels every 0.54 s, which are not asked for
    streams a connection: documented, https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/rate-limits-and-user-limits
""")
CRYPTOCOM_KNOWN = standings("""
    socket address: documented, https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html
    candles a request: contradicted elsewhere, 300 are documented (2025-11); another client asks otherwise (2026-08)
    order of a page: documented, https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#public-get-candlestick
    grids: documented, https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#public-get-candlestick
    closed flag: documented, https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#candlestick-time_frame-instrument_name
    order book: documented, https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html#book-instrument_name-depth
    checksum: unverified, none of 576 layouts that were tried fits: it is not checked
    streams a connection: recorded, 2026-09-22: the 401st is refused with 40107
""")
ASCENDEX_KNOWN = standings("""
    order book: documented, https://ascendex.github.io/ascendex-pro-api/#channel-level-2-order-book-updates
    candles a request: documented, https://ascendex.github.io/ascendex-pro-api/#historical-bar-data
    closed flag: documented, https://ascendex.github.io/ascendex-pro-api/#channel-bar-data
""")
TRADESTATION_KNOWN = standings("""
    socket address: documented, https://api.tradestation.com/docs/fundamentals/http-streaming
    candles a request: documented, https://api.tradestation.com/docs/specification#tag/MarketData/operation/GetBars: 57600, of which 5000 are asked for
    closed flag: documented, https://api.tradestation.com/docs/specification#tag/MarketData/operation/StreamBars
""")
