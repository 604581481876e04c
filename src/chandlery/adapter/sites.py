"""
The regional sites of exchanges: by name, base URLs as ``endpoints`` take them.

Sources:
- https://my.okx.com/docs-v5/en/ and https://app.okx.com/docs-v5/en/
- https://docs.binance.us/ and https://www.binance.tr/apidocs/
- https://bybit-exchange.github.io/docs/v5/guide and https://bybit-exchange.github.io/docs/v5/ws/connect
- ccxt 4.5.90: myokx, okxus, binanceus, gateeu
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Sites: TypeAlias = Mapping[str, Mapping[str, str]]

OKX_SITES: Sites = {
    "eea": {"rest": "https://eea.okx.com", "ws": "wss://wseea.okx.com/ws/v5"},
    "us": {"rest": "https://us.okx.com", "ws": "wss://wsus.okx.com/ws/v5"},
}
# Exchanges of their own, without the archive: its rows are those of binance.com.
BINANCE_SITES: Sites = {
    "us": {"rest": "https://api.binance.us", "ws": "wss://stream.binance.us:9443", "archive": ""},
    "tr": {"rest": "https://api.binance.me", "ws": "wss://stream-cloud.binance.tr", "archive": ""},
}
# No sockets are documented for nl, ae, eu and id: other clients use those of bybit.com.
BYBIT_SITES: Sites = {
    "nl": {"rest": "https://api.bybit.nl"},
    "tr": {"rest": "https://api.bybit-tr.com", "ws": "wss://stream.bybit-tr.com"},
    "kz": {"rest": "https://api.bybit.kz", "ws": "wss://stream.bybit.kz"},
    "ge": {"rest": "https://api.bybitgeorgia.ge", "ws": "wss://stream.bybitgeorgia.ge"},
    "ae": {"rest": "https://api.bybit.ae"},
    "eu": {"rest": "https://api.bybit.eu"},
    "id": {"rest": "https://api.bybit.id"},
}
GATE_SITES: Sites = {"eu": {"rest": "https://api.gateeu.com/api/v4", "ws": "wss://api.gateeu.com/ws/v4"}}
