"""The tests of Acme's adapter: those that every exchange inherits."""

from __future__ import annotations

from pathlib import Path

from acme_wire import AcmeWire

from chandlery.testing import ExchangeTests


class TestAcmeSpot(ExchangeTests):
    """With its payloads."""

    exchange = "acme_spot"
    payloads = Path(__file__).parent / "payloads"
    wire = AcmeWire
