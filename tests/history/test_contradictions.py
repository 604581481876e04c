"""
Conformance under contradiction: exchanges that differ from what their adapters declare.

Every answer equals the market or reports what it lacks; once the contradiction is gone, the same request on the same
cache returns everything. Never silently wrong, never final.
"""

from __future__ import annotations

import zlib

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from chandlery.adapter.registry import ExchangeRegistry
from fixtures.contradictions import CONTRADICTIONS, COUNTS, HELD, check, draws, exchanges

# Of different kinds: paged from both ends, with and without an archive, empty candles, a memory, a closed flag, funding.
FEW = ["binance_perpetual", "okx_perpetual", "kucoin_spot"]
FEW_FUNDING = ["bybit_perpetual", "mexc_perpetual", "htx_inverse"]


def _each(name: str, exchange: str, count: int) -> None:
    """Check so many draws."""

    @seed(zlib.crc32(f"{name} {exchange}".encode()))
    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        check(name, exchange, data.draw(draws(name, ExchangeRegistry.create(exchange))))

    run()


@pytest.mark.parametrize("name", HELD)
def test_a_few_markets_under_contradiction(name, record_property):
    """Three markets of different kinds, two draws each."""
    for exchange in FEW_FUNDING if CONTRADICTIONS[name].funding else FEW:
        _each(name, exchange, 2)
    record_property("contradiction", counted(name))


@pytest.mark.soak
@pytest.mark.parametrize(("name", "exchange"), [(name, each) for name in HELD for each in exchanges(name)])
def test_every_market_under_contradiction(name, exchange, record_property):
    """Twenty draws each."""
    _each(name, exchange, 20)
    record_property("contradiction", counted(name))


def counted(name):
    """How many draws of a contradiction ended how since the last time."""
    found = {kind: COUNTS.pop((name, kind)) for given, kind in list(COUNTS) if given == name}
    return name, found
