"""One exchange after the other, until one can."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.clients.fallback import first_of
from chandlery.clients.interfaces import IExchangeAPIClient
from chandlery.clients.sources import ExchangeSpan
from chandlery.core.errors import (
    ExchangeUnavailable,
    IncompleteData,
    InvalidInput,
    InvalidRange,
    InvalidSymbol,
    RequestTimeout,
    UnsupportedRequest,
)
from chandlery.core.gaps import Gap, GapKind, Span, subtract
from chandlery.core.moment import to_micros
from chandlery.core.time import MINUTE
from fixtures.support import at

START, END = at(2024, 1, 1), at(2024, 1, 1, 0, 30)
BEGAN = to_micros(START)


class Client(IExchangeAPIClient):
    """An exchange that has the minutes that it is told to have, or fails as it is told."""

    family = "test"

    def __init__(self, name, lacks=(), *, error=None, cause=None, unit="base"):
        self.name, self.lacks, self.error, self.unit = name, set(lacks), error, unit
        self.cause = cause or ExchangeUnavailable("cut off")
        self.asked = []

    def get_exchange_name(self):
        return self.name

    async def fetch_historical_data(self, coin, start, end, interval="1m"):
        self.asked.append((start, end))
        if self.error is not None:
            raise self.error
        minutes = range((to_micros(start) - BEGAN) // MINUTE, (to_micros(end) - BEGAN) // MINUTE)
        rows = [
            {"exchange": self.name, "timestamp": (BEGAN + each * MINUTE) // 1000}
            for each in minutes if each not in self.lacks
        ]  # fmt: skip
        gaps = [
            Gap(BEGAN + each * MINUTE, BEGAN + (each + 1) * MINUTE, GapKind.FETCH_FAILED)
            for each in minutes if each in self.lacks
        ]  # fmt: skip
        if gaps:
            raise IncompleteData("some could not be had", data=rows, missing=gaps) from self.cause
        return rows

    def volume_unit(self, coin):
        return self.unit

    async def check_coin_availability(self, coin):
        return True

    async def start_realtime_stream(self, coin, callback, **options):
        raise NotImplementedError

    async def close(self):
        pass


def fetch(*clients, allow_mixed=False, start=START, end=END):
    """The answer of exchanges in this order."""
    by_name = {client.name: client for client in clients}
    return asyncio.run(first_of(by_name, "BTC/USDT", start, end, "1m", allow_mixed=allow_mixed))


def whole(result):
    """Whether every minute is there once, in order, and each from the exchange that its span names."""
    opens = [row["timestamp"] * 1000 for row in result.rows]
    spans = {each: span.exchange for span in result.spans for each in range(span.start, span.end, MINUTE)}
    return opens == list(range(BEGAN, BEGAN + 30 * MINUTE, MINUTE)) and [spans[each] for each in opens] == [
        row["exchange"] for row in result.rows
    ]


def test_the_first_that_can_answers():
    """The first gives all; nobody else is asked."""
    one, two = Client("one"), Client("two")
    result = fetch(one, two)

    assert whole(result)
    assert (ExchangeSpan(BEGAN, BEGAN + 30 * MINUTE, "one"),) == result.spans
    assert () == result.failures
    assert [] == two.asked


@pytest.mark.parametrize("error", [ExchangeUnavailable("down"), RequestTimeout("slow")])
def test_what_may_pass_leads_to_the_next(error):
    """A failure that may pass leads to the next exchange, and is reported."""
    result = fetch(Client("one", error=error), Client("two"))

    assert whole(result)
    assert {"two"} == {span.exchange for span in result.spans}
    assert (("one", error),) == result.failures


def test_what_does_not_pass_is_raised():
    """An error that another exchange would not mend is raised at once."""
    two = Client("two")
    with pytest.raises(InvalidSymbol, match="no such"):
        fetch(Client("one", error=InvalidSymbol("no such")), two)
    with pytest.raises(IncompleteData):
        fetch(Client("one", {3}, cause=InvalidSymbol("delisted")), two)

    assert [] == two.asked


def test_two_are_never_mixed_unasked():
    """An exchange that has only part of it gives nothing: the series is the next one's alone."""
    result = fetch(Client("one", {7, 8}), Client("two"))

    assert whole(result)
    assert {"two"} == {row["exchange"] for row in result.rows}
    assert ["one"] == [name for name, _ in result.failures]


def test_mixing_says_who_gave_what():
    """Where it is allowed the next exchange gives only what is missing, and the spans say it."""
    two = Client("two")
    result = fetch(Client("one", {7, 8}), two, allow_mixed=True)

    assert whole(result)
    assert [
        ("one", 0, 7), ("two", 7, 9), ("one", 9, 30),
    ] == [(span.exchange, (span.start - BEGAN) // MINUTE, (span.end - BEGAN) // MINUTE) for span in result.spans]  # fmt: skip
    assert [(START + timedelta(minutes=7), START + timedelta(minutes=9))] == two.asked


@given(st.lists(st.sets(st.integers(0, 29)), min_size=1, max_size=4))
def test_mixing_finds_all_that_anybody_has(lacks):
    """However the minutes are spread, the mixed result holds each that anybody has, once."""
    clients = [Client(f"e{place}", each) for place, each in enumerate(lacks)]
    nobody = set.intersection(*lacks)
    if len(nobody) == 30:
        with pytest.raises(ExchangeUnavailable):
            fetch(*clients, allow_mixed=True)
    elif nobody:
        with pytest.raises(IncompleteData) as caught:
            fetch(*clients, allow_mixed=True)
        rows, missing = caught.value.data, {(gap.start - BEGAN) // MINUTE + each for gap in caught.value.missing for each in range((gap.end - gap.start) // MINUTE)}  # fmt: skip

        assert nobody == missing
        assert sorted(set(range(30)) - nobody) == [(row["timestamp"] * 1000 - BEGAN) // MINUTE for row in rows]
    else:
        result = fetch(*clients, allow_mixed=True)

        assert whole(result)
        assert [] == subtract(Span(BEGAN, BEGAN + 30 * MINUTE), [span.span for span in result.spans])


def test_all_in_vain():
    """Where nobody answers, one error names each exchange and why."""
    with pytest.raises(ExchangeUnavailable, match="one: down; two: slow"):
        fetch(Client("one", error=ExchangeUnavailable("down")), Client("two", error=RequestTimeout("slow")))


def test_units_are_not_mixed():
    """Volumes that count different things do not become one series."""
    with pytest.raises(IncompleteData, match="counts volume in contracts, one in base"):
        fetch(Client("one", {3}), Client("two", unit="contracts"), allow_mixed=True)

    assert whole(fetch(Client("one", {3}), Client("two", unit=None), allow_mixed=True))


def test_an_exchange_that_cannot_continue_is_passed_over():
    """In a mixed series an exchange without such candles is passed over; as the first one it is an error."""
    lacking = Client("two", error=UnsupportedRequest("no such interval"))

    assert whole(fetch(Client("one", {3}), lacking, Client("three"), allow_mixed=True))
    with pytest.raises(UnsupportedRequest):
        fetch(lacking, Client("one"), allow_mixed=True)


def test_bad_requests():
    """No exchange, naive moments and empty ranges are refused before anybody is asked."""
    one = Client("one")
    with pytest.raises(InvalidInput, match="name at least one"):
        fetch()
    with pytest.raises(InvalidRange, match="no time zone"):
        fetch(one, start=START.replace(tzinfo=None))
    with pytest.raises(InvalidRange, match="give a later end_time"):
        fetch(one, start=END, end=START)

    assert [] == one.asked
