"""
Conformance under contradiction: exchanges that differ from what their adapters declare.

Every answer equals the market or reports what it lacks; once the contradiction is gone, the same request on the same
cache returns everything. Never silently wrong, never final. Each exchange has a few draws with its published tests.
"""

from __future__ import annotations

import pytest

from chandlery.sim import running
from chandlery.sim.wires import wires
from chandlery.testing.contradictions import CONTRADICTIONS, NOW, applies, repeated
from chandlery.testing.offline import MARKET, OfflineAdapter


@pytest.fixture(scope="module")
def offline():
    """All offline exchanges, whose clock stands still."""
    with running(MARKET, clock=lambda: NOW, weight_limit=10**9, tick_s=None) as server:
        yield server


@pytest.mark.soak
@pytest.mark.parametrize(("name", "exchange"), [(name, each) for name in CONTRADICTIONS for each in wires()])
def test_every_market_under_contradiction(name, exchange, offline, record_property):
    """Twenty draws each."""
    facing = OfflineAdapter(exchange, NOW)
    if not applies(name, facing):
        pytest.skip(f"{exchange} cannot differ so")

    found = repeated(name, facing, offline, 20)
    record_property("contradiction", (name, found))
    assert 20 >= sum(found.values()) > 0
