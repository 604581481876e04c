"""Gaps that an answer proves, and how long each is believed."""

from __future__ import annotations

import pyarrow as pa
import pytest

from chandlery.core.gaps import Gap, GapKind
from chandlery.core.interval import Interval
from chandlery.core.provenance import SourceSpan
from chandlery.core.series_id import SeriesId
from chandlery.core.time import DAY, HOUR, MINUTE
from chandlery.service.proofs import proved_gaps
from chandlery.tables.part import Part

NOW = 20_000 * DAY
SERIES = SeriesId.parse("acme", "BTC/USDT", "candles:1m")
M = Interval.MINUTE_1


class Client:
    """A client of an exchange whose clock shows ``now``."""

    def __init__(self, now):
        self.now = now

    async def exchange_time(self, coin):
        """As it was made to."""
        return self.now


def answer(gaps, fetched_at=NOW):
    """A client's answer that accounts for its gaps, all fetched at one moment."""
    spans = [SourceSpan(gap.start, gap.end, "rest", fetched_at) for gap in gaps]
    return Part(pa.table({}), spans, gaps)


def gap(age, kind=GapKind.NO_TRADES):
    """A minute's gap of an age at ``NOW``."""
    return Gap(NOW - age, NOW - age + MINUTE, kind, "why")


@pytest.mark.parametrize("clock", [NOW, NOW + 30 * DAY])
async def test_age_decides_and_is_that_of_the_proof(clock):
    """A young gap is not stored, one of some hours is due at double its age, an old one is final; read later or not."""
    gaps = [gap(3 * DAY), gap(5 * HOUR), gap(30 * MINUTE)]
    old, due = await proved_gaps(Client(clock), SERIES, answer(gaps))

    assert gaps[0] == old
    assert (gaps[1].start, NOW + 5 * HOUR - MINUTE) == (due.start, due.recheck_at)


async def test_a_clock_of_this_machine_that_is_ahead_makes_no_gap_old():
    """The exchange's time counts where the answer says that it came later."""
    assert [] == await proved_gaps(Client(NOW), SERIES, answer([gap(30 * MINUTE)], fetched_at=NOW + 9 * DAY))


async def test_what_proves_nothing():
    """A failure, an exchange that tells no time, a gap that no answer covers, an answer without an account."""
    old = gap(3 * DAY)
    failed = answer([gap(3 * DAY, GapKind.FETCH_FAILED)])
    uncovered = Part(pa.table({}), [SourceSpan(NOW, NOW + MINUTE, "rest", NOW)], [old])

    assert [] == await proved_gaps(Client(NOW), SERIES, failed)
    assert [] == await proved_gaps(Client(None), SERIES, answer([old]))
    assert [] == await proved_gaps(Client(NOW), SERIES, uncovered)
    assert [] == await proved_gaps(Client(NOW), SERIES, Part(pa.table({}), gaps=[old]))
