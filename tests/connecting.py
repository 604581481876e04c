"""Accounts at the offline exchange, and how ccxt is told where that is."""

from __future__ import annotations

import json
from pathlib import Path

from chandlery.clients.settings import CCXTConfig, Settings, StorageConfig
from chandlery.sim.accounts import Account

SYNTHETIC = Path(__file__).parent / "exchanges" / "synthetic"
ACCOUNT = Account("key-of-binance-one-0123", "secret-of-binance-one-0123", exchange="binance")
OTHER_ACCOUNT = Account("key-of-binance-two-0123", "secret-of-binance-two-0123", {"USDT": "7"}, exchange="binance")


def ccxt_settings(sim, tmp_path, *, testnet_sim=None, **ccxt):
    """Settings under which ccxt's classes of the documented exchanges reach an offline exchange, and their testnets another."""
    endpoints, options = {}, {}
    for exchange in ("binance", "kraken", "kucoin", "gate", "okx", "bybit", "mexc", "htx", "coinbase"):
        held = json.loads((SYNTHETIC / f"{exchange}_spot" / "ccxt.json").read_text())
        endpoints[exchange] = {old: new.format(**sim.endpoints[f"{exchange}_spot"]) for old, new in held["urls"]}
        if exchange not in {"binance", "kucoin", "kraken"}:
            options[exchange] = held.get("options", {})
    base = f"http://127.0.0.1:{sim.port}"
    endpoints["binance"] |= {
        "https://fapi.binance.com": f"{base}/binance_perpetual",
        "https://dapi.binance.com": f"{base}/binance_inverse",
    }
    endpoints["kucoin"]["https://api-futures.kucoin.com"] = f"{base}/kucoin_perpetual"
    if testnet_sim is not None:
        test = f"http://127.0.0.1:{testnet_sim.port}"
        endpoints["binance"] |= {
            "https://testnet.binance.vision": f"{test}/binance_spot",
            "https://testnet.binancefuture.com": f"{test}/binance_perpetual",
            "https://demo-fapi.binance.com": f"{test}/binance_perpetual",
            "https://demo-api.binance.com": f"{test}/binance_spot",
            "https://demo-dapi.binance.com": f"{test}/binance_inverse",
        }
    return Settings(
        _env_file=None,
        env_file=None,
        storage=StorageConfig(_env_file=None, cache_dir=tmp_path / "cache"),
        ccxt=CCXTConfig(
            _env_file=None,
            endpoints=endpoints,
            options=options,
            **{"enable_rate_limit": False, "timeout_s": 20.0, **ccxt},
        ),
    )


def held(exchange):
    """How ccxt is told where an offline exchange is."""
    return json.loads((SYNTHETIC / exchange / "ccxt.json").read_text())


def config_of(sim, exchange, **options):
    """A configuration under which ccxt's class reaches the offline exchange."""
    told = held(exchange)
    addresses = {old: new.format(**sim.endpoints[exchange]) for old, new in told["urls"]}
    return CCXTConfig(
        _env_file=None,
        endpoints={told["class"]: addresses},
        options={told["class"]: told.get("options", {})},
        enable_rate_limit=False,
        **options,
    )
