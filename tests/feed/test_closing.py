"""
Closed means closed, under contradiction: exchanges that differ live from what their adapters declare.

Whatever differs, each closed candle ends as the exchange's own: at once, or as ``Restated``; none is lacking, none published twice,
and none that exists is said to be missing. Each exchange has a few draws with its published tests.
"""

from __future__ import annotations

import pytest

from chandlery.sim.wires import wires
from chandlery.testing.live import LIVE, Draw, check, repeated


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "exchange"), [(name, each) for name in LIVE for each in wires()])
def test_every_market_live_under_contradiction(name, exchange, record_property):
    """Twenty draws each."""
    found = repeated(name, exchange, 20)
    record_property("live contradiction", (name, dict(found)))
    assert 20 >= found["draws"] > 0


GRID = [
    *(Draw({"behind_s": each}, polling=True, late_s=each) for each in (0.5, 4, 30, 150)),
    *(Draw({"behind_s": each}, late_s=each) for each in (4, 150)),
    *(Draw({"late_update_ms": each}, late_s=each / 1000) for each in (10, 50, 500)),
    *(Draw({"close_delay_s": each}, late_s=each) for each in (0.5, 5)),
]


@pytest.mark.soak
@pytest.mark.timeout(120)
@pytest.mark.parametrize("exchange", wires())
def test_how_late_an_exchange_may_be(exchange, capsys):
    """Each closed candle equals the final one; how many were restated is printed by case."""
    found = [check(exchange, draw) for draw in GRID]
    heads = [" ".join(f"{value:g}" for value in draw.unlike.values()) + "p" * draw.polling for draw in GRID]
    with capsys.disabled():
        if exchange == min(wires()):
            print("\nwrong/candles (restated); behind_s polled, behind_s, late_update_ms, close_delay_s:")  # noqa: T201
            print(f"{'':24}" + "".join(f"{head:>11}" for head in heads))  # noqa: T201
        row = (f"{each['wrong']}/{each['candles']} ({each['restated']})" for each in found)
        print(f"{exchange:24}" + "".join(f"{cell:>11}" for cell in row))  # noqa: T201
