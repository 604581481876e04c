"""Payloads that probes have recorded (``make record``), read as they were expected to be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.net.http import HttpClient
from chandlery.net.limiter import RateLimiter
from chandlery.probe import Options, probe
from chandlery.probe.findings import read_bundle
from chandlery.sim import SimServer
from chandlery.testing.exchanges import read_payload
from fixtures.offline_adapter import MARKET
from fixtures.support import micros

RECORDED = Path(__file__).parent / "recorded"
NOW = micros(2025, 3, 20, 11, 30, 30)


def agrees(path: Path) -> None:
    """The adapter reads a payload file as it says."""
    held = json.loads(path.read_text())
    kind = path.stem.partition("-")[0]
    assert held["expect"] == read_payload(ExchangeRegistry.create(path.parent.name), kind, held), path


def test_recorded_payloads():
    """Those that are committed; there may be none."""
    for path in sorted(RECORDED.glob("*/*.json")):
        agrees(path)


@pytest.mark.parametrize("exchange", ["okx_perpetual", "mexc_spot", "gate_spot"])
async def test_a_probe_becomes_payloads(exchange, tmp_path, script):
    """A bundle of a probe, written and read, gives candles and the words for an unknown symbol, and no secret."""
    async with (
        SimServer(MARKET, exchanges=[exchange], clock=lambda: NOW, tick_s=0.05, weight_limit=10**9) as sim,
        HttpClient(limiter=RateLimiter(tmp_path / "limits")) as http,
    ):
        options = Options(endpoints=sim.endpoints, close_s=1.0, book_s=0)
        found = await probe(exchange, http, options, clock=lambda: NOW)
    bundle = read_bundle(found.bundle.write(tmp_path))

    written = script("record").record(bundle, tmp_path / "payloads")

    assert bundle == found.bundle
    assert {"rest_candles", "rest_error", "live_candle"} == {path.stem.partition("-")[0] for path in written}
    for path in written:
        agrees(path)
        assert "?" not in json.loads(path.read_text())["source"]
