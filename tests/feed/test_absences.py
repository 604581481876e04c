"""Which missing candles an exchange does not have."""

from __future__ import annotations

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.gaps import GapKind, Span
from chandlery.core.interval import Interval
from chandlery.core.time import MINUTE
from chandlery.feed.absences import PATIENCE, Absences
from fixtures.support import micros

START = micros(2025, 3, 12)
OPENS = [START + place * MINUTE for place in range(3)]


@pytest.fixture(params=["binance_spot", "kraken_spot"])
def adapter(request):
    """One that sends candles without trades, and one that does not."""
    return ExchangeRegistry.create(request.param)


def test_a_candle_that_was_omitted_twice_is_absent(adapter):
    """At once where later ones came and none are sent without trades; else once it should have been settled."""
    absences = Absences(adapter, Interval.MINUTE_1)
    soon, settled = OPENS[1], OPENS[1] + adapter.settle
    assert [] == absences.found(OPENS[:1], OPENS[1:], soon)
    early = [] if adapter.sends_empty_candles else OPENS[:1]
    assert early == absences.found(OPENS[:1], OPENS[1:], soon)
    if adapter.sends_empty_candles:
        assert OPENS[:1] == absences.found(OPENS[:1], OPENS[1:], settled)


def test_without_a_later_candle_it_takes_longer(adapter):
    """REST may be minutes behind."""
    absences = Absences(adapter, Interval.MINUTE_1)
    over = OPENS[2] + MINUTE + PATIENCE
    assert [[], []] == [absences.found(OPENS[2:], [], at) for at in (over - 1, over - 1)]
    assert OPENS[2:] == absences.found(OPENS[2:], [], over)


def test_what_came_meanwhile_is_asked_for_anew(adapter):
    """Only requests in a row count."""
    absences = Absences(adapter, Interval.MINUTE_1)
    late = OPENS[2] + 2 * PATIENCE
    assert [[], [], [], OPENS[:1]] == [
        absences.found(each, OPENS, late) for each in (OPENS[:1], [], OPENS[:1], OPENS[:1])
    ]


def test_the_reason_is_named(adapter):
    """Or the doubt, where there is one."""
    hole = Span(OPENS[0], OPENS[2])
    absences = Absences(adapter, Interval.MINUTE_1)
    (gap,), (doubted,) = (absences.explain(hole, OPENS[2], doubt=doubt) for doubt in ("", "not closed"))

    assert gap.kind is (GapKind.HALT if adapter.sends_empty_candles else GapKind.NO_TRADES)
    assert (hole, "requested twice, the exchange sent no candle") == (gap.span, gap.evidence)
    assert (GapKind.FETCH_FAILED, "not closed") == (doubted.kind, doubted.evidence)
